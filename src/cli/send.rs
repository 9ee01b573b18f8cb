//! `teleclaude send` and `teleclaude report`: writing to a person, and telling who gave a task what was done.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::reason;
use crate::cli::render::{short, visible};
use crate::client::Client;
use crate::wire::inbox::{DeliveredReply, SendSummary, SendToPerson};
use crate::wire::limits::SESSION_PREFIX_MIN;
use clap::builder::NonEmptyStringValueParser;

/// Bytes that are read from standard input, at most; the daemon takes less.
const INPUT_MAX: usize = 64 * 1024;

/// Arguments of `send`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// To whom: a person's name, or `admins` for all admins
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    user: String,
    /// What to write; `-` reads it from standard input
    #[arg(value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    message: String,
    /// Also type it into this open session of theirs: its id, or `newest` (administrators)
    #[arg(long, value_name = "ID|newest")]
    into_session: Option<String>,
    /// Why, where the session is somebody else's
    #[arg(long)]
    reason: Option<String>,
}

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// What was done; `-` reads it from standard input
    #[arg(value_parser = NonEmptyStringValueParser::new(), allow_hyphen_values = true)]
    summary: String,
    /// The task it is about: its id, or the first 8 characters of it or more
    #[arg(long, value_name = "ID")]
    task: Option<String>,
}

/// Runs `send`.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let mut asked = SendToPerson {
        user: args.user.clone(),
        message: text(console, &args.message)?,
        into_session: args.into_session.clone(),
        reason: args.reason.clone(),
    };
    let mut answer = client.send_to_user(&asked).await;
    if let Some(reason) = reason::ask_for(console, answer.as_ref().err(), asked.reason.as_deref()) {
        asked.reason = Some(reason);
        answer = client.send_to_user(&asked).await;
    }
    let answer = answer?;
    if json {
        return console.say_json(&answer.text);
    }
    console.say(&delivered(&answer.reply))
}

/// Runs `report`.
pub async fn run_report(
    console: &mut Console<'_>,
    client: &Client,
    args: &Report,
    json: bool,
) -> Result<(), Failure> {
    let asked = SendSummary { summary: text(console, &args.summary)?, task_id: args.task.clone() };
    let answer = client.send_summary(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    console.say(&delivered(&answer.reply))
}

fn text(console: &mut Console<'_>, given: &str) -> Result<String, Failure> {
    if given == "-" { console.read_input(INPUT_MAX) } else { Ok(given.to_owned()) }
}

/// In whose inboxes it lies.
pub fn delivered(reply: &DeliveredReply) -> String {
    let mut line = format!("In the inbox of {}", reply.to.join(", "));
    if let Some(session) = &reply.session_id {
        let state = reply.state.as_deref().unwrap_or_default();
        line.push_str(&format!("; into session {}: {state}", short(session, SESSION_PREFIX_MIN)));
    }
    format!("{}\n", visible(&line))
}

#[cfg(test)]
mod tests {
    use super::delivered;
    use crate::wire::inbox::DeliveredReply;

    #[test]
    fn where_it_lies() {
        let reply = DeliveredReply {
            message_id: "m".to_owned(),
            to: vec!["ann".to_owned(), "cid\x1b[2J".to_owned()],
            session_id: None,
            state: None,
        };
        assert_eq!(delivered(&reply), "In the inbox of ann, cid\\x1b[2J\n");
        let typed = DeliveredReply {
            to: vec!["ann".to_owned()],
            session_id: Some("019a5d2e-1111-7000-8000-000000000001".to_owned()),
            state: Some("pending".to_owned()),
            ..reply
        };
        assert_eq!(delivered(&typed), "In the inbox of ann; into session 019a5d2e: pending\n");
    }
}
