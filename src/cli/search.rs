//! `teleclaude search`: what was said and done in sessions, a hit two lines.

use crate::cli::console::{Console, paint};
use crate::cli::failure::Failure;
use crate::cli::render::{BOLD, DIM, Look, moment, more, short, short_length, visible};
use crate::cli::when::{self, When};
use crate::client::Client;
use crate::domain::query::MARKS;
use crate::wire::request::SearchSessions;
use crate::wire::session::{HitRow, SearchReply};

/// Arguments of `search`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Words that must all be there, in quotes for the shell; "words one after the other", begin*, -not
    #[arg(allow_hyphen_values = true)]
    query: String,
    /// Only in sessions of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Only what was said or done since then: 2h, 7d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    since: Option<When>,
    /// Only what was said or done until then
    #[arg(long, value_parser = when::parse, value_name = "WHEN")]
    until: Option<When>,
    /// Why, to search everybody's sessions (administrators); it is written down
    #[arg(long)]
    reason: Option<String>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Hits at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
}

/// Runs the command.
pub async fn run(console: &mut Console<'_>, client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let asked = SearchSessions {
        query: args.query.clone(),
        project: args.project.clone(),
        since: args.since.as_ref().map(|when| when.rfc3339(console.look.now)),
        until: args.until.as_ref().map(|when| when.rfc3339(console.look.now)),
        reason: args.reason.clone(),
        cursor: args.cursor.clone(),
        limit: args.limit,
    };
    let answer = client.search(&asked).await?;
    if json {
        return console.say_json(&answer.text);
    }
    if answer.reply.searched == "all" {
        let banner =
            paint(console.colour_errors, BOLD, "Searching everybody's sessions. This access is logged.");
        console.note(&banner);
    } else if args.reason.is_some() {
        console.note("Only your own sessions were searched: everybody's are for administrators.");
    }
    let text = page(&answer.reply, &console.look);
    console.say(&text)
}

/// The hits.
pub fn page(reply: &SearchReply, look: &Look) -> String {
    let more = more(reply.next_cursor.as_deref(), look);
    if reply.hits.is_empty() {
        return format!("Nothing found{}.\n{more}", if more.is_empty() { "" } else { " so far" });
    }
    let length = short_length(reply.hits.iter().map(|hit| hit.session_id.as_str()));
    let shown = |hit: &HitRow| {
        let what = match &hit.tool {
            Some(tool) => format!("{} {tool}", hit.kind),
            None => hit.role.clone(),
        };
        let at = hit.at.as_deref().map(|at| moment(at, look));
        let head: Vec<String> = [
            Some(short(&hit.session_id, length).to_owned()),
            at,
            Some(what),
            Some(hit.owner_person.clone()),
            hit.title.clone(),
        ]
        .into_iter()
        .flatten()
        .collect();
        format!(
            "{}\n    {}\n",
            paint(look.colour, DIM, &visible(&head.join("  "))),
            marked(&hit.snippet, look)
        )
    };
    format!("{}{more}", reply.hits.iter().map(shown).collect::<String>())
}

/// A snippet with its matches standing out.
fn marked(snippet: &str, look: &Look) -> String {
    let [open, close] = MARKS;
    let mut text = String::new();
    for (at, part) in visible(snippet).split(open).enumerate() {
        match part.split_once(close).filter(|_| at > 0 && look.colour) {
            Some((found, rest)) => {
                text.push_str(&paint(true, BOLD, found));
                text.push_str(rest);
            }
            None if at > 0 => text.extend([open.to_string().as_str(), part]),
            None => text.push_str(part),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::page;
    use crate::cli::render::plain;
    use crate::wire::session::{HitRow, SearchReply};

    #[test]
    fn hits_are_shown_and_made_harmless() {
        let hit = HitRow {
            session_id: "019a5d2e-1111-7000-8000-000000000001".to_owned(),
            title: Some("Fix \x1b[2J".to_owned()),
            owner_person: "ann".to_owned(),
            project: None,
            agent: "claude".to_owned(),
            seq: 7,
            at: Some("2026-11-21T11:57:00Z".to_owned()),
            role: "assistant".to_owned(),
            kind: "text".to_owned(),
            tool: None,
            snippet: "… the ⟦login⟧ page and ⟦login⟧.rs".to_owned(),
        };
        let tool = HitRow { kind: "tool_call".to_owned(), tool: Some("Bash".to_owned()), ..hit.clone() };
        let mut reply = SearchReply {
            hits: vec![hit, tool],
            searched: "own".to_owned(),
            next_cursor: Some("h5".to_owned()),
        };
        insta::assert_snapshot!(page(&reply, &plain()), @r"
        019a5d2e  2026-11-21T11:57:00Z (3m ago)  assistant  ann  Fix \x1b[2J
            … the ⟦login⟧ page and ⟦login⟧.rs
        019a5d2e  2026-11-21T11:57:00Z (3m ago)  tool_call Bash  ann  Fix \x1b[2J
            … the ⟦login⟧ page and ⟦login⟧.rs
        more: --cursor h5
        ");
        reply.hits.clear();
        assert_eq!(page(&reply, &plain()), "Nothing found so far.\nmore: --cursor h5\n");
    }
}
