//! `teleclaude doctor`: a sound machine on which all is in order, then one fault at a time, and exactly the checks
//! about that fault say so.

mod machine;

use crate::postgres::{Cluster, clock};
use machine::{ANN, BOB, DEVS, Machine, NOW, SERVICE};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::install::doctor::{Report, State, examine, names};
use teleclaude::platform::account::Group;
use teleclaude::platform::command::Output;
use teleclaude::platform::process;
use teleclaude::store::connect::{Engine, Options, Store, migrate_now};

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

#[test]
fn faults_of_the_config_and_its_files() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["mode", "people"], E, "is not there", |m| {
                m.remove("etc/teleclaude/config.yml");
                m.vars.insert("TELECLAUDE_SYSTEM_MODE".into(), "1".into());
                m.write("usr/bin/codex", "");
                m.write("usr/bin/gemini", "");
            }),
            (&["mode"], N, "TELECLAUDE_CONFIG_PATH", |m| {
                let path = m.at("etc/teleclaude/config.yml").display().to_string();
                m.vars.insert("TELECLAUDE_CONFIG_PATH".into(), path);
            }),
            (&["config"], E, "config.yml:1: computers: unknown key", |m| m.config("computer:", "computers:")),
            (&["config"], E, "config.yml:3: people[0].role", |m| m.config("admin", "king")),
            (&["config"], W, "TELECLAUDE_SOKET", |m| {
                m.vars.insert("TELECLAUDE_SOKET".into(), "x".into());
            }),
            (&["config-files", "config"], E, "can be written by everybody", |m| {
                m.mode("etc/teleclaude/config.yml", 0o666);
            }),
            (&["config-files"], E, "config.yml belongs to uid 3000002", |m| {
                m.own("etc/teleclaude/config.yml", BOB)
            }),
            (&["config-files"], E, "etc/teleclaude can be written by its group", |m| {
                m.mode("etc/teleclaude", 0o775);
            }),
            (&["config-files"], E, "the service user cannot read it", |m| {
                m.mode("etc/teleclaude/config.yml", 0o600)
            }),
            (&["config-files"], E, "cannot be entered by others", |m| m.mode("etc/teleclaude", 0o700)),
            (&["config-files"], E, "10-more.yml can be written by its group", |m| {
                m.write("etc/teleclaude/config.d/10-more.yml", "log: { level: info }\n");
                m.mode("etc/teleclaude/config.d/10-more.yml", 0o664);
            }),
            (&["secrets"], W, "can be read or written by everybody", |m| secrets(m, 0o644, 0)),
            (&["config-files"], E, "secrets.yml can be written by its group", |m| secrets(m, 0o660, SERVICE)),
            (&["secrets"], E, "the daemon cannot read it", |m| {
                secrets(m, 0o600, 0);
                m.says("systemctl cat", "LoadCredential", "#");
            }),
            (&["config-files"], E, "secrets.yml belongs to uid 3000002", |m| {
                secrets(m, 0o600, 0);
                m.own("etc/teleclaude/secrets.yml", BOB);
            }),
        ],
    );
    // Both ways in which the daemon gets its secrets are fine.
    for (mode, group, words) in [(0o600, 0, "systemd hands it over"), (0o640, SERVICE, "the service's group")]
    {
        let machine = Machine::system();
        secrets(&machine, mode, group);
        let report = machine.examine(&["secrets"]);
        assert!(report.findings[0].found.state == State::Ok, "{report:?}");
        assert!(report.findings[0].found.seen.contains(words), "{report:?}");
    }
}

fn secrets(m: &Machine, mode: u32, group: u32) {
    m.write("etc/teleclaude/secrets.yml", "ANTHROPIC_API_KEY: invented-example\n");
    std::os::unix::fs::chown(m.at("etc/teleclaude/secrets.yml"), None, Some(group)).unwrap();
    m.mode("etc/teleclaude/secrets.yml", mode);
}

#[test]
fn a_half_installed_machine_is_recognised() {
    if !is_root() {
        return;
    }
    let machine = Machine::system();
    machine.remove("etc/teleclaude/config.yml");
    assert_eq!(machine.examine(&["mode"]).worst, State::Ok, "that is single-user mode");
    machine.write("etc/systemd/system/teleclaude.service", "");
    let report = machine.examine(&["mode"]);
    assert!(
        report.findings[1].found.seen.starts_with("the service is installed, but its config"),
        "{report:?}"
    );
    assert_eq!(report.worst, W);
}

