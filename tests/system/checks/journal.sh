# shellcheck shell=bash
# What the journal says of a request: fields to search by, and no secret.

group_journal() {
    local id uid entry all
    id=$(begin mel shop --title journal) || { fail "mel starts a session"; return; }
    uid=$(inside id -u mel)
    # By standard input: what stands on a command line is everybody's to see.
    as mel sh -c "echo 'echo invented-words-of-mel' | teleclaude sessions send $id -" >/dev/null
    tc mel sessions end "$id" >/dev/null
    entry=$(inside journalctl --boot --no-pager --output=verbose --unit=teleclaude.service "SESSION=$id" 2>/dev/null || true)
    holds "entries are found by SESSION" "SESSION=$id" "$entry"
    holds "they say which person" 'PERSON=mel' "$entry"
    holds "with which uid" "\\bUID=$uid" "$entry"
    holds "and in which request" 'REQUEST_ID=[0-9A-Za-z-]+' "$entry"
    all=$(inside journalctl --boot --no-pager --output=verbose)
    holds "the runner logs its calls" "_SYSTEMD_UNIT=teleclaude-runner@" "$all"
    lacks "no secret, token or message in it" "$planted_secret|TELECLAUDE_TOKEN|invented-words-of-mel" "$all"
}
