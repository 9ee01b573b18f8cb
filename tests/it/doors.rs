//! Every door to what a session showed, tried by every kind of caller, on both databases: one's own opens without a
//! trace, another's only for an admin with a reason and after the row is durable, everybody else gets no byte. A new
//! door is one line of [`DOORS`]. How the doors stand when the log cannot be written is in `shut`, what the owner is
//! told in `told`, searching and what agents ask in `found`,
//! the command line in `command`, and how a reason is asked for in `asked`.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

mod asked;
mod command;
mod found;
mod shut;
mod told;

use crate::postgres::{Db, on_both};
use crate::world::{ANN, BOB, CID, DOT, EVE, Era, SHELL, STRANGER, World};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::domain::audit::AuditEntry;
use teleclaude::store::audit::{self, Filter};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

/// An admin whom `access.deny` names.
const FAY: u32 = 3_000_007;
/// Somebody from another user namespace, whoever that is.
const NOBODY: u32 = 65_534;
/// What bob's session shows; what is typed to have it shown reads otherwise.
const SECRET: &str = "secret-of-bob-42";
const WHY: &str = "looking into an incident";
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks, for what, and why.
#[derive(Clone, Copy)]
struct Asking<'a> {
    uid: u32,
    token: Option<&'a str>,
    id: &'a str,
    why: Option<&'a str>,
}

/// One way to content: the connection on which it was asked for.
type Begin = for<'a> fn(&'a World, Asking<'a>) -> BoxFuture<'a, UnixStream>;

struct Door {
    name: &'static str,
    /// The row that another's reading leaves; `None` where no reason can be given, so that it never opens.
    action: Option<&'static str>,
    begin: Begin,
}

/// Every door to content.
const DOORS: &[Door] = &[
    Door {
        name: "get_session_data, 2025",
        action: Some("transcript.read"),
        begin: |w, a| tool(w, a, Era::Initialize).boxed(),
    },
    Door {
        name: "get_session_data, 2026",
        action: Some("transcript.read"),
        begin: |w, a| tool(w, a, Era::Stateless).boxed(),
    },
    Door { name: "resource, 2025", action: None, begin: |w, a| resource(w, a, Era::Initialize).boxed() },
    Door { name: "resource, 2026", action: None, begin: |w, a| resource(w, a, Era::Stateless).boxed() },
    Door {
        name: "REST transcript",
        action: Some("transcript.read"),
        begin: |w, a| rest(w, a, "GET", "/transcript?tail_chars=48000").boxed(),
    },
    Door {
        name: "REST transcript, json",
        action: Some("transcript.read"),
        begin: |w, a| rest(w, a, "GET", "/transcript?format=json&cursor=0").boxed(),
    },
    Door {
        name: "MCP over HTTP, 2025",
        action: Some("transcript.read"),
        begin: |w, a| mcp_over_http(w, a, Era::Initialize).boxed(),
    },
    Door {
        name: "MCP over HTTP, 2026",
        action: Some("transcript.read"),
        begin: |w, a| mcp_over_http(w, a, Era::Stateless).boxed(),
    },
    Door {
        name: "REST transcript, followed",
        action: Some("transcript.read"),
        begin: |w, a| rest(w, a, "GET", "/transcript?follow=true").boxed(),
    },
    Door {
        name: "export, cast",
        action: Some("recording.read"),
        begin: |w, a| rest(w, a, "GET", "/export?format=cast").boxed(),
    },
    Door {
        name: "export, txt",
        action: Some("transcript.export"),
        begin: |w, a| rest(w, a, "GET", "/export?format=txt").boxed(),
    },
    Door {
        name: "export, md",
        action: Some("transcript.export"),
        begin: |w, a| rest(w, a, "GET", "/export?format=md").boxed(),
    },
    Door {
        name: "export, jsonl",
        action: Some("transcript.export"),
        begin: |w, a| rest(w, a, "GET", "/export?format=jsonl").boxed(),
    },
    Door {
        name: "export, html",
        action: Some("transcript.export"),
        begin: |w, a| rest(w, a, "GET", "/export?format=html").boxed(),
    },
    Door { name: "watch", action: Some("session.watch"), begin: |w, a| attach(w, a, false).boxed() },
    Door { name: "attach", action: Some("session.attach"), begin: |w, a| attach(w, a, true).boxed() },
];

