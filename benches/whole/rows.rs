//! The database: durable writes a second and pages of sessions, on both engines, through the store as the daemon
//! uses it. The floor of a durable write is one write synced to the same disk.

use crate::daemon::Home;
use crate::postgres::Db;
use crate::report::{Cell, Goal, Report, median, quantile};
use crate::{Plan, progress, witness};
use futures_util::FutureExt as _;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};
use secrecy::ExposeSecret as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::caller::Role;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::session::{Profile, Session, SessionId, SessionStatus, SessionTitle, ThinkingMode};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::{Engine, Options, Store};
use teleclaude::store::error::StoreError;
use teleclaude::store::session::Filter;
use teleclaude::store::{message, person, session};
use tokio::task::JoinSet;
use uuid::Uuid;

/// The machine's name in these databases.
const COMPUTER: &str = "here";
/// The owner of half of all sessions.
const OWNER: u128 = 1;
const UID: u32 = 1_000;
/// The rows' times begin here, in µs.
const BEGIN: i64 = 1_795_000_000_000_000;
/// Pages that are asked for, to know how long one takes.
const PAGES: usize = 400;

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let disk = tempfile::tempdir().unwrap();
    let floor = synced_writes(disk.path(), plan.round);
    let mut writes = vec![vec![
        Cell::text("floor"),
        Cell::text("write of 4 KiB and fdatasync"),
        Cell::Number(1.0, 0),
        Cell::Number(floor, 0),
        Cell::Number(1e6 / floor, 0),
        Cell::Number(1.0, 2),
    ]];
    let mut pages = Vec::new();
    for engine in ["sqlite", "postgresql"] {
        let db = if engine == "sqlite" { Db::sqlite() } else { Db::postgres() };
        write(plan, report, &db, engine, floor, &mut writes).await;
        page(plan, report, &db, engine, &mut pages).await;
    }
    report.table(
        "Durable writes through the store",
        &["engine", "what", "callers", "a second", "p50 µs", "synced writes = 1"],
        writes,
    );
    report.table(
        "50 of one's own sessions, half of all being one's own",
        &["engine", "sessions", "page", "p50 µs", "p99 µs"],
        pages,
    );
}

pub async fn open(engine: &Engine) -> Store {
    let options = Options { engine: engine.clone(), computer: COMPUTER.to_owned(), auto_migrate: true };
    Store::open(options, Arc::new(|| Timestamp::from(SystemTime::now()))).await.unwrap()
}

/// Synced writes a second on this disk, one after the other.
fn synced_writes(folder: &Path, time: Duration) -> f64 {
    progress("rows: the disk");
    let mut file = std::fs::File::create(folder.join("floor")).unwrap();
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < time {
        file.write_all(&[7; 4_096]).unwrap();
        file.sync_data().unwrap();
        done += 1;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

async fn write(
    plan: &Plan,
    report: &mut Report,
    db: &Db,
    engine: &'static str,
    floor: f64,
    table: &mut Vec<Vec<Cell>>,
) {
    let store = open(&db.engine).await;
    let own = put(&store, a_session(0)).await;
    for (what, change, goal) in
        [("audit row", false, 10_000.0), ("message taken, with its audit row", true, 2_000.0)]
    {
        for callers in [1, 32, 256] {
            let mut rounds = Vec::new();
            for turn in 0..plan.rounds {
                progress(&format!("rows: {engine}, {what}, {callers} callers, round {}", turn + 1));
                rounds.push(writers(&store, own, callers, change, plan.round).await);
            }
            let per_second = median(rounds.iter().map(|r| r.0).collect());
            table.push(vec![
                Cell::text(engine),
                Cell::text(what),
                Cell::Number(f64::from(callers), 0),
                Cell::Number(per_second, 0),
                Cell::Number(median(rounds.iter().map(|r| r.1).collect()), 0),
                Cell::Number(per_second / floor, 2),
            ]);
            if callers == 32 {
                report.goal(
                    format!("{engine}, 32 callers: {what}"),
                    per_second,
                    "a second",
                    Goal::AtLeast(goal),
                );
            }
        }
    }
    table.push(witness::measure(report, &store, engine, floor, plan.round).await);
    store.close().await;
}

/// Callers that write one after the other; writes a second, and half of them took no longer than so many µs.
async fn writers(store: &Store, own: SessionId, callers: u32, change: bool, time: Duration) -> (f64, f64) {
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..callers {
        let store = store.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < time {
                let asked = Instant::now();
                let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
                if change {
                    let (id, draft) = (Uuid::now_v7(), draft("session.send"));
                    let unit = store.write(deadline, move |tx| {
                        let draft = draft.clone();
                        async move {
                            let text = "please look at the failing test and say what is wrong with it";
                            message::enqueue(tx.conn(), own, id, text, None, false, draft.at).await?;
                            tx.audit(draft);
                            Ok::<_, StoreError>(())
                        }
                        .boxed()
                    });
                    unit.await.unwrap();
                } else {
                    store.append(deadline, draft("transcript.read")).await.unwrap();
                }
                took.push(asked.elapsed().as_secs_f64() * 1e6);
            }
            took
        });
    }
    let mut all: Vec<f64> = Vec::new();
    while let Some(took) = tasks.join_next().await {
        all.extend(took.unwrap());
    }
    let lasted = began.elapsed().as_secs_f64();
    all.sort_by(f64::total_cmp);
    (all.len() as f64 / lasted, quantile(&all, 0.5))
}

