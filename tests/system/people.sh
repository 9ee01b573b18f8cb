# shellcheck shell=bash
# The people of the machine, the config that says who they are, and how a check asks the daemon as one of them.
# Needs machine.sh and report.sh.

# What nobody but root and the daemon may ever see.
planted_secret=invented-secret-of-the-system

# An administrator, two members who share a project, and somebody whom the config does not know.
prepare_people() {
    local user
    inside groupadd shop
    for user in ada mel max zoe; do
        inside useradd --create-home --shell /bin/bash "$user"
        inside chmod 0700 "/home/$user"
    done
    inside usermod --append --groups shop mel
    inside usermod --append --groups shop max
    # A project for several, and one that nobody but its owner can even look into.
    inside install -d -o root -g shop -m 2775 /srv/shop
    inside install -d -o mel -g mel -m 0700 /home/mel/den
    as mel git init --quiet --initial-branch=main /home/mel/den
    as mel git -C /home/mel/den -c user.name=mel -c user.email=mel@example.org commit --quiet --allow-empty -m first
    # Whoever may use sudo may not use it from an agent.
    printf 'mel ALL=(ALL) NOPASSWD: ALL\n' >"$machine/tree/etc/sudoers.d/mel"
    chmod 0440 "$machine/tree/etc/sudoers.d/mel"
}

# A drop-in, so that the config that was shipped is in force too.
write_config() {
    cat >"$machine/tree/etc/teleclaude/config.d/50-test.yml" <<'END'
people:
  - { name: ada, os_username: ada, role: admin }
  - { name: mel, os_username: mel, role: member }
  - { name: max, os_username: max, role: member }
projects:
  - { name: shop, path: /srv/shop, worktrees: true }
  - { name: den, path: /home/mel/den, people: [mel], worktrees: true }
agents:
  default: talker
  talker:
    enabled: true
    command: /bin/bash
    args: [--norc, --noprofile]
    profiles: { full: [], restricted: [] }
    env: [TALKER_KEY, ANTHROPIC_API_KEY]
END
    printf 'ANTHROPIC_API_KEY: %s\n' "$planted_secret" >"$machine/tree/etc/teleclaude/secrets.yml"
}

# `tc USER words…`: the command line as that user.
tc() {
    local user=$1
    shift
    if [ "$user" = root ]; then inside teleclaude "$@"; else as "$user" teleclaude "$@"; fi
}

# `field NAME`: the first value of that name in the JSON on stdin; texts and numbers only.
field() {
    grep -o "\"$1\": *\(\"[^\"]*\"\|[0-9.]*\)" | head -n 1 | sed 's/^"[^"]*": *//; s/^"//; s/"$//'
}

# `status_is USER ID STATUS`
status_is() { [ "$(tc "$1" --json sessions show "$2" | field status)" = "$3" ]; }

# `begin USER PROJECT [words…]`: starts a session that runs; prints its id, or nothing.
begin() {
    local user=$1 project=$2 answer id
    shift 2
    answer=$(tc "$user" --json sessions start talker --project "$project" "$@") || {
        echo "$answer" >&2
        return 1
    }
    id=$(field session_id <<<"$answer")
    until_ok 20 status_is "$user" "$id" running || {
        tc "$user" sessions show "$id" >&2
        return 1
    }
    echo "$id"
}

# `agent_pid ID`: the pid, in the machine, of the session's agent.
agent_pid() {
    # shellcheck disable=SC2016
    inside sh -c '
        for file in $(grep -lz "^TELECLAUDE_SESSION=$1\$" /proc/[0-9]*/environ 2>/dev/null); do
            pid=${file#/proc/}
            pid=${pid%/environ}
            [ "$(ps -o sid= -p "$pid" | tr -d " ")" = "$pid" ] || continue
            echo "$pid"
            break
        done' sh "$1"
}

# `host_pid ID`: that of the process that holds its terminal.
host_pid() { inside sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "/run/teleclaude/$1.json" | head -n 1; }

# `alive PID`
alive() { inside test -d "/proc/$1"; }
# `gone PID`
gone() { ! alive "$1"; }

# `daemon_pid`: of the running daemon; 0 if there is none.
daemon_pid() { inside systemctl show --property=MainPID --value teleclaude.service; }

# `told USER ID COMMAND`: has the session's shell run a command and prints what that wrote. The file it writes to is in
# the owner's home, since everything else is other people's too.
told() {
    local user=$1 id=$2 command=$3 name
    name=answer-$RANDOM$RANDOM
    tc "$user" sessions send "$id" "{ $command; } >\$HOME/$name.part 2>&1; mv \$HOME/$name.part \$HOME/$name" >/dev/null
    until_ok 20 inside test -e "/home/$user/$name" || {
        echo "the agent did not answer"
        return 1
    }
    inside cat "/home/$user/$name"
    inside rm "/home/$user/$name"
}
