# shellcheck shell=bash
# `teleclaude doctor` on the fresh installation.

group_doctor() {
    local seen code=0
    seen=$(inside teleclaude doctor 2>&1) || code=$?
    if [ "$code" = 0 ]; then ok "root's doctor finds nothing wrong"; else fail "root's doctor finds nothing wrong" "$seen"; fi
    code=0
    seen=$(tc mel doctor 2>&1) || code=$?
    if [ "$code" = 0 ]; then ok "nor does mel's"; else fail "nor does mel's" "$seen"; fi
    inside systemctl stop teleclaude-runner.socket
    refuses "it finds that the runner's socket is away" inside teleclaude doctor
    inside systemctl start teleclaude-runner.socket
    chmod 0644 "$machine/tree/etc/teleclaude/secrets.yml"
    refuses "it finds that the secrets can be read" inside teleclaude doctor
    chmod 0600 "$machine/tree/etc/teleclaude/secrets.yml"
}
