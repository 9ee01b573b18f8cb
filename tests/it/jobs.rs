//! What the daemon does now and then by itself: when it is due, that it is never done twice at once, what a failure or a
//! stop in between leaves, and how people see it. The clock is an argument.

use crate::postgres::on_both;
use crate::world::{ANN, BOB, STRANGER, World};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::daemon::jobs;
use teleclaude::domain::job::{Job, JobState};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::error::StoreError;
use teleclaude::store::{job, person};
use teleclaude::wire::fault::FaultCode;
use teleclaude::wire::job::JobRow;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Does everything that is due at `now`, to its end.
async fn due(world: &World, now: Timestamp) {
    let mut running = JoinSet::new();
    jobs::start_due(&world.app, now, &mut running);
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

fn shown(world: &World, job: Job) -> JobRow {
    let all = jobs::shown(&world.app).jobs;
    all.into_iter().find(|row| row.name == job.name()).unwrap()
}

async fn kept(world: &World) -> Vec<(Job, JobState)> {
    job::all(world.app.store().reader(), "here").await.unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_of_a_job_is_read_back_and_is_one_row_a_computer() {
    on_both(async |db| {
        let store = db.open().await;
        let at = |n: i64| Timestamp::from_micros(n);
        let mut state = JobState { error: Some("no \0 bytes".to_owned()), ..JobState::new(at(5)) };
        for runs in 1..=2 {
            state = JobState {
                runs,
                failures: 1,
                last_started: Some(at(1)),
                last_finished: Some(at(2)),
                ..state
            };
            let state = state.clone();
            let written = store.write(soon(), move |tx| {
                let state = state.clone();
                Box::pin(async move {
                    job::put(tx.conn(), "here", Job::Prune, &state).await?;
                    job::put(tx.conn(), "there", Job::Prune, &JobState { runs: 9, ..state }).await?;
                    Ok::<(), StoreError>(())
                })
            });
            written.await.unwrap();
        }
        let kept = job::all(store.reader(), "here").await.unwrap();
        assert_eq!(kept, [(Job::Prune, JobState { error: Some("no \u{fffd} bytes".to_owned()), ..state })]);
        assert_eq!(job::all(store.reader(), "elsewhere").await.unwrap(), []);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_done_once_and_again_when_its_time_comes() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let now = world.app.now();
        due(&world, now).await;
        for job in Job::ALL {
            let row = shown(&world, job);
            assert_eq!((row.runs, &row.error), (1, &None), "{row:?}");
        }
        assert_eq!(kept(&world).await.len(), Job::ALL.len());
        due(&world, now).await;
        due(&world, now.plus(Duration::from_secs(59))).await;
        assert_eq!(shown(&world, Job::IdleSessions).runs, 1);
        due(&world, now.plus(Duration::from_secs(60))).await;
        assert_eq!(shown(&world, Job::IdleSessions).runs, 2);
        assert_eq!(shown(&world, Job::Checkpoint).runs, 1, "that is done every hour");
        // Ten hours in which nobody looked are one run.
        let later = now.plus(Duration::from_secs(36_000));
        due(&world, later).await;
        due(&world, later).await;
        assert_eq!((shown(&world, Job::IdleSessions).runs, shown(&world, Job::Checkpoint).runs), (3, 2));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_or_panics_stops_no_other_and_health_says_why_until_it_is_well() {
    on_both(async |db| {
        let elsewhere = tempfile::tempdir().unwrap();
        let file = elsewhere.path().join("not/yet");
        let config = format!("audit: {{ checkpoint: {{ file: {} }} }}", file.display());
        let world = World::everybody(db).config(&config).start().await;
        let now = world.app.now();
        due(&world, now).await;
        let row = shown(&world, Job::Checkpoint);
        assert!(row.error.as_ref().unwrap().contains("audit.checkpoint.file"), "{row:?}");
        assert_eq!((row.failures, row.last_ok.is_none()), (1, true), "{row:?}");
        assert_eq!(shown(&world, Job::Retention).error, None);

        let turn = world.app.jobs().turn(Job::Retention, now).unwrap();
        jobs::once(&world.app, turn, async { panic!("a defect") }).await;
        let row = shown(&world, Job::Retention);
        assert!(row.error.as_ref().unwrap().contains("defect") && row.running_since.is_none(), "{row:?}");
        let health = world.rest(ANN, "GET", "/health", None).await.body;
        assert_eq!(health["status"], "degraded", "{health}");
        for words in ["the job checkpoint failed at ", "the job retention failed at "] {
            assert!(health["detail"]["problems"].to_string().contains(words), "{words}: {health}");
        }
        assert_eq!(world.rest(BOB, "GET", "/health", None).await.body, json!({ "status": "degraded" }));
        let errors = kept(&world).await.into_iter().filter(|(_, state)| state.error.is_some());
        assert_eq!(errors.map(|(job, _)| job).collect::<Vec<_>>(), [Job::Checkpoint, Job::Retention]);

        // Tried again soon, not in an hour.
        std::fs::create_dir(elsewhere.path().join("not")).unwrap();
        due(&world, world.app.now().plus(Duration::from_secs(6))).await;
        assert_eq!((shown(&world, Job::Checkpoint).error, shown(&world, Job::Retention).error), (None, None));
        let health = world.rest(ANN, "GET", "/health", None).await.body;
        assert_eq!(health["status"], "ok", "{health}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_are_forgotten_after_the_days_of_the_config() {
    on_both(async |db| {
        let world = World::everybody(db).config("retention: { anonymous_days: 3 }").start().await;
        assert_eq!(world.rest(STRANGER, "GET", "/whoami", None).await.status, 200);
        let known = async || person::by_uid(world.app.store().reader(), STRANGER).await.unwrap().is_some();
        let deadline = soon();
        while !known().await {
            assert!(Instant::now() < deadline, "the contact is never written down");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let days = |days: u64| world.app.now().plus(Duration::from_secs(days * 86_400));
        due(&world, days(2)).await;
        assert!(known().await);
        due(&world, days(4)).await;
        assert!(!known().await);
        let row = shown(&world, Job::Visitors);
        assert_eq!((row.runs, row.error), (2, None));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bans_that_have_ended_are_seen_to() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        assert_eq!(world.rest(BOB, "GET", "/whoami", None).await.status, 200);
        let ban = json!({ "person": "bob", "until": "2h", "reason": "too loud on Friday" });
        let banned = world.rest(ANN, "POST", "/bans", Some(ban)).await;
        assert!(banned.status < 300, "{banned:?}");
        let lifts = async || {
            let rows = world.audit().await;
            rows.iter().filter(|row| row["action"] == "ban.lift" && row["actor"] == "daemon").count()
        };
        let hours = |hours: u64| world.app.now().plus(Duration::from_secs(hours * 3_600));
        due(&world, hours(1)).await;
        assert_eq!(lifts().await, 0);
        due(&world, hours(3)).await;
        due(&world, hours(4)).await;
        assert_eq!(lifts().await, 1);
        assert_eq!(shown(&world, Job::Bans).error, None);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_never_done_twice_at_once() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let now = world.app.now();
        let turn = world.app.jobs().turn(Job::Retention, now).unwrap();
        assert!(world.app.jobs().turn(Job::Retention, now).is_none());
        due(&world, now).await;
        let row = shown(&world, Job::Retention);
        assert_eq!((row.runs, row.running_since), (0, Some(now.to_string())));
        assert_eq!(shown(&world, Job::IdleSessions).runs, 1, "others go on");
        let refused = jobs::run_now(&world.app, Job::Retention, now, soon()).await.unwrap_err();
        assert_eq!(refused.code, FaultCode::Conflict);
        drop(turn);
        let rounds: Vec<_> = (0..8)
            .map(|_| {
                let app = Arc::clone(&world.app);
                tokio::spawn(async move { jobs::run_now(&app, Job::Retention, now, soon()).await.is_ok() })
            })
            .collect();
        let mut done = 0;
        for round in rounds {
            done += i64::from(round.await.unwrap());
        }
        assert!(done >= 1);
        assert_eq!(shown(&world, Job::Retention).runs, done);
        world.end().await;
    })
    .await;
}
