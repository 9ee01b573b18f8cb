//! `teleclaude sessions end --all`: asks for the end of each open session, and waits until none of them is left. One
//! request a session: each is judged and written down for itself.

use crate::cli::bulk::{self, again_when_limited};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{short, short_length, visible};
use crate::client::{Client, ClientError};
use crate::domain::session::SessionStatus;
use crate::domain::timestamp::Timestamp;
use crate::wire::fault::FaultCode;
use crate::wire::request::EndSession;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Sessions that were asked to end have ended after this, or are reported.
const ENDED_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at what is left.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Those whose end may be asked for, or is awaited.
const OPEN: [SessionStatus; 3] = [SessionStatus::Starting, SessionStatus::Running, SessionStatus::Ending];

/// Which open sessions, and how.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    /// Everybody's that one may see, and why.
    pub reason: Option<&'a str>,
    /// Only those in which nothing has happened since then.
    pub older_than: Option<Timestamp>,
    /// Whether their worktrees go too.
    pub remove_worktree: bool,
}

/// Ends one's own open sessions; with a reason, everybody's that one may see.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    which: Which<'_>,
    yes: bool,
    json: bool,
) -> Result<(), Failure> {
    let everybodys = which.reason.is_some();
    let mut sessions = bulk::sessions(client, &OPEN, None, everybodys).await?;
    if let Some(than) = which.older_than {
        sessions.retain(|session| Timestamp::parse(&session.last_activity).is_ok_and(|last| last < than));
    }
    let whose = if everybodys { "everybody's" } else { "your" };
    let question = format!("This ends {whose} {} open sessions.", sessions.len());
    bulk::sure(console, &sessions, yes, &question, "nothing was ended")?;
    let length = short_length(sessions.iter().map(|s| s.session_id.as_str()));
    let (mut asked, mut failed) = (HashSet::new(), Vec::new());
    for (at, session) in sessions.iter().enumerate() {
        let id = &session.session_id;
        let end = EndSession {
            session_id: id.clone(),
            remove_worktree: which.remove_worktree.then_some(true),
            reason: which.reason.map(str::to_owned),
        };
        let outcome = match again_when_limited(async || client.end_session(&end).await).await {
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
        let open = bulk::sessions(client, &OPEN, None, everybodys).await?;
        let open: HashSet<String> = open.into_iter().map(|s| s.session_id).collect();
        left.retain(|id| open.contains(id));
        if left.is_empty() || Instant::now() >= deadline {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    let seconds = ENDED_WITHIN.as_secs();
    failed.extend(left.iter().map(|id| (id.clone(), format!("has not ended within {seconds} s"))));
    bulk::tell(console, "ended", asked.difference(&left).collect(), &failed, json)
}
