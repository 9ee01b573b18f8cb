# shellcheck shell=bash
# What ends a session, and that nothing of its tree stays: not what left its process group, not what ignores signals.

# `messy USER ID`: has the agent start what is hard to end; prints the pids.
messy() {
    told "$1" "$2" "setsid nohup sleep 1001 >/dev/null 2>&1 & \
        (setsid sh -c 'trap \"\" TERM HUP INT; (setsid sleep 1002 &) ; while :; do sleep 1; done' >/dev/null 2>&1 &) ; \
        sleep 0.5; pgrep -u $1 -f 'sleep 100[12]|trap' | paste -sd ' '"
}

# `all_gone PID…`
all_gone() {
    local pid
    for pid in "$@"; do gone "$pid" || return 1; done
}

# `dies_by TEXT EXIT KILLED`: a session whose process KILLED (agent, host or runner) is killed.
dies_by() {
    local id pid victim tree shown
    id=$(begin mel shop --title "dies by $3") || { fail "mel starts a session"; return; }
    pid=$(agent_pid "$id")
    tree=$(messy mel "$id")
    holds "$1: there is something to clean up" '[0-9]+ [0-9]+' "$tree"
    case $3 in
    agent) victim=$pid ;;
    host) victim=$(host_pid "$id") ;;
    runner) victim=$(inside systemctl show --property=MainPID --value "$(inside cat "/proc/$pid/cgroup" |
        grep -o 'teleclaude-runner@[^/]*\.service' | head -n 1)") ;;
    esac
    inside kill -KILL "$victim"
    check "$1: the session is ended" until_ok 30 status_is mel "$id" ended
    shown=$(tc mel --json sessions show "$id" | field exit)
    holds "$1: how is said" "$2" "$shown"
    # shellcheck disable=SC2086
    check "$1: nothing of its tree is left" until_ok 15 all_gone $pid $tree
}

group_dies() {
    local id pid units other
    dies_by "kill -9 of the agent" '^signal 9$' agent
    dies_by "kill -9 of the host" '^lost$' host
    dies_by "kill -9 of the runner" '^lost$' runner

    id=$(begin mel shop --title exit) || { fail "mel starts a session"; return; }
    tc mel sessions send "$id" "exit 7" >/dev/null
    check "an agent that exits ends its session" until_ok 20 status_is mel "$id" ended
    same "with its code" "code 7" "$(tc mel --json sessions show "$id" | field exit)"

    id=$(begin mel shop --title end) || { fail "mel starts a session"; return; }
    pid=$(agent_pid "$id")
    messy mel "$id" >/dev/null
    check "mel ends a messy one" tc mel sessions end "$id"
    check "its agent is gone" until_ok 20 gone "$pid"
    begin mel shop --title "one of two" >/dev/null || fail "mel starts one"
    begin mel den --title "two of two" >/dev/null || fail "mel starts another"
    other=$(begin max shop --title "not hers") || fail "max starts one"
    check "mel ends all of hers" tc mel sessions end --all --yes
    check "and none of max's" status_is max "$other" running
    check "ada ends everybody's, with a reason" tc ada sessions end --all --yes --reason "closing time"
    check "max's is ended" until_ok 10 status_is max "$other" ended
    check "no process of max's is left" until_ok 20 nobody max
    check "no process of mel's is left" until_ok 20 nobody mel
    check "no unit of a runner is left" until_ok 10 no_runner
    units=$(inside systemctl list-units --failed --plain --no-legend 'teleclaude*')
    same "no unit of ours has failed" "" "$units"
    same "no lock, socket or run file of a host is left" "" "$(inside ls /run/teleclaude)"
}

# `nobody USER`: they have no process.
nobody() { ! inside pgrep -u "$1"; }
no_runner() { [ -z "$(inside systemctl list-units --all --plain --no-legend 'teleclaude-runner@*')" ]; }
