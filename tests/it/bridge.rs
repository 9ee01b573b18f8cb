//! The bridge between an editor's stdio and the daemon's socket, against daemons made here. The unit tests of its
//! parts are with them.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use teleclaude::bridge::catalogue::Catalogue;
use teleclaude::bridge::{Options, run};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const TOOLS: &str = r#"[{"name":"whoami","annotations":{"readOnlyHint":true}},{"name":"start_session","annotations":{"idempotentHint":true}},{"name":"interrupt_session"}]"#;
const LONG: Duration = Duration::from_secs(20);

fn options(dir: &Path) -> Options {
    let catalogue = Catalogue::new(
        r#"{"name":"teleclaude"}"#,
        r#"{"tools":{"listChanged":true}}"#,
        r#""read me""#,
        TOOLS,
    );
    let mut options =
        Options::new(dir.join("s"), dir.join("cache"), catalogue.unwrap(), "`teleclaude start`".into());
    options.hold = Duration::from_millis(200);
    options
}

/// The editor's end of a running bridge.
struct Editor {
    to: WriteHalf<DuplexStream>,
    from: BufReader<ReadHalf<DuplexStream>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Editor {
    fn start(options: Options) -> Self {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (stdin, stdout) = tokio::io::split(far);
        let task = tokio::spawn(run(options, stdin, stdout, CancellationToken::new()));
        let (from, to) = tokio::io::split(near);
        Self { to, from: BufReader::new(from), task }
    }

    async fn say(&mut self, line: Value) {
        self.to.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = tokio::time::timeout(LONG, self.from.read_line(&mut line)).await;
        assert_ne!(read.expect("no answer").unwrap(), 0, "the bridge closed its end");
        serde_json::from_str(&line).unwrap()
    }

    /// The next line that fits.
    async fn hear_when(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.hear().await;
            if fits(&line) {
                return line;
            }
        }
    }

    async fn initialize(&mut self) -> Value {
        self.say(request(0, "initialize", json!({"protocolVersion":"2025-06-18","capabilities":{}}))).await;
        let answer = self.hear_when(|line| line["id"] == 0).await;
        self.say(json!({"jsonrpc":"2.0","method":"notifications/initialized"})).await;
        answer
    }

    async fn end(mut self) {
        self.to.shutdown().await.unwrap();
        tokio::time::timeout(LONG, self.task).await.expect("the bridge did not end").unwrap().unwrap();
    }
}

fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc":"2.0","id":id.into(),"method":method,"params":params})
}

fn call(id: impl Into<Value>, tool: &str) -> Value {
    request(id, "tools/call", json!({"name":tool,"arguments":{}}))
}

fn modern(mut request: Value) -> Value {
    request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    request
}

fn error_text(answer: &Value) -> String {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
}

/// One connection as the daemon sees it.
struct Peer {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    to: OwnedWriteHalf,
}

impl Peer {
    async fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = tokio::time::timeout(LONG, listener.accept()).await.expect("nobody came").unwrap();
        Self::new(stream)
    }

    fn new(stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        Self { lines: BufReader::new(from).lines(), to }
    }

    /// The next line; `None` at the end.
    async fn hear(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(LONG, self.lines.next_line()).await.expect("nothing was said");
        line.unwrap_or_default().map(|line| serde_json::from_str(&line).unwrap())
    }

    async fn say(&mut self, line: Value) {
        let _ = self.to.write_all(format!("{line}\n").as_bytes()).await;
    }

    async fn answer(&mut self, to: &Value, result: Value) {
        self.say(json!({"jsonrpc":"2.0","id":to["id"],"result":result})).await;
    }

    /// Answers what every daemon answers until a line comes that it does not know.
    async fn hear_other(&mut self, tools: &str) -> Option<Value> {
        loop {
            let line = self.hear().await?;
            match line["method"].as_str().unwrap_or_default() {
                "initialize" => {
                    let version = line["params"]["protocolVersion"].clone();
                    let told = json!({"protocolVersion":version,"capabilities":{"tools":{"listChanged":true}},
                        "serverInfo":{"name":"the real one"}});
                    self.answer(&line, told).await;
                }
                "tools/list" => {
                    self.answer(&line, json!({"tools":serde_json::from_str::<Value>(tools).unwrap()})).await;
                }
                "ping" => self.answer(&line, json!({})).await,
                "notifications/initialized" => {}
                _ => return Some(line),
            }
        }
    }
}