/// A row as long as they are.
pub fn draft(action: &str) -> AuditDraft {
    AuditDraft {
        at: Timestamp::from(SystemTime::now()),
        actor: "bea".to_owned(),
        actor_uid: 1_001,
        actor_role: Role::Admin,
        via: "mcp".to_owned(),
        action: action.to_owned(),
        outcome: AuditOutcome::Success,
        session: Some(Uuid::from_u128(7).to_string()),
        owner: Some("ann".to_owned()),
        target: None,
        reason: Some("the build has been red since noon".to_owned()),
        request_id: Uuid::from_u128(9).to_string(),
        detail: Some(r#"{"format":"markdown","tail_chars":2000}"#.to_owned()),
    }
}

pub fn a_session(n: u32) -> Session {
    let at = Timestamp::from_micros(BEGIN + i64::from(n));
    Session {
        id: SessionId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))),
        title: Some(SessionTitle::parse("make the build green again").unwrap()),
        owner: PersonId(Uuid::from_u128(OWNER)),
        owner_name: "ann".to_owned(),
        owner_uid: UID,
        actor_name: "ann".to_owned(),
        computer: COMPUTER.to_owned(),
        project: Some("site".to_owned()),
        project_path: "/srv/projects/site".to_owned(),
        subdir: None,
        worktree: None,
        agent: "claude".to_owned(),
        thinking_mode: ThinkingMode::Slow,
        profile: Profile::Restricted,
        status: SessionStatus::Running,
        activity: None,
        exit: None,
        parent: None,
        native_id: None,
        client_id: None,
        created: at,
        last_activity: at,
        ended: None,
    }
}

pub async fn put(store: &Store, kept: Session) -> SessionId {
    let id = kept.id;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let unit = store.write(deadline, move |tx| {
        let kept = kept.clone();
        async move {
            person::bind(tx.conn(), "ann", PersonId(Uuid::from_u128(OWNER)), kept.created).await?;
            session::insert(tx.conn(), &kept).await
        }
        .boxed()
    });
    unit.await.unwrap();
    id
}

/// Sessions in the database of a daemon that is not running.
pub async fn fill_home(home: &Home, sessions: u32) {
    // A daemon makes its folders and its schema, and names the computer.
    home.daemon().await.stop();
    let output = std::process::Command::new("uname").arg("-n").output().unwrap();
    let computer = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let engine = Engine::Sqlite { path: home.database(), synchronous_full: true };
    let store = open(&engine).await;
    for n in 0..sessions {
        let ended = Some(Timestamp::from_micros(BEGIN + i64::from(n)));
        let status = SessionStatus::Ended;
        put(&store, Session { computer: computer.clone(), status, ended, ..a_session(n) }).await;
    }
    store.close().await;
}

