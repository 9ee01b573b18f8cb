//! `teleclaude people warn`, `ban`, `unban` and `bans`: who may not come in, until when, and why.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::people_change::{Whom, hints};
use crate::cli::render::{DIM, Look, ago, cell, table, visible};
use crate::client::Client;
use crate::wire::people_change::{BanPerson, BanRow, BansReply, LiftBan, ListBans, WarnPerson};
use clap::builder::NonEmptyStringValueParser;
use std::fmt::Write as _;

/// Bans on a page.
const PAGE: i64 = 100;

/// Commands about bans.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Warn a person, who is told; the second warning bans (administrators)
    Warn {
        #[command(flatten)]
        whom: Whom,
        /// Why, in 10 characters or more
        #[arg(long)]
        reason: String,
    },
    /// Ban a person or a uid; whoever is connected is cut off within a second (administrators)
    Ban {
        #[command(flatten)]
        who: Who,
        /// Until when: 2h, 7d, an RFC 3339 time, or permanent
        #[arg(long, value_name = "TIME")]
        until: String,
        /// Why, in 10 characters or more; they are told
        #[arg(long)]
        reason: String,
    },
    /// Lift a ban, and forget warnings (administrators)
    Unban(Who),
    /// List bans (administrators)
    Bans {
        /// Also those that have ended or were lifted
        #[arg(long)]
        all: bool,
    },
}

/// A person, or a uid.
#[derive(Debug, clap::Args)]
pub struct Who {
    /// Their name
    #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present = "uid", conflicts_with = "uid")]
    person: Option<String>,
    /// A uid instead, whoever comes as it
    #[arg(long)]
    uid: Option<u32>,
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::Warn { whom, reason } => {
            let asked = WarnPerson { person: whom.person.clone(), reason: reason.clone() };
            let answer = client.warn_person(&asked).await?;
            if json {
                return console.say_json(&answer.text);
            }
            let reply = answer.reply;
            let banned =
                reply.ban.as_ref().map(|ban| format!("; banned {}", end_of(ban))).unwrap_or_default();
            console.say(&format!(
                "{} was warned, {} by now{banned}\n",
                visible(&reply.person),
                reply.warnings
            ))
        }
        Command::Ban { who, until, reason } => {
            let asked = BanPerson {
                person: who.person.clone(),
                uid: who.uid.map(i64::from),
                until: until.clone(),
                reason: reason.clone(),
            };
            let answer = client.ban(&asked).await?;
            if json {
                return console.say_json(&answer.text);
            }
            console.say(&format!(
                "{} is banned {}\n",
                whose(&answer.reply.ban),
                end_of(&answer.reply.ban)
            ))?;
            hints(console, &answer.reply.hints);
            Ok(())
        }
        Command::Unban(who) => {
            let asked = LiftBan { person: who.person.clone(), uid: who.uid.map(i64::from) };
            let answer = client.lift_ban(&asked).await?;
            if json {
                return console.say_json(&answer.text);
            }
            let reply = answer.reply;
            let text = match (reply.lifted, reply.warnings) {
                (0, 0) => "nothing was to be lifted\n".to_owned(),
                (lifted, warnings) => format!("lifted: {lifted}; warnings forgotten: {warnings}\n"),
            };
            console.say(&text)?;
            hints(console, &reply.hints);
            Ok(())
        }
        Command::Bans { all } => bans(console, client, *all, json).await,
    }
}

async fn bans(console: &mut Console<'_>, client: &Client, all: bool, json: bool) -> Result<(), Failure> {
    let mut asked = ListBans { all: all.then_some(true), cursor: None, limit: Some(PAGE) };
    let mut found = BansReply { bans: Vec::new(), next_cursor: None };
    loop {
        let page = client.bans(&asked).await?.reply;
        found.bans.extend(page.bans);
        match page.next_cursor {
            Some(next) => asked.cursor = Some(next),
            None => break,
        }
    }
    if json {
        let text = serde_json::to_string(&found).map_err(|e| Failure::Local(e.to_string()))?;
        return console.say_json(&text);
    }
    let text = table_of(&found.bans, &console.look);
    console.say(&text)
}

fn whose(ban: &BanRow) -> String {
    match (&ban.person, ban.uid) {
        (Some(person), _) => visible(person),
        (None, uid) => format!("uid {}", uid.unwrap_or_default()),
    }
}

fn end_of(ban: &BanRow) -> String {
    ban.until.as_deref().map_or_else(|| "for good".to_owned(), |until| format!("until {}", visible(until)))
}

/// Bans as a table.
pub fn table_of(bans: &[BanRow], look: &Look) -> String {
    if bans.is_empty() {
        return "Nobody is banned.\n".to_owned();
    }
    let rows: Vec<_> = bans
        .iter()
        .map(|ban| {
            let mut end = end_of(ban);
            if let (false, Some(at)) = (ban.active, &ban.lifted_at) {
                end = format!("lifted {}", ago(at, look));
                if let Some(by) = &ban.lifted_by {
                    let _ = write!(end, " by {by}");
                }
            }
            vec![
                cell(whose(ban)),
                cell(end),
                cell(ago(&ban.created_at, look)),
                cell(&ban.by),
                cell(ban.count.to_string()),
                cell(ban.reason.as_deref().unwrap_or_default()).sgr(DIM),
            ]
        })
        .collect();
    table(&["WHO", "END", "SINCE", "BY", "TIMES", "REASON"], &rows, look)
}

#[cfg(test)]
mod tests {
    use super::table_of;
    use crate::cli::render::plain;
    use crate::wire::people_change::BanRow;

    fn ban(person: Option<&str>, until: Option<&str>) -> BanRow {
        BanRow {
            id: "0193b2a0-0000-7000-8000-00000000dead".to_owned(),
            person: person.map(str::to_owned),
            uid: person.is_none().then_some(1_005),
            reason: Some("making noise".to_owned()),
            until: until.map(str::to_owned),
            active: true,
            source: "admin".to_owned(),
            count: 1,
            by: "ann".to_owned(),
            created_at: "2026-11-21T11:57:00Z".to_owned(),
            updated_at: "2026-11-21T11:57:00Z".to_owned(),
            lifted_at: None,
            lifted_by: None,
        }
    }

    #[test]
    fn who_is_banned_until_when_and_why() {
        let lifted = BanRow {
            active: false,
            lifted_at: Some("2026-11-21T11:59:00Z".to_owned()),
            lifted_by: Some("zoe".to_owned()),
            count: 3,
            ..ban(Some("cid\u{1b}[31m"), None)
        };
        let bans = [ban(Some("bob"), Some("2026-11-28T12:00:00Z")), ban(None, None), lifted];
        insta::assert_snapshot!(table_of(&bans, &plain()));
        assert_eq!(table_of(&[], &plain()), "Nobody is banned.\n");
    }
}
