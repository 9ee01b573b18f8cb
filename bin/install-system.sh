#!/bin/sh
# Installs teleclaude for everybody on this machine: Debian, Ubuntu, Fedora, RHEL and their kin, macOS. `--help` says
# how. Run again, it repairs and upgrades: what is as it should be is not touched. Enables, and does not start.
set -eu

usage() {
    cat <<'EOF'
usage: sudo bin/install-system.sh [options]
       sudo bin/install-system.sh --uninstall | --purge [options]

  --admin USER      who may do everything, written into a new config (default: who ran sudo)
  --with-postgres   roles and database on this machine's PostgreSQL, by peer authentication (Linux)
  --bin-dir DIR     where the two programs are (default: target/release)
  --prefix DIR      where programs, units and help go (default: /usr/local); give it to --uninstall too
  --uninstall       end all sessions and remove the programs; config, data and the service user stay
  --purge           the same and remove those too, after asking
  --yes             do not ask
  --dry-run         say what would be done and change nothing; needs no root
  --root DIR        put everything below DIR and change nothing else: no users, no owners, no service manager,
                    no database; needs no root
EOF
}

# ---- what is said -----------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
did() {
    changes=$((changes + 1))
    if [ "$dry_run" = yes ]; then say "would $1"; else say "  $1"; fi
}
note() { notes="${notes}  - $*
"; }
not_done() { undone="${undone}  - $*
"; }
# Before the first change: nothing was done.
die() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2-}" ] || printf 'hint: %s\n' "$2" >&2
    [ "$begun" = yes ] || printf 'Nothing was changed.\n' >&2
    begun=no
    exit 1
}
finish() {
    status=$?
    [ -z "$work" ] || rm -rf "$work"
    if [ "$status" != 0 ] && [ "$begun" = yes ]; then
        printf 'error: stopped half-way\nhint: mend what is said above and run it again; it goes on from here\n' >&2
    fi
    exit "$status"
}

# ---- asking and changing the file system ------------------------------------------------------------------------

mode_of() { stat -c %a "$1" 2>/dev/null || stat -f %Lp "$1"; }
owner_of() { stat -c %U:%G "$1" 2>/dev/null || stat -f %Su:%Sg "$1"; }

# own PATH OWNER:GROUP. A staged tree belongs to whoever makes it.
own() {
    [ "$staged" = no ] || return 0
    [ "$(owner_of "$1")" != "$2" ] || return 0
    did "give $1 to $2"
    [ "$dry_run" = yes ] || chown "$2" "$1"
}

# mode PATH MODE
mode() {
    [ "$(mode_of "$1")" != "$2" ] || return 0
    did "set the mode of $1 to $2"
    [ "$dry_run" = yes ] || chmod "$2" "$1"
}

# folder PATH MODE OWNER:GROUP; missing parents are root's.
folder() {
    if [ ! -d "$1" ]; then
        did "make $1"
        [ "$dry_run" = no ] || return 0
        mkdir -p "$1"
    fi
    mode "$1" "$2"
    own "$1" "$3"
}

# put FILE PATH MODE: whole or not at all, also while the old one runs.
put() {
    # What an interrupted run left.
    gone "$2.teleclaude-new"
    if [ ! -f "$2" ] || [ -L "$2" ] || ! cmp -s "$1" "$2"; then
        did "install $2"
        [ "$dry_run" = no ] || return 0
        mkdir -p "$(dirname "$2")"
        cp "$1" "$2.teleclaude-new"
        chmod "$3" "$2.teleclaude-new"
        [ "$staged" = yes ] || chown "$root_owner" "$2.teleclaude-new"
        mv -f "$2.teleclaude-new" "$2"
    fi
    mode "$2" "$3"
    own "$2" "$root_owner"
}

# narrow PATH CHANGE: what is there already keeps its contents, and its mode where that is safe.
narrow() {
    case $2:$(mode_of "$1") in
    go-w:*[2367]? | go-w:*[2367] | g-w,o-rwx:*[2367]? | g-w,o-rwx:*[!0])
        did "take away what others may do with $1"
        [ "$dry_run" = yes ] || chmod "$2" "$1"
        ;;
    esac
    [ "$staged" = yes ] || case $(owner_of "$1") in root:*) ;; *) own "$1" "$root_owner" ;; esac
}

