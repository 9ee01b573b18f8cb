//! The machine around the daemon: room on disks, the clock, the log, open files, user namespaces, and in single-user
//! mode what a login session should have given.

use crate::config::paths::Mode;
use crate::config::schema::LogTarget;
use crate::install::doctor::Found;
use crate::install::doctor::database::Answer;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, follow, quoted};
use crate::install::doctor::people::accounts;
use crate::install::doctor::system::Who;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;
/// Less room than this and something is about to fail.
const ROOM_ERROR: u64 = 100 * MIB;
/// Less room than this wants a look: four recordings of the usual bound.
const ROOM_WARNING: u64 = 1024 * MIB;
/// Fewer files that can be made than this.
const FILES_WARNING: u64 = 10_000;
/// Open files the daemon needs besides its connections: hosts, the database, recordings.
const OTHER_FILES: u64 = 512;
/// This program did not exist before: 2026-01-01T00:00:00Z, in seconds of the epoch.
const BEGINNING: i64 = 1_767_225_600;
/// How far the clock may be behind the newest row of the audit log.
const BEHIND: Duration = Duration::from_secs(60);

/// Room for what is kept, and for agents' temporary files.
pub fn disk(f: &Facts) -> Vec<Found> {
    let mut folders = BTreeSet::from([there(&f.paths.state_dir), there(&f.system.at("tmp"))]);
    if let Ok(loaded) = f.loaded()
        && let Some(folder) = loaded.config.database.path.parent()
    {
        folders.insert(there(folder));
    }
    let mut all = Vec::new();
    let mut least = u64::MAX;
    for folder in folders {
        let volume = match (f.system.volume)(&folder) {
            Ok(volume) => volume,
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                all.push(Found::needs_root());
                continue;
            }
            Err(e) => {
                all.push(Found::error(format!("{}: {e}", folder.display()), "see `df`, `dmesg`"));
                continue;
            }
        };
        least = least.min(volume.free_bytes);
        let seen = format!("{} left at {}", size(volume.free_bytes), folder.display());
        let mend = format!("make room: `du -xh --max-depth=2 {}`; or set retention", quoted(&folder));
        if volume.free_bytes < ROOM_ERROR {
            all.push(Found::error(seen, mend));
        } else if volume.free_bytes < ROOM_WARNING {
            all.push(Found::warning(seen, mend));
        } else if volume.free_files.is_some_and(|files| files < FILES_WARNING) {
            let seen = format!(
                "no more than {} files can be made at {}",
                volume.free_files.unwrap_or(0),
                folder.display()
            );
            all.push(Found::warning(seen, "see `df -i`: remove what is many and small"));
        }
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{} or more left", size(least))));
    }
    all
}

