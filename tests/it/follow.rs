//! Following a transcript: what is said comes while it is said, once, whatever is cut off in between; who may not, or no
//! longer, sees nothing; another's is written down at both ends; and MCP clients are told that there is more.

use crate::postgres::on_both;
use crate::process;
use crate::transcripts::{Follower, SCRIBE, append, line, session};
use crate::world::{ANN, BOB, CID, ERAS, Era, SHELL, World};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader as SyncReader};
use std::process::Stdio;
use std::time::Duration;
use teleclaude::daemon::attach::end_of_killed;
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
const WHY: &str = "reason=looking%20into%20an%20incident";

/// An answer that goes on.
struct Stream {
    lines: BufReader<UnixStream>,
    status: u16,
    cursor: Option<String>,
}

impl Stream {
    async fn of(world: &World, uid: u32, id: &str, query: &str) -> Self {
        let mut stream = world.connect(uid);
        let head = format!(
            "GET /api/v1/sessions/{id}/transcript?follow=true{query} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut stream = Self { lines: BufReader::new(stream), status: 0, cursor: None };
        stream.status = stream.line().await.split(' ').nth(1).unwrap().parse().unwrap();
        stream
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.lines.read_line(&mut line)).await.expect("nothing comes").unwrap();
        line
    }

    /// The next line of ours that says something.
    async fn next(&mut self) -> Value {
        loop {
            let line = self.line().await;
            assert!(!line.is_empty(), "it is over without a word");
            if let Ok(said @ Value::Object(_)) = serde_json::from_str::<Value>(&line) {
                if let Some(cursor) = said["cursor"].as_str() {
                    self.cursor = Some(cursor.to_owned());
                }
                if said["content"] != "" {
                    return said;
                }
            }
        }
    }

    /// Everything until this was said.
    async fn until(&mut self, last: &str) -> String {
        let mut all = String::new();
        while !all.contains(last) {
            let said = self.next().await;
            all.push_str(said["content"].as_str().unwrap_or_else(|| panic!("{said}: {all}")));
        }
        all
    }

    /// The rest, and the last line.
    async fn rest(&mut self) -> (String, Value) {
        let mut all = String::new();
        loop {
            let said = self.next().await;
            match said["content"].as_str() {
                Some(content) => all.push_str(content),
                None => return (all, said),
            }
        }
    }
}