# gone PATH…: files, and folders with all that is in them.
gone() {
    for path; do
        if [ -e "$path" ] || [ -L "$path" ]; then
            did "remove $path"
            [ "$dry_run" = yes ] || rm -rf "$path"
        fi
    done
}

# gone_empty PATH…: folders, if nothing of anybody's is in them.
gone_empty() {
    for path; do
        if [ -d "$path" ] && [ -z "$(ls -A "$path")" ]; then
            did "remove $path"
            [ "$dry_run" = yes ] || rmdir "$path"
        fi
    done
}

# Runs a command that changes something outside the tree.
act() {
    what=$1
    shift
    did "$what"
    [ "$dry_run" = yes ] || "$@"
}

# ---- what kind of machine ---------------------------------------------------------------------------------------

find_system() {
    case $(uname -s) in
    Linux)
        os=linux
        release=$root/etc/os-release
        [ -r "$release" ] || [ "$staged" = no ] || release=/etc/os-release
        # Words, not code: the file is read, never run.
        family=$(sed -n 's/^ID\(_LIKE\)\{0,1\}=//p' "$release" 2>/dev/null | tr -d "\"'" | tr '\n' ' ' || true)
        case " $family " in
        *" debian "* | *" ubuntu "* | *" fedora "* | *" rhel "* | *" centos "*) ;;
        *) die "this system is not known: ${family:-no /etc/os-release}" \
            "known are Debian, Ubuntu, Fedora, RHEL, systems like them, and macOS" ;;
        esac
        user=teleclaude root_owner=root:root
        config_dir=$root/etc/teleclaude
        state_dir=$root/var/lib/teleclaude
        log_dir=$root/var/log/teleclaude
        run_dir=$root/run/teleclaude
        units="teleclaude.socket teleclaude.service teleclaude-runner.socket teleclaude-runner@.service"
        unit_dir=$root/usr/local/lib/systemd/system
        sysusers=$root/usr/local/lib/sysusers.d/teleclaude.conf
        tmpfiles=$root/usr/local/lib/tmpfiles.d/teleclaude.conf
        if [ "$staged" = no ]; then
            for program in systemctl systemd-sysusers; do
                command -v "$program" >/dev/null || die "$program was not found" "teleclaude is run by systemd here"
            done
            version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
            [ "${version:-0}" -ge 247 ] ||
                die "systemd ${version:-of an unknown version} is too old" \
                    "247 or later is needed (Debian 11, Ubuntu 22.04, RHEL 9)"
            [ ! -e /usr/bin/teleclaude ] ||
                die "/usr/bin/teleclaude is there: the package is installed" "upgrade it, or remove it first"
        fi
        ;;
    Darwin)
        os=macos
        user=_teleclaude root_owner=root:wheel
        config_dir=$root/usr/local/etc/teleclaude
        state_dir=$root/usr/local/var/lib/teleclaude
        log_dir=$root/usr/local/var/log/teleclaude
        run_dir=$root/usr/local/var/run/teleclaude
        unit_dir=$root/Library/LaunchDaemons
        units="ai.instrukt.teleclaude.plist ai.instrukt.teleclaude-runner.plist"
        ;;
    *) die "this system is not known: $(uname -s)" "known are Linux with systemd and macOS" ;;
    esac
    bin=$root$prefix/bin
    share=$root$prefix/share
    examples=$share/teleclaude/examples
}

# What is wrong with a path for what root runs or believes: whoever owns a folder above it is root in disguise.
# Nothing is said if nothing is wrong.
unsafe() {
    path=$1
    while [ "$staged" = no ]; do
        if [ -e "$path" ]; then
            case $(owner_of "$path"):$(mode_of "$path") in
            root:*:*[2367]) echo "everybody may write to $path" && return ;;
            root:*:*[2367]?) echo "the group $(owner_of "$path" | cut -d : -f 2) may write to $path" && return ;;
            root:*) ;;
            *) echo "$path belongs to $(owner_of "$path")" && return ;;
            esac
        fi
        [ "$path" != / ] || return 0
        path=$(dirname "$path")
    done
}

check_places() {
    problem=$(unsafe "$bin")
    [ -z "$problem" ] || die "$problem, who could replace what root runs" \
        "mend it, or choose a folder of root's: --prefix /opt/teleclaude"
    problem=$(unsafe "$config_dir")
    [ -z "$problem" ] || note "$problem, so the runner will not believe the config: make it root's"
}

