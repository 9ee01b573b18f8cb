//! The runner, as far as it can be seen from outside: its socket, and the group it serves besides the people of the
//! config. It is not spoken to: it answers nobody but the service user.

use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{bits, exposed, look, quoted};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

/// Its socket: there, and for the service user alone.
pub fn runner(f: &Facts) -> Vec<Found> {
    if !f.is_system() {
        return Vec::new();
    }
    if let Err(skipped) = f.loaded() {
        return skipped;
    }
    if !f.runs_as_owner() {
        return vec![Found::note(
            "sessions.run_as is service: agents run as the service user, and can read what the daemon can",
        )];
    }
    let path = f.paths.runner_socket.clone();
    let restart = if f.is_macos() {
        "sudo launchctl bootstrap system /Library/LaunchDaemons/ai.instrukt.teleclaude-runner.plist"
    } else {
        "sudo systemctl enable --now teleclaude-runner.socket"
    };
    let about = match look(&path) {
        Ok(Some(about)) => about,
        Ok(None) => {
            let seen = format!("{} is not there: no session can start", path.display());
            return vec![Found::error(seen, restart)];
        }
        Err(found) => return vec![found],
    };
    let mut all = Vec::new();
    if !about.file_type().is_socket() {
        let seen = format!("{} is not a socket", path.display());
        all.push(Found::error(seen, format!("sudo rm {} && {restart}", quoted(&path))));
    } else if let Some(service) = f.service.as_ref().filter(|s| s.uid != about.uid()) {
        all.push(Found::error(
            format!("{} belongs to uid {}, not to {}", path.display(), about.uid(), service.name),
            restart.replace("enable --now", "restart"),
        ));
    } else if bits(&about) & 0o077 != 0 {
        all.push(Found::error(
            format!("{} is open to others (mode {:04o})", path.display(), bits(&about)),
            restart.replace("enable --now", "restart"),
        ));
    }
    if let Some(folder) = path.parent() {
        all.extend(exposed(&f.system.environment.root, folder, &[0]).unwrap_or_else(|found| vec![found]));
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{}, for {} alone", path.display(), f.service_name())));
    }
    all
}

/// The OS group whose members it serves too.
pub fn group(f: &Facts) -> Vec<Found> {
    if !f.runs_as_owner() {
        return Vec::new();
    }
    let Ok(loaded) = f.loaded() else { return Vec::new() };
    let Some(name) = &loaded.config.runner.group else {
        return vec![Found::ok("none: the people of the config only")];
    };
    match (f.system.group)(name) {
        Some(group) => vec![Found::ok(format!("{name}, {} listed members", group.members.len()))],
        None => {
            let place = loaded.origins.file_line("runner.group").unwrap_or_else(|| "the config".to_owned());
            let seen = format!("{place}: runner.group: there is no group {name}");
            vec![Found::warning(seen, format!("sudo groupadd {name}, or correct the line"))]
        }
    }
}
