//! The doors that are about no one session, and what is no transcript but content all the same: searching, and what an
//! agent asks. For every kind of caller, on both databases.

use super::{
    ANN, BOB, CID, DOT, EVE, Era, FAY, NOBODY, PATIENCE, SECRET, STRANGER, WHY, World, hold, rows, send,
    session, shown, world,
};
use crate::postgres::on_both;
use crate::search::{ended_of, say};
use crate::world::ERAS;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use teleclaude::daemon::backend::{Backend as _, Event};
use teleclaude::domain::question::{Asked, QuestionKind};
use teleclaude::domain::session::{SessionActivity, SessionId};
use teleclaude::domain::transcript::EntryKind;
use teleclaude::store::error::StoreError;
use teleclaude::store::{hook, question, session as sessions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Who searches, and why.
#[derive(Clone, Copy)]
struct Searching<'a> {
    uid: u32,
    token: Option<&'a str>,
    why: Option<&'a str>,
}

type Begin = for<'a> fn(&'a World, Searching<'a>) -> BoxFuture<'a, UnixStream>;

/// Every way to search.
const WAYS: &[(&str, Begin)] = &[
    ("search_sessions, 2025", |w, a| tool(w, a, Era::Initialize).boxed()),
    ("search_sessions, 2026", |w, a| tool(w, a, Era::Stateless).boxed()),
    ("REST", |w, a| rest(w, a).boxed()),
];

async fn tool(world: &World, a: Searching<'_>, era: Era) -> UnixStream {
    let mut arguments = json!({ "query": "findme" });
    if let Some(why) = a.why {
        arguments["reason"] = json!(why);
    }
    let mut mcp = world.mcp_with(a.uid, era, a.token).await;
    mcp.begin("tools/call", json!({ "name": "search_sessions", "arguments": arguments })).await;
    mcp.into_stream()
}

