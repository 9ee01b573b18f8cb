//! The folder of shared documents: there, readable for the daemon, and written by nobody else than those who decide what
//! agents are told. What is wrong with single documents the daemon says itself.

use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, exposed, follow, quoted};
use crate::install::doctor::{Found, State};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Folders that the daemon's unit does not let it see.
const UNSEEN: [&str; 3] = ["home", "root", "run/user"];

/// Looks at the folder, and at what the daemon says of it.
pub fn docs(f: &Facts) -> Vec<Found> {
    let path = match f.loaded() {
        Ok(loaded) => &loaded.config.docs.path,
        Err(skipped) => return skipped,
    };
    let shown = path.display();
    let about = match follow(path) {
        Ok(Some(about)) => about,
        Ok(None) if f.is_system() => {
            let make = format!("sudo install -d -m 755 {}", quoted(path));
            return vec![Found::warning(
                format!("{shown} is not there: there are no shared documents"),
                make,
            )];
        }
        Ok(None) => return vec![Found::ok(format!("none: {shown} is not there"))],
        Err(found) => return vec![found],
    };
    if !about.is_dir() {
        return vec![Found::error(format!("{shown} is not a folder"), "correct docs.path")];
    }
    let mut all = Vec::new();
    if f.is_system() && !f.is_macos() && UNSEEN.iter().any(|folder| path.starts_with(f.system.at(folder))) {
        let seen = format!("{shown} lies where the daemon's unit does not let it look (ProtectHome=yes)");
        let mend = "move it and change docs.path, or set ProtectHome=read-only with `sudo systemctl edit teleclaude`";
        all.push(Found::warning(seen, mend));
    }
    if let Some(service) = f.service.as_ref().filter(|_| f.is_system()) {
        let mode = bits(&about);
        let theirs = match () {
            () if about.uid() == service.uid => mode >> 6,
            () if service.groups.contains(&about.gid()) => mode >> 3,
            () => mode,
        };
        if theirs & 0o5 != 0o5 {
            let seen = format!("{shown} has mode {mode:04o}: the service user cannot read it");
            all.push(Found::warning(seen, format!("sudo chmod a+rX {}", quoted(path))));
        }
    }
    all.extend(written_by_others(f, path));
    all.extend(said(f));
    if all.is_empty() {
        all.push(Found::ok(format!("{shown}")));
    }
    all
}

/// Whoever can write there decides what agents are told, and who may read it.
fn written_by_others(f: &Facts, path: &Path) -> Vec<Found> {
    let trusted: Vec<u32> = [Some(0), f.keeper()].into_iter().flatten().collect();
    match exposed(&f.system.environment.root, path, &trusted) {
        Ok(found) => found.into_iter().map(|found| Found { state: State::Warning, ..found }).collect(),
        Err(found) => vec![found],
    }
}

/// What the daemon says; admins alone are told.
fn said(f: &Facts) -> Option<Found> {
    let detail = f.asked().detail()?;
    let mut problems = detail.problems.iter().filter_map(|problem| problem.strip_prefix("docs: "));
    let first = problems.next()?;
    let more = match problems.count() {
        0 => String::new(),
        _ => ", and more".to_owned(),
    };
    Some(Found::warning(format!("{first}{more}"), "`teleclaude docs index --problems` shows all"))
}
