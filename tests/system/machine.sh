# shellcheck shell=bash
# A machine to test on: a Debian tree made once, a copy of it for each run, real systemd booted in it as a container,
# and ways to do something in there. What is checked is not here.

# What the machine has beside the base system. Changing it makes a new tree.
machine_packages=systemd,systemd-sysv,dbus,init-system-helpers,procps,util-linux,git,sudo,strace,python3-minimal,adduser,postgresql,rpm
machine_suite=bookworm

# Makes the tree once; sets $base to it.
make_base() {
    local cache=${TELECLAUDE_SYSTEM_CACHE:-/var/tmp/tc-system} mirror key began
    key=$(printf '%s %s\n' "$machine_suite" "$machine_packages" | sha256sum | cut -c 1-12)
    base=$cache/base-$key
    [ ! -e "$base/ready" ] || return 0
    mkdir -p "$cache"
    rm -rf "$base"
    # The mirror that this machine is set up with.
    mirror=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs:[[:space:]]*//p' |
        tr ' ' '\n' | grep -E '/debian/?$' | head -n 1 || true)
    [ -n "$mirror" ] || mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n 's/^deb[[:space:]]*\(\[[^]]*\]\)\{0,1\}[[:space:]]*\([^[:space:]]*\).*/\2/p' |
        grep -E '/debian/?$' | head -n 1 || true)
    mirror=${mirror:-http://deb.debian.org/debian}
    say "a Debian tree (once, into $cache)"
    began=$SECONDS
    if ! debootstrap --variant=minbase --include="$machine_packages" "$machine_suite" "$base/tree" "$mirror" \
        >"$cache/debootstrap.log" 2>&1; then
        tail -n 20 "$cache/debootstrap.log" >&2
        rm -rf "$base"
        die "debootstrap failed" "its log is $cache/debootstrap.log"
    fi
    # Not needed by any check, and everything here is copied for each run.
    rm -rf "$base/tree/var/cache/apt/archives"/*.deb "$base/tree/var/lib/apt/lists"/* \
        "$base/tree/usr/share/doc"/* "$base/tree/usr/share/locale"/*
    # A container has no devices and no network of its own to wait for, each copy is a machine of its own, and the
    # database server is started by the one group that wants it.
    for unit in systemd-networkd-wait-online.service systemd-udevd.service systemd-udev-trigger.service \
        postgresql.service systemd-timesyncd.service console-getty.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer; do
        ln -sf /dev/null "$base/tree/etc/systemd/system/$unit"
    done
    : >"$base/tree/etc/machine-id"
    echo tc-system >"$base/tree/etc/hostname"
    touch "$base/ready"
    say "the tree took $((SECONDS - began)) s"
}

# Makes $machine/tree of the base: as an overlay, or as a copy where that cannot be.
copy_base() {
    mkdir -p "$machine/tree" "$machine/upper" "$machine/work"
    mount -t overlay tc-system -o "lowerdir=$base/tree,upperdir=$machine/upper,workdir=$machine/work" "$machine/tree" \
        2>/dev/null || cp -a --reflink=auto "$base/tree/." "$machine/tree/"
}

# Removes what copy_base and boot made.
remove_machine() {
    local folder
    if mountpoint --quiet "$machine/tree"; then umount "$machine/tree"; fi
    # Only empty control groups can be removed, and all of them should be that.
    for folder in $(cgroup_folders); do
        [ ! -d "$folder" ] || find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    rm -rf --one-file-system "$machine"
}

# Boots the machine; sets $nspawn and $leader (pids on this side).
boot() {
    local tries=150 state
    # A session of its own, so that ^C reaches this script and not the machine before it is cleaned up.
    join_cgroup setsid systemd-nspawn --quiet --boot --register=no --keep-unit --console=pipe --private-network \
        --machine="$(basename "$machine")" --directory="$machine/tree" </dev/null >>"$machine/console.log" 2>&1 &
    nspawn=$!
    echo "$nspawn" >"$machine/nspawn"
    leader=''
    while [ "$tries" -gt 0 ]; do
        kill -0 "$nspawn" 2>/dev/null || break
        if [ -z "$leader" ]; then
            leader=$(first_process)
        else
            state=$(inside systemctl is-system-running 2>/dev/null || true)
            case $state in running | degraded) return 0 ;; esac
        fi
        tries=$((tries - 1))
        sleep 0.2
    done
    tail -n 30 "$machine/console.log" >&2 || true
    die "the machine did not boot (state ${state:-unknown})" "its console is above"
}

# Runs a command in a control group of its own. --keep-unit makes the machine's groups below the one that it is started
# in, and two machines with the same groups would end each other's processes.
join_cgroup() {
    local folder
    for folder in $(cgroup_folders); do
        mkdir -p "$folder" && echo "$BASHPID" >"$folder/cgroup.procs"
    done
    exec "$@"
}

# Where this run's control groups are, in each hierarchy that systemd uses.
cgroup_folders() {
    local folder
    for folder in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        if [ -e "$folder/cgroup.procs" ]; then echo "$folder/$(basename "$machine")"; fi
    done
}

# The child of systemd-nspawn that is process 1 in there; others come and go while it starts.
first_process() {
    local child
    # shellcheck disable=SC2013
    for child in $(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null); do
        if grep -q '^NSpid:.*[[:space:]]1$' "/proc/$child/status" 2>/dev/null; then echo "$child"; fi
    done
}

# Ends the machine: as a shutdown, and by force if that takes too long.
halt() {
    local tries=150
    [ -n "${nspawn:-}" ] || return 0
    if kill -0 "$nspawn" 2>/dev/null; then
        # systemd's word for "shut down" (SIGRTMIN+4); --keep-unit leaves nobody else to ask.
        [ -z "$leader" ] || kill -s RTMIN+4 "$leader" 2>/dev/null || true
        while [ "$tries" -gt 0 ] && kill -0 "$nspawn" 2>/dev/null; do
            tries=$((tries - 1))
            sleep 0.1
        done
        if kill -0 "$nspawn" 2>/dev/null; then
            [ -z "$leader" ] || kill -KILL "$leader" 2>/dev/null || true
            kill -KILL "$nspawn" 2>/dev/null || true
        fi
    fi
    # Not our child where another run has started it.
    wait "$nspawn" 2>/dev/null || true
    nspawn='' leader=''
}

# Ends the machine as a power cut does.
power_off() {
    kill -KILL "$leader"
    wait "$nspawn" 2>/dev/null || true
    nspawn='' leader=''
}

# Runs a command in the machine as root, with an environment that holds nothing of ours.
inside() {
    nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
        /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
        HOME=/root SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 DEBIAN_FRONTEND=noninteractive "$@"
}

# Runs a command in the machine as one of its users, in their home.
as() {
    local user=$1
    shift
    # shellcheck disable=SC2016
    inside runuser --user "$user" -- /usr/bin/env HOME="/home/$user" USER="$user" LOGNAME="$user" \
        /bin/sh -c 'cd && exec "$@"' sh "$@"
}

# Waits until "$@" succeeds: `until_ok SECONDS command…`.
until_ok() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}
