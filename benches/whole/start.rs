//! How soon: a daemon on an existing database, and the bridge an editor starts, with a daemon and without one.

use crate::daemon::{Home, Process, exe};
use crate::load::{Connection, wait_for};
use crate::report::{Cell, Goal, Report, quantile};
use crate::{Plan, progress};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

const HELLO: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"0"}}}"#;

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    progress("start: an empty program");
    let floor = times(plan, || {
        let began = Instant::now();
        let done = Command::new("/bin/true").status().unwrap();
        assert!(done.success());
        ms(began)
    });
    let version = times(plan, || {
        let began = Instant::now();
        let done = Command::new(exe()).arg("--version").stdout(Stdio::null()).status().unwrap();
        assert!(done.success());
        ms(began)
    });
    progress("start: a daemon");
    let home = Home::new();
    let began = Instant::now();
    let mut first = home.daemon().await;
    let fresh = ms(began);
    first.stop();
    let (mut accepts, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..plan.starts {
        let began = Instant::now();
        let mut process =
            Process(home.command("daemon").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        // The file of the daemon before is still there and refuses.
        while Connection::open(&home.socket()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_micros(100)).await;
        }
        accepts.push(ms(began));
        wait_for(&home.socket()).await;
        answers.push(ms(began));
        process.stop();
    }
    progress("start: a bridge");
    let alone = times(plan, || bridge(&home));
    let daemon = home.daemon().await;
    let with = times(plan, || bridge(&home));
    drop(daemon);
    let rows = [
        ("an empty program: started and ended", &floor),
        ("teleclaude --version: started and ended", &version),
        ("daemon on a new database: first answer", &vec![fresh]),
        ("daemon on an existing database: accepts", &accepts),
        ("daemon on an existing database: first answer", &answers),
        ("bridge without a daemon: first answer", &alone),
        ("bridge with a daemon: first answer", &with),
    ];
    let table = rows.iter().map(|(name, took)| {
        let mut took = (*took).clone();
        took.sort_by(f64::total_cmp);
        vec![Cell::text(*name), Cell::Number(quantile(&took, 0.5), 1), Cell::Number(quantile(&took, 1.0), 1)]
    });
    report.table("From spawn to …", &["what", "p50 ms", "longest ms"], table.collect());
    let half = |took: &[f64]| {
        let mut took = took.to_vec();
        took.sort_by(f64::total_cmp);
        quantile(&took, 0.5)
    };
    report.goal("bridge without a daemon: first answer", half(&alone), "ms", Goal::AtMost(10.0));
    report.goal("daemon on an existing database: accepts", half(&accepts), "ms", Goal::AtMost(50.0));
}

fn times(plan: &Plan, mut once: impl FnMut() -> f64) -> Vec<f64> {
    (0..plan.starts).map(|_| once()).collect()
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// From the start of a bridge to its answer to `initialize`.
fn bridge(home: &Home) -> f64 {
    let mut command = home.command("mcp");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let began = Instant::now();
    let mut process = Process(command.spawn().unwrap());
    let mut stdin = process.0.stdin.take().unwrap();
    stdin.write_all(HELLO.as_bytes()).unwrap();
    stdin.write_all(b"\n").unwrap();
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let took = ms(began);
    assert!(line.contains("serverInfo"), "{line}");
    drop(stdin);
    let _ = process.0.wait();
    took
}
