//! The only dialer: HTTP/1.1 over the daemon's Unix socket, one connection for several requests, everything bounded:
//! connecting, answering, and the size of an answer. Typed methods for REST; what answers mean to people is `cli`'s.

pub mod attach;
pub mod audit;
pub mod credentials;
pub mod docs;
pub mod export;
pub mod follow;
pub mod inbox;
pub mod jobs;
mod live;
pub mod people;
pub mod people_change;
pub mod tasks;
pub mod usage;

use crate::wire::fault::{Fault, FaultCode};
use crate::wire::limits::TOKEN_HEADER;
use crate::wire::reply::{
    AgentsReply, ComputersReply, ConfigReply, HealthReply, MyConfigReply, ProjectsReply, ReloadedReply,
    WhoamiReply,
};
use crate::wire::request::{
    AnswerSession, EndSession, GetSessionData, LabelSession, ListSessions, PutMyConfig, RenameSession,
    ReportHook, RunAgentCommand, SearchSessions, SendMessage, StartSession, Steering,
};
use crate::wire::session::{
    AnsweredReply, ContentReply, EndedReply, HeardReply, PurgedReply, SearchReply, SentReply, SessionReply,
    SessionsReply, StartedReply,
};
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// How long connecting may take.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long one answer may take: the daemon's own deadline (`limits.request_seconds`, 30) and some.
pub const ANSWER_TIME: Duration = Duration::from_secs(35);
/// Bytes of one answer, at most: twice what the daemon gives.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Pause before dialing again while the daemon's queue of connections is full.
const BACK_OFF: Duration = Duration::from_millis(20);
/// What every path begins with.
const BASE: &str = "/api/v1";

/// Where the daemon is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The socket.
    pub path: PathBuf,
    /// Whether the service manager runs the daemon; decides what a hint says.
    pub system: bool,
    /// The token of the session whose agent is asking, if one is.
    pub token: Option<SecretString>,
    /// How long connecting may take.
    pub connect_time: Duration,
    /// How long one answer may take.
    pub answer_time: Duration,
}

impl Endpoint {
    /// The daemon at `path`, with the usual times and no token.
    pub const fn new(path: PathBuf, system: bool) -> Self {
        Self { path, system, token: None, connect_time: CONNECT_TIME, answer_time: ANSWER_TIME }
    }
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody was reached, so nothing was done.
    #[error("{message}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said, if it said something.
        errno: Option<i32>,
        /// In words.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// The daemon was reached and no answer came.
    #[error("{message}")]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// In words.
        message: String,
        /// Whether the request was one that changes something: then nobody knows if it did.
        change: bool,
    },
    /// The daemon refused or failed, and says why.
    #[error("{0}")]
    Fault(Fault),
    /// The answer was none that this program understands.
    #[error("the daemon's answer was not understood: {0}")]
    Protocol(String),
}

/// A reply, and the text it came as (`--json` shows that, unknown fields and all).
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// Understood.
    pub reply: T,
    /// As received: JSON.
    pub text: String,
}

