# shellcheck shell=bash
# From the "previous" version to this one, and across a reboot.

group_upgrade() {
    local id pid host before once
    id=$(begin mel shop --title upgrade) || { fail "mel starts a session"; return; }
    pid=$(agent_pid "$id")
    host=$(host_pid "$id")
    told mel "$id" 'remembered=yes' >/dev/null
    inside systemctl disable --quiet teleclaude-runner.socket
    before=$(daemon_pid)
    check "the next version installs over it" inside dpkg --install "/root/$(basename "$new_deb")"
    same "it is the new one" "$version" "$(inside dpkg-query --show --showformat '${Version}' teleclaude)"
    check "the daemon was restarted" another_daemon "$before"
    same_session upgrade
    same "what was disabled stays disabled" disabled "$(inside systemctl is-enabled teleclaude-runner.socket || true)"
    inside systemctl enable --quiet teleclaude-runner.socket
    same "the config of before is in force" "mel member $(inside id -u mel)" "$(who_is mel)"
    same "no question was left about a config" "" "$(inside find /etc/teleclaude -name '*.dpkg-*')"
    once=$(picture)
    check "the same version again" inside dpkg --install "/root/$(basename "$new_deb")"
    same "twice is the same as once" "" "$(diff <(echo "$once") <(picture) | grep '^[<>]' | grep -v /var/lib/teleclaude/ || true)"
    same_session "a second installation"
    check "mel ends it" tc mel sessions end "$id"
}

group_reboot() {
    local id ended seconds=$SECONDS
    ended=$(begin mel shop --title "before the reboot") || { fail "mel starts a session"; return; }
    tc mel sessions end "$ended" >/dev/null
    until_ok 10 status_is mel "$ended" ended || true
    id=$(begin mel shop --title "over the reboot") || { fail "mel starts another"; return; }
    told mel "$id" 'echo words from before >/dev/tty' >/dev/null
    halt
    boot
    ok "the machine is up again, after $((SECONDS - seconds)) s"
    same "the sockets are back" "active active" \
        "$(inside systemctl is-active teleclaude.socket teleclaude-runner.socket | tr '\n' ' ' | sed 's/ $//')"
    same "with the modes of before" "666 root:root, 600 teleclaude:teleclaude" \
        "$(inside stat --format '%a %U:%G' /run/teleclaude.sock /run/teleclaude-runner.sock | paste -sd , | sed 's/,/, /')"
    same "mel is still mel" "mel member $(inside id -u mel)" "$(who_is mel)"
    check "the session is ended" until_ok 20 status_is mel "$id" ended
    # An orderly shutdown ends the agent first, and a host may still see that and write it down.
    holds "and how is said" '^(lost|signal (1|9|15))$' "$(tc mel --json sessions show "$id" | field exit)"
    check "what ended before is as it was" status_is mel "$ended" ended
    holds "what it had shown is kept" 'words from before' "$(tc mel transcript "$id")"
    check "the audit log is whole" tc ada audit verify
    id=$(begin mel shop --title "after the reboot") || { fail "a new session starts"; return; }
    ok "a new one starts"

    told mel "$id" 'echo words before the power went >/dev/tty; sleep 1' >/dev/null
    power_off
    boot
    ok "the machine is up again after its power went"
    check "the session is ended" until_ok 20 status_is mel "$id" ended
    same "and is lost" lost "$(tc mel --json sessions show "$id" | field exit)"
    holds "what it had shown is kept" 'words before the power went' "$(tc mel transcript "$id")"
    check "the audit log is whole" tc ada audit verify
}
