# shellcheck shell=bash
# An agent is its owner: uid, gid, groups, home, folder, environment, terminal, control group, and nothing of the
# daemon's.

group_agents() {
    local id other pid status environ uid gid cgroup tmp names
    id=$(begin mel shop --title agents) || { fail "mel starts a session"; return; }
    other=$(begin max shop --title agents) || { fail "max starts one beside it"; return; }
    pid=$(agent_pid "$id")
    [ -n "$pid" ] || { fail "the agent's process is found"; return; }
    uid=$(inside id -u mel)
    gid=$(inside id -g mel)
    status=$(inside cat "/proc/$pid/status")
    same "all four uids are mel's" "$uid $uid $uid $uid" "$(sed -n 's/^Uid:[[:space:]]*//p' <<<"$status" | tr '\t' ' ')"
    same "all four gids are mel's" "$gid $gid $gid $gid" "$(sed -n 's/^Gid:[[:space:]]*//p' <<<"$status" | tr '\t' ' ')"
    same "the groups are mel's" "$(inside id -G mel | tr ' ' '\n' | sort -n | paste -sd ' ')" \
        "$(sed -n 's/^Groups:[[:space:]]*//p' <<<"$status" | tr ' ' '\n' | grep . | sort -n | paste -sd ' ')"
    same "no capability, in any set" "CapAmb CapEff CapInh CapPrm" \
        "$(sed -n 's/^\(Cap\(Inh\|Prm\|Eff\|Amb\)\):[[:space:]]*0\{16\}$/\1/p' <<<"$status" | sort | paste -sd ' ')"
    same "no new privileges" 1 "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' <<<"$status")"
    same "the folder is the project" /srv/shop "$(inside readlink "/proc/$pid/cwd")"
    same "umask" 0022 "$(sed -n 's/^Umask:[[:space:]]*//p' <<<"$status")"

    environ=$(inside cat "/proc/$pid/environ" | tr '\0' '\n')
    names=$(cut -d = -f 1 <<<"$environ" | sort | paste -sd ' ')
    same "these variables and no others" \
        "COLORTERM HOME LANG LOGNAME PATH SHELL TELECLAUDE_SESSION TELECLAUDE_SOCKET TELECLAUDE_TOKEN TERM TMPDIR USER" "$names"
    holds "HOME is mel's" '^HOME=/home/mel$' "$environ"
    holds "USER is mel" '^USER=mel$' "$environ"
    holds "SHELL is mel's" '^SHELL=/bin/bash$' "$environ"
    lacks "no secret of the system in it" "$planted_secret" "$environ"
    tmp=$(sed -n 's/^TMPDIR=//p' <<<"$environ")
    same "TMPDIR is mel's alone" "700 mel" "$(inside stat --format '%a %U' "$tmp")"
    lacks "no secret and no token in any command line" "$planted_secret|$(sed -n 's/^TELECLAUDE_TOKEN=//p' <<<"$environ")" \
        "$(inside sh -c 'cat /proc/[0-9]*/cmdline' | tr '\0' ' ')"
    # 255 is bash's own, the terminal once more.
    same "no open file but the terminal" "0 1 2 255" \
        "$(inside sh -c "cd /proc/$pid/fd && for n in *; do case \$n\$(readlink \$n) in ?/dev/pts/*|255/dev/*) echo \$n ;; *) echo \$n is \$(readlink \$n) ;; esac; done" | paste -sd ' ')"

    cgroup=$(inside cat "/proc/$pid/cgroup")
    holds "it lives in a unit of its own" 'teleclaude-runner@[^/]*\.service' "$cgroup"
    lacks "not in the daemon's" '/teleclaude\.service' "$cgroup"
    refuses "and not in that of max's agent" test \
        "$(grep -o 'teleclaude-runner@[^/]*' <<<"$cgroup" | head -n 1)" = \
        "$(inside cat "/proc/$(agent_pid "$other")/cgroup" | grep -o 'teleclaude-runner@[^/]*' | head -n 1)"
    holds "its host is in the daemon's" '/teleclaude\.service' "$(inside cat "/proc/$(host_pid "$id")/cgroup")"

    holds "it does what it is told, as mel" '^mel /home/mel /srv/shop 0022$' "$(told mel "$id" "echo \$(id -un) \$HOME \$(pwd) \$(umask)")"
    holds "its terminal works" '^/dev/pts/[0-9]+$' "$(told mel "$id" 'tty </dev/tty; tty 0<&2 >/dev/null; tty')"
    holds "job control works" '^done$' "$(told mel "$id" 'sleep 60 & kill %1; wait %1; echo done')"
    refuses "sudo does not work in it, though mel may" grep -q '^0$' <<<"$(told mel "$id" 'sudo -n id -u')"
    told mel "$id" 'echo of mel >/srv/shop/file' >/dev/null
    same "what it writes is mel's" "mel:shop" "$(inside stat --format '%U:%G' /srv/shop/file)"
    holds "its words are in mel's transcript" 'of mel' "$(tc mel transcript "$id")"
    check "mel ends it" tc mel sessions end "$id"
    check "it is gone" until_ok 10 gone "$pid"
    check "so is its TMPDIR" until_ok 10 inside test ! -e "$tmp"
    check "max ends his" tc max sessions end "$other"
}