/// A client of one daemon. It dials at the first request, and again when the connection was closed in between.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client of the daemon there. Dials nothing yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: Mutex::new(None) }
    }

    /// Where it dials.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Who am I?
    pub async fn whoami(&self) -> Result<Answer<WhoamiReply>, ClientError> {
        self.get("/whoami").await
    }

    /// Is the daemon well?
    pub async fn health(&self) -> Result<Answer<HealthReply>, ClientError> {
        self.get("/health").await
    }

    /// What can be asked over REST: an OpenAPI document.
    pub async fn api(&self) -> Result<Answer<Value>, ClientError> {
        self.get("/openapi.json").await
    }

    /// Folders I may work in.
    pub async fn projects(&self) -> Result<Answer<ProjectsReply>, ClientError> {
        self.get("/projects").await
    }

    /// Agents I may run.
    pub async fn agents(&self) -> Result<Answer<AgentsReply>, ClientError> {
        self.get("/agents").await
    }

    /// Machines on the daemon's database.
    pub async fn computers(&self) -> Result<Answer<ComputersReply>, ClientError> {
        self.get("/computers").await
    }

    /// Sessions I may see.
    pub async fn sessions(&self, asked: &ListSessions) -> Result<Answer<SessionsReply>, ClientError> {
        self.get(&format!("/sessions{}", query(asked, &[])?)).await
    }

    /// One session; `id` may be a prefix.
    pub async fn session(&self, id: &str) -> Result<Answer<SessionReply>, ClientError> {
        self.get(&format!("/sessions/{}", encoded(id))).await
    }

    /// Starts a session.
    pub async fn start_session(&self, asked: &StartSession) -> Result<Answer<StartedReply>, ClientError> {
        self.post("/sessions", &body(asked)?).await
    }

    /// Starts a session with a slash command.
    pub async fn run_agent_command(
        &self,
        asked: &RunAgentCommand,
    ) -> Result<Answer<StartedReply>, ClientError> {
        self.post("/sessions/command", &body(asked)?).await
    }

    /// Types a message into a session.
    pub async fn send_message(&self, asked: &SendMessage) -> Result<Answer<SentReply>, ClientError> {
        let fields = without_session(asked)?;
        self.post(&format!("/sessions/{}/messages", encoded(&asked.session_id)), &fields).await
    }

    /// Ends a session.
    pub async fn end_session(&self, asked: &EndSession) -> Result<Answer<EndedReply>, ClientError> {
        let fields = without_session(asked)?;
        self.post(&format!("/sessions/{}/end", encoded(&asked.session_id)), &fields).await
    }

    /// Deletes an ended session and all that is kept of it.
    pub async fn purge_session(&self, asked: &Steering) -> Result<Answer<PurgedReply>, ClientError> {
        let fields = without_session(asked)?;
        self.ask(Method::DELETE, &format!("/sessions/{}", encoded(&asked.session_id)), Some(&fields)).await
    }

    /// Runs an ended session again.
    pub async fn resume_session(&self, asked: &Steering) -> Result<Answer<SessionReply>, ClientError> {
        let fields = without_session(asked)?;
        self.post(&format!("/sessions/{}/resume", encoded(&asked.session_id)), &fields).await
    }

    /// Interrupts what a session's agent does.
    pub async fn interrupt_session(&self, asked: &Steering) -> Result<Answer<SessionReply>, ClientError> {
        let fields = without_session(asked)?;
        self.post(&format!("/sessions/{}/interrupt", encoded(&asked.session_id)), &fields).await
    }

    /// Gives a session labels, or takes some away.
    pub async fn label_session(&self, asked: &LabelSession) -> Result<Answer<SessionReply>, ClientError> {
        let fields = without_session(asked)?;
        let path = format!("/sessions/{}/labels", encoded(&asked.session_id));
        self.ask(Method::PATCH, &path, Some(&fields)).await
    }

    /// Calls a session something else.
    pub async fn rename_session(&self, asked: &RenameSession) -> Result<Answer<SessionReply>, ClientError> {
        let fields = without_session(asked)?;
        let path = format!("/sessions/{}", encoded(&asked.session_id));
        self.ask(Method::PATCH, &path, Some(&fields)).await
    }

    /// Answers what a session's agent asks.
    pub async fn answer_session(&self, asked: &AnswerSession) -> Result<Answer<AnsweredReply>, ClientError> {
        let fields = without_session(asked)?;
        self.post(&format!("/sessions/{}/answer", encoded(&asked.session_id)), &fields).await
    }

    /// Tells what a hook was given.
    pub async fn report_hook(&self, told: &ReportHook) -> Result<Answer<HeardReply>, ClientError> {
        self.post("/hook", &body(told)?).await
    }

    /// What a session showed.
    pub async fn transcript(&self, asked: &GetSessionData) -> Result<Answer<ContentReply>, ClientError> {
        let rest = query(asked, &["session_id"])?;
        self.get(&format!("/sessions/{}/transcript{rest}", encoded(&asked.session_id))).await
    }

    /// What was said and done.
    pub async fn search(&self, asked: &SearchSessions) -> Result<Answer<SearchReply>, ClientError> {
        self.get(&format!("/search{}", query(asked, &[])?)).await
    }

    /// The config in force.
    pub async fn config(&self) -> Result<Answer<ConfigReply>, ClientError> {
        self.get("/config").await
    }

    /// Hands over the personal layer.
    pub async fn put_my_config(&self, asked: &PutMyConfig) -> Result<Answer<MyConfigReply>, ClientError> {
        self.ask(Method::PUT, "/me/config", Some(&body(asked)?)).await
    }

    /// Reads the config again.
    pub async fn reload(&self) -> Result<Answer<ReloadedReply>, ClientError> {
        self.post("/reload", &json!({})).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, ClientError> {
        self.ask(Method::GET, path, None).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, fields: &Value) -> Result<Answer<T>, ClientError> {
        self.ask(Method::POST, path, Some(fields)).await
    }

    /// One request and its answer. Never sent twice.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        fields: Option<&Value>,
    ) -> Result<Answer<T>, ClientError> {
        let change = method != Method::GET;
        let request = self.request(method, path, fields)?;
        let mut held = self.connection.lock().await;
        let kept = match held.take() {
            // A connection that the daemon has closed meanwhile says so here, before anything is sent.
            Some(mut sender) => sender.ready().await.is_ok().then_some(sender),
            None => None,
        };
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.dial().await?,
        };
        let exchange = async {
            let (head, incoming) =
                sender.send_request(request).await.map_err(|e| e.to_string())?.into_parts();
            let body = Limited::new(incoming, BODY_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
            Ok::<_, String>((head, body.to_bytes()))
        };
        let (head, bytes) = self.answered(exchange, change).await?;
        *held = Some(sender);
        drop(held);
        read(head.status, &bytes)
    }

    /// Waits for an exchange as long as an answer may take. `change`: whether it may have done something.
    async fn answered<T>(
        &self,
        exchange: impl Future<Output = Result<T, String>>,
        change: bool,
    ) -> Result<T, ClientError> {
        let answer_time = self.endpoint.answer_time;
        let message = match timeout(answer_time, exchange).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(problem)) => format!("the daemon ended the connection without an answer: {problem}"),
            Err(_) => format!("the daemon did not answer within {} seconds", answer_time.as_secs_f32()),
        };
        Err(ClientError::NoAnswer { path: self.endpoint.path.clone(), message, change })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        fields: Option<&Value>,
    ) -> Result<http::Request<Full<Bytes>>, ClientError> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .header(HOST, "localhost")
            .header(ACCEPT, "application/json");
        if let Some(token) = &self.endpoint.token {
            let mut value = HeaderValue::from_str(token.expose_secret())
                .map_err(|_| ClientError::Protocol("TELECLAUDE_TOKEN is no token".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(TOKEN_HEADER, value);
        }
        let bytes = match fields {
            Some(fields) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(fields.to_string())
            }
            None => Bytes::new(),
        };
        request.body(Full::new(bytes)).map_err(|e| ClientError::Protocol(format!("no request: {e}")))
    }

    async fn dial(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let endpoint = &self.endpoint;
        let until = Instant::now() + endpoint.connect_time;
        let stream = loop {
            match timeout(endpoint.connect_time, UnixStream::connect(&endpoint.path)).await {
                Ok(Ok(stream)) => break stream,
                // Linux says so at once, instead of waiting, while the daemon's queue of connections is full.
                Ok(Err(e)) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                    sleep(BACK_OFF).await;
                }
                Ok(Err(e)) => return Err(unreachable(&endpoint.path, endpoint.system, &e)),
                Err(_) => {
                    let late = io::Error::from(io::ErrorKind::TimedOut);
                    return Err(unreachable(&endpoint.path, endpoint.system, &late));
                }
            }
        };
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| {
                let problem = io::Error::other(e);
                unreachable(&endpoint.path, endpoint.system, &problem)
            })?;
        // Ends with the sender; what goes wrong in it is told to whoever waits for an answer.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }
}

