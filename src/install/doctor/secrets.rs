//! The secrets file: who can read it, and whether the daemon gets it all the same. Who could change it is said with the
//! config files (`configured`). The key file likewise. Their content is not looked at.

use crate::config::keys;
use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, follow, quoted};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// Who can read it, and how the daemon does.
pub fn check(f: &Facts) -> Vec<Found> {
    let mut all = match follow(&f.paths.secrets) {
        Ok(Some(about)) if f.is_system() => system(f, &about),
        Ok(Some(about)) => vec![single_user(f, &about)],
        Ok(None) => vec![Found::ok("no secrets file")],
        Err(found) => vec![found],
    };
    all.extend(key_file(f));
    all
}

/// The daemon does not use a key file that anybody else can read, nor one that it cannot.
fn key_file(f: &Facts) -> Option<Found> {
    if !f.may_look_inside() {
        return None;
    }
    let path = f.paths.state_dir.join(keys::FILE);
    let (shown, word) = (path.display(), quoted(&path));
    let about = match follow(&path) {
        Ok(found) => found?,
        Err(found) => return Some(found),
    };
    if bits(&about) & 0o077 != 0 {
        let seen = format!("{shown}: others can read or write it, so the daemon does not use it");
        return Some(Found::error(
            seen,
            format!("chmod 0600 {word}, then change the key with `teleclaude key rotate`"),
        ));
    }
    f.keeper().filter(|uid| *uid != about.uid())?;
    let keeper = f.keeper_name();
    let seen = format!("{shown}: it is not the daemon's, which cannot read it");
    Some(Found::error(seen, format!("sudo chown {keeper} {word}")))
}

fn system(f: &Facts, about: &Metadata) -> Vec<Found> {
    let (path, word) = (f.paths.secrets.display(), quoted(&f.paths.secrets));
    let mode = bits(about);
    let mut all = Vec::new();
    if mode & 0o007 != 0 {
        // With `secrets.strict` the config is not valid then, and says so.
        let seen = format!("{path} can be read or written by everybody");
        all.push(Found::warning(seen, format!("sudo chmod o-rwx {word}, then change the keys in it")));
    }
    let group = f.service.as_ref().is_some_and(|s| s.groups.contains(&about.gid()) || s.uid == about.uid());
    let by_group = mode & 0o040 != 0 && group;
    let handed_over = f.units().is_some_and(|units| units.hands_over_secrets());
    if f.service.is_some() && mode & 0o004 == 0 && !by_group && !handed_over {
        let group = f.service_name();
        all.push(Found::error(
            format!("{path}: the daemon cannot read it, and systemd does not hand it over"),
            format!("sudo chgrp {group} {word} && sudo chmod 0640 {word}"),
        ));
    }
    if all.is_empty() {
        let how = if by_group { "the service's group reads it" } else { "systemd hands it over" };
        all.push(Found::ok(format!("mode {mode:04o}, {how}")));
    }
    all
}

fn single_user(f: &Facts, about: &Metadata) -> Found {
    let word = quoted(&f.paths.secrets);
    if bits(about) & 0o077 != 0 {
        let seen = format!("{} can be read by others", f.paths.secrets.display());
        return Found::warning(seen, format!("chmod 0600 {word}"));
    }
    Found::ok(format!("mode {:04o}", bits(about)))
}
