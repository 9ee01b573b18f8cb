//! What is kept of tasks: pages in their order, what is due, and the trail.

use crate::postgres::{Db, on_both};
use crate::store::{at, change, raw};
use futures_util::FutureExt;
use sea_orm::ConnectionTrait;
use teleclaude::domain::caller::PersonRef;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::task::{
    Task, TaskEvent, TaskEventKind, TaskFilter, TaskId, TaskPlace, TaskQuery, TaskStatus, TaskText,
};
use teleclaude::store::activity::{Before, Span};
use teleclaude::store::connect::Store;
use teleclaude::store::task::{self, Due, Found};
use teleclaude::store::task_event::{self, Of};
use teleclaude::store::{error::StoreError, person};
use uuid::Uuid;

const ANN: u128 = 1;
const BOB: u128 = 2;
const HOUR: i64 = 3_600;

fn who(n: u128) -> PersonRef {
    PersonRef { id: PersonId(Uuid::from_u128(n)), name: if n == ANN { "ann" } else { "bob" }.to_owned() }
}

/// The task `n` of bob's, given by ann.
fn a_task(n: u128, deadline: Option<i64>) -> Task {
    Task {
        id: TaskId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n)),
        assignee: who(BOB),
        creator: who(ANN),
        description: TaskText::parse(&format!("Task {n}: 100% of A_B \\ ŻÓŁW")).unwrap(),
        deadline: deadline.map(at),
        status: TaskStatus::Pending,
        created: at(0),
        updated: at(0),
        completed: None,
        version: 1,
    }
}

async fn put(store: &Store, tasks: Vec<Task>) {
    change(store, move |tx| {
        let tasks = tasks.clone();
        async move {
            for (n, name) in [(ANN, "ann"), (BOB, "bob")] {
                person::bind(tx.conn(), name, who(n).id, at(0)).await?;
            }
            for one in &tasks {
                task::insert(tx.conn(), one).await?;
            }
            Ok::<_, StoreError>(())
        }
        .boxed()
    })
    .await
    .unwrap();
}

fn numbers(tasks: &[Task]) -> Vec<u128> {
    tasks.iter().map(|task| task.id.0.as_u128() & 0xffff).collect()
}

/// Every page of a list, three rows at a time.
async fn all(store: &Store, query: TaskQuery) -> Vec<u128> {
    let mut query = TaskQuery { limit: 3, ..query };
    let mut seen = Vec::new();
    loop {
        let page = task::page(store.reader(), &query, at(0)).await.unwrap();
        let Some(last) = page.last() else { return seen };
        let newest = query.status.newest_first();
        query.after = Some(if newest { TaskPlace::Newest(last.id) } else { last.place() });
        seen.extend(numbers(&page));
    }
}

