//! The command line against a small made-up daemon: exit codes, error texts, what is asked over the wire, what reaches
//! a terminal. How replies look is tested beside each command.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

mod fake;

use fake::{FakeDaemon, Terminal};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;
use teleclaude::client::{Client, ClientError, Endpoint};

const ID: &str = "019a5d2e-1111-7000-8000-000000000001";

fn session() -> Value {
    json!({
        "session_id": ID, "title": "Fix it", "owner_person": "bob", "owner_uid": 1001, "actor_person": "bob",
        "computer": "build-1", "project": "web", "project_path": "/srv/web", "agent": "claude",
        "thinking_mode": "slow", "profile": "full", "status": "running", "activity": "idle",
        "created_at": "2026-11-21T10:00:00Z", "last_activity": "2026-11-21T11:57:00Z"
    })
}

fn whoami(uid: i64, person: &str) -> Value {
    json!({
        "person": person, "role": "admin", "os_username": person, "uid": uid, "gid": uid, "groups": [],
        "mode": "system", "single_user": false, "rule": { "text": "by os_uid" }, "may": []
    })
}

fn content(text: &str, next_cursor: Option<&str>) -> Value {
    json!({
        "session_id": ID, "status": "running", "format": "markdown", "content": text,
        "captured_at": "2026-11-21T12:00:00Z", "truncated": next_cursor.is_some(), "next_cursor": next_cursor
    })
}

fn problem(code: &str, field: Option<&str>) -> String {
    json!({ "code": code, "detail": format!("it is {code}"), "hint": "do better", "field": field })
        .to_string()
}

#[test]
fn every_kind_of_fault_has_its_exit_code_and_its_words() {
    for (status, code, exit) in [
        (422, "invalid", 2),
        (403, "denied", 3),
        (404, "not_found", 4),
        (409, "conflict", 1),
        (429, "rate_limited", 1),
        (503, "audit_unavailable", 1),
        (503, "needs_runner", 1),
        (500, "internal", 1),
    ] {
        let daemon = FakeDaemon::start(move |_, _| (status, problem(code, None)));
        let ran = daemon.run(&["whoami"]);
        assert_eq!((ran.code, ran.out.as_str()), (exit, ""), "{code}");
        assert_eq!(ran.err, format!("error: it is {code}\nhint: do better\n"));
    }
}

#[test]
fn a_limit_says_when_to_try_again() {
    let daemon = FakeDaemon::always(
        429,
        &json!({ "code": "rate_limited", "detail": "too many", "retry_after_ms": 1200 }),
    );
    assert_eq!(daemon.run(&["sessions"]).err, "error: too many\nhint: try again in 2 s\n");
}

