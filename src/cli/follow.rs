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
    let mut away: Option<Away> = None;
    loop {
        let broken = match following.next().await? {
            Some(Followed::Content { content, cursor }) => {
                let json = asked.format == Some(ContentFormat::Json);
                console.say(&if json { json_visible(&content) } else { visible_text(&content) })?;
                console.out.flush().map_err(Failure::Output)?;
                asked.cursor = Some(cursor);
                away = None;
                continue;
            }
            Some(Followed::End { exit }) => {
                let exit = exit.map(|exit| format!(" ({})", visible(&exit))).unwrap_or_default();
                console.note(&format!("The session has ended{exit}."));
                return Ok(());
            }
            Some(Followed::Error { code, message }) => Fault::new(code, format!("cut off: {message}")),
            None => Fault::new(FaultCode::Unavailable, "cut off: the connection is over"),
        };
        let now = Instant::now();
        let away = away.get_or_insert_with(|| Away::since(now));
        if broken.code != FaultCode::Unavailable || away.is_for_good(now) {
            return Err(ClientError::Fault(broken).into());
        }
        following = back(client, &asked, away).await?;
    }
}

/// Nothing was shown since it was cut off, however often it began again: each beginning is written down, and costs.
struct Away {
    until: Instant,
    pause: Duration,
}

impl Away {
    fn since(now: Instant) -> Self {
        Self { until: now + BACK_WITHIN, pause: BACK_OFF }
    }

    fn is_for_good(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// How long to wait before the next try.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(BACK_OFF_AT_MOST);
        pause
    }
}

/// Waits for the daemon, and goes on.
async fn back(client: &Client, asked: &FollowSession, away: &mut Away) -> Result<Following, Failure> {
    loop {
        sleep(away.next_pause()).await;
        match client.follow(asked).await {
            Ok(following) => return Ok(following),
            Err(error) if !away.is_for_good(Instant::now()) && may_pass(&error) => {}
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

#[cfg(test)]
mod tests {
    use super::{Away, BACK_OFF_AT_MOST, BACK_WITHIN};
    use tokio::time::Instant;

    #[test]
    fn what_begins_again_and_again_and_shows_nothing_has_an_end() {
        let now = Instant::now();
        let mut away = Away::since(now);
        let mut at = now;
        let mut tries = 0;
        while !away.is_for_good(at) {
            at += away.next_pause();
            tries += 1;
        }
        assert!(tries < 40 && at < now + BACK_WITHIN + BACK_OFF_AT_MOST, "{tries}");
    }
}
