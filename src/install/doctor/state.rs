//! What the daemon keeps in folders: state, recordings, and the run files of its session hosts. Only who owns what, and
//! whether a host that is written down lives; no recording is opened.

use crate::host::files::{RunFile, read};
use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, exposed, follow, look, quoted};
use crate::platform::process;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Files of one folder that are looked at, at most.
const ENTRIES_MAX: usize = 10_000;

/// Longest run file that is read, in bytes.
const RUN_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A folder of the keeper's alone: what is wrong with it. `None` if it is not there.
fn private(f: &Facts, path: &Path, most: u32) -> Result<Option<Vec<Found>>, Found> {
    let Some(about) = follow(path)? else { return Ok(None) };
    let word = quoted(path);
    if !about.is_dir() {
        let mend = format!("move it away: {}mv {word} {word}.old", f.sudo());
        return Ok(Some(vec![Found::error(format!("{} is not a folder", path.display()), mend)]));
    }
    let mut all = Vec::new();
    if let Some(keeper) = f.keeper().filter(|k| *k != about.uid()) {
        let name = f.keeper_name();
        all.push(Found::error(
            format!("{} belongs to uid {}, not to uid {keeper}", path.display(), about.uid()),
            format!(
                "sudo chown -R {name}{} {word}",
                if f.is_system() { format!(":{name}") } else { String::new() }
            ),
        ));
    }
    if bits(&about) & !most & 0o777 != 0 {
        all.push(Found::error(
            format!("{} is open to others (mode {:04o})", path.display(), bits(&about)),
            format!("{}chmod {most:04o} {word}", f.sudo()),
        ));
    }
    Ok(Some(all))
}

/// Where the database and the recordings are.
pub fn folder(f: &Facts) -> Vec<Found> {
    let path = &f.paths.state_dir;
    let mut all = match private(f, path, 0o700) {
        Ok(Some(all)) => all,
        Ok(None) if f.is_system() => {
            let name = f.service_name();
            let mend = format!("sudo install -d -m 0700 -o {name} -g {name} {}", quoted(path));
            return vec![Found::error(format!("{} is not there", path.display()), mend)];
        }
        Ok(None) => return vec![Found::ok("not there yet: the daemon makes it")],
        Err(found) => return vec![found],
    };
    if let Some(above) = path.parent() {
        let trusted: Vec<u32> = [Some(0), f.keeper()].into_iter().flatten().collect();
        match exposed(&f.system.environment.root, above, &trusted) {
            Ok(found) => all.extend(found),
            Err(found) => all.push(found),
        }
    }
    if all.is_empty() {
        all.push(well(f, path));
    }
    all
}

/// Nothing is wrong with a path of the keeper's; without the keeper's account nobody can say whose it is.
pub fn well(f: &Facts, path: &Path) -> Found {
    let owner = if f.is_system() { f.service_name() } else { "this user" };
    if f.keeper().is_none() {
        return Found::skipped(format!(
            "{}: there is no account {owner} that it could belong to",
            path.display()
        ));
    }
    Found::ok(format!("{}, for {owner} alone", path.display()))
}

/// The recordings: evidence that the recorded cannot touch.
pub fn recordings(f: &Facts) -> Vec<Found> {
    if !f.may_look_inside() {
        return vec![Found::needs_root()];
    }
    let path = f.paths.state_dir.join("recordings");
    let mut all = match private(f, &path, 0o700) {
        Ok(Some(all)) => all,
        Ok(None) => return vec![Found::ok("none yet")],
        Err(found) => return vec![found],
    };
    let (mut count, mut open, mut foreign) = (0_usize, 0_usize, 0_usize);
    for entry in fs::read_dir(&path).into_iter().flatten().flatten().take(ENTRIES_MAX) {
        let Ok(about) = entry.metadata() else { continue };
        count += 1;
        open += usize::from(bits(&about) & 0o077 != 0);
        foreign += usize::from(f.keeper().is_some_and(|keeper| keeper != about.uid()));
    }
    let word = quoted(&path);
    if open > 0 {
        let seen = format!("{open} of {count} recordings are open to others");
        all.push(Found::error(seen, format!("{}chmod -R go-rwx {word}", f.sudo())));
    }
    if foreign > 0 {
        let seen = format!("{foreign} of {count} recordings belong to somebody else");
        all.push(Found::error(seen, format!("sudo chown -R {} {word}", f.keeper_name())));
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{count}{}", if count == ENTRIES_MAX { " or more" } else { "" })));
    }
    all
}

/// Where session hosts put their run files and sockets.
pub fn run_folder(f: &Facts) -> Vec<Found> {
    let path = &f.paths.run_dir;
    let all = match private(f, path, 0o750) {
        Ok(Some(all)) => all,
        Ok(None) => return vec![Found::ok("not there yet: made when the daemon starts")],
        Err(found) => return vec![found],
    };
    if all.is_empty() { vec![well(f, path)] } else { all }
}

/// Session hosts that are written down: whether they live, and whether somebody looks after them.
pub fn hosts(f: &Facts) -> Vec<Found> {
    if !f.may_look_inside() {
        return vec![Found::needs_root()];
    }
    let entries = match fs::read_dir(&f.paths.run_dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return vec![Found::needs_root()],
        Err(_) => return vec![Found::ok("none")],
    };
    let boot = process::boot_id();
    let (mut alive, mut gone, mut unknown) = (0_usize, Vec::new(), 0_usize);
    for entry in entries.flatten().take(ENTRIES_MAX) {
        let path = entry.path();
        let json = path.extension().is_some_and(|e| e == "json");
        // What is no plain file could make reading it wait.
        let plain = |about: &fs::Metadata| about.is_file() && about.len() <= RUN_FILE_BYTES_MAX;
        if !json || !look(&path).ok().flatten().is_some_and(|about| plain(&about)) {
            continue;
        }
        match read::<RunFile>(&path) {
            Ok(run) if run.boot == boot && process::is_alive(run.pid, run.start_time) => alive += 1,
            Ok(run) => gone.push(run.session_id.to_string()),
            Err(_) => unknown += 1,
        }
    }
    let restart = if f.is_macos() {
        "sudo launchctl kickstart -k system/ai.instrukt.teleclaude"
    } else {
        "sudo systemctl restart teleclaude"
    };
    let restart = if f.is_system() { restart } else { "teleclaude daemon" };
    let mut all = Vec::new();
    if !gone.is_empty() {
        let seen = format!("{} run files without a living host: {}", gone.len(), shown(&gone));
        all.push(Found::warning(seen, format!("{restart} (a daemon that starts ends these sessions)")));
    }
    if unknown > 0 {
        let seen = format!("{unknown} files in {} that are no run files", f.paths.run_dir.display());
        all.push(Found::note(seen));
    }
    if alive > 0 && !f.asked().answers() {
        let seen = format!("{alive} sessions run, and no daemon looks after them");
        all.push(Found::warning(seen, restart));
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{alive} running")));
    }
    all
}

fn shown(ids: &[String]) -> String {
    let first: Vec<&str> = ids.iter().take(3).map(String::as_str).collect();
    let more = if ids.len() > 3 { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}
