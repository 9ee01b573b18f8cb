//! `teleclaude sessions resume`: runs an ended session again, or all of one's own that can be. Nothing resumes unasked.

use crate::cli::bulk::{self, again_when_limited};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::render::{short, short_length, visible};
use crate::cli::sessions::changed;
use crate::client::{Client, ClientError};
use crate::domain::session::SessionStatus;
use crate::wire::fault::FaultCode;
use crate::wire::request::Steering;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Sessions that were asked to run do so after this, or are reported.
const RUNS_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at who runs.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which of one's own ended sessions.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    /// Only with activity at or after this RFC 3339 time.
    pub since: Option<&'a str>,
    /// Only those whose host vanished, as at a reboot.
    pub lost: bool,
}

/// Resumes one.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    id: &str,
    reason: Option<&str>,
    json: bool,
) -> Result<(), Failure> {
    let mut asked = Steering { session_id: id.to_owned(), reason: reason.map(str::to_owned) };
    let mut answer = client.resume_session(&asked).await;
    if let Some(reason) = reason::ask_for(console, answer.as_ref().err(), reason) {
        asked.reason = Some(reason);
        answer = client.resume_session(&asked).await;
    }
    changed(console, answer?, json)
}

/// Resumes all of one's own that have ended and whose agents said which session it was, the last active first, until
/// there may be no more.
pub async fn run_all(
    console: &mut Console<'_>,
    client: &Client,
    which: Which<'_>,
    yes: bool,
    json: bool,
) -> Result<(), Failure> {
    let this: HashSet<String> = again_when_limited(async || client.computers().await)
        .await?
        .reply
        .computers
        .into_iter()
        .filter(|computer| computer.this)
        .map(|computer| computer.name)
        .collect();
    let mut sessions = bulk::sessions(client, &[SessionStatus::Ended], which.since, false).await?;
    sessions.retain(|session| {
        session.native_session_id.is_some()
            && this.contains(&session.computer)
            && (!which.lost || session.exit.as_deref() == Some("lost"))
    });
    let question = format!("This runs {} ended sessions again.", sessions.len());
    bulk::sure(console, &sessions, yes, &question, "nothing was resumed")?;
    let length = short_length(sessions.iter().map(|s| s.session_id.as_str()));
    let (mut asked, mut failed) = (Vec::new(), Vec::new());
    for (at, session) in sessions.iter().enumerate() {
        let id = &session.session_id;
        let steering = Steering { session_id: id.clone(), reason: None };
        let mut full = false;
        let outcome = match again_when_limited(async || client.resume_session(&steering).await).await {
            Ok(_) => {
                asked.push(id.clone());
                "starting".to_owned()
            }
            Err(failure @ Failure::Client(ClientError::Fault(_))) => {
                full = matches!(&failure, Failure::Client(ClientError::Fault(fault)) if fault.code == FaultCode::LimitReached);
                let problem = failure.messages().join("; ");
                failed.push((id.clone(), problem.clone()));
                problem
            }
            Err(failure) => return Err(failure),
        };
        let place = format!("{}/{} {}", at + 1, sessions.len(), short(id, length));
        console.note(&visible(&format!("{place}: {outcome}")));
        if full {
            let rest = sessions.iter().skip(at + 1);
            failed
                .extend(rest.map(|session| (session.session_id.clone(), "the limit is reached".to_owned())));
            break;
        }
    }
    let mut running = Vec::new();
    let deadline = Instant::now() + RUNS_WITHIN;
    while !asked.is_empty() {
        let mut waiting = Vec::new();
        for id in asked {
            let now = again_when_limited(async || client.session(&id).await).await?.reply;
            match now.status.as_str() {
                "starting" => waiting.push(id),
                "ended" => failed.push((id, now.exit.unwrap_or_default())),
                _ => running.push(id),
            }
        }
        asked = waiting;
        if Instant::now() >= deadline {
            break;
        }
        if !asked.is_empty() {
            sleep(LOOK_EVERY).await;
        }
    }
    let seconds = RUNS_WITHIN.as_secs();
    failed.extend(asked.into_iter().map(|id| (id, format!("does not run after {seconds} s"))));
    bulk::tell(console, "resumed", running.iter().collect(), &failed, json)
}
