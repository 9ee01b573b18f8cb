# shellcheck shell=bash
# bin/install-system.sh --with-postgres with the server of this Debian: peer authentication, one role that owns the
# tables and one for the daemon, which can add to the audit log and change nothing in it. Runs after `script`.

group_postgres() {
    local id table
    inside dpkg --purge teleclaude >/dev/null 2>&1 || true
    copy_source
    inside systemctl --quiet unmask postgresql.service
    inside systemctl daemon-reload
    check "the server starts" inside systemctl start postgresql@15-main.service
    check "the script installs with it" install_script --with-postgres
    holds "its config says so" 'engine: postgresql' "$(inside cat /etc/teleclaude/config.yml)"
    check "and again, with nothing to say against it" install_script --with-postgres
    inside install -d /etc/teleclaude/config.d
    write_config
    check "the config is right" inside teleclaude config check
    check "the socket starts" inside systemctl start teleclaude.socket
    same "mel is who she is" "mel member $(inside id -u mel)" "$(who_is mel)"
    check "the daemon is well" tc ada health
    holds "its database is PostgreSQL" 'postgresql' "$(tc ada --json health)"
    check "no file of SQLite was made" inside test ! -e /var/lib/teleclaude/teleclaude.db

    id=$(begin mel shop --title postgres) || { fail "mel starts a session"; return; }
    holds "it listens" '^listens$' "$(told mel "$id" 'echo listens')"
    check "the daemon restarts" inside systemctl restart teleclaude.service
    check "the session goes on" until_ok 10 status_is mel "$id" running
    check "ada reads it with a reason" tc ada transcript "$id" --reason "on PostgreSQL"
    check "the audit log is whole" tc ada audit verify
    check "the server restarts under it" inside systemctl restart postgresql@15-main.service
    check "and is found again" until_ok 20 status_is mel "$id" running

    table=$(inside runuser --user postgres -- psql -XAtqc \
        "SELECT tablename FROM pg_tables WHERE tablename LIKE 'audit\\_%' ORDER BY 1 LIMIT 1" teleclaude)
    holds "there is an audit table" '^audit_' "$table"
    check "the daemon's user reads it" inside runuser --user teleclaude -- psql -Xqc "SELECT count(*) FROM $table" teleclaude
    refuses "but deletes nothing from it" inside runuser --user teleclaude -- psql -Xqc "DELETE FROM $table" teleclaude
    refuses "and drops nothing" inside runuser --user teleclaude -- psql -Xqc "DROP TABLE $table" teleclaude
    refuses "mel gets into the database neither as herself" as mel psql -Xqc 'SELECT 1' teleclaude
    refuses "nor as the daemon" as mel psql -Xqc 'SELECT 1' teleclaude teleclaude
    holds "nor does her agent" '^refused$' \
        "$(told mel "$id" 'psql -Xqc "SELECT 1" teleclaude teleclaude >/dev/null 2>&1 && echo done || echo refused')"
    check "mel ends it" tc mel sessions end "$id"

    rm "$machine/tree/etc/teleclaude/config.d/50-test.yml"
    check "the script purges" install_script --purge --yes
    check "and leaves the database to its administrator" inside runuser --user postgres -- psql -Xqc 'SELECT 1' teleclaude
}
