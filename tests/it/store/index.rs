//! Hot queries use the indexes that are named for them.

use crate::postgres::Db;
use crate::postgres::on_both;
use crate::store::{a_session, at, draft, keep, raw, soon};
use sea_orm::ConnectionTrait;
use sea_orm::DatabaseConnection;
use sea_orm::Statement;
use std::time::Duration;
use teleclaude::domain::audit::AuditOutcome;
use teleclaude::domain::credential::KeyId;
use teleclaude::domain::people_query::{PeoplePlace, PeopleQuery, Roles};
use teleclaude::domain::task::{TaskFilter, TaskId, TaskPlace, TaskQuery};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::activity;
use teleclaude::store::audit;
use teleclaude::store::connect::Engine;
use teleclaude::store::credential;
use teleclaude::store::inbox;
use teleclaude::store::message;
use teleclaude::store::outbox;
use teleclaude::store::people;
use teleclaude::store::people_list;
use teleclaude::store::session;
use teleclaude::store::task;
use teleclaude::store::task_event::{self, Of};
use teleclaude::store::visitor;
use tokio::time::Instant;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_s_own_queries_use_their_indexes() {
    let db = Db::postgres();
    db.open().await.close().await;
    let raw = raw(&db).await;
    // A small table is read whole whatever the index.
    raw.execute_unprepared("ALTER DATABASE teleclaude SET enable_seqscan = off").await.unwrap();
    raw.execute_unprepared("ALTER DATABASE teleclaude SET enable_sort = off").await.unwrap();
    many_tasks(&raw).await;
    raw.execute_unprepared("SELECT pg_stat_reset()").await.unwrap();
    let store = db.open().await;
    keep(&store, a_session(1, 0)).await;
    let s = a_session(1, 0);
    let c = store.reader();
    let owner = session::Filter { owner: Some((s.owner, s.owner_uid)), ..Default::default() };
    session::page(c, &owner, Some((at(5), s.id)), 50).await.unwrap();
    session::page(c, &session::Filter::default(), Some((at(5), s.id)), 50).await.unwrap();
    session::page(c, &session::Filter { parent: Some(s.id), ..Default::default() }, None, 50).await.unwrap();
    session::by_client_id(c, s.owner, "x").await.unwrap();
    session::by_token_hash(c, &[1; 32]).await.unwrap();
    session::open_on(c, "here").await.unwrap();
    session::open_count(c, s.owner).await.unwrap();
    message::pending(c, s.id, 10).await.unwrap();
    outbox::pending(c, "here", 10).await.unwrap();
    let last = Some(activity::Before::Row(at(5), s.id.0));
    for of in [
        activity::Filter::default(),
        activity::Filter { session: Some(s.id), ..Default::default() },
        activity::Filter { owner: Some(s.owner), uid: Some(s.owner_uid), ..Default::default() },
    ] {
        activity::page(c, &of, last, 10).await.unwrap();
    }
    credential::under(c, "here", &KeyId("x".to_owned()), Some(("a", "B")), 10).await.unwrap();
    let before = audit::Place { at: at(5), computer: "here".to_owned(), seq: 5 };
    for filter in [
        audit::Filter::default(),
        audit::Filter { actor: Some("x".to_owned()), ..Default::default() },
        audit::Filter { owner: Some("x".to_owned()), ..Default::default() },
        audit::Filter { session: Some("x".to_owned()), ..Default::default() },
        audit::Filter { owner_key: Some("x".to_owned()), ..Default::default() },
        audit::Filter { action: Some("x".to_owned()), ..Default::default() },
        audit::Filter { outcome: Some(AuditOutcome::Denied), ..Default::default() },
    ] {
        audit::page(c, &filter, Some(&before), 50).await.unwrap();
    }
    let own = inbox::Filter { person: s.owner, uid: 1, family: None, unread: false };
    inbox::page(c, &own, Some((5, Uuid::nil())), 50).await.unwrap();
    people::names(c, Some((at(5), Uuid::nil())), 50).await.unwrap();
    let place = PeoplePlace { named: false, created: at(5), id: Uuid::nil() };
    let list = PeopleQuery { after: Some(place), limit: 50, ..PeopleQuery::default() };
    people_list::page(c, &list, &Roles::default()).await.unwrap();
    visitor::forget(c, at(5), 50).await.unwrap();
    inbox::page(c, &inbox::Filter { unread: true, ..own }, None, 50).await.unwrap();
    let (person, id) = (Some(s.owner), TaskId(s.id.0));
    let place = TaskPlace::Due(Some(Timestamp::from_micros(5)), id);
    let last = TaskId(Uuid::max());
    let query = TaskQuery { after: Some(place), limit: 50, ..TaskQuery::default() };
    task::page(c, &TaskQuery { overdue: true, ..query.clone() }, at(5)).await.unwrap();
    task::page(c, &TaskQuery { assignee: person, ..query.clone() }, at(5)).await.unwrap();
    task::page(c, &TaskQuery { creator: person, ..query.clone() }, at(5)).await.unwrap();
    let query = TaskQuery { status: TaskFilter::All, after: Some(TaskPlace::Newest(last)), ..query };
    task::page(c, &TaskQuery { assignee: person, ..query.clone() }, at(5)).await.unwrap();
    task::page(c, &TaskQuery { creator: person, ..query }, at(5)).await.unwrap();
    for of in [Of::All, Of::Task(id), Of::Actor(s.owner), Of::Assignee(s.owner)] {
        task_event::page(c, of, &activity::Span::default(), Some(activity::Before::Row(at(5), id.0)), 50)
            .await
            .unwrap();
    }
    store.close().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let sql = "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan > 0";
        let rows =
            raw.query_all_raw(Statement::from_string(sea_orm::DbBackend::Postgres, sql)).await.unwrap();
        let used: Vec<String> = rows.iter().map(|r| r.try_get("", "indexrelname").unwrap()).collect();
        let missing: Vec<&str> = [
            "sessions_mine",
            "sessions_all",
            "sessions_parent",
            "sessions_client_id",
            "sessions_token_hash",
            "sessions_open_on",
            "sessions_open_of",
            "messages_pending",
            "outbox_pending",
            "activity_page",
            "activity_all",
            "activity_mine",
            "credentials_key",
            "audit_log_page",
            "audit_log_actor",
            "audit_log_owner",
            "audit_log_session",
            "audit_log_target",
            "inbox_page",
            "inbox_unread",
            "people_updated",
            "people_page",
            "people_visitors",
            "audit_log_action",
            "audit_log_failed",
            "tasks_open",
            "tasks_open_of_assignee",
            "tasks_open_of_creator",
            "tasks_of_assignee",
            "tasks_of_creator",
            "task_events_of_task",
            "task_events_of_actor",
            "task_events_of_assignee",
            "task_events_page",
        ]
        .into_iter()
        .filter(|index| !used.iter().any(|u| u == index))
        .collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "never used: {missing:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    raw.close().await.unwrap();
}

