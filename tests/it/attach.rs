//! Attaching to live terminals, on both databases: what is seen and typed, whose size counts, who may, what is written
//! down, and that one who takes nothing is cut off alone. Over the command line and across the daemon's life: `own`.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

pub mod own;

use crate::postgres::{Db, on_both};
use crate::world::{ANN, Answer, BOB, CID, EVE, SHELL, STRANGER, World};
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::domain::session::SessionId;
use teleclaude::wire::attach::{FromDaemon, TerminalSize, ToDaemon};
use teleclaude::wire::fault::FaultCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const WHY: &str = "looking into an incident";

/// An attached terminal without a screen.
struct Live {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// All output so far.
    shown: String,
    /// The size that the session's terminal was last said to have.
    size: Option<TerminalSize>,
    /// Who was last said to be attached: names, and whether they type.
    present: Vec<(String, bool)>,
    refused: usize,
}

/// Asks to attach; a refusal is an answer like any other.
async fn ask(world: &World, uid: u32, id: &str, body: Value, token: Option<&str>) -> Result<Live, Answer> {
    let mut stream = world.connect(uid);
    let body = body.to_string();
    let token = token.map(|t| format!("Teleclaude-Session-Token: {t}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /api/v1/sessions/{id}/attach HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n\
         Upgrade: teleclaude-attach\r\n{token}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        let n = timeout(PATIENCE, stream.read_buf(&mut buffer)).await.expect("no answer").unwrap();
        assert_ne!(n, 0, "closed without an answer");
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    if status == 101 {
        assert!(head.to_lowercase().contains("upgrade: teleclaude-attach"), "{head}");
        let (shown, size, present) = (String::new(), None, Vec::new());
        return Ok(Live { stream, buffer, shown, size, present, refused: 0 });
    }
    let length =
        head.to_lowercase().split("content-length: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let length: usize = length.trim().parse().unwrap();
    while buffer.len() < length {
        timeout(PATIENCE, stream.read_buf(&mut buffer)).await.expect("no body").unwrap();
    }
    Err(Answer { status, head: String::new(), body: serde_json::from_slice(&buffer[..length]).unwrap() })
}

async fn attach(world: &World, uid: u32, id: &str, body: Value) -> Live {
    ask(world, uid, id, body, None).await.unwrap_or_else(|answer| panic!("{answer:?}"))
}

fn typing(cols: u16, rows: u16) -> Value {
    json!({ "input": true, "size": { "cols": cols, "rows": rows } })
}

impl Live {
    async fn say(&mut self, frame: ToDaemon) {
        self.stream.write_all(&frame.encode()).await.unwrap();
    }

    async fn type_in(&mut self, keys: &str) {
        self.say(ToDaemon::Input(keys.as_bytes().to_vec())).await;
    }

    /// The next frame; `None` at the end of the stream.
    async fn next(&mut self) -> Option<FromDaemon> {
        loop {
            if let Some(frame) = FromDaemon::take(&mut self.buffer).unwrap() {
                match &frame {
                    FromDaemon::Output(bytes) => self.shown.push_str(&String::from_utf8_lossy(bytes)),
                    FromDaemon::Resized(size) => self.size = Some(*size),
                    FromDaemon::Presence(rows) => {
                        self.present = rows.iter().map(|r| (r.person.clone(), r.input)).collect();
                    }
                    FromDaemon::Refused { .. } => self.refused += 1,
                    FromDaemon::Exit { .. } | FromDaemon::Error { .. } => {}
                }
                return Some(frame);
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("nothing comes") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads until it is so.
    async fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        while !so(self) {
            let tail: String = self.shown.chars().rev().take(300).collect::<String>().chars().rev().collect();
            match self.next().await {
                Some(FromDaemon::Exit { .. } | FromDaemon::Error { .. }) | None => {
                    panic!("never: {what}: {tail:?} {:?} {:?}", self.size, self.present)
                }
                Some(_) => {}
            }
        }
    }

    async fn until_shown(&mut self, text: &str) {
        self.until(text, |live| live.shown.contains(text)).await;
    }

    async fn until_size(&mut self, cols: u16, rows: u16) {
        self.until("the size", |live| live.size == Some(TerminalSize { cols, rows })).await;
    }

    /// The frame with which it ends, and that nothing follows it.
    async fn last(&mut self) -> FromDaemon {
        let mut last = None;
        while let Some(frame) = self.next().await {
            assert!(!matches!(last, Some(FromDaemon::Exit { .. } | FromDaemon::Error { .. })), "{frame:?}");
            last = Some(frame);
        }
        last.unwrap()
    }
}

async fn snapshot(world: &World, id: &str) -> teleclaude::host::protocol::Snapshot {
    world.app.hosts().snapshot(SessionId(id.parse().unwrap()), 0).await.unwrap()
}

/// Waits until the session's terminal has this size.
async fn until_sized(world: &World, id: &str, cols: u16, rows: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let size = snapshot(world, id).await.size;
        if (size.cols, size.rows) == (cols, rows) {
            return;
        }
        assert!(Instant::now() < deadline, "{size:?} instead of {cols}x{rows}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn attached(world: &World, uid: u32, id: &str) -> Vec<String> {
    let row = world.rest(uid, "GET", &format!("/sessions/{id}"), None).await;
    let rows = row.body["attached"].as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["person"].as_str().unwrap().to_owned()).collect()
}

/// Waits until so many are attached.
async fn until_attached(world: &World, id: &str, names: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = attached(world, ANN, id).await;
        if now == names {
            return;
        }
        assert!(Instant::now() < deadline, "{now:?} instead of {names:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The rows about attachments, oldest first.
async fn trail(world: &World, rows: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut found: Vec<Value> = world
            .audit()
            .await
            .into_iter()
            .filter(|row| row["action"] == "session.watch" || row["action"] == "session.attach")
            .collect();
        found.reverse();
        if found.len() >= rows {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn detail(row: &Value) -> Value {
    serde_json::from_str(row["detail"].as_str().unwrap()).unwrap()
}

async fn world(db: Db, config: &str) -> World {
    let often = "roles:\n  admin: { requests_per_minute: 100000, burst: 10000 }\n  \
                 member: { requests_per_minute: 100000, burst: 10000, profile: full }";
    World::everybody(db)
        .config(if config.contains("roles:") { "" } else { often })
        .config(SHELL)
        .config(config)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_paint_is_the_screen_and_what_is_typed_reaches_the_shell() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = world.shell(BOB).await;
        let mut first = attach(&world, BOB, &id, typing(100, 30)).await;
        first.type_in("printf 'a-%s\\n' $((40 + 2)); stty size\r").await;
        first.until_shown("a-42").await;
        first.until_shown("30 100").await;
        assert_eq!(first.size, Some(TerminalSize { cols: 100, rows: 30 }));
        first.until("presence", |live| live.present == [("bob".to_owned(), true)]).await;
        let prompted = |live: &Live| live.shown.ends_with("# ") || live.shown.ends_with("$ ");
        first.until("the prompt", prompted).await;
        // Quiet now: somebody who comes later is painted what is there.
        let screen = snapshot(&world, &id).await;
        assert!(screen.text.contains("a-42"), "{}", screen.text);
        let mut later = attach(&world, BOB, &id, json!({})).await;
        later.until_shown("a-42").await;
        later.until("presence", |live| live.present.len() == 2).await;
        assert_eq!(later.shown, screen.dump);
        first
            .until("presence", |live| live.present == [("bob".to_owned(), true), ("bob".to_owned(), false)])
            .await;
        let row = world.rest(BOB, "GET", &format!("/sessions/{id}"), None).await.body;
        assert_eq!(row["attached"][0]["person"], "bob");
        assert_eq!(
            (&row["attached"][0]["input"], &row["attached"][1]["input"]),
            (&json!(true), &json!(false))
        );
        assert!(row["attached"][0]["since"].is_string());
        later.say(ToDaemon::Detach).await;
        assert_eq!(later.next().await, None, "who has left is told nothing more");
        until_attached(&world, &id, &["bob"]).await;
        drop(first);
        until_attached(&world, &id, &[]).await;
        until_sized(&world, &id, 120, 40).await;
        assert_eq!(trail(&world, 0).await, [] as [Value; 0], "one's own is not written down");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_just_starting_is_waited_for() {
    on_both(async |db| {
        let world = world(db, "").await;
        for _ in 0..4 {
            let new = json!({ "project": "work", "agent": "shell" });
            let started = world.rest(BOB, "POST", "/sessions", Some(new)).await;
            assert_eq!(started.status, 201, "{started:?}");
            let id = started.body["session_id"].as_str().unwrap().to_owned();
            let mut live = attach(&world, BOB, &id, typing(100, 30)).await;
            live.type_in("printf 'up-%s\\n' \"$(stty size)\"\r").await;
            live.until_shown("up-30 100").await;
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_write_and_the_smallest_of_those_who_write_counts() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = world.shell(BOB).await;
        let mut one = attach(&world, BOB, &id, typing(100, 50)).await;
        one.until_size(100, 50).await;
        let mut two = attach(&world, BOB, &id, typing(110, 30)).await;
        one.until_size(100, 30).await;
        let mut eyes = attach(&world, BOB, &id, json!({ "size": { "cols": 10, "rows": 5 } })).await;
        eyes.until_size(100, 30).await;
        one.type_in("printf 'one-%s\\n' $((1 + 1))\r").await;
        for live in [&mut one, &mut two, &mut eyes] {
            live.until_shown("one-2").await;
        }
        two.type_in("printf 'two-%s\\n' $((2 + 2))\r").await;
        for live in [&mut one, &mut two, &mut eyes] {
            live.until_shown("two-4").await;
        }
        eyes.type_in("echo never\r").await;
        eyes.until("it is read-only", |live| live.refused == 1).await;
        two.say(ToDaemon::Resize(TerminalSize { cols: 90, rows: 0 })).await;
        one.until_size(90, 24).await;
        two.say(ToDaemon::Resize(TerminalSize { cols: 10_000, rows: 10_000 })).await;
        one.until_size(100, 50).await;
        drop(one);
        two.until("the other's size is given up", |live| live.size.is_some_and(|s| s.cols > 110)).await;
        two.say(ToDaemon::Resize(TerminalSize { cols: 110, rows: 30 })).await;
        two.until_size(110, 30).await;
        drop(two);
        // Only the owner's eyes are left: then theirs is the size.
        eyes.until_size(10, 5).await;
        assert!(!eyes.shown.contains("never"), "{}", eyes.shown);
        drop(eyes);
        until_sized(&world, &id, 120, 40).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_attach_learns_nothing() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = world.shell(BOB).await;
        let missing = "0193b2a0-0000-7000-8000-00000000dead";
        let refused = async |uid, id: &str, body: Value| match ask(&world, uid, id, body, None).await {
            Ok(_) => panic!("{uid} attached"),
            Err(answer) => answer,
        };
        for body in [json!({}), json!({ "input": true }), json!({ "input": true, "reason": WHY })] {
            let others = refused(CID, &id, body.clone()).await;
            let none = refused(CID, missing, body.clone()).await;
            assert_eq!(others.status, 404);
            let text = |a: &Answer, id: &str| a.body.to_string().replace(id, "ID");
            assert_eq!((text(&others, &id), others.status), (text(&none, missing), none.status));
            assert_eq!(refused(STRANGER, &id, body).await.body["detail"], "there is nothing at this path");
        }
        assert_eq!(refused(EVE, &id, json!({})).await.status, 404);
        let typing = refused(EVE, &id, json!({ "input": true })).await;
        assert_eq!((typing.status, &typing.body["code"]), (403, &json!("denied")), "{typing:?}");
        for body in [json!({}), json!({ "reason": "short" })] {
            let answer = refused(ANN, &id, body).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!("reason")), "{answer:?}");
        }
        let steering = refused(ANN, &id, json!({ "input": true, "reason": WHY })).await;
        assert_eq!((steering.status, &steering.body["code"]), (403, &json!("denied")), "{steering:?}");
        assert_eq!(trail(&world, 0).await, [] as [Value; 0], "nothing was shown");
        let plain = world.rest(BOB, "POST", &format!("/sessions/{id}/attach"), Some(json!({}))).await;
        assert_eq!((plain.status, &plain.body["code"]), (426, &json!("invalid")), "{plain:?}");
        let wrong = refused(BOB, &id, json!({ "inputt": true })).await;
        assert_eq!(wrong.body["field"], "inputt", "{wrong:?}");
        assert_eq!(attached(&world, ANN, &id).await, [] as [String; 0]);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anothers_is_written_down_before_the_first_byte_and_at_the_end() {
    on_both(async |db| {
        let world = world(
            db,
            "roles: { admin: { steer_others: true, requests_per_minute: 100000, burst: 10000 }, member: { profile: full } }",
        )
        .await;
        let id = world.shell(BOB).await;
        let mut bob = attach(&world, BOB, &id, typing(100, 30)).await;
        let mut ann = attach(&world, ANN, &id, json!({ "reason": WHY, "size": { "cols": 20, "rows": 9 } })).await;
        // Nothing of the stream was read yet.
        let rows = trail(&world, 1).await;
        assert_eq!(rows.len(), 1);
        for (field, value) in [
            ("action", "session.watch"),
            ("actor", "ann"),
            ("owner", "bob"),
            ("session_id", id.as_str()),
            ("reason", WHY),
            ("outcome", "success"),
        ] {
            assert_eq!(rows[0][field], value, "{rows:?}");
        }
        assert_eq!(detail(&rows[0]), json!({ "event": "start" }));
        // The owner sees who is there.
        bob.until("presence", |live| live.present.contains(&("ann".to_owned(), false))).await;
        assert_eq!(attached(&world, BOB, &id).await, ["bob", "ann"]);
        bob.type_in("printf 'b-%s\\n' $((3 + 3))\r").await;
        ann.until_shown("b-6").await;
        drop(bob);
        until_attached(&world, &id, &["ann"]).await;
        until_sized(&world, &id, 120, 40).await;
        let seen = ann.shown.len();
        drop(ann);
        let rows = trail(&world, 2).await;
        assert_eq!(rows.len(), 2);
        assert_eq!((&rows[1]["action"], &rows[1]["reason"]), (&json!("session.watch"), &json!(WHY)));
        let end = detail(&rows[1]);
        assert_eq!((&end["event"], &end["typed_bytes"]), (&json!("end"), &json!(0)), "{end}");
        assert!(end["bytes"].as_u64().unwrap() >= seen as u64, "{end}, {seen} seen");
        // The first paint may have had it all.
        assert!(end["to_seq"].as_u64() >= end["from_seq"].as_u64(), "{end}");
        assert!(end["seconds"].is_u64(), "{end}");

        let reasonless = ask(&world, ANN, &id, json!({ "input": true }), None).await;
        assert_eq!(reasonless.err().unwrap().body["field"], "reason");
        let mut ann = attach(&world, ANN, &id, json!({ "input": true, "reason": WHY })).await;
        ann.type_in("exit\r").await;
        let last = ann.last().await;
        assert_eq!(last, FromDaemon::Exit { exit: "code 0".to_owned() });
        let rows = trail(&world, 4).await;
        assert_eq!((rows.len(), &rows[2]["action"], &rows[3]["action"]), (4, &json!("session.attach"), &json!("session.attach")));
        assert_eq!(detail(&rows[3])["typed_bytes"], 5);
        assert_eq!(detail(&rows[3])["ended"], "the session ended");
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        let late = ask(&world, BOB, &id, json!({}), None).await.err().unwrap();
        assert_eq!((late.status, &late.body["code"]), (409, &json!("conflict")), "{late:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_takes_nothing_is_cut_off_and_another_sees_everything() {
    on_both(async |db| {
        let world = world(db, "limits: { write_seconds: 1 }").await;
        let id = world.shell(BOB).await;
        let mut stalled = attach(&world, BOB, &id, json!({})).await;
        let mut other = attach(&world, BOB, &id, typing(100, 30)).await;
        until_attached(&world, &id, &["bob", "bob"]).await;
        // More than a socket holds, slow enough for whoever reads at all.
        other
            .type_in("stty -echo; i=0; while [ $i -lt 1500 ]; do i=$((i + 1)); printf 'line-%s %0600d\\n' $i 0; [ $((i % 25)) = 0 ] && sleep 0.02; done; printf 'fin%s\\n' ished\r")
            .await;
        // It is told why within some seconds of being cut off, or never: it asks as soon as that has happened.
        let told = async {
            until_attached(&world, &id, &["bob"]).await;
            stalled.last().await
        };
        let ((), last) = tokio::join!(other.until_shown("finished"), told);
        for line in 1..=1500 {
            assert!(other.shown.contains(&format!("line-{line} ")), "line {line} is missing");
        }
        match last {
            FromDaemon::Error { code: FaultCode::Timeout, .. } => {}
            other => panic!("cut off without a word, after {} bytes", other.encode().len()),
        }
        other.type_in("printf 'still-%s\\n' $((5 + 5))\r").await;
        other.until_shown("still-10").await;
        drop(other);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_cut_short_for_who_is_slow_and_the_end_of_it_is_painted() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = world.shell(BOB).await;
        let mut live = attach(&world, BOB, &id, typing(100, 30)).await;
        live.type_in("stty -echo; yes 0123456789012345678901234567890123456789 | head -c 6000000; printf 'f%s\\n' in\r").await;
        // Longer than the host's patience holds bytes, shorter than the daemon's patience.
        let deadline = Instant::now() + PATIENCE;
        while !snapshot(&world, &id).await.text.contains("fin") {
            assert!(Instant::now() < deadline, "the flood does not end");
            sleep(Duration::from_millis(50)).await;
        }
        live.until_shown("fin").await;
        assert!(live.shown.len() < 6_000_000, "something was left out");
        live.type_in("printf 'still-%s\\n' $((5 + 5))\r").await;
        live.until_shown("still-10").await;
        drop(live);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_the_right_loses_the_terminal() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = world.shell(BOB).await;
        let mut bob = attach(&world, BOB, &id, typing(100, 30)).await;
        let mut ann = attach(&world, ANN, &id, json!({ "reason": WHY })).await;
        ann.until("presence", |live| live.present.len() == 2).await;
        // Ann is a member from now on, and bob is not let in at all.
        world.rewrite_config(|text| {
            let text =
                text.replace(&format!("os_uid: {ANN}, role: admin"), &format!("os_uid: {ANN}, role: member"));
            format!("{text}\naccess: {{ deny: [{BOB}] }}\n")
        });
        world.app.reload(None).await.unwrap();
        let changed = Instant::now();
        for live in [&mut bob, &mut ann] {
            match live.last().await {
                FromDaemon::Error { code, .. } => {
                    assert!(matches!(code, FaultCode::Denied | FaultCode::NotFound), "{code:?}")
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(changed.elapsed() < PATIENCE);
        world.rewrite_config(|text| {
            let text =
                text.replace(&format!("os_uid: {ANN}, role: member"), &format!("os_uid: {ANN}, role: admin"));
            text.replace(&format!("access: {{ deny: [{BOB}] }}"), "")
        });
        world.app.reload(None).await.unwrap();
        let rows = trail(&world, 2).await;
        assert_eq!(detail(&rows[1])["ended"], "no longer allowed", "{rows:?}");
        until_attached(&world, &id, &[]).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_sees_itself_and_types_nowhere() {
    on_both(async |db| {
        let world = world(db, "").await;
        let (id, another) = (world.shell(BOB).await, world.shell(BOB).await);
        let mut live = attach(&world, BOB, &id, typing(100, 30)).await;
        let file = world.path("project").join("token");
        live.type_in("printf %s \"$TELECLAUDE_TOKEN\" > token; printf 'k%s\\n' ept\r").await;
        live.until_shown("kept").await;
        let token = std::fs::read_to_string(file).unwrap();
        let mut itself = ask(&world, BOB, &id, json!({ "size": { "cols": 9, "rows": 9 } }), Some(&token))
            .await
            .unwrap_or_else(|a| panic!("{a:?}"));
        itself.until_shown("kept").await;
        let answer = ask(&world, BOB, &id, json!({ "input": true }), Some(&token)).await.err().unwrap();
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("denied")), "{answer:?}");
        let answer = ask(&world, BOB, &another, json!({}), Some(&token)).await.err().unwrap();
        assert_eq!(answer.status, 404, "{answer:?}");
        drop(live);
        until_sized(&world, &id, 120, 40).await;
        drop(itself);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_frames_end_it_and_seats_are_few() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = world.shell(BOB).await;
        for wrong in [&[0, 0, 0, 0][..], &[255; 8], &[0, 0, 0, 2, 2, b'x']] {
            let mut live = attach(&world, BOB, &id, json!({ "input": true })).await;
            live.stream.write_all(wrong).await.unwrap();
            match live.last().await {
                FromDaemon::Error { code: FaultCode::Invalid, .. } => {}
                other => panic!("{other:?}"),
            }
        }
        until_attached(&world, &id, &[]).await;
        let mut all = Vec::new();
        for _ in 0..teleclaude::daemon::attach::PER_SESSION {
            all.push(attach(&world, BOB, &id, json!({})).await);
        }
        let full = ask(&world, BOB, &id, json!({}), None).await.err().unwrap();
        assert_eq!((full.status, &full.body["code"]), (429, &json!("limit_reached")), "{full:?}");
        drop(all);
        until_attached(&world, &id, &[]).await;
        let mut live = attach(&world, BOB, &id, json!({})).await;
        let lost = world.shell(BOB).await;
        let mut of_lost = attach(&world, BOB, &lost, json!({})).await;
        of_lost.until("it is painted", |live| live.size.is_some()).await;
        let run = world.path("run").join(format!("{lost}.json"));
        let run: Value = serde_json::from_slice(&std::fs::read(run).unwrap()).unwrap();
        let pid = nix::unistd::Pid::from_raw(run["pid"].as_i64().unwrap().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        assert_eq!(of_lost.last().await, FromDaemon::Exit { exit: "lost".to_owned() });
        let end = json!({ "reason": "the end of this test" });
        assert_eq!(world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(end)).await.status, 200);
        assert!(matches!(live.last().await, FromDaemon::Exit { .. }));
        world.end().await;
    })
    .await;
}