#[tokio::test]
async fn without_a_daemon_the_editor_is_served_and_calls_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut editor = Editor::start(options(dir.path()));
    let hello = editor.initialize().await;
    assert_eq!(hello["result"]["protocolVersion"], "2025-06-18");
    assert_eq!(hello["result"]["instructions"], "read me");
    editor.say(request(1, "tools/list", json!({}))).await;
    assert_eq!(editor.hear().await["result"]["tools"][0]["name"], "whoami");
    editor.say(request("p", "ping", json!({}))).await;
    assert_eq!(editor.hear().await, json!({"jsonrpc":"2.0","id":"p","result":{}}));
    editor.say(call(2, "whoami")).await;
    let text = error_text(&editor.hear().await);
    for part in ["ENOENT", dir.path().to_str().unwrap(), "not running", "`teleclaude start`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    editor.say(request(3, "resources/list", json!({}))).await;
    let answer = editor.hear().await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("ENOENT"), "{answer}");
    editor.end().await;
}

#[tokio::test]
async fn without_a_daemon_the_stateless_era_is_served_too() {
    let dir = tempfile::tempdir().unwrap();
    // A leftover: bound once, nothing listens.
    drop(UnixListener::bind(dir.path().join("s")).unwrap());
    let mut editor = Editor::start(options(dir.path()));
    editor.say(modern(request(1, "server/discover", json!({})))).await;
    let found = editor.hear().await;
    assert!(
        found["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")),
        "{found}"
    );
    assert_eq!(found["result"]["resultType"], "complete");
    editor.say(modern(request(2, "tools/list", json!({})))).await;
    let list = editor.hear().await;
    assert_eq!((&list["result"]["cacheScope"], &list["result"]["ttlMs"]), (&json!("private"), &json!(0)));
    editor.say(modern(call(3, "whoami"))).await;
    let answer = editor.hear().await;
    assert_eq!(answer["result"]["resultType"], "complete");
    assert!(error_text(&answer).contains("ECONNREFUSED"), "{answer}");
    editor.end().await;
}

#[tokio::test]
async fn a_daemon_that_comes_later_is_used_told_about_and_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    editor.initialize().await;
    editor.say(request(1, "tools/list", json!({}))).await;
    editor.hear().await;
    editor.say(call(2, "interrupt_session")).await;
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut daemon = Peer::accept(&listener).await;
    let held = daemon.hear_other(r#"[{"name":"new"}]"#).await.unwrap();
    assert_eq!(held, call(2, "interrupt_session"));
    daemon.answer(&held, json!({"content":[]})).await;
    let mut heard = [editor.hear().await, editor.hear().await];
    heard.sort_by_key(|line| line["id"].is_null());
    assert_eq!(heard[0]["id"], 2);
    assert_eq!(heard[1]["method"], "notifications/tools/list_changed");
    editor.end().await;
    drop((daemon, listener));
    std::fs::remove_file(dir.path().join("s")).unwrap();

    let mut editor = Editor::start(options(dir.path()));
    assert_eq!(editor.initialize().await["result"]["serverInfo"]["name"], "the real one");
    editor.say(request(1, "tools/list", json!({}))).await;
    assert_eq!(editor.hear().await["result"]["tools"], json!([{"name":"new"}]));
    editor.end().await;
}

