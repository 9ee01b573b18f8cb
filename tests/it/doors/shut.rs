//! When the audit log cannot be written, every door stays shut: no byte, `audit_unavailable`, red health that says why,
//! and it heals by itself. Whatever is wrong with the database, on both engines.

use super::{Asking, DOORS, PATIENCE, SECRET, WHY, begun, hold, opened, session};
use crate::postgres::{Db, Stop};
use crate::store::raw;
use crate::world::{ANN, BOB, SHELL, World};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Statement};
use std::time::Duration;
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::error::StoreError;
use teleclaude::store::writer::{QUEUE, WriteError};
use tokio::time::{Instant, sleep};

/// A world in which nobody waits long.
async fn world(db: Db) -> (World, String) {
    let world = World::everybody(db)
        .config(
            "roles:\n  admin: { requests_per_minute: 100000, burst: 10000, steer_others: true }\n  \
             member: { requests_per_minute: 100000, burst: 10000, profile: full }\nlimits: { request_seconds: 4 }",
        )
        .config(SHELL)
        .start()
        .await;
    let (id, _) = session(&world, BOB).await;
    // Who they are is known: from here on nothing but the log has to be written for them.
    world.rest(ANN, "GET", "/whoami", None).await;
    (world, id)
}

/// What each door shows, several at once.
async fn knock(world: &World, asking: Asking<'_>) -> Vec<(&'static str, String)> {
    let doors = DOORS.iter().filter(|door| door.action.is_some());
    let answers = doors.map(|door| opened(world, door, asking).map(|text| (door.name, text)));
    // No more than one uid may at a time.
    stream::iter(answers).buffer_unordered(4).collect().await
}

/// Every door, for an admin with a reason: no byte of the secret, and it is said why.
async fn all_shut(world: &World, id: &str) {
    let asking = Asking { uid: ANN, token: None, id, why: Some(WHY) };
    for (name, text) in knock(world, asking).await {
        assert!(!text.contains(SECRET), "{name}: {text}");
        // A database that cannot even be read says so before the log is asked for.
        assert!(text.contains("audit_unavailable") || text.contains("\"unavailable\""), "{name}: {text}");
    }
}

/// The same where the database can be read: then it is the log, and one's own stays open.
async fn shut_but_for_the_owner(world: &World, id: &str) {
    let asking = Asking { uid: ANN, token: None, id, why: Some(WHY) };
    for (name, text) in knock(world, asking).await {
        assert!(text.contains("audit_unavailable") && !text.contains(SECRET), "{name}: {text}");
    }
    let own = world.rest(BOB, "GET", &format!("/sessions/{id}/transcript"), None).await;
    assert!(own.body["content"].as_str().is_some_and(|text| text.contains(SECRET)), "{own:?}");
}

