//! `teleclaude sessions purge`: deletes ended sessions with all that is kept of them, one or those that are old.
//! They are gone for everybody with the answer; what is kept of them goes in the background.

use crate::cli::bulk::{self, again_when_limited};
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::render::{short, short_length, visible};
use crate::cli::when::{self, When};
use crate::client::{Client, ClientError};
use crate::domain::session::SessionStatus;
use crate::domain::timestamp::Timestamp;
use crate::wire::fault::FaultCode;
use crate::wire::request::Steering;
use clap::builder::NonEmptyStringValueParser;

/// Arguments of `sessions purge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The session's id, or the first 8 characters of it or more
    #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present = "older_than", conflicts_with = "older_than")]
    id: Option<String>,
    /// All of your own that ended so long ago: 12h, 90d; with --reason those of everybody (administrators)
    #[arg(long, value_parser = when::parse, value_name = "TIME")]
    older_than: Option<When>,
    /// Do not ask before
    #[arg(long)]
    yes: bool,
    /// Why, where the session is somebody else's
    #[arg(long)]
    reason: Option<String>,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let everybodys = args.reason.is_some();
    let sessions = match (&args.id, &args.older_than) {
        (Some(id), _) => vec![client.session(id).await?.reply],
        (None, older_than) => {
            let than = older_than.as_ref().map(|when| Timestamp::parse(&when.rfc3339(console.look.now)));
            let than = than.transpose().map_err(|e| Failure::usage(format!("--older-than: {e}")))?;
            let mut ended = bulk::sessions(client, &[SessionStatus::Ended], None, everybodys).await?;
            ended.retain(|session| {
                let at = session.ended_at.as_deref().and_then(|at| Timestamp::parse(at).ok());
                at.is_some_and(|at| than.is_some_and(|than| at < than))
            });
            ended
        }
    };
    let what = match sessions.as_slice() {
        [one] => format!("session {}", visible(&one.session_id)),
        many => format!("{} sessions", many.len()),
    };
    let question = format!("This deletes {what} with transcript and recording, for ever.");
    bulk::sure(console, &sessions, args.yes, &question, "nothing was deleted")?;
    let length = short_length(sessions.iter().map(|s| s.session_id.as_str()));
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    let mut given = args.reason.clone();
    for (at, session) in sessions.iter().enumerate() {
        let id = &session.session_id;
        let ask = async |reason: Option<String>| {
            let asked = Steering { session_id: id.clone(), reason };
            again_when_limited(async || client.purge_session(&asked).await).await
        };
        let mut answer = ask(given.clone()).await;
        if let Err(Failure::Client(error)) = &answer
            && args.id.is_some()
            && let Some(reason) = reason::ask_for(console, Some(error), given.as_deref())
        {
            given = Some(reason);
            answer = ask(given.clone()).await;
        }
        let outcome = match answer {
            Ok(answer) => {
                gone.push(id);
                match answer.reply.worktree_path {
                    Some(path) => {
                        format!("deleted; its worktree stays if something in it is unsaved: {path}")
                    }
                    None => "deleted".to_owned(),
                }
            }
            // Somebody was faster.
            Err(Failure::Client(ClientError::Fault(fault)))
                if fault.code == FaultCode::NotFound && args.id.is_none() =>
            {
                "gone".to_owned()
            }
            Err(failure @ Failure::Client(ClientError::Fault(_))) if args.id.is_none() => {
                let problem = failure.messages().join("; ");
                failed.push((id.clone(), problem.clone()));
                problem
            }
            Err(failure) => return Err(failure),
        };
        console.note(&visible(&format!("{}/{} {}: {outcome}", at + 1, sessions.len(), short(id, length))));
    }
    bulk::tell(console, "purged", gone, &failed, json)
}
