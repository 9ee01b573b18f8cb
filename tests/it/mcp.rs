//! The MCP mouth over a real socket: both eras, and everything a careless or hostile client may do to it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use crate::socket::{Daemon, PATIENCE, SESSION, TOKEN};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use teleclaude::daemon::backend::Event;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// A client that speaks lines of JSON and knows nothing of MCP.
struct Client {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
}

impl Client {
    async fn new(daemon: &Daemon) -> Self {
        Self::over(daemon.connect().await)
    }

    fn over(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read: BufReader::new(read), write }
    }

    /// Past `initialize`.
    async fn legacy(daemon: &Daemon) -> Self {
        let mut client = Self::new(daemon).await;
        client.send(initialize(json!({}))).await;
        assert_eq!(client.answer().await["result"]["protocolVersion"], "2025-11-25");
        client.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        client
    }

    async fn send(&mut self, message: Value) {
        self.bytes(format!("{message}\n").as_bytes()).await;
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        tokio::time::timeout(PATIENCE, self.write.write_all(bytes)).await.expect("the daemon reads").unwrap();
    }

    /// The next line; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read =
            tokio::time::timeout(PATIENCE, self.read.read_line(&mut line)).await.expect("an answer comes");
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    async fn answer(&mut self) -> Value {
        self.next().await.expect("the connection stands")
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.answer().await
    }

    async fn is_alive(&mut self) {
        let answer = self.ask(call("alive", "whoami", json!({}))).await;
        assert_eq!(answer["id"], "alive", "{answer}");
        assert_eq!(answer["result"]["structuredContent"]["person"], "ann", "{answer}");
    }
}

fn initialize(meta: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "init", "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}, "_meta": meta}})
}

fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    let id: Value = id.into();
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

fn slow(id: impl Into<Value>) -> Value {
    call(id, "list_sessions", json!({"project": "slow"}))
}

/// A request of 2026: complete by itself.
fn modern(id: u64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "0"},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn code(answer: &Value) -> i64 {
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {answer}"))
}

#[tokio::test]
async fn a_client_of_2025_learns_who_it_is() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    let hello = client.ask(initialize(json!({}))).await;
    let result = &hello["result"];
    assert_eq!(result["serverInfo"]["name"], "teleclaude");
    assert_eq!(result["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    assert_eq!(result["capabilities"]["resources"], json!({"subscribe": true, "listChanged": true}));
    assert_eq!(result["capabilities"]["prompts"]["listChanged"], true);
    let instructions = result["instructions"].as_str().unwrap();
    assert!(instructions.contains("ann (role member)"), "{instructions}");
    assert_eq!(instructions.lines().count(), 5);

    client.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    let tools = client.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    let names: Vec<&str> = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), teleclaude::daemon::mcp::tools::TOOLS.len());
    assert_eq!(names[0], "whoami");
    assert!(tools["result"].get("cacheScope").is_none(), "not a word of 2025");

    let answer = client.ask(call(2, "whoami", json!({}))).await;
    let who = &answer["result"]["structuredContent"];
    assert_eq!(who["uid"], users::get_current_uid());
    assert_eq!(who["gid"], users::get_effective_gid());
    assert_eq!(answer["result"]["isError"], false);
    let text: Value = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(&text, who);
    let peer = daemon.fake.peer.lock().unwrap().clone().unwrap();
    assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
}