/// The folder, or the nearest one above it that is there.
fn there(folder: &Path) -> PathBuf {
    folder.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn size(bytes: u64) -> String {
    if bytes >= 1024 * MIB { format!("{} GiB", bytes / (1024 * MIB)) } else { format!("{} MiB", bytes / MIB) }
}

/// Whether the time can be believed: the audit log's times are this clock's.
pub fn clock(f: &Facts) -> Vec<Found> {
    let set = if f.is_macos() { "sudo sntp -sS time.apple.com" } else { "sudo timedatectl set-ntp true" };
    let now = f.system.now;
    if now.micros() < BEGINNING * 1_000_000 {
        return vec![Found::error(format!("the clock says {now}, which is long past"), set)];
    }
    if let Answer::Given { newest: Some(newest), .. } = f.answer()
        && newest.since(now) > BEHIND
    {
        let seen = format!("the clock says {now}, but the newest row of the audit log is of {newest}");
        return vec![Found::warning(seen, set)];
    }
    if f.is_macos() {
        return vec![Found::ok(now.to_string())];
    }
    let synchronised = (f.system.run)(&["timedatectl", "show", "--property=NTPSynchronized", "--value"]);
    match synchronised.filter(|said| said.success).map(|said| said.text.trim().to_owned()).as_deref() {
        Some("yes") => vec![Found::ok("synchronised")],
        Some("no") if f.system.at("run/systemd/container").exists() => {
            vec![Found::note("the clock is not synchronised; in this container that is the host's affair")]
        }
        Some("no") => vec![Found::warning("the clock is not synchronised", set)],
        _ => vec![Found::note(format!("the clock says {now}; nobody here says whether it is synchronised"))],
    }
}

/// Whether the log arrives where the config sends it.
pub fn log(f: &Facts) -> Vec<Found> {
    let loaded = match f.loaded() {
        Ok(loaded) => loaded,
        Err(skipped) => return skipped,
    };
    match loaded.config.log.target {
        LogTarget::Stderr => vec![Found::ok("standard error")],
        LogTarget::Journald if f.system.at("run/systemd/journal/socket").exists() => {
            vec![Found::ok("journald")]
        }
        LogTarget::Journald => {
            let seen = "log.target is journald, which does not listen: the log goes to standard error";
            vec![Found::warning(seen, "set log.target: stderr, or `sudo systemctl start systemd-journald`")]
        }
    }
}

/// Whether as many connections as the config allows can be open.
pub fn open_files(f: &Facts) -> Vec<Found> {
    let loaded = match f.loaded() {
        Ok(loaded) => loaded,
        Err(skipped) => return skipped,
    };
    let limit =
        if f.is_system() { f.units().and_then(|u| u.open_files()) } else { Some(f.system.open_files) };
    let Some(limit) = limit else { return vec![Found::skipped("the service manager does not say")] };
    let connections = u64::from(loaded.config.limits.connections);
    if limit >= connections + OTHER_FILES {
        let shown = if limit == u64::MAX { "no limit".to_owned() } else { limit.to_string() };
        return vec![Found::ok(format!("{shown}, for {connections} connections"))];
    }
    let seen = format!("{limit} files may be open, limits.connections is {connections}");
    if !f.is_system() {
        return vec![
            Found::note(seen)
                .mend(format!("`ulimit -n {}` before `teleclaude daemon`", connections + OTHER_FILES)),
        ];
    }
    let mend = format!(
        "`sudo systemctl edit teleclaude`: LimitNOFILE={}; or lower limits.connections",
        connections + OTHER_FILES
    );
    vec![Found::warning(seen, mend)]
}

/// Whether the uids that the kernel tells are those of the machine.
pub fn user_namespace(f: &Facts) -> Vec<Found> {
    if f.is_macos() {
        return Vec::new();
    }
    let Ok(map) = std::fs::read_to_string(f.system.at("proc/self/uid_map")) else {
        return vec![Found::skipped("/proc is not there")];
    };
    let rows: Vec<Vec<&str>> = map.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    let whole = matches!(rows.as_slice(), [row] if row.as_slice() == ["0", "0", "4294967295"]);
    if whole {
        return vec![Found::ok("the machine's own")];
    }
    let overflow = std::fs::read_to_string(f.system.at("proc/sys/kernel/overflowuid")).unwrap_or_default();
    let overflow = overflow.trim();
    let seen = format!(
        "in a user namespace of its own: others than its users all look like uid {overflow}, and are nobody"
    );
    if f.mode == Mode::SingleUser {
        return vec![Found::note(seen)];
    }
    vec![Found::warning(
        seen,
        "run the daemon outside, or the container without a user namespace (PrivateUsers=no)",
    )]
}

/// The login session's own folder, in single-user mode.
pub fn runtime_folder(f: &Facts) -> Vec<Found> {
    if f.is_system() {
        return Vec::new();
    }
    let Some(folder) = f.system.environment.var("XDG_RUNTIME_DIR").filter(|v| v.starts_with('/')) else {
        let seen = format!("XDG_RUNTIME_DIR is not set: {} is used", f.paths.run_dir.display());
        return vec![if f.is_macos() { Found::ok(seen) } else { Found::note(seen) }];
    };
    let path = Path::new(folder);
    let uid = f.system.environment.uid;
    match follow(path) {
        Ok(Some(about)) if about.is_dir() && about.uid() == uid && bits(&about) & 0o077 == 0 => {
            vec![Found::ok(folder)]
        }
        Ok(Some(about)) if about.is_dir() => {
            let seen = format!(
                "XDG_RUNTIME_DIR {folder} is not this user's alone (uid {}, mode {:04o})",
                about.uid(),
                bits(&about)
            );
            vec![Found::warning(seen, "log in anew, or unset XDG_RUNTIME_DIR")]
        }
        Ok(_) => {
            let seen = format!("XDG_RUNTIME_DIR {folder} is not there");
            vec![Found::warning(
                seen,
                "log in anew (`loginctl enable-linger` keeps it), or unset XDG_RUNTIME_DIR",
            )]
        }
        Err(_) => vec![Found::warning(
            format!("XDG_RUNTIME_DIR {folder} is another user's"),
            "unset XDG_RUNTIME_DIR",
        )],
    }
}

/// The login shell, in single-user mode: sessions of the agent `shell` run it.
pub fn shell(f: &Facts) -> Vec<Found> {
    if f.is_system() {
        return Vec::new();
    }
    let uid = f.system.environment.uid;
    let Some(account) = (f.system.account)(Who::Uid(uid)) else {
        let seen = format!("uid {uid} has no account: /bin/sh is used");
        return vec![Found::note(seen)];
    };
    let runs = follow(&account.shell).ok().flatten().is_some_and(|a| a.is_file() && a.mode() & 0o111 != 0);
    if runs {
        return vec![Found::ok(account.shell.display().to_string())];
    }
    let seen = format!("the login shell {} cannot be run", account.shell.display());
    vec![Found::warning(seen, "chsh -s /bin/sh")]
}

/// Databases of the earlier single-user system.
pub fn earlier(f: &Facts) -> Vec<Found> {
    let mut homes = BTreeSet::from([f.system.environment.home.clone()]);
    if f.is_system() && f.system.is_root() {
        homes.extend(accounts(f).into_iter().map(|(account, _)| account.home));
    }
    let found: Vec<String> = homes
        .iter()
        .map(|home| home.join(".teleclaude/teleclaude.db"))
        .filter(|path| follow(path).is_ok_and(|about| about.is_some()))
        .map(|path| path.display().to_string())
        .collect();
    if found.is_empty() {
        return vec![Found::ok("none")];
    }
    vec![Found::note(format!("an earlier single-user installation: {}; it is left alone", found.join(", ")))]
}