/// The error for a socket that could not be connected to, in words and with the way out.
pub fn unreachable(path: &Path, system: bool, problem: &io::Error) -> ClientError {
    let shown = path.display();
    let start = format!("start it: {}", start_command(system));
    let (message, hint) = match problem.kind() {
        io::ErrorKind::NotFound => (format!("the daemon is not running: there is no {shown}"), start),
        io::ErrorKind::ConnectionRefused => {
            (format!("the daemon is not running: {shown} is there, but nobody listens on it"), start)
        }
        io::ErrorKind::PermissionDenied if system => (
            format!("this user may not connect to {shown}"),
            format!("see `ls -ld {shown}` and its folder; an administrator can let this user in"),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("this user may not connect to {shown}"),
            "the socket belongs to another user; give your own with --socket or TELECLAUDE_SOCKET".to_owned(),
        ),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => (
            format!("the daemon does not take connections on {shown}"),
            "it is too busy or hangs; look at its log, then try again".to_owned(),
        ),
        io::ErrorKind::InvalidInput => (
            format!("{shown} cannot be a socket's path: {problem}"),
            "use a shorter path with --socket or TELECLAUDE_SOCKET".to_owned(),
        ),
        _ => (format!("cannot connect to {shown}: {problem}"), start),
    };
    ClientError::Unreachable { path: path.to_owned(), errno: problem.raw_os_error(), message, hint }
}

