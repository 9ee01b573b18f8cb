# shellcheck shell=bash
# Who each user is to the daemon, and that the unmapped one gets nothing.

# `who_is USER` prints "person role uid", "-" where there is no person.
who_is() {
    local answer
    answer=$(tc "$1" --json whoami)
    printf '%s %s %s' "$(field person <<<"$answer" | grep . || echo -)" "$(field role <<<"$answer")" "$(field uid <<<"$answer")"
}

group_identity() {
    local user word unknown=01890000-0000-7000-8000-000000000000 id
    same "ada is the administrator" "ada admin $(inside id -u ada)" "$(who_is ada)"
    same "mel is a member" "mel member $(inside id -u mel)" "$(who_is mel)"
    same "max is a member" "max member $(inside id -u max)" "$(who_is max)"
    same "zoe is nobody known" "- public $(inside id -u zoe)" "$(who_is zoe)"
    same "root is nobody special" "- public 0" "$(who_is root)"
    holds "what one says of oneself changes nothing" '"role": *"public"' \
        "$(as zoe env USER=ada LOGNAME=ada SUDO_USER=ada TELECLAUDE_SESSION=ada teleclaude --json whoami)"

    # What somebody may not ask for at all answers as if it did not exist: exit code 4, not 3.
    for word in "sessions" "projects" "agents" "audit list" "people explain mel"; do
        # shellcheck disable=SC2086
        exits 4 "zoe gets nothing: $word" tc zoe $word
    done
    exits 4 "zoe starts no session" tc zoe sessions start talker --project shop
    for word in "audit list" "reload" "people explain max"; do
        # shellcheck disable=SC2086
        exits 4 "mel may not: $word" tc mel $word
    done
    check "ada may read the audit log" tc ada audit list

    id=$(begin mel shop --title identity) || { fail "mel starts a session"; return; }
    for user in max zoe; do
        same "to $user mel's session is as one that is not there" \
            "$(tc "$user" --json sessions show "$unknown" 2>&1 | sed "s/$unknown/ID/g")" \
            "$(tc "$user" --json sessions show "$id" 2>&1 | sed "s/$id/ID/g")"
    done
    lacks "max does not find it in a list" "$id" "$(tc max --json sessions; echo .)"
    holds "ada sees that it exists" "$id" "$(tc ada --json sessions)"
    check "mel ends it" tc mel sessions end "$id"
}