#[test]
fn a_daemon_that_is_not_there_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let ran = Terminal::at(&socket).run(&["whoami"]);
    assert_eq!(ran.code, 5);
    let shown = socket.display();
    assert_eq!(
        ran.err,
        format!("error: the daemon is not running: there is no {shown}\nhint: start it: teleclaude daemon\n")
    );
    let ran = Terminal::at(&socket).var("TELECLAUDE_SYSTEM_MODE", 1).run(&["whoami"]);
    assert!(ran.err.contains("hint: start it: sudo "), "{}", ran.err);

    drop(UnixListener::bind(&socket).unwrap());
    let ran = Terminal::at(&socket).run(&["whoami"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("nobody listens on it"), "{}", ran.err);

    let long = dir.path().join("x".repeat(200));
    let ran = Terminal::at(&long).run(&["whoami"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("shorter path"), "{}", ran.err);
}

#[test]
fn a_socket_of_others_is_said_so() {
    // Root may connect everywhere, so the words are tested, not the kernel.
    let problem = io::Error::from(io::ErrorKind::PermissionDenied);
    let failure = teleclaude::client::unreachable(Path::new("/run/t.sock"), true, &problem);
    let failure = teleclaude::cli::failure::Failure::from(failure);
    assert_eq!(failure.exit_code(), 5);
    assert_eq!(failure.messages(), ["this user may not connect to /run/t.sock"]);
    assert!(failure.hints()[0].contains("administrator"));
}

#[test]
fn a_daemon_that_ends_or_babbles_is_said_so() {
    let daemon = FakeDaemon::start(|_, _| (0, String::new()));
    let ran = daemon.run(&["sessions", "end", ID]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("hint: nobody knows whether it was done"), "{}", ran.err);
    assert_eq!(daemon.requests().len(), 1, "a change is never sent twice");

    for (status, body) in [(200, "{}"), (200, "no json"), (502, "<html>\x1b[2J")] {
        let daemon = FakeDaemon::start(move |_, _| (status, body.to_owned()));
        let ran = daemon.run(&["whoami"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.starts_with("error: the daemon's answer was not understood"), "{}", ran.err);
    }
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let body = format!("\"{}\"", "x".repeat(teleclaude::client::BODY_BYTES_MAX));
    let daemon = FakeDaemon::start(move |_, _| (200, body.clone()));
    let ran = daemon.run(&["whoami"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.len() < 300, "{}", ran.err);
}

#[test]
fn json_is_what_the_daemon_said() {
    let mut reply = json!({ "sessions": [session()], "next_cursor": null });
    reply["sessions"][0]["a_field_of_tomorrow"] = json!("\u{9b}2J\u{1b}[2J");
    let daemon = FakeDaemon::always(200, &reply);
    let ran = daemon.run(&["sessions", "list", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), reply);
    assert!(!ran.out.trim_end().contains(char::is_control), "{:?}", ran.out);
}

#[test]
fn arguments_become_requests() {
    let row = session().to_string();
    let daemon = FakeDaemon::start(move |line, _| {
        let reply = match line {
            l if l.starts_with("POST /api/v1/sessions/") && l.ends_with("/messages") => {
                json!({ "session_id": ID, "message_id": "m", "request_id": "r", "state": "pending" })
                    .to_string()
            }
            l if l.ends_with("/answer") => {
                json!({ "session_id": ID, "request_id": "r", "state": "answered" }).to_string()
            }
            l if l.ends_with("/end") => json!({ "session_id": ID, "status": "ending" }).to_string(),
            l if l.starts_with("POST /api/v1/sessions") => row.clone(),
            l if l.starts_with("GET /api/v1/sessions/") => row.clone(),
            l if l.starts_with("PATCH /api/v1/sessions/") => row.clone(),
            l if l.starts_with("GET /api/v1/audit") => json!({ "rows": [], "next_cursor": null }).to_string(),
            l if l.starts_with("POST /api/v1/audit") => {
                json!({ "ok": true, "rows": 0, "chains": [] }).to_string()
            }
            l if l.contains("explain") => whoami(1, "ann").to_string(),
            l if l.ends_with("/reload") => json!({ "changed": [], "needs_restart": [] }).to_string(),
            _ => json!({ "sessions": [], "next_cursor": null }).to_string(),
        };
        (200, reply)
    });
    for (words, line, body) in [
        ("sessions", "GET /api/v1/sessions", None),
        ("sessions --json list --limit 5", "GET /api/v1/sessions?limit=5", None),
        (
            "sessions --status running --all-computers",
            "GET /api/v1/sessions?all_computers=true&status=running",
            None,
        ),
        ("sessions list --since 2h", "GET /api/v1/sessions?since=2026-11-21T10%3A00%3A00Z", None),
        ("sessions show ../whoami", "GET /api/v1/sessions/..%2Fwhoami", None),
        (
            "sessions start claude --project web hello",
            "POST /api/v1/sessions",
            Some(json!({ "project": "web", "agent": "claude", "message": "hello" })),
        ),
        (
            "sessions start claude --thinking med --title T --subdir a/b --project .",
            "POST /api/v1/sessions",
            Some(
                json!({ "project": "/", "agent": "claude", "thinking_mode": "med", "title": "T", "subdir": "a/b" }),
            ),
        ),
        (
            "sessions send 019a5d2e /clear",
            "POST /api/v1/sessions/019a5d2e/messages",
            Some(json!({ "message": "/clear" })),
        ),
        (
            "sessions send 019a5d2e -hyphens --client-id c1",
            "POST /api/v1/sessions/019a5d2e/messages",
            Some(json!({ "message": "-hyphens", "client_id": "c1" })),
        ),
        (
            "sessions end 019a5d2e --reason because",
            "POST /api/v1/sessions/019a5d2e/end",
            Some(json!({ "reason": "because" })),
        ),
        (
            "sessions start claude --worktree --project web",
            "POST /api/v1/sessions",
            Some(json!({ "project": "web", "agent": "claude", "worktree": true })),
        ),
        (
            "sessions resume 019a5d2e --reason because",
            "POST /api/v1/sessions/019a5d2e/resume",
            Some(json!({ "reason": "because" })),
        ),
        (
            "sessions answer 019a5d2e yes --request 019a5d2e-1",
            "POST /api/v1/sessions/019a5d2e/answer",
            Some(json!({ "request_id": "019a5d2e-1", "answer": "yes" })),
        ),
        ("sessions interrupt 019a5d2e", "POST /api/v1/sessions/019a5d2e/interrupt", Some(json!({}))),
        (
            "sessions rename 019a5d2e -new",
            "PATCH /api/v1/sessions/019a5d2e",
            Some(json!({ "title": "-new" })),
        ),
        ("sessions end 019a5d2e", "POST /api/v1/sessions/019a5d2e/end", Some(json!({}))),
        ("audit list --actor ann --session 1", "GET /api/v1/audit?actor=ann&session_id=1", None),
        ("audit verify", "POST /api/v1/audit/verify", Some(json!({}))),
        ("people explain 1000", "GET /api/v1/people/1000/explain", None),
        ("reload", "POST /api/v1/reload", Some(json!({}))),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let ran = daemon.run(&words);
        assert_eq!(ran.code, 0, "{words:?}: {}", ran.err);
        let seen = daemon.requests();
        assert_eq!(seen.len(), 1, "{words:?}");
        assert_eq!(seen[0].line, line, "{words:?}");
        assert_eq!((!seen[0].body.is_empty()).then(|| seen[0].json()), body, "{words:?}");
    }
}

#[test]
fn wrong_words_are_exit_code_2_and_ask_nobody() {
    let daemon = FakeDaemon::always(200, &json!({}));
    for words in [
        "",
        "fly",
        "sessions show",
        "sessions start claude",
        "sessions start claude --project ./none/such",
        "sessions start claude --project web --thinking hard",
        "sessions list --status asleep",
        "sessions --project web list",
        "sessions list --limit 0",
        "sessions list --since yesterday",
        "sessions resume",
        "sessions resume 019a5d2e --all",
        "sessions resume 019a5d2e --lost",
        "sessions resume --all --reason because",
        "sessions rename 019a5d2e",
        "sessions interrupt",
        "sessions answer",
        "sessions end 019a5d2e --older-than 3d",
        "sessions end --all --older-than often",
        "transcript",
        "transcript 019a5d2e --tail 0",
        "transcript 019a5d2e --tail 48001",
        "transcript 019a5d2e --tail 5 --all",
        "transcript 019a5d2e --format html",
        "audit",
        "mcp install",
        "mcp --print-config zed install --client zed",
        "mcp install --client zed --dry-run --remove --all",
        "mcp --print-config emacs",
        "completions cobol",
    ] {
        let ran = daemon.run(&words.split_whitespace().collect::<Vec<_>>());
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{words}");
        assert!(!ran.err.is_empty(), "{words}");
    }
    assert!(daemon.requests().is_empty());
}

#[test]
fn help_version_and_completions_need_no_daemon() {
    let terminal = Terminal::at(Path::new("/nonexistent/x.sock"));
    for (words, part) in [
        ("--help", "Exit codes: 0 done"),
        ("--version", env!("CARGO_PKG_VERSION")),
        ("sessions start --help", "--project"),
        ("completions bash", "complete -F _teleclaude"),
        ("completions zsh", "#compdef teleclaude"),
    ] {
        let ran = terminal.run(&words.split(' ').collect::<Vec<_>>());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{words}");
        assert!(ran.out.contains(part), "{words}: {}", ran.out);
    }
}

/// A daemon with bob's session; reading it needs a reason if `strict`.
fn daemon_of_bob(text: &'static str, strict: bool) -> FakeDaemon {
    FakeDaemon::start(move |line, _| {
        if line.contains("/whoami") {
            (200, whoami(1000, "ann").to_string())
        } else if line.contains("/transcript") {
            if strict && !line.contains("reason=") {
                return (422, problem("invalid", Some("reason")));
            }
            let (page, next) = match line {
                l if l.contains("cursor=0") => ("on", Some("1")),
                l if l.contains("cursor=1") => ("e\ntwo", Some("2")),
                l if l.contains("cursor=2") => ("", Some("2")),
                _ => (text, None),
            };
            let mut page = content(page, next);
            page["truncated"] = json!(false);
            (200, page.to_string())
        } else {
            (200, session().to_string())
        }
    })
}

#[test]
fn somebody_elses_transcript_is_announced_and_harmless() {
    let daemon = daemon_of_bob("a\x1b]0;pwned\x07\tb\r\nc\u{9b}2J", false);
    let ran = daemon.run(&["transcript", "019a5d2e", "--tail", "50"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out, "a\\x1b]0;pwned\\x07\tb\nc\\x9b2J\n");
    assert_eq!(ran.err, "Viewing bob's session. This access is logged.\n");
    let seen = daemon.requests();
    assert_eq!(seen.last().unwrap().line, format!("GET /api/v1/sessions/{ID}/transcript?tail_chars=50"));
    assert!(seen.iter().all(|request| request.connection == 0), "one connection a command: {seen:?}");
}

#[test]
fn ones_own_transcript_is_not_announced() {
    let daemon = FakeDaemon::start(|line, _| match line {
        l if l.contains("/whoami") => (200, whoami(1001, "bob").to_string()),
        l if l.contains("/transcript") => (200, content("mine\n", None).to_string()),
        _ => (200, session().to_string()),
    });
    let ran = daemon.run(&["transcript", ID]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "mine\n", ""));
}

#[test]
fn all_of_a_transcript_is_every_page_and_ends() {
    let daemon = daemon_of_bob("", false);
    assert_eq!(daemon.run(&["transcript", ID, "--all"]).out, "one\ntwo\n");
    let ran = daemon.run(&["transcript", ID, "--all", "--json"]);
    let pages: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        pages.iter().map(|page| page["content"].as_str().unwrap()).collect::<Vec<_>>(),
        ["on", "e\ntwo", ""]
    );
}

#[test]
fn a_reason_is_asked_for_once_and_only_of_people() {
    let transcripts = |daemon: &FakeDaemon| {
        daemon.requests().into_iter().filter(|r| r.line.contains("/transcript")).collect::<Vec<_>>()
    };
    let daemon = daemon_of_bob("text\n", true);
    let ran = daemon.run(&["transcript", ID]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert_eq!(ran.err, "error: it is invalid\nhint: do better\n");
    assert_eq!(transcripts(&daemon).len(), 1);

    let there = Terminal::at(&daemon.socket()).types("ticket 4711: red build\n");
    let ran = there.run(&["transcript", ID]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "text\n"));
    assert!(ran.err.contains("Your reason"), "{}", ran.err);
    let seen = transcripts(&daemon);
    assert_eq!(seen.len(), 2);
    assert!(seen[1].line.ends_with("?reason=ticket%204711%3A%20red%20build"), "{}", seen[1].line);

    let silent = Terminal::at(&daemon.socket()).types("\n");
    assert_eq!(silent.run(&["transcript", ID]).code, 2);
    assert_eq!(transcripts(&daemon).len(), 1);

    let stubborn = FakeDaemon::start(|_, _| (422, problem("invalid", Some("reason"))));
    let ran = Terminal::at(&stubborn.socket()).types("one reason\nanother\n").run(&["sessions", "end", ID]);
    assert_eq!(ran.code, 2);
    assert_eq!(stubborn.requests().len(), 2, "asked once, not for ever");
}

#[test]
fn a_message_can_come_on_standard_input() {
    let daemon = FakeDaemon::always(200, &json!({ "session_id": ID, "message_id": "m", "state": "pending" }));
    let ran = Terminal::at(&daemon.socket()).types("two\nlines\n").run(&["sessions", "send", ID, "-"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "m pending\n"));
    assert_eq!(daemon.requests()[0].json(), json!({ "message": "two\nlines\n" }));
    let flood = "x".repeat(teleclaude::wire::limits::MESSAGE_BYTES_MAX + 1);
    assert_eq!(Terminal::at(&daemon.socket()).types(&flood).run(&["sessions", "send", ID, "-"]).code, 2);
    assert!(daemon.requests().is_empty());
}

#[test]
fn an_agents_token_is_a_header_and_nothing_else() {
    let daemon = FakeDaemon::start(|_, _| (403, problem("denied", None)));
    let home = tempfile::tempdir().unwrap();
    write_layer(home.path(), "thinking_mode: fast\n");
    let agent = |token: &str| {
        Terminal::at(&daemon.socket()).var("TELECLAUDE_TOKEN", token).var("HOME", home.path().display())
    };
    let ran = agent("invented-token-1").run(&["whoami"]);
    assert_eq!(ran.code, 3);
    assert!(!format!("{ran:?}").contains("invented-token-1"));
    let seen = daemon.requests();
    assert_eq!(seen.len(), 1, "an agent hands over no personal layer");
    assert_eq!(seen[0].headers["teleclaude-session-token"], "invented-token-1");
    let ran = agent("invented\ntoken").run(&["whoami"]);
    assert_eq!(ran.code, 1);
    assert!(!ran.err.contains("invented"), "{}", ran.err);
}

fn write_layer(home: &Path, yaml: &str) {
    std::fs::create_dir_all(home.join(".teleclaude")).unwrap();
    std::fs::write(home.join(".teleclaude/config.yml"), yaml).unwrap();
}

#[test]
fn the_personal_layer_is_handed_over_when_it_changed() {
    let daemon = FakeDaemon::start(|line, body| {
        if !line.starts_with("PUT") {
            (200, whoami(1000, "ann").to_string())
        } else if body.contains("bad") {
            (422, problem("invalid", Some("yaml")))
        } else {
            (200, json!({ "keys": ["thinking_mode"] }).to_string())
        }
    });
    let home = tempfile::tempdir().unwrap();
    let run = || Terminal::at(&daemon.socket()).var("HOME", home.path().display()).run(&["whoami"]);
    let lines = || daemon.requests().into_iter().map(|r| r.line).collect::<Vec<_>>();
    let (put, get) = ("PUT /api/v1/me/config".to_owned(), "GET /api/v1/whoami".to_owned());

    assert_eq!((run().code, lines()), (0, vec![get.clone()]), "there is none");
    write_layer(home.path(), "thinking_mode: fast\n");
    assert_eq!((run().code, lines()), (0, vec![put.clone(), get.clone()]), "it is new");
    assert_eq!((run().code, lines()), (0, vec![get.clone()]), "it is known");
    write_layer(home.path(), "bad: true\n");
    for _ in 0..2 {
        let ran = run();
        assert_eq!((ran.code, lines()), (0, vec![put.clone(), get.clone()]), "it was not taken");
        assert!(ran.err.starts_with("warning: ") && ran.err.contains("it is invalid"), "{}", ran.err);
    }
    let state = home.path().join(".local/state/teleclaude");
    for entry in std::fs::read_dir(state).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// A reader that has gone away.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A full disk.
struct Full;

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let daemon = FakeDaemon::always(200, &whoami(1000, "ann"));
    let terminal = Terminal::at(&daemon.socket());
    for words in [&["whoami"][..], &["whoami", "--json"], &["--help"], &["completions", "fish"]] {
        assert_eq!(terminal.run_into(words, &mut Gone), (0, String::new()), "{words:?}");
    }
    let (code, err) = terminal.run_into(&["whoami"], &mut Full);
    assert_eq!(code, 1);
    assert!(err.starts_with("error: cannot write"), "{err}");
}

#[test]
fn bad_news_is_exit_code_1() {
    let daemon = FakeDaemon::always(200, &json!({ "status": "degraded" }));
    let ran = daemon.run(&["health"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (1, "degraded\n", ""));
    let daemon = FakeDaemon::always(200, &json!({ "ok": false, "rows": 3, "chains": [] }));
    assert_eq!(daemon.run(&["audit", "verify"]).code, 1);
}

#[test]
fn the_socket_is_found_by_rule() {
    let daemon = FakeDaemon::always(200, &whoami(1000, "ann"));
    let runtime = daemon.dir.path();
    std::os::unix::fs::symlink(daemon.socket(), runtime.join("teleclaude.sock")).unwrap();
    let socket = daemon.socket().display().to_string();
    let nowhere = || Terminal::at(Path::new("/nonexistent/x.sock"));
    assert_eq!(nowhere().run(&["whoami"]).code, 5);
    assert_eq!(nowhere().run(&["whoami", "--socket", &socket]).code, 0);
    let unset = || nowhere().var("TELECLAUDE_SOCKET", "");
    assert_eq!(unset().var("XDG_RUNTIME_DIR", runtime.display()).run(&["whoami"]).code, 0);
    std::fs::create_dir_all(runtime.join("home/.teleclaude/run")).unwrap();
    let at_home = runtime.join("home/.teleclaude/run/teleclaude.sock");
    std::os::unix::fs::symlink(daemon.socket(), at_home).unwrap();
    assert_eq!(unset().var("HOME", runtime.join("home").display()).run(&["whoami"]).code, 0);
    assert_eq!(unset().var("HOME", "/nonexistent").run(&["whoami"]).code, 5, "nobody listens there");
}

fn ask_directly(endpoint: Endpoint) -> ClientError {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Client::new(endpoint).reload().await.unwrap_err() })
}

#[test]
fn a_daemon_that_never_answers_is_given_up() {
    let daemon = FakeDaemon::start(|_, _| {
        loop {
            std::thread::park();
        }
    });
    let mut endpoint = Endpoint::new(daemon.socket(), false);
    endpoint.answer_time = Duration::from_millis(50);
    let problem = ask_directly(endpoint);
    assert!(matches!(problem, ClientError::NoAnswer { change: true, .. }), "{problem:?}");
    assert_eq!(problem.to_string(), "the daemon did not answer within 0.05 seconds");
}

#[cfg(target_os = "linux")]
#[test]
fn a_daemon_that_takes_no_connections_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full.sock");
    let listener = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let _in_the_queue = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut endpoint = Endpoint::new(path, false);
    endpoint.connect_time = Duration::from_millis(50);
    let problem = ask_directly(endpoint);
    assert!(matches!(problem, ClientError::Unreachable { errno: Some(_), .. }), "{problem:?}");
    assert!(problem.to_string().starts_with("the daemon does not take connections"), "{problem}");
}