/// Waits until health is red and says this.
async fn red(world: &World, why: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = world.rest(ANN, "GET", "/health", None).await.body;
        let problems = health["detail"]["problems"].to_string();
        if health["status"] == "degraded" && problems.contains(why) {
            return;
        }
        assert!(Instant::now() < deadline, "{why}: {health}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until each door opens again, with its row, and health is green.
async fn healed(world: &World, id: &str) {
    let deadline = Instant::now() + PATIENCE;
    for door in DOORS {
        let Some(action) = door.action else { continue };
        loop {
            let before = begun(world, action).await;
            let text = opened(world, door, Asking { uid: ANN, token: None, id, why: Some(WHY) }).await;
            if text.contains(SECRET) {
                assert!(begun(world, action).await > before, "{}: content and no row", door.name);
                break;
            }
            assert!(Instant::now() < deadline, "{}: {text}", door.name);
            sleep(Duration::from_millis(50)).await;
        }
    }
    loop {
        let health = world.rest(ANN, "GET", "/health", None).await.body;
        if health["status"] == "ok" {
            return;
        }
        assert!(Instant::now() < deadline, "{health}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn sql(raw: &DatabaseConnection, sql: &str) {
    raw.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// A statement on the writer's own connection.
async fn on_the_writer(world: &World, sql: &'static str) {
    let done = world.app.store().write::<(), StoreError, _>(Instant::now() + PATIENCE, move |tx| {
        async move {
            tx.conn().execute_unprepared(sql).await?;
            Ok(())
        }
        .boxed()
    });
    done.await.unwrap();
}

fn row(detail: String) -> AuditDraft {
    let mut row = AuditDraft::by_daemon(7, "test", AuditOutcome::Success, Timestamp::from_micros(1));
    row.detail = Some(detail);
    row
}

/// Writes rows until not even a small one fits.
async fn until_full(world: &World) {
    let (store, deadline) = (world.app.store(), Instant::now() + PATIENCE);
    for bytes in [20_000, 2_000, 200, 1] {
        // What has no room at the end of a page may have some in the next one.
        let mut refused = 0;
        while refused < 10 {
            assert!(Instant::now() < deadline, "it is never full");
            let done = store.append(Instant::now() + PATIENCE, row("x".repeat(bytes))).await;
            refused = if done.is_ok() { 0 } else { refused + 1 };
        }
    }
}

/// A COMMIT that has no room fails with its transaction still open: nothing may be acknowledged inside it afterwards.
/// On a file system with an end, where that can be had.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_on_a_full_disk() {
    let Some(disk) = disk::Small::mount() else { return };
    let mut db = Db::sqlite();
    let path = disk.path().join("teleclaude.db");
    db.engine = teleclaude::store::connect::Engine::Sqlite { path, synchronous_full: true };
    let (world, id) = world(db).await;
    disk.fill();
    until_full(&world).await;
    shut_but_for_the_owner(&world, &id).await;
    red(&world, "the database's disk is full").await;
    disk.make_room();
    healed(&world, &id).await;
    world.end().await;
}

#[cfg(target_os = "linux")]
mod disk {
    //! A file system of four megabytes in memory.

    use std::io::Write as _;
    use std::path::Path;
    use std::process::Command;

    pub struct Small(tempfile::TempDir);

    impl Small {
        /// `None`, with a word about it, where this process may not mount.
        pub fn mount() -> Option<Self> {
            let folder = tempfile::tempdir().unwrap();
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs"]).arg(folder.path());
            let done = mount.output().is_ok_and(|output| output.status.success());
            if !done {
                let _ = writeln!(std::io::stderr(), "skipped: a small file system cannot be mounted here");
            }
            done.then_some(Self(folder))
        }

        pub fn path(&self) -> &Path {
            self.0.path()
        }

        /// Leaves less room than a commit takes.
        pub fn fill(&self) {
            let mut file = std::fs::File::create(self.0.path().join("ballast")).unwrap();
            while file.write_all(&[b'x'; 4_096]).is_ok() {}
        }

        pub fn make_room(&self) {
            std::fs::remove_file(self.0.path().join("ballast")).unwrap();
        }
    }

    impl Drop for Small {
        fn drop(&mut self) {
            // What is still open goes with the last who has it.
            let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_read_only() {
    let (world, id) = world(Db::sqlite()).await;
    let asking = Asking { uid: ANN, token: None, id: &id, why: Some(WHY) };
    let mut text = String::new();
    // A connection that is so is left behind at once: something else may have met it before the door does.
    for _ in 0..100 {
        on_the_writer(&world, "PRAGMA query_only = ON").await;
        text = opened(&world, &DOORS[0], asking).await;
        if !text.contains(SECRET) {
            break;
        }
    }
    assert!(text.contains("audit_unavailable") && text.contains("read-only"), "{text}");
    healed(&world, &id).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_locked() {
    let (world, id) = world(Db::sqlite()).await;
    let raw = raw(&world.db).await;
    sql(&raw, "BEGIN IMMEDIATE").await;
    shut_but_for_the_owner(&world, &id).await;
    red(&world, "the database is locked by another process").await;
    sql(&raw, "COMMIT").await;
    healed(&world, &id).await;
    raw.close().await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_gone_and_another_in_its_place() {
    let (world, id) = world(Db::sqlite()).await;
    let path = world.db.folder().join("teleclaude.db");
    let away = world.db.folder().join("away");
    std::fs::rename(&path, &away).unwrap();
    all_shut(&world, &id).await;
    red(&world, "the database file").await;
    // Rows that went into another file would be lost with the one that has the others.
    std::fs::copy(&away, &path).unwrap();
    all_shut(&world, &id).await;
    red(&world, "another file is in the place of the database").await;
    std::fs::rename(&away, &path).unwrap();
    healed(&world, &id).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_queue_is_full() {
    crate::postgres::on_both(async |db| {
        let (world, id) = world(db).await;
        let gate = hold(&world).await;
        let store = world.app.store().clone();
        let waiting: Vec<_> = (0..QUEUE + 64)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move { store.append(Instant::now() + PATIENCE, row(String::new())).await })
            })
            .collect();
        red(&world, "its queue is full").await;
        // A few at once: what holds the writer up is given up after five seconds.
        let asking = Asking { uid: ANN, token: None, id: &id, why: Some(WHY) };
        let some = DOORS.iter().filter(|door| door.action.is_some()).step_by(4);
        for text in join_all(some.map(|door| opened(&world, door, asking))).await {
            assert!(text.contains("audit_unavailable") && !text.contains(SECRET), "{text}");
        }
        gate.add_permits(1);
        for done in join_all(waiting).await {
            assert!(matches!(done.unwrap(), Ok(_) | Err(WriteError::Busy)));
        }
        healed(&world, &id).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_full() {
    let (world, id) = world(Db::postgres()).await;
    let raw = raw(&world.db).await;
    sql(
        &raw,
        "CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION \
         'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_up BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION full_up()",
    )
    .await;
    shut_but_for_the_owner(&world, &id).await;
    red(&world, "the database's disk is full").await;
    sql(&raw, "DROP TRIGGER full_up ON audit_log").await;
    healed(&world, &id).await;
    raw.close().await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_read_only() {
    let (world, id) = world(Db::postgres()).await;
    let raw = raw(&world.db).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'teleclaude'";
    sql(&raw, "ALTER DATABASE teleclaude SET default_transaction_read_only = on").await;
    sql(&raw, end).await;
    shut_but_for_the_owner(&world, &id).await;
    red(&world, "the database is read-only").await;
    sql(&raw, "SET default_transaction_read_only = off").await;
    sql(&raw, "ALTER DATABASE teleclaude RESET default_transaction_read_only").await;
    healed(&world, &id).await;
    raw.close().await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_locked() {
    let (world, id) = world(Db::postgres()).await;
    let raw = raw(&world.db).await;
    sql(&raw, "BEGIN; LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE").await;
    shut_but_for_the_owner(&world, &id).await;
    red(&world, "the database took too long").await;
    sql(&raw, "ROLLBACK").await;
    healed(&world, &id).await;
    raw.close().await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_gone() {
    let (mut world, id) = world(Db::postgres()).await;
    for how in [Stop::Fast, Stop::Immediate] {
        world.db.cluster.as_mut().unwrap().down(how);
        all_shut(&world, &id).await;
        red(&world, "the database cannot be reached").await;
        world.db.cluster.as_mut().unwrap().up();
        healed(&world, &id).await;
    }
    world.end().await;
}

/// Processes that stand still until this is dropped.
struct Frozen(Vec<Pid>);

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_frozen() {
    let (world, id) = world(Db::postgres()).await;
    let raw = raw(&world.db).await;
    let all = "SELECT pid FROM pg_stat_activity WHERE application_name = 'teleclaude'";
    let rows = raw.query_all_raw(Statement::from_string(DbBackend::Postgres, all)).await.unwrap();
    let pids = rows.iter().map(|row| Pid::from_raw(row.try_get("", "pid").unwrap())).collect();
    let frozen = Frozen(pids);
    for pid in &frozen.0 {
        kill(*pid, Signal::SIGSTOP).unwrap();
    }
    let asking = Asking { uid: ANN, token: None, id: &id, why: Some(WHY) };
    for (name, text) in knock(&world, asking).await {
        assert!(!text.contains(SECRET) && !text.is_empty(), "{name}: {text}");
    }
    drop(frozen);
    healed(&world, &id).await;
    raw.close().await.unwrap();
    world.end().await;
}
