//! Telling people of tasks that are overdue or soon due: whom, of what, once a task and day, whatever happens to the
//! daemon in between; and an admin's agent, if the config names its session.

use crate::postgres::{Cluster, on_both};
use crate::process;
use crate::world::{ANN, BOB, CID, World};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::daemon::jobs::heartbeat;
use teleclaude::domain::caller::PersonRef;
use teleclaude::domain::session::SessionId;
use teleclaude::domain::task::{Task, TaskId, TaskStatus, TaskText};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::domain::usage::DAY;
use teleclaude::store::error::StoreError;
use teleclaude::store::writer::WriteError;
use teleclaude::store::{message, person, reminder, task};
use teleclaude::usecase::heartbeat::{AT_A_TIME, Step, due, tell};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Noon of a day: what follows does not run over midnight.
const NOON: &str = "2026-11-21T12:00:00Z";

/// Whose days the machine would count otherwise.
const UTC: &str = "tasks: { time_zone: UTC }";

fn noon() -> Timestamp {
    Timestamp::parse(NOON).unwrap()
}

fn hours(from: Timestamp, hours: i64) -> Timestamp {
    Timestamp::from_micros(from.micros() + hours * 3_600_000_000)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn who(world: &World, name: &str) -> PersonRef {
    let person = person::by_name(world.app.store().reader(), name).await.unwrap().unwrap();
    PersonRef { id: person.id, name: person.name }
}

async fn give(world: &World, what: &str, assignee: &str, deadline: Option<i64>) -> Task {
    let task = Task {
        id: TaskId(Uuid::now_v7()),
        assignee: who(world, assignee).await,
        creator: who(world, "ann").await,
        description: TaskText::parse(what).unwrap(),
        deadline: deadline.map(|at| hours(noon(), at)),
        status: TaskStatus::Pending,
        created: noon(),
        updated: noon(),
        completed: None,
        version: 1,
    };
    let kept = task.clone();
    let written: Result<(), WriteError<StoreError>> = world
        .app
        .store()
        .write(soon(), move |tx| {
            let task = kept.clone();
            Box::pin(async move { task::insert(tx.conn(), &task).await })
        })
        .await;
    written.unwrap();
    task
}

async fn beat(world: &World, now: Timestamp) {
    heartbeat::run(&world.app, now, &CancellationToken::new()).await.unwrap();
}

/// The texts in somebody's inbox, oldest first.
async fn told(world: &World, uid: u32) -> Vec<String> {
    let answer = world.rest(uid, "GET", "/inbox?limit=100", None).await;
    let messages = answer.body["messages"].as_array().unwrap().iter().rev();
    messages
        .map(|message| {
            assert_eq!((&message["kind"], message.get("from")), (&json!("task"), None), "{message}");
            message["text"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_to_do_it_and_who_gave_it_are_told_once_a_day() {
    on_both(async |db| {
        let world = World::everybody(db).config(UTC).start().await;
        give(&world, "Mend the roof", "bob", Some(-73)).await;
        give(&world, "Paint the door", "bob", Some(5)).await;
        give(&world, "In three days", "bob", Some(72)).await;
        give(&world, "Some day", "bob", None).await;
        give(&world, "Ring the bank", "cid", Some(-1)).await;
        let mut done = give(&world, "Done long ago", "cid", Some(-200)).await;
        (done.status, done.completed, done.version) = (TaskStatus::Completed, Some(noon()), 2);
        let kept: Result<bool, WriteError<StoreError>> = world
            .app
            .store()
            .write(soon(), move |tx| {
                let done = done.clone();
                Box::pin(async move { task::update(tx.conn(), &done).await })
            })
            .await;
        assert_eq!(kept, Ok(true));
        for at in [0, 1, 11] {
            beat(&world, hours(noon(), at)).await;
        }
        let bobs = "Of your tasks, 1 is overdue and 1 is soon due:\n- 3 days late: Mend the roof\n- due in 5 hours: \
                    Paint the door";
        let cids = "Of your tasks, 1 is overdue:\n- 60 minutes late: Ring the bank";
        assert_eq!((told(&world, BOB).await, told(&world, CID).await), (vec![bobs.to_owned()], vec![cids.to_owned()]));
        let anns = told(&world, ANN).await;
        assert_eq!(anns.len(), 1, "{anns:?}");
        assert!(anns[0].starts_with("Of the tasks that you gave, 2 are overdue and 1 is soon due:\n- "), "{anns:?}");
        for line in ["- bob, 3 days late: Mend the roof", "- cid, 60 minutes late: Ring the bank"] {
            assert!(anns[0].contains(line), "{anns:?}");
        }
        // The next day, again; what was soon due is overdue now.
        beat(&world, hours(noon(), 24)).await;
        let bobs = told(&world, BOB).await;
        assert!(bobs.len() == 2 && bobs[1].starts_with("Of your tasks, 2 are overdue:"), "{bobs:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_one_of_the_config_s_time_zone() {
    on_both(async |db| {
        // Noon UTC is one o'clock in the morning of the next day there: an hour and a minute before, it is the day before.
        let auckland = "tasks: { time_zone: Pacific/Auckland }";
        let world = World::everybody(db).config(auckland).start().await;
        give(&world, "Mend the roof", "bob", Some(-100)).await;
        let midnight = hours(noon(), -1);
        beat(&world, Timestamp::from_micros(midnight.micros() - 60_000_000)).await;
        assert_eq!(told(&world, BOB).await.len(), 1);
        beat(&world, midnight).await;
        beat(&world, noon()).await;
        assert_eq!(told(&world, BOB).await.len(), 2, "UTC has had one day");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_daemon_told_is_not_told_again_and_the_rest_is() {
    on_both(async |db| {
        let world = World::everybody(db).config(UTC).start().await;
        for n in 0..60 {
            give(&world, &format!("Task {n}"), "bob", Some(-n - 1)).await;
        }
        // As a daemon leaves it that dies after the first transaction.
        let day = "2026-11-21".to_owned();
        let found = due(world.app.store().reader(), noon(), 24, &day).await.unwrap();
        assert_eq!(found.len(), 60);
        let tasks: Vec<TaskId> = found[..AT_A_TIME].iter().map(|task| task.id).collect();
        let keys = (0..2 * tasks.len()).map(|_| Uuid::now_v7()).collect();
        let step = Step { tasks, keys, now: noon(), soon_hours: 24, day: day.clone(), prompt: None };
        for round in 0..2 {
            let step = step.clone();
            let told = world.app.store().write(soon(), move |tx| {
                let step = step.clone();
                Box::pin(async move { tell(tx.conn(), &step).await })
            });
            let told: Result<_, WriteError<StoreError>> = told.await;
            assert_eq!(told.unwrap().len(), if round == 0 { 2 } else { 0 }, "once");
        }
        let stopped = CancellationToken::new();
        stopped.cancel();
        heartbeat::run(&world.app, noon(), &stopped).await.unwrap();
        assert_eq!(told(&world, BOB).await.len(), 1, "one that stops begins nothing");
        beat(&world, hours(noon(), 1)).await;
        beat(&world, hours(noon(), 2)).await;
        let counts: Vec<usize> = told(&world, BOB).await.iter().map(|text| overdue(text)).collect();
        assert_eq!(counts, [25, 25, 10]);
        assert_eq!(due(world.app.store().reader(), noon(), 24, &day).await.unwrap(), []);
        world.end().await;
    })
    .await;
}

/// Two daemons that look at the same moment: what one takes, the other does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_at_once_one_tells() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let tasks: Vec<TaskId> = (1..=4).map(|n| TaskId(Uuid::from_u128(n))).collect();
        let claim = async |tasks: Vec<TaskId>, day: &'static str| {
            let claimed = world.app.store().write(soon(), move |tx| {
                let tasks = tasks.clone();
                Box::pin(async move { reminder::claim(tx.conn(), &tasks, day).await })
            });
            let claimed: Result<_, WriteError<StoreError>> = claimed.await;
            claimed.unwrap().len()
        };
        let (one, other) =
            tokio::join!(claim(tasks.clone(), "2026-11-21"), claim(tasks[1..].to_vec(), "2026-11-21"));
        assert_eq!((one, other), (4, 0));
        assert_eq!(claim(tasks.clone(), "2026-11-20").await, 0, "a day that is over was told, too");
        assert_eq!(claim(tasks.clone(), "2026-11-22").await, 4);
        world.end().await;
    })
    .await;
}

/// How many tasks a notice says are overdue.
fn overdue(text: &str) -> usize {
    let rest = text.strip_prefix("Of your tasks, ").unwrap_or_else(|| panic!("{text}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

const TALKER: &str = "agents:
  talker:
    enabled: true
    command: /bin/sh
    args: [-c, 'stty -echo; echo ready; while read -r line; do echo got $line; done']
    profiles: { full: [], restricted: [] }
";

async fn start(world: &World, uid: u32, title: &str) -> String {
    let body = json!({ "project": "work", "agent": "talker", "title": title });
    let started = world.rest(uid, "POST", "/sessions", Some(body)).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    world.until(uid, &id, |row| row["status"] == "running").await;
    id
}

async fn typed(world: &World, session: &str) -> Vec<String> {
    let (reader, id) = (world.app.store().reader(), SessionId(session.parse().unwrap()));
    let mut all = message::delivered(reader, id, 100).await.unwrap();
    all.extend(message::pending(reader, id, 100).await.unwrap());
    all.into_iter().map(|message| message.text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admins_agent_is_told_too_and_nobody_elses() {
    on_both(async |db| {
        let world = World::everybody(db)
            .config(UTC)
            .config("roles: { member: { profile: full } }")
            .config("heartbeat: { session: Foreman, prompt: Look at these. }")
            .config(TALKER)
            .start()
            .await;
        // One of that title that is no admin's gets nothing.
        let bobs = start(&world, BOB, "Foreman").await;
        for n in 0..7 {
            give(&world, &format!("Late {n}"), "bob", Some(-n - 30)).await;
        }
        give(&world, "ignore \"all\" that", "cid", Some(3)).await;
        beat(&world, noon()).await;
        assert_eq!((typed(&world, &bobs).await.len(), told(&world, BOB).await.len()), (0, 1));

        let anns = start(&world, ANN, "Foreman").await;
        beat(&world, hours(noon(), 1)).await;
        assert_eq!(typed(&world, &anns).await.len(), 0, "it was all told on this day");
        beat(&world, hours(noon(), 24)).await;
        beat(&world, hours(noon(), 25)).await;
        let typed = typed(&world, &anns).await;
        assert_eq!(typed.len(), 1, "{typed:?}");
        assert!(
            typed[0].starts_with("[teleclaude] Heartbeat. Look at these.\nOverdue:\n- task "),
            "{typed:?}"
        );
        assert_eq!(
            (typed[0].matches("\n- task ").count(), typed[0].contains("+3 more")),
            (5, true),
            "{typed:?}"
        );
        assert!(!typed[0].contains("ignore \"all\""), "{typed:?}");
        world.end().await;
    })
    .await;
}

/// Puts tasks into the database whose deadline was an hour ago.
async fn insert(world: &process::World, from: u128, many: u128, person: &str) {
    let raw = world.database().await;
    let backend = raw.get_database_backend();
    let row = raw
        .query_one_raw(Statement::from_string(
            backend,
            format!("SELECT id FROM people WHERE name = '{person}'"),
        ))
        .await
        .unwrap()
        .unwrap();
    let id: Uuid = row.try_get("", "id").unwrap();
    let now = Timestamp::from(std::time::SystemTime::now()).micros();
    for n in from..from + many {
        let sql = "INSERT INTO tasks (id, assignee, creator, description, folded, due, status, created, updated, version) \
                   VALUES ($1, $2, $2, 'a task', 'a task', $3, 'pending', $4, $4, 1)";
        let values = [Uuid::from_u128(n).into(), id.into(), (now - 3_600_000_000).into(), now.into()];
        raw.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await.unwrap();
    }
    raw.close().await.unwrap();
}

async fn killed(mut world: process::World, rounds: u32) {
    world.up();
    let me = world.me();
    let person = me.get("/whoami").unwrap().body["person"].as_str().unwrap().to_owned();
    let (mut random, mut tasks) = (crate::kill::Random::new(), 0u32);
    for round in 0..rounds {
        world.kill();
        // So many that they take several transactions.
        insert(&world, u128::from(tasks) + 1, 60, &person).await;
        tasks += 60;
        world.spawn();
        if round % 2 == 1 {
            world.wait_until_it_answers();
        }
        std::thread::sleep(random.pause(300));
    }
    world.kill();
    world.up();
    let shown = || {
        let jobs = me.get("/jobs").unwrap().body["jobs"].as_array().unwrap().clone();
        jobs.into_iter().find(|job| job["name"] == "heartbeat").unwrap()
    };
    let runs = shown()["runs"].as_i64().unwrap();
    process::until("it was looked twice more", || shown()["runs"].as_i64().unwrap() >= runs + 2);
    assert_eq!(shown()["error"], Value::Null, "{}", shown());
    let messages = me.all("/inbox", "messages");
    let told: usize = messages.iter().map(|message| overdue(message["text"].as_str().unwrap())).sum();
    assert_eq!(told, usize::try_from(tasks).unwrap(), "each once: {messages:?}");
}

/// Each second, in a place where it is before noon: these tests take minutes at most, and the day does not change in them.
fn each_second() -> String {
    let noon = Timestamp::from(std::time::SystemTime::now()).micros() % DAY >= DAY / 2;
    let zone = if noon { "Etc/GMT+12" } else { "UTC" };
    format!(
        "heartbeat: {{ every: 1s }}\ntasks: {{ time_zone: {zone} }}\n\
         roles: {{ admin: {{ requests_per_minute: 100000, burst: 10000 }} }}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_killed_daemons_tell_each_task_once() {
    killed(process::World::single(&each_second()), 15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_killed_daemons_tell_each_task_once_on_postgres() {
    let cluster = Cluster::start();
    let url = cluster.database("teleclaude");
    killed(process::World::single(&each_second()).with("TELECLAUDE_DATABASE__URL", &url), 5).await;
}
