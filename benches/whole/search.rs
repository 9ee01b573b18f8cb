//! Transcripts: entries kept and indexed a second, and a page of a search over many of them, on both engines.

use crate::postgres::Db;
use crate::report::{Cell, Goal, Report, median, quantile};
use crate::rows::{a_session, open, put};
use crate::{Plan, progress};
use futures_util::FutureExt as _;
use std::time::{Duration, Instant};
use teleclaude::domain::person::PersonId;
use teleclaude::domain::query::Query;
use teleclaude::domain::session::SessionId;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::domain::transcript::{Entry, EntryKind, Speaker};
use teleclaude::store::connect::Store;
use teleclaude::store::error::StoreError;
use teleclaude::store::search::{self, Scope};
use teleclaude::store::transcript;
use uuid::Uuid;

/// Entries of one session.
const PER_SESSION: u32 = 2_000;
/// Entries that are kept together, as the follower does.
const TOGETHER: u32 = 200;
/// Searches that are asked, to know how long one takes.
const SEARCHES: usize = 200;
/// Entries that a page looks at.
const PAGE: u64 = 25;

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let mut table = Vec::new();
    for engine in ["sqlite", "postgresql"] {
        let db = if engine == "sqlite" { Db::sqlite() } else { Db::postgres() };
        let store = open(&db.engine).await;
        progress(&format!("search: {engine}, {} entries", plan.entries));
        let kept = fill(&store, plan.entries).await;
        report.goal(format!("{engine}: entries kept and indexed"), kept, "a second", Goal::AtLeast(2_000.0));
        let first = a_session(0);
        let own = Scope { owner: Some((first.owner, first.owner_uid)), ..Scope::default() };
        let others = Scope { owner: Some((PersonId(Uuid::from_u128(9)), 9)), ..Scope::default() };
        for (what, query, scope) in [
            ("in one entry", "word7777", &own),
            ("in every entry", "common", &own),
            ("in one of ten, and in one of a hundred", "tenth3 hundredth43", &own),
            ("in some, as a beginning", "word777*", &own),
            ("in every entry, none of one's own", "common", &others),
        ] {
            let query = Query::parse(query).unwrap();
            let mut took = Vec::with_capacity(SEARCHES);
            let mut found = 0_u32;
            for turn in 0..SEARCHES + 10 {
                let asked = Instant::now();
                let page = search::candidates(store.reader(), &query, scope, None, PAGE).await.unwrap();
                found =
                    page.found.iter().map(|c| u32::from(query.find(&search::text(&c.entry)).is_some())).sum();
                if turn >= 10 {
                    took.push(asked.elapsed().as_secs_f64() * 1e3);
                }
            }
            took.sort_by(f64::total_cmp);
            let p50 = quantile(&took, 0.5);
            table.push(vec![
                Cell::text(engine),
                Cell::text(what),
                Cell::Number(f64::from(found), 0),
                Cell::Number(p50, 2),
                Cell::Number(quantile(&took, 0.99), 2),
            ]);
            report.goal(format!("{engine}: search, {what}, p50"), p50, "ms", Goal::AtMost(20.0));
        }
        store.close().await;
    }
    report.table(
        format!("A page of a search over {} entries", plan.entries),
        &["engine", "the words stand", "hits", "p50 ms", "p99 ms"],
        table,
    );
}

/// Keeps so many; entries a second.
async fn fill(store: &Store, entries: u32) -> f64 {
    let mut rounds = Vec::new();
    for number in 0..entries.div_ceil(PER_SESSION) {
        let id = put(store, a_session(number)).await;
        let began = Instant::now();
        for piece in 0..PER_SESSION / TOGETHER {
            keep(store, id, number * PER_SESSION, piece * TOGETHER).await;
        }
        rounds.push(f64::from(PER_SESSION) / began.elapsed().as_secs_f64());
    }
    median(rounds)
}

async fn keep(store: &Store, id: SessionId, before: u32, first: u32) {
    let entries: Vec<Entry> = (first..first + TOGETHER).map(|n| entry(before + n)).collect();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let unit = store.write(deadline, move |tx| {
        let entries = entries.clone();
        async move {
            transcript::append(tx.conn(), id, i64::from(first) + 1, &entries).await?;
            Ok::<_, StoreError>(())
        }
        .boxed()
    });
    unit.await.unwrap();
}

/// Some 300 bytes, as an agent would say them.
fn entry(n: u32) -> Entry {
    let (tenth, hundredth) = (n % 10, n % 100);
    let names: String = (0..24)
        .map(|part| format!(" name{}", n.wrapping_mul(31).wrapping_add(part * 7_919) % 5_000))
        .collect();
    let text = format!(
        "common word{n} tenth{tenth} hundredth{hundredth} in src/module_{hundredth}/file_{tenth}.rs:{names}"
    );
    let at = Timestamp::from_micros(1_795_000_000_000_000 + i64::from(n));
    Entry::new(Some(at), Speaker::Assistant, EntryKind::Text, text)
}
