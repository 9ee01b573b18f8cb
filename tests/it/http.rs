//! The HTTP mouth over a real socket: REST, MCP on `/mcp`, events, and clients that send too much, too little or
//! nothing. The client is written out by hand, so that it can be rude.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use crate::socket::{Daemon, PATIENCE, SESSION, TOKEN};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// An answer.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    kind: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A connection.
struct Client(BufReader<UnixStream>);

impl Client {
    async fn new(daemon: &Daemon) -> Self {
        Self(BufReader::new(daemon.connect().await))
    }

    async fn write(&mut self, text: &str) {
        tokio::time::timeout(PATIENCE, self.0.get_mut().write_all(text.as_bytes())).await.unwrap().unwrap();
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match tokio::time::timeout(PATIENCE, self.0.read_line(&mut line)).await.expect("an answer comes") {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    /// Head and body of the next answer; `None` at the end.
    async fn answer(&mut self) -> Option<Answer> {
        let status = self.line().await?.split(' ').nth(1)?.parse().ok()?;
        let (mut kind, mut length) = (String::new(), 0);
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-type" => value.clone_into(&mut kind),
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        tokio::time::timeout(PATIENCE, self.0.read_exact(&mut body)).await.unwrap().unwrap();
        Some(Answer { status, kind, body: String::from_utf8(body).unwrap() })
    }

    async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        self.write(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        self.answer().await.expect("an answer comes")
    }
}

async fn get(daemon: &Daemon, path: &str) -> Answer {
    Client::new(daemon).await.ask("GET", path, &[], "").await
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    for _ in 0..3 {
        let who = client.ask("GET", "/api/v1/whoami", &[], "").await;
        assert_eq!((who.status, who.kind.as_str()), (200, "application/json"));
        assert_eq!(who.json()["uid"], users::get_current_uid());
    }
    let agent = client.ask("GET", "/api/v1/whoami", &[("Teleclaude-Session-Token", TOKEN)], "").await;
    assert_eq!(agent.json()["agent_of"], SESSION);
    let health = client.ask("GET", "/healthz", &[], "").await;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn every_path_becomes_its_request() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    // The daemon of these tests answers what it does not do with the request it got.
    let message = format!("SendMessage(SendMessage {{ session_id: \"{SESSION}\", message: \"hi\"");
    let end =
        format!("EndSession(EndSession {{ session_id: \"{SESSION}\", remove_worktree: None, reason: None");
    let steering = format!("Session(Steering {{ session_id: \"{SESSION}\", reason: Some(\"why\")");
    let [resume, interrupt] = ["Resume", "Interrupt"].map(|verb| format!("{verb}{steering}"));
    let rename = format!("RenameSession(RenameSession {{ session_id: \"{SESSION}\", title: \"t\"");
    let answer = format!("AnswerSession(AnswerSession {{ session_id: \"{SESSION}\", request_id: \"r\"");
    let cases = [
        ("GET", "/api/v1/projects".to_owned(), "", "ListProjects"),
        ("GET", "/api/v1/agents".to_owned(), "", "ListAgents"),
        ("GET", "/api/v1/computers".to_owned(), "", "ListComputers"),
        (
            "GET",
            "/api/v1/docs?ids=a&ids=b%2Fc&include_requirements=false".to_owned(),
            "",
            "ReadDocs(GetContext { ids: Some([\"a\", \"b/c\"]), types: None, include_requirements: Some(false)",
        ),
        ("GET", "/api/v1/docs/b%2Fc".to_owned(), "", "ReadDocument(DocRef { id: \"b/c\" })"),
        ("GET", "/api/v1/health/docs".to_owned(), "", "DocProblems"),
        (
            "POST",
            "/api/v1/sessions".to_owned(),
            r#"{"project":"p"}"#,
            "StartSession(StartSession { project: \"p\"",
        ),
        (
            "POST",
            "/api/v1/sessions/command".to_owned(),
            r#"{"project":"p","command":"/x"}"#,
            "RunAgentCommand(",
        ),
        ("POST", format!("/api/v1/sessions/{SESSION}/messages"), r#"{"message":"hi"}"#, message.as_str()),
        ("POST", format!("/api/v1/sessions/{SESSION}/end"), "", end.as_str()),
        ("POST", format!("/api/v1/sessions/{SESSION}/resume"), r#"{"reason":"why"}"#, resume.as_str()),
        ("POST", format!("/api/v1/sessions/{SESSION}/interrupt"), r#"{"reason":"why"}"#, interrupt.as_str()),
        (
            "POST",
            format!("/api/v1/sessions/{SESSION}/answer"),
            r#"{"request_id":"r","answer":"yes"}"#,
            answer.as_str(),
        ),
        ("POST", "/api/v1/hook".to_owned(), r#"{"event":"Stop"}"#, "ReportHook(ReportHook { event: \"Stop\""),
        ("PATCH", format!("/api/v1/sessions/{SESSION}"), r#"{"title":"t"}"#, rename.as_str()),
        ("GET", "/api/v1/audit?limit=5&actor=a%20b".to_owned(), "", "actor: Some(\"a b\")"),
        ("POST", "/api/v1/audit/verify".to_owned(), "", "VerifyAudit"),
        ("GET", "/api/v1/usage?by=day&limit=9".to_owned(), "", "ShowUsage(ShowUsage { by: Some(\"day\")"),
        ("GET", "/api/v1/activity?person=bob".to_owned(), "", "person: Some(\"bob\")"),
        ("GET", "/api/v1/metrics".to_owned(), "", "ReadMetrics"),
        ("GET", "/metrics".to_owned(), "", "ReadMetrics"),
        ("GET", "/api/v1/config".to_owned(), "", "ShowConfig"),
        ("PUT", "/api/v1/me/config".to_owned(), "a: 1", "PutMyConfig(PutMyConfig { yaml: \"a: 1\""),
        (
            "GET",
            "/api/v1/people/J%C3%B6rg/explain".to_owned(),
            "",
            "ExplainPerson(ExplainPerson { user: \"Jörg\"",
        ),
        ("POST", "/api/v1/reload".to_owned(), "", "Reload"),
        ("GET", "/api/v1/credentials?system=true".to_owned(), "", "ListCredentials { system: Some(true) }"),
        (
            "PUT",
            "/api/v1/credentials/A_KEY".to_owned(),
            r#"{"value":"invented"}"#,
            "PutCredential { name: \"A_KEY\", value: [secret], system: None, ",
        ),
        ("DELETE", "/api/v1/credentials/A_KEY".to_owned(), "", "DeleteCredential { name: \"A_KEY\""),
        (
            "POST",
            "/api/v1/credentials/import".to_owned(),
            r#"{"credentials":[{"name":"A_KEY","value":"invented"}]}"#,
            "NamedValue { name: \"A_KEY\", value: [secret] }",
        ),
        ("GET", "/api/v1/keys".to_owned(), "", "ShowKeys"),
        ("POST", "/api/v1/keys".to_owned(), "", "GenerateKey"),
        ("POST", "/api/v1/keys/rotate".to_owned(), "", "RotateKey"),
    ];
    for (method, path, body, request) in cases {
        let answer = client.ask(method, &path, &[], body).await;
        assert_eq!(
            (answer.status, answer.kind.as_str()),
            (409, "application/problem+json"),
            "{path}: {answer:?}"
        );
        let problem = answer.json();
        assert_eq!(problem["code"], "conflict");
        assert!(problem["detail"].as_str().unwrap().contains(request), "{path}: {problem}");
    }
    let page =
        client.ask("GET", &format!("/api/v1/sessions/{SESSION}/transcript?tail_chars=3"), &[], "").await;
    assert_eq!(page.json()["content"], "xxx");
    let watch = format!("/api/v1/sessions/{SESSION}/watch");
    assert_eq!(client.ask("PUT", &watch, &[], "").await.json()["watching"], true);
    assert_eq!(client.ask("DELETE", &watch, &[], "").await.json()["watching"], false);
    assert_eq!(
        client.ask("GET", "/api/v1/sessions", &[], "").await.json(),
        json!({"sessions": [], "next_cursor": null})
    );
}

#[tokio::test]
async fn wrong_arguments_are_named() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    for (method, path, body, field) in [
        ("GET", "/api/v1/sessions?limit=ten", "", "limit"),
        ("GET", "/api/v1/sessions?stauts=running", "", "stauts"),
        ("GET", "/api/v1/sessions?agent=a&agent=b", "", "agent"),
        ("POST", "/api/v1/sessions", "{", "body"),
        ("POST", "/api/v1/sessions", "[]", "body"),
        ("POST", "/api/v1/sessions", r#"{"project":1}"#, "project"),
        ("POST", "/api/v1/sessions/x/end", r#"{"session_id":"y"}"#, "session_id"),
    ] {
        let answer = client.ask(method, path, &[], body).await;
        assert_eq!(answer.status, 422, "{path}: {answer:?}");
        assert_eq!(answer.json()["field"], field, "{path}");
    }
}

#[tokio::test]
async fn a_forbidden_path_looks_like_an_unknown_one() {
    let daemon = Daemon::start();
    daemon.fake.public.store(true, Ordering::SeqCst);
    let unknown = get(&daemon, "/api/v1/coffee").await;
    assert_eq!(unknown.status, 404);
    for path in ["/api/v1/sessions", "/api/v1/audit", "/api/v1/events", "/elsewhere"] {
        assert_eq!(get(&daemon, path).await, unknown, "{path}");
    }
    assert_eq!(get(&daemon, "/api/v1/whoami").await.status, 200);
    assert_eq!(get(&daemon, "/api/v1/health").await.status, 200);
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    for (method, path, allowed) in [
        ("DELETE", "/api/v1/sessions", "GET, POST"),
        ("HEAD", "/api/v1/inbox", "GET"),
        ("OPTIONS", "/api/v1/sessions/x", "GET, PATCH, DELETE"),
        ("GET", "/api/v1/sessions/command", "POST"),
        ("BREW", "/api/v1/whoami", "GET"),
    ] {
        client.write(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(client.line().await.unwrap(), "HTTP/1.1 405 Method Not Allowed", "{method} {path}");
        let mut named = None;
        while let Some(line) = client.line().await.filter(|line| !line.is_empty()) {
            if let Some(methods) = line.strip_prefix("allow: ") {
                named = Some(methods.to_owned());
            }
        }
        assert_eq!(named.as_deref(), Some(allowed), "{method} {path}");
        client = Client::new(&daemon).await;
    }
    daemon.fake.public.store(true, Ordering::SeqCst);
    let unknown = get(&daemon, "/api/v1/coffee").await;
    let hidden = Client::new(&daemon).await.ask("DELETE", "/api/v1/sessions", &[], "").await;
    assert_eq!(hidden, unknown);
}

#[tokio::test]
async fn an_origin_is_refused_wherever_it_asks() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    for path in ["/api/v1/whoami", "/mcp", "/healthz"] {
        let answer = client.ask("GET", path, &[("Origin", "http://localhost:3000")], "").await;
        assert_eq!(answer.status, 403, "{path}");
    }
    let daemon = Daemon::with(|limits| limits.origins = vec!["http://localhost:*".to_owned()]);
    let mut client = Client::new(&daemon).await;
    for (origin, status) in
        [("http://localhost:3000", 200), ("http://localhost.example:80", 403), ("http://other:1", 403)]
    {
        let answer = client.ask("GET", "/api/v1/whoami", &[("Origin", origin)], "").await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

const BOTH: (&str, &str) = ("Accept", "application/json, text/event-stream");
const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn mcp_of_2025_works_without_sessions() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    let answer = client.ask("POST", "/mcp", &[BOTH, JSON], &hello.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let result = &answer.json()["result"];
    assert_eq!(result["serverInfo"]["name"], "teleclaude");
    assert!(result["capabilities"]["resources"].get("subscribe").is_none());
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}});
    let headers = [BOTH, JSON, ("Mcp-Protocol-Version", "2025-11-25"), ("Teleclaude-Session-Token", TOKEN)];
    let answer = client.ask("POST", "/mcp", &headers, &call.to_string()).await;
    let who = &answer.json()["result"]["structuredContent"];
    assert_eq!(who["uid"], users::get_current_uid());
    assert_eq!(who["agent_of"], SESSION);
    assert_eq!(client.ask("GET", "/mcp", &[BOTH], "").await.status, 405, "no stream without a session");
}

#[tokio::test]
async fn mcp_of_2026_works() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "0"}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "whoami", "arguments": {}, "_meta": meta}});
    let headers = [
        BOTH,
        JSON,
        ("Mcp-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", "whoami"),
    ];
    let answer = client.ask("POST", "/mcp", &headers, &call.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["result"]["structuredContent"]["person"], "ann");
}

#[tokio::test]
async fn a_panic_is_an_answer_too() {
    let daemon = Daemon::start();
    let answer = get(&daemon, "/api/v1/sessions?project=panic").await;
    assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("internal")));
}

