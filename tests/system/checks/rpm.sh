# shellcheck shell=bash
# The rpm's files and scriptlets on this Debian, whose libraries it does not know by name (--nodeps). That is not a
# Fedora: there it was not tried.

group_rpm() {
    local old new id pid before before_daemon
    if ! command -v rpmbuild >/dev/null; then
        echo "      (rpmbuild is not here: nothing was tried)"
        return
    fi
    inside dpkg --purge teleclaude >/dev/null 2>&1 || true
    before=$(picture)
    old=$(make_rpm "$version~previous")
    new=$(make_rpm "$version")
    cp "$old" "$new" "$machine/tree/root/"
    check "the rpm installs" inside rpm --force-debian --install --nodeps --nosignature "/root/$(basename "$old")"
    same "the sockets are enabled" "enabled enabled" \
        "$(inside systemctl is-enabled teleclaude.socket teleclaude-runner.socket | tr '\n' ' ' | sed 's/ $//')"
    same "nothing is started" "inactive inactive" \
        "$(inside systemctl is-active teleclaude.socket teleclaude.service | tr '\n' ' ' | sed 's/ $//')"
    write_config
    check "the socket starts" inside systemctl start teleclaude.socket
    same "mel is who she is" "mel member $(inside id -u mel)" "$(who_is mel)"
    id=$(begin mel shop --title rpm) || { fail "mel starts a session"; return; }
    pid=$(agent_pid "$id")
    before_daemon=$(daemon_pid)
    check "the next version installs over it" inside rpm --force-debian --upgrade --nodeps --nosignature "/root/$(basename "$new")"
    check "the daemon was restarted" another_daemon "$before_daemon"
    check "the session goes on" until_ok 10 status_is mel "$id" running
    same "with the same agent" "$pid" "$(agent_pid "$id")"
    same "the sockets are still enabled" "enabled enabled" \
        "$(inside systemctl is-enabled teleclaude.socket teleclaude-runner.socket | tr '\n' ' ' | sed 's/ $//')"
    check "it is erased while a session runs" inside rpm --force-debian --erase --nodeps teleclaude
    check "the agent is gone" until_ok 10 gone "$pid"
    check "no process of the service user is left" until_ok 10 nobody teleclaude
    check "the state is kept" inside test -e /var/lib/teleclaude/teleclaude.db
    check "so are secrets that were changed" inside test -e /etc/teleclaude/secrets.yml.rpmsave
    inside rm -r /var/lib/teleclaude /var/log/teleclaude /etc/teleclaude
    inside userdel teleclaude
    # Folders that belong to nobody in particular, and are empty, stay.
    same "nothing else is left" "" "$(diff <(echo "$before") <(picture) | grep '^[<>]' |
        grep -Ev '^> \./usr/share/[a-z0-9_./-]+ d 755 root:root ' || true)"
}