#[test]
fn faults_of_the_service_user_the_units_and_the_programs() {
    if !is_root() {
        return;
    }
    const SHOW: &str = "systemctl show";
    each_is_found(
        Machine::system,
        &[
            (&["service-user"], E, "there is no account teleclaude", |m| {
                m.users.retain(|u| u.name != "teleclaude")
            }),
            (&["service-user"], W, "can log in: its shell is /bin/bash", |m| {
                m.user("teleclaude").shell = "/bin/bash".into();
            }),
            (&["service-user"], W, "has a home", |m| m.user("teleclaude").home = m.at("home/bob")),
            (&["service-user"], E, "is in docker", |m| {
                m.groups.insert("docker".into(), Group { gid: 999, members: Vec::new() });
                m.user("teleclaude").groups.push(999);
            }),
            (&["units"], E, "teleclaude.socket is not installed (not-found)", |m| {
                m.says(SHOW, "LoadState=loaded", "LoadState=not-found");
            }),
            (&["units"], E, "teleclaude.socket is masked", |m| {
                m.says(SHOW, "LoadState=loaded", "LoadState=masked")
            }),
            (&["units"], W, "teleclaude.socket is not enabled", |m| {
                m.says(SHOW, "UnitFileState=enabled", "UnitFileState=disabled");
            }),
            (&["units"], E, "teleclaude.socket is inactive", |m| {
                m.says(SHOW, "ActiveState=active", "ActiveState=inactive");
            }),
            (&["units"], E, "teleclaude.service failed", |m| {
                m.says(
                    SHOW,
                    "ActiveState=active\nUnitFileState=disabled",
                    "ActiveState=failed\nUnitFileState=disabled",
                );
            }),
            (&["units"], W, "changed on the disk", |m| {
                m.says(SHOW, "NeedDaemonReload=no", "NeedDaemonReload=yes")
            }),
            (&["units"], E, "teleclaude-runner.socket is failed", |m| {
                let text = m.said.get_mut(SHOW).unwrap();
                let at = text.find("Id=teleclaude-runner.socket").unwrap();
                let rest = text.split_off(at).replacen("ActiveState=active", "ActiveState=failed", 1);
                text.push_str(&rest);
            }),
            (&["programs"], E, "teleclaude-runner is not there", |m| m.remove("usr/bin/teleclaude-runner")),
            (&["programs"], E, "teleclaude-runner cannot be run by everybody", |m| {
                m.mode("usr/bin/teleclaude-runner", 0o644);
            }),
            (&["programs"], E, "teleclaude can be written by its group", |m| {
                m.mode("usr/bin/teleclaude", 0o775)
            }),
            (&["programs"], E, "teleclaude-runner belongs to uid 3000001", |m| {
                m.own("usr/bin/teleclaude-runner", ANN);
            }),
            (&["programs"], N, "the service runs", |m| {
                let other = m.at("usr/bin/claude").display().to_string();
                let own = m.at("usr/bin/teleclaude").display().to_string();
                m.says(SHOW, &format!("path={own} "), &format!("path={other} "));
            }),
        ],
    );
    // Without systemd nothing is said about units, and nothing is wrong.
    let mut machine = Machine::system();
    machine.said.remove(SHOW);
    let report = machine.examine(&[]);
    assert_eq!(bad(&report), BTreeSet::new());
    for check in ["units", "open-files"] {
        assert!(
            report.findings.iter().any(|f| f.check == check && f.found.state == State::Skipped),
            "{check}"
        );
    }
}

