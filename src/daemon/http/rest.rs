//! The REST paths: which method and path stands for which kind of request, and how its arguments are read.

use crate::daemon::front::Front;
use crate::daemon::http::attach::{self, Way};
use crate::daemon::http::{Body, audit, events, export, follow, problem, secrets};
use crate::daemon::mcp::tools::{arguments, body as json_body};
use crate::domain::caller::{Peer, Via};
use crate::domain::verb::Verb;
use crate::wire::credential::{DeleteCredential, ListCredentials};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::inbox::Inbox;
use crate::wire::limits::TOKEN_HEADER;
use crate::wire::reply::Reply;
use crate::wire::request::{ExplainPerson, PutMyConfig, Request, SessionRef};
use axum::extract::Query;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Query parameters that are whole numbers.
const INTEGERS: [&str; 2] = ["limit", "tail_chars"];
/// Query parameters that are true or false.
const BOOLEANS: [&str; 5] = ["all", "all_computers", "follow", "system", "unread"];

/// Answers one request.
pub async fn answer(
    front: Arc<Front>,
    peer: Arc<Peer>,
    parts: &Parts,
    body: &[u8],
    way: Way,
) -> Response<Body> {
    let token: Option<SecretString> =
        parts.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).map(Into::into);
    let path = parts.uri.path();
    let gone = CancellationToken::new();
    let _gone = gone.clone().drop_guard();
    if path == "/healthz" && parts.method == Method::GET {
        let caller = front.caller(&peer, Via::Http, None);
        let reply = front.ask(&peer, &caller, None, Request::Health, &gone).await;
        let (status, word) = match reply {
            Ok(Reply::Health(health)) if health.status == "ok" => (StatusCode::OK, health.status),
            Ok(Reply::Health(health)) => (StatusCode::SERVICE_UNAVAILABLE, health.status),
            Ok(_) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable".to_owned()),
        };
        return problem::bytes(status, "text/plain; charset=utf-8", format!("{word}\n").into_bytes());
    }
    let Some(segments) = segments(path) else { return problem::unknown_path() };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let Some((name, verb)) = route(&parts.method, &segments) else { return problem::unknown_path() };
    let caller = front.caller(&peer, Via::Http, token.as_ref());
    // Everybody may ask who they are and whether the daemon is well.
    if !matches!(verb, Verb::Whoami | Verb::Health) && !front.backend.may(&caller, verb) {
        return match front.refuse(&peer, &caller, token.as_ref(), verb).await {
            Some(fault) => problem::response(&fault),
            None => problem::unknown_path(),
        };
    }
    if name == EVENTS {
        return events::stream(front, peer, token, &parts.headers);
    }
    if name == ATTACH {
        let session = SessionRef { session_id: segments.get(1).copied().unwrap_or_default().to_owned() };
        return match body_of(body, session) {
            Ok(asked) => attach::answer(&front, &peer, &caller, token, (parts, way), asked).await,
            Err(fault) => problem::response(&fault),
        };
    }
    if name == "get_session_data" && asks_to_follow(parts) {
        let session = SessionRef { session_id: segments.get(1).copied().unwrap_or_default().to_owned() };
        return match query(parts, Some(session)) {
            Ok(asked) => follow::answer(front, peer, &caller, token, asked).await,
            Err(fault) => problem::response(&fault),
        };
    }
    if name == EXPORT {
        let session = SessionRef { session_id: segments.get(1).copied().unwrap_or_default().to_owned() };
        return match query(parts, Some(session)) {
            Ok(asked) => export::answer(&front, &peer, &caller, token, way.cut, asked).await,
            Err(fault) => problem::response(&fault),
        };
    }
    let request = match request(name, &segments, parts, body) {
        Ok(request) => request,
        Err(fault) => return problem::response(&fault),
    };
    debug_assert_eq!(request.verb(), verb, "what a path does is what its request does");
    if audit::is_sent_in_parts(verb) {
        return audit::answer(front, peer, &caller, token, request, &gone).await;
    }
    match front.ask(&peer, &caller, token, request, &gone).await {
        Ok(reply @ Reply::Started(_)) => problem::json(StatusCode::CREATED, &reply),
        Ok(reply) => problem::json(StatusCode::OK, &reply),
        Err(fault) => problem::response(&fault),
    }
}

