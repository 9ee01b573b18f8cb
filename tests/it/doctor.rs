//! `teleclaude doctor`: a sound machine on which all is in order, then one fault at a time, and exactly the checks
//! about that fault say so.

mod installed;
mod machine;
mod postgres;
mod running;

use machine::{ANN, Machine, SERVICE};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::install::doctor::{Report, State, examine, names};
use teleclaude::platform::process;

/// A planted fault: the checks that must find it (the first of them with this state and these words), and how it is
/// planted.
type Fault = (&'static [&'static str], State, &'static str, fn(&mut Machine));

const W: State = State::Warning;
const E: State = State::Error;
const N: State = State::Note;

/// Files of several users can only be made by root.
fn is_root() -> bool {
    let root = process::own_uid() == 0;
    if !root {
        let _ = writeln!(std::io::stderr(), "needs root to make files of several users; not shown here");
    }
    root
}

/// What is worse than a note.
fn bad(report: &Report) -> BTreeSet<&str> {
    report.findings.iter().filter(|f| f.found.state > N).map(|f| f.check.as_str()).collect()
}

fn each_is_found(machine: fn() -> Machine, faults: &[Fault]) {
    for (checks, state, words, plant) in faults {
        let mut machine = machine();
        plant(&mut machine);
        let report = machine.examine(&[]);
        let told: Vec<_> = report
            .findings
            .iter()
            .filter(|f| f.found.state > State::Ok)
            .map(|f| (&f.check, &f.found))
            .collect();
        let first = checks[0];
        let found = report
            .findings
            .iter()
            .find(|f| f.check == first && f.found.state == *state && f.found.seen.contains(words));
        let found = found.unwrap_or_else(|| panic!("{first}: no {state:?} with `{words}` in {told:#?}"));
        let expected: BTreeSet<&str> =
            if *state > N { checks.iter().copied().collect() } else { BTreeSet::new() };
        assert_eq!(bad(&report), expected, "{first}, {words}: {told:#?}");
        assert!(
            *state <= N || found.found.mend.as_ref().is_some_and(|m| !m.is_empty()),
            "{words}: says how to mend it"
        );
        assert!(report.worst >= *state, "{words}");
    }
}

#[test]
fn a_sound_machine_is_sound_and_stays_as_it_is() {
    if !is_root() {
        return;
    }
    for (machine, keeper) in [(Machine::system(), SERVICE), (Machine::single_user(), 0)] {
        let before = tree(Path::new(&machine.root()));
        let report = machine.examine(&[]);
        for finding in &report.findings {
            assert_eq!(finding.found.state, State::Ok, "{finding:?}");
        }
        assert_eq!((report.worst, report.exit_code()), (State::Ok, 0));
        let mut after = tree(Path::new(&machine.root()));
        // SQLite makes these two when somebody reads; they must be the keeper's own.
        after.retain(|(path, mode, uid)| {
            let beside = path.ends_with(".db-wal") || path.ends_with(".db-shm");
            assert!(!beside || (*mode & 0o777, *uid) == (0o600, keeper), "{path} {mode:o} {uid}");
            !beside
        });
        assert_eq!(after, before);
    }
    let all: BTreeSet<&str> = names().collect();
    let (system, single) = (Machine::system().examine(&[]), Machine::single_user().examine(&[]));
    let looked = |r: &Report| r.findings.iter().map(|f| f.check.clone()).collect::<BTreeSet<_>>();
    let both: BTreeSet<String> = looked(&system).union(&looked(&single)).cloned().collect();
    // That one is about a server, and has a test of its own.
    assert_eq!(both.len(), all.len() - 1, "{both:?}");
    assert!(!both.contains("postgres"));
    assert_eq!((system.mode.as_str(), single.mode.as_str()), ("system", "single-user"));
}

/// Every path with its mode and owner.
fn tree(folder: &Path) -> Vec<(String, u32, u32)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        all.push((path.display().to_string(), about.mode(), about.uid()));
        if about.is_dir() {
            all.extend(tree(&path));
        }
    }
    all.sort();
    all
}

