//! What rests: memory of one idle connection and of one idle session host.

use crate::daemon::{Home, PATIENCE, proportional, resident, written};
use crate::host::Host;
use crate::load::{Connection, call};
use crate::report::{Cell, Goal, Report};
use crate::{Plan, progress};
use std::time::{Duration, Instant};

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
    let host = Host::start(&home, "echo ready; read line", 64 << 20);
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
