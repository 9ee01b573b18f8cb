//! Old rows are cut off by law and order: what is held stays, what went is on record, and what is left proves itself.

use crate::postgres::on_both;
use crate::world::{ANN, Answer, BOB, World};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::daemon::{checkpoints, pruning};
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::checkpoint::Pruned;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::{audit, prune};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A day of rows that are old, in the order of the chain; the clock was set back in between.
const OLD: &str = "2020-01-02T00:00:00Z";

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Rows as they were written long ago, about whom and by whom one likes.
async fn rows_of_old(world: &World, rows: i64, change: impl Fn(i64, &mut AuditDraft)) {
    let day = Timestamp::parse("2020-01-01T00:00:00Z").unwrap();
    for n in 0..rows {
        let at = day.plus(Duration::from_secs(u64::try_from((n * 7) % 1_000).unwrap()));
        let mut draft = AuditDraft::by_daemon(7, "test.row", AuditOutcome::Success, at);
        change(n, &mut draft);
        world.app.store().append(soon(), draft).await.unwrap();
    }
}

async fn pruned(world: &World, before: &str, dry_run: bool) -> Answer {
    let body = json!({ "before": before, "dry_run": dry_run });
    world.rest(ANN, "POST", "/audit/prune", Some(body)).await
}

async fn verified(world: &World) -> Value {
    world.rest(ANN, "POST", "/audit/verify", None).await.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_goes_and_its_record_proves_it() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        rows_of_old(&world, 1_200, |_, _| {}).await;
        assert!(checkpoints::make(&world.app).await);
        world.audit().await;
        let would = pruned(&world, OLD, true).await;
        assert_eq!(
            (would.status, &would.body["rows"], &would.body["last"]),
            (200, &json!(1_200), &json!(1_200))
        );
        assert_eq!(verified(&world).await["chains"][0]["first_seq"], 1, "nothing has gone yet");

        let done = pruned(&world, OLD, false).await;
        assert_eq!((done.status, &done.body["rows"], &done.body["left"]), (200, &json!(1_200), &json!(0)));
        let found = verified(&world).await;
        assert_eq!(
            (&found["ok"], &found["chains"][0]["first_seq"]),
            (&json!(true), &json!(1_201)),
            "{found}"
        );
        let rows = world.audit().await;
        let row = rows.iter().find(|row| row["action"] == "audit.prune").unwrap();
        let detail = detail_of(row);
        assert_eq!(
            (&detail["first"], &detail["last"], &detail["count"]),
            (&json!(1), &json!(1_200), &json!(1_200))
        );
        assert_eq!(row["actor"], "ann");

        // The guard is back, and the rest as well guarded as before.
        let raw = raw(&world).await;
        use sea_orm::ConnectionTrait as _;
        let error = raw.execute_unprepared("DELETE FROM audit_log WHERE seq = 1201").await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
        raw.close().await.unwrap();

        // Again: there is nothing that old any more, which is written down all the same. And nobody prunes what has not
        // happened yet.
        assert_eq!(pruned(&world, OLD, false).await.body["rows"], 0);
        let [row, ..] = &prunes(&world).await[..] else { panic!("no row") };
        assert_eq!((&row["outcome"], &detail_of(row)["count"]), (&json!("success"), &json!(0)), "{row}");
        let future = pruned(&world, "2999-01-01T00:00:00Z", false).await;
        assert_eq!((future.status, &future.body["field"]), (422, &json!("before")));
        let wrong = pruned(&world, "yesterday", false).await;
        assert_eq!((wrong.status, &wrong.body["field"]), (422, &json!("before")));
        world.end().await;
    })
    .await;
}

/// The rows about pruning, the newest first.
async fn prunes(world: &World) -> Vec<Value> {
    world.audit().await.into_iter().filter(|row| row["action"] == "audit.prune").collect()
}

fn detail_of(row: &Value) -> Value {
    serde_json::from_str(row["detail"].as_str().unwrap()).unwrap()
}

