# shellcheck shell=bash
# What is kept encrypted or signed, under the unit's sandbox: credentials come to their owner's agent and to nobody
# else's, the key files are the daemon's alone, and checkpoints of the audit log are in the journal.

group_keys() {
    local id other secret=invented-credential-of-mel
    check "the daemon makes an encryption key" tc ada key generate
    check "mel keeps a credential" as mel sh -c "printf %s $secret | teleclaude credentials put TALKER_KEY"
    id=$(begin mel shop --title keys) || { fail "mel starts a session"; return; }
    other=$(begin max shop --title keys) || { fail "max starts one beside it"; return; }
    holds "mel's agent gets it" "^TALKER_KEY=$secret\$" "$(inside cat "/proc/$(agent_pid "$id")/environ" | tr '\0' '\n')"
    lacks "max's agent does not" '^TALKER_KEY=' "$(inside cat "/proc/$(agent_pid "$other")/environ" | tr '\0' '\n')"
    check "another key is made" tc ada key rotate
    lacks "nobody is shown it" "$secret" "$(tc mel --json credentials list)"
    exits 1 "nor is it in the database" inside sh -c "grep -qF $secret /var/lib/teleclaude/teleclaude.db*"
    same "the keys are the daemon's alone" "600 teleclaude:teleclaude, 600 teleclaude:teleclaude" \
        "$(inside stat --format '%a %U:%G' /var/lib/teleclaude/audit.key /var/lib/teleclaude/encryption.keys |
            paste -sd , | sed 's/,/, /')"
    holds "a checkpoint is in the journal" 'audit checkpoint: ' \
        "$(inside journalctl --boot --no-pager --unit=teleclaude.service)"
    check "the audit log is whole" tc ada audit verify
    check "mel deletes it" tc mel credentials delete TALKER_KEY
    check "mel ends hers" tc mel sessions end "$id"
    check "max ends his" tc max sessions end "$other"
}
