//! `teleclaude transcript -f`: what a session says and does, as it does, until it ends or nobody wants to see more. When
//! the daemon goes away it is waited for, and it goes on where it was: nothing is shown twice and nothing left out.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::render::{BOLD, json_visible, visible, visible_text};
use crate::client::follow::Following;
use crate::client::{Client, ClientError};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::follow::{FollowSession, Followed};
use crate::wire::request::ContentFormat;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A daemon that went away has this long to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Between two tries to reach it.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_AT_MOST: Duration = Duration::from_secs(2);

/// Follows until the session's end. `banner` is said before somebody else's.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    mut asked: FollowSession,
    banner: Option<String>,
) -> Result<(), Failure> {
    let mut first = client.follow(&asked).await;
    if let Some(reason) = reason::ask_for(console, first.as_ref().err(), asked.reason.as_deref()) {
        asked.reason = Some(reason);
        first = client.follow(&asked).await;
    }
    let mut following = first?;
    if let Some(banner) = banner {
        let banner = paint(console.colour_errors, BOLD, &banner);
        console.note(&banner);
    }
    loop {
        match following.next().await? {
            Some(Followed::Content { content, cursor }) => {
                let json = asked.format == Some(ContentFormat::Json);
                console.say(&if json { json_visible(&content) } else { visible_text(&content) })?;
                console.out.flush().map_err(Failure::Output)?;
                asked.cursor = Some(cursor);
            }
            Some(Followed::End { exit }) => {
                let exit = exit.map(|exit| format!(" ({})", visible(&exit))).unwrap_or_default();
                console.note(&format!("The session has ended{exit}."));
                return Ok(());
            }
            Some(Followed::Error { code, message }) if code != FaultCode::Unavailable => {
                let fault = Fault::new(code, format!("cut off: {message}"));
                return Err(ClientError::Fault(fault).into());
            }
            Some(Followed::Error { .. }) | None => following = back(client, &asked).await?,
        }
    }
}

/// Waits for the daemon, and goes on.
async fn back(client: &Client, asked: &FollowSession) -> Result<Following, Failure> {
    let until = Instant::now() + BACK_WITHIN;
    let mut pause = BACK_OFF;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF_AT_MOST);
        match client.follow(asked).await {
            Ok(following) => return Ok(following),
            Err(error) if Instant::now() < until && may_pass(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the daemon may be better in a moment.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::NoAnswer { .. } => true,
        ClientError::Fault(fault) => {
            matches!(
                fault.code,
                FaultCode::Unavailable
                    | FaultCode::AuditUnavailable
                    | FaultCode::Busy
                    | FaultCode::RateLimited
            )
        }
        ClientError::Protocol(_) => false,
    }
}
