//! Hooks, and what they make known: what an agent does and asks, its own id and log; and answering, once. With a stand-in
//! for an agent that calls the real `teleclaude hook` with what real agents give theirs.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::postgres::{Cluster, on_both};
use crate::process::{self, Asker, PATIENCE, until};
use crate::world::{ANN, BOB, CID, ERAS, SHELL, World};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use teleclaude::domain::question::{Asked, QuestionKind, QuestionState};
use teleclaude::domain::session::{SessionActivity, SessionId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::host::recording::{self, Code};
use teleclaude::store::{hook, question, session};
use uuid::Uuid;

/// Lets members run a shell.
const FULL: &str = "roles: { member: { profile: full } }\n";
const EXE: &str = env!("CARGO_BIN_EXE_teleclaude");

/// An agent that asks before it does what it is told (`/ask WHAT`), not understanding the first key if told `/deaf WHAT`;
/// `/begin PATH` begins another session of its own whose log is there. It finds its hooks in the file that it is given.
const SCRIPT: &str = r#"
bin=$(sed -n 's/.*"command":"\([^" ]*\) hook Stop".*/\1/p' "$2")
[ "$3" = --mcp-config ] && grep -q '"args":\["mcp"\]' "$4" && echo "has the tools"
native=native-1
log=$HOME/.claude/projects/p/native-1.jsonl
hook() { printf '{"session_id":"%s","transcript_path":"%s","hook_event_name":"%s"%s}' "$native" "$log" "$1" "$2" | "$bin" hook "$1"; }
asks() {
    tool=',"tool_name":"Bash","tool_input":{"command":"'$1'"}'
    hook PermissionRequest "$tool"
    printf 'Proceed?\n> 1. Yes\n  2. No\n'
    stty -icanon -echo
    key=$(dd bs=1 count=1 2>/dev/null)
    [ "$2" = deaf ] && echo heard && key=$(dd bs=1 count=1 2>/dev/null)
    stty icanon echo
    printf '\033[2J\033[H'
    if [ "$key" = 1 ]; then echo "did $1"; hook PostToolUse "$tool"; else echo "left $1"; fi
    [ "$key" = 1 ] && hook Stop
}
hook SessionStart ',"source":"startup"'
echo ready
while read -r word what; do
    hook UserPromptSubmit
    case $word in
        /ask) asks "$what" ;;
        /deaf) asks "$what" deaf ;;
        /begin) native=native-2 log=$what; hook SessionStart ',"source":"clear"' ;;
        *) echo "said $word"; hook Stop ;;
    esac
done
"#;

fn agents() -> String {
    let script: String = SCRIPT.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        "agents:
  asker:
    enabled: true
    command: /bin/sh
    args:
      - -c
      - |
{script}
      - asker
    transcript: claude
    hooks: true
    profiles: {{ full: [] }}
  plain: {{ enabled: true, command: /bin/sh, args: [-c, 'echo $*; exec cat', plain], transcript: claude, profiles: {{ full: [] }} }}
"
    )
}

fn on_both_daemons(test: impl Fn(process::World)) {
    let config = format!("roles: {{ admin: {{ requests_per_minute: 100000, burst: 10000 }} }}\n{}", agents());
    let cluster = Cluster::start();
    for url in [None, Some(cluster.database("hooks"))] {
        let mut world = process::World::single(&config);
        if let Some(url) = url {
            world = world.with("TELECLAUDE_DATABASE__URL", &url);
        }
        world.up();
        test(world);
    }
}

