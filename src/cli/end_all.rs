//! `teleclaude sessions end --all`: asks for the end of each open session, and waits until none of them is left. One
//! request a session: each is judged and written down for itself.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{short, short_length, visible};
use crate::client::{Client, ClientError};
use crate::domain::session::SessionStatus;
use crate::wire::fault::FaultCode;
use crate::wire::reply::SessionReply;
use crate::wire::request::ListSessions;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Sessions that were asked to end have ended after this, or are reported.
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Sessions on a page of the list.
const PAGE: i64 = 100;
/// The longest wait that a daemon may ask for between two requests.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Ends one's own open sessions; with a reason, everybody's that one may see.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    reason: Option<&str>,
    yes: bool,
    json: bool,
) -> Result<(), Failure> {
    let sessions = open(client, reason.is_some()).await?;
    if !sessions.is_empty() && !yes && console.interactive {
        let whose = if reason.is_some() { "everybody's" } else { "your" };
        let question = format!("This ends {whose} {} open sessions. Type yes to go on:", sessions.len());
        if console.ask(&question).as_deref() != Some("yes") {
            return Err(Failure::usage("nothing was ended; `--yes` goes on without asking"));
        }
    }
    let length = short_length(sessions.iter().map(|s| s.session_id.as_str()));
    let (mut asked, mut failed) = (HashSet::new(), Vec::new());
    for (at, session) in sessions.iter().enumerate() {
        let id = &session.session_id;
        let outcome = match again_when_limited(async || client.end_session(id, reason).await).await {
            Ok(_) => {
                asked.insert(id.clone());
                "ending".to_owned()
            }
            // It came to its end by itself.
            Err(Failure::Client(ClientError::Fault(fault))) if fault.code == FaultCode::NotFound => {
                "gone".to_owned()
            }
            Err(failure @ Failure::Client(ClientError::Fault(_))) => {
                let problem = failure.messages().join("; ");
                failed.push((id.clone(), problem.clone()));
                problem
            }
            Err(failure) => return Err(failure),
        };
        console.note(&visible(&format!(
            "{}/{} {} of {}: {outcome}",
            at + 1,
            sessions.len(),
            short(id, length),
            session.owner_person
        )));
    }
    let mut left = asked.clone();
    let deadline = Instant::now() + ENDED_WITHIN;
    while !left.is_empty() {
        let open: HashSet<String> =
            open(client, reason.is_some()).await?.into_iter().map(|s| s.session_id).collect();
        left.retain(|id| open.contains(id));
        if left.is_empty() || Instant::now() >= deadline {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    let seconds = ENDED_WITHIN.as_secs();
    failed.extend(left.iter().map(|id| (id.clone(), format!("has not ended within {seconds} s"))));
    let ended = asked.len() - left.len();
    if json {
        let mut ids: Vec<&String> = asked.difference(&left).collect();
        ids.sort();
        let failed: Vec<_> = failed
            .iter()
            .map(|(id, problem)| serde_json::json!({ "session_id": id, "problem": problem }))
            .collect();
        console.say_json(&serde_json::json!({ "ended": ids, "failed": failed }).to_string())?;
    } else {
        console.say(&format!("{ended} ended, {} failed\n", failed.len()))?;
        for (id, problem) in &failed {
            console.say(&format!("{}\n", visible(&format!("{id}: {problem}"))))?;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Told) }
}

/// The open sessions of this machine: one's own, or all that one may see.
async fn open(client: &Client, everybodys: bool) -> Result<Vec<SessionReply>, Failure> {
    let me = again_when_limited(async || client.whoami().await).await?.reply;
    let mut open = Vec::new();
    for status in [SessionStatus::Starting, SessionStatus::Running, SessionStatus::Ending] {
        let mut asked = ListSessions { status: Some(status), limit: Some(PAGE), ..ListSessions::default() };
        loop {
            let page = again_when_limited(async || client.sessions(&asked).await).await?.reply;
            open.extend(page.sessions.into_iter().filter(|session| {
                everybodys
                    || (session.owner_uid == me.uid && Some(&session.owner_person) == me.person.as_ref())
            }));
            match page.next_cursor {
                Some(next) => asked.cursor = Some(next),
                None => break,
            }
        }
    }
    // One that moved on between two lists is in both.
    let mut seen = HashSet::new();
    open.retain(|session| seen.insert(session.session_id.clone()));
    Ok(open)
}

/// Asks again as long as the answer is that there were too many requests.
async fn again_when_limited<T>(ask: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, Failure> {
    let give_up = Instant::now() + 2 * PAUSE_MAX;
    loop {
        match ask().await {
            Err(ClientError::Fault(fault)) if fault.retry_after_ms.is_some() && Instant::now() < give_up => {
                let ms = u64::try_from(fault.retry_after_ms.unwrap_or_default()).unwrap_or_default();
                sleep(Duration::from_millis(ms.max(10)).min(PAUSE_MAX)).await;
            }
            other => return other.map_err(Failure::from),
        }
    }
}
