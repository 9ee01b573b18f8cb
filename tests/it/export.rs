//! Taking sessions out as files, on both databases: every form, who may, what is written down before the first byte, and
//! that whoever loses the right or takes nothing is cut off with something that is seen to be no whole file. The page that
//! plays is opened in a browser by `tests/export/run`.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::postgres::{Db, on_both};
use crate::world::{ANN, BOB, CID, EVE, SHELL, STRANGER, World};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);
const FORMS: [&str; 5] = ["cast", "txt", "md", "jsonl", "html"];
const WHY: &str = "reason=looking%20into%20an%20incident";

/// An answer that is being read.
struct Answer {
    stream: UnixStream,
    status: u16,
    head: String,
    raw: Vec<u8>,
}

impl Answer {
    async fn of(world: &World, uid: u32, path: &str, token: Option<&str>) -> Self {
        let mut stream = world.connect(uid);
        let token = token.map(|t| format!("Teleclaude-Session-Token: {t}\r\n")).unwrap_or_default();
        let head =
            format!("GET /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut raw = Vec::new();
        let end = loop {
            if let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            let n = timeout(PATIENCE, stream.read_buf(&mut raw)).await.expect("no answer").unwrap();
            assert_ne!(n, 0, "closed without an answer");
        };
        let head = String::from_utf8(raw.drain(..end).collect()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { stream, status, head, raw }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// All there is, and whether it is a whole.
    async fn rest(mut self) -> (Vec<u8>, bool) {
        loop {
            match timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await.expect("it never ends") {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        if let Some(length) = self.header("content-length") {
            let whole = self.raw.len() == length.parse::<usize>().unwrap();
            return (self.raw, whole);
        }
        let (mut body, mut rest) = (Vec::new(), self.raw.as_slice());
        loop {
            let Some(line) = rest.windows(2).position(|w| w == b"\r\n") else { return (body, false) };
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
            if size == 0 {
                return (body, true);
            }
            let Some(piece) = rest.get(line + 2..line + 2 + size) else { return (body, false) };
            body.extend_from_slice(piece);
            rest = rest.get(line + 4 + size..).unwrap_or_default();
        }
    }

    async fn text(self) -> String {
        let (body, whole) = self.rest().await;
        assert!(whole, "cut off");
        String::from_utf8(body).unwrap()
    }

    async fn fault(self) -> Value {
        assert_ne!(self.status, 200);
        serde_json::from_slice(&self.rest().await.0).unwrap()
    }
}

async fn get(world: &World, uid: u32, path: &str) -> Answer {
    Answer::of(world, uid, path, None).await
}

fn export(id: &str, form: &str) -> String {
    format!("/sessions/{id}/export?format={form}")
}

async fn world(db: Db, config: &str) -> World {
    World::everybody(db)
        .config(
            "roles:\n  admin: { requests_per_minute: 100000, burst: 10000 }\n  \
             member: { requests_per_minute: 100000, burst: 10000, profile: full }",
        )
        .config(SHELL)
        .config(config)
        .start()
        .await
}

/// A session of bob's that has said something; its id.
async fn talker(world: &World) -> String {
    let args =
        json!({ "project": "work", "agent": "shell", "title": "a talk", "message": "echo one-$((40 + 2))" });
    let started = world.rest(BOB, "POST", "/sessions", Some(args)).await;
    assert_eq!(started.status, 201, "{started:?}");
    let id = started.body["session_id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = get(world, BOB, &export(&id, "txt")).await;
        if answer.status == 200 && answer.text().await.contains("one-42") {
            return id;
        }
        assert!(Instant::now() < deadline, "it says nothing");
        sleep(Duration::from_millis(50)).await;
    }
}

/// An ended session of bob's whose recording has more than a connection holds; its id.
async fn large(world: &World) -> String {
    let id = world.shell(BOB).await;
    world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
    world.until(BOB, &id, |row| row["status"] == "ended").await;
    let mut text =
        String::from("{\"version\":3,\"term\":{\"cols\":80,\"rows\":24},\"timestamp\":1700000000}\n");
    for line in 0..10_000 {
        let _ = writeln!(text, "[0.001, \"o\", \"line {line} {}\\r\\n\"]", "x".repeat(400));
    }
    std::fs::write(recording(world, &id), text).unwrap();
    id
}

fn recording(world: &World, id: &str) -> std::path::PathBuf {
    world.path("state").join("recordings").join(format!("{id}.cast"))
}

async fn rows(world: &World) -> Vec<Value> {
    let rows = world.audit().await;
    let ours =
        |row: &Value| ["transcript.export", "recording.read"].contains(&row["action"].as_str().unwrap());
    rows.into_iter().filter(ours).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_for_its_owner_and_with_a_row_for_an_admin() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = talker(&world).await;
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        for form in FORMS {
            let own = get(&world, BOB, &export(&id, form)).await;
            assert_eq!(own.status, 200);
            let name = own.header("content-disposition").unwrap();
            assert!(name.contains(&format!("{id}.{form}")) && name.starts_with("attachment"), "{name}");
            let own = own.text().await;
            assert!(own.contains("one-42"), "{form}: {own}");
            match form {
                "cast" => assert_eq!(own, std::fs::read_to_string(recording(&world, &id)).unwrap()),
                "md" => assert!(own.starts_with("# a talk\n\n    "), "{own}"),
                "jsonl" => {
                    assert!(own.lines().all(|l| serde_json::from_str::<Value>(l).unwrap()["at"].is_string()));
                }
                "html" => assert!(own.ends_with("</html>\n") && own.contains("[\"t\","), "{own}"),
                _ => assert!(own.contains("subject to admin audit"), "the notice comes first: {own}"),
            }
            assert!(rows(&world).await.is_empty(), "one's own is nobody's business");
        }
        for (number, form) in FORMS.into_iter().enumerate() {
            let reasonless = get(&world, ANN, &export(&id, form)).await.fault().await;
            assert_eq!((&reasonless["code"], &reasonless["field"]), (&json!("invalid"), &json!("reason")));
            assert_eq!(rows(&world).await.len(), number, "nothing was shown");
            let answer = get(&world, ANN, &format!("{}&{WHY}", export(&id, form))).await;
            // Nothing of the file was read yet.
            let rows = rows(&world).await;
            assert_eq!(rows.len(), number + 1);
            let action = if form == "cast" { "recording.read" } else { "transcript.export" };
            for (field, value) in [
                ("action", action),
                ("actor", "ann"),
                ("owner", "bob"),
                ("session_id", id.as_str()),
                ("reason", "looking into an incident"),
                ("outcome", "success"),
            ] {
                assert_eq!(rows[0][field], value, "{rows:?}");
            }
            assert_eq!(rows[0]["detail"], json!({ "format": form }).to_string());
            assert!(answer.text().await.contains("one-42"), "{form}");
            // To somebody else it is not there.
            for other in [CID, EVE] {
                let hidden = get(&world, other, &export(&id, form)).await.fault().await;
                assert_eq!(hidden["code"], "not_found", "{hidden}");
            }
            let nobody = get(&world, STRANGER, &export(&id, form)).await.fault().await;
            assert_eq!(nobody["detail"], "there is nothing at this path");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_runs_is_taken_out_up_to_its_last_whole_line() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = talker(&world).await;
        let flood = json!({ "message": "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo flood-$i; done" });
        world.rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(flood)).await;
        for _ in 0..5 {
            let cast = get(&world, BOB, &export(&id, "cast")).await.text().await;
            assert!(cast.ends_with('\n'));
            assert!(cast.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
            let page = get(&world, BOB, &export(&id, "html")).await.text().await;
            assert!(page.ends_with("</html>\n"));
        }
        // Half a line is not given.
        let path = recording(&world, &id);
        let torn = format!("{}[0.1, \"o\", \"torn", std::fs::read_to_string(&path).unwrap());
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        std::fs::write(&path, torn).unwrap();
        let cast = get(&world, BOB, &export(&id, "cast")).await.text().await;
        assert!(cast.ends_with('\n') && !cast.contains("torn"));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_are_named_and_an_agent_may_not() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = talker(&world).await;
        for (query, field) in [
            ("", "format"),
            ("?format=pdf", "format"),
            ("?format=", "format"),
            ("?format=txt&format=txt", "format"),
            ("?format=txt&reason=short", "reason"),
            ("?format=txt&how=well", "how"),
            ("?format=txt&session_id=x", "session_id"),
        ] {
            let answer = get(&world, BOB, &format!("/sessions/{id}/export{query}")).await;
            assert_eq!(answer.status, 422, "{query}");
            let fault = answer.fault().await;
            assert_eq!(fault["field"], field, "{query}: {fault}");
        }
        for wrong in ["short", "0193b2a0-0000-7000-8000-00000000dead"] {
            let fault = get(&world, BOB, &export(wrong, "txt")).await.fault().await;
            assert!(["invalid", "not_found"].contains(&fault["code"].as_str().unwrap()), "{fault}");
        }
        // A model asks for pages, not for files.
        let file = world.path("project").join("token");
        let message = json!({ "message": "printf %s \"$TELECLAUDE_TOKEN\" > token.new; mv token.new token" });
        world.rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(message)).await;
        let deadline = Instant::now() + PATIENCE;
        while !file.exists() {
            assert!(Instant::now() < deadline, "no token");
            sleep(Duration::from_millis(20)).await;
        }
        let token = std::fs::read_to_string(file).unwrap();
        let refused = Answer::of(&world, BOB, &export(&id, "txt"), Some(&token)).await;
        assert_eq!(refused.status, 404);
        // What is not there cannot be taken out.
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        std::fs::remove_file(recording(&world, &id)).unwrap();
        for form in FORMS {
            let fault = get(&world, ANN, &format!("{}&{WHY}", export(&id, form))).await.fault().await;
            assert_eq!(fault["code"], "not_found", "{form}: {fault}");
        }
        assert!(rows(&world).await.is_empty());
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_log_nothing_is_taken_out() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = talker(&world).await;
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        world.db.refuse_audit_rows().await;
        for form in FORMS {
            let answer = get(&world, ANN, &format!("{}&{WHY}", export(&id, form))).await;
            let (body, _) = answer.rest().await;
            let body = String::from_utf8(body).unwrap();
            assert!(body.contains("audit_unavailable") && !body.contains("one-42"), "{body}");
            assert!(get(&world, BOB, &export(&id, form)).await.text().await.contains("one-42"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_the_right_is_cut_off_in_the_middle() {
    on_both(async |db| {
        let world = world(db, "").await;
        let id = large(&world).await;
        let mut going = Vec::new();
        for form in ["cast", "txt", "html"] {
            going.push((form, get(&world, ANN, &format!("{}&{WHY}", export(&id, form))).await));
            going.push((form, get(&world, BOB, &export(&id, form)).await));
        }
        // Ann is a member from now on, and bob is not let in at all.
        world.rewrite_config(|text| {
            let text =
                text.replace(&format!("os_uid: {ANN}, role: admin"), &format!("os_uid: {ANN}, role: member"));
            format!("{text}\naccess: {{ deny: [{BOB}] }}\n")
        });
        world.app.reload(None).await.unwrap();
        // Whoever took nothing meanwhile is cut off, too: the places are free although nobody has read.
        until_free(&world, &[ANN, BOB]).await;
        for (form, answer) in going {
            let (body, whole) = answer.rest().await;
            assert!(!whole && body.len() < 2_000_000, "{form}: {} bytes, whole: {whole}", body.len());
        }
        world.rewrite_config(|text| {
            let text =
                text.replace(&format!("os_uid: {ANN}, role: member"), &format!("os_uid: {ANN}, role: admin"));
            text.replace(&format!("access: {{ deny: [{BOB}] }}"), "")
        });
        world.app.reload(None).await.unwrap();
        world.end().await;
    })
    .await;
}

/// Waits until these have no export any more.
async fn until_free(world: &World, uids: &[u32]) {
    use teleclaude::daemon::limits::Bucket;
    let deadline = Instant::now() + PATIENCE;
    while uids.iter().any(|uid| world.app.exports().enter(Bucket::Uid(*uid), 1).is_none()) {
        assert!(Instant::now() < deadline, "an export never ended");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_takes_nothing_is_cut_off_and_holds_nobody_up() {
    on_both(async |db| {
        let world = world(db, "limits: { write_seconds: 2 }").await;
        let id = large(&world).await;
        let mut stalled = Vec::new();
        for form in ["cast", "txt", "jsonl", "html"] {
            stalled.push(get(&world, BOB, &export(&id, form)).await);
        }
        let fifth = get(&world, BOB, &export(&id, "txt")).await.fault().await;
        assert_eq!(fifth["code"], "limit_reached", "{fifth}");
        // Others, and bob's own other requests, do not wait for them.
        let admin = get(&world, ANN, &format!("{}&{WHY}", export(&id, "cast"))).await.text().await;
        assert_eq!(admin, std::fs::read_to_string(recording(&world, &id)).unwrap());
        let page = world.rest(BOB, "GET", &format!("/sessions/{id}/transcript"), None).await;
        assert_eq!(page.status, 200);
        until_free(&world, &[BOB]).await;
        for answer in stalled {
            assert!(!answer.rest().await.1, "cut off");
        }
        // One who leaves frees his place.
        drop(get(&world, BOB, &export(&id, "html")).await);
        until_free(&world, &[BOB]).await;
        world.end().await;
    })
    .await;
}