fn say(me: &Asker, id: &str, text: &str) {
    let answer = me.post(&format!("/sessions/{id}/messages"), json!({ "message": text })).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn row(me: &Asker, id: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    let mut row = Value::Null;
    until(what, || {
        row = me.session(id).unwrap_or_default();
        so(&row)
    });
    row
}

fn asked(me: &Asker, id: &str, text: &str) -> String {
    let row = row(me, id, text, |row| row["needs_input"][0]["asked"] == text);
    assert_eq!(row["activity"], "needs_input", "{row}");
    assert_eq!((&row["open_requests"], &row["needs_input"][0]["kind"]), (&json!(1), &json!("permission")));
    row["needs_input"][0]["request_id"].as_str().unwrap().to_owned()
}

fn answer(me: &Asker, id: &str, request: &str, answer: &str) -> (u16, Value) {
    let body = json!({ "request_id": request, "answer": answer });
    let answer = me.post(&format!("/sessions/{id}/answer"), body).unwrap();
    (answer.status, answer.body)
}

fn shown(world: &process::World, id: &str) -> String {
    let Ok(events) = recording::read(&world.recording(id)) else { return String::new() };
    events.filter(|event| event.code == Code::Output).map(|event| event.data).collect()
}

#[test]
fn an_agent_asks_and_is_answered_once() {
    on_both_daemons(|world| {
        let me = world.me();
        let id = world.session(&me, "asker");
        let first = row(&me, &id, "it waits", |row| row["native_session_id"] == "native-1");
        assert_eq!(first["activity"], "idle", "{first}");
        until("it has our tools", || shown(&world, &id).contains("has the tools"));
        say(&me, &id, "/ask one");
        let request = asked(&me, &id, "Bash: one");
        let list = me.get("/sessions").unwrap().body["sessions"][0].clone();
        assert_eq!((&list["open_requests"], &list["activity"]), (&json!(1), &json!("needs_input")), "{list}");
        assert!(list.get("needs_input").is_none(), "a list tells how much is asked, not what: {list}");

        // What is said meanwhile is not typed into the dialogue.
        say(&me, &id, "/later");
        for (request, text, field) in [
            (request.as_str(), "", "answer"),
            (request.as_str(), "42", "answer"),
            (request.as_str(), "\u{1b}[A", "answer"),
            ("first", "yes", "request_id"),
        ] {
            let (status, body) = answer(&me, &id, request, text);
            assert_eq!((status, &body["field"]), (422, &json!(field)), "{body}");
        }
        let (status, body) = answer(&me, &id, &Uuid::now_v7().to_string(), "yes");
        assert_eq!((status, &body["code"]), (404, &json!("not_found")), "{body}");

        // Of many who answer at once one does.
        let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| answer(&me, &id, &request, "yes"))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|(_, body)| body["code"] == "conflict").count(), 7, "{answers:?}");
        until("it is done", || shown(&world, &id).contains("did one"));
        let done = row(&me, &id, "it has said the rest", |row| {
            row["activity"] == "idle" && shown(&world, &id).contains("said /later")
        });
        assert!(done.get("needs_input").is_none() && done.get("open_requests").is_none(), "{done}");
        assert_eq!(shown(&world, &id).matches("did one").count(), 1);

        // No, from the command line.
        say(&me, &id, "/ask two");
        asked(&me, &id, "Bash: two");
        let output = world.run(None, &["sessions", "answer", &id, "no"]);
        assert!(output.status.success(), "{output:?}");
        until("it is left", || shown(&world, &id).contains("left two"));
        row(&me, &id, "nothing is asked", |row| row.get("open_requests").is_none());
        let output = world.run(None, &["sessions", "answer", &id, "yes"]);
        assert!(!output.status.success(), "nothing is asked: {output:?}");
    });
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again_and_one_given_elsewhere_is_withdrawn() {
    on_both_daemons(|mut world| {
        let me = world.me();
        let id = world.session(&me, "asker");
        say(&me, &id, "/deaf three");
        let request = asked(&me, &id, "Bash: three");
        assert_eq!(answer(&me, &id, &request, "yes").0, 200);
        // The agent still asks.
        let again = row(&me, &id, "it is open again", |row| row["needs_input"][0]["request_id"] == request);
        assert_eq!(again["activity"], "needs_input", "{again}");
        assert_eq!(answer(&me, &id, &request, "yes").0, 200);
        until("it is done", || shown(&world, &id).contains("did three"));
        row(&me, &id, "it waits", |row| row["activity"] == "idle");

        // A daemon that dies leaves the question, and the answer, to the next one.
        say(&me, &id, "/ask four");
        let request = asked(&me, &id, "Bash: four");
        world.kill();
        world.up();
        assert_eq!(asked(&me, &id, "Bash: four"), request);
        assert_eq!(answer(&me, &id, &request, "yes").0, 200);
        world.kill();
        world.up();
        until("it is done", || shown(&world, &id).contains("did four"));
        row(&me, &id, "nothing is asked", |row| row.get("open_requests").is_none());
        assert_eq!(shown(&world, &id).matches("did four").count(), 1);

        // Interrupted, it asks no more.
        say(&me, &id, "/ask five");
        let request = asked(&me, &id, "Bash: five");
        assert_eq!(me.post(&format!("/sessions/{id}/interrupt"), json!({})).unwrap().status, 200);
        until("it is left", || shown(&world, &id).contains("left five"));
        row(&me, &id, "it waits", |row| row["activity"] == "idle" && row.get("open_requests").is_none());
        let (status, body) = answer(&me, &id, &request, "yes");
        assert_eq!((status, &body["code"]), (409, &json!("conflict")), "{body}");
    });
}

