# shellcheck shell=bash
# The first installation, of the "previous" version: what it makes, that it starts nothing, that the socket starts the
# daemon, and what systemd thinks of its units. Leaves the service running with the config of people.sh.

group_install() {
    local score verify
    tree_before=$(picture)
    cp "$old_deb" "$new_deb" "$machine/tree/root/"
    check "the deb installs, with apt" inside apt-get --yes --quiet install "/root/$(basename "$old_deb")"
    same "the sockets are enabled" "enabled enabled" \
        "$(inside systemctl is-enabled teleclaude.socket teleclaude-runner.socket | tr '\n' ' ' | sed 's/ $//')"
    same "nothing is started" "inactive inactive inactive" \
        "$(inside systemctl is-active teleclaude.socket teleclaude-runner.socket teleclaude.service | tr '\n' ' ' | sed 's/ $//')"
    holds "the service user has no login and no home" '^teleclaude:[^:]*:[0-9]{3}:[0-9]{3}:[^:]*:/nonexistent:/usr/sbin/nologin$' \
        "$(inside getent passwd teleclaude)"
    same "modes and owners of its folders" \
        "755 root:root /etc/teleclaude, 644 root:root /etc/teleclaude/config.yml, 600 root:root /etc/teleclaude/secrets.yml, 700 teleclaude:teleclaude /var/lib/teleclaude, 750 teleclaude:teleclaude /run/teleclaude" \
        "$(inside stat --format '%a %U:%G %n' /etc/teleclaude /etc/teleclaude/config.yml /etc/teleclaude/secrets.yml \
            /var/lib/teleclaude /run/teleclaude | paste -sd , | sed 's/,/, /g')"
    check "the shipped config is right" inside teleclaude config check
    check "the completions are bash" inside bash -n /usr/share/bash-completion/completions/teleclaude
    verify=$(inside systemd-analyze verify --man=no teleclaude.service teleclaude.socket teleclaude-runner.socket \
        teleclaude-runner@1.service 2>&1 | grep -i teleclaude || true)
    same "systemd-analyze verify has nothing to say" "" "$verify"

    write_config
    check "the config with people is right" inside teleclaude config check
    check "the socket starts" inside systemctl start teleclaude.socket
    check "the runner's socket starts with it" until_ok 5 inside systemctl is-active teleclaude-runner.socket
    same "the daemon waits for somebody" inactive "$(inside systemctl is-active teleclaude.service)"
    same "the socket is for everybody, the runner's for the daemon" "666 root:root, 600 teleclaude:teleclaude" \
        "$(inside stat --format '%a %U:%G' /run/teleclaude.sock /run/teleclaude-runner.sock | paste -sd , | sed 's/,/, /')"
    check "the first who asks starts the daemon" tc ada whoami
    same "the daemon is active" active "$(inside systemctl is-active teleclaude.service)"
    same "it runs as its own user" teleclaude "$(inside ps -o euser= -p "$(daemon_pid)")"
    same "it has no capability" "0000000000000000" \
        "$(inside sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$(daemon_pid)/status")"
    check "it is well" tc ada health

    inside systemd-analyze security teleclaude.service --no-pager | tail -n 1
    score=$(inside systemd-analyze security teleclaude.service --no-pager | grep -o 'level for [^:]*: [0-9.]*' | grep -o '[0-9.]*$')
    check "systemd-analyze security: $score, at most 1.5" awk -v score="$score" 'BEGIN { exit !(score != "" && score <= 1.5) }'
}

# Everything on the disk, for comparing: kind, mode, owner, name, where a link points to, and what is in a file. What the
# system itself writes while it runs, backups of the user database, dpkg's own books and the people's own files are left
# out.
picture() {
    inside sh -c '
        cd /
        everything() {
            find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./var/tmp -o -path ./root \
                -o -path ./home -o -path ./var/log -o -path ./var/lib/dpkg -o -path ./var/lib/apt -o -path ./var/lib/systemd \
                -o -path ./var/lib/private -o -path ./var/lib/postgresql -o -path ./var/lib/rpm -o -path ./var/cache \
                -o -path ./etc/machine-id -o -path ./srv -o -path "./etc/*-" \) -prune -o "$@"
        }
        everything -printf "%p %y %m %u:%g %l\n" | sort
        # Of the large libraries of others the list above is enough.
        everything \( -path "./usr/lib/*-linux-gnu" -o -path "./usr/lib/llvm*" -o -path ./usr/lib/postgresql \
            -o -path "./usr/lib/python*" -o -path ./usr/lib/git-core -o -path ./usr/share/perl \) -prune \
            -o -type f -print0 | sort -z | xargs -0 sha256sum'
}
