# shellcheck shell=bash
# What the journal says of a request: fields to search by, and no secret.

group_journal() {
    local id uid entry all
    id=$(begin mel shop --title journal) || { fail "mel starts a session"; return; }
    uid=$(inside id -u mel)
    # By standard input: what stands on a command line is everybody's to see.
    as mel sh -c "echo 'echo invented-words-of-mel' | teleclaude sessions send $id -" >/dev/null
    tc mel sessions end "$id" >/dev/null
    entry=$(fields_of teleclaude.service "SESSION=$id")
    holds "entries are found by SESSION" "^ *SESSION=$id" "$entry"
    holds "they say which person" '^ *PERSON=mel$' "$entry"
    holds "with which uid" "^ *UID=$uid\$" "$entry"

    # A request that fails through no fault of its asker is logged, and found by its id.
    inside systemctl stop teleclaude-runner.socket
    refuses "without the runner no session starts" tc mel sessions start talker --project shop
    inside systemctl start teleclaude-runner.socket
    entry=$(fields_of teleclaude.service PERSON=mel UID="$uid" | grep -B 40 -A 10 'MESSAGE=a request failed')
    holds "a failed request has an id" '^ *REQUEST(_ID)?=[0-9A-Za-z-]{8,}$' "$entry"

    entry=$(fields_of 'teleclaude-runner@*' _UID=0 | grep "MESSAGE=run .*session=$id")
    holds "the runner logs its call in one line" "uid=$uid .*started" "$entry"
    # What the commands of this test were called with stands there too, and is not meant.
    all=$(inside journalctl --boot --no-pager --output=verbose | grep -Ev '_CMDLINE=|COMMAND=')
    lacks "no secret, token or message in it" "$planted_secret|TELECLAUDE_TOKEN|invented-words-of-mel" "$all"
}

# `fields_of UNIT MATCH…`: the journal's entries with all their fields.
fields_of() {
    local unit=$1
    shift
    inside journalctl --boot --no-pager --output=verbose --unit="$unit" "$@" 2>/dev/null || true
}