#[test]
fn an_answer_that_was_typed_is_not_typed_again() {
    on_both_daemons(|mut world| {
        let me = world.me();
        let id = world.session(&me, "asker");
        say(&me, &id, "/deaf six");
        let request = asked(&me, &id, "Bash: six");
        assert_eq!(answer(&me, &id, &request, "yes").0, 200);
        until("it was typed", || shown(&world, &id).contains("heard"));
        world.kill();
        world.up();
        // A second key would be a yes to whatever is asked by now: whoever answers is asked again.
        row(&me, &id, "it is open again", |row| row["needs_input"][0]["request_id"] == request);
        assert!(!shown(&world, &id).contains("did six"));
        assert_eq!(answer(&me, &id, &request, "yes").0, 200);
        until("it is done", || shown(&world, &id).contains("did six"));
    });
}

#[test]
fn a_hook_is_believed_of_its_own_session_and_names_no_file_of_anothers() {
    on_both_daemons(|world| {
        let me = world.me();
        let id = world.session(&me, "asker");
        row(&me, &id, "its id is known", |row| row["native_session_id"] == "native-1");
        say(&me, &id, "/begin /etc/shadow");
        row(&me, &id, "its new id is known", |row| row["native_session_id"] == "native-2");
        until("the path is refused", || world.log().contains("named a log outside the agent's folder"));
        let read = me.get(&format!("/sessions/{id}/transcript")).unwrap().body;
        assert!(!read["content"].as_str().unwrap().contains("root:"), "{read}");
        // The log that it names below its own folder is followed.
        let folder = world.path("home/.claude/projects/q");
        std::fs::create_dir_all(&folder).unwrap();
        let said = json!({ "type": "user", "timestamp": "2026-11-21T10:00:00Z", "sessionId": "other",
            "message": { "role": "user", "content": "words of the log that was named" } });
        std::fs::write(folder.join("named.jsonl"), format!("{said}\n")).unwrap();
        say(&me, &id, &format!("/begin {}", folder.join("named.jsonl").display()));
        until("it is followed", || {
            let read = me.get(&format!("/sessions/{id}/transcript")).unwrap().body;
            read["content"].as_str().is_some_and(|text| text.contains("words of the log that was named"))
        });

        // People have no hooks, and a token that is none is nobody's.
        let body = json!({ "event": "Stop", "input": {} });
        for asker in [me.clone(), me.with_token("0123")] {
            let answer = asker.post("/hook", body.clone()).unwrap();
            assert!(matches!(answer.status, 403 | 404), "{answer:?}");
        }
        // Whose agent has none is not given any.
        let plain = world.session(&me, "plain");
        until("it has begun", || shown(&world, &plain).contains('\n'));
        assert_eq!(shown(&world, &plain).trim(), "", "no arguments");
    });
}