fn texts(json_lines: &str) -> Vec<String> {
    let rows = json_lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| row["text"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_comes_once_until_the_session_ends() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        append(&log, &line("one"));
        let mut json = Stream::of(&world, BOB, &id, "&format=json&cursor=0").await;
        let mut text = Stream::of(&world, BOB, &id, "").await;
        assert_eq!((json.status, text.status), (200, 200));
        assert_eq!(texts(&json.until("one").await), ["one"]);
        assert!(text.until("one").await.starts_with("# a talk\n\n## User · 2026-11-21 10:00:00Z\n\none\n\n"));
        append(&log, &line("two"));
        assert_eq!(texts(&json.until("two").await), ["two"]);
        let two = text.until("two").await;
        assert_eq!(two, "## User · 10:00:00Z\n\ntwo\n\n", "the day stands above it already");

        // Cut off, and asked for again from there: nothing twice, nothing missing.
        let cursor = json.cursor.clone().unwrap();
        drop(json);
        append(&log, &(line("three") + &line("four")));
        let mut json = Stream::of(&world, BOB, &id, &format!("&format=json&cursor={cursor}")).await;
        assert_eq!(texts(&json.until("four").await), ["three", "four"]);

        // What it says last comes before its end.
        append(&log, &line("goodbye"));
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        let (rest, end) = json.rest().await;
        assert_eq!((texts(&rest), &end["event"]), (vec!["goodbye".to_owned()], &json!("end")), "{end}");
        assert!(end["exit"].is_string(), "{end}");
        assert!(text.rest().await.0.contains("goodbye"));
        let again = Stream::of(&world, BOB, &id, "&format=json&tail_chars=7").await.rest().await;
        assert_eq!((texts(&again.0), &again.1["event"]), (vec!["goodbye".to_owned()], &json!("end")));
        let since =
            Stream::of(&world, BOB, &id, "&format=json&since=2026-11-22T00:00:00Z").await.rest().await;
        assert_eq!(since.0, "");

        for (query, field) in [
            ("&cursor=7", "cursor"),
            ("&cursor=e-1", "cursor"),
            ("&tail_chars=0", "tail_chars"),
            ("&tail_chars=x", "tail_chars"),
            ("&since=yesterday", "since"),
            ("&format=pdf", "format"),
            ("&until=2026-11-22T00:00:00Z", "until"),
            ("&reason=short", "reason"),
        ] {
            let path = format!("/sessions/{id}/transcript?follow=true{query}");
            let answer = world.rest(BOB, "GET", &path, None).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)), "{query}: {answer:?}");
        }
        let not = world.rest(BOB, "GET", &format!("/sessions/{id}/transcript?follow=false"), None).await;
        assert_eq!((not.status, &not.body["field"]), (422, &json!("follow")), "{not:?}");
        // One's own is not written down.
        assert!(world.audit().await.iter().all(|row| row["action"] != "transcript.read"));
        follower.end().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_without_a_log_is_followed_on_its_screen() {
    on_both(async |db| {
        let world =
            World::everybody(db).config("roles: { member: { profile: full } }").config(SHELL).start().await;
        let id = world.shell(BOB).await;
        let mut stream = Stream::of(&world, BOB, &id, "").await;
        for n in 0..3 {
            let message = json!({ "message": format!("echo said-$(({n} + 40))") });
            world.rest(BOB, "POST", &format!("/sessions/{id}/messages"), Some(message)).await;
            let all = stream.until(&format!("said-{}\n", n + 40)).await;
            assert_eq!(all.matches(&format!("said-{}\n", n + 40)).count(), 1, "{all}");
        }
        let cursor = stream.cursor.clone().unwrap();
        let mut again = Stream::of(&world, BOB, &id, &format!("&cursor={cursor}")).await;
        world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        for stream in [&mut stream, &mut again] {
            let (rest, end) = stream.rest().await;
            assert_eq!(end["event"], "end", "{end}");
            assert!(!rest.contains("said-4"), "{rest}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_s_is_written_down_at_both_ends_and_only_while_one_may() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        append(&log, &(line("a private word") + &line("and another")));
        let path = format!("/sessions/{id}/transcript?follow=true");
        assert_eq!(world.rest(CID, "GET", &path, None).await.status, 404);
        let without = world.rest(ANN, "GET", &path, None).await;
        assert_eq!((without.status, &without.body["field"]), (422, &json!("reason")), "{without:?}");

        let trail = async |least: usize| {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let rows: Vec<Value> = world
                    .audit()
                    .await
                    .into_iter()
                    .filter(|row| row["action"] == "transcript.read")
                    .collect();
                if rows.len() >= least {
                    return rows;
                }
                assert!(Instant::now() < deadline, "{rows:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let mut ann = Stream::of(&world, ANN, &id, &format!("&cursor=0&format=json&{WHY}")).await;
        let start = trail(1).await;
        assert_eq!(start.len(), 1);
        assert_eq!(
            (&start[0]["actor"], &start[0]["reason"], &start[0]["session_id"]),
            (&json!("ann"), &json!("looking into an incident"), &json!(id))
        );
        ann.until("and another").await;
        drop(ann);
        let rows = trail(2).await;
        let detail: Value = serde_json::from_str(rows[0]["detail"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&detail["event"], &detail["from_seq"], &detail["to_seq"]),
            (&json!("end"), &json!(1), &json!(2))
        );
        assert!(detail["bytes"].as_i64().unwrap() > 0, "{detail}");
        assert_eq!(rows[0]["request_id"], rows[1]["request_id"]);

        // Ann is a member from now on: nothing that is said later comes.
        let mut ann = Stream::of(&world, ANN, &id, &format!("&{WHY}")).await;
        ann.until("and another").await;
        world.rewrite_config(|text| {
            text.replace(&format!("os_uid: {ANN}, role: admin"), &format!("os_uid: {ANN}, role: member"))
        });
        world.app.reload(None).await.unwrap();
        append(&log, &line("not for her"));
        let (rest, last) = ann.rest().await;
        assert_eq!(
            (rest.as_str(), &last["event"], &last["code"]),
            ("", &json!("error"), &json!("not_found")),
            "{last}"
        );
        world.rewrite_config(|text| {
            text.replace(&format!("os_uid: {ANN}, role: member"), &format!("os_uid: {ANN}, role: admin"))
        });
        world.app.reload(None).await.unwrap();
        let rows = trail(4).await;
        assert!(rows[0]["detail"].as_str().unwrap().contains("no longer allowed"), "{rows:?}");
        follower.end().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_row_nothing_of_another_s_is_shown() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        append(&log, &line("a private word"));
        Stream::of(&world, BOB, &id, "").await.until("a private word").await;
        world.db.refuse_audit_rows().await;
        let path = format!("/sessions/{id}/transcript?follow=true&{WHY}");
        let answer = world.rest(ANN, "GET", &path, None).await;
        assert_eq!(answer.body["code"], "audit_unavailable", "{answer:?}");
        follower.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_that_a_killed_daemon_could_not_write_the_next_one_does() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (store, deadline) = (world.app.store(), Instant::now() + PATIENCE);
        let began = AuditDraft::by_daemon(0, "daemon.start", AuditOutcome::Success, world.app.now());
        store.append(deadline, began).await.unwrap();
        let (id, log) = session(&world).await;
        append(&log, &line("a private word"));
        let mut ann = Stream::of(&world, ANN, &id, &format!("&{WHY}")).await;
        ann.until("a private word").await;
        // One that was read, and not followed, has no end.
        let read = world.rest(ANN, "GET", &format!("/sessions/{id}/transcript?{WHY}"), None).await;
        assert_eq!(read.status, 200, "{read:?}");
        for _ in 0..2 {
            end_of_killed(store, world.app.now()).await.unwrap();
        }
        let rows = world.audit().await;
        let rows: Vec<&Value> = rows.iter().filter(|row| row["action"] == "transcript.read").collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows[0]["detail"].as_str().unwrap().contains("the daemon was killed"), "{rows:?}");
        assert_eq!(rows[0]["request_id"], rows[2]["request_id"]);
        drop(ann);
        follower.end().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_both_eras_are_told_that_there_is_more() {
    on_both(async |db| {
        let world = World::everybody(db).config(SCRIBE).start().await;
        let follower = Follower::of(&world);
        let (id, log) = session(&world).await;
        let uri = format!("teleclaude://sessions/{id}/transcript");
        for era in ERAS {
            let mut mcp = world.mcp(BOB, era).await;
            if era == Era::Initialize {
                let answer = mcp.ask("resources/subscribe", json!({ "uri": uri })).await;
                assert!(answer["result"].is_object(), "{answer}");
            } else {
                // Its answer comes at its end.
                let params = json!({
                    "notifications": { "resourceSubscriptions": [uri] },
                    "_meta": {
                        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                        "io.modelcontextprotocol/clientCapabilities": {},
                        "io.modelcontextprotocol/clientInfo": { "name": "world", "version": "1" },
                    },
                });
                let listen =
                    json!({ "jsonrpc": "2.0", "id": 99, "method": "subscriptions/listen", "params": params });
                mcp.say(&listen).await;
                assert_eq!(mcp.hear().await["method"], "notifications/subscriptions/acknowledged");
            }
            append(&log, &line("more"));
            let told = mcp.hear().await;
            assert_eq!(told["method"], "notifications/resources/updated", "{told}");
            assert_eq!(told["params"]["uri"], json!(uri));
        }
        follower.end().await;
        world.end().await;
    })
    .await;
}

/// Over the command line, across daemons that are killed: everything once, in order.
#[test]
fn the_command_goes_on_across_killed_daemons() {
    let mut world = process::World::single(SCRIBE);
    world.up();
    let me = world.me();
    let id = world.session(&me, "scribe");
    let row = me.session(&id).unwrap();
    let folder = world.path("home/.claude/projects/-work");
    std::fs::create_dir_all(&folder).unwrap();
    let log = folder.join(format!("{}.jsonl", row["native_session_id"].as_str().unwrap()));
    append(&log, &line("said 0"));
    let mut command = world.command(std::path::Path::new(env!("CARGO_BIN_EXE_teleclaude")));
    command.arg("--socket").arg(world.socket()).args(["--json", "transcript", "-f", "--all", &id]);
    let mut follow =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = SyncReader::new(follow.stdout.take().unwrap()).lines();
    let mut said = |n: usize| {
        let row: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(row["text"], format!("said {n}"), "{row}");
    };
    said(0);
    for round in 1..=3 {
        append(&log, &line(&format!("said {}", 3 * round - 2)));
        if round == 2 {
            said(3 * round - 2);
        }
        world.kill();
        append(&log, &line(&format!("said {}", 3 * round - 1)));
        world.up();
        append(&log, &line(&format!("said {}", 3 * round)));
        for n in if round == 2 { 3 * round - 1 } else { 3 * round - 2 }..=3 * round {
            said(n);
        }
    }
    assert_eq!(me.post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
    assert!(lines.next().is_none(), "nothing twice");
    let output = follow.wait_with_output().unwrap();
    let noted = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && noted.contains("The session has ended"), "{noted}");
}