/// Tasks of a hundred people: of few, PostgreSQL reads everybody's for one person's.
async fn many_tasks(raw: &DatabaseConnection) {
    let person = "lpad(to_hex(n % 100), 32, '0')::uuid";
    let sql = format!(
        "INSERT INTO tasks (id, assignee, creator, description, folded, due, status, created, updated, version) \
         SELECT gen_random_uuid(), {person}, {person}, 'x', 'x', n, 'pending', n, n, 1 FROM generate_series(1, 2000) n"
    );
    raw.execute_unprepared(&sql).await.unwrap();
    raw.execute_unprepared("ANALYZE tasks").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_queries_use_their_indexes() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        store.append(soon(), draft("one")).await.unwrap();
        let raw = raw(&db).await;
        let sqlite = matches!(db.engine, Engine::Sqlite { .. });
        if !sqlite {
            // A small table is read whole whatever the index.
            raw.execute_unprepared("SET enable_seqscan = off; SET enable_bitmapscan = off").await.unwrap();
            many_tasks(&raw).await;
        }
        let uuid = |n: u128| {
            let id = Uuid::from_u128(n);
            if sqlite { format!("x'{}'", id.simple()) } else { format!("'{id}'::uuid") }
        };
        let (one, last) = (uuid(1), uuid(u128::MAX));
        let mine = format!(
            "SELECT * FROM sessions WHERE owner = {one} AND owner_uid = 5 AND (last_activity, id) < (5, {one}) \
             ORDER BY last_activity DESC, id DESC LIMIT 50"
        );
        let all = format!(
            "SELECT * FROM sessions WHERE (last_activity, id) < (5, {one}) ORDER BY last_activity DESC, id DESC LIMIT 50"
        );
        let pending = format!(
            "SELECT * FROM messages WHERE session = {one} AND state = 'pending' ORDER BY created, id LIMIT 1"
        );
        let audit_order = "ORDER BY at DESC, computer DESC, seq DESC LIMIT 50";
        for (sql, index) in [
            (mine.as_str(), "sessions_mine"),
            (all.as_str(), "sessions_all"),
            (pending.as_str(), "messages_pending"),
            ("SELECT * FROM sessions WHERE computer = 'here' AND status <> 'ended' ORDER BY id", "sessions_open_on"),
            (
                &format!(
                    "SELECT * FROM people WHERE name IS NOT NULL AND status <> 'deleted' AND (created, id) < (5, {one}) \
                     ORDER BY created DESC, id DESC LIMIT 100"
                ),
                "people_page",
            ),
            (
                &format!("SELECT id FROM people WHERE (updated, id) > (5, {one}) ORDER BY updated, id LIMIT 9"),
                "people_updated",
            ),
            (
                "SELECT id FROM people WHERE name_folded IS NULL AND last_seen < 5 ORDER BY last_seen, id LIMIT 9",
                "people_visitors",
            ),
            (
                "SELECT * FROM outbox WHERE computer = 'here' AND done IS NULL ORDER BY created, id LIMIT 9",
                "outbox_pending",
            ),
            (&format!("SELECT * FROM audit_log WHERE (at, computer, seq) < (5, 'x', 1) {audit_order}"), "audit_log_page"),
            (&format!("SELECT * FROM audit_log WHERE actor = 'x' {audit_order}"), "audit_log_actor"),
            (&format!("SELECT * FROM audit_log WHERE session = 'x' {audit_order}"), "audit_log_session"),
            (&format!("SELECT * FROM audit_log WHERE owner = 'x' {audit_order}"), "audit_log_owner"),
            (
                &format!("SELECT * FROM audit_log WHERE target_id = 'x' AND target_kind = 'owner' {audit_order}"),
                "audit_log_target",
            ),
            (
                &format!(
                    "SELECT * FROM inbox WHERE person = {one} AND (uid IS NULL OR uid = 5) AND (place, id) < (5, {one}) \
                     ORDER BY place DESC, id DESC LIMIT 50"
                ),
                "inbox_page",
            ),
            (
                &format!(
                    "SELECT * FROM inbox WHERE person = {one} AND read_at IS NULL ORDER BY place DESC, id DESC LIMIT 50"
                ),
                "inbox_unread",
            ),
            (
                &format!(
                    "SELECT at FROM inbox WHERE person = {one} AND sender = 'x' AND at > 5 ORDER BY place DESC, id DESC \
                     LIMIT 60"
                ),
                "inbox_page",
            ),
            (
                &format!("UPDATE inbox SET times = times + 1 WHERE person = {one} AND session = {one}"),
                "inbox_session",
            ),
            (
                &format!(
                    "SELECT * FROM bans WHERE (created, id) < (5, {one}) ORDER BY created DESC, id DESC LIMIT 50"
                ),
                "bans_page",
            ),
            (&format!("SELECT * FROM bans WHERE person = {one} AND lifted IS NULL"), "bans_person"),
            ("SELECT * FROM bans WHERE uid = 5 AND lifted IS NULL", "bans_uid"),
            (&format!("SELECT * FROM audit_log WHERE action = 'x' {audit_order}"), "audit_log_action"),
            (
                &format!(
                    "SELECT * FROM audit_log WHERE outcome = 'denied' AND outcome <> 'success' {audit_order}"
                ),
                "audit_log_failed",
            ),
            (
                &format!(
                    "SELECT * FROM tasks WHERE assignee = {one} AND completed IS NULL AND (due, id) > (5, {one}) \
                     ORDER BY due, id LIMIT 50"
                ),
                "tasks_open_of_assignee",
            ),
            (
                &format!(
                    "SELECT * FROM tasks WHERE creator = {one} AND completed IS NULL ORDER BY due, id LIMIT 50"
                ),
                "tasks_open_of_creator",
            ),
            ("SELECT * FROM tasks WHERE completed IS NULL AND due < 5 ORDER BY due, id LIMIT 50", "tasks_open"),
            (
                &format!("SELECT * FROM tasks WHERE assignee = {one} AND id < {last} ORDER BY id DESC LIMIT 50"),
                "tasks_of_assignee",
            ),
        ] {
            let explain = if sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
            let backend = raw.get_database_backend();
            let rows = raw
                .query_all_raw(Statement::from_string(backend, format!("{explain} {sql}")))
                .await
                .unwrap();
            let column = if sqlite { "detail" } else { "QUERY PLAN" };
            let plan: Vec<String> = rows.iter().map(|r| r.try_get("", column).unwrap()).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(index), "{sql}\n{plan}");
            assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
        raw.close().await.unwrap();
        store.close().await;
    })
    .await;
}