account_uid() { id -u "$1" 2>/dev/null || true; }

check_account() {
    [ "$staged" = no ] || return 0
    uid=$(account_uid "$user")
    limit=1000
    [ "$os" = linux ] || limit=500
    [ -z "$uid" ] || [ "$uid" -lt "$limit" ] ||
        die "the account $user is somebody's (uid $uid)" "the service user must be a system account: rename that one"
    [ "$uid" != 0 ] || die "the account $user is root" "remove it"
}

check_admin() {
    case $admin in
    '' | root)
        admin=
        return
        ;;
    -* | *[!A-Za-z0-9._-]*)
        [ -z "$admin_given" ] || die "'$admin' is no user name that this script can write down" "--admin USER"
        admin=
        return
        ;;
    esac
    [ "$staged" = yes ] || [ -n "$(account_uid "$admin")" ] || die "there is no user $admin" "--admin USER"
}

check_programs() {
    for program in teleclaude teleclaude-runner; do
        [ -x "$bin_dir/$program" ] ||
            die "$bin_dir/$program is not there" "build it (cargo build --release), or say where it is (--bin-dir DIR)"
    done
    "$bin_dir/teleclaude" --version >/dev/null 2>&1 ||
        die "$bin_dir/teleclaude does not run here" "build it on this machine: cargo build --release"
    for file in "$source"/etc/config.yml "$source"/etc/secrets.yml "$source"/etc/systemd/teleclaude.service; do
        [ -r "$file" ] || die "$file is not there" "run bin/install-system.sh of a complete source tree"
    done
}

# ---- the service user -------------------------------------------------------------------------------------------

make_account() {
    [ "$staged" = no ] && [ -z "$(account_uid "$user")" ] || return 0
    if [ "$os" = linux ]; then
        act "make the user $user" systemd-sysusers "$source/etc/sysusers.d/teleclaude.conf"
    else
        act "make the user $user" make_account_macos
    fi
}

make_account_macos() {
    ids=$(dscl . -list /Users UniqueID | awk '{ print $2 }' && dscl . -list /Groups PrimaryGroupID | awk '{ print $2 }')
    id=499
    while printf '%s\n' "$ids" | grep -qx "$id"; do id=$((id - 1)); done
    [ "$id" -gt 300 ] || die "no uid between 300 and 499 is free" "free one"
    dscl . -create "/Groups/$user"
    dscl . -create "/Groups/$user" PrimaryGroupID "$id"
    dscl . -create "/Groups/$user" Password '*'
    dscl . -create "/Users/$user"
    dscl . -create "/Users/$user" PrimaryGroupID "$id"
    dscl . -create "/Users/$user" RealName 'teleclaude daemon'
    dscl . -create "/Users/$user" NFSHomeDirectory /var/empty
    dscl . -create "/Users/$user" UserShell /usr/bin/false
    dscl . -create "/Users/$user" IsHidden 1
    dscl . -create "/Users/$user" Password '*'
    # Last: from now on the account counts as made.
    dscl . -create "/Users/$user" UniqueID "$id"
}

remove_account() {
    [ "$staged" = no ] || return 0
    if [ -n "$(account_uid "$user")" ]; then
        if [ "$os" = linux ]; then
            act "remove the user $user" userdel "$user"
        else
            act "remove the user $user" dscl . -delete "/Users/$user"
        fi
    fi
    if [ "$os" = macos ]; then
        ! dscl . -read "/Groups/$user" >/dev/null 2>&1 || act "remove the group $user" dscl . -delete "/Groups/$user"
    elif getent group "$user" >/dev/null; then
        act "remove the group $user" groupdel "$user"
    fi
}

# ---- the files --------------------------------------------------------------------------------------------------

# The example config with the admin in it and this machine's paths.
render_config() {
    awk -v admin="$admin" -v share="$prefix/share/teleclaude" -v os="$os" -v postgres="$with_postgres" '
        /^people: \[\]$/ && admin != "" {
            print "people:"
            printf "  - { name: \"%s\", os_username: \"%s\", role: admin }\n", admin, admin
            next
        }
        { sub("/usr/local/share/teleclaude", share) }
        os == "macos" { sub("/var/lib/teleclaude", "/usr/local/var/lib/teleclaude") }
        os == "macos" && $1 == "target:" && $2 == "journald" { sub("journald", "stderr") }
        postgres == "yes" && $1 == "engine:" { sub("sqlite", "postgresql") }
        postgres == "yes" && $1 == "auto_migrate:" { sub("true", "false") }
        { print }
    ' "$source/etc/config.yml"
}

