//! What the service manager knows: the service's user, its units, and the programs they start. On Linux systemd is
//! asked by `systemctl show`, on macOS launchd by `launchctl print`; neither needs root.

use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::files::{exposed, follow, look};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const SOCKET: &str = "teleclaude.socket";
const SERVICE: &str = "teleclaude.service";
const RUNNER_SOCKET: &str = "teleclaude-runner.socket";
/// An instance that never runs: only so is a template shown.
const RUNNER: &str = "teleclaude-runner@doctor.service";
const PROPERTIES: &str = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,ExecStart,LimitNOFILESoft";
const INSTALL: &str = "install the package again, or run `sudo bin/install-system.sh`";
/// Labels of launchd's jobs.
const LABELS: [&str; 2] = ["ai.instrukt.teleclaude", "ai.instrukt.teleclaude-runner"];
/// Groups that are as good as being root.
const MIGHTY: [&str; 7] = ["root", "sudo", "wheel", "admin", "docker", "shadow", "disk"];

/// What systemd says of our units: properties by unit, and the text of the service with its drop-ins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units {
    properties: BTreeMap<String, BTreeMap<String, String>>,
    text: String,
}

impl Units {
    fn get(&self, unit: &str, property: &str) -> &str {
        self.properties.get(unit).and_then(|p| p.get(property)).map_or("", String::as_str)
    }

    /// Whether the service gets secrets.yml as a credential.
    pub fn hands_over_secrets(&self) -> bool {
        self.text.lines().any(|line| line.trim().starts_with("LoadCredential=secrets.yml:"))
    }

    /// How many files the daemon may open, where systemd says it.
    pub fn open_files(&self) -> Option<u64> {
        match self.get(SERVICE, "LimitNOFILESoft") {
            "infinity" => Some(u64::MAX),
            number => number.parse().ok(),
        }
    }

    /// The program that a unit starts.
    fn program(&self, unit: &str) -> Option<PathBuf> {
        let (_, rest) = self.get(unit, "ExecStart").split_once("path=")?;
        Some(PathBuf::from(rest.split(" ;").next()?.trim()))
    }
}

/// Asks systemd; nothing where it does not run.
pub fn ask(f: &Facts) -> Option<Units> {
    if !f.is_system() || f.is_macos() {
        return None;
    }
    let property = format!("--property={PROPERTIES}");
    let shown = (f.system.run)(&["systemctl", "show", &property, SOCKET, SERVICE, RUNNER_SOCKET, RUNNER])?;
    if !shown.success {
        return None;
    }
    let mut properties = BTreeMap::new();
    for block in shown.text.split("\n\n") {
        let unit: BTreeMap<String, String> = block
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if let Some(id) = unit.get("Id") {
            properties.insert(id.clone(), unit);
        }
    }
    let text = (f.system.run)(&["systemctl", "cat", SERVICE]).map(|said| said.text).unwrap_or_default();
    Some(Units { properties, text })
}

/// The account that keeps everything: there, without a login, without power over others.
pub fn service_user(f: &Facts) -> Vec<Found> {
    if !f.is_system() {
        return Vec::new();
    }
    let name = f.service_name();
    let Some(service) = &f.service else {
        let mend = if f.is_macos() { INSTALL } else { "sudo systemd-sysusers teleclaude.conf" };
        return vec![Found::error(format!("there is no account {name}"), mend)];
    };
    let mut all = Vec::new();
    if service.uid == 0 {
        all.push(Found::error(format!("{name} is root"), "give it a uid of its own"));
    }
    let shell = service.shell.file_name().and_then(|n| n.to_str()).unwrap_or("");
    if !["", "nologin", "false", "true"].contains(&shell) {
        all.push(Found::warning(
            format!("{name} can log in: its shell is {}", service.shell.display()),
            format!("sudo usermod --shell /usr/sbin/nologin {name}"),
        ));
    }
    // With run_as service it may have one, below what is the daemon's anyway.
    let own = [Path::new("/"), Path::new("/var/empty")].contains(&service.home.as_path())
        || service.home.starts_with(&f.paths.state_dir);
    if !own && service.home.exists() {
        all.push(Found::warning(
            format!("{name} has a home: {}", service.home.display()),
            format!("sudo usermod --home /nonexistent {name}"),
        ));
    }
    let mighty: Vec<&str> = MIGHTY
        .into_iter()
        .filter(|group| (f.system.group)(group).is_some_and(|g| service.groups.contains(&g.gid)))
        .collect();
    if !mighty.is_empty() {
        let list = mighty.join(", ");
        all.push(Found::error(
            format!("{name} is in {list}: that is as good as root"),
            format!("sudo gpasswd --delete {name} {}", mighty[0]),
        ));
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{name}, uid {}, no login", service.uid)));
    }
    all
}

