//! Transcripts as the follower takes them: an agent's log in pieces, parsed, without credentials, kept and indexed, on
//! both engines; beside the same without a database.

use crate::postgres::Db;
use crate::report::{Cell, Goal, Report};
use crate::rows::{a_session, open, put};
use crate::{Plan, progress};
use futures_util::FutureExt as _;
use serde_json::json;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use teleclaude::agent::transcript::{Read, Reader};
use teleclaude::config::schema::agents::TranscriptFormat;
use teleclaude::domain::redact::Redactor;
use teleclaude::domain::session::SessionId;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::Store;
use teleclaude::store::error::StoreError;
use teleclaude::store::transcript;

/// Bytes that are read, and kept in one transaction, at a time: as the follower does.
const PIECE: usize = 1 << 20;
/// Entries of one turn of the log.
const PER_TURN: u32 = 4;

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let turns = plan.entries / 10 / PER_TURN;
    let log: String = (0..turns).map(turn).collect();
    progress(&format!("sessions: a log of {} entries, {} KB", turns * PER_TURN, log.len() / 1_000));
    let mut table = Vec::new();
    let mut row = |what: &str, began: Instant, entries: usize| {
        let seconds = began.elapsed().as_secs_f64();
        let rate = entries as f64 / seconds;
        let megabytes = log.len() as f64 / 1e6 / seconds;
        table.push(vec![Cell::text(what), Cell::Number(rate, 0), Cell::Number(megabytes, 1)]);
        rate
    };
    let began = Instant::now();
    let mut log_reader = LogReader::new();
    let entries: usize = log.as_bytes().chunks(PIECE).map(|piece| log_reader.take(piece).entries.len()).sum();
    assert_eq!(entries, (turns * PER_TURN) as usize, "every entry is read");
    row("nothing: parsed and redacted", began, entries);
    for engine in ["sqlite", "postgresql"] {
        let db = if engine == "sqlite" { Db::sqlite() } else { Db::postgres() };
        let store = open(&db.engine).await;
        progress(&format!("sessions: the log is kept, {engine}"));
        let session = put(&store, a_session(0)).await;
        let began = Instant::now();
        let (mut log_reader, mut kept, mut costs) = (LogReader::new(), 1, 1);
        for piece in log.as_bytes().chunks(PIECE) {
            let read = log_reader.take(piece);
            let (first, first_cost) = (kept, costs);
            kept += i64::try_from(read.entries.len()).unwrap();
            costs += i64::try_from(read.usage.len()).unwrap();
            keep(&store, session, (first, first_cost), read).await;
        }
        let rate = row(engine, began, entries);
        let there = transcript::kept(store.reader(), session).await.unwrap();
        assert_eq!(there.entries, i64::from(turns * PER_TURN), "every entry is kept");
        let what = format!("{engine}: entries of a log parsed, kept and indexed");
        report.goal(what, rate, "a second", Goal::AtLeast(1_000.0));
        store.close().await;
    }
    report.table(
        format!("An agent's log of {} entries, {} KB", turns * PER_TURN, log.len() / 1_000),
        &["into", "entries/s", "MB/s"],
        table,
    );
}

struct LogReader {
    reader: Reader,
    redactor: Redactor,
}

impl LogReader {
    fn new() -> Self {
        let reader = Reader::new(TranscriptFormat::Claude).unwrap();
        Self { reader, redactor: Redactor::new(&[]).unwrap() }
    }

    fn take(&mut self, piece: &[u8]) -> Read {
        let mut read = self.reader.feed(piece);
        for entry in &mut read.entries {
            if let Cow::Owned(clean) = self.redactor.redact(&entry.text) {
                entry.text = clean;
            }
        }
        read
    }
}

async fn keep(store: &Store, session: SessionId, (first, first_cost): (i64, i64), read: Read) {
    let read = Arc::new(read);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let unit = store.write(deadline, move |tx| {
        let read = Arc::clone(&read);
        async move {
            transcript::append(tx.conn(), session, first, &read.entries).await?;
            let now = Timestamp::from(SystemTime::now());
            transcript::add_usage(tx.conn(), session, first_cost, &read.usage, now).await?;
            Ok::<_, StoreError>(())
        }
        .boxed()
    });
    unit.await.unwrap();
}

/// One turn: somebody asks, the agent says what it will do and does it, and a tool answers with some source code.
fn turn(n: u32) -> String {
    let name = |part: u32| format!("name{}", n.wrapping_mul(31).wrapping_add(part * 7_919) % 5_000);
    let names = |from: u32, to: u32| (from..to).map(name).collect::<Vec<_>>().join(" ");
    let code: String = (0..30)
        .map(|line| {
            format!("{line:>4}\t    let {} = self.{}(&{});\n", name(line), name(line + 1), name(line + 2))
        })
        .collect();
    let at = "2026-11-21T09:15:15.890Z";
    let call = format!("toolu_{n}");
    let records = [
        json!({ "type": "user", "timestamp": at, "uuid": format!("u{n}"), "cwd": "/srv/projects/web",
            "message": { "role": "user", "content": format!("Why does {} fail?", names(0, 15)) } }),
        json!({ "type": "assistant", "timestamp": at, "uuid": format!("a{n}"), "cwd": "/srv/projects/web",
            "message": { "id": format!("msg_{n}"), "role": "assistant", "model": "claude-opus-4-8",
                "usage": { "input_tokens": 11, "cache_read_input_tokens": 9_000, "output_tokens": 70 },
                "content": [
                    { "type": "text", "text": format!("I look at {}.", names(15, 50)) },
                    { "type": "tool_use", "id": call, "name": "Read",
                        "input": { "file_path": format!("/srv/projects/web/src/{}.rs", name(3)) } },
                ] } }),
        json!({ "type": "user", "timestamp": at, "uuid": format!("r{n}"), "cwd": "/srv/projects/web",
            "message": { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": call, "content": code, "is_error": false },
            ] } }),
    ];
    records.iter().map(|record| format!("{record}\n")).collect()
}
