//! The whole program under load: the socket, the database, memory and start-up, each beside a floor that is measured
//! in the same run. Writes a table to stdout and the same as JSON to a file; judges nothing by time. What is pure is
//! measured in `benches/pure.rs`. `bin/bench` is the way to run it.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

mod audit;
mod daemon;
mod docs;
mod floor;
mod host;
mod ingest;
mod load;
mod memory;
mod paint;
mod people;
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
#[path = "../../tests/it/postgres.rs"]
mod postgres;
mod report;
mod rows;
mod search;
mod sessions;
mod socket;
mod start;
mod tasks;
mod witness;

use report::Report;
use std::path::Path;
use std::time::Duration;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long one round of load lasts.
    pub round: Duration,
    /// Rounds of each measurement; the median is taken.
    pub rounds: usize,
    /// Connections, one measurement each.
    pub connections: Vec<usize>,
    /// Sizes of the table of sessions.
    pub sessions: Vec<u32>,
    /// Rows of the audit log.
    pub audit_rows: i64,
    /// Entries of transcripts that are searched.
    pub entries: u32,
    /// People of whom one is looked for.
    pub people: u32,
    /// Shared documents.
    pub documents: u32,
    /// Keystrokes whose echo is timed.
    pub keystrokes: usize,
    /// Bytes of output that a terminal is flooded with.
    pub flood: u64,
    /// Attachments whose first paint is timed.
    pub paints: usize,
    /// Connections that are opened to weigh one.
    pub idle: usize,
    /// Starts of a process that is timed.
    pub starts: usize,
    /// Parts that are run; empty for all.
    pub only: Vec<String>,
}

impl Plan {
    fn full() -> Self {
        Self {
            round: Duration::from_secs(3),
            rounds: 3,
            connections: vec![1, 16, 256, 1_000],
            sessions: vec![10_000, 100_000, 1_000_000],
            audit_rows: 1_000_000,
            entries: 200_000,
            documents: 10_000,
            people: 100_000,
            keystrokes: 2_000,
            flood: 64 << 20,
            paints: 300,
            idle: 900,
            starts: 15,
            only: Vec::new(),
        }
    }

    fn quick() -> Self {
        Self {
            round: Duration::from_secs(1),
            rounds: 1,
            connections: vec![1, 16],
            sessions: vec![10_000, 100_000],
            audit_rows: 100_000,
            entries: 20_000,
            documents: 10_000,
            people: 100_000,
            keystrokes: 200,
            flood: 8 << 20,
            paints: 30,
            idle: 200,
            starts: 5,
            only: Vec::new(),
        }
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part)
    }
}

/// Says on stderr how far it is.
pub fn progress(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

const USAGE: &str = "bench [--quick] [--json FILE] [--exe FILE] [socket] [rows] [tasks] [search] [people] [docs] [audit] [sessions] [memory] [start]";

fn main() {
    let mut args = std::env::args().skip(1).peekable();
    if args.peek().is_some_and(|word| word == floor::SERVE) {
        let words: Vec<String> = args.collect();
        return floor::serve(&words[1], words[2].as_ref());
    }
    let mut plan = Plan::full();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp is in target");
    let mut json = target.join("bench.json");
    while let Some(word) = args.next() {
        match word.as_str() {
            "--quick" => plan = Plan { only: plan.only, ..Plan::quick() },
            "--json" => json = args.next().filter(|file| !file.starts_with("--")).expect(USAGE).into(),
            "--exe" => {
                let _ = daemon::OTHER.set(args.next().expect(USAGE).into());
            }
            // cargo says so to every bench.
            "--bench" => {}
            "socket" | "rows" | "tasks" | "search" | "people" | "docs" | "audit" | "sessions" | "memory"
            | "start" => plan.only.push(word),
            _ => panic!("{word}: not known. {USAGE}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut report = Report::default();
    runtime.block_on(async {
        if plan.wants("start") {
            start::measure(&plan, &mut report).await;
        }
        if plan.wants("memory") {
            memory::measure(&plan, &mut report).await;
        }
        if plan.wants("rows") {
            rows::measure(&plan, &mut report).await;
        }
        if plan.wants("tasks") {
            tasks::measure(&mut report).await;
        }
        if plan.wants("audit") {
            audit::measure(&plan, &mut report).await;
        }
        if plan.wants("search") {
            search::measure(&plan, &mut report).await;
        }
        if plan.wants("people") {
            people::measure(&plan, &mut report).await;
        }
        if plan.wants("docs") {
            docs::measure(&plan, &mut report).await;
        }
        if plan.wants("sessions") {
            sessions::measure(&plan, &mut report).await;
        }
        if plan.wants("socket") {
            socket::measure(&plan, &mut report).await;
        }
    });
    report.print();
    report.write_json(&json);
    progress(&format!("the same as JSON: {}", json.display()));
}