# render_unit FILE: with the paths of this prefix, and for launchd the number of the service user.
render_unit() {
    number=
    [ "$os" = linux ] || [ "$staged" = yes ] || number=$(account_uid "$user")
    sed -e "s|/usr/bin/teleclaude|$prefix/bin/teleclaude|" -e "s|/usr/local/bin/teleclaude|$prefix/bin/teleclaude|" "$1" |
        awk -v number="$number" '
            owner && number != "" { sub("<integer>0</integer>", "<integer>" number "</integer>") }
            { owner = index($0, "<key>SockPathOwner</key>") > 0; print }
        '
}

install_files() {
    for program in teleclaude teleclaude-runner; do
        put "$bin_dir/$program" "$bin/$program" 755
    done

    folder "$config_dir" 755 "$root_owner"
    folder "$config_dir/config.d" 755 "$root_owner"
    if [ -f "$config_dir/config.yml" ]; then
        config_kept=yes
        narrow "$config_dir/config.yml" go-w
    else
        render_config >"$work/config.yml"
        put "$work/config.yml" "$config_dir/config.yml" 644
    fi
    # systemd hands the secrets over, so nobody but root reads the file; launchd cannot.
    if [ -f "$config_dir/secrets.yml" ]; then
        narrow "$config_dir/secrets.yml" g-w,o-rwx
    elif [ "$os" = linux ]; then
        put "$source/etc/secrets.yml" "$config_dir/secrets.yml" 600
    else
        put "$source/etc/secrets.yml" "$config_dir/secrets.yml" 640
    fi
    [ "$os" = linux ] || [ ! -f "$config_dir/secrets.yml" ] || own "$config_dir/secrets.yml" "root:$user"

    folder "$state_dir" 700 "$user:$user"
    folder "$log_dir" 750 "$user:$user"
    [ "$os" = linux ] || folder "$run_dir" 750 "$user:$user"
    folder "$share/teleclaude/docs" 755 "$root_owner"
    # Gemini CLI takes hooks and tools only from a file that is root's.
    sed "s|/usr/bin/teleclaude|$prefix/bin/teleclaude|" "$source/etc/agents/gemini.json" >"$work/gemini.json"
    put "$work/gemini.json" "$share/teleclaude/gemini.json" 644

    for unit in $units; do
        if [ "$os" = linux ]; then from=$source/etc/systemd/$unit; else from=$source/etc/launchd/$unit; fi
        render_unit "$from" >"$work/unit"
        put "$work/unit" "$unit_dir/$unit" 644
    done
    if [ "$os" = linux ]; then
        put "$source/etc/sysusers.d/teleclaude.conf" "$sysusers" 644
        put "$source/etc/tmpfiles.d/teleclaude.conf" "$tmpfiles" 644
        put "$source/etc/systemd/examples.d/run-as-service.conf" "$examples/run-as-service.conf" 644
        put "$source/etc/postgresql/teleclaude.sql" "$examples/teleclaude.sql" 644
    fi
    install_help
}

