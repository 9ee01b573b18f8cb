//! Tasks: pages of 50 out of 100,000, on both engines, through the store as the daemon uses it. The floor is one task by its
//! key: the least that a question costs.

use crate::postgres::Db;
use crate::progress;
use crate::report::{Cell, Goal, Report, quantile};
use crate::rows::open;
use futures_util::FutureExt as _;
use std::time::{Duration, Instant};
use teleclaude::domain::caller::PersonRef;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::task::{Task, TaskFilter, TaskId, TaskPlace, TaskQuery, TaskStatus, TaskText};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::Store;
use teleclaude::store::error::StoreError;
use teleclaude::store::{person, task};
use uuid::Uuid;

const TASKS: u32 = 100_000;
/// People who have them.
const PEOPLE: u32 = 20;
/// Tasks that are put in at a time.
const BATCH: u32 = 1_000;
const PAGES: usize = 400;
/// The tasks' times begin here, in µs; each is a second after the one before.
const BEGIN: i64 = 1_795_000_000_000_000;

/// Measures.
pub async fn measure(report: &mut Report) {
    let mut pages = Vec::new();
    for engine in ["sqlite", "postgresql"] {
        let db = if engine == "sqlite" { Db::sqlite() } else { Db::postgres() };
        let store = open(&db.engine).await;
        progress(&format!("tasks: {engine}, {TASKS} tasks"));
        fill(&store).await;
        page(report, &store, engine, &mut pages).await;
        store.close().await;
    }
    report.table("50 of 100,000 tasks", &["engine", "which", "p50 µs", "p99 µs"], pages);
}

fn moment(n: u32) -> Timestamp {
    Timestamp::from_micros(BEGIN + i64::from(n) * 1_000_000)
}

fn who(n: u32) -> PersonRef {
    PersonRef { id: PersonId(Uuid::from_u128(u128::from(n % PEOPLE) + 1)), name: format!("p{}", n % PEOPLE) }
}

/// A third is completed, a tenth has no deadline.
fn a_task(n: u32) -> Task {
    let completed = n.is_multiple_of(3).then(|| moment(n));
    Task {
        id: TaskId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))),
        assignee: who(n),
        creator: who(n / PEOPLE),
        description: TaskText::parse("make the build green again and say what was wrong with it").unwrap(),
        // In another order than that in which they are given.
        deadline: (!n.is_multiple_of(10)).then(|| moment(n.wrapping_mul(7_919) % TASKS)),
        status: if completed.is_some() { TaskStatus::Completed } else { TaskStatus::Pending },
        created: moment(n),
        updated: moment(n),
        completed,
        version: 1,
    }
}

async fn fill(store: &Store) {
    for from in (0..TASKS).step_by(BATCH as usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        let unit = store.write(deadline, move |tx| {
            async move {
                for n in 0..PEOPLE {
                    let person = who(n);
                    person::bind(tx.conn(), &person.name, person.id, moment(0)).await?;
                }
                for n in from..from + BATCH {
                    task::insert(tx.conn(), &a_task(n)).await?;
                }
                Ok::<_, StoreError>(())
            }
            .boxed()
        });
        unit.await.unwrap();
    }
}

async fn page(report: &mut Report, store: &Store, engine: &'static str, table: &mut Vec<Vec<Cell>>) {
    let now = moment(TASKS / 2);
    let mut floor = Vec::with_capacity(PAGES);
    for turn in 0..PAGES + 20 {
        let asked = Instant::now();
        assert!(task::by_id(store.reader(), a_task(TASKS / 2).id).await.unwrap().is_some());
        if turn >= 20 {
            floor.push(asked.elapsed().as_secs_f64() * 1e6);
        }
    }
    row(table, engine, "one, by its key", floor);
    let open = TaskQuery { limit: 50, ..TaskQuery::default() };
    let mine = TaskQuery { assignee: Some(who(7).id), ..open.clone() };
    let deep = Some(TaskPlace::Due(Some(now), a_task(0).id));
    for (name, query) in [
        ("open, first page", open.clone()),
        ("open, from the middle", TaskQuery { after: deep, ..open.clone() }),
        ("open of one person", mine.clone()),
        ("open of one person, from the middle", TaskQuery { after: deep, ..mine.clone() }),
        ("open by one person", TaskQuery { creator: Some(who(7).id), ..open.clone() }),
        ("overdue", TaskQuery { overdue: true, ..open.clone() }),
        ("all, newest first", TaskQuery { status: TaskFilter::All, ..open.clone() }),
        ("all of one person", TaskQuery { status: TaskFilter::All, ..mine.clone() }),
        ("completed of one person", TaskQuery { status: TaskFilter::Completed, ..mine }),
    ] {
        let mut took = Vec::with_capacity(PAGES);
        for turn in 0..PAGES + 20 {
            let asked = Instant::now();
            let rows = task::page(store.reader(), &query, now).await.unwrap();
            assert_eq!(rows.len(), 50, "{name}");
            if turn >= 20 {
                took.push(asked.elapsed().as_secs_f64() * 1e6);
            }
        }
        let p50 = row(table, engine, name, took);
        report.goal(
            format!("{engine}: 50 of {TASKS} tasks, {name}, p50"),
            p50 / 1e3,
            "ms",
            Goal::AtMost(1.0),
        );
    }
}

/// A row of the table; the median.
fn row(table: &mut Vec<Vec<Cell>>, engine: &'static str, name: &'static str, mut took: Vec<f64>) -> f64 {
    took.sort_by(f64::total_cmp);
    let p50 = quantile(&took, 0.5);
    table.push(vec![
        Cell::text(engine),
        Cell::text(name),
        Cell::Number(p50, 0),
        Cell::Number(quantile(&took, 0.99), 0),
    ]);
    p50
}