async fn raw(world: &World) -> sea_orm::DatabaseConnection {
    use secrecy::ExposeSecret as _;
    use teleclaude::store::connect::Engine;
    let url = match &world.db.engine {
        Engine::Sqlite { path, .. } => format!("sqlite://{}", path.display()),
        Engine::Postgres { url } => url.expose_secret().to_owned(),
    };
    sea_orm::Database::connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_stays_and_the_hold_is_named() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let session = "0193b2a0-0000-7000-8000-000000000001";
        rows_of_old(&world, 20, |n, draft| match n {
            5 => draft.session = Some(session.to_owned()),
            8 => draft.owner = Some("bob".to_owned()),
            11 => draft.actor = "cid".to_owned(),
            _ => {}
        })
        .await;
        let reason = "case 12 of the district court";
        let hold = async |what: Value| {
            let mut body = what;
            body["reason"] = json!(reason);
            world.rest(ANN, "POST", "/audit/holds", Some(body)).await
        };
        for (what, seq) in [
            (json!({ "session_id": session }), 6),
            (json!({ "person": "bob" }), 9),
            (json!({ "person": "cid" }), 12),
            (json!({ "everything": true }), 1),
        ] {
            let placed = hold(what.clone()).await;
            assert_eq!(placed.status, 200, "{placed:?}");
            let id = placed.body["id"].as_str().unwrap().to_owned();
            for dry_run in [true, false] {
                let refused = pruned(&world, OLD, dry_run).await;
                assert_eq!((refused.status, &refused.body["code"]), (409, &json!("conflict")), "{refused:?}");
                let why = refused.body["detail"].as_str().unwrap();
                assert!(why.contains(&id) && why.contains(reason), "{why}");
                assert!(why.contains(&format!("rows from {seq} on")), "{what}: {why}");
            }
            let [row, ..] = &prunes(&world).await[..] else { panic!("no row") };
            assert_eq!(row["outcome"], "failure", "{row}");
            assert!(detail_of(row)["why"].as_str().unwrap().contains(&id), "{row}");
            let listed = world.rest(ANN, "GET", "/audit/holds", None).await;
            assert_eq!(listed.body["holds"][0]["id"], json!(id), "{listed:?}");
            let release = json!({ "reason": "the case is closed" });
            let path = format!("/audit/holds/{id}/release");
            assert_eq!(world.rest(ANN, "POST", &path, Some(release.clone())).await.status, 200);
            assert_eq!(world.rest(ANN, "POST", &path, Some(release)).await.status, 409, "twice");
        }
        // One that holds nothing that old is in nobody's way.
        assert_eq!(hold(json!({ "person": "eve" })).await.status, 200);
        let done = pruned(&world, OLD, false).await;
        assert_eq!((done.status, &done.body["rows"]), (200, &json!(20)), "{done:?}");
        let listed = world.rest(ANN, "GET", "/audit/holds?all=true", None).await;
        assert_eq!(listed.body["holds"].as_array().unwrap().len(), 5, "{listed:?}");
        let rows = world.audit().await;
        assert_eq!(rows.iter().filter(|row| row["action"] == "audit.hold").count(), 9);

        for (body, field) in [
            (json!({ "person": "bob", "reason": "short" }), "reason"),
            (json!({ "person": "bob", "reason": "a\u{1b}[31m red reason" }), "reason"),
            (json!({ "person": "bob", "everything": true, "reason": reason }), "session_id"),
            (json!({ "session_id": "0193b2a0", "reason": reason }), "session_id"),
            (json!({ "reason": reason }), "session_id"),
        ] {
            let answer = world.rest(ANN, "POST", "/audit/holds", Some(body.clone())).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)), "{body}: {answer:?}");
        }
        assert_eq!(world.rest(BOB, "GET", "/audit/holds", None).await.status, 404, "for admins only");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_prunes_at_once_one_wins_and_the_other_is_told() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        rows_of_old(&world, 50, |_, _| {}).await;
        // The last row never goes.
        world.audit().await;
        // Another one is at it.
        let turn = world.app.pruning().lock().await;
        let refused = pruned(&world, OLD, false).await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("conflict")), "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains("already"), "{refused:?}");
        drop(turn);
        assert_eq!(prunes(&world).await[0]["outcome"], "failure", "who was told is written down");
        let both = futures_util::future::join(pruned(&world, OLD, false), pruned(&world, OLD, false)).await;
        let mut rows: Vec<(u16, i64)> =
            [both.0, both.1].iter().map(|a| (a.status, a.body["rows"].as_i64().unwrap_or(0))).collect();
        rows.sort_unstable();
        assert!(rows == [(200, 0), (200, 50)] || rows == [(200, 50), (409, 0)], "{rows:?}");
        let found = verified(&world).await;
        assert_eq!((&found["ok"], &found["chains"][0]["first_seq"]), (&json!(true), &json!(51)), "{found}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_is_finished_and_proves_itself_in_between() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        rows_of_old(&world, 60, |_, _| {}).await;
        world.audit().await;
        begun(&world).await;
        let reader = world.app.store().reader();
        assert_eq!(audit::ends(reader, "here").await.unwrap().unwrap().0, 26);
        let found = verified(&world).await;
        assert_eq!((&found["ok"], &found["chains"][0]["first_seq"]), (&json!(true), &json!(26)), "{found}");

        pruning::go_on(&world.app, &CancellationToken::new()).await.unwrap();
        let found = verified(&world).await;
        assert_eq!((&found["ok"], &found["chains"][0]["first_seq"]), (&json!(true), &json!(61)), "{found}");

        // Somebody who takes more than the record says is found out.
        world.app.store().write(soon(), |tx| prune_more(tx).boxed()).await.unwrap();
        let found = verified(&world).await;
        assert_eq!(
            (&found["ok"], &found["chains"][0]["first_bad_seq"]),
            (&json!(false), &json!(62)),
            "{found}"
        );
        assert!(found.to_string().contains("are missing"), "{found}");
    })
    .await;
}