async fn page(plan: &Plan, report: &mut Report, db: &Db, engine: &'static str, table: &mut Vec<Vec<Cell>>) {
    let store = open(&db.engine).await;
    let filter = Filter {
        owner: Some((PersonId(Uuid::from_u128(OWNER)), UID)),
        computer: Some(COMPUTER.to_owned()),
        ..Filter::default()
    };
    let mut firsts = Vec::new();
    let mut have = 1;
    for &size in &plan.sessions {
        progress(&format!("rows: {engine}, {size} sessions"));
        fill(&db.engine, have, size).await;
        have = size;
        let middle = i64::from(size / 2);
        let deep = (Timestamp::from_micros(BEGIN + middle), SessionId(Uuid::from_u128(u128::MAX)));
        for (name, after) in [("first", None), ("deep", Some(deep))] {
            let mut took = Vec::with_capacity(PAGES);
            for turn in 0..PAGES + 20 {
                let asked = Instant::now();
                let rows = session::page(store.reader(), &filter, after, 50).await.unwrap();
                assert_eq!(rows.len(), 50);
                if turn >= 20 {
                    took.push(asked.elapsed().as_secs_f64() * 1e6);
                }
            }
            took.sort_by(f64::total_cmp);
            let p50 = quantile(&took, 0.5);
            if name == "first" {
                firsts.push(p50);
            }
            table.push(vec![
                Cell::text(engine),
                Cell::Number(f64::from(size), 0),
                Cell::text(name),
                Cell::Number(p50, 0),
                Cell::Number(quantile(&took, 0.99), 0),
            ]);
        }
    }
    if let (Some(first), Some(last), Some(size)) = (firsts.first(), firsts.last(), plan.sessions.last()) {
        report.goal(format!("{engine}: 50 of {size} sessions, p50"), last / 1e3, "ms", Goal::AtMost(0.5));
        report.goal(
            format!("{engine}: the same beside 50 of {} sessions", plan.sessions[0]),
            last / first,
            "x",
            Goal::AtMost(1.3),
        );
    }
    store.close().await;
}

/// Sessions `from..to` by one statement of the engine's own: one by one it would take minutes.
async fn fill(engine: &Engine, from: u32, to: u32) {
    let (url, series, uuid, after) = match engine {
        Engine::Sqlite { path, .. } => (
            format!("sqlite://{}", path.display()),
            format!(
                "WITH RECURSIVE s(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM s WHERE n + 1 < {to})"
            ),
            "unhex(printf('%032x', N))",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ),
        Engine::Postgres { url } => (
            url.expose_secret().to_owned(),
            format!("WITH s(n) AS (SELECT generate_series({from}, {to} - 1))"),
            "lpad(to_hex(N), 32, '0')::uuid",
            "VACUUM ANALYZE",
        ),
    };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let raw = Database::connect(options).await.unwrap();
    let uuid = |n: &str| uuid.replace('N', n);
    let (begin, uid, id, owner, other) = (BEGIN, UID, uuid("n"), uuid("1 + n % 2"), uuid("2"));
    for sql in [
        format!(
            "INSERT INTO people (id, name, status, first_seen, last_seen) SELECT {other}, 'bob', 'active', 1, 1 \
             WHERE NOT EXISTS (SELECT 1 FROM people WHERE name = 'bob')"
        ),
        format!(
            "{series} INSERT INTO sessions (id, title, owner, owner_name, owner_uid, actor_name, computer, project, \
             project_path, agent, thinking_mode, profile, status, created, last_activity, ended) \
             SELECT {id}, 'make the build green again', {owner}, 'ann', {uid}, 'ann', '{COMPUTER}', 'site', \
             '/srv/projects/site', 'claude', 'slow', 'restricted', 'ended', {begin} + n, {begin} + n, {begin} + n \
             FROM s"
        ),
        after.to_owned(),
    ] {
        raw.execute_unprepared(&sql).await.unwrap();
    }
    raw.close().await.unwrap();
}
