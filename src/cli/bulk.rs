//! What commands about many sessions share: the list of one's own, patience with limits, and what is told at the end.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::visible;
use crate::client::{Client, ClientError};
use crate::domain::session::SessionStatus;
use crate::wire::request::ListSessions;
use crate::wire::session::SessionReply;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Sessions on a page of the list.
const PAGE: i64 = 100;
/// The longest wait that a daemon may ask for between two requests.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Sessions of this machine in one of these statuses, newest activity first in each: one's own, or all that one may see.
pub async fn sessions(
    client: &Client,
    statuses: &[SessionStatus],
    since: Option<&str>,
    everybodys: bool,
) -> Result<Vec<SessionReply>, Failure> {
    let me = again_when_limited(async || client.whoami().await).await?.reply;
    let mut found = Vec::new();
    for status in statuses {
        let mut asked = ListSessions {
            status: Some(*status),
            since: since.map(str::to_owned),
            limit: Some(PAGE),
            ..ListSessions::default()
        };
        loop {
            let page = again_when_limited(async || client.sessions(&asked).await).await?.reply;
            found.extend(page.sessions.into_iter().filter(|session| {
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
    found.retain(|session| seen.insert(session.session_id.clone()));
    Ok(found)
}

/// Asks at a terminal whether to go on with these, unless `yes` was said or there are none. `nothing` says what was not
/// done.
///
/// # Errors
/// [`Failure::usage`] without a yes.
pub fn sure(
    console: &mut Console<'_>,
    sessions: &[SessionReply],
    yes: bool,
    question: &str,
    nothing: &str,
) -> Result<(), Failure> {
    if sessions.is_empty() || yes || !console.interactive {
        return Ok(());
    }
    if console.ask(&format!("{question} Type yes to go on:")).as_deref() == Some("yes") {
        return Ok(());
    }
    Err(Failure::usage(format!("{nothing}; `--yes` goes on without asking")))
}

/// Asks again as long as the answer is that there were too many requests.
pub async fn again_when_limited<T>(ask: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, Failure> {
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

/// Tells how many `word` (ended, resumed), and what went wrong with which: id and problem.
///
/// # Errors
/// [`Failure::Told`] if something went wrong.
pub fn tell(
    console: &mut Console<'_>,
    word: &str,
    mut done: Vec<&String>,
    failed: &[(String, String)],
    json: bool,
) -> Result<(), Failure> {
    if json {
        done.sort();
        let problems: Vec<_> = failed
            .iter()
            .map(|(id, problem)| serde_json::json!({ "session_id": id, "problem": problem }))
            .collect();
        console.say_json(&serde_json::json!({ word: done, "failed": problems }).to_string())?;
    } else {
        console.say(&format!("{} {word}, {} failed\n", done.len(), failed.len()))?;
        for (id, problem) in failed {
            console.say(&format!("{}\n", visible(&format!("{id}: {problem}"))))?;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Told) }
}