#[tokio::test]
async fn many_waiting_calls_make_one_connection_and_each_is_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    editor.initialize().await;
    for id in 1..=200 {
        editor.say(call(id, "interrupt_session")).await;
    }
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut daemon = Peer::accept(&listener).await;
    // At most 60 come before the first is answered.
    let mut open = Vec::new();
    for _ in 0..60 {
        open.push(daemon.hear_other(TOOLS).await.unwrap());
    }
    tokio::select! {
        more = daemon.hear_other(TOOLS) => panic!("{more:?} is one too many"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    let mut seen = 60;
    while let Some(line) = open.pop() {
        daemon.answer(&line, json!({"of": line["id"]})).await;
        let answer = editor.hear_when(|line| !line["id"].is_null()).await;
        assert_eq!(answer["id"], answer["result"]["of"]);
        if seen < 200 {
            open.insert(0, daemon.hear_other(TOOLS).await.unwrap());
            seen += 1;
        }
    }
    let again = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(again.is_err(), "a second connection");
    editor.end().await;
}

#[tokio::test]
async fn more_requests_than_may_wait_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut editor = Editor::start(Options { hold: LONG, held_max: 3, ..options(dir.path()) });
    for id in 1..=4 {
        editor.say(call(id, "whoami")).await;
    }
    let refused = editor.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(4), &json!(-32000)));
    editor.say(request(5, "notifications/cancelled", json!({"requestId":1}))).await;
    assert_eq!(editor.hear().await["id"], 5);
    editor.say(json!({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}})).await;
    editor.say(call(1, "whoami")).await;
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut daemon = Peer::accept(&listener).await;
    for id in [2, 3, 1] {
        assert_eq!(daemon.hear().await.unwrap()["id"], id, "the cancelled one made room");
    }
    editor.task.abort();
}

#[tokio::test]
async fn a_daemon_that_accepts_and_never_answers_counts_as_absent() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options {
        answer_deadline: Duration::from_millis(50),
        hold: Duration::from_millis(300),
        ..options(dir.path())
    });
    let hello = editor.initialize().await;
    assert_eq!(hello["result"]["serverInfo"]["name"], "teleclaude");
    editor.say(call(1, "interrupt_session")).await;
    let text = error_text(&editor.hear().await);
    assert!(text.contains("has not answered") && text.contains("not sent"), "{text}");
    let mut daemon = Peer::accept(&listener).await;
    while let Some(line) = daemon.hear().await {
        assert_eq!(line["method"], "initialize", "a call was sent to a daemon that never answered");
    }
    editor.end().await;
}

#[tokio::test]
async fn a_daemon_that_falls_silent_is_probed_and_left() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options {
        answer_deadline: Duration::from_millis(500),
        hold: LONG,
        ..options(dir.path())
    });
    editor.initialize().await;
    let mut daemon = Peer::accept(&listener).await;
    editor.say(call(1, "interrupt_session")).await;
    editor.say(call(2, "whoami")).await;
    assert_eq!(daemon.hear_other(TOOLS).await.unwrap()["id"], 1);
    let answer = editor.hear_when(|line| line["id"] == 1).await;
    assert!(error_text(&answer).contains("may or may not"));
    let mut next = Peer::accept(&listener).await;
    let again = next.hear_other(TOOLS).await.unwrap();
    assert_eq!(again["id"], 2);
    next.answer(&again, json!({"content":[]})).await;
    assert_eq!(editor.hear_when(|line| line["id"] == 2).await["result"], json!({"content":[]}));
    editor.end().await;
}