#[tokio::test]
async fn a_client_of_2026_needs_no_handshake() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    let found = client.ask(modern(1, "server/discover", json!({}))).await;
    let versions = found["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")) && versions.contains(&json!("2025-11-25")), "{found}");
    assert!(found["result"]["instructions"].as_str().unwrap().contains("ann"));
    assert_eq!(found["result"]["cacheScope"], "private");
    let tools = client.ask(modern(2, "tools/list", json!({}))).await;
    assert_eq!(tools["result"]["cacheScope"], "private");
    assert_eq!(tools["result"]["resultType"], "complete");
    let who = client.ask(modern(3, "tools/call", json!({"name": "whoami", "arguments": {}}))).await;
    assert_eq!(who["result"]["structuredContent"]["person"], "ann");
    let bare = client.ask(call(4, "whoami", json!({}))).await;
    assert_eq!(code(&bare), -32602, "this connection is of 2026 now");
    let future = json!({"io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {}});
    let refused =
        client.ask(json!({"jsonrpc": "2.0", "id": 5, "method": "tools/list", "params": {"_meta": future}}));
    assert_eq!(code(&refused.await), -32022);
}

#[tokio::test]
async fn lines_that_are_no_requests_are_answered_and_do_no_harm() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let cases: [(&[u8], i64, Value); 9] = [
        (b"{not json", -32700, Value::Null),
        (b"\xff\xfe\x00binary\x01", -32700, Value::Null),
        (deep.as_bytes(), -32700, Value::Null),
        (b"42", -32600, Value::Null),
        (br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, Value::Null),
        (br#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#, -32600, json!(7)),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":"x"}"#, -32600, json!("x")),
    ];
    for (line, expected, id) in cases {
        client.bytes(line).await;
        client.bytes(b"\n").await;
        let answer = client.answer().await;
        let seen = String::from_utf8_lossy(line);
        assert_eq!(code(&answer), expected, "{seen}: {answer}");
        assert_eq!(answer.get("id").cloned().unwrap_or(Value::Null), id, "{seen}: {answer}");
        client.is_alive().await;
    }
    client.bytes(b"\n\r\n  \n").await;
    client.is_alive().await;
}

#[tokio::test]
async fn after_sixteen_bad_lines_the_connection_ends() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    client.bytes("42\n".repeat(1_000).as_bytes()).await;
    for _ in 0..16 {
        assert_eq!(code(&client.answer().await), -32600);
    }
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_skipped() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let chunk = vec![b'x'; 256 * 1024];
    for _ in 0..20 {
        client.bytes(&chunk).await;
    }
    client.bytes(b"\n").await;
    let answer = client.answer().await;
    assert_eq!(code(&answer), -32600);
    assert_eq!(answer["error"]["message"], "message too large");
    client.is_alive().await;
}

#[tokio::test]
async fn requests_may_come_in_pieces_and_many_at_once() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    for byte in format!("{}\n", call(1, "whoami", json!({}))).into_bytes() {
        client.bytes(&[byte]).await;
    }
    assert_eq!(client.answer().await["id"], 1);
    let many: String = (2..30).map(|id| format!("{}\r\n", call(id, "whoami", json!({})))).collect();
    client.bytes(many.as_bytes()).await;
    let mut ids: Vec<i64> = Vec::new();
    for _ in 2..30 {
        ids.push(client.answer().await["id"].as_i64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (2..30).collect::<Vec<i64>>());
}

#[tokio::test]
async fn an_id_in_flight_cannot_be_used_again_until_it_is_answered() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    client.send(slow(1)).await;
    daemon.begun(1).await;
    let refused = client.ask(call(1, "whoami", json!({}))).await;
    assert_eq!((code(&refused), &refused["id"]), (-32600, &json!(1)));
    daemon.fake.go.notify_one();
    let answer = client.answer().await;
    assert!(answer["result"]["structuredContent"]["sessions"].is_array(), "{answer}");
    assert_eq!(
        client.ask(call(1, "whoami", json!({}))).await["result"]["structuredContent"]["person"],
        "ann"
    );
}

