# shellcheck shell=bash
# `teleclaude doctor` on the fresh installation, and on one with something wrong.

group_doctor() {
    local user seen
    for user in root mel; do
        seen=$(tc "$user" doctor 2>&1) || true
        holds "$user's doctor comes to a sum" '^system mode: .*[0-9]+ ok$' "$seen"
        lacks "and finds no error" '^error' "$seen"
        # The clock is that of the machine around; an administrator may use all projects, but not enter each.
        lacks "and nothing to warn of" '^warning +' "$(grep -Ev '^warning +(clock|.*den cannot be entered by ada)' <<<"$seen")"
    done
    inside systemctl stop teleclaude-runner.socket
    wrong "that the runner's socket is away" runner
    inside systemctl start teleclaude-runner.socket
    chmod 0644 "$machine/tree/etc/teleclaude/secrets.yml"
    wrong "that everybody can read the secrets" secrets
    chmod 0600 "$machine/tree/etc/teleclaude/secrets.yml"
    printf 'people: 7\n' >"$machine/tree/etc/teleclaude/config.d/60-wrong.yml"
    wrong "that the config is wrong" 60-wrong.yml
    rm "$machine/tree/etc/teleclaude/config.d/60-wrong.yml"
}

# `wrong TEXT PATTERN`: root's doctor complains with these words, and with its exit code.
wrong() {
    local seen code=0
    seen=$(inside teleclaude doctor 2>&1) || code=$?
    holds "it finds $1" "^(error|warning) .*$2" "$seen"
    refuses "and its exit code says so" test "$code" = 0
}