async fn kept(db: &Db) -> Store {
    let store = db.open().await;
    let mut tasks = vec![
        a_task(1, None),
        a_task(2, Some(HOUR)),
        a_task(3, Some(-HOUR)),
        a_task(4, None),
        a_task(5, Some(HOUR)),
        a_task(6, Some(-2 * HOUR)),
        a_task(7, Some(30 * HOUR)),
        a_task(8, Some(-9 * HOUR)),
    ];
    tasks[4].status = TaskStatus::Accepted;
    tasks[7].status = TaskStatus::Completed;
    tasks[7].completed = Some(at(1));
    tasks[6].assignee = who(ANN);
    put(&store, tasks).await;
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_due_first_stand_first_and_undated_ones_last() {
    on_both(async |db| {
        let store = kept(&db).await;
        let of = |n| Some(who(n).id);
        let query = TaskQuery::default();
        assert_eq!(all(&store, query.clone()).await, [6, 3, 2, 5, 7, 1, 4]);
        let bobs = TaskQuery { assignee: of(BOB), ..query.clone() };
        assert_eq!(all(&store, bobs.clone()).await, [6, 3, 2, 5, 1, 4]);
        let with = |status| TaskQuery { status, ..bobs.clone() };
        assert_eq!(all(&store, with(TaskFilter::Pending)).await, [6, 3, 2, 1, 4]);
        assert_eq!(all(&store, with(TaskFilter::Accepted)).await, [5]);
        assert_eq!(all(&store, with(TaskFilter::Completed)).await, [8]);
        assert_eq!(all(&store, with(TaskFilter::All)).await, [8, 6, 5, 4, 3, 2, 1]);
        assert_eq!(all(&store, TaskQuery { overdue: true, ..query.clone() }).await, [6, 3]);
        let late = TaskQuery { overdue: true, ..with(TaskFilter::All) };
        assert_eq!(all(&store, late).await, [6, 3], "a completed one is not overdue");
        assert_eq!(all(&store, TaskQuery { creator: of(BOB), ..query.clone() }).await, []);
        assert_eq!(all(&store, TaskQuery { creator: of(ANN), ..query.clone() }).await.len(), 7);
        let mut found = Vec::new();
        for text in ["100% of", "a_b \\", "żółw", "task 4:", "a%b", "axb", "1__%"] {
            let query = TaskQuery { text: Some(text.to_owned()), ..query.clone() };
            found.push(all(&store, query).await.len());
        }
        assert_eq!(found, [7, 7, 7, 1, 0, 0, 0]);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_comes_by_person_and_what_is_overdue_is_not_due_soon() {
    on_both(async |db| {
        let store = kept(&db).await;
        let mut more = vec![a_task(21, Some(0)), a_task(22, Some(-5 * HOUR)), a_task(23, Some(24 * HOUR))];
        more[1].assignee = who(ANN);
        put(&store, more).await;
        let due = async |which, limit| {
            let (mut seen, mut last) = (Vec::new(), None);
            loop {
                let page = task::due(store.reader(), which, at(0), last.as_ref(), limit).await.unwrap();
                let Some(end) = page.last() else { return seen };
                last = Some(end.clone());
                seen.extend(numbers(&page));
            }
        };
        for limit in [1, 2, 100] {
            assert_eq!(due(Due::Overdue, limit).await, [22, 6, 3]);
            assert_eq!(due(Due::Within(24), limit).await, [21, 2, 5, 23]);
            assert_eq!(due(Due::Within(30), limit).await, [7, 21, 2, 5, 23]);
            assert_eq!(due(Due::Within(0), limit).await, [21]);
            assert_eq!(due(Due::Within(u32::MAX), limit).await, [7, 21, 2, 5, 23], "undated ones never");
        }
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_named_kept_changed_once_and_handed_over() {
    on_both(async |db| {
        let store = kept(&db).await;
        let c = store.reader();
        let (first, nobody) = (a_task(1, None), PersonId(Uuid::from_u128(3)));
        assert_eq!(task::by_id(c, first.id).await.unwrap(), Some(first.clone()));
        let id = first.id.to_string();
        let found = async |name: &str, of, gave| task::find(c, name, of, gave).await.unwrap();
        assert_eq!(found(&id, None, false).await, Found::One(Box::new(first.clone())));
        assert!(matches!(found(&id[..8], None, false).await, Found::Ambiguous(ids) if ids.len() == 6));
        assert_eq!(found(&id, Some(who(ANN).id), false).await, Found::None);
        assert!(matches!(found(&id, Some(who(ANN).id), true).await, Found::One(_)));
        assert!(matches!(found(&id, Some(who(BOB).id), false).await, Found::One(_)));
        assert_eq!(found(&id, Some(nobody), true).await, Found::None);

        let mut changed = Task { deadline: Some(at(9)), version: 2, ..first.clone() };
        (changed.status, changed.completed) = (TaskStatus::Completed, Some(at(5)));
        for expected in [true, false] {
            let changed = changed.clone();
            let done = change(&store, move |tx| {
                let changed = changed.clone();
                async move { task::update(tx.conn(), &changed).await }.boxed()
            });
            assert_eq!(done.await.unwrap(), expected, "the version is taken once");
        }
        assert_eq!(task::by_id(c, first.id).await.unwrap(), Some(changed));

        assert_eq!(numbers(&[task::newest_open(c, who(BOB).id).await.unwrap().unwrap()]), [6]);
        assert_eq!(task::newest_open(c, nobody).await.unwrap(), None);
        assert!(task::has_open(c, who(BOB).id, 5).await.unwrap());
        assert!(!task::has_open(c, who(BOB).id, 6).await.unwrap());

        let (bob, ann) = (who(BOB).id, who(ANN).id);
        let over =
            change(&store, move |tx| async move { task::hand_over(tx.conn(), bob, ann).await }.boxed());
        assert_eq!(over.await.unwrap(), 7);
        assert!(!task::names(c, bob).await.unwrap());
        assert!(task::names(c, ann).await.unwrap());
        let gone = change(&store, move |tx| async move { task::delete(tx.conn(), first.id).await }.boxed());
        assert!(gone.await.unwrap());
        assert_eq!(task::by_id(c, a_task(1, None).id).await.unwrap(), None);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_is_read_by_task_and_by_person_and_grows_old() {
    on_both(async |db| {
        let store = db.open().await;
        let event = |n: u128, task: u128, actor: u128, kind| TaskEvent {
            id: Uuid::from_u128(n),
            task: a_task(task, None).id,
            at: at(i64::try_from(n / 2).unwrap()),
            actor: Some(who(actor).id),
            actor_name: "somebody".to_owned(),
            assignee: who(BOB).id,
            kind,
            detail: Some(r#"{"to":"accepted"}"#.to_owned()),
        };
        let events: Vec<TaskEvent> = TaskEventKind::ALL
            .into_iter()
            .zip(1..)
            .map(|(kind, n)| event(n, 1 + n % 2, if n < 4 { ANN } else { BOB }, kind))
            .collect();
        let kept = events.clone();
        change(&store, move |tx| {
            let events = kept.clone();
            async move {
                for event in events.iter().chain(&events[..1]) {
                    task_event::insert(tx.conn(), event).await?;
                }
                Ok::<_, StoreError>(())
            }
            .boxed()
        })
        .await
        .unwrap();
        let read = async |of| {
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let page = task_event::page(store.reader(), of, &Span::default(), before, 2).await.unwrap();
                let Some(last) = page.last() else { return seen };
                before = Some(Before::Row(last.at, last.id));
                seen.extend(page.iter().map(|event| event.id.as_u128()));
            }
        };
        assert_eq!(read(Of::All).await, [6, 5, 4, 3, 2, 1]);
        assert_eq!(read(Of::Task(a_task(1, None).id)).await, [6, 4, 2]);
        assert_eq!(read(Of::Actor(who(ANN).id)).await, [3, 2, 1]);
        assert_eq!(
            task_event::page(store.reader(), Of::All, &Span::default(), None, 1).await.unwrap(),
            events[5..]
        );
        let old =
            change(&store, |tx| async move { task_event::delete_old(tx.conn(), at(2), 2).await }.boxed());
        assert_eq!(old.await.unwrap(), 2);
        assert_eq!(read(Of::All).await, [6, 5, 4, 3]);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_takes_no_status_that_does_not_fit() {
    on_both(async |db| {
        let store = kept(&db).await;
        let raw = raw(&db).await;
        for wrong in [
            "UPDATE tasks SET status = 'overdue'",
            "UPDATE tasks SET status = 'completed', completed = NULL",
            "UPDATE tasks SET status = 'pending', completed = 5",
            "UPDATE tasks SET version = 0",
        ] {
            assert!(raw.execute_unprepared(wrong).await.is_err(), "{wrong}");
        }
        raw.close().await.unwrap();
        store.close().await;
    })
    .await;
}
