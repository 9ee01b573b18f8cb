# shellcheck shell=bash
# Removing keeps what people have, purging leaves nothing, and installing again works from both.

group_remove() {
    local id pid
    id=$(begin mel shop --title remove) || { fail "mel starts a session"; return; }
    pid=$(agent_pid "$id")
    check "the package is removed while a session runs" inside dpkg --remove teleclaude
    check "the agent is gone" until_ok 10 gone "$pid"
    check "no process of the service user is left" until_ok 10 nobody teleclaude
    same "no program is left" "" "$(inside find /usr/bin -name 'teleclaude*')"
    same "no socket is left" "" "$(inside find /run -name 'teleclaude*')"
    check "the state is kept" inside test -e /var/lib/teleclaude/teleclaude.db
    check "the config is kept" inside test -e /etc/teleclaude/config.d/50-test.yml
    # A power cut between the two halves of an installation.
    inside dpkg --unpack "/root/$(basename "$new_deb")" >/dev/null
    check "it installs again, in two halves" inside dpkg --configure --pending
    same "the sockets are enabled again" "enabled enabled" \
        "$(inside systemctl is-enabled teleclaude.socket teleclaude-runner.socket | tr '\n' ' ' | sed 's/ $//')"
    check "they start" inside systemctl start teleclaude.socket
    check "the session of before is known and ended" until_ok 10 status_is mel "$id" ended
    check "the audit log is whole" tc ada audit verify
}

group_purge() {
    local id
    id=$(begin mel shop --title purge) || { fail "mel starts a session"; return; }
    check "the package is purged while a session runs" inside dpkg --purge teleclaude
    same "the disk is as before the first installation" "" "$(diff <(echo "$tree_before") <(picture) | grep '^[<>]' || true)"
    refuses "the user is gone" inside getent passwd teleclaude
    refuses "the group too" inside getent group teleclaude
    check "no process of mel's is left" until_ok 10 nobody mel
    same "nothing is left in /run and /tmp" "" "$(inside find /run /tmp /var/tmp -name '*teleclaude*' -not -path '/run/systemd/*')"
    same "no unit is left" "" "$(inside systemctl list-units --all --plain --no-legend 'teleclaude*' | grep -v 'not-found' || true)"
    same "dpkg has forgotten it" "" "$(inside dpkg-query --show --showformat '${db:Status-Abbrev}' teleclaude 2>/dev/null | grep -v '^un' || true)"
}