# Help of the programs that are installed. A program that cannot make some is installed without.
install_help() {
    for shell in bash zsh fish; do
        "$bin_dir/teleclaude" completions "$shell" >"$work/completions" 2>/dev/null || continue
        put "$work/completions" "$(completions "$shell")" 644
    done
    mkdir "$work/man"
    "$bin_dir/teleclaude" man "$work/man" >/dev/null 2>&1 || return 0
    for page in "$work"/man/*.[1-8]; do
        [ ! -f "$page" ] || put "$page" "$share/man/man${page##*.}/$(basename "$page")" 644
    done
}

completions() {
    case $1 in
    bash) echo "$share/bash-completion/completions/teleclaude" ;;
    zsh) echo "$share/zsh/site-functions/_teleclaude" ;;
    fish) echo "$share/fish/vendor_completions.d/teleclaude.fish" ;;
    esac
}

# ---- the service manager ----------------------------------------------------------------------------------------

systemd_runs() { [ -d /run/systemd/system ]; }

enable_units() {
    [ "$staged" = no ] || return 0
    if [ "$os" = macos ]; then
        for unit in $units; do
            act "enable ${unit%.plist}" launchctl enable "system/${unit%.plist}"
        done
        return
    fi
    # Read before it is asked about them: it knows only what it has read.
    if systemd_runs && [ "$dry_run" = no ] && [ "$changes" != 0 ]; then
        systemctl daemon-reload
    fi
    # The first client starts the daemon; nothing of anybody's waits for it before.
    for unit in teleclaude.socket teleclaude-runner.socket; do
        [ "$(systemctl is-enabled "$unit" 2>/dev/null)" = enabled ] ||
            act "enable $unit" systemctl --quiet enable "$unit"
    done
}

# The daemon, every session host, and with them every agent.
stop_everything() {
    [ "$staged" = no ] || return 0
    if [ "$os" = macos ]; then
        for unit in $units; do
            ! launchctl print "system/${unit%.plist}" >/dev/null 2>&1 ||
                act "stop ${unit%.plist}" launchctl bootout "system/${unit%.plist}"
        done
    elif systemd_runs && systemctl cat teleclaude.socket >/dev/null 2>&1; then
        act "stop the daemon" systemctl --quiet stop teleclaude.socket teleclaude.service
    fi
    [ -n "$(account_uid "$user")" ] || return 0
    # Nobody but the daemon and its hosts is this user. An agent ends with its host's connection to the runner.
    if [ -n "$(processes)" ]; then
        did "end all sessions"
        if [ "$dry_run" = no ]; then
            for signal in TERM KILL KILL; do
                for pid in $(processes); do kill -s "$signal" "$pid" 2>/dev/null || true; done
                tries=50
                while [ -n "$(processes)" ] && [ "$tries" -gt 0 ]; do
                    sleep 0.1
                    tries=$((tries - 1))
                done
            done
            [ -z "$(processes)" ] || die "processes of $user do not end: $(processes | tr '\n' ' ')" "end them, run it again"
        fi
    fi
    if [ "$os" = linux ] && systemd_runs; then
        # Waits until the trees are gone; what ignores everything is killed after 5 s.
        [ "$dry_run" = yes ] || systemctl --quiet stop teleclaude-runner.socket 'teleclaude-runner@*.service' 2>/dev/null || true
    fi
}

# Processes of the service user. Without procps too: a minimal Debian has no ps.
processes() {
    if [ "$os" = macos ]; then
        ps -A -o pid= -o uid= | awk -v uid="$(account_uid "$user")" '$2 == uid { print $1 }'
    else
        grep -ls "^Uid:[[:space:]]*$(account_uid "$user")[[:space:]]" /proc/[0-9]*/status | cut -d / -f 3
    fi
}

disable_units() {
    [ "$staged" = no ] && [ "$os" = linux ] || return 0
    for unit in teleclaude.socket teleclaude-runner.socket teleclaude.service; do
        case $(systemctl is-enabled "$unit" 2>/dev/null) in
        enabled | enabled-runtime) act "disable $unit" systemctl --quiet disable "$unit" ;;
        esac
    done
}

# ---- PostgreSQL -------------------------------------------------------------------------------------------------

as_postgres() { (cd / && runuser -u postgres -- "$@"); }
as_owner() {
    as_postgres env TELECLAUDE_SYSTEM_MODE=1 \
        DATABASE_URL='postgres://postgres@%2Fvar%2Frun%2Fpostgresql/teleclaude?options=-c%20role%3Dteleclaude_owner' \
        "$bin/teleclaude" "$@"
}

check_postgres() {
    [ "$with_postgres" = yes ] && [ "$staged" = no ] || return 0
    [ "$os" = linux ] || die "--with-postgres is for Linux" "docs/install.md says what to do by hand"
    command -v psql >/dev/null || die "psql was not found" "apt install postgresql, or dnf install postgresql-server"
    [ -n "$(account_uid postgres)" ] || die "there is no user postgres" "install the server: apt install postgresql"
}