/// Restarts after every few lines, at any point of what it is doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_restarts_lose_nothing_double_nothing_and_repeat_nothing_that_counts() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let restarts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&restarts);
    let daemon = tokio::spawn(async move {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut round = 0;
        while let Ok((stream, _)) = listener.accept().await {
            round += 1;
            if round % 10 == 0 && round <= 100 {
                counted.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let mut peer = Peer::new(stream);
            let mut left = if round <= 100 { 3 + round % 7 } else { usize::MAX };
            while let Some(line) = peer.hear_other(TOOLS).await {
                if line["id"] == "stop" {
                    return seen;
                }
                if line["params"]["name"] == "interrupt_session" {
                    *seen.entry(line["id"].to_string()).or_default() += 1;
                }
                left -= 1;
                if left > 0 || round % 3 == 0 {
                    peer.answer(&line, json!({"content":[]})).await;
                }
                if left == 0 {
                    break;
                }
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
        seen
    });
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    editor.initialize().await;
    let mut answers: HashMap<String, Value> = HashMap::new();
    let mut id = 0;
    while restarts.load(Ordering::Relaxed) < 100 {
        for _ in 0..8 {
            id += 1;
            editor.say(call(id, if id % 2 == 0 { "interrupt_session" } else { "whoami" })).await;
        }
        for _ in 0..8 {
            let answer = editor.hear_when(|line| !line["id"].is_null()).await;
            assert!(answers.insert(answer["id"].to_string(), answer.clone()).is_none(), "twice: {answer}");
        }
    }
    editor.say(call("stop", "whoami")).await;
    let seen = daemon.await.unwrap();
    editor.task.abort();
    assert_eq!(answers.len(), id);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    let unknown = |answer: &&Value| answer["result"]["isError"] == true;
    for answer in answers.values().filter(unknown) {
        assert!(answer["id"].as_u64().unwrap() % 2 == 0, "a harmless call failed: {answer}");
        assert!(error_text(answer).contains("may or may not"));
    }
    assert!(answers.values().filter(unknown).count() > 0);
}

#[tokio::test]
async fn a_restart_repeats_the_session_and_separates_the_questions_of_the_two_daemons() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    editor.initialize().await;
    let mut first = Peer::accept(&listener).await;
    editor.say(request(1, "logging/setLevel", json!({"level":"info"}))).await;
    editor.say(request(2, "resources/subscribe", json!({"uri":"teleclaude://inbox"}))).await;
    for _ in 0..2 {
        let line = first.hear_other(TOOLS).await.unwrap();
        first.answer(&line, json!({})).await;
        editor.hear_when(|line| line["result"] == json!({})).await;
    }
    first.say(request(0, "elicitation/create", json!({"n":1}))).await;
    let asked = editor.hear_when(|line| line["method"] == "elicitation/create").await;
    drop(first);
    let cancelled = editor.hear_when(|line| line["method"] == "notifications/cancelled").await;
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    let mut second = Peer::accept(&listener).await;
    let hello = second.hear().await.unwrap();
    assert_eq!(
        (&hello["method"], &hello["params"]["protocolVersion"]),
        (&json!("initialize"), &json!("2025-06-18"))
    );
    assert!(hello["id"].as_str().unwrap().starts_with("bridge-init-"));
    second.answer(&hello, json!({"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{}})).await;
    assert_eq!(second.hear().await.unwrap()["method"], "notifications/initialized");
    let mut methods = Vec::new();
    for _ in 0..2 {
        let line = second.hear_other(TOOLS).await.unwrap();
        methods.push(line["method"].as_str().unwrap().to_owned());
        second.answer(&line, json!({})).await;
    }
    assert_eq!(methods, ["logging/setLevel", "resources/subscribe"]);
    second.say(request(0, "elicitation/create", json!({"n":2}))).await;
    let asked_again = editor.hear_when(|line| line["method"] == "elicitation/create").await;
    assert_ne!(asked["id"], asked_again["id"]);
    editor.say(json!({"jsonrpc":"2.0","id":asked["id"],"result":{"to":"the first"}})).await;
    editor.say(json!({"jsonrpc":"2.0","id":asked_again["id"],"result":{"to":"the second"}})).await;
    let reply = second.hear_other(TOOLS).await.unwrap();
    assert_eq!(reply, json!({"jsonrpc":"2.0","id":0,"result":{"to":"the second"}}));
    editor.end().await;
}

#[tokio::test]
async fn a_stream_is_opened_again_and_its_second_acknowledgement_is_kept_back() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    let listen =
        modern(request(7, "subscriptions/listen", json!({"notifications":{"toolsListChanged":true}})));
    editor.say(listen.clone()).await;
    let tagged = |method: &str| {
        json!({"jsonrpc":"2.0","method":method,
            "params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}})
    };
    let acknowledged = tagged("notifications/subscriptions/acknowledged");
    for round in 0..2 {
        let mut daemon = Peer::accept(&listener).await;
        assert_eq!(daemon.hear_other(TOOLS).await.unwrap(), listen);
        daemon.say(acknowledged.clone()).await;
        daemon.say(tagged("notifications/resources/updated")).await;
        if round == 0 {
            assert_eq!(editor.hear().await, acknowledged);
        }
        assert_eq!(editor.hear().await["method"], "notifications/resources/updated");
    }
    editor.end().await;
}

#[tokio::test]
async fn bad_lines_are_answered_and_the_next_one_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut editor = Editor::start(options(dir.path()));
    let long = "x".repeat(1024 * 1024);
    for (line, code, id) in [
        ("{\n".to_owned(), -32700, Value::Null),
        ("[{}]\n".to_owned(), -32600, Value::Null),
        ("{\"id\":{},\"method\":\"ping\"}\n".to_owned(), -32600, Value::Null),
        (
            format!("{{\"method\":\"tools/call\",\"params\":\"{long}\",\"jsonrpc\":\"2.0\",\"id\":9}}\n"),
            -32600,
            json!(9),
        ),
    ] {
        editor.to.write_all(line.as_bytes()).await.unwrap();
        let answer = editor.hear().await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{answer}");
    }
    editor.say(request(1, "ping", json!({}))).await;
    assert_eq!(editor.hear().await["id"], 1);
    editor.end().await;
}

#[tokio::test]
async fn the_end_of_stdin_lets_open_calls_finish_and_then_ends() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    editor.initialize().await;
    editor.say(call(1, "interrupt_session")).await;
    editor.to.shutdown().await.unwrap();
    let mut daemon = Peer::accept(&listener).await;
    let line = daemon.hear_other(TOOLS).await.unwrap();
    assert_eq!(daemon.hear_other(TOOLS).await, None, "the daemon sees the end of what is said");
    daemon.answer(&line, json!({"content":["done"]})).await;
    assert_eq!(editor.hear_when(|line| line["id"] == 1).await["result"]["content"][0], "done");
    editor.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_end_of_stdin_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor =
        Editor::start(Options { hold: LONG, drain: Duration::from_millis(100), ..options(dir.path()) });
    editor.initialize().await;
    let mut daemon = Peer::accept(&listener).await;
    editor.say(call(1, "interrupt_session")).await;
    daemon.hear_other(TOOLS).await.unwrap();
    editor.to.shutdown().await.unwrap();
    assert!(error_text(&editor.hear_when(|line| line["id"] == 1).await).contains("may or may not"));
    editor.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_editor_that_no_longer_reads_ends_the_bridge() {
    let dir = tempfile::tempdir().unwrap();
    let (mut to, stdin) = tokio::io::duplex(1024);
    let (stdout, from) = tokio::io::duplex(1024);
    let bridge = tokio::spawn(run(options(dir.path()), stdin, stdout, CancellationToken::new()));
    drop(from);
    to.write_all(b"{\"id\":1,\"method\":\"ping\"}\n").await.unwrap();
    tokio::time::timeout(LONG, bridge).await.expect("still there").unwrap().unwrap();
}

#[tokio::test]
async fn an_agents_token_goes_with_each_request_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options {
        token: Some("made-up-token".to_owned().into()),
        hold: LONG,
        ..options(dir.path())
    });
    editor.say(modern(call(1, "interrupt_session"))).await;
    let mut daemon = Peer::accept(&listener).await;
    let probe = daemon.hear().await.unwrap();
    assert_eq!(probe["params"]["_meta"]["teleclaude/token"], "made-up-token");
    daemon.answer(&probe, json!({"tools":[]})).await;
    let mut expected = modern(call(1, "interrupt_session"));
    expected["params"]["_meta"]["teleclaude/token"] = "made-up-token".into();
    assert_eq!(daemon.hear().await.unwrap(), expected);
    drop(daemon);
    drop(listener);
    let answer = editor.hear().await;
    assert!(error_text(&answer).contains("may or may not"));
    assert!(!answer.to_string().contains("made-up-token"));
    editor.end().await;
    for file in std::fs::read_dir(dir.path().join("cache")).unwrap() {
        let mut kept = String::new();
        let mut file = tokio::fs::File::open(file.unwrap().path()).await.unwrap();
        file.read_to_string(&mut kept).await.unwrap();
        assert!(!kept.contains("made-up-token"));
    }
}

#[tokio::test]
async fn an_answer_too_large_to_pass_on_is_an_error_and_the_next_one_works() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    editor.say(call(1, "whoami")).await;
    editor.say(call(2, "whoami")).await;
    let mut daemon = Peer::accept(&listener).await;
    let line = daemon.hear_other(TOOLS).await.unwrap();
    daemon.answer(&line, json!({"content":"x".repeat(5 * 1024 * 1024)})).await;
    assert!(error_text(&editor.hear().await).contains("4 MiB"));
    let line = daemon.hear_other(TOOLS).await.unwrap();
    daemon.answer(&line, json!({"content":[]})).await;
    assert_eq!(editor.hear().await["id"], 2);
    editor.end().await;
}

#[tokio::test]
async fn a_daemon_of_another_protocol_version_ends_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(options(dir.path()));
    editor.initialize().await;
    drop(Peer::accept(&listener).await);
    let mut daemon = Peer::accept(&listener).await;
    let hello = daemon.hear().await.unwrap();
    daemon.answer(&hello, json!({"protocolVersion":"2024-11-05"})).await;
    let ended = tokio::time::timeout(LONG, editor.task).await.expect("still there").unwrap();
    assert!(ended.unwrap_err().to_string().contains("2024-11-05"));
}

