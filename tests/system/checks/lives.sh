# shellcheck shell=bash
# What a session outlives: a restart of the daemon, its sudden death, and its stop.

group_lives() {
    local id pid host before
    id=$(begin mel shop --title lives) || { fail "mel starts a session"; return; }
    pid=$(agent_pid "$id")
    host=$(host_pid "$id")
    told mel "$id" 'remembered=yes' >/dev/null

    before=$(daemon_pid)
    check "systemctl restart" inside systemctl restart teleclaude.service
    refuses "it is another daemon" test "$before" = "$(daemon_pid)"
    same_session restart

    before=$(daemon_pid)
    inside kill -KILL "$before"
    check "killed, it comes back" until_ok 20 another_daemon "$before"
    same_session "kill -9 of the daemon"

    check "systemctl stop, the socket stays" inside systemctl stop teleclaude.service
    check "the agent runs without a daemon" alive "$pid"
    check "who asks next starts it" tc mel whoami
    same_session stop

    # A daemon that hangs does not feed its watchdog, which is made impatient here.
    inside install -d /run/systemd/system/teleclaude.service.d
    printf '[Service]\nWatchdogSec=2\n' | inside tee /run/systemd/system/teleclaude.service.d/impatient.conf >/dev/null
    inside systemctl daemon-reload
    inside systemctl restart teleclaude.service
    before=$(daemon_pid)
    inside sleep 3
    same "a daemon that is well feeds its watchdog" "$before" "$(daemon_pid)"
    inside kill -STOP "$before"
    check "one that hangs is replaced" until_ok 20 another_daemon "$before"
    same_session "the watchdog"
    inside rm -r /run/systemd/system/teleclaude.service.d
    inside systemctl daemon-reload
    inside systemctl restart teleclaude.service

    check "mel ends it" tc mel sessions end "$id"
    check "the agent is gone" until_ok 10 gone "$pid"
    check "and its host" until_ok 10 gone "$host"
}

another_daemon() {
    local now
    now=$(daemon_pid)
    [ "$now" != 0 ] && [ "$now" != "$1" ]
}

# Uses id, pid and host of its caller.
same_session() {
    check "after $1 the session runs" until_ok 10 status_is mel "$id" running
    check "after $1 its host and agent are the same" alive "$host"
    same "after $1 the agent has its pid" "$pid" "$(agent_pid "$id")"
    holds "after $1 it remembers and answers" '^yes$' "$(told mel "$id" 'echo $remembered')"
}
