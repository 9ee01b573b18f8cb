//! Search over transcripts: the same answers on both databases, own sessions only, others' by an admin with a reason
//! and a row each; and who may not.

use crate::postgres::{Db, on_both};
use crate::store::{a_session, at, change, keep, raw};
use crate::world::{ANN, BOB, CID, ERAS, EVE, STRANGER, World};
use futures_util::FutureExt as _;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::daemon::retention;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::query::Query;
use teleclaude::domain::session::{Session, SessionId};
use teleclaude::domain::transcript::{Entry, EntryKind, Speaker};
use teleclaude::store::connect::{Engine, Store};
use teleclaude::store::search::{self, Scope};
use teleclaude::store::{session, transcript};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Members may run a shell.
pub const FULL: &str = "roles: { member: { profile: full } }";

/// Says these in a session.
pub async fn say(store: &Store, session: SessionId, first: i64, texts: &[(EntryKind, &str)]) {
    let entries: Vec<Entry> = (0..)
        .zip(texts)
        .map(|(n, (kind, text))| Entry::new(Some(at(n)), Speaker::Assistant, *kind, (*text).to_owned()))
        .collect();
    change(store, move |tx| {
        let entries = entries.clone();
        async move { transcript::append(tx.conn(), session, first, &entries).await }.boxed()
    })
    .await
    .unwrap();
}

