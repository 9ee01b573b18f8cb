//! Calls over the socket at several numbers of connections: the daemon beside an echo of JSON and beside plain rmcp.

use crate::daemon::{Home, Process};
use crate::load::{Round, call, round, wait_for};
use crate::report::{Cell, Goal, Report, median};
use crate::{Plan, floor, progress, rows};
use std::path::PathBuf;
use std::process::{Command, Stdio};

struct Server {
    socket: PathBuf,
    process: Process,
    /// Whether it speaks MCP.
    greet: bool,
}

/// Name, which server, which tool.
const LOADS: [(&str, usize, &str); 5] = [
    ("JSON echo", 0, "whoami"),
    ("plain rmcp, a short text", 1, "other"),
    ("plain rmcp, the same answer", 1, "whoami"),
    ("teleclaude whoami", 2, "whoami"),
    ("teleclaude list_sessions", 2, "list_sessions"),
];
const ECHO: usize = 0;
const RMCP: usize = 2;
const WHOAMI: usize = 3;

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let home = Home::new();
    rows::fill_home(&home, 60).await;
    let daemon = Server { process: home.daemon().await, socket: home.socket(), greet: true };
    let mut servers = vec![floor_server(&home, "echo").await, floor_server(&home, "rmcp").await, daemon];
    let mut table = Vec::new();
    for &connections in &plan.connections {
        let mut rounds: [Vec<Round>; LOADS.len()] = Default::default();
        for turn in 0..plan.rounds {
            progress(&format!("socket: {connections} connections, round {} of {}", turn + 1, plan.rounds));
            for (at, (_, server, tool)) in LOADS.iter().enumerate() {
                let Server { socket, process, greet } = &servers[*server];
                let request = call(tool);
                rounds[at].push(round(socket, process.id(), *greet, &request, connections, plan.round).await);
            }
        }
        let of = |at: usize, field: fn(&Round) -> f64| median(rounds[at].iter().map(field).collect());
        for (at, (name, ..)) in LOADS.iter().enumerate() {
            table.push(vec![
                Cell::Number(connections as f64, 0),
                Cell::text(*name),
                Cell::Number(of(at, |r| r.per_second), 0),
                Cell::Number(of(at, |r| r.p50), 1),
                Cell::Number(of(at, |r| r.p99), 1),
                Cell::Number(of(at, |r| r.cpu), 1),
                Cell::Number(of(at, |r| r.bytes), 0),
                Cell::Number(of(at, |r| r.per_second) / of(ECHO, |r| r.per_second), 2),
                Cell::Number(of(at, |r| r.cpu) / of(RMCP, |r| r.cpu), 2),
            ]);
        }
        report.goal(
            format!("whoami, {connections} connections: server CPU beside plain rmcp with the same answer"),
            of(WHOAMI, |r| r.cpu) / of(RMCP, |r| r.cpu),
            "x",
            Goal::AtMost(1.6),
        );
    }
    for server in &mut servers {
        server.process.stop();
    }
    report.table(
        "tools/call over the Unix socket, one request in flight on each connection",
        &[
            "connections",
            "what",
            "calls/s",
            "p50 µs",
            "p99 µs",
            "server CPU µs/call",
            "bytes",
            "calls/s, echo = 1",
            "CPU, rmcp = 1",
        ],
        table,
    );
}

/// A floor, in a process of its own.
async fn floor_server(home: &Home, kind: &str) -> Server {
    let socket = home.path(&format!("{kind}.sock"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(floor::SERVE).arg(kind).arg(&socket).stdin(Stdio::null()).stdout(Stdio::null());
    let process = Process(command.spawn().unwrap());
    wait_for(&socket).await;
    Server { socket, process, greet: kind != "echo" }
}
