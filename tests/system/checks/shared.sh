# shellcheck shell=bash
# sessions.run_as: service, with the drop-in that the package ships as an example: agents are the service user's.

group_shared() {
    local id pid unit=/etc/systemd/system/teleclaude.service.d seen
    printf 'sessions: { run_as: service }\n' >"$machine/tree/etc/teleclaude/config.d/60-shared.yml"
    inside install -d "$unit"
    inside install -m 644 /usr/share/doc/teleclaude/examples/run-as-service.conf "$unit/"
    inside systemctl daemon-reload
    check "the daemon starts with the example drop-in" inside systemctl restart teleclaude.service
    inside usermod --append --groups shop teleclaude
    inside systemctl restart teleclaude.service
    if id=$(begin mel shop --title shared); then
        pid=$(agent_pid "$id")
        same "the agent is the service user's" teleclaude "$(inside ps -o euser= -p "$pid")"
        holds "in the daemon's control group" '/teleclaude\.service' "$(inside cat "/proc/$pid/cgroup")"
        # mmap, readable, writable and executable at once.
        tc mel sessions send "$id" "perl -e 'print \"jit \", syscall($(mmap_number), 0, 4096, 7, 0x22, -1, 0) == -1 ? \"refused\" : \"works\", \"\\n\"'" >/dev/null
        check "a JIT works in it" until_ok 10 shows mel "$id" '^jit works'
        check "mel ends it" tc mel sessions end "$id"
        check "it is gone" until_ok 20 gone "$pid"
    else
        fail "mel starts a session"
    fi
    seen=$(inside systemd-analyze security teleclaude.service --no-pager | tail -n 1)
    echo "      ($seen)"
    rm "$machine/tree/etc/teleclaude/config.d/60-shared.yml"
    inside rm -r "$unit"
    inside gpasswd --delete teleclaude shop >/dev/null
    inside systemctl daemon-reload
    inside systemctl restart teleclaude.service
}

# `shows USER ID PATTERN`: their transcript of it has this.
shows() { tc "$1" transcript "$2" | grep -Eq -- "$3"; }

mmap_number() { if [ "$(uname -m)" = x86_64 ]; then echo 9; else echo 222; fi; }