#[tokio::test]
async fn a_cancelled_request_is_not_answered_and_its_place_is_free() {
    let daemon = Daemon::with(|limits| limits.in_flight = 1);
    let mut client = Client::legacy(&daemon).await;
    for id in 0..3 {
        client.send(call(id, "list_sessions", json!({"project": "stuck"}))).await;
        daemon.begun(usize::try_from(id).unwrap() + 1).await;
        client
            .send(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}}))
            .await;
        // Its handler may take a moment to end; until then the place is taken.
        loop {
            let answer = client.ask(call("next", "whoami", json!({}))).await;
            assert_eq!(answer["id"], "next");
            if answer.get("result").is_some() {
                break;
            }
            assert_eq!(code(&answer), -32000);
        }
        daemon.fake.begun.store(usize::try_from(id).unwrap() + 1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn past_sixty_four_in_flight_there_is_no_more_room() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let many: String = (0..1_000).map(|id| format!("{}\n", slow(id))).collect();
    let (mut read, mut write) = (client.read, client.write);
    let writer = tokio::spawn(async move {
        write.write_all(many.as_bytes()).await.unwrap();
        write
    });
    for _ in 64..1_000 {
        let mut line = String::new();
        tokio::time::timeout(PATIENCE, read.read_line(&mut line)).await.unwrap().unwrap();
        assert_eq!(code(&serde_json::from_str(&line).unwrap()), -32000);
    }
    client = Client { read, write: writer.await.unwrap() };
    assert_eq!(daemon.fake.begun.load(Ordering::SeqCst), 64);
    daemon.fake.go.notify_waiters();
    for _ in 0..64 {
        assert!(client.answer().await.get("result").is_some());
    }
    client.is_alive().await;
}

#[tokio::test]
async fn a_panic_is_answered() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let answer = client.ask(call(1, "list_sessions", json!({"project": "panic"}))).await;
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(answer["result"]["structuredContent"]["code"], "internal");
    client.is_alive().await;
}

#[tokio::test]
async fn a_client_that_never_reads_stops_being_read() {
    const MOST: usize = 20_000;
    let daemon = Daemon::start();
    let client = Client::legacy(&daemon).await;
    let mut line = Vec::new();
    let mut written = 0;
    let mut refused = 0;
    // Stalled: a hundred times in a row nothing could be written.
    while refused < 100 {
        if line.is_empty() {
            assert!(written < MOST, "the daemon took in everything");
            let read =
                call(written, "get_session_data", json!({"session_id": SESSION, "tail_chars": 40_000}));
            line = format!("{read}\n").into_bytes();
            written += 1;
        }
        match client.write.try_write(&line) {
            Ok(done) => {
                line.drain(..done);
                refused = 0;
            }
            Err(_) => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    let begun = daemon.fake.begun.load(Ordering::SeqCst);
    assert!(begun < 300, "{begun} answers of 80 kB wait for somebody who does not read");
    // Nobody else notices.
    Client::legacy(&daemon).await.is_alive().await;
    // And nothing is lost: whoever reads at last gets an answer to each whole request.
    let (read, mut write) = (client.read, client.write);
    let writer = tokio::spawn(async move {
        write.write_all(&line).await.unwrap();
        write
    });
    let mut lines = read.lines();
    for _ in 0..written {
        tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    }
    let mut client = Client { read: lines.into_inner(), write: writer.await.unwrap() };
    client.is_alive().await;
}

#[tokio::test]
async fn stray_messages_before_the_first_request_are_dropped() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    for stray in [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
        json!({"jsonrpc": "2.0", "method": "notifications/nonsense"}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
    ] {
        client.send(stray).await;
    }
    assert_eq!(client.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await["id"], 1);
    assert_eq!(code(&client.ask(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})).await), -32602);
    client.send(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
    let broken = json!({"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {"protocolVersion": 5}});
    assert_eq!(code(&client.ask(broken).await), -32602);
    assert!(client.ask(initialize(json!({}))).await["result"]["serverInfo"].is_object());
    client.is_alive().await;
    assert_eq!(code(&client.ask(initialize(json!({}))).await), -32600, "only once");
    client.is_alive().await;
}

#[tokio::test]
async fn what_is_not_there_and_what_one_may_not_use_look_the_same() {
    let daemon = Daemon::start();
    daemon.fake.public.store(true, Ordering::SeqCst);
    let mut client = Client::legacy(&daemon).await;
    let tools = client.ask(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
    assert_eq!(tools["result"]["tools"].as_array().unwrap().len(), 1);
    let forbidden = client.ask(call(2, "start_session", json!({"project": "p"}))).await;
    let unknown = client.ask(call(2, "make_coffee", json!({}))).await;
    assert_eq!(forbidden, unknown);
    assert_eq!(code(&unknown), -32602);
}

#[tokio::test]
async fn refusals_are_results_that_a_model_can_read() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let bad = client.ask(call(1, "get_session", json!({"session": "x"}))).await;
    assert_eq!(bad["result"]["isError"], true);
    assert_eq!(bad["result"]["structuredContent"]["code"], "invalid");
    assert_eq!(bad["result"]["structuredContent"]["field"], "session");
    let missing = client.ask(call(2, "get_session", json!({"session_id": "nope"}))).await;
    assert_eq!(missing["result"]["structuredContent"]["code"], "not_found");
    assert_eq!(missing["result"]["content"][0]["text"], "not_found: no session `nope`");
}

#[tokio::test]
async fn methods_that_are_not_there_say_so_and_wrong_parameters_are_not_taken_for_them() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let cases = [
        ("prompts/get", json!({"name": "nobody"}), -32602),
        ("prompts/get", json!({"name": 5}), -32602),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": ""}}),
            -32601,
        ),
        ("logging/setLevel", json!({"level": "info"}), -32601),
        ("tasks/get", json!({"taskId": "1"}), -32601),
        ("make/coffee", json!({}), -32601),
        ("tools/call", json!({"name": 5}), -32602),
        ("tools/call", json!({"name": "whoami", "arguments": []}), -32602),
        ("resources/read", json!({"uri": "file:///etc/passwd"}), -32002),
    ];
    for (method, params, expected) in cases {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = client.ask(request).await;
        assert_eq!(code(&answer), expected, "{method}: {answer}");
    }
}

#[tokio::test]
async fn what_2026_took_away_is_not_there() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    // Without the parameters they had, so that rmcp does not know them.
    for (id, method) in ["initialize", "resources/subscribe", "resources/unsubscribe"].iter().enumerate() {
        let answer = client.ask(modern(id as u64, method, json!({}))).await;
        assert_eq!(code(&answer), -32601, "{method}: {answer}");
    }
    let answer = client.ask(modern(7, "ping", json!({}))).await;
    assert_eq!(code(&answer), -32601, "{answer}");
    let uri = "file:///etc/passwd";
    let answer = client.ask(modern(8, "resources/read", json!({"uri": uri}))).await;
    assert_eq!(code(&answer), -32602, "{answer}");
    assert_eq!(answer["error"]["data"]["uri"], uri, "{answer}");
}

