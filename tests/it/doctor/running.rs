//! Faults of what runs and is kept: socket, daemon, folders, database, agents, projects, the machine around.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::doctor::machine::{ANN, BOB, DEVS, Machine, NOW, SERVICE};
use crate::doctor::{E, N, W, each_is_found, is_root, run_async};
use crate::postgres::clock;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::install::doctor::State;
use teleclaude::platform::process;
use teleclaude::store::connect::{Engine, Options, Store};

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
    // Not even an admin.
    machine.own("srv/work", BOB);
    machine.config("people: [ann]", "people: [bob]");
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
