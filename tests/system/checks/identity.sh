# shellcheck shell=bash
# Who each user is to the daemon, and that the unmapped one gets nothing.

# `who_is USER` prints "person role uid", "-" where there is no person.
who_is() {
    local answer
    answer=$(tc "$1" --json whoami)
    printf '%s %s %s' "$(field person <<<"$answer" | grep . || echo -)" "$(field role <<<"$answer")" "$(field uid <<<"$answer")"
}

group_identity() {
    local user word unknown=01890000-0000-7000-8000-000000000000 id flood
    same "ada is the administrator" "ada admin $(inside id -u ada)" "$(who_is ada)"
    same "mel is a member" "mel member $(inside id -u mel)" "$(who_is mel)"
    same "max is a member" "max member $(inside id -u max)" "$(who_is max)"
    same "zoe is nobody known" "- public $(inside id -u zoe)" "$(who_is zoe)"
    same "root is nobody special" "- public 0" "$(who_is root)"
    holds "what one says of oneself changes nothing" '"role": *"public"' \
        "$(as zoe env USER=ada LOGNAME=ada SUDO_USER=ada TELECLAUDE_SESSION=ada teleclaude --json whoami)"

    # What somebody may not ask for at all answers as if it did not exist: exit code 4, not 3.
    for word in "sessions" "projects" "agents" "audit list" "people explain mel"; do
        # shellcheck disable=SC2086
        exits 4 "zoe gets nothing: $word" tc zoe $word
    done
    exits 4 "zoe starts no session" tc zoe sessions start talker --project shop
    for word in "audit list" "reload" "people explain max"; do
        # shellcheck disable=SC2086
        exits 4 "mel may not: $word" tc mel $word
    done
    check "ada may read the audit log" tc ada audit list

    # The same over MCP, through the bridge that editors start, and over HTTP, without any program of ours.
    for user in ada mel zoe; do
        holds "MCP takes $user for $user" "\"uid\": ?$(inside id -u "$user")[,}]" "$(over_mcp "$user" whoami)"
        holds "and so does HTTP" "\"uid\": ?$(inside id -u "$user")[,}]" "$(over_http "$user" /api/v1/whoami)"
    done
    holds "MCP gives mel her tools" 'list_sessions' "$(over_mcp mel tools)"
    lacks "and zoe none of them" 'list_sessions|start_session' "$(over_mcp zoe tools)"
    holds "a header changes nothing" '"role": ?"public"' "$(over_http zoe /api/v1/whoami 'X-Remote-User: ada')"

    # 400 connections of somebody unknown, held open.
    as zoe python3 -c '
import socket, time
held = []
for _ in range(400):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect("/run/teleclaude.sock")
    except OSError:
        continue
    held.append(s)
print("held", flush=True)
time.sleep(30)' >"$machine/flood" 2>&1 &
    flood=$!
    check "zoe opens hundreds of connections" until_ok 20 grep -q held "$machine/flood"
    check "and mel does not notice" timeout 5 nsenter --target "$leader" --mount --pid --root -- \
        runuser --user mel -- teleclaude whoami
    inside pkill -u zoe
    wait "$flood" 2>/dev/null || true

    id=$(begin mel shop --title identity) || { fail "mel starts a session"; return; }
    for user in max zoe; do
        same "to $user mel's session is as one that is not there" \
            "$(tc "$user" --json sessions show "$unknown" 2>&1 | sed "s/$unknown/ID/g")" \
            "$(tc "$user" --json sessions show "$id" 2>&1 | sed "s/$id/ID/g")"
    done
    lacks "max does not find it in a list" "$id" "$(tc max --json sessions; echo .)"
    holds "ada sees that it exists" "$id" "$(tc ada --json sessions)"
    check "mel ends it" tc mel sessions end "$id"
}

# `over_mcp USER TOOL`: what the bridge answers to a call of this tool, or to the list of tools.
over_mcp() {
    local user=$1 call='"method":"tools/list","params":{}'
    [ "$2" = tools ] || call='"method":"tools/call","params":{"name":"'$2'","arguments":{}}'
    printf '%s\n' \
        '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}' \
        '{"jsonrpc":"2.0","method":"notifications/initialized"}' \
        '{"jsonrpc":"2.0","id":2,'"$call"'}' |
        as "$user" sh -c '
            answers=$(mktemp)
            {
                cat
                # The bridge ends with its input, so that stays open until the answer is there.
                tries=100
                until grep -q "\"id\":2" "$answers" || [ "$tries" = 0 ]; do
                    tries=$((tries - 1))
                    sleep 0.1
                done
            } | teleclaude mcp >"$answers"
            grep "\"id\":2" "$answers"
            rm "$answers"'
}

# `over_http USER PATH [HEADER]`
over_http() {
    as "$1" python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect("/run/teleclaude.sock")
lines = ["GET " + sys.argv[1] + " HTTP/1.1", "Host: localhost", "Connection: close"] + sys.argv[2:]
s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
while part := s.recv(65536):
    sys.stdout.write(part.decode())' "$2" "${@:3}"
}
