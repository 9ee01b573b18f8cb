# shellcheck shell=bash
# A new config comes into force without touching a session, and a wrong one changes nothing.

group_reload() {
    local id pid file=$machine/tree/etc/teleclaude/config.d/60-change.yml daemon
    id=$(begin mel shop --title reload) || { fail "mel starts a session"; return; }
    pid=$(agent_pid "$id")
    daemon=$(daemon_pid)
    printf 'people:\n  - { name: ada, os_username: ada, role: admin }\n  - { name: mel, os_username: mel, role: member }\n' >"$file"
    echo '  - { name: max, os_username: max, role: newcomer }' >>"$file"
    check "systemctl reload" inside systemctl reload teleclaude.service
    check "max is a newcomer now" until_ok 5 max_is newcomer
    exits 4 "and starts no session any more" tc max sessions start talker --project shop
    printf 'access: { deny: [max] }\n' >"$file"
    inside systemctl reload teleclaude.service
    check "who is denied is refused at once" until_ok 5 is_refused max
    printf 'people: 7\n' >"$file"
    inside systemctl reload teleclaude.service
    check "a wrong config is said to the journal" until_ok 10 journal_has 'old config stays in force'
    check "and the old one stays" is_refused max
    rm "$file"
    inside systemctl reload teleclaude.service
    check "max is a member again" until_ok 5 max_is member
    same "the daemon is the same" "$daemon" "$(daemon_pid)"
    check "so is mel's agent" alive "$pid"
    holds "and it listens" '^still$' "$(told mel "$id" 'echo still')"
    check "mel ends it" tc mel sessions end "$id"
}

is_refused() { [ -n "$(tc "$1" --json whoami | field refused)" ] && ! tc "$1" sessions; }

max_is() { [ "$(tc max --json whoami | field role)" = "$1" ]; }

# The journal of the daemon since the machine booted.
journal_has() { inside journalctl --unit=teleclaude.service --no-pager --boot | grep -Eq -- "$1"; }