#[tokio::test]
async fn an_agents_token_is_taken_from_initialize_or_from_a_request() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    client.ask(initialize(json!({"teleclaude/token": TOKEN}))).await;
    let who = client.ask(call(1, "whoami", json!({}))).await;
    assert_eq!(who["result"]["structuredContent"]["agent_of"], SESSION);

    let mut client = Client::legacy(&daemon).await;
    let mut with_token = call(1, "whoami", json!({}));
    with_token["params"]["_meta"] = json!({"teleclaude/token": TOKEN});
    let who = client.ask(with_token).await;
    assert_eq!(who["result"]["structuredContent"]["agent_of"], SESSION);
    let who = client.ask(call(2, "whoami", json!({}))).await;
    assert!(who["result"]["structuredContent"].get("agent_of").is_none());
}

#[tokio::test]
async fn a_client_of_2025_is_told_what_it_watches() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let uri = format!("teleclaude://sessions/{SESSION}");
    let subscribe =
        json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": uri}});
    assert!(client.ask(subscribe).await.get("result").is_some());
    daemon.tell_change().await;
    let told = client.answer().await;
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"]["uri"], uri);
    let stop = call(2, "stop_notifications", json!({"session_id": SESSION}));
    assert_eq!(client.ask(stop).await["result"]["structuredContent"]["watching"], false);
    daemon.tell_change().await;
    daemon.fake.public.store(true, Ordering::SeqCst);
    daemon.fake.events.send(Event::Catalogue).unwrap();
    assert_eq!(client.answer().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_client_of_2026_listens() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    let uri = format!("teleclaude://sessions/{SESSION}/transcript");
    let listen = json!({"notifications": {"resourceSubscriptions": [uri, "file:///etc/passwd"]}});
    let acknowledged = client.ask(modern(1, "subscriptions/listen", listen)).await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        acknowledged["params"]["notifications"]["resourceSubscriptions"],
        json!([uri]),
        "{acknowledged}"
    );
    daemon.tell_change().await;
    let told = client.answer().await;
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"]["uri"], uri);
}