fn run_async<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_mac_is_looked_at_with_its_own_paths_and_launchd() {
    if !is_root() {
        return;
    }
    let machine = Machine::mac();
    let report = machine.examine(&[]);
    assert_eq!(bad(&report), BTreeSet::new(), "{report:#?}");
    let skipped: Vec<_> = report.findings.iter().filter(|f| f.found.state != State::Ok).collect();
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!((skipped[0].check.as_str(), skipped[0].found.state), ("open-files", State::Skipped));
    each_is_found(
        Machine::mac,
        &[
            (&["units"], E, "ai.instrukt.teleclaude.plist is not there", |m| {
                m.remove("Library/LaunchDaemons/ai.instrukt.teleclaude.plist");
            }),
            (&["units"], E, "can be written by its group", |m| {
                m.mode("Library/LaunchDaemons/ai.instrukt.teleclaude-runner.plist", 0o664);
            }),
            (&["units"], E, "launchd does not know ai.instrukt.teleclaude", |m| {
                m.said.remove("launchctl print");
            }),
            (&["service-user"], E, "there is no account _teleclaude", |m| {
                m.users.retain(|u| u.name != "_teleclaude");
            }),
            (&["secrets"], E, "the daemon cannot read it", |m| {
                m.write("usr/local/etc/teleclaude/secrets.yml", "ANTHROPIC_API_KEY: invented-example\n");
                m.mode("usr/local/etc/teleclaude/secrets.yml", 0o600);
            }),
        ],
    );
}

#[test]
fn what_only_root_may_see_is_never_called_well() {
    if !is_root() {
        return;
    }
    let mut machine = Machine::system();
    machine.uid = ANN;
    let report = machine.examine(&[]);
    assert_eq!(bad(&report), BTreeSet::new(), "{report:#?}");
    for check in ["recordings", "hosts", "database", "database-file"] {
        let found: Vec<_> = report.findings.iter().filter(|f| f.check == check).map(|f| &f.found).collect();
        assert!(
            found.len() == 1 && found[0].state == State::Skipped && found[0].seen == "needs root",
            "{check}"
        );
    }
    let agents: Vec<_> = report.findings.iter().filter(|f| f.check == "agents").map(|f| &f.found).collect();
    assert_eq!((agents[0].state, agents[0].seen.as_str()), (State::Ok, "claude found for ann"));
    assert_eq!((agents[1].state, agents[1].seen.as_str()), (State::Skipped, "for others: needs root"));
}

#[test]
fn a_check_that_hangs_is_given_up_and_the_others_are_not() {
    if !is_root() {
        return;
    }
    let mut system = Machine::single_user().value();
    system.volume = Arc::new(|_| {
        loop {
            std::thread::park();
        }
    });
    let mut told = Vec::new();
    let only = ["mode", "disk"].map(str::to_owned);
    let report = examine(system, &only, Duration::from_millis(300), &mut |open| told.push(open.join(" ")));
    assert_eq!(told, ["disk"]);
    let states: Vec<_> = report.findings.iter().map(|f| (f.check.as_str(), f.found.state)).collect();
    assert_eq!(states, [("mode", State::Ok), ("disk", E)]);
    assert!(report.findings[1].found.seen.starts_with("gave no answer within"), "{report:?}");
}

#[test]
fn the_command_itself_says_it_to_people_and_to_programs() {
    let home = tempfile::tempdir().unwrap();
    let doctor = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teleclaude"));
        command.arg("doctor").args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path());
        command.env("TELECLAUDE_SYSTEM_MODE", "0").current_dir("/").output().unwrap()
    };
    let said = doctor(&["--json"]);
    let report: Report = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((report.version, report.mode.as_str()), (1, "single-user"));
    assert_eq!(said.status.code(), Some(i32::from(report.exit_code())));
    assert!(
        report.findings.iter().any(|f| f.check == "socket" && f.found.state == W),
        "no daemon runs: {report:?}"
    );

    let said = doctor(&[]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("mend: teleclaude daemon\n") && !text.contains('\x1b'), "{text}");
    assert!(text.lines().last().unwrap().starts_with("single-user mode: "), "{text}");

    let said = doctor(&["mode", "config"]);
    assert_eq!(said.status.code(), Some(0));
    assert_eq!(String::from_utf8(said.stdout).unwrap().lines().count(), 3);

    let said = doctor(&["no-such-check"]);
    assert_eq!((said.status.code(), said.stdout.len()), (Some(2), 0));
}