#[test]
fn faults_of_the_socket_and_the_daemon() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["socket"], E, "is not there: no daemon listens", |m| m.remove("run/teleclaude.sock")),
            (&["socket", "daemon"], E, "is not a socket", |m| {
                m.remove("run/teleclaude.sock");
                m.write("run/teleclaude.sock", "");
            }),
            (&["socket"], E, "teleclaude.sock belongs to uid 3000002", |m| m.own("run/teleclaude.sock", BOB)),
            (&["socket"], W, "has mode 0600, socket_mode says 0666", |m| {
                m.mode("run/teleclaude.sock", 0o600)
            }),
            (&["socket"], W, "does not belong to the group devs", |m| {
                m.config("runner:", "socket_group: devs\nrunner:")
            }),
            (&["socket", "runner"], E, "run can be written by everybody", |m| m.mode("run", 0o777)),
            (&["socket"], W, "clients look at", |m| {
                m.config("runner:", "socket: ROOT/run/other.sock\nrunner:");
                m.listen("run/other.sock", 0o666, None);
            }),
            #[cfg(target_os = "linux")]
            (&["socket"], E, "a program of uid 3000002 listens", |m| {
                m.listen("run/teleclaude.sock", 0o666, Some(BOB))
            }),
            (&["daemon"], E, "nobody listens on it", |m| {
                m.remove("run/teleclaude.sock");
                drop(std::os::unix::net::UnixListener::bind(m.at("run/teleclaude.sock")).unwrap());
                m.mode("run/teleclaude.sock", 0o666);
            }),
            (&["daemon"], E, "did not answer within", |m| m.answers.lock().unwrap().silent = true),
            (&["daemon"], W, "is degraded: the disk is full", |m| {
                let health = &mut m.answers.lock().unwrap().health;
                health["status"] = json!("degraded");
                health["detail"]["problems"] = json!(["the disk is full"]);
            }),
            (&["identity"], W, "ann is refused: this account is suspended", |m| {
                m.answers.lock().unwrap().whoami["refused"] = json!("this account is suspended");
            }),
            (&["identity"], W, "the daemon is in single-user mode", |m| {
                m.answers.lock().unwrap().whoami["single_user"] = json!(true);
            }),
            (&["identity"], N, "ann is nobody the config knows", |m| {
                m.answers.lock().unwrap().whoami["person"] = Value::Null;
            }),
            (&["version"], W, "the daemon is 0.0.9", |m| {
                m.answers.lock().unwrap().health["detail"]["version"] = json!("0.0.9");
            }),
        ],
    );
    // Only admins are told the version: not knowing it is no fault.
    let machine = Machine::system();
    machine.answers.lock().unwrap().health["detail"].take();
    assert_eq!(machine.examine(&["version"]).worst, State::Skipped);
}

#[test]
fn faults_of_what_the_daemon_keeps() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["state-folder"], E, "is open to others (mode 0755)", |m| m.mode("var/lib/teleclaude", 0o755)),
            (&["state-folder"], E, "belongs to uid 3000002, not to uid 3000100", |m| {
                m.own("var/lib/teleclaude", BOB)
            }),
            (&["state-folder"], E, "var/lib can be written by everybody", |m| m.mode("var/lib", 0o777)),
            (&["state-folder"], E, "is not there", |m| m.remove("var/lib/teleclaude")),
            (&["recordings"], E, "recordings is open to others", |m| {
                m.mode("var/lib/teleclaude/recordings", 0o750)
            }),
            (&["recordings"], E, "1 of 2 recordings are open to others", |m| {
                for (name, mode) in [("a.cast", 0o600), ("b.cast", 0o640)] {
                    recording(m, name, mode, SERVICE);
                }
            }),
            (&["recordings"], E, "1 of 1 recordings belong to somebody else", |m| {
                recording(m, "a.cast", 0o600, BOB)
            }),
            (&["run-folder"], E, "is open to others (mode 0755)", |m| m.mode("run/teleclaude", 0o755)),
            (&["run-folder"], E, "belongs to uid 0", |m| m.own("run/teleclaude", 0)),
            (&["run-folder"], E, "is not a folder", |m| {
                m.remove("run/teleclaude");
                m.write("run/teleclaude", "");
                m.mode("run/teleclaude", 0o600);
            }),
            (&["hosts"], W, "1 run files without a living host: 019a5d2e-1111-7000-8000-000000000001", |m| {
                host(m, i32::MAX, 1);
            }),
            (&["hosts"], N, "1 files in", |m| m.write("run/teleclaude/x.json", "{}")),
            (&["hosts", "socket"], W, "1 sessions run, and no daemon looks after them", |m| {
                let own = std::process::id().cast_signed();
                host(m, own, process::start_time(own).unwrap());
                m.remove("run/teleclaude.sock");
            }),
            (&["database-file"], E, "is open to others (mode 0644)", |m| m.mode(DATABASE, 0o644)),
            (&["database-file"], E, "belongs to uid 3000002: the daemon cannot write it", |m| {
                m.own(DATABASE, BOB)
            }),
            (&["database-file"], E, "cannot be written by its owner", |m| m.mode(DATABASE, 0o400)),
            (&["database-file"], E, "network file system (nfs)", |m| m.volume.network = Some("nfs")),
            (&["database-file"], W, "journal mode is delete", |m| sql(m, "PRAGMA journal_mode = delete")),
            (&["database"], E, "damaged or not a database", |m| {
                fs::write(
                    m.at(DATABASE),
                    "no database at all, but long enough to have a header: ".repeat(40),
                )
                .unwrap();
            }),
            (&["database"], E, "m9999_later", |m| {
                sql(m, "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 1)");
            }),
            (&["database"], N, "its schema lacks m0003_audit", |m| {
                sql(m, "DELETE FROM seaql_migrations WHERE version = 'm0003_audit'");
            }),
            (&["database"], W, "its schema lacks m0003_audit", |m| {
                sql(m, "DELETE FROM seaql_migrations WHERE version = 'm0003_audit'");
                m.config("runner:", "database: { auto_migrate: false }\nrunner:");
            }),
            (&["database"], N, "is not there yet", |m| m.remove(DATABASE)),
        ],
    );
}