/// The numbers of the entries that are found, and all their texts were looked at.
async fn numbers(store: &Store, query: &str, scope: &Scope) -> Vec<i64> {
    let query = Query::parse(query).unwrap();
    let found = search::candidates(store.reader(), &query, scope, None, 1_000).await.unwrap();
    found.found.into_iter().filter(|c| query.find(&search::text(&c.entry)).is_some()).map(|c| c.seq).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_find_the_same() {
    on_both(async |db| {
        let store = db.open().await;
        let session = a_session(1, 0);
        keep(&store, session.clone()).await;
        let texts = [
            (EntryKind::Text, "The quick brown Fox jumps"),
            (EntryKind::Text, "brown quick: a fox_trot in src/lib.rs, a::b<C>"),
            (EntryKind::Text, "Привет, мир! Ёлка и ПРИВЕТ"),
            (EntryKind::Text, "全文検索は日本語"),
            (EntryKind::Text, "caf\u{e9} and cafe\u{301}; Straße; ΟΔΟΣ"),
            (EntryKind::ToolCall, r#"{"command":"make\nneedle \"quoted\" /usr/local/bin"}"#),
            (EntryKind::Text, "it's 100% 'quoted' \"twice\" \\ & | ! ( ) : * <-> \u{0} NEAR AND OR NOT end"),
            (EntryKind::Text, "🙂 — …"),
        ];
        say(&store, session.id, 1, &texts).await;
        // Doing it again changes nothing.
        say(&store, session.id, 1, &texts).await;
        let all = Scope::default();
        for (query, found) in [
            ("fox", &[2, 1][..]),
            ("FOX quick", &[2, 1]),
            ("quick brown", &[2, 1]),
            ("\"quick brown\"", &[1]),
            ("quick -jumps", &[2]),
            ("quick -\"quick brown\"", &[2]),
            ("fo*", &[2, 1]),
            ("fox_trot", &[2]),
            ("trot", &[2]),
            ("a::b", &[2]),
            ("b::a", &[]),
            ("src/lib.rs", &[2]),
            ("/usr/local/bin", &[6]),
            ("needle", &[6]),
            ("nneedle", &[]),
            ("привет", &[3]),
            ("МИР елка", &[3]),
            ("прив*", &[3]),
            ("検索", &[4]),
            ("全文検索は日本語", &[4]),
            ("索検", &[]),
            ("cafe", &[5]),
            ("CAFÉ", &[5]),
            ("straße", &[5]),
            ("οδος", &[5]),
            ("quoted", &[7, 6]),
            ("100", &[7]),
            ("near and not", &[7]),
            // Signs of either engine's language are nothing but signs.
            ("' OR fox", &[]),
            ("quick') OR ('fox", &[]),
            ("quick\" OR \"fox", &[]),
            ("words:fox", &[]),
            ("fox:* & quick", &[2, 1]),
            ("NEAR(quick fox)", &[]),
            ("fox ^ quick", &[2, 1]),
            ("{fox}", &[2, 1]),
            ("=00000000000000000000000000000001=4294967294", &[]),
        ] {
            assert_eq!(numbers(&store, query, &all).await, found, "{query}");
        }
        // Words of a text are nobody's mark.
        let own =
            |person, uid| Scope { owner: Some((PersonId(Uuid::from_u128(person)), uid)), ..Scope::default() };
        assert_eq!(numbers(&store, "fox", &own(1, u32::MAX - 1)).await, [2, 1]);
        assert!(numbers(&store, "fox", &own(1, 5)).await.is_empty());
        assert!(numbers(&store, "fox", &own(2, u32::MAX - 1)).await.is_empty());
        let project = |name: &str| Scope { project: Some(name.to_owned()), ..Scope::default() };
        assert_eq!(numbers(&store, "fox", &project("site")).await, [2, 1]);
        assert!(numbers(&store, "fox", &project("other")).await.is_empty());
        let span =
            |since, until| Scope { since: Some(at(since)), until: Some(at(until)), ..Scope::default() };
        assert_eq!(numbers(&store, "quick", &span(0, 0)).await, [1]);
        assert_eq!(numbers(&store, "quick", &span(1, 9)).await, [2]);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_go_back_in_the_order_of_writing() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        keep(&store, a_session(2, 0)).await;
        // On Postgres the first are beyond those that are looked through one by one.
        for n in 1..=10 {
            if n == 6 && !matches!(db.engine, Engine::Sqlite { .. }) {
                let raw = raw(&db).await;
                let skip = "SELECT setval(pg_get_serial_sequence('transcript_index', 'id'), 10000)";
                raw.query_one_raw(Statement::from_string(raw.get_database_backend(), skip)).await.unwrap();
                raw.close().await.unwrap();
            }
            say(&store, a_session(1 + u128::from(n % 2 == 0), 0).id, n, &[(EntryKind::Text, "needle")]).await;
        }
        let query = Query::parse("needle").unwrap();
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page =
                search::candidates(store.reader(), &query, &Scope::default(), before, 3).await.unwrap();
            seen.extend(page.found.iter().map(|c| c.seq));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert!(seen.iter().copied().eq((1..=10).rev()), "{seen:?}");
        store.close().await;
    })
    .await;
}

/// What the filters leave out is looked at, too, so only some of it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_is_found_step_by_step() {
    on_both(async |db| {
        let store = db.open().await;
        let in_project = |n, name: &str| Session { project: Some(name.to_owned()), ..a_session(n, 0) };
        keep(&store, in_project(1, "small")).await;
        keep(&store, in_project(2, "large")).await;
        say(&store, a_session(1, 0).id, 1, &[(EntryKind::Text, "needle")]).await;
        for first in (1..=5_200).step_by(200) {
            say(&store, a_session(2, 0).id, first, &[(EntryKind::Text, "needle"); 200]).await;
        }
        let query = Query::parse("needle").unwrap();
        let scope = Scope { project: Some("small".to_owned()), ..Scope::default() };
        let first = search::candidates(store.reader(), &query, &scope, None, 25).await.unwrap();
        assert!(first.found.is_empty() && first.next.is_some(), "{first:?}");
        let then = search::candidates(store.reader(), &query, &scope, first.next, 25).await.unwrap();
        assert_eq!((then.found.len(), then.next), (1, None));
        // All of it, whatever it is narrowed to.
        let scope = Scope { project: Some("large".to_owned()), ..Scope::default() };
        let (mut seen, mut before) = (0, None);
        loop {
            let page = search::candidates(store.reader(), &query, &scope, before, 1_000).await.unwrap();
            seen += page.found.len();
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, 5_200);
        store.close().await;
    })
    .await;
}

pub async fn count(db: &Db, sql: &str) -> i64 {
    let raw = raw(db).await;
    let row = raw.query_one_raw(Statement::from_string(raw.get_database_backend(), sql)).await.unwrap();
    let count = row.unwrap().try_get("", "n").unwrap();
    raw.close().await.unwrap();
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_before_is_indexed_afterwards_and_goes_with_its_rows() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let store = world.app.store().clone();
        let bobs = bobs(&world, 1).await;
        let texts: Vec<(EntryKind, &str)> = vec![(EntryKind::Text, "an old needle"); 130];
        say(&store, bobs, 1, &texts).await;
        // As it was before there was an index.
        let raw = raw(&world.db).await;
        raw.execute_unprepared("DELETE FROM transcript_index WHERE seq <> 100").await.unwrap();
        raw.execute_unprepared("INSERT INTO search_backlog (session) SELECT id FROM sessions").await.unwrap();
        raw.close().await.unwrap();
        assert_eq!(numbers(&store, "needle", &Scope::default()).await, [100]);
        say(&store, bobs, 131, &[(EntryKind::Text, "a new needle")]).await;
        retention::fill_index(&world.app, &CancellationToken::new()).await.unwrap();
        assert_eq!(numbers(&store, "needle", &Scope::default()).await.len(), 131);
        assert_eq!(count(&world.db, "SELECT count(*) AS n FROM search_backlog").await, 0);
        change(&store, move |tx| {
            async move {
                let gone = teleclaude::store::retention::delete_some(tx.conn(), bobs, 1_000).await;
                gone.map(drop)
            }
            .boxed()
        })
        .await
        .unwrap();
        for table in ["transcript_entries", "transcript_index"] {
            assert_eq!(count(&world.db, &format!("SELECT count(*) AS n FROM {table}")).await, 0, "{table}");
        }
        if matches!(world.db.engine, Engine::Sqlite { .. }) {
            let words = "SELECT count(*) AS n FROM transcript_words WHERE transcript_words MATCH 'needle'";
            assert_eq!(count(&world.db, words).await, 0);
        }
        world.end().await;
    })
    .await;
}

