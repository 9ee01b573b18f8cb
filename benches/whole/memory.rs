//! What rests: memory of one idle connection and of one idle session host.

use crate::daemon::{Home, PATIENCE, Process, private, proportional, resident, written};
use crate::load::{Connection, call};
use crate::report::{Cell, Goal, Report};
use crate::{Plan, progress};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};
use teleclaude::domain::session::SessionId;
use teleclaude::host::files;
use teleclaude::host::spec::{Launch, Program, Ready, SPEC_VERSION, Size, StartSpec};
use uuid::Uuid;

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let mut table = Vec::new();
    connections(plan, report, &mut table).await;
    host(report, &mut table).await;
    report.table("What rests", &["what", "KiB"], table);
}

async fn connections(plan: &Plan, report: &mut Report, table: &mut Vec<Vec<Cell>>) {
    progress(&format!("memory: {} idle connections", plan.idle));
    let home = Home::new();
    let mut daemon = home.daemon().await;
    let request = call("whoami");
    // What is made once is not what a connection costs.
    let mut warm = Connection::greeted(&home.socket()).await;
    warm.ask(&request).await.unwrap();
    settle(daemon.id()).await;
    let before = resident(daemon.id());
    let mut open = Vec::with_capacity(plan.idle);
    for _ in 0..plan.idle {
        let mut connection = Connection::greeted(&home.socket()).await;
        connection.ask(&request).await.unwrap();
        open.push(connection);
    }
    settle(daemon.id()).await;
    let after = resident(daemon.id());
    let each = (after - before) / plan.idle as f64;
    table.push(vec![Cell::text("a daemon without sessions, one connection"), Cell::Number(before, 0)]);
    table.push(vec![
        Cell::text(format!("one idle MCP connection that has asked once, of {}", plan.idle)),
        Cell::Number(each, 1),
    ]);
    report.goal("one idle connection", each, "KiB", Goal::AtMost(64.0));
    drop(open);
    daemon.stop();
}

async fn host(report: &mut Report, table: &mut Vec<Vec<Cell>>) {
    progress("memory: an idle session host");
    let home = Home::new();
    let run_dir = home.path("h");
    std::fs::create_dir_all(&run_dir).unwrap();
    private(&run_dir);
    let session = SessionId(Uuid::now_v7());
    let mut env = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    env.push(("TELECLAUDE_SESSION".to_owned(), session.to_string()));
    let spec = StartSpec {
        version: SPEC_VERSION,
        session_id: session,
        recording_path: home.path("r.cast"),
        socket_path: files::socket_path(&run_dir, session),
        exit_path: home.path("exit"),
        launch: Launch::Own(Program {
            argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), "echo ready; read line".to_owned()],
            env,
            cwd: run_dir.clone(),
            tmp_dir: None,
            files: Vec::new(),
        }),
        size: Size { cols: 120, rows: 40 },
        scrollback_lines: 10_000,
        fsync_ms: 250,
        max_bytes: 64 << 20,
        strict: false,
        record_input: false,
        notice: None,
        title: None,
        first_message: None,
        lease: "a lease".to_owned(),
        run_dir,
    };
    let mut command = home.command("session-host");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut host = Process(command.spawn().unwrap());
    let mut stdin = host.0.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(&spec).unwrap()).unwrap();
    drop(stdin);
    let mut line = String::new();
    BufReader::new(host.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(matches!(serde_json::from_str(&line).unwrap(), Ready::Up { .. }), "{line}");
    settle(host.id()).await;
    let rss = resident(host.id());
    for (name, value) in [
        ("an idle session host", rss),
        ("the same, shared pages by their share", proportional(host.id())),
        ("the same, without the program's code", written(host.id())),
    ] {
        table.push(vec![Cell::text(name), Cell::Number(value, 0)]);
    }
    report.goal("one idle session host, resident", rss / 1_024.0, "MiB", Goal::AtMost(4.0));
    for pid in teleclaude::platform::process::descendants(host.id()) {
        let _ = teleclaude::platform::process::kill(pid);
    }
    host.stop();
}

/// Waits until a process no longer grows.
async fn settle(pid: i32) {
    let until = Instant::now() + PATIENCE;
    let mut last = resident(pid);
    loop {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let now = resident(pid);
        if (now - last).abs() < 16.0 || Instant::now() > until {
            return;
        }
        last = now;
    }
}
