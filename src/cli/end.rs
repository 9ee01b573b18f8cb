//! `teleclaude sessions end ID`: ends one session, and says what became of its worktree. Many at a time are `end_all`.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::render::visible;
use crate::client::Client;
use crate::domain::session::SessionStatus;
use crate::wire::request::EndSession;
use crate::wire::session::EndedReply;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// An ended session's worktree is gone after this, or it stays.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);
/// A session whose end was asked for has ended after this.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Ends it; waits for its worktree, if that is to go too.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    id: &str,
    reason: Option<&str>,
    remove_worktree: bool,
    json: bool,
) -> Result<(), Failure> {
    let mut asked = EndSession {
        session_id: id.to_owned(),
        remove_worktree: remove_worktree.then_some(true),
        reason: reason.map(str::to_owned),
    };
    let mut answer = client.end_session(&asked).await;
    if let Some(reason) = reason::ask_for(console, answer.as_ref().err(), reason) {
        asked.reason = Some(reason);
        answer = client.end_session(&asked).await;
    }
    let answer = answer?;
    if json {
        return console.say_json(&answer.text);
    }
    console.say(&ended(&answer.reply))?;
    if remove_worktree { said_of_worktree(console, client, &answer.reply.session_id).await } else { Ok(()) }
}

/// Waits until a session's worktree is gone, or has to be taken for kept, and says which.
async fn said_of_worktree(console: &mut Console<'_>, client: &Client, id: &str) -> Result<(), Failure> {
    let mut give_up = Instant::now() + ENDED_WITHIN;
    let mut over = false;
    loop {
        let now = client.session(id).await?.reply;
        let Some(path) = now.worktree_path else {
            let removed = now.worktree_branch.is_some();
            return console.say(if removed { "worktree removed\n" } else { "it has no worktree\n" });
        };
        if !over && now.status == SessionStatus::Ended.name() {
            over = true;
            give_up = Instant::now() + REMOVED_WITHIN;
        }
        if Instant::now() >= give_up {
            let branch = now.worktree_branch.unwrap_or_default();
            console.say(&format!("{}\n", visible(&format!("worktree kept: {path}, branch {branch}"))))?;
            return Err(Failure::Told);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A session that ends.
pub fn ended(reply: &EndedReply) -> String {
    let kept = reply.worktree_path.as_ref().map(|path| format!("worktree {path}"));
    let lines = std::iter::once(format!("{} {}", reply.session_id, reply.status)).chain(kept);
    lines.map(|line| format!("{}\n", visible(&line))).collect()
}

#[cfg(test)]
mod tests {
    use super::ended;
    use crate::wire::session::EndedReply;

    #[test]
    fn what_was_ended_and_what_stays() {
        let mut reply = EndedReply {
            session_id: "019a5d2e".to_owned(),
            status: "ending".to_owned(),
            worktree_path: None,
        };
        assert_eq!(ended(&reply), "019a5d2e ending\n");
        reply.worktree_path = Some("/home/ann/\x1b[2J".to_owned());
        assert_eq!(ended(&reply), "019a5d2e ending\nworktree /home/ann/\\x1b[2J\n");
    }
}
