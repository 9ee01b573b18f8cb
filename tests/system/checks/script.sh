# shellcheck shell=bash
# bin/install-system.sh on the same machine, after the package is gone: twice is the same as once, it works, and its own
# removal leaves nothing.

group_script() {
    local before once twice id
    # Where only this group runs the package is still there.
    inside dpkg --purge teleclaude >/dev/null 2>&1 || true
    before=$(picture)
    copy_source

    check "a dry run" install_script --dry-run
    same "changes nothing" "" "$(diff <(echo "$before") <(picture) | grep '^[<>]' || true)"
    check "the script installs" install_script
    once=$(picture)
    check "and installs again" install_script
    twice=$(picture)
    same "twice is the same as once" "" "$(diff <(echo "$once") <(echo "$twice") | grep '^[<>]' || true)"
    refuses "which is not nothing" test "$before" = "$once"
    holds "ada is the administrator in its config" 'ada' "$(inside cat /etc/teleclaude/config.yml | grep -v '^ *#')"

    # Half an installation, by an interrupted run or a careless hand.
    inside rm /usr/local/bin/teleclaude-runner /etc/teleclaude/secrets.yml
    inside find /usr/local/lib/systemd/system /etc/systemd/system -name 'teleclaude*.socket' -type f -delete
    inside chmod 0777 /etc/teleclaude
    check "it mends half an installation" install_script
    same "to the very same" "" "$(diff <(echo "$once") <(picture) | grep '^[<>]' || true)"

    inside install -d /etc/teleclaude/config.d
    write_config
    check "the sockets start" inside systemctl start teleclaude.socket
    same "mel is who she is" "mel member $(inside id -u mel)" "$(who_is mel)"
    if id=$(begin mel shop --title script); then
        same "her agent runs as she" mel "$(inside ps -o euser= -p "$(agent_pid "$id")")"
        check "she ends it" tc mel sessions end "$id"
    else
        fail "mel starts a session"
    fi
    rm "$machine/tree/etc/teleclaude/config.d/50-test.yml"
    check "the script uninstalls" install_script --uninstall
    check "and keeps the state" inside test -e /var/lib/teleclaude/teleclaude.db
    check "the script purges" install_script --purge --yes
    # Folders that belong to nobody in particular, and are empty, stay.
    same "the disk is as before" "" "$(diff <(echo "$before") <(picture) | grep '^[<>]' |
        grep -Ev '^> \./usr/local/(lib|share)/[a-z0-9_./-]+ d 755 root:root ' || true)"
    check "no process is left" until_ok 10 nobody mel
}

# What the script needs of a checkout.
copy_source() {
    local source=$machine/tree/root/source program
    rm -rf "$source"
    install -d "$source/bin" "$source/programs"
    install -m 755 bin/install-system.sh "$source/bin/"
    cp -a etc "$source/"
    # Without what only a debugger reads: it is copied and compared many times.
    for program in teleclaude teleclaude-runner; do strip -o "$source/programs/$program" "$bin_dir/$program"; done
    chown -R 0:0 "$source"
}

install_script() { inside sh /root/source/bin/install-system.sh --bin-dir /root/source/programs --admin ada "$@"; }
