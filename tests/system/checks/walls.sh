# shellcheck shell=bash
# What one person cannot do to another, an agent to the daemon, and a person to an agent that is not theirs.

group_walls() {
    local id other pid host daemon tty word database
    id=$(begin mel shop --title walls) || { fail "mel starts a session"; return; }
    other=$(begin max shop --title walls) || { fail "max starts one beside it"; return; }
    pid=$(agent_pid "$id")
    host=$(host_pid "$id")
    daemon=$(daemon_pid)
    tty=$(inside readlink "/proc/$pid/fd/0")
    database=/var/lib/teleclaude/teleclaude.db

    # The same, once as max, and once as max's agent.
    declare -A tries=(
        ["signal mel's agent"]="kill -0 $pid"
        ["signal mel's host"]="kill -0 $host"
        ["signal the daemon"]="kill -0 $daemon"
        ["trace mel's agent"]="timeout 5 strace -p $pid -o /dev/null"
        ["read the environment of mel's agent"]="cat /proc/$pid/environ"
        ["read the memory of mel's agent"]="head -c 1 /proc/$pid/mem"
        ["look into the folder of mel's agent"]="ls /proc/$pid/cwd/"
        ["read mel's terminal"]="head -c 1 <$tty"
        ["write to mel's terminal"]="sh -c 'echo x >$tty'"
        ["reach the runner"]="python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"/run/teleclaude-runner.sock\")'"
        ["list the hosts' sockets"]="ls /run/teleclaude"
        ["list the state"]="ls /var/lib/teleclaude"
        ["read the database"]="cat $database"
        ["list the recordings"]="ls /var/lib/teleclaude/recordings"
        ["read the secrets"]="cat /etc/teleclaude/secrets.yml"
        ["read the daemon's credentials"]="cat /run/credentials/teleclaude.service/secrets.yml"
        ["read the daemon's environment"]="cat /proc/$daemon/environ"
        ["trace the daemon"]="timeout 5 strace -p $daemon -o /dev/null"
        ["enter mel's home"]="ls /home/mel"
    )
    # What is refused is there, and the tools themselves work, so a refusal is one.
    for word in "$database" /var/lib/teleclaude/recordings /etc/teleclaude/secrets.yml \
        /run/credentials/teleclaude.service/secrets.yml /run/teleclaude /run/teleclaude-runner.sock "$tty" /home/mel; do
        check "$word is there" inside test -e "$word"
    done
    check "max can trace what is his" as max strace -o /dev/null true
    check "and connect to the daemon" as max python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect("/run/teleclaude.sock")'
    check "and signal what is his" as max sh -c "kill -0 $(agent_pid "$other") && cat /proc/$(agent_pid "$other")/environ >/dev/null"
    for word in "${!tries[@]}"; do
        exits 1 "max cannot $word" as max sh -c "{ ${tries[$word]}; } 2>&1 || exit 1"
    done
    for word in "${!tries[@]}"; do
        holds "max's agent cannot $word" '^refused$' "$(told max "$other" "{ ${tries[$word]}; } >/dev/null 2>&1 && echo done || echo refused")"
    done
    # An agent is less than its owner in what is the daemon's, the owner's own agent too.
    for word in "signal mel's host" "signal the daemon" "reach the runner" "list the hosts' sockets" "list the state" \
        "read the database" "list the recordings" "read the secrets" "read the daemon's credentials" \
        "read the daemon's environment" "trace the daemon"; do
        holds "mel's own agent cannot $word" '^refused$' "$(told mel "$id" "{ ${tries[$word]}; } >/dev/null 2>&1 && echo done || echo refused")"
    done

    # Root may open the socket, but the runner knows its one client.
    holds "the runner refuses root" 'uid 0 asks' "$(inside python3 -c '
import socket
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect("/run/teleclaude-runner.sock")
print(s.recv(4096))' 2>&1)"
    check "and says so in the journal" until_ok 5 journal_of_runner 'refused: uid 0 asks'

    # An agent is recognised by its token, and without one by where it runs.
    holds "mel's agent is known as an agent" '"agent_of"' "$(told mel "$id" 'teleclaude --json whoami')"
    holds "without its token too" '"agent_of"' \
        "$(told mel "$id" 'env -u TELECLAUDE_TOKEN -u TELECLAUDE_SESSION teleclaude --json whoami')"
    lacks "mel herself is not" '"agent_of"' "$(tc mel --json whoami)"

    exits 4 "max cannot read mel's transcript" tc max transcript "$id"
    exits 4 "nor with a reason" tc max transcript "$id" --reason curious
    exits 4 "nor send to it" tc max sessions send "$id" "echo hello"
    exits 4 "nor end it" tc max sessions end "$id"
    check "it still runs" status_is mel "$id" running

    told mel "$id" 'echo words of mel; echo words of mel >/dev/tty' >/dev/null
    refuses "ada reads it only with a reason" tc ada transcript "$id"
    lacks "and an administrator's list shows nothing of it" 'words of mel' "$(tc ada --json sessions)"
    check "with one she does" tc ada transcript "$id" --reason "checking the walls"
    holds "which is written down" 'checking the walls' "$(tc ada --json audit list)"
    check "the audit log is whole" tc ada audit verify
    for word in "$id" "$other"; do tc root sessions end "$word" >/dev/null 2>&1 || true; done
    check "root, who is nobody, ended neither" status_is mel "$id" running
    check "mel ends hers" tc mel sessions end "$id"
    check "max ends his" tc max sessions end "$other"
}

journal_of_runner() { inside journalctl --boot --no-pager --unit='teleclaude-runner@*' | grep -Eq -- "$1"; }
