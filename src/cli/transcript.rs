//! `teleclaude transcript`: what a session showed. Somebody else's is announced, and made harmless for the terminal
//! like every text that others wrote.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::follow;
use crate::cli::reason;
use crate::cli::render::{BOLD, json_visible, visible, visible_text};
use crate::cli::when::{self, When};
use crate::client::{Client, ClientError};
use crate::wire::follow::FollowSession;
use crate::wire::reply::WhoamiReply;
use crate::wire::request::{ContentFormat, GetSessionData};
use crate::wire::session::{ContentReply, SessionReply};
use clap::builder::NonEmptyStringValueParser;

/// Arguments of `transcript`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The session's id, or the first 8 characters of it or more
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// Characters from the end, 2,000 if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=48_000), conflicts_with = "all")]
    tail: Option<i64>,
    /// Only what was shown since then: 2h, 7d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    since: Option<When>,
    /// Only what was shown until then
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    until: Option<When>,
    /// All of it from the beginning (with --json: a line for each page)
    #[arg(long)]
    all: bool,
    /// Go on as more is said, until the session ends
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,
    /// Form of the content: markdown, or json (an object a line)
    #[arg(long, value_parser = format, value_name = "FORMAT")]
    format: Option<ContentFormat>,
    /// Why, where the session is somebody else's: 10 characters or more
    #[arg(long)]
    reason: Option<String>,
}

fn format(word: &str) -> Result<ContentFormat, String> {
    match word {
        "markdown" => Ok(ContentFormat::Markdown),
        "json" => Ok(ContentFormat::Json),
        _ => Err("it is markdown or json".to_owned()),
    }
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let who = client.whoami().await?.reply;
    let session = client.session(&args.id).await?.reply;
    if args.follow {
        let asked = FollowSession {
            session_id: session.session_id.clone(),
            follow: true,
            since: args.since.as_ref().map(|when| when.rfc3339(console.look.now)),
            tail_chars: args.tail,
            cursor: args.all.then(|| "0".to_owned()),
            format: if json { Some(ContentFormat::Json) } else { args.format },
            reason: args.reason.clone(),
        };
        return follow::run(console, client, asked, banner(&who, &session)).await;
    }
    let mut asked = GetSessionData {
        session_id: session.session_id.clone(),
        since: args.since.as_ref().map(|when| when.rfc3339(console.look.now)),
        until: args.until.as_ref().map(|when| when.rfc3339(console.look.now)),
        tail_chars: args.tail,
        cursor: args.all.then(|| "0".to_owned()),
        format: args.format,
        reason: args.reason.clone(),
    };
    let mut first = client.transcript(&asked).await;
    if let Some(reason) = reason::ask_for(console, first.as_ref().err(), asked.reason.as_deref()) {
        asked.reason = Some(reason);
        first = client.transcript(&asked).await;
    }
    let mut answer = first?;
    if let Some(banner) = banner(&who, &session) {
        let banner = paint(console.colour_errors, BOLD, &banner);
        console.note(&banner);
    }
    // Pages may end anywhere: only after the last one a line end is added.
    let mut ended = true;
    loop {
        if json {
            console.say_json(&answer.text)?;
        } else if !answer.reply.content.is_empty() {
            let text = harmless(&answer.reply);
            console.say(&text)?;
            ended = text.ends_with('\n');
        }
        let next = answer.reply.next_cursor.clone().filter(|_| args.all);
        // A running session may have a next page for ever; an empty one is the end of what there is now.
        match next {
            Some(next) if !answer.reply.content.is_empty() || answer.reply.truncated => {
                if asked.cursor.as_ref() == Some(&next) {
                    let message = "the next page is the same one again".to_owned();
                    return Err(ClientError::Protocol(message).into());
                }
                asked.cursor = Some(next);
                answer = client.transcript(&asked).await?;
            }
            _ => break,
        }
    }
    if ended { Ok(()) } else { console.say("\n") }
}

/// What is said before somebody else's content: `None` for one's own, which the uid **and** the person decide.
pub fn banner(who: &WhoamiReply, session: &SessionReply) -> Option<String> {
    let own = who.uid == session.owner_uid && who.person.as_deref() == Some(session.owner_person.as_str());
    (!own).then(|| format!("Viewing {}'s session. This access is logged.", visible(&session.owner_person)))
}

fn harmless(reply: &ContentReply) -> String {
    if reply.format == "json" { json_visible(&reply.content) } else { visible_text(&reply.content) }
}