const DATABASE: &str = "var/lib/teleclaude/teleclaude.db";

fn recording(m: &Machine, name: &str, mode: u32, uid: u32) {
    let path = format!("var/lib/teleclaude/recordings/{name}");
    fs::write(m.at(&path), "").unwrap();
    m.own(&path, uid);
    m.mode(&path, mode);
}

/// Writes down a session host.
fn host(m: &Machine, pid: i32, start_time: u64) {
    let id = "019a5d2e-1111-7000-8000-000000000001";
    let run = json!({
        "version": 1, "session_id": id, "pid": pid, "start_time": start_time, "boot": process::boot_id(),
        "protocol": 1, "socket_path": "/x", "recording_path": "/x", "exit_path": "/x", "tmp_dir": null,
        "lease": "invented", "agent_pid": null
    });
    m.write(&format!("run/teleclaude/{id}.json"), &run.to_string());
}

/// Does something to the machine's database, whose files stay the service's.
fn sql(m: &Machine, statement: &str) {
    use sea_orm::ConnectionTrait as _;
    let url = format!("sqlite://{}", m.at(DATABASE).display());
    run_async(async {
        let conn = sea_orm::Database::connect(url).await.unwrap();
        conn.execute_unprepared(statement).await.unwrap();
        conn.close().await.unwrap();
    });
    keep_database(m);
}

fn keep_database(m: &Machine) {
    for end in ["", "-wal", "-shm", ".lock"] {
        let path = format!("{DATABASE}{end}");
        if m.at(&path).exists() {
            m.own(&path, SERVICE);
        }
    }
}