#[tokio::test]
async fn half_closed_connections_still_get_their_answers() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    client.send(slow(1)).await;
    daemon.begun(1).await;
    client.write.shutdown().await.unwrap();
    daemon.fake.go.notify_one();
    assert_eq!(client.answer().await["id"], 1);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_then_ends_connections() {
    let daemon = Daemon::start();
    let mut busy = Client::legacy(&daemon).await;
    let mut idle = Client::legacy(&daemon).await;
    busy.send(slow(1)).await;
    daemon.begun(1).await;
    daemon.stop.cancel();
    assert_eq!(idle.next().await, None);
    assert!(UnixStream::connect(&daemon.path).await.is_err());
    assert!(daemon.path.exists(), "the socket file stays");
    daemon.fake.go.notify_one();
    assert_eq!(busy.answer().await["id"], 1);
    assert_eq!(busy.next().await, None);
    tokio::time::timeout(PATIENCE, daemon.served).await.unwrap().unwrap().unwrap();
}

/// A writer must be able to tell what was taken from what was not: a call that may have had an effect is never sent
/// twice, one that was never taken is.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stop_takes_what_was_written_and_refuses_the_next_write() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    client.send(slow(1)).await;
    daemon.begun(1).await;
    let mut fresh = Client::new(&daemon).await;
    // What came after it was answered, so it was accepted.
    client.is_alive().await;
    // Nothing runs between these: the daemon learns of the stop and of the lines at once.
    client.send(call(2, "whoami", json!({}))).await;
    fresh.send(initialize(json!({}))).await;
    daemon.stop.cancel();
    assert_eq!(client.answer().await["id"], 2);
    let refused = client.write.write_all(b"{}\n").await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(fresh.answer().await["id"], "init");
    assert_eq!(fresh.next().await, None);
    daemon.fake.go.notify_one();
    assert_eq!(client.answer().await["id"], 1);
    assert_eq!(client.next().await, None);
    tokio::time::timeout(PATIENCE, daemon.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_cancels_what_does_not_finish() {
    let daemon = Daemon::with(|limits| limits.drain = Duration::from_millis(50));
    let mut client = Client::legacy(&daemon).await;
    client.send(call(1, "list_sessions", json!({"project": "stuck"}))).await;
    daemon.begun(1).await;
    daemon.stop.cancel();
    let answer = client.answer().await;
    assert_eq!(answer["result"]["structuredContent"]["code"], "unavailable");
    assert_eq!(client.next().await, None);
    tokio::time::timeout(PATIENCE, daemon.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn silent_and_half_spoken_connections_are_closed() {
    let daemon = Daemon::with(|limits| {
        limits.first_byte = Duration::from_millis(50);
        limits.body = Duration::from_millis(50);
    });
    assert_eq!(Client::new(&daemon).await.next().await, None, "never a byte");
    let mut blank = Client::new(&daemon).await;
    blank.bytes(b"\n").await;
    assert_eq!(blank.next().await, None, "never a request");
    let mut client = Client::legacy(&daemon).await;
    client.bytes(br#"{"jsonrpc":"#).await;
    assert_eq!(client.next().await, None, "never the end of a line");
}

#[tokio::test]
async fn one_uid_gets_so_many_connections_and_no_more() {
    let daemon = Daemon::with(|limits| limits.connections_per_uid = 2);
    let first = Client::legacy(&daemon).await;
    let mut second = Client::legacy(&daemon).await;
    assert_eq!(Client::new(&daemon).await.next().await, None);
    second.is_alive().await;
    drop(first);
    loop {
        let mut third = Client::new(&daemon).await;
        // Its end may come before the request is written.
        let hello = format!("{}\n", initialize(json!({})));
        let _may_be_closed = third.write.write_all(hello.as_bytes()).await;
        if third.next().await.is_some() {
            break;
        }
    }
}

#[tokio::test]
async fn one_uid_gets_so_many_requests_and_no_more() {
    let daemon = Daemon::with(|limits| limits.in_flight_per_uid = 1);
    let mut one = Client::legacy(&daemon).await;
    let mut other = Client::legacy(&daemon).await;
    one.send(slow(1)).await;
    daemon.begun(1).await;
    let refused = other.ask(call(1, "whoami", json!({}))).await;
    assert_eq!(refused["result"]["structuredContent"]["code"], "busy");
    daemon.fake.go.notify_one();
    one.answer().await;
    other.is_alive().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_so() {
    let daemon = Daemon::with(|limits| limits.request = Duration::from_millis(50));
    let mut client = Client::legacy(&daemon).await;
    let late = client.ask(slow(1)).await;
    assert_eq!(late["result"]["structuredContent"]["code"], "timeout");
    client.is_alive().await;
}

#[tokio::test]
async fn a_flood_of_notifications_is_dropped() {
    let daemon = Daemon::start();
    let mut client = Client::legacy(&daemon).await;
    let one = format!(
        "{}\n",
        json!({"jsonrpc": "2.0", "method": "notifications/nonsense", "params": {"a": [1, 2]}})
    );
    let flood = one.repeat(1_000);
    for _ in 0..30 {
        client.bytes(flood.as_bytes()).await;
    }
    client.is_alive().await;
}

/// Another user connects: one thread of ours that takes on their credentials, which Linux keeps by thread.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn another_user_is_seen_as_the_kernel_sees_them() {
    use std::io::{BufRead as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;

    const UID: u32 = 54_321;
    const GROUPS: [u32; 2] = [54_322, 54_323];
    if users::get_effective_uid() != 0 {
        return;
    }
    let daemon = Daemon::start();
    let folder = daemon.path.parent().unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&daemon.path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let path = daemon.path.clone();
    let who = std::thread::spawn(move || {
        // SAFETY: plain system calls with valid arguments; they change the credentials of this thread alone, which
        // ends after the test's one conversation.
        let changed = unsafe {
            libc::syscall(libc::SYS_setgroups, GROUPS.len(), GROUPS.as_ptr())
                | libc::syscall(libc::SYS_setresgid, UID, UID, UID)
                | libc::syscall(libc::SYS_setresuid, UID, UID, UID)
        };
        assert_eq!(changed, 0, "{}", std::io::Error::last_os_error());
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        let lines = format!("{}\n{}\n", initialize(json!({})), call(1, "whoami", json!({"uid": 0})));
        stream.write_all(lines.as_bytes()).unwrap();
        stream.write_all(format!("{}\n", call(2, "whoami", json!({}))).as_bytes()).unwrap();
        let mut answers = std::io::BufReader::new(stream).lines();
        std::iter::from_fn(|| answers.next())
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .take(3)
            .collect()
    });
    let answers: Vec<Value> = tokio::task::spawn_blocking(move || who.join().unwrap()).await.unwrap();
    let of = |id: i64| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(of(1)["result"]["structuredContent"]["field"], "uid", "identity is no argument");
    let who = &of(2)["result"]["structuredContent"];
    assert_eq!((&who["uid"], &who["gid"]), (&json!(UID), &json!(UID)));
    assert_eq!(who["groups"], json!(GROUPS));
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up() {
    let daemon = Daemon::with(|limits| {
        limits.write = Duration::from_millis(50);
        limits.connections_per_uid = 1;
    });
    let mut client = Client::legacy(&daemon).await;
    let read = call(1, "get_session_data", json!({"session_id": SESSION, "tail_chars": 40_000}));
    let mut sent = String::new();
    for id in 0..100 {
        sent.push_str(&format!("{}\n", call(id, "get_session_data", read["params"]["arguments"].clone())));
    }
    client.bytes(sent.as_bytes()).await;
    // The connection's place is free again without a byte having been read.
    let freed = async {
        loop {
            let mut next = Client::new(&daemon).await;
            let _may_be_closed =
                next.write.write_all(format!("{}\n", initialize(json!({}))).as_bytes()).await;
            if next.next().await.is_some() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("it is given up");
    drop(client);
}
