# shellcheck shell=bash
# Homes and projects that nobody but their owner can look into.

group_homes() {
    local id pid
    exits 1 "the daemon's user cannot look into mel's project" inside runuser --user teleclaude -- sh -c 'ls /home/mel/den || exit 1'
    id=$(begin mel den --title homes) || { fail "a session starts in a project of mode 0700"; return; }
    ok "a session starts in a project of mode 0700"
    pid=$(agent_pid "$id")
    same "it runs in there" /home/mel/den "$(inside readlink "/proc/$pid/cwd")"
    holds "and can write there" '^written$' "$(told mel "$id" 'echo written >file && cat file')"
    same "as mel" "mel:mel" "$(inside stat --format '%U:%G' /home/mel/den/file)"
    check "mel ends it" tc mel sessions end "$id"
    refuses "max, for whom it is not, starts none there" tc max sessions start talker --project den
    refuses "nor in mel's home" tc max sessions start talker --project /home/mel
    refuses "nor in /" tc max sessions start talker --project /
}