fn run_async<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn faults_of_the_runner_and_the_people() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["runner"], E, "is not there: no session can start", |m| {
                m.remove("run/teleclaude-runner.sock")
            }),
            (&["runner"], E, "is not a socket", |m| {
                m.remove("run/teleclaude-runner.sock");
                m.write("run/teleclaude-runner.sock", "");
            }),
            (&["runner"], E, "belongs to uid 0, not to teleclaude", |m| {
                m.own("run/teleclaude-runner.sock", 0)
            }),
            (&["runner"], E, "is open to others (mode 0666)", |m| {
                m.mode("run/teleclaude-runner.sock", 0o666)
            }),
            (&["runner"], N, "agents run as the service user", |m| {
                m.config("runner:", "sessions: { run_as: service }\nrunner:")
            }),
            (&["runner-group"], W, "there is no group others", |m| {
                m.config("group: devs }\n", "group: others }\n")
            }),
            (&["people"], W, "bob: there is no account robert", |m| {
                m.config("os_uid: 3000002", "os_username: robert")
            }),
            (&["people"], W, "no account has uid 3000077", |m| {
                m.config("os_uid: 3000002", "os_uid: 3000077")
            }),
            (&["people"], W, "there is no group nerds", |m| m.config("os_group: devs", "os_group: nerds")),
            (&["people"], W, "the account bob has uid 3000002, os_uid says 3000003", |m| {
                m.config("os_uid: 3000002", "os_uid: 3000003, os_username: bob");
            }),
            (&["people"], E, "bob and ann are both uid 3000001", |m| {
                m.config("os_uid: 3000002", "os_uid: 3000001")
            }),
            (&["people"], E, "nobody is admin", |m| m.config("admin", "member")),
            (&["people"], E, "nobody is admin", |m| m.config("deny: [bob2]", "deny: [ann]")),
            (&["people"], E, "is the service user", |m| m.config("os_uid: 3000002", "os_uid: 3000100")),
            (&["people"], E, "stands for everybody of other user namespaces", |m| {
                m.write("proc/sys/kernel/overflowuid", "3000002\n");
            }),
            (&["people"], W, "uid 3 is a system account (below 1000)", |m| {
                m.config("os_uid: 3000002", "os_username: daemon")
            }),
            (&["people"], N, "agents are never run as root", |m| {
                m.users.push(teleclaude::platform::account::Account {
                    name: "root".into(),
                    uid: 0,
                    ..m.users[0].clone()
                });
                m.config("os_uid: 3000002", "os_uid: 0");
            }),
            (&["people"], N, "the group lists no members", |m| {
                m.groups.insert("devs".into(), Group { gid: DEVS, members: Vec::new() });
            }),
            (&["access"], W, "access.deny: there is no mallory", |m| {
                m.config("deny: [bob2]", "deny: [bob2, mallory]")
            }),
            (&["access"], W, "access.allow: there is no @friends", |m| {
                m.config("deny: [bob2]", "deny: [], allow: ['@friends', ann, bob]");
            }),
        ],
    );
}

#[test]
fn agents_and_projects_are_tried_as_each_person() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["agents"], W, "claude: `claude` is found for nobody", |m| m.mode("usr/bin/claude", 0o700)),
            (&["agents"], W, "claude: `claude` is not found for bob", |m| {
                // In ann's home, which is closed to others.
                m.write("home/ann/.local/bin/claude", "");
                m.mode("home/ann/.local/bin/claude", 0o755);
                m.remove("usr/bin/claude");
            }),
            (&["agents"], N, "codex: `codex` is found for nobody", |m| {
                m.config("  codex: { enabled: false }\n", "")
            }),
            (&["agents"], W, "no agent is enabled", |m| {
                m.config("  codex:", "  claude: { enabled: false }\n  codex:")
            }),
            (&["agents"], W, "/usr/bin/away` is found for nobody", |m| {
                m.config("  codex:", "  claude: { command: ROOT/usr/bin/away }\n  codex:");
            }),
            (&["projects"], E, "srv/work is not there", |m| m.remove("srv/work")),
            (&["projects"], E, "is not a folder", |m| {
                m.remove("srv/work");
                m.write("srv/work", "");
            }),
            (&["projects"], W, "cannot be entered by ann, bob", |m| m.mode("srv", 0o700)),
            // Open to a group that ann has as a second one.
            (&["projects"], W, "cannot be entered by bob", |m| {
                std::os::unix::fs::chown(m.at("srv/work"), None, Some(DEVS)).unwrap();
                m.mode("srv/work", 0o770);
            }),
            (&["projects"], N, "ann, bob can read but not write it", |m| m.mode("srv/work", 0o755)),
            (&["projects"], N, "nobody can start a session", |m| {
                m.config("projects:\n  - { name: work, path: ROOT/srv/work }\n", "");
            }),
        ],
    );
    // Who a project is not for need not get in.
    let machine = Machine::system();
    machine.own("srv/work", ANN);
    machine.mode("srv/work", 0o700);
    machine.config("name: work,", "name: work, people: [ann],");
    assert_eq!(machine.examine(&["projects"]).worst, State::Ok);
}

