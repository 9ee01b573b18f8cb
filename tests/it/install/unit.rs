//! What is installed for the service managers: systemd's units as systemd sees them, and launchd's property lists
//! against the keys that launchd knows.

use super::repository;
use crate::install::plist::Plist;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use teleclaude::config::paths::{Environment, Mode, Os, Paths};

const UNITS: [&str; 4] =
    ["teleclaude.socket", "teleclaude.service", "teleclaude-runner.socket", "teleclaude-runner@.service"];
/// The daemon's exposure at most, by `systemd-analyze security`, times ten.
const EXPOSURE_MAX: &str = "15";

fn unit(name: &str) -> String {
    fs::read_to_string(repository().join("etc/systemd").join(name)).unwrap()
}

/// The values of a key, in their order.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// Runs systemd-analyze where there is one.
fn analyze(test: &str, args: &[&str], folder: &Path) -> Option<Output> {
    match Command::new("systemd-analyze").args(args).current_dir(folder).output() {
        Ok(output) => Some(output),
        Err(_) => {
            let _ = writeln!(std::io::stderr(), "{test}: skipped, there is no systemd-analyze here");
            None
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn system_paths(os: Os) -> Paths {
    let env = Environment {
        vars: std::collections::BTreeMap::new(),
        home: "/nonexistent".into(),
        uid: 4_711,
        hostname: "box".to_owned(),
        os,
        root: "/".into(),
        socket: None,
    };
    Paths::of(&env, Mode::System)
}

#[test]
fn systemd_finds_nothing_to_complain_about_in_the_units() {
    // A copy, whose programs are there.
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        let text = unit(name)
            .replace("/usr/bin/teleclaude-runner", "/bin/sh")
            .replace("/usr/bin/teleclaude ", "/bin/sh ");
        fs::write(folder.path().join(name), text).unwrap();
    }
    let args = ["verify", "--man=no"].into_iter().chain(UNITS).collect::<Vec<_>>();
    let Some(output) = analyze("systemd_finds_nothing_to_complain_about_in_the_units", &args, folder.path())
    else {
        return;
    };
    let ours: Vec<String> =
        said(&output).lines().filter(|line| line.contains("teleclaude")).map(str::to_owned).collect();
    assert!(output.status.success() && ours.is_empty(), "{}", said(&output));
}

#[test]
fn the_daemon_is_as_closed_as_promised() {
    let folder = repository().join("etc/systemd");
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let args = ["security", "--offline=true", "--no-pager", &threshold, "./teleclaude.service"];
    let Some(output) = analyze("the_daemon_is_as_closed_as_promised", &args, &folder) else { return };
    // Older ones cannot do it without a running systemd.
    if said(&output).contains("--offline") || said(&output).contains("threshold") {
        eprintln!("the_daemon_is_as_closed_as_promised: skipped, this systemd-analyze is too old");
        return;
    }
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_is_left_open_has_its_reason_beside_it() {
    for (name, keys) in [
        (
            "teleclaude.service",
            &["PrivateUsers=no", "ProtectProc=", "PrivateNetwork=no", "IPAddressDeny="][..],
        ),
        ("teleclaude-runner@.service", &["CapabilityBoundingSet=", "NoNewPrivileges=", "OOMPolicy="][..]),
        ("teleclaude.socket", &["SocketMode=0666", "TriggerLimitIntervalSec="][..]),
        ("teleclaude-runner.socket", &["MaxConnections=", "TriggerLimitIntervalSec="][..]),
    ] {
        let text = unit(name);
        let lines: Vec<&str> = text.lines().collect();
        for key in keys {
            let at = lines.iter().position(|line| line.starts_with(key));
            let at = at.unwrap_or_else(|| panic!("{name} has no {key}"));
            assert!(lines[at - 1].starts_with("# "), "{name}: {key} has no reason above it");
        }
    }
    let runner = unit("teleclaude-runner@.service");
    for key in
        ["ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateNetwork", "SystemCallFilter"]
    {
        assert!(values(&runner, key).is_empty(), "agents would inherit {key}");
        assert!(runner.contains(key), "why not {key} is for a comment to say");
    }
}

#[test]
fn the_units_and_the_program_speak_of_the_same_places() {
    let paths = system_paths(Os::Linux);
    let daemon = unit("teleclaude.service");
    let socket = unit("teleclaude.socket");
    // /var/run is /run wherever there is systemd, which wants the latter.
    let listen = format!("/var{}", values(&socket, "ListenStream")[0]);
    assert_eq!(Path::new(&listen), paths.socket);
    for (key, below, path) in
        [("StateDirectory", "/var/lib", &paths.state_dir), ("RuntimeDirectory", "/run", &paths.run_dir)]
    {
        assert_eq!(&Path::new(below).join(values(&daemon, key)[0]), path);
    }
    let secrets = values(&daemon, "LoadCredential");
    assert_eq!(secrets, [format!("secrets.yml:{}", paths.secrets.display())]);
    // What stands in for a file that is not there; without it the daemon would not start.
    assert_eq!(values(&daemon, "SetCredential"), ["secrets.yml:{}"]);
    let sysusers = fs::read_to_string(repository().join("etc/sysusers.d/teleclaude.conf")).unwrap();
    let user = values(&daemon, "User")[0];
    assert!(sysusers.lines().any(|line| line.starts_with(&format!("u {user} "))), "{sysusers}");
    assert_eq!(values(&unit("teleclaude-runner.socket"), "SocketUser"), [user]);
    let tmpfiles = fs::read_to_string(repository().join("etc/tmpfiles.d/teleclaude.conf")).unwrap();
    for (path, key) in [
        ("/var/lib/teleclaude", "StateDirectoryMode"),
        ("/run/teleclaude", "RuntimeDirectoryMode"),
        ("/var/log/teleclaude", "LogsDirectoryMode"),
    ] {
        let line = tmpfiles.lines().find(|line| line.split_whitespace().nth(1) == Some(path));
        let mode = line.and_then(|line| line.split_whitespace().nth(2));
        assert_eq!(mode, Some(values(&daemon, key)[0]), "{path}");
    }
}

/// The keys of launchd.plist(5) at the top.
const JOB: [&str; 48] = [
    "Label",
    "Disabled",
    "UserName",
    "GroupName",
    "inetdCompatibility",
    "LimitLoadToHosts",
    "LimitLoadFromHosts",
    "LimitLoadToSessionType",
    "LimitLoadToHardware",
    "LimitLoadFromHardware",
    "Program",
    "BundleProgram",
    "ProgramArguments",
    "EnableGlobbing",
    "EnableTransactions",
    "EnablePressuredExit",
    "KeepAlive",
    "RunAtLoad",
    "RootDirectory",
    "WorkingDirectory",
    "EnvironmentVariables",
    "Umask",
    "TimeOut",
    "ExitTimeOut",
    "ThrottleInterval",
    "InitGroups",
    "WatchPaths",
    "QueueDirectories",
    "StartOnMount",
    "StartInterval",
    "StartCalendarInterval",
    "StandardInPath",
    "StandardOutPath",
    "StandardErrorPath",
    "Debug",
    "WaitForDebugger",
    "SoftResourceLimits",
    "HardResourceLimits",
    "Nice",
    "ProcessType",
    "AbandonProcessGroup",
    "LowPriorityIO",
    "LaunchOnlyOnce",
    "MachServices",
    "Sockets",
    "LaunchEvents",
    "SessionCreate",
    "LegacyTimers",
];
/// Those inside the dictionaries that we use.
const INSIDE: [(&str, &[&str]); 5] = [
    ("inetdCompatibility", &["Wait", "Instances"]),
    ("KeepAlive", &["SuccessfulExit", "Crashed", "NetworkState", "PathState", "OtherJobEnabled"]),
    ("SoftResourceLimits", LIMITS),
    ("HardResourceLimits", LIMITS),
    (
        "Listeners",
        &[
            "SockType",
            "SockPassive",
            "SockNodeName",
            "SockServiceName",
            "SockFamily",
            "SockProtocol",
            "SockPathName",
            "SecureSocketWithKey",
            "SockPathOwner",
            "SockPathGroup",
            "SockPathMode",
            "Bonjour",
            "MulticastGroup",
        ],
    ),
];
const LIMITS: &[&str] = &[
    "Core",
    "CPU",
    "Data",
    "FileSize",
    "MemoryLock",
    "NumberOfFiles",
    "NumberOfProcesses",
    "ResidentSetSize",
    "Stack",
];

fn job(label: &str) -> Plist {
    let text = fs::read_to_string(repository().join("etc/launchd").join(format!("{label}.plist"))).unwrap();
    let job = Plist::parse(&text).unwrap_or_else(|e| panic!("{label}: {e}"));
    assert_eq!(job.get("Label"), Some(&Plist::Text(label.to_owned())));
    job
}

fn unknown_keys(within: &Plist, known: &[&str], unknown: &mut Vec<String>) {
    let Plist::Dict(entries) = within else { return };
    for (key, value) in entries {
        if !known.contains(&key.as_str()) {
            unknown.push(key.clone());
        }
        match INSIDE.iter().find(|(name, _)| name == key) {
            Some((_, inside)) => unknown_keys(value, inside, unknown),
            // Names in these are ours.
            None if key == "EnvironmentVariables" => {}
            None if key == "Sockets" => unknown_keys(value, &["Listeners"], unknown),
            None => {}
        }
    }
}

fn text(words: &str) -> Option<Plist> {
    Some(Plist::Text(words.to_owned()))
}

#[test]
fn launchd_knows_every_key_of_the_property_lists() {
    for label in ["ai.instrukt.teleclaude", "ai.instrukt.teleclaude-runner"] {
        let mut unknown = Vec::new();
        unknown_keys(&job(label), &JOB, &mut unknown);
        assert!(unknown.is_empty(), "{label}: {unknown:?}");
    }
    // And that a wrong one would be seen.
    let mut unknown = Vec::new();
    let wrong = "<dict><key>Listeners</key><dict><key>SockPathMod</key><integer>1</integer></dict></dict>";
    let whole = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!DOCTYPE plist x><plist version=\"1.0\"><dict><key>Labell</key><string>x</string><key>Sockets</key>{wrong}</dict></plist>"
    );
    unknown_keys(&Plist::parse(&whole).unwrap(), &JOB, &mut unknown);
    assert_eq!(unknown, ["Labell", "SockPathMod"]);
    for bad in
        ["", "<dict/>", &whole.replace("</plist>", ""), &whole.replace("<integer>1<", "<integer>0666x<")]
    {
        assert!(Plist::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn launchd_is_told_what_the_program_expects() {
    let paths = system_paths(Os::MacOs);
    let daemon = job("ai.instrukt.teleclaude");
    let listeners =
        |job: &Plist| job.get("Sockets").and_then(|sockets| sockets.get("Listeners")).cloned().unwrap();
    let own = listeners(&daemon);
    assert_eq!(own.get("SockPathName").cloned(), text(&paths.socket.to_string_lossy()));
    // The property list has no octal numbers.
    assert_eq!(own.get("SockPathMode"), Some(&Plist::Number(0o666)));
    assert_eq!(daemon.get("UserName").cloned(), text("_teleclaude"));
    assert_eq!(daemon.get("Umask"), Some(&Plist::Number(0o077)));
    assert_eq!(
        daemon.get("ProgramArguments"),
        Some(&Plist::List(vec![
            Plist::Text("/usr/local/bin/teleclaude".to_owned()),
            Plist::Text("daemon".to_owned())
        ]))
    );
    let runner = job("ai.instrukt.teleclaude-runner");
    assert_eq!(runner.get("UserName"), None, "it is root");
    assert_eq!(
        runner.get("inetdCompatibility").and_then(|inetd| inetd.get("Wait")),
        Some(&Plist::Flag(false))
    );
    assert!(runner.get("StandardErrorPath").is_some(), "or what it says there goes to the daemon");
    let own = listeners(&runner);
    assert_eq!(own.get("SockPathMode"), Some(&Plist::Number(0o600)));
    assert_eq!(
        own.get("SockPathOwner"),
        Some(&Plist::Number(0)),
        "closed until the installer has put the uid in"
    );
}