async fn rest(world: &World, a: Searching<'_>) -> UnixStream {
    let why = a.why.map(|why| format!("&reason={}", why.replace(' ', "%20"))).unwrap_or_default();
    let asking = super::Asking { uid: a.uid, token: a.token, id: "", why: a.why };
    send(world, asking, &format!("GET /api/v1/search?query=findme{why}"), "", "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searching_for_every_caller() {
    on_both(async |db| {
        let world = world(db).await;
        let id = ended_of(&world, BOB, "bob", 1).await;
        say(world.app.store(), id, 1, &[(EntryKind::Text, "findme: secret-of-bob-42 is here")]).await;
        let (_, token) = session(&world, BOB).await;
        let (_, anns_agent) = session(&world, ANN).await;
        // So that nothing but the row is waited for.
        world.rest(ANN, "GET", "/whoami", None).await;
        for (name, begin) in WAYS {
            let before = rows(&world, "transcript.search").await.len();
            let asking = |uid, token, why| Searching { uid, token, why };
            let own = shown(begin(&world, asking(BOB, None, None)).await).await;
            assert!(own.contains(SECRET), "{name}: {own}");
            for (who, asking) in [
                ("an admin without a reason", asking(ANN, None, None)),
                ("an admin with a short one", asking(ANN, None, Some("because"))),
                ("an admin's agent", asking(ANN, Some(&anns_agent), Some(WHY))),
                ("an admin with another's token", asking(ANN, Some(&token), Some(WHY))),
                ("an agent of the owner", asking(BOB, Some(&token), None)),
                ("a made-up token", asking(BOB, Some("made-up"), None)),
                ("another member", asking(CID, None, Some(WHY))),
                ("a contributor", asking(DOT, None, Some(WHY))),
                ("a newcomer", asking(EVE, None, Some(WHY))),
                ("an admin who is denied", asking(FAY, None, Some(WHY))),
                ("a stranger", asking(STRANGER, None, Some(WHY))),
                ("the overflow uid", asking(NOBODY, None, Some(WHY))),
            ] {
                let text = shown(begin(&world, asking).await).await;
                assert!(!text.contains(SECRET) && !text.is_empty(), "{name} for {who}: {text}");
            }
            assert_eq!(rows(&world, "transcript.search").await.len(), before, "{name}: nobody was shown it");

            // An admin with a reason, but no byte before the row is durable; then the owner is told at once.
            let mut events = world.app.watch();
            let gate = hold(&world).await;
            let stream = begin(&world, asking(ANN, None, Some(WHY))).await;
            let own = world.rest(BOB, "GET", "/search?query=findme", None).await;
            assert!(own.body.to_string().contains(SECRET), "one's own is not waited for: {own:?}");
            let mut some = [0; 2_048];
            let early = stream.try_read(&mut some);
            let text = String::from_utf8_lossy(&some);
            assert!(early.is_err(), "{name}: {early:?} bytes before the row: {text}");
            gate.add_permits(1);
            stream.readable().await.unwrap();
            let found = rows(&world, "transcript.search").await;
            assert_eq!(found.len(), before + 1, "{name}: a byte and no row");
            let draft = &found[0].draft;
            assert_eq!(
                (&*draft.actor, draft.owner.as_deref(), draft.session.clone(), draft.reason.as_deref()),
                ("ann", Some("bob"), Some(id.to_string()), Some(WHY)),
                "{name}"
            );
            let text = shown(stream).await;
            assert!(text.contains(SECRET), "{name}: {text}");
            timeout(PATIENCE, async {
                while !matches!(events.recv().await.unwrap(), Event::Inbox { uid: Some(BOB), .. }) {}
            })
            .await
            .expect("the owner was not told");
        }
        let inbox = world.rest(BOB, "GET", "/inbox", None).await.body;
        assert_eq!(
            (&inbox["messages"][0]["text"], &inbox["messages"][0]["times"], &inbox["unread"]),
            (
                &json!(format!("ann found text of a session of yours in a search. Reason: {WHY}")),
                &json!(WAYS.len()),
                &json!(1)
            ),
            "{inbox}"
        );
        assert!(!inbox.to_string().contains("findme"), "what was looked for is not told: {inbox}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_shown_to_the_owner_alone() {
    on_both(async |db| {
        let world = world(db).await;
        let id = world.shell(BOB).await;
        let mut heard = Vec::new();
        for uid in [ANN, BOB, CID, EVE] {
            let mut events = world.connect(uid);
            events.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut bytes = Vec::new();
            timeout(PATIENCE, events.read_buf(&mut bytes)).await.expect("no answer").unwrap();
            heard.push((uid, events, bytes));
        }
        let (of, key, at) = (SessionId(id.parse().unwrap()), Uuid::now_v7(), world.app.now());
        let asked = world.app.store().write::<_, StoreError, _>(Instant::now() + PATIENCE, move |tx| {
            async move {
                let asked = Asked {
                    kind: QuestionKind::Question,
                    text: format!("is it {SECRET}?"),
                    subject: SECRET.to_owned(),
                    options: vec![SECRET.to_owned()],
                };
                hook::heard(tx.conn(), of, None, at).await?;
                question::ask(tx.conn(), key, of, &asked, at).await?;
                sessions::activity(tx.conn(), of, SessionActivity::NeedsInput, at).await
            }
            .boxed()
        });
        asked.await.unwrap();
        let own = world.rest(BOB, "GET", &format!("/sessions/{id}"), None).await;
        assert!(own.body["needs_input"][0].to_string().contains(SECRET), "{own:?}");

        for uid in [ANN, CID, EVE, STRANGER, FAY] {
            for path in [
                "/sessions".to_owned(),
                "/sessions?all_computers=true".to_owned(),
                format!("/sessions/{id}"),
                format!("/sessions/{id}?reason={}", WHY.replace(' ', "%20")),
                "/inbox".to_owned(),
                "/audit/mine".to_owned(),
                "/audit".to_owned(),
                "/audit/holds?all=true".to_owned(),
                "/search?query=secret".to_owned(),
                "/health".to_owned(),
            ] {
                let answer = world.rest(uid, "GET", &path, None).await;
                assert!(!answer.body.to_string().contains(SECRET), "{uid} {path}: {answer:?}");
            }
            // Who answers wrongly is not told what could have been answered.
            let wrong = json!({ "request_id": key, "answer": "42", "reason": WHY });
            let answer = world.rest(uid, "POST", &format!("/sessions/{id}/answer"), Some(wrong)).await;
            assert!(answer.status >= 400 && !answer.body.to_string().contains(SECRET), "{uid}: {answer:?}");
            for era in ERAS {
                for (name, arguments) in [
                    ("list_sessions", json!({})),
                    ("get_session", json!({ "session_id": id })),
                    ("inbox", json!({})),
                    ("who_read_my_sessions", json!({})),
                    ("audit_query", json!({})),
                    ("search_sessions", json!({ "query": "secret", "reason": WHY })),
                ] {
                    let answer = world.call(uid, era, name, arguments).await;
                    assert!(!answer.to_string().contains(SECRET), "{uid} {name}: {answer}");
                }
                let mut mcp = world.mcp(uid, era).await;
                for (method, params) in [
                    ("resources/list", json!({})),
                    ("resources/read", json!({ "uri": format!("teleclaude://sessions/{id}") })),
                ] {
                    let answer = mcp.ask(method, params).await;
                    assert!(!answer.to_string().contains(SECRET), "{uid} {method}: {answer}");
                }
            }
        }
        // An admin sees that it asks, and how much.
        let row = world.rest(ANN, "GET", &format!("/sessions/{id}"), None).await.body;
        assert_eq!((&row["activity"], &row["open_requests"]), (&json!("needs_input"), &json!(1)), "{row}");
        // The owner answers; those who listen hear of it, and not what.
        let answer = json!({ "request_id": key, "answer": "1" });
        let answered = world.rest(BOB, "POST", &format!("/sessions/{id}/answer"), Some(answer)).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        for (uid, mut events, mut bytes) in heard {
            if uid == ANN || uid == BOB {
                while !String::from_utf8_lossy(&bytes).contains(&id) {
                    timeout(PATIENCE, events.read_buf(&mut bytes)).await.expect("no event").unwrap();
                }
            }
            let heard = String::from_utf8_lossy(&bytes);
            assert!(!heard.contains(SECRET), "{uid}: {heard}");
            assert!(uid == ANN || uid == BOB || !heard.contains(&id), "{uid}: {heard}");
        }
        let log = world.audit().await;
        assert!(!json!(log).to_string().contains(SECRET), "{log:?}");
        world.end().await;
    })
    .await;
}