/// What `/api/v1/events` is called here; who may list sessions may listen.
const EVENTS: &str = "events";
/// What attaching is called here; who may watch may ask, and typing is judged by what the body says.
const ATTACH: &str = "attach";

/// What taking a session out as a file is called here.
const EXPORT: &str = "export";

/// What a method and path stand for: which request, and what it does.
fn route(method: &Method, segments: &[&str]) -> Option<(&'static str, Verb)> {
    let get = method == Method::GET;
    let post = method == Method::POST;
    let put = method == Method::PUT;
    let patch = method == Method::PATCH;
    let delete = method == Method::DELETE;
    Some(match segments {
        ["whoami"] if get => ("whoami", Verb::Whoami),
        ["health"] if get => ("health", Verb::Health),
        ["projects"] if get => ("list_projects", Verb::ListProjects),
        ["agents"] if get => ("list_agents", Verb::ListAgents),
        ["computers"] if get => ("list_computers", Verb::ListComputers),
        ["sessions"] if get => ("list_sessions", Verb::ListSessions),
        ["sessions"] if post => ("start_session", Verb::StartSession),
        ["sessions", "command"] if post => ("run_agent_command", Verb::StartSession),
        ["sessions", _] if get => ("get_session", Verb::ShowSession),
        ["sessions", _, "messages"] if post => ("send_message", Verb::SendMessage),
        ["sessions", _, "end"] if post => ("end_session", Verb::EndSession),
        ["sessions", _] if delete => ("purge_session", Verb::PurgeSession),
        ["sessions", _, "resume"] if post => ("resume_session", Verb::ResumeSession),
        ["sessions", _, "interrupt"] if post => ("interrupt_session", Verb::InterruptSession),
        ["sessions", _, "labels"] if patch => ("label_session", Verb::LabelSession),
        ["sessions", _] if patch => ("rename_session", Verb::RenameSession),
        ["sessions", _, "export"] if get => (EXPORT, Verb::ExportSession),
        ["sessions", _, "answer"] if post => ("answer_session", Verb::AnswerSession),
        ["hook"] if post => ("report_hook", Verb::ReportHook),
        ["sessions", _, "transcript"] if get => ("get_session_data", Verb::ReadSession),
        ["search"] if get => ("search_sessions", Verb::SearchSessions),
        ["sessions", _, "attach"] if post => (ATTACH, Verb::AttachReadOnly),
        ["sessions", _, "watch"] if put => ("subscribe", Verb::Watch),
        ["sessions", _, "watch"] if delete => ("stop_notifications", Verb::Watch),
        ["events"] if get => (EVENTS, Verb::ListSessions),
        ["inbox"] if get => ("inbox", Verb::ReadInbox),
        ["inbox", "read"] if post => ("mark_inbox", Verb::MarkInbox),
        ["audit", "mine"] if get => ("who_read_my_sessions", Verb::WhoReadMine),
        ["audit", below @ ..] => return audit::route(method, below),
        ["config"] if get => ("show_config", Verb::ShowConfig),
        ["me", "config"] if put => ("put_my_config", Verb::PutMyConfig),
        ["credentials"] if get => ("list_credentials", Verb::ListCredentials),
        ["credentials", "import"] if post => ("import_credentials", Verb::ImportCredentials),
        ["credentials", _] if put => ("put_credential", Verb::PutCredential),
        ["credentials", _] if delete => ("delete_credential", Verb::DeleteCredential),
        ["keys"] if get => ("show_keys", Verb::ShowKeys),
        ["keys"] if post => ("generate_key", Verb::GenerateKey),
        ["keys", "rotate"] if post => ("rotate_key", Verb::RotateKey),
        ["people", _, "explain"] if get => ("explain_person", Verb::ExplainPerson),
        ["reload"] if post => ("reload", Verb::Reload),
        _ => return None,
    })
}