async fn tool(world: &World, a: Asking<'_>, era: Era) -> UnixStream {
    let mut arguments = json!({ "session_id": a.id, "tail_chars": 48_000 });
    if let Some(why) = a.why {
        arguments["reason"] = json!(why);
    }
    let mut mcp = world.mcp_with(a.uid, era, a.token).await;
    mcp.begin("tools/call", json!({ "name": "get_session_data", "arguments": arguments })).await;
    mcp.into_stream()
}

async fn mcp_over_http(world: &World, a: Asking<'_>, era: Era) -> UnixStream {
    let mut params =
        json!({ "name": "get_session_data", "arguments": { "session_id": a.id, "tail_chars": 48_000 } });
    if let Some(why) = a.why {
        params["arguments"]["reason"] = json!(why);
    }
    let mut head =
        "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n".to_owned();
    match era {
        Era::Initialize => head.push_str("Mcp-Protocol-Version: 2025-11-25\r\n"),
        Era::Stateless => {
            head.push_str("Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: get_session_data\r\n");
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "world", "version": "1" },
            });
        }
    }
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    send(world, a, "POST /mcp", &head, &call.to_string()).await
}

async fn resource(world: &World, a: Asking<'_>, era: Era) -> UnixStream {
    let mut mcp = world.mcp_with(a.uid, era, a.token).await;
    let uri = format!("teleclaude://sessions/{}/transcript", a.id);
    mcp.begin("resources/read", json!({ "uri": uri })).await;
    mcp.into_stream()
}

async fn rest(world: &World, a: Asking<'_>, method: &str, suffix: &str) -> UnixStream {
    let why = a.why.map(|why| format!("&reason={}", why.replace(' ', "%20"))).unwrap_or_default();
    send(world, a, &format!("{method} /api/v1/sessions/{}{suffix}{why}", a.id), "", "").await
}

async fn attach(world: &World, a: Asking<'_>, input: bool) -> UnixStream {
    let mut body = json!({ "input": input });
    if let Some(why) = a.why {
        body["reason"] = json!(why);
    }
    let upgrade = "Connection: upgrade\r\nUpgrade: teleclaude-attach\r\nContent-Type: application/json\r\n";
    send(world, a, &format!("POST /api/v1/sessions/{}/attach", a.id), upgrade, &body.to_string()).await
}

