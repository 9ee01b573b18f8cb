//! The audit log: rows verified a second, with checkpoints, and pages of a long log, on both engines.

use crate::postgres::Db;
use crate::report::{Cell, Goal, Report, quantile};
use crate::{Plan, progress};
use futures_util::FutureExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::caller::Role;
use teleclaude::domain::checkpoint::Checkpoint;
use teleclaude::domain::note::SigningKey;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::audit::{self, Filter, Place};
use teleclaude::store::connect::{Options, Store};
use teleclaude::store::error::StoreError;
use teleclaude::store::verify::{Evidence, prove};
use uuid::Uuid;

const COMPUTER: &str = "here";
/// The rows' times begin here, in µs.
const BEGIN: i64 = 1_795_000_000_000_000;
/// Rows that are put in at a time.
const BATCH: i64 = 1_000;
const PAGES: usize = 200;

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let (mut verified, mut pages) = (Vec::new(), Vec::new());
    for engine in ["sqlite", "postgresql"] {
        let db = if engine == "sqlite" { Db::sqlite() } else { Db::postgres() };
        let options =
            Options { engine: db.engine.clone(), computer: COMPUTER.to_owned(), auto_migrate: true };
        let store = Store::open(options, Arc::new(|| Timestamp::from(SystemTime::now()))).await.unwrap();
        progress(&format!("audit: {engine}, {} rows", plan.audit_rows));
        fill(&store, plan.audit_rows).await;
        verify(plan, report, &store, engine, &mut verified).await;
        page(plan, report, &store, engine, &mut pages).await;
        store.close().await;
    }
    report.table("Rows of the audit log verified", &["engine", "rows", "a second"], verified);
    report.table("50 rows of the audit log", &["engine", "which", "p50 µs", "p99 µs"], pages);
}

fn draft(n: i64) -> AuditDraft {
    AuditDraft {
        at: Timestamp::from_micros(BEGIN + n * 1_000),
        actor: if n % 10 == 0 { "bea" } else { "cid" }.to_owned(),
        actor_uid: 1_001,
        actor_role: Role::Admin,
        via: "mcp".to_owned(),
        action: if n % 100 == 0 { "audit.hold" } else { "transcript.read" }.to_owned(),
        outcome: if n % 1_000 == 0 { AuditOutcome::Denied } else { AuditOutcome::Success },
        session: Some(Uuid::from_u128(u128::try_from(n % 500).unwrap()).to_string()),
        owner: Some("ann".to_owned()),
        target: None,
        reason: Some("the build has been red since noon".to_owned()),
        request_id: Uuid::from_u128(9).to_string(),
        detail: Some(r#"{"format":"markdown","tail_chars":2000}"#.to_owned()),
    }
}

async fn fill(store: &Store, rows: i64) {
    for from in (0..rows).step_by(usize::try_from(BATCH).unwrap()) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let unit = store.write(deadline, move |tx| {
            async move {
                for n in from..(from + BATCH).min(rows) {
                    tx.audit(draft(n));
                }
                Ok::<_, StoreError>(())
            }
            .boxed()
        });
        unit.await.unwrap();
    }
}

async fn verify(
    plan: &Plan,
    report: &mut Report,
    store: &Store,
    engine: &'static str,
    table: &mut Vec<Vec<Cell>>,
) {
    let key = SigningKey::from_seed(COMPUTER, [7; 32]).unwrap();
    let (seq, hash) = audit::last(store.reader(), COMPUTER).await.unwrap().unwrap();
    let at = Timestamp::from(SystemTime::now());
    let point = Checkpoint { origin: COMPUTER.to_owned(), seq, hash, at };
    let evidence = Evidence { keys: vec![key.verifier()], notes: vec![key.sign(&point.text())] };
    let mut rates = Vec::new();
    for turn in 0..plan.rounds {
        progress(&format!("audit: {engine}, verify, round {}", turn + 1));
        let began = Instant::now();
        let found = prove(store.reader(), None, &evidence, |_| {}).await.unwrap();
        assert_eq!((found[0].first_bad.as_ref(), found[0].checkpoints), (None, 1));
        rates.push(found[0].rows as f64 / began.elapsed().as_secs_f64());
    }
    let rate = crate::report::median(rates);
    table.push(vec![Cell::text(engine), Cell::Number(plan.audit_rows as f64, 0), Cell::Number(rate, 0)]);
    report.goal(format!("{engine}: audit rows verified"), rate, "a second", Goal::AtLeast(300_000.0));
}

async fn page(
    plan: &Plan,
    report: &mut Report,
    store: &Store,
    engine: &'static str,
    table: &mut Vec<Vec<Cell>>,
) {
    let middle = plan.audit_rows / 2;
    let at = Timestamp::from_micros(BEGIN + middle * 1_000);
    let deep = Place { at, computer: COMPUTER.to_owned(), seq: middle };
    let text = |text: &str| Some(text.to_owned());
    for (name, filter) in [
        ("all", Filter::default()),
        ("actor", Filter { actor: text("bea"), ..Filter::default() }),
        ("owner", Filter { owner: text("ann"), ..Filter::default() }),
        ("session", Filter { session: text(&Uuid::from_u128(0).to_string()), ..Filter::default() }),
        ("action", Filter { action: text("audit.hold"), ..Filter::default() }),
        ("outcome", Filter { outcome: Some(AuditOutcome::Denied), ..Filter::default() }),
    ] {
        let mut took = Vec::with_capacity(PAGES);
        for turn in 0..PAGES + 20 {
            let asked = Instant::now();
            let rows = audit::page(store.reader(), &filter, Some(&deep), 50).await.unwrap();
            assert_eq!(rows.len(), 50, "{name}");
            if turn >= 20 {
                took.push(asked.elapsed().as_secs_f64() * 1e6);
            }
        }
        took.sort_by(f64::total_cmp);
        let p50 = quantile(&took, 0.5);
        table.push(vec![
            Cell::text(engine),
            Cell::text(name),
            Cell::Number(p50, 0),
            Cell::Number(quantile(&took, 0.99), 0),
        ]);
        let what = format!("{engine}: 50 of {} audit rows by {name}, p50", plan.audit_rows);
        report.goal(what, p50 / 1e3, "ms", Goal::AtMost(1.0));
    }
}