#[test]
fn faults_of_the_machine() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::system,
        &[
            (&["disk"], E, "50 MiB left", |m| m.volume.free_bytes = 50 << 20),
            (&["disk"], W, "500 MiB left", |m| m.volume.free_bytes = 500 << 20),
            (&["disk"], W, "no more than 9 files", |m| m.volume.free_files = Some(9)),
            (&["clock"], E, "which is long past", |m| m.now = Timestamp::from_micros(1_000_000)),
            (&["clock"], W, "not synchronised", |m| m.says("timedatectl show", "yes", "no")),
            (&["clock"], N, "that is the host's affair", |m| {
                m.says("timedatectl show", "yes", "no");
                m.write("run/systemd/container", "systemd-nspawn\n");
            }),
            (&["clock"], N, "nobody here says whether it is synchronised", |m| {
                m.said.remove("timedatectl show");
            }),
            (&["clock"], W, "but the newest row of the audit log is of 2026-11-21T13:00:00Z", |m| {
                let path = m.at(DATABASE);
                run_async(async {
                    let engine = Engine::Sqlite { path, synchronous_full: false };
                    let options = Options { engine, computer: "here".into(), auto_migrate: true };
                    let store = Store::open(options, clock()).await.unwrap();
                    let later = Timestamp::from_micros(NOW + 3_600_000_000);
                    let draft = AuditDraft::by_daemon(SERVICE, "daemon.start", AuditOutcome::Success, later);
                    store.append(tokio::time::Instant::now() + Duration::from_secs(30), draft).await.unwrap();
                    store.close().await;
                });
                keep_database(m);
            }),
            (&["log"], W, "journald, which does not listen", |m| m.remove("run/systemd/journal/socket")),
            (&["open-files"], W, "1024 files may be open, limits.connections is 4096", |m| {
                m.says("systemctl show", "LimitNOFILESoft=16384", "LimitNOFILESoft=1024");
            }),
            (&["user-namespace"], W, "all look like uid 65534", |m| {
                m.write("proc/self/uid_map", "0 100000 65536\n")
            }),
            (&["earlier"], N, "home/bob/.teleclaude/teleclaude.db", |m| {
                m.write("home/bob/.teleclaude/teleclaude.db", "");
            }),
        ],
    );
}