async fn send(world: &World, a: Asking<'_>, what: &str, head: &str, body: &str) -> UnixStream {
    let mut stream = world.connect(a.uid);
    let token = a.token.map(|t| format!("Teleclaude-Session-Token: {t}\r\n")).unwrap_or_default();
    let length = body.len();
    let request =
        format!("{what} HTTP/1.1\r\nHost: localhost\r\n{token}{head}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// All that came: until the secret, the end of the answer, or the end of the connection.
async fn shown(mut stream: UnixStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if text.contains(SECRET) || is_whole(&text) {
            return text.into_owned();
        }
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes)).await;
        if matches!(read.expect("no answer"), Ok(0) | Err(_)) {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// Whether an HTTP answer that is no upgrade, or one line of MCP, is there to its end.
fn is_whole(text: &str) -> bool {
    if !text.starts_with("HTTP/1.1") {
        return text.starts_with('{') && text.ends_with('\n');
    }
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.lines().next().and_then(|line| line.trim().parse::<usize>().ok()));
    length.is_some_and(|length| body.len() >= length)
}

async fn opened(world: &World, door: &Door, asking: Asking<'_>) -> String {
    shown((door.begin)(world, asking).await).await
}

async fn world(db: Db) -> World {
    World::everybody(db)
        .person("fay", FAY, "admin")
        .config(
            "access: { deny: [3000007] }\nroles:\n  \
             admin: &often { requests_per_minute: 100000, burst: 10000, steer_others: true }\n  \
             member: { requests_per_minute: 100000, burst: 10000, profile: full }\n  contributor: &much \
             { requests_per_minute: 100000, burst: 10000 }\n  newcomer: *much\n  public: *much",
        )
        .config(SHELL)
        .start()
        .await
}

/// A shell of this uid's that has shown the secret, and the token of its agent.
async fn session(world: &World, uid: u32) -> (String, String) {
    let id = world.shell(uid).await;
    let (new, kept) = (format!("new-{id}"), world.path("project").join(format!("token-{id}")));
    let typed = format!(
        "printf %s \"$TELECLAUDE_TOKEN\" > {new}; printf 'secret-of-bob-%s\\n' $((40 + 2)); mv {new} token-{id}"
    );
    let sent =
        world.rest(uid, "POST", &format!("/sessions/{id}/messages"), Some(json!({ "message": typed }))).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = world.rest(uid, "GET", &format!("/sessions/{id}/transcript"), None).await;
        let is_shown = page.body["content"].as_str().is_some_and(|text| text.contains(SECRET));
        if is_shown && kept.exists() {
            return (id, std::fs::read_to_string(kept).unwrap());
        }
        assert!(Instant::now() < deadline, "it was never shown: {page:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn rows(world: &World, action: &str) -> Vec<AuditEntry> {
    let filter = Filter { action: Some(action.to_owned()), ..Filter::default() };
    audit::page(world.app.store().reader(), &filter, None, 500).await.unwrap()
}

/// Rows of this action that are the beginning of something.
async fn begun(world: &World, action: &str) -> usize {
    let all = rows(world, action).await;
    all.iter().filter(|r| !r.draft.detail.as_deref().unwrap_or_default().contains("\"end\"")).count()
}

/// How many rows say that somebody looked.
async fn looks(world: &World) -> usize {
    let mut all = 0;
    for action in
        ["transcript.read", "transcript.export", "recording.read", "session.watch", "session.attach"]
    {
        all += begun(world, action).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_door_for_every_caller() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, token) = session(&world, BOB).await;
        let (_, brother) = session(&world, BOB).await;
        let (_, anns_agent) = session(&world, ANN).await;
        let asking = |uid, token, why| Asking { uid, token, id: &id, why };
        for door in DOORS {
            let before = looks(&world).await;
            // One's own, for oneself and for the session's own agent, which may not type and takes nothing out.
            let own = opened(&world, door, asking(BOB, None, None)).await;
            assert!(own.contains(SECRET), "{}: {own}", door.name);
            if door.name != "attach" && !door.name.starts_with("export") {
                let itself = opened(&world, door, asking(BOB, Some(&token), None)).await;
                assert!(itself.contains(SECRET), "{}: {itself}", door.name);
            }
            assert_eq!(looks(&world).await, before, "{}: one's own leaves no row", door.name);

            for (who, asking) in [
                ("an admin without a reason", asking(ANN, None, None)),
                ("an admin with a short one", asking(ANN, None, Some("because"))),
                ("an admin's agent", asking(ANN, Some(&anns_agent), Some(WHY))),
                ("an admin with another's token", asking(ANN, Some(&token), Some(WHY))),
                ("another agent of the owner", asking(BOB, Some(&brother), Some(WHY))),
                ("a made-up token", asking(BOB, Some("made-up"), Some(WHY))),
                ("another member", asking(CID, None, Some(WHY))),
                ("a contributor", asking(DOT, None, Some(WHY))),
                ("a newcomer", asking(EVE, None, Some(WHY))),
                ("an admin who is denied", asking(FAY, None, Some(WHY))),
                ("a stranger", asking(STRANGER, None, Some(WHY))),
                ("the overflow uid", asking(NOBODY, None, Some(WHY))),
            ] {
                let text = opened(&world, door, asking).await;
                assert!(!text.contains(SECRET), "{} for {who}: {text}", door.name);
                assert!(!text.is_empty(), "{} for {who}", door.name);
            }
            assert_eq!(looks(&world).await, before, "{}: no row says that somebody looked", door.name);

            let admin = opened(&world, door, asking(ANN, None, Some(WHY))).await;
            let Some(action) = door.action else {
                assert!(!admin.contains(SECRET), "{}: {admin}", door.name);
                assert_eq!(looks(&world).await, before);
                continue;
            };
            assert!(admin.contains(SECRET), "{}: {admin}", door.name);
            assert_eq!(looks(&world).await, before + 1, "{}", door.name);
            let row = &rows(&world, action).await;
            let row = row.iter().find(|r| !r.draft.detail.as_deref().unwrap_or_default().contains("\"end\""));
            let draft = &row.unwrap().draft;
            assert_eq!(
                (&*draft.actor, draft.owner.as_deref(), draft.session.as_deref(), draft.reason.as_deref()),
                ("ann", Some("bob"), Some(&*id), Some(WHY)),
                "{}",
                door.name
            );
        }
        // Refusals are written down, each once a minute.
        let denied: Vec<u32> =
            rows(&world, "access.denied").await.iter().map(|r| r.draft.actor_uid).collect();
        for (who, uid) in [("ann", ANN), ("fay", FAY), ("a stranger", STRANGER), ("nobody", NOBODY)] {
            assert!(denied.contains(&uid), "{who}: {denied:?}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_says_what_there_is_shows_nothing_of_it() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, _) = session(&world, BOB).await;
        for uid in [ANN, BOB, CID, EVE, STRANGER] {
            // Who listens is told that there is more, and nothing of what it is.
            let mut events = world.connect(uid);
            events.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut heard = Vec::new();
            timeout(PATIENCE, events.read_buf(&mut heard)).await.expect("no answer").unwrap();
            for (method, path) in [
                ("GET", "/sessions".to_owned()),
                ("GET", "/sessions?all_computers=true".to_owned()),
                ("GET", format!("/sessions/{id}")),
                ("GET", "/inbox".to_owned()),
                ("GET", "/audit/mine".to_owned()),
                ("GET", "/audit".to_owned()),
                ("GET", "/audit/holds?all=true".to_owned()),
                ("GET", "/audit/keys".to_owned()),
                ("GET", "/credentials".to_owned()),
                ("GET", "/agents".to_owned()),
                ("GET", "/projects".to_owned()),
                ("GET", "/computers".to_owned()),
                ("GET", "/config".to_owned()),
                ("GET", "/health".to_owned()),
            ] {
                let answer = world.rest(uid, method, &path, None).await;
                assert!(!answer.body.to_string().contains(SECRET), "{uid} {path}: {answer:?}");
            }
            for era in crate::world::ERAS {
                for (name, arguments) in [
                    ("list_sessions", json!({})),
                    ("get_session", json!({ "session_id": id })),
                    ("inbox", json!({})),
                    ("who_read_my_sessions", json!({})),
                    ("audit_query", json!({})),
                    ("list_agents", json!({})),
                    ("list_projects", json!({})),
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
            let typed = json!({ "message": "printf 'secret-of-bob-%s\\n' $((40 + 2))" });
            let sent = world.rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(typed)).await;
            assert_eq!(sent.status, 200, "{sent:?}");
            if uid == BOB || uid == ANN {
                while !String::from_utf8_lossy(&heard).contains(&id) {
                    timeout(PATIENCE, events.read_buf(&mut heard)).await.expect("no event").unwrap();
                }
            }
            let heard = String::from_utf8_lossy(&heard);
            assert!(!heard.contains(SECRET), "{uid}: {heard}");
            assert!(uid == BOB || uid == ANN || !heard.contains(&id), "{uid}: {heard}");
        }
        world.end().await;
    })
    .await;
}

/// Holds the one writer until it is let go, or for five seconds.
async fn hold(world: &World) -> Arc<tokio::sync::Semaphore> {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let began = Arc::new(tokio::sync::Notify::new());
    let (store, g, b) = (world.app.store().clone(), Arc::clone(&gate), Arc::clone(&began));
    tokio::spawn(async move {
        let held = store.write(Instant::now() + PATIENCE, move |_tx| {
            let (g, b) = (Arc::clone(&g), Arc::clone(&b));
            async move {
                b.notify_one();
                g.acquire().await.map(drop).map_err(drop)
            }
            .boxed()
        });
        let _: Result<(), _> = held.await;
    });
    began.notified().await;
    gate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_is_durable_before_the_first_byte() {
    on_both(async |db| {
        let world = world(db).await;
        let (id, _) = session(&world, BOB).await;
        for door in DOORS {
            let Some(action) = door.action else { continue };
            // So that who they are is known and nothing but the row is waited for.
            world.rest(ANN, "GET", "/whoami", None).await;
            let before = begun(&world, action).await;
            let gate = hold(&world).await;
            let stream =
                (door.begin)(&world, Asking { uid: ANN, token: None, id: &id, why: Some(WHY) }).await;
            // Others' requests go by meanwhile: the owner reads, all the way, twice.
            for _ in 0..2 {
                let own = world.rest(BOB, "GET", &format!("/sessions/{id}/transcript"), None).await;
                assert!(own.body["content"].as_str().unwrap().contains(SECRET), "{own:?}");
            }
            let mut some = [0; 64];
            let early = stream.try_read(&mut some);
            assert!(early.is_err(), "{}: {early:?} bytes before the row: {some:?}", door.name);
            assert_eq!(begun(&world, action).await, before, "{}", door.name);
            gate.add_permits(1);
            // With the first byte the row is there for everybody.
            stream.readable().await.unwrap();
            assert_eq!(begun(&world, action).await, before + 1, "{}: a byte and no row", door.name);
            let text = shown(stream).await;
            assert!(text.contains(SECRET), "{}: {text}", door.name);
        }
        world.end().await;
    })
    .await;
}