/// The units: installed, enabled, active, and as they are on the disk.
pub fn units(f: &Facts) -> Vec<Found> {
    if !f.is_system() {
        return Vec::new();
    }
    if f.is_macos() {
        return launchd(f);
    }
    let Some(units) = f.units() else { return vec![Found::skipped("systemd does not run here")] };
    let mut sockets = vec![SOCKET];
    let mut wanted = vec![SERVICE];
    if f.runs_as_owner() {
        sockets.push(RUNNER_SOCKET);
        wanted.push(RUNNER);
    }
    let mut all = Vec::new();
    let mut stale = false;
    for unit in sockets.iter().chain(&wanted) {
        let load = units.get(unit, "LoadState");
        stale |= units.get(unit, "NeedDaemonReload") == "yes";
        if load == "masked" {
            all.push(Found::error(format!("{unit} is masked"), format!("sudo systemctl unmask {unit}")));
        } else if load != "loaded" {
            let state = if load.is_empty() { "not-found" } else { load };
            all.push(Found::error(format!("{unit} is not installed ({state})"), INSTALL));
        } else if sockets.contains(unit) {
            all.extend(socket_unit(units, unit));
        }
    }
    if units.get(SERVICE, "ActiveState") == "failed" {
        all.push(Found::error(
            format!("{SERVICE} failed"),
            format!("see `journalctl -u {SERVICE} -b`, then `sudo systemctl restart {SERVICE}`"),
        ));
    }
    if stale {
        let seen = "units have changed on the disk since systemd read them";
        all.push(Found::warning(seen, "sudo systemctl daemon-reload"));
    }
    if all.is_empty() {
        all.push(Found::ok("installed, enabled, listening"));
    }
    all
}

fn socket_unit(units: &Units, unit: &str) -> Option<Found> {
    let enabled = units.get(unit, "UnitFileState");
    match units.get(unit, "ActiveState") {
        "active" if enabled.starts_with("enabled") => None,
        "active" => Some(Found::warning(
            format!("{unit} is not enabled: it is gone after the next boot"),
            format!("sudo systemctl enable {unit}"),
        )),
        state => Some(Found::error(
            format!("{unit} is {state}: nobody can connect"),
            format!("sudo systemctl enable --now {unit}"),
        )),
    }
}

fn launchd(f: &Facts) -> Vec<Found> {
    let labels = if f.runs_as_owner() { &LABELS[..] } else { &LABELS[..1] };
    let mut all = Vec::new();
    for label in labels {
        let plist = f.system.at(&format!("Library/LaunchDaemons/{label}.plist"));
        if !plist.exists() {
            all.push(Found::error(format!("{} is not there", plist.display()), INSTALL));
            continue;
        }
        all.extend(exposed(&f.system.environment.root, &plist, &[0]).unwrap_or_else(|found| vec![found]));
        let target = format!("system/{label}");
        if !(f.system.run)(&["launchctl", "print", &target]).is_some_and(|said| said.success) {
            all.push(Found::error(
                format!("launchd does not know {label}"),
                format!("sudo launchctl bootstrap system {}", plist.display()),
            ));
        }
    }
    if all.is_empty() {
        all.push(Found::ok("installed and known to launchd"));
    }
    all
}

/// The programs that run as the service and as root: there, root's, and the ones that people use.
pub fn programs(f: &Facts) -> Vec<Found> {
    let (root, own) = (&f.system.environment.root, f.system.exe.clone());
    if !f.is_system() {
        return vec![Found::ok(own.display().to_string())];
    }
    let started = f.units().and_then(|units| units.program(SERVICE));
    let mut programs = vec![started.clone().unwrap_or_else(|| own.clone())];
    if f.runs_as_owner() {
        let runner =
            f.units().and_then(|units| units.program(RUNNER)).or_else(|| beside(f, "teleclaude-runner"));
        match runner {
            Some(runner) => programs.push(runner),
            None => return vec![Found::error("teleclaude-runner is not there", INSTALL)],
        }
    }
    let mut all = Vec::new();
    for program in &programs {
        match follow(program) {
            Ok(Some(about)) if about.is_file() && about.mode() & 0o111 == 0o111 => {
                match exposed(root, program, &[0]) {
                    Ok(found) => all.extend(found),
                    Err(found) => all.push(found),
                }
            }
            Ok(Some(_)) => all.push(Found::error(
                format!("{} cannot be run by everybody", program.display()),
                format!("sudo chmod 0755 {}", program.display()),
            )),
            Ok(None) => all.push(Found::error(format!("{} is not there", program.display()), INSTALL)),
            Err(found) => all.push(found),
        }
    }
    if let Some(started) = started.filter(|s| !same(s, &own) && s.exists()) {
        all.push(Found::note(format!("the service runs {}, this is {}", started.display(), own.display())));
    }
    if all.is_empty() {
        let names: Vec<String> = programs.iter().map(|p| p.display().to_string()).collect();
        all.push(Found::ok(names.join(", ")));
    }
    all
}

/// A program of ours beside this one, or where packages and the installer put it.
fn beside(f: &Facts, name: &str) -> Option<PathBuf> {
    let folders = ["usr/bin", "usr/local/bin"].map(|folder| f.system.at(folder));
    let own = f.system.exe.parent().map(Path::to_owned);
    own.into_iter().chain(folders).map(|dir| dir.join(name)).find(|path| look(path).ok().flatten().is_some())
}

fn same(one: &Path, other: &Path) -> bool {
    match (std::fs::canonicalize(one), std::fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