#[tokio::test]
async fn the_hook_runs_once_for_each_connection_that_answers() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let times = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&times);
    let hook = Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let mut editor = Editor::start(Options { hold: LONG, on_connect: Some(hook), ..options(dir.path()) });
    editor.initialize().await;
    for round in 1..=2 {
        let mut daemon = Peer::accept(&listener).await;
        editor.say(call(round, "interrupt_session")).await;
        let line = daemon.hear_other(TOOLS).await.unwrap();
        assert_eq!(line["id"], round);
        assert_eq!(times.load(Ordering::Relaxed), round);
        daemon.answer(&line, json!({})).await;
        editor.hear_when(|line| line["id"] == round).await;
    }
    editor.end().await;
}

#[tokio::test]
async fn a_daemon_that_stops_reading_finishes_its_work_and_the_next_one_gets_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let mut editor = Editor::start(Options { hold: LONG, ..options(dir.path()) });
    editor.initialize().await;
    let mut first = Peer::accept(&listener).await;
    editor.say(call(1, "interrupt_session")).await;
    let line = first.hear_other(TOOLS).await.unwrap();
    let socket: &UnixStream = first.to.as_ref();
    socket2::SockRef::from(socket).shutdown(std::net::Shutdown::Read).unwrap();
    editor.say(call(2, "interrupt_session")).await;
    editor.say(request("local", "ping", json!({}))).await;
    // Answered by the bridge, so the call before it was tried.
    editor.hear_when(|line| line["id"] == "local").await;
    first.answer(&line, json!({"content":[]})).await;
    assert_eq!(editor.hear_when(|line| line["id"] == 1).await["result"], json!({"content":[]}));
    drop(first);
    let mut second = Peer::accept(&listener).await;
    let line = second.hear_other(TOOLS).await.unwrap();
    assert_eq!(line["id"], 2);
    second.answer(&line, json!({"content":[]})).await;
    assert_eq!(editor.hear_when(|line| line["id"] == 2).await["result"], json!({"content":[]}));
    editor.end().await;
}
