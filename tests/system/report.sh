# shellcheck shell=bash
# What a check is and how it is told: one line each, `ok …` or `FAIL …`, what was seen below a failure, and the sum at
# the end. Everything also goes to the log.

passed=0 failed=0
failures=()

say() { printf '\n== %s\n' "$*"; }

die() {
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 1
}

ok() {
    passed=$((passed + 1))
    printf 'ok    %s: %s\n' "$group" "$1"
}

# `fail TEXT [WHAT WAS SEEN]`
fail() {
    failed=$((failed + 1))
    failures+=("$group: $1")
    printf 'FAIL  %s: %s\n' "$group" "$1"
    [ -z "${2:-}" ] || printf '%s\n' "$2" | tail -n 20 | sed 's/^/        /'
}

# `check TEXT command…`: the command must succeed.
check() {
    local text=$1 seen
    shift
    if seen=$("$@" 2>&1); then ok "$text"; else fail "$text" "exit code $? of: $* ${seen:+
$seen}"; fi
}

# `refuses TEXT command…`: the command must fail, and as a command, not because it is missing or was never reached.
refuses() {
    local text=$1 seen code=0
    shift
    seen=$("$@" 2>&1) || code=$?
    case $code in
    0) fail "$text" "it succeeded: $*${seen:+
$seen}" ;;
    126 | 127) fail "$text" "it did not run: $*
$seen" ;;
    *) ok "$text" ;;
    esac
}

# `exits CODE TEXT command…`: the command must end with this code.
exits() {
    local wanted=$1 text=$2 seen code=0
    shift 2
    seen=$("$@" 2>&1) || code=$?
    if [ "$code" = "$wanted" ]; then ok "$text"; else fail "$text" "exit code $code, not $wanted, of: $*
$seen"; fi
}

# `same TEXT WANTED SEEN`
same() {
    if [ "$2" = "$3" ]; then ok "$1"; else fail "$1" "wanted: $2
seen:   $3"; fi
}

# `holds TEXT PATTERN SEEN`: an extended regular expression that must match.
holds() {
    if grep -Eq -- "$2" <<<"$3"; then ok "$1"; else fail "$1" "no match of $2 in:
$3"; fi
}

# `lacks TEXT PATTERN SEEN`: one that must not, in a text that is there.
lacks() {
    if [ -z "$3" ]; then
        fail "$1" "there was nothing to look at"
    elif grep -Eq -- "$2" <<<"$3"; then
        fail "$1" "a match of $2 in:
$(grep -E -- "$2" <<<"$3")"
    else
        ok "$1"
    fi
}

summary() {
    say "$passed ok, $failed failed, ${SECONDS} s"
    [ "$failed" = 0 ] || printf '  %s\n' "${failures[@]}"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