set_up_postgres() {
    [ "$with_postgres" = yes ] || return 0
    if [ "$staged" = yes ]; then
        not_done "the database: nothing outside $root is touched"
        return
    fi
    if ! as_postgres psql -XAtqc 'SELECT 1' >/dev/null 2>"$work/psql"; then
        not_done "the database: the server does not answer ($(head -n 1 "$work/psql"))"
        note "start the server (Fedora and RHEL: postgresql-setup --initdb first) and run this again with --with-postgres"
        return
    fi
    # One act for all of it: the file can be run as often as one likes.
    did "make roles and database, and give the daemon its rights"
    [ "$dry_run" = no ] || return 0
    grants=$work/teleclaude.sql
    cp "$source/etc/postgresql/teleclaude.sql" "$grants"
    chmod 755 "$work"
    chmod 644 "$grants"
    as_postgres psql -Xq -f "$grants" >"$work/psql" 2>&1 || {
        not_done "the database: $(head -n 1 "$work/psql")"
        return
    }
    # As the superuser, in the place of the owner of the tables, who cannot log in.
    if as_owner db status 2>/dev/null | grep -q '^pending'; then
        as_owner db migrate >"$work/psql" 2>&1 || {
            not_done "the schema: $(grep -v '^warning' "$work/psql" | head -n 1)"
            note "stop the daemon (systemctl stop teleclaude.socket; sessions go on) and run this again with --with-postgres"
            return
        }
    fi
    as_postgres psql -Xq -f "$grants" >"$work/psql" 2>&1 || not_done "the daemon's rights: $(head -n 1 "$work/psql")"
    (cd / && runuser -u "$user" -- psql -XAtqc 'SELECT 1' teleclaude) >/dev/null 2>&1 || {
        not_done "the login of $user: the server does not let it in"
        note "pg_hba.conf needs before other lines: local teleclaude teleclaude peer"
    }
    grep -qs 'engine: *postgresql' "$config_dir/config.yml" "$config_dir"/config.d/*.yml ||
        note "config.yml was there and was not touched: it wants database: { engine: postgresql, auto_migrate: false }"
}

# ---- the whole --------------------------------------------------------------------------------------------------

install_all() {
    check_places
    check_account
    check_admin
    check_programs
    check_postgres
    begun=yes
    make_account
    install_files
    enable_units
    set_up_postgres
    if [ "$staged$dry_run" = nono ]; then
        TELECLAUDE_SYSTEM_MODE=1 "$bin/teleclaude" config check >"$work/check" 2>&1 ||
            not_done "the config is not in order: $(head -n 1 "$work/check") (teleclaude config check)"
    fi
    report_install
}

report_install() {
    [ "$changes" != 0 ] || say "Everything is as it should be; nothing was changed."
    [ -n "$admin" ] || [ "$config_kept" = yes ] ||
        note "nobody is admin yet: say who in $config_dir/config.yml (people), or run this with --admin USER on a new one"
    [ -z "$admin_given" ] || [ "$config_kept" = no ] ||
        note "config.yml was there and was not touched: --admin has no effect on it"
    if [ "$staged" = no ] && [ "$os" = linux ] && systemctl --quiet is-active teleclaude.service 2>/dev/null; then
        note "the daemon runs; to have it run the new program: systemctl restart teleclaude.service (sessions go on)"
    fi
    report
    [ "$dry_run" = no ] || return 0
    say ""
    say "Next:"
    say "  1. say who is who and where they work:  $config_dir/config.yml, then: teleclaude config check"
    if [ "$os" = linux ]; then
        say "  2. start it:                            systemctl enable --now teleclaude.socket"
    else
        say "  2. start it:                            launchctl bootstrap system $unit_dir/ai.instrukt.teleclaude-runner.plist"
        say "                                          launchctl bootstrap system $unit_dir/ai.instrukt.teleclaude.plist"
    fi
    say "  3. see what it says:                    teleclaude doctor; teleclaude whoami"
}

report() {
    [ -z "$notes" ] || printf '\nNote:\n%s' "$notes"
    [ -z "$undone" ] || printf '\nNot done:\n%s' "$undone"
}

remove_all() {
    if [ "$action" = purge ] && [ "$yes$dry_run" = nono ]; then
        say "This ends all sessions and removes teleclaude with its config, its secrets, its database file and all"
        say "recordings: $config_dir $state_dir $log_dir"
        printf 'Type yes to go on: '
        answer=
        read -r answer || true
        [ "$answer" = yes ] || die "it was not confirmed" "type yes, or run it with --yes"
    fi
    begun=yes
    stop_everything
    disable_units
    for unit in $units; do gone "$unit_dir/$unit" "$unit_dir/$unit.teleclaude-new"; done
    gone "$bin/teleclaude" "$bin/teleclaude-runner" "$bin/teleclaude.teleclaude-new" "$bin/teleclaude-runner.teleclaude-new"
    for shell in bash zsh fish; do gone "$(completions "$shell")"; done
    for page in "$share"/man/man[1-8]/teleclaude.[1-8] "$share"/man/man[1-8]/teleclaude-*.[1-8]; do gone "$page"; done
    gone "$examples" "$share/teleclaude/gemini.json"
    if [ "$os" = linux ]; then
        gone "$sysusers" "$tmpfiles" "$root/run/teleclaude.sock" "$root/run/teleclaude-runner.sock" \
            "$root/run/teleclaude-runner"
        if [ "$staged$dry_run" = nono ] && systemd_runs; then
            systemctl daemon-reload
            systemctl --quiet reset-failed 'teleclaude*' 2>/dev/null || true
        fi
    else
        gone "$root/var/run/teleclaude.sock" "$root/usr/local/var/run/teleclaude-runner.sock" \
            "$root/usr/local/var/run/teleclaude-runner"
    fi
    gone "$run_dir"
    if [ "$action" = purge ]; then
        gone "$config_dir" "$state_dir" "$log_dir" "$share/teleclaude"
        # What `systemctl edit` made.
        [ "$os" = macos ] || for unit in $units; do gone "$root/etc/systemd/system/$unit.d"; done
        [ "$os" = linux ] || gone "$root/usr/local/var/log/teleclaude-runner.log"
        remove_account
    else
        gone_empty "$share/teleclaude/docs" "$share/teleclaude"
        note "kept: $config_dir, $state_dir, $log_dir, the user $user (--purge removes them)"
    fi
    # Folders of /usr/local are the system's; those of another prefix were made for this.
    [ "$prefix" = /usr/local ] || gone_empty "$bin" "$share/bash-completion/completions" "$share/bash-completion" \
        "$share/zsh/site-functions" "$share/zsh" "$share/fish/vendor_completions.d" "$share/fish" \
        "$share/man/man1" "$share/man" "$share" "$root$prefix"
    note "a PostgreSQL database is not touched: dropdb teleclaude; dropuser teleclaude; dropuser teleclaude_owner"
    [ "$changes" != 0 ] || say "There was nothing to remove."
    report
}

dry_run=no staged=no yes=no with_postgres=no action=install
root='' prefix=/usr/local bin_dir='' admin_given='' admin=${SUDO_USER:-}
begun=no work='' changes=0 notes='' undone='' config_kept=no
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# What is made on the way is for root to write and for all to read.
umask 022

while [ $# -gt 0 ]; do
    case $1 in
    --admin | --bin-dir | --prefix | --root)
        [ -n "${2-}" ] || die "$1 wants a value" "bin/install-system.sh --help"
        case $1 in
        --admin) admin=$2 admin_given=yes ;;
        --bin-dir) bin_dir=$2 ;;
        --prefix) prefix=${2%/} ;;
        --root) root=${2%/} staged=yes ;;
        esac
        shift
        ;;
    --with-postgres) with_postgres=yes ;;
    --uninstall) [ "$action" = purge ] || action=uninstall ;;
    --purge) action=purge ;;
    --yes) yes=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) die "what is $1?" "bin/install-system.sh --help" ;;
    esac
    shift
done
case $prefix in
/usr | /) die "--prefix $prefix is for packages" "leave it out, or choose a folder below /opt" ;;
/*[!A-Za-z0-9/._-]*) die "--prefix $prefix: letters, digits, '.', '_' and '-' only" "choose a folder below /opt" ;;
/*) ;;
*) die "--prefix wants an absolute path" "--prefix /opt/teleclaude" ;;
esac
case $root in
'' | /*) [ "$staged" = no ] || [ -n "$root" ] || die "--root / is no staging folder" "leave it out" ;;
*) root=$PWD/$root ;;
esac

source=$(cd "$(dirname "$0")/.." && pwd)
bin_dir=${bin_dir:-${CARGO_TARGET_DIR:-$source/target}/release}
find_system
if [ "$staged$dry_run" = nono ] && [ "$(id -u)" != 0 ]; then
    die "this needs root" "sudo bin/install-system.sh, or look first with --dry-run"
fi
work=$(mktemp -d)

if [ "$action" = install ]; then install_all; else remove_all; fi
[ -z "$undone" ] || { begun=no && exit 1; }