/// Leaves it as a daemon does that was killed after the record and the first batch.
async fn begun(world: &World) {
    let old = Timestamp::parse(OLD).unwrap();
    let found = prune::prefix(world.app.store().reader(), "here", old).await.unwrap();
    let ((first, last, head), at) = (found.unwrap(), world.app.now());
    let cut = Pruned { origin: "here".to_owned(), first, last, count: last, head, at };
    let note = world.app.notary().sign(&cut.text()).unwrap();
    let draft = AuditDraft::by_daemon(7, prune::PRUNE, AuditOutcome::Success, at)
        .with_detail(&json!({ "note": note }));
    world.app.store().append(soon(), draft).await.unwrap();
    world.app.store().write(soon(), |tx| prune_some(tx).boxed()).await.unwrap();
}

async fn prune_some(
    tx: &mut teleclaude::store::writer::Tx,
) -> Result<u64, teleclaude::store::error::StoreError> {
    prune::cut(tx.conn(), "here", 60, 25).await
}

async fn prune_more(
    tx: &mut teleclaude::store::writer::Tx,
) -> Result<u64, teleclaude::store::error::StoreError> {
    prune::cut(tx.conn(), "here", 61, 25).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_is_found_however_often_it_was_looked_what_would_go() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        rows_of_old(&world, 10, |_, _| {}).await;
        world.audit().await;
        assert_eq!(pruned(&world, OLD, false).await.body["rows"], 10);
        let body = json!({ "before": OLD, "event": "prune, dry run" });
        let looked =
            AuditDraft::by_daemon(7, prune::PRUNE, AuditOutcome::Success, world.app.now()).with_detail(&body);
        let all = (0..150).map(|_| world.app.store().append(soon(), looked.clone()));
        futures_util::future::try_join_all(all).await.unwrap();
        let found = verified(&world).await;
        assert_eq!((&found["ok"], &found["chains"][0]["first_seq"]), (&json!(true), &json!(11)), "{found}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_that_comes_while_rows_are_going_keeps_the_rest() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        rows_of_old(&world, 60, |n, draft| {
            if n == 40 {
                draft.actor = "cid".to_owned();
            }
        })
        .await;
        world.audit().await;
        begun(&world).await;
        let reader = world.app.store().reader();
        let body = json!({ "person": "cid", "reason": "case 12 of the district court" });
        let hold = world.rest(ANN, "POST", "/audit/holds", Some(body)).await;
        assert_eq!(hold.status, 200, "{hold:?}");

        pruning::go_on(&world.app, &CancellationToken::new()).await.unwrap();
        assert_eq!(audit::ends(reader, "here").await.unwrap().unwrap().0, 26, "the held one is among these");
        assert_eq!(verified(&world).await["ok"], true);
        let refused = pruned(&world, OLD, false).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        assert!(refused.body["detail"].as_str().unwrap().contains("case 12"), "{refused:?}");

        let path = format!("/audit/holds/{}/release", hold.body["id"].as_str().unwrap());
        let release = json!({ "reason": "the case is closed" });
        assert_eq!(world.rest(ANN, "POST", &path, Some(release)).await.status, 200);
        pruning::go_on(&world.app, &CancellationToken::new()).await.unwrap();
        assert_eq!(audit::ends(reader, "here").await.unwrap().unwrap().0, 61);
        assert_eq!(verified(&world).await["ok"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_is_not_hidden_by_pruning_around_it() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        rows_of_old(&world, 20, |_, _| {}).await;
        world.audit().await;
        let raw = raw(&world).await;
        use sea_orm::ConnectionTrait as _;
        let open = match &world.db.engine {
            teleclaude::store::connect::Engine::Sqlite { .. } => "DROP TRIGGER audit_log_no_delete",
            _ => "ALTER TABLE audit_log DISABLE TRIGGER audit_log_no_change",
        };
        raw.execute_unprepared(open).await.unwrap();
        raw.execute_unprepared("DELETE FROM audit_log WHERE seq = 7").await.unwrap();
        raw.close().await.unwrap();
        for dry_run in [true, false] {
            let refused = pruned(&world, OLD, dry_run).await;
            assert_eq!(refused.status, 409, "{refused:?}");
            assert!(refused.body["detail"].as_str().unwrap().contains("missing"), "{refused:?}");
        }
        let [row, ..] = &prunes(&world).await[..] else { panic!("no row") };
        assert_eq!((&row["outcome"], &row["actor"]), (&json!("failure"), &json!("ann")), "{row}");
        assert_eq!(verified(&world).await["chains"][0]["first_bad_seq"], 8);
    })
    .await;
}