#[tokio::test]
async fn events_tell_what_the_caller_may_see() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    client.write("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(client.line().await.unwrap(), "HTTP/1.1 200 OK");
    daemon.tell_change().await;
    let mut told = 0;
    loop {
        let line = client.line().await.unwrap();
        if line.starts_with("data:") {
            assert_eq!(line, format!("data: {{\"session_id\":\"{SESSION}\"}}"));
            told += 1;
            // Who may no longer list sessions hears no more: it is looked when there is something to tell.
            daemon.fake.public.store(true, Ordering::SeqCst);
            daemon.tell_change().await;
        } else if line == "0" {
            break;
        }
    }
    assert_eq!(told, 1);
}

#[tokio::test]
async fn too_much_is_refused() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    client.write("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 413);
    let mut client = Client::new(&daemon).await;
    let headers: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    client.write(&format!("GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
    assert_eq!(client.answer().await.unwrap().status, 431);
}

#[tokio::test]
async fn what_never_comes_is_not_waited_for() {
    let daemon = Daemon::with(|limits| {
        limits.header = Duration::from_millis(50);
        limits.body = Duration::from_millis(50);
        limits.keep_alive = Duration::from_millis(500);
    });
    let mut half = Client::new(&daemon).await;
    half.write("GET /api/v1/whoami HT").await;
    assert_eq!(half.answer().await, None, "half a head");
    let mut promised = Client::new(&daemon).await;
    promised.write("POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{").await;
    assert_eq!(promised.answer().await.unwrap().status, 408);
    assert_eq!(promised.answer().await, None, "half a body");
    let mut idle = Client::new(&daemon).await;
    assert_eq!(idle.ask("GET", "/healthz", &[], "").await.status, 200);
    assert_eq!(idle.answer().await, None, "nothing more");
}

#[tokio::test]
async fn a_stop_lets_the_request_finish() {
    let daemon = Daemon::start();
    let mut client = Client::new(&daemon).await;
    client.write("GET /api/v1/sessions?project=slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    daemon.begun(1).await;
    daemon.stop.cancel();
    daemon.fake.go.notify_one();
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(client.answer().await, None);
    tokio::time::timeout(PATIENCE, daemon.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let daemon = Daemon::with(|limits| limits.in_flight_per_uid = 1);
    let mut client = Client::new(&daemon).await;
    client.write("GET /api/v1/sessions?project=stuck HTTP/1.1\r\nHost: x\r\n\r\n").await;
    daemon.begun(1).await;
    assert_eq!(get(&daemon, "/api/v1/whoami").await.json()["code"], "busy");
    drop(client);
    tokio::time::timeout(PATIENCE, async { while get(&daemon, "/api/v1/whoami").await.status != 200 {} })
        .await
        .expect("the place is free again");
}