/// The command that starts the daemon here.
pub const fn start_command(system: bool) -> &'static str {
    match (system, cfg!(target_os = "macos")) {
        (true, true) => "sudo launchctl kickstart system/ai.instrukt.teleclaude",
        (true, false) => "sudo systemctl start teleclaude.socket",
        (false, _) => "teleclaude daemon",
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, bytes: &[u8]) -> Result<Answer<T>, ClientError> {
    if !status.is_success() {
        return Err(fault(status, bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ClientError::Protocol("not UTF-8".to_owned()))?;
    let reply = serde_json::from_str(text).map_err(|e| ClientError::Protocol(e.to_string()))?;
    Ok(Answer { reply, text: text.to_owned() })
}

/// What of `application/problem+json` concerns us.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    hint: Option<String>,
    field: Option<String>,
    retry_after_ms: Option<i64>,
}

fn fault(status: StatusCode, bytes: &[u8]) -> ClientError {
    let Ok(problem) = serde_json::from_slice::<Problem>(bytes) else {
        return ClientError::Protocol(format!("status {} without an explanation", status.as_u16()));
    };
    // A code that only a newer daemon knows still has a status.
    let code = serde_json::from_value(Value::String(problem.code)).unwrap_or(match status.as_u16() {
        400 | 422 => FaultCode::Invalid,
        401 | 403 => FaultCode::Denied,
        404 => FaultCode::NotFound,
        409 => FaultCode::Conflict,
        429 => FaultCode::RateLimited,
        503 => FaultCode::Unavailable,
        504 => FaultCode::Timeout,
        _ => FaultCode::Internal,
    });
    ClientError::Fault(Fault {
        code,
        message: problem.detail,
        hint: problem.hint,
        field: problem.field,
        retry_after_ms: problem.retry_after_ms,
    })
}

fn body(fields: &impl Serialize) -> Result<Value, ClientError> {
    serde_json::to_value(fields).map_err(|e| ClientError::Protocol(format!("no request: {e}")))
}

/// The fields of a request whose session stands in the path.
fn without_session(asked: &impl Serialize) -> Result<Value, ClientError> {
    let mut fields = body(asked)?;
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("session_id");
    }
    Ok(fields)
}

/// The fields that are set as a query string, `?` included; those in `without` are left out.
fn query(fields: &impl Serialize, without: &[&str]) -> Result<String, ClientError> {
    let mut text = String::new();
    for (name, value) in body(fields)?.as_object().into_iter().flatten() {
        if without.contains(&name.as_str()) {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(&format!("{name}={}", encoded(&value)));
    }
    Ok(text)
}

/// Percent-encodes all but the unreserved characters, so that a value stays one path segment or one query value.
/// Dots alone are encoded too: `..` must not climb.
fn encoded(text: &str) -> String {
    let only_dots = text.bytes().all(|b| b == b'.');
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'.' if only_dots => out.push_str("%2E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_one_segment() {
        for (given, expected) in
            [("0192", "0192"), ("a/b?c=d&e", "a%2Fb%3Fc%3Dd%26e"), ("..", "%2E%2E"), ("ä +", "%C3%A4%20%2B")]
        {
            assert_eq!(encoded(given), expected);
        }
    }

    #[test]
    fn only_what_is_set_is_asked() {
        let asked = GetSessionData {
            session_id: "0192".to_owned(),
            tail_chars: Some(9),
            reason: Some("ticket 7 & more".to_owned()),
            ..GetSessionData::default()
        };
        assert_eq!(query(&asked, &["session_id"]).unwrap(), "?reason=ticket%207%20%26%20more&tail_chars=9");
        assert_eq!(query(&ListSessions::default(), &[]).unwrap(), "");
    }

    #[test]
    fn faults_keep_their_fields_and_unknown_codes_their_status() {
        let known = br#"{"type":"about:blank","status":422,"code":"invalid","detail":"reason: missing","hint":"give one","field":"reason"}"#;
        let ClientError::Fault(fault_) = fault(StatusCode::UNPROCESSABLE_ENTITY, known) else { panic!() };
        assert_eq!(fault_, Fault::invalid("reason", "missing").hint("give one"));
        let newer = br#"{"code":"asleep","detail":"not now"}"#;
        let ClientError::Fault(fault_) = fault(StatusCode::FORBIDDEN, newer) else { panic!() };
        assert_eq!(fault_.code, FaultCode::Denied);
        assert!(matches!(fault(StatusCode::BAD_GATEWAY, b"<html>"), ClientError::Protocol(_)));
    }

    #[test]
    fn a_token_is_never_shown() {
        let mut endpoint = Endpoint::new("/run/x.sock".into(), true);
        endpoint.token = Some(SecretString::from("invented-token-1"));
        let client = Client::new(endpoint);
        let request = client.request(Method::GET, "/whoami", None).unwrap();
        assert_eq!(request.headers()[TOKEN_HEADER].as_bytes(), b"invented-token-1");
        assert!(!format!("{client:?}{request:?}").contains("invented-token-1"));
    }
}