/// Runs the program with this input; it has to end well, with nothing said.
fn tell(vars: &[(&str, &str)], args: &[&str], input: &[u8]) {
    let mut command = Command::new(EXE);
    command.env_clear().arg("hook").args(args).envs(vars.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that does not read to the end has gone before.
    let _ = stdin.write_all(input);
    // An input that stays open is not waited for either.
    let open = args.is_empty().then_some(stdin);
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{args:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(open);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_hook_never_fails_its_agent_nor_keeps_it_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let socket = path.to_str().unwrap();
    // It takes connections, and never answers.
    let _stalled = UnixListener::bind(&path).unwrap();
    let there = [("TELECLAUDE_SOCKET", socket), ("TELECLAUDE_TOKEN", "not-a-real-token")];
    let gone = [("TELECLAUDE_SOCKET", "/nowhere/s.sock"), ("TELECLAUDE_TOKEN", "not-a-real-token")];
    let large = vec![b'x'; 20 << 20];
    for vars in [&there[..], &gone, &[]] {
        for (args, input) in [
            (&["Stop"][..], &b"{}"[..]),
            (&[], b"garbage"),
            (&["--no-such-option", "-x"], b"\xff\0"),
            (&["PostToolUse"], &large),
        ] {
            tell(vars, args, input);
        }
    }
}

fn question() -> Asked {
    Asked {
        kind: QuestionKind::Question,
        text: "Which colour?".to_owned(),
        subject: "AskUserQuestion".to_owned(),
        options: vec!["Red".to_owned(), "Blue".to_owned()],
    }
}

/// As if bob's agent asked this.
async fn asks(world: &World, id: &str, asked: Asked) -> String {
    let (id, key) = (SessionId(id.parse().unwrap()), Uuid::now_v7());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    world
        .app
        .store()
        .write(deadline, move |tx| {
            let asked = asked.clone();
            Box::pin(async move {
                let at = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
                hook::heard(tx.conn(), id, None, at).await?;
                question::ask(tx.conn(), key, id, &asked, at).await?;
                session::activity(tx.conn(), id, SessionActivity::NeedsInput, at).await
            })
        })
        .await
        .unwrap();
    key.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_is_its_owners_and_others_answer_only_for_a_reason() {
    for steers in [false, true] {
        on_both(async |db| {
            let roles =
                format!("roles: {{ admin: {{ steer_others: {steers} }}, member: {{ profile: full }} }}");
            let world = World::everybody(db).config(&roles).config(SHELL).start().await;
            let id = world.shell(BOB).await;
            let request = asks(&world, &id, question()).await;
            let own = world.tool(BOB, "get_session", json!({ "session_id": id })).await;
            assert_eq!(own["needs_input"][0]["asked"], "Which colour?", "{own}");
            assert_eq!(own["needs_input"][0]["options"], json!(["Red", "Blue"]), "{own}");
            let anothers = world.tool(ANN, "get_session", json!({ "session_id": id })).await;
            assert_eq!(anothers["needs_input"][0]["request_id"], json!(request), "{anothers}");
            let list = world.tool(ANN, "list_sessions", json!({})).await;
            assert_eq!(list["sessions"][0]["open_requests"], 1, "{list}");
            for text in [anothers.to_string(), list.to_string()] {
                assert!(!text.contains("colour") && !text.contains("Blue"), "{text}");
            }
            for era in ERAS {
                let ask = |uid, reason: Option<&str>| {
                    let mut arguments = json!({ "session_id": id, "request_id": request, "answer": "3" });
                    if let Some(reason) = reason {
                        arguments["reason"] = reason.into();
                    }
                    world.call(uid, era, "answer_session", arguments)
                };
                for (uid, reason, code) in [
                    (CID, None, "not_found"),
                    (ANN, None, if steers { "invalid" } else { "denied" }),
                    (ANN, Some("they are away today"), if steers { "invalid" } else { "denied" }),
                    (BOB, None, "invalid"),
                ] {
                    let answer = ask(uid, reason).await;
                    let text = answer["result"].to_string();
                    assert!(answer["result"]["isError"] == true && text.contains(code), "{uid}: {answer}");
                }
            }
            if steers {
                let body =
                    json!({ "request_id": request, "answer": "blue", "reason": "they are away today" });
                let answer = world.rest(ANN, "POST", &format!("/sessions/{id}/answer"), Some(body)).await;
                assert_eq!((answer.status, &answer.body["state"]), (200, &json!("answered")), "{answer:?}");
                let audit = world.audit().await;
                let row = audit.iter().find(|row| row["action"] == "session.answer").unwrap();
                assert_eq!((&row["actor"], &row["reason"]), (&json!("ann"), &json!("they are away today")));
                assert!(!audit.iter().any(|row| row.to_string().contains("blue")), "the answer is content");
                // This agent shows no dialogue, so nothing was typed into it.
                world.until(BOB, &id, |row| row.get("needs_input").is_none()).await;
            }
            world.end().await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_first_is_answered_first() {
    on_both(async |db| {
        let world = World::everybody(db).config(FULL).config(SHELL).start().await;
        let id = world.shell(BOB).await;
        let first = asks(&world, &id, question()).await;
        let second = asks(&world, &id, Asked { text: "Which shape?".to_owned(), ..question() }).await;
        let answer = async |request: &str| {
            let body = json!({ "request_id": request, "answer": "1" });
            world.rest(BOB, "POST", &format!("/sessions/{id}/answer"), Some(body)).await
        };
        // The dialogue that is shown is the first one's.
        let early = answer(&second).await;
        assert_eq!((early.status, &early.body["code"]), (409, &json!("conflict")), "{early:?}");
        assert!(early.body.to_string().contains(&first), "{early:?}");
        for request in [first, second] {
            assert_eq!(answer(&request).await.status, 200);
        }
        world.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_question_is_kept_once_and_moves_once() {
    on_both(async |db| {
        let world = World::everybody(db).config(FULL).config(SHELL).start().await;
        let id = world.shell(BOB).await;
        let of = SessionId(id.parse().unwrap());
        let first: Uuid = asks(&world, &id, question()).await.parse().unwrap();
        asks(&world, &id, question()).await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        world
            .app
            .store()
            .write(deadline, move |tx| {
                Box::pin(async move {
                    let (conn, at) = (tx.conn(), Timestamp::parse("2026-11-21T11:00:00Z").unwrap());
                    let open = question::open(conn, of).await?;
                    assert_eq!(open.iter().map(|one| one.id).collect::<Vec<_>>(), [first], "asked once");
                    assert_eq!(question::open_counts(conn, [of]).await?.get(&of), Some(&1));
                    assert!(!question::not_arrived(conn, first, QuestionState::Open).await?);
                    assert!(question::answer(conn, first, "yes", at).await?);
                    assert!(!question::answer(conn, first, "no", at).await?, "answered once");
                    assert!(!question::withdraw(conn, first, at).await?);
                    assert!(question::not_arrived(conn, first, QuestionState::Open).await?);
                    let kept = question::by_id(conn, of, first).await?.unwrap();
                    assert_eq!(
                        (kept.state, kept.answer, kept.asked),
                        (QuestionState::Open, None, self::question())
                    );
                    assert_eq!(question::withdraw_all(conn, of, Some("another"), at).await?, 0);
                    assert_eq!(question::withdraw_all(conn, of, Some("AskUserQuestion"), at).await?, 1);
                    assert!(question::open_counts(conn, [of]).await?.is_empty());
                    // However much is asked, what is open has an end.
                    for nth in 0..40 {
                        let asked = Asked { text: nth.to_string(), ..self::question() };
                        assert!(question::ask(conn, Uuid::now_v7(), of, &asked, at).await?);
                    }
                    assert_eq!(question::open(conn, of).await?.len(), 16);
                    Ok::<_, teleclaude::store::error::StoreError>(())
                })
            })
            .await
            .unwrap();
        world.end().await;
    })
    .await;
}