/// An ended session of bob's, and then of cid's.
async fn bobs(world: &World, n: u128) -> SessionId {
    ended_of(world, BOB, "bob", n).await
}

pub async fn ended_of(world: &World, uid: u32, name: &str, n: u128) -> SessionId {
    let who = world.rest(ANN, "GET", &format!("/people/{uid}/explain"), None).await;
    assert_eq!(who.body["person"], json!(name), "{who:?}");
    let raw = raw(&world.db).await;
    let backend = raw.get_database_backend();
    let sql = format!("SELECT id FROM people WHERE name = '{name}'");
    let row = raw.query_one_raw(Statement::from_string(backend, sql)).await.unwrap().unwrap();
    let owner: Uuid = row.try_get("", "id").unwrap();
    raw.close().await.unwrap();
    let kept = Session {
        owner: PersonId(owner),
        owner_name: name.to_owned(),
        owner_uid: uid,
        status: teleclaude::domain::session::SessionStatus::Ended,
        ended: Some(at(5)),
        ..a_session(n, 0)
    };
    let id = kept.id;
    keep(world.app.store(), kept).await;
    assert!(session::by_id(world.app.store().reader(), id).await.unwrap().is_some());
    id
}

fn ids(reply: &Value) -> Vec<&str> {
    reply["hits"].as_array().unwrap().iter().map(|hit| hit["session_id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_sessions_and_with_a_reason_everybodys() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let (bobs, cids) = (ended_of(&world, BOB, "bob", 1).await, ended_of(&world, CID, "cid", 2).await);
        let anns = ended_of(&world, ANN, "ann", 3).await;
        for id in [bobs, cids, anns] {
            say(
                world.app.store(),
                id,
                1,
                &[(EntryKind::Text, "the needle is here"), (EntryKind::Text, "needle")],
            )
            .await;
        }
        let (bobs, cids, anns) = (bobs.to_string(), cids.to_string(), anns.to_string());
        let own = world.rest(BOB, "GET", "/search?query=needle&reason=because%20I%20can", None).await;
        assert_eq!((own.status, &own.body["searched"]), (200, &json!("own")), "{own:?}");
        assert_eq!(ids(&own.body), [&bobs, &bobs]);
        let hit = &own.body["hits"][1];
        assert_eq!(hit["snippet"], "the ⟦needle⟧ is here");
        assert_eq!(
            (&hit["role"], &hit["kind"], &hit["seq"]),
            (&json!("assistant"), &json!("text"), &json!(1))
        );
        assert_eq!(hit["at"], at(0).to_string());
        assert_eq!(hit["title"], "a title");
        // An admin without a reason: own only.
        let own = world.rest(ANN, "GET", "/search?query=needle", None).await;
        assert_eq!((ids(&own.body), &own.body["searched"]), (vec![anns.as_str(); 2], &json!("own")));
        assert!(world.audit().await.iter().all(|row| row["action"] != "transcript.search"));

        // Page by page, in both eras, each session shown is a row.
        for era in ERAS {
            let mut arguments = json!({ "query": "needle", "reason": "looking for it", "limit": 4 });
            let first = world.call(ANN, era, "search_sessions", arguments.clone()).await;
            let first = &first["result"]["structuredContent"];
            assert_eq!(ids(first), [&anns, &anns, &cids, &cids], "{first}");
            assert_eq!(first["searched"], "all");
            arguments["cursor"] = first["next_cursor"].clone();
            let second = world.call(ANN, era, "search_sessions", arguments).await;
            let second = &second["result"]["structuredContent"];
            assert_eq!((ids(second), &second["next_cursor"]), (vec![bobs.as_str(); 2], &Value::Null));
        }
        let rows: Vec<Value> =
            world.audit().await.into_iter().filter(|row| row["action"] == "transcript.search").collect();
        let about: Vec<&str> = rows.iter().map(|row| row["session_id"].as_str().unwrap()).collect();
        assert_eq!(about, [&bobs, &cids, &bobs, &cids]);
        for row in &rows {
            assert_eq!((&row["actor"], &row["reason"]), (&json!("ann"), &json!("looking for it")));
            assert_eq!(row["detail"], r#"{"hits":2}"#);
        }
        // That everybody's were searched and nothing was found is a row, too. Somebody without sessions finds nothing;
        // somebody unknown may not ask.
        world.rest(ANN, "GET", "/search?query=nowhere&reason=looking%20for%20it", None).await;
        assert!(
            world.rest(EVE, "GET", "/search?query=needle", None).await.body["hits"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        assert_eq!(world.rest(STRANGER, "GET", "/search?query=needle", None).await.status, 404);
        let after = world.audit().await.iter().filter(|row| row["action"] == "transcript.search").count();
        assert_eq!(after, rows.len() + 1);
        for (query, field) in [
            ("", "query"),
            ("%22%22", "query"),
            ("-a", "query"),
            (&"a".repeat(10_000), "query"),
            ("a&since=yesterday", "since"),
            ("a&limit=0", "limit"),
            ("a&cursor=s5", "cursor"),
            ("a&reason=short", "reason"),
            ("a&color=red", "color"),
        ] {
            let answer = world.rest(BOB, "GET", &format!("/search?query={query}"), None).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)), "{query}: {answer:?}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_down_is_not_shown() {
    on_both(async |db| {
        let world = World::everybody(db).start().await;
        let bobs = bobs(&world, 1).await;
        say(world.app.store(), bobs, 1, &[(EntryKind::Text, "the needle is here")]).await;
        let raw = raw(&world.db).await;
        let broken = if matches!(world.db.engine, Engine::Sqlite { .. }) {
            "CREATE TRIGGER broken BEFORE INSERT ON audit_log WHEN NEW.action = 'transcript.search' \
             BEGIN SELECT RAISE(ABORT, 'no'); END"
        } else {
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.action = 'transcript.search' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER broken BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION broken()"
        };
        raw.execute_unprepared(broken).await.unwrap();
        let asked = "/search?query=needle&reason=looking%20for%20it";
        let answer = world.rest(ANN, "GET", asked, None).await;
        assert_eq!((answer.status, &answer.body["code"]), (503, &json!("audit_unavailable")), "{answer:?}");
        assert!(!answer.body.to_string().contains("needle"), "{answer:?}");
        // One's own needs no row.
        assert_eq!(world.rest(BOB, "GET", "/search?query=needle", None).await.status, 200);
        let mend = if matches!(world.db.engine, Engine::Sqlite { .. }) {
            "DROP TRIGGER broken"
        } else {
            "DROP TRIGGER broken ON audit_log"
        };
        raw.execute_unprepared(mend).await.unwrap();
        raw.close().await.unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while world.rest(ANN, "GET", asked, None).await.status != 200 {
            assert!(tokio::time::Instant::now() < deadline, "it does not heal");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_is_used() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, a_session(1, 0)).await;
        let texts: Vec<String> = (0..2_000).map(|n| format!("common word{n}")).collect();
        let texts: Vec<(EntryKind, &str)> = texts.iter().map(|t| (EntryKind::Text, t.as_str())).collect();
        say(&store, a_session(1, 0).id, 1, &texts).await;
        let raw = raw(&db).await;
        let (explain, column, index) = if matches!(db.engine, Engine::Sqlite { .. }) {
            (
                "EXPLAIN QUERY PLAN SELECT i.id FROM transcript_words \
                 CROSS JOIN transcript_index i ON i.id = transcript_words.rowid \
                 CROSS JOIN transcript_entries e ON e.session = i.session AND e.seq = i.seq \
                 CROSS JOIN sessions s ON s.id = i.session WHERE transcript_words MATCH '\"word7\"' \
                 AND transcript_words.rowid < 1000000 AND s.purge IS NULL ORDER BY transcript_words.rowid DESC LIMIT 5",
                "detail",
                "SCAN transcript_words VIRTUAL TABLE INDEX",
            )
        } else {
            // A small table is read whole whatever the index.
            raw.execute_unprepared("VACUUM ANALYZE").await.unwrap();
            raw.execute_unprepared("SET enable_seqscan = off; SET enable_indexscan = off").await.unwrap();
            (
                "EXPLAIN SELECT i.id FROM (SELECT id + 0 AS id, session, seq FROM transcript_index \
                 WHERE words @@ '''word7'''::tsquery AND id < 1000000 ORDER BY 1 DESC OFFSET 0) i \
                 JOIN transcript_entries e ON e.session = i.session AND e.seq = i.seq \
                 JOIN sessions s ON s.id = i.session WHERE s.purge IS NULL ORDER BY i.id DESC LIMIT 5",
                "QUERY PLAN",
                "Bitmap Index Scan on transcript_words",
            )
        };
        let backend = raw.get_database_backend();
        let rows = raw.query_all_raw(Statement::from_string(backend, explain)).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|r| r.try_get("", column).unwrap()).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{plan}");
        assert!(!plan.contains("TEMP B-TREE") && !plan.contains("SCAN e") && !plan.contains("SCAN i"), "{plan}");
        raw.close().await.unwrap();
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_given_shown_and_filtered_by() {
    on_both(async |db| {
        let world = World::everybody(db).config(FULL).config(crate::world::SHELL).start().await;
        let args = json!({ "project": "work", "agent": "shell", "labels": { "team": "web", "a/b": "1.0" } });
        let started = world.rest(BOB, "POST", "/sessions", Some(args)).await;
        assert_eq!(started.body["labels"], json!({ "team": "web", "a/b": "1.0" }), "{started:?}");
        let id = started.body["session_id"].as_str().unwrap();
        let plain = world.shell(BOB).await;
        let path = format!("/sessions/{id}/labels");
        let set = json!({ "set": { "team": "api", "x": "y" }, "remove": ["a/b", "never-there"] });
        let changed = world.rest(BOB, "PATCH", &path, Some(set)).await;
        assert_eq!(changed.body["labels"], json!({ "team": "api", "x": "y" }), "{changed:?}");
        for (filter, found) in [
            ("team=api", vec![id]),
            ("team=web", vec![]),
            ("team=api,x=y", vec![id]),
            ("team=api,x=z", vec![]),
        ] {
            for era in ERAS {
                let listed = world.call(BOB, era, "list_sessions", json!({ "label": filter })).await;
                let rows = listed["result"]["structuredContent"]["sessions"].as_array().unwrap();
                let ids: Vec<&str> = rows.iter().map(|row| row["session_id"].as_str().unwrap()).collect();
                assert_eq!(ids, found, "{filter}");
            }
        }
        let shown = world.rest(BOB, "GET", &format!("/sessions/{plain}"), None).await;
        assert_eq!(shown.body["labels"], Value::Null);
        let many: serde_json::Map<String, Value> = (0..15).map(|n| (format!("l{n}"), json!("x"))).collect();
        for (body, field) in [
            (json!({}), "set"),
            (json!({ "set": { "A": "b" } }), "set"),
            (json!({ "set": { "a": "b" }, "remove": ["a"] }), "remove"),
            (json!({ "remove": [""] }), "remove"),
            // Two it has, and fifteen: none is set.
            (json!({ "set": many }), "set"),
        ] {
            let answer = world.rest(BOB, "PATCH", &path, Some(body.clone())).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)), "{body}: {answer:?}");
        }
        let bad = json!({ "project": "work", "agent": "shell", "labels": { "a": "" } });
        assert_eq!(world.rest(BOB, "POST", "/sessions", Some(bad)).await.body["field"], "labels");
        assert_eq!(world.rest(BOB, "GET", "/sessions?label=a", None).await.body["field"], "label");
        assert_eq!(
            world.rest(BOB, "GET", &format!("/sessions/{id}"), None).await.body["labels"],
            json!({ "team": "api", "x": "y" })
        );
        let answer = world.rest(CID, "PATCH", &path, Some(json!({ "remove": ["x"] }))).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        let answer = world.rest(ANN, "PATCH", &path, Some(json!({ "remove": ["x"] }))).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_searches_nothing() {
    let world = World::everybody(Db::sqlite()).config(FULL).config(crate::world::SHELL).start().await;
    let id = world.shell(BOB).await;
    let (token, hash) = teleclaude::daemon::tokens::Tokens::make([7; 32]);
    let session = SessionId(Uuid::parse_str(&id).unwrap());
    world.app.tokens().keep(hash, session, BOB);
    change(world.app.store(), move |tx| {
        async move { session::set_token_hash(tx.conn(), session, Some(hash)).await.map(drop) }.boxed()
    })
    .await
    .unwrap();
    let token = secrecy::ExposeSecret::expose_secret(&token).to_owned();
    let who = world.rest_with(BOB, "GET", "/whoami", None, Some(&token)).await;
    assert_eq!(who.body["agent_of"], json!(id), "{who:?}");
    assert_eq!(world.rest_with(BOB, "GET", "/search?query=needle", None, Some(&token)).await.status, 404);
    world.end().await;
}