#[test]
fn a_closed_connection_is_dialed_again() {
    let daemon = FakeDaemon::start(|line, _| match line {
        l if l.contains("/whoami") => (201, whoami(1001, "bob").to_string()),
        l if l.contains("/transcript") => (201, content("mine\n", None).to_string()),
        _ => (201, session().to_string()),
    });
    let ran = daemon.run(&["transcript", ID]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "mine\n", ""));
    assert_eq!(daemon.requests().iter().map(|r| r.connection).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn the_program_itself_survives_a_closed_pipe() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_teleclaude"))
        .args(["completions", "bash"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn several_problems_and_lines_are_all_shown() {
    let daemon = FakeDaemon::always(422, &json!({ "code": "invalid", "detail": "one\ntwo\u{1b}[2J" }));
    assert_eq!(daemon.run(&["reload"]).err, "error: one\n       two\\x1b[2J\n");
}

/// A daemon with these open sessions (owner's name and uid), each of which ends once it was asked to; the third is denied.
fn daemon_with_sessions(owners: &'static [(&'static str, i64)]) -> FakeDaemon {
    let ended = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let limited = std::sync::atomic::AtomicBool::new(true);
    FakeDaemon::start(move |line, _| {
        let id = |at: usize| format!("019a5d2e-1111-7000-8000-{at:012}");
        if line.contains("/whoami") {
            return (200, whoami(1001, "bob").to_string());
        }
        if let Some((_, rest)) = line.split_once("POST /api/v1/sessions/") {
            let id = rest.split('/').next().unwrap().to_owned();
            if limited.swap(false, std::sync::atomic::Ordering::Relaxed) {
                let problem = json!({ "code": "rate_limited", "detail": "too many", "retry_after_ms": 20 });
                return (429, problem.to_string());
            }
            if id.ends_with('2') {
                return (403, problem("denied", None));
            }
            ended.lock().unwrap().insert(id.clone());
            return (200, json!({ "session_id": id, "status": "ending" }).to_string());
        }
        // Pages of two.
        let from: usize =
            line.split_once("cursor=").map_or(0, |(_, at)| at.split('&').next().unwrap().parse().unwrap());
        let open: Vec<Value> = owners
            .iter()
            .enumerate()
            .filter(|(at, _)| line.contains("status=running") && !ended.lock().unwrap().contains(&id(*at)))
            .map(|(at, (owner, uid))| {
                let mut row = session();
                (row["session_id"], row["owner_person"]) = (json!(id(at)), json!(owner));
                row["owner_uid"] = json!(uid);
                row
            })
            .collect();
        let page: Vec<&Value> = open.iter().skip(from).take(2).collect();
        let next = (open.len() > from + 2).then(|| (from + 2).to_string());
        (200, json!({ "sessions": page, "next_cursor": next }).to_string())
    })
}

#[test]
fn all_sessions_of_ones_own_are_ended_and_with_a_reason_everybodys() {
    const OWNERS: &[(&str, i64)] =
        &[("bob", 1001), ("ann", 1000), ("ann", 1000), ("bob", 1002), ("bob", 1001)];
    let daemon = daemon_with_sessions(OWNERS);
    let ran = daemon.run(&["sessions", "end", "--all"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "2 ended, 0 failed\n"), "{}", ran.err);
    assert!(
        ran.err.contains("1/2 ") && ran.err.contains("2/2 ") && ran.err.contains("of bob: ending"),
        "{}",
        ran.err
    );
    let ends: Vec<String> =
        daemon.requests().into_iter().filter(|r| r.line.starts_with("POST")).map(|r| r.line).collect();
    assert_eq!(ends.len(), 3, "one was asked again after the limit: {ends:?}");

    let daemon = daemon_with_sessions(OWNERS);
    let ran = daemon.run(&["--json", "sessions", "end", "--all", "--reason", "the machine goes down"]);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, said["ended"].as_array().unwrap().len()), (1, 4), "{said}");
    assert!(said["failed"][0]["session_id"].as_str().unwrap().ends_with('2'), "{said}");
    let reasons = daemon.requests().into_iter().filter(|r| r.line.starts_with("POST"));
    assert!(reasons.into_iter().all(|r| r.json()["reason"] == "the machine goes down"));

    let daemon = daemon_with_sessions(&[]);
    assert_eq!(daemon.run(&["sessions", "end", "--all"]).out, "0 ended, 0 failed\n");
}

#[test]
fn who_sits_there_is_asked_before_all_is_ended() {
    const OWNERS: &[(&str, i64)] = &[("bob", 1001)];
    for (typed, words, code) in [
        ("no\n", &["sessions", "end", "--all"][..], 2),
        ("\n", &["sessions", "end", "--all"], 2),
        ("yes\n", &["sessions", "end", "--all"], 0),
        ("", &["sessions", "end", "--all", "--yes"], 0),
    ] {
        let daemon = daemon_with_sessions(OWNERS);
        let ran = Terminal::at(&daemon.socket()).types(typed).run(words);
        assert_eq!(ran.code, code, "{typed:?}: {}", ran.err);
        let ended = daemon.requests().iter().any(|r| r.line.starts_with("POST"));
        assert_eq!(ended, code == 0, "{typed:?}");
    }
    let daemon = FakeDaemon::always(200, &json!({}));
    for words in
        [&["sessions", "end"][..], &["sessions", "end", ID, "--all"], &["sessions", "end", ID, "--yes"]]
    {
        assert_eq!(daemon.run(words).code, 2, "{words:?}");
    }
    assert!(daemon.requests().is_empty());
}