#[test]
fn faults_of_a_single_user() {
    if !is_root() {
        return;
    }
    each_is_found(
        Machine::single_user,
        &[
            (&["runtime-folder"], W, "is not this user's alone", |m| m.mode("run/user", 0o755)),
            (&["runtime-folder", "socket"], W, "is not there", |m| m.remove("run/user")),
            (&["socket"], W, "is not there", |m| {
                m.remove("run/user/teleclaude.sock");
            }),
            (&["daemon"], W, "nobody listens on it", |m| {
                m.remove("run/user/teleclaude.sock");
                drop(std::os::unix::net::UnixListener::bind(m.at("run/user/teleclaude.sock")).unwrap());
                m.mode("run/user/teleclaude.sock", 0o600);
            }),
            (&["identity"], W, "the daemon is in system mode", |m| {
                m.answers.lock().unwrap().whoami["single_user"] = json!(false);
            }),
            (&["config"], E, "config.yml:1", |m| {
                m.write("home/me/.config/teleclaude/config.yml", "sockte: x\n")
            }),
            (&["config-files"], E, "can be written by everybody", |m| m.mode("home/me/.config", 0o777)),
            (&["secrets"], W, "can be read by others", |m| {
                m.write("home/me/.config/teleclaude/secrets.yml", "ANTHROPIC_API_KEY: invented-example\n");
            }),
            (&["state-folder"], E, "is open to others", |m| m.mode("home/me/.local/state/teleclaude", 0o711)),
            (&["agents"], W, "claude: `claude` is not found for me", |m| {
                m.remove("home/me/.local/bin/claude")
            }),
            (&["agents"], N, "codex: `codex` is not found for me", |m| m.remove("bin/codex")),
            (&["shell"], W, "cannot be run", |m| m.user("me").shell = "/nonexistent/shell".into()),
            (&["open-files"], N, "256 files may be open", |m| m.open_files = 256),
            (&["user-namespace"], N, "in a user namespace", |m| m.write("proc/self/uid_map", "0 1000 1\n")),
            (&["earlier"], N, "home/me/.teleclaude/teleclaude.db", |m| {
                m.write("home/me/.teleclaude/teleclaude.db", "");
            }),
        ],
    );
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
fn a_postgres_server_says_how_safe_it_is() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::start();
    let superuser = cluster.database("teleclaude");
    let machine = Machine::system();
    machine.config("runner:", &format!("database: {{ url: '{superuser}' }}\nrunner:"));
    let found = || {
        let report = machine.examine(&["database", "database-file", "postgres"]);
        report.findings.into_iter().map(|f| (f.check, f.found.state, f.found.seen)).collect::<Vec<_>>()
    };
    let execute = |url: &str, statements: &[&str]| {
        use sea_orm::ConnectionTrait as _;
        run_async(async {
            let conn = sea_orm::Database::connect(url).await.unwrap();
            for statement in statements {
                conn.execute_unprepared(statement).await.unwrap();
            }
            conn.close().await.unwrap();
        });
    };
    let says = |state: State, words: &str| {
        let found = found();
        assert!(
            found.iter().any(|(check, s, seen)| check == "postgres" && *s == state && seen.contains(words)),
            "{found:?}"
        );
    };
    says(W, "superuser");
    assert!(found()[0].2.contains("its schema lacks"), "an empty database: {:?}", found());

    // One role that owns everything.
    execute(
        &superuser,
        &["CREATE ROLE tc LOGIN", "CREATE ROLE tc_daemon LOGIN", "GRANT ALL ON SCHEMA public TO tc"],
    );
    let as_role = |role: &str| superuser.replacen("teleclaude_test@", &format!("{role}@"), 1);
    run_async(migrate_now(
        Engine::Postgres { url: as_role("tc").into() },
        "here",
        Timestamp::from_micros(NOW),
    ))
    .unwrap();
    machine.config(&superuser, &as_role("tc"));
    says(N, "one role for everything");
    assert_eq!((found()[0].0.as_str(), found()[0].1), ("database", State::Ok));
    assert!(!found().iter().any(|(check, ..)| check == "database-file"));

    // The daemon's own role.
    execute(
        &as_role("tc"),
        &[
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO tc_daemon",
            "GRANT INSERT ON audit_log TO tc_daemon",
        ],
    );
    machine.config(&as_role("tc"), &as_role("tc_daemon"));
    says(State::Ok, "can only be added to");

    // Root is not let in as that role: the service user is asked to ask.
    machine.config(&as_role("tc_daemon"), &as_role("not_for_root"));
    assert!(found()[0].1 == E && found()[0].2.contains("refused the login"), "{:?}", found());
    let mut system = machine.value();
    system.run_as = Arc::new(|account, argv| {
        assert_eq!((account.uid, &argv[1..]), (SERVICE, &["doctor", "--json", "database", "postgres"][..]));
        let findings = json!([
            { "check": "database", "state": "ok", "seen": "asked by the service user" },
            { "check": "postgres", "state": "note", "seen": "one role" }
        ]);
        let report =
            json!({ "version": 1, "mode": "system", "worst": "note", "counts": {}, "findings": findings });
        Some(Output { success: true, text: report.to_string() })
    });
    let only = ["database", "postgres"].map(str::to_owned);
    let report = examine(system, &only, Duration::from_secs(60), &mut |_| {});
    let relayed: Vec<_> = report.findings.iter().map(|f| f.found.seen.as_str()).collect();
    assert_eq!(relayed, ["asked by the service user", "one role"]);
    machine.config(&as_role("not_for_root"), &as_role("tc_daemon"));

    execute(
        &superuser,
        &[
            "ALTER SYSTEM SET synchronous_commit = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
        ],
    );
    // The server reads its files when it gets to it.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !found().iter().any(|(_, state, _)| *state == W) {
        assert!(std::time::Instant::now() < deadline, "{:?}", found());
        std::thread::sleep(Duration::from_millis(50));
    }
    says(N, "synchronous_commit is off");
    says(W, "full_page_writes is off");

    // A server that is gone.
    drop(cluster);
    let found = found();
    assert!(found[0].1 == E && found[0].2.contains("cannot be reached"), "{found:?}");
    assert!(
        found.iter().any(|(check, state, _)| check == "postgres" && *state == State::Skipped),
        "{found:?}"
    );
    assert!(!format!("{found:?}").contains("postgres://"), "a URL may hold a password");
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
