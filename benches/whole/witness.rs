//! What reading somebody else's session costs beside reading one's own: its row and the owner's message, durable before
//! anything is read. One caller, since it is a person who waits.

use crate::progress;
use crate::report::{Cell, Goal, Report, quantile};
use crate::rows::draft;
use std::time::{Duration, Instant};
use teleclaude::domain::notice::{Notice, NoticeKind};
use teleclaude::domain::person::PersonId;
use teleclaude::domain::session::SessionId;
use teleclaude::store::connect::Store;
use teleclaude::usecase::witness::{Row, commit};
use uuid::Uuid;

/// A row of the table of durable writes, and the goal.
pub async fn measure(
    report: &mut Report,
    store: &Store,
    engine: &str,
    floor: f64,
    time: Duration,
) -> Vec<Cell> {
    progress(&format!("rows: {engine}, what an audited read waits for"));
    let mut took = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        let row = draft("transcript.read");
        // A hundred sessions in turn: now a new message, now one that is counted.
        let session = SessionId(Uuid::from_u128(took.len() as u128 % 100));
        let notice = Notice {
            id: Uuid::now_v7(),
            person: PersonId(Uuid::from_u128(1)),
            uid: Some(1_000),
            from: None,
            at: row.at,
            read_at: None,
            kind: NoticeKind::Access,
            text: "bea read the transcript of a session of yours. Reason: the build has been red since noon"
                .to_owned(),
            session: Some(session),
            times: 1,
        };
        let asked = Instant::now();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        commit(store, vec![Row { draft: row, notice: Some(notice) }], deadline).await.unwrap();
        took.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    let per_second = took.len() as f64 / began.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    let what = "an audited read adds";
    report.goal(format!("{engine}: {what}, p99"), quantile(&took, 0.99) / 1e3, "ms", Goal::AtMost(2.0));
    vec![
        Cell::text(engine),
        Cell::text("audited read: row and message"),
        Cell::Number(1.0, 0),
        Cell::Number(per_second, 0),
        Cell::Number(quantile(&took, 0.5), 0),
        Cell::Number(per_second / floor, 2),
    ]
}