/// The request of that kind.
fn request(name: &str, segments: &[&str], parts: &Parts, body: &[u8]) -> Result<Request, Fault> {
    let session = || SessionRef { session_id: segments.get(1).copied().unwrap_or_default().to_owned() };
    Ok(match name {
        "whoami" => Request::Whoami,
        "health" => Request::Health,
        "list_projects" => Request::ListProjects,
        "list_agents" => Request::ListAgents,
        "list_computers" => Request::ListComputers,
        "list_sessions" => Request::ListSessions(query(parts, None)?),
        "start_session" => Request::StartSession(json_body(body)?),
        "run_agent_command" => Request::RunAgentCommand(json_body(body)?),
        "get_session" => Request::ShowSession(session()),
        "send_message" => Request::SendMessage(body_of(body, session())?),
        "end_session" => Request::EndSession(body_of(body, session())?),
        "purge_session" => Request::PurgeSession(body_of(body, session())?),
        "resume_session" => Request::ResumeSession(body_of(body, session())?),
        "interrupt_session" => Request::InterruptSession(body_of(body, session())?),
        "label_session" => Request::LabelSession(body_of(body, session())?),
        "rename_session" => Request::RenameSession(body_of(body, session())?),
        "answer_session" => Request::AnswerSession(body_of(body, session())?),
        "report_hook" => Request::ReportHook(json_body(body)?),
        "get_session_data" => Request::ReadSession(query(parts, Some(session()))?),
        "search_sessions" => Request::SearchSessions(query(parts, None)?),
        "subscribe" => Request::Subscribe(session()),
        "stop_notifications" => Request::StopNotifications(session()),
        "inbox" => Request::Inbox(read_only(query(parts, None)?)?),
        "mark_inbox" => Request::Inbox(marking(json_body(body)?)?),
        "who_read_my_sessions" => Request::WhoReadMine(query(parts, None)?),
        "show_config" => Request::ShowConfig,
        "put_my_config" => Request::PutMyConfig(my_config(parts, body)?),
        "list_credentials" => Request::ListCredentials(query(parts, None)?),
        "put_credential" => Request::PutCredential(secrets::put(segments, body)?),
        "delete_credential" => Request::DeleteCredential(DeleteCredential {
            name: segments.get(1).copied().unwrap_or_default().to_owned(),
            system: query::<ListCredentials>(parts, None)?.system,
        }),
        "import_credentials" => Request::ImportCredentials(secrets::import(body)?),
        "show_keys" => Request::ShowKeys,
        "generate_key" => Request::GenerateKey,
        "rotate_key" => Request::RotateKey,
        "explain_person" => Request::ExplainPerson(ExplainPerson {
            user: segments.get(1).copied().unwrap_or_default().to_owned(),
        }),
        "reload" => Request::Reload,
        other => {
            let below = segments.get(1..).unwrap_or_default();
            return audit::request(other, below, parts, body)
                .unwrap_or_else(|| Err(Fault::new(FaultCode::Internal, "this path has no request")));
        }
    })
}

/// Looking into the inbox marks nothing.
fn read_only(args: Inbox) -> Result<Inbox, Fault> {
    let there = |field: &str| Fault::invalid(field, "is for POST /inbox/read");
    match &args {
        Inbox { mark_read: Some(_), .. } => Err(there("mark_read")),
        Inbox { mark_all: Some(_), .. } => Err(there("mark_all")),
        _ => Ok(args),
    }
}

