# shellcheck shell=bash
# What docker-compose.yml and packaging/docker/ set up, without an engine: the image's config and user, the compose
# file's credentials folder, socket folder and health check, and PostgreSQL by password under the name `postgres`.

group_container() {
    local password socket=/run/teleclaude-socket/teleclaude.sock id
    inside dpkg --purge teleclaude >/dev/null 2>&1 || true
    inside groupadd --gid 10001 teleclaude
    inside useradd --uid 10001 --gid 10001 --no-log-init --no-create-home teleclaude
    install -m 755 "$bin_dir/teleclaude" "$machine/tree/usr/local/bin/teleclaude"
    install -D -m 644 packaging/docker/config.yml "$machine/tree/etc/teleclaude/config.yml"
    # The one thing that the image leaves to its user: an agent.
    install -d "$machine/tree/etc/teleclaude/config.d"
    printf 'agents: { shell: { enabled: true, command: /bin/bash, args: [--norc, --noprofile] } }\n' \
        >"$machine/tree/etc/teleclaude/config.d/agent.yml"
    inside install -d -o 10001 -g 10001 -m 0700 /var/lib/teleclaude /run/teleclaude /run/container-secrets
    inside install -d -o 10001 -g 10001 -m 0755 /run/teleclaude-socket /srv/projects
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s' "$password" >"$machine/password"
    inside install -o 10001 -g 10001 -m 0400 /dev/stdin /run/container-secrets/database.password <"$machine/password"
    echo '127.0.0.1 postgres' >>"$machine/tree/etc/hosts"
    inside systemctl --quiet unmask postgresql.service
    inside systemctl daemon-reload
    inside systemctl start postgresql@15-main.service
    inside runuser --user postgres -- psql -Xq >/dev/null 2>&1 <<END
DROP DATABASE IF EXISTS teleclaude;
DROP ROLE IF EXISTS teleclaude;
CREATE ROLE teleclaude LOGIN PASSWORD '$password';
CREATE DATABASE teleclaude OWNER teleclaude;
END

    check "the image's config is right" inside env TELECLAUDE_SYSTEM_MODE=1 teleclaude config check
    check "the daemon starts as the image's user" inside systemd-run --quiet --unit=container --uid=10001 --gid=10001 \
        --property=NoNewPrivileges=yes --property=CapabilityBoundingSet= --setenv=TELECLAUDE_SYSTEM_MODE=1 \
        --setenv=CREDENTIALS_DIRECTORY=/run/container-secrets --setenv=HOME=/srv/projects /usr/local/bin/teleclaude daemon
    check "its health check, as its user, is content" until_ok 30 inside setpriv --reuid=10001 --regid=10001 \
        --clear-groups teleclaude --socket "$socket" health
    holds "ann is whoever has the uid of the config" '"person":"ann"' "$(tc ada --socket "$socket" --json whoami)"
    holds "the database is PostgreSQL" 'postgresql' "$(tc ada --socket "$socket" --json health)"
    holds "nobody else is known" '"role":"public"' "$(tc mel --socket "$socket" --json whoami)"
    id=$(tc ada --socket "$socket" --json sessions start shell --project work | field session_id)
    check "an agent runs" until_ok 20 session_runs "$socket" "$id"
    same "as the daemon's user, as is said of run_as: service" 10001 "$(inside ps -o uid= -p "$(agent_pid "$id")" | tr -d ' ')"
    lacks "without the database's password" "$password" "$(inside cat "/proc/$(agent_pid "$id")/environ" | tr '\0' '\n')"
    lacks "which is in no log" "$password" "$(inside journalctl --boot --no-pager --unit=container.service)"
    inside systemctl stop container.service
    check "with the container everything ends" until_ok 10 nobody 10001
    inside rm -r /etc/teleclaude /var/lib/teleclaude /run/teleclaude /run/teleclaude-socket /run/container-secrets
    inside rm /usr/local/bin/teleclaude
    inside userdel teleclaude
    inside systemctl stop postgresql@15-main.service
}

session_runs() { [ "$(tc ada --socket "$1" --json sessions show "$2" | field status)" = running ]; }
