//! Which mode this is, whether the config is valid, and who could change its files. What the config says is judged in
//! the files of its nouns.

use crate::config::paths::{Mode, Paths};
use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, exposed, follow, quoted};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Which mode, and whether that is likely to be meant.
pub fn mode(f: &Facts) -> Vec<Found> {
    let path = f.paths.config.display();
    let chosen = f.system.environment.var("TELECLAUDE_CONFIG_PATH").is_some();
    let there = f.paths.config.is_file();
    let first = match (f.mode, there) {
        (Mode::System, true) => Found::ok(format!("system mode: {path}")),
        (Mode::System, false) => Found::error(
            format!("TELECLAUDE_SYSTEM_MODE says system mode, but {path} is not there"),
            "install the package again, or run `sudo bin/install-system.sh`",
        ),
        (Mode::SingleUser, true) => Found::ok(format!("single-user mode: {path}")),
        (Mode::SingleUser, false) => Found::ok("single-user mode, nothing configured"),
    };
    let mut all = vec![first];
    if chosen && f.is_system() {
        all.push(Found::note("TELECLAUDE_CONFIG_PATH is set here; the service does not see it"));
    }
    all.extend(half_installed(f));
    all
}

/// In single-user mode though the machine has, or had, a daemon of its own.
fn half_installed(f: &Facts) -> Option<Found> {
    let forced = f.system.environment.var("TELECLAUDE_SYSTEM_MODE").is_some();
    if f.is_system() || forced {
        return None;
    }
    let system = Paths::of(&f.system.environment, Mode::System);
    // Seen from outside: a folder that this user cannot enter hides the config, and with it the system mode.
    let hidden = follow(&system.config).is_err();
    if hidden {
        let folder = system.config.parent().map(PathBuf::from).unwrap_or_default();
        return Some(Found::error(
            format!("{} cannot be entered, so this user does not see the system's daemon", folder.display()),
            format!("sudo chmod a+rx {}", quoted(&folder)),
        ));
    }
    // Where a package, the script and people put units.
    let installed = ["usr/lib", "usr/local/lib", "etc"]
        .iter()
        .any(|above| f.system.at(&format!("{above}/systemd/system/teleclaude.service")).exists());
    installed.then(|| {
        Found::warning(
            format!("the service is installed, but its config {} is not there", system.config.display()),
            "install the package again, or run `sudo bin/install-system.sh`; or uninstall it",
        )
    })
}

/// Every problem of every file, with file and line.
pub fn valid(f: &Facts) -> Vec<Found> {
    match &f.config {
        Err(problems) => {
            let mend = "correct the line, then `teleclaude config check`";
            problems.0.iter().map(|p| Found::error(p.to_string(), mend)).collect()
        }
        Ok(loaded) => {
            // What is wrong with the secrets file is said by the check of that name.
            let secrets = f.paths.secrets.display().to_string();
            let odd: Vec<Found> = loaded
                .warnings
                .iter()
                .filter(|w| !w.starts_with(&secrets))
                .map(|w| Found::warning(w.clone(), "see `teleclaude config show --origin`"))
                .collect();
            if odd.is_empty() { vec![Found::ok("valid")] } else { odd }
        }
    }
}

/// Who could change the config, and whether those who must read it can.
pub fn files(f: &Facts) -> Vec<Found> {
    let trusted = if f.is_system() { vec![0] } else { vec![f.system.environment.uid, 0] };
    let mut files = vec![f.paths.config.clone(), f.paths.secrets.clone()];
    match std::fs::read_dir(&f.paths.config_d) {
        Ok(entries) => {
            files.push(f.paths.config_d.clone());
            files.extend(
                entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "yml")),
            );
        }
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return vec![Found::needs_root()],
        Err(_) => {}
    }
    files.sort();
    let mut all: Vec<Found> = Vec::new();
    let mut count = 0;
    for file in &files {
        match follow(file) {
            Ok(Some(about)) => {
                count += 1;
                let secret = *file == f.paths.secrets;
                let group = f.service.as_ref().is_some_and(|s| s.groups.contains(&about.gid()));
                let readable = bits(&about) & 0o004 != 0 || (group && bits(&about) & 0o040 != 0);
                if f.is_system() && !secret && f.service.is_some() && !readable {
                    all.push(Found::error(
                        format!("{}: the service user cannot read it", file.display()),
                        format!("sudo chmod a+r{} {}", if about.is_dir() { "x" } else { "" }, quoted(file)),
                    ));
                }
            }
            // Where it is not, nobody else should be able to put one.
            Ok(None) => {}
            Err(found) => {
                all.push(found);
                continue;
            }
        }
        match exposed(&f.system.environment.root, file, &trusted) {
            Ok(found) => all.extend(found),
            Err(found) => all.push(found),
        }
    }
    all.extend(hidden_folder(f));
    // The folders of several files are the same.
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|found| seen.insert(found.seen.clone()));
    if all.is_empty() {
        let whose = if f.is_system() { "only root" } else { "only this user" };
        let seen = if count == 0 { "none".to_owned() } else { format!("{whose} can change them") };
        all.push(Found::ok(seen));
    }
    all
}

/// The config's folder, if others cannot see into it: they would be in single-user mode.
fn hidden_folder(f: &Facts) -> Option<Found> {
    let folder = f.paths.config.parent().filter(|_| f.is_system())?;
    let about = follow(folder).ok().flatten()?;
    (bits(&about) & 0o001 == 0).then(|| {
        Found::error(
            format!("{} cannot be entered by others: they do not find the daemon", folder.display()),
            format!("sudo chmod a+rx {}", quoted(folder)),
        )
    })
}