/// Marking must say what.
fn marking(args: Inbox) -> Result<Inbox, Fault> {
    if args.marks() { Ok(args) } else { Err(Fault::invalid("mark_read", "must be given, or mark_all: true")) }
}

/// The decoded parts of a path below `/api/v1`; `None` if it lies elsewhere or is not UTF-8.
fn segments(path: &str) -> Option<Vec<String>> {
    path.strip_prefix("/api/v1/")?.split('/').map(decode).collect()
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        bytes.push(digit(digits[0])? * 16 + digit(digits[1])?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// Whether a transcript is to be followed instead of read. What else the query says is looked at later.
fn asks_to_follow(parts: &Parts) -> bool {
    parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("follow=")))
}

/// Arguments out of the query, and the session out of the path.
pub(super) fn query<T: DeserializeOwned>(parts: &Parts, session: Option<SessionRef>) -> Result<T, Fault> {
    with_session(fields(parts)?, session)
}

/// Arguments out of the query.
pub(super) fn fields(parts: &Parts) -> Result<Map<String, Value>, Fault> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|_| Fault::invalid("query", "is not well-formed"))?;
    let mut fields = Map::new();
    for (key, text) in pairs {
        let value = if INTEGERS.contains(&key.as_str()) {
            let number: i64 = text.parse().map_err(|_| Fault::invalid(&key, "must be a whole number"))?;
            Value::from(number)
        } else if BOOLEANS.contains(&key.as_str()) {
            let truth: bool = text.parse().map_err(|_| Fault::invalid(&key, "must be true or false"))?;
            Value::from(truth)
        } else {
            Value::from(text)
        };
        if fields.contains_key(&key) {
            let key: String = key.chars().take(64).collect();
            return Err(Fault::invalid(&key, "is given twice"));
        }
        fields.insert(key, value);
    }
    Ok(fields)
}

/// Arguments out of a JSON body (nothing is `{}`), and the session out of the path.
fn body_of<T: DeserializeOwned>(body: &[u8], session: SessionRef) -> Result<T, Fault> {
    let fields =
        if body.trim_ascii().is_empty() { Map::new() } else { json_body::<Map<String, Value>>(body)? };
    with_session(fields, Some(session))
}

fn with_session<T: DeserializeOwned>(
    mut fields: Map<String, Value>,
    session: Option<SessionRef>,
) -> Result<T, Fault> {
    if let Some(session) = session {
        if fields.contains_key("session_id") {
            return Err(Fault::invalid("session_id", "stands in the path"));
        }
        fields.insert("session_id".to_owned(), session.session_id.into());
    }
    arguments(fields)
}

/// A personal layer: YAML as it is, or JSON with the YAML in it.
fn my_config(parts: &Parts, body: &[u8]) -> Result<PutMyConfig, Fault> {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return json_body(body);
    }
    let yaml = std::str::from_utf8(body).map_err(|_| Fault::invalid("body", "is not UTF-8"))?.to_owned();
    Ok(PutMyConfig { yaml, path: None })
}

#[cfg(test)]
mod tests {
    use super::{decode, route, segments};
    use crate::domain::verb::Verb;
    use http::Method;

    #[test]
    fn paths_are_decoded_and_only_ours_are_known() {
        assert_eq!(decode("a%20b%2F").as_deref(), Some("a b/"));
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
        assert_eq!(segments("/api/v1/people/ann/explain").unwrap(), ["people", "ann", "explain"]);
        assert_eq!(segments("/api/v2/whoami"), None);
        assert_eq!(route(&Method::GET, &["sessions"]), Some(("list_sessions", Verb::ListSessions)));
        assert_eq!(
            route(&Method::POST, &["sessions", "command"]),
            Some(("run_agent_command", Verb::StartSession))
        );
        assert_eq!(route(&Method::DELETE, &["sessions"]), None);
        assert_eq!(route(&Method::GET, &["sessions", "x", "y"]), None);
    }
}
