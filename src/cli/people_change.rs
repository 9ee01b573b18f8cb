//! `teleclaude people add`, `update`, `ban` and the like: an administrator's changes. What cannot be taken back is asked about
//! first.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::{DIM, Look, ago, cell, table, visible};
use crate::cli::when::{self, When};
use crate::client::{Answer, Client};
use crate::domain::caller::Role;
use crate::domain::person::PersonStatus;
use crate::wire::people_change::{
    AddPerson, BanPerson, BanRow, BansReply, BulkDeed, BulkPeople, GivenStatus, LiftBan, ListBans,
    MergePeople, PersonChangedReply, SetPersonRole, SetPersonStatus, UpdatePerson, WarnPerson,
};
use clap::builder::NonEmptyStringValueParser;
use std::fmt::Write as _;

/// Names that are asked about by name; of more, the number is said.
const SHOWN: usize = 20;
/// Bans on a page.
const PAGE: i64 = 100;

/// Commands that change people.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Add a person, who is somebody to the daemon at once (administrators)
    Add {
        /// What everybody calls them
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// What they may do: newcomer, contributor, member, admin, or public for nothing
        #[arg(long, value_parser = role, default_value = "newcomer")]
        role: Role,
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        details: Details,
    },
    /// Change what is kept of a person: only what is given; an empty text takes away (administrators)
    Update {
        /// Their name, or uid
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        person: String,
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        details: Details,
        /// Only if they were not changed since this: their `updated_at`
        #[arg(long, value_name = "TIME")]
        if_updated_at: Option<String>,
    },
    /// Give a person another role (administrators)
    Role {
        /// Their name, or uid
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        person: String,
        /// What they may do from now on
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Switch a person on, or bring one back who was deleted (administrators)
    Activate(Whom),
    /// Switch a person off for now (administrators)
    Deactivate(Whom),
    /// Suspend a person (administrators)
    Suspend(Whom),
    /// Delete a person; sessions and audit keep the name, and `activate` brings them back (administrators)
    Delete {
        #[command(flatten)]
        whom: Whom,
        /// Do not ask before
        #[arg(long)]
        yes: bool,
    },
    /// Remove all that is kept of a person who owns no session (administrators)
    Purge {
        #[command(flatten)]
        whom: Whom,
        /// Do not ask before
        #[arg(long)]
        yes: bool,
    },
    /// Make one person of two: tasks, messages and notes follow; sessions and credentials never (administrators)
    Merge {
        /// Who goes
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        person: String,
        /// Who stays
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        into: String,
        /// Do not ask before
        #[arg(long)]
        yes: bool,
    },
    /// Switch many on or off, or delete them, by a filter (administrators)
    Bulk(Bulk),
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

/// A person.
#[derive(Debug, clap::Args)]
pub struct Whom {
    /// Their name, or uid
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    person: String,
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

/// Who they are to the system.
#[derive(Debug, clap::Args)]
pub struct Account {
    /// Their OS user
    #[arg(long, value_name = "USER")]
    os_username: Option<String>,
    /// Their uid
    #[arg(long)]
    uid: Option<u32>,
}

/// What is kept of them.
#[derive(Debug, clap::Args)]
pub struct Details {
    /// How they are called in full
    #[arg(long, value_name = "NAME")]
    full_name: Option<String>,
    /// Their address
    #[arg(long)]
    email: Option<String>,
    /// Their number
    #[arg(long)]
    phone: Option<String>,
    /// What administrators note of them
    #[arg(long)]
    notes: Option<String>,
}

/// Many.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("filter").required(true).multiple(true))]
pub struct Bulk {
    /// What is done: activate, deactivate, suspend or delete
    #[arg(value_parser = deed)]
    deed: BulkDeed,
    /// Only people of this role
    #[arg(long, value_parser = role, group = "filter")]
    role: Option<Role>,
    /// Only people in this status: active, inactive, suspended or deleted
    #[arg(long, value_parser = status, group = "filter")]
    status: Option<PersonStatus>,
    /// Only people who were last seen before: 90d, or an RFC 3339 time
    #[arg(long, value_parser = when::parse, value_name = "WHEN", group = "filter")]
    last_seen_before: Option<When>,
    /// Only say who
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before
    #[arg(long)]
    yes: bool,
}

fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.name() == text);
    found.ok_or_else(|| format!("must be one of {}", Role::ALL.map(Role::name).join(", ")))
}

fn status(text: &str) -> Result<PersonStatus, String> {
    PersonStatus::parse(text)
        .ok_or_else(|| format!("must be one of {}", PersonStatus::ALL.map(PersonStatus::name).join(", ")))
}

fn deed(text: &str) -> Result<BulkDeed, String> {
    match text {
        "activate" => Ok(BulkDeed::Activate),
        "deactivate" => Ok(BulkDeed::Deactivate),
        "suspend" => Ok(BulkDeed::Suspend),
        "delete" => Ok(BulkDeed::Delete),
        _ => Err("must be one of activate, deactivate, suspend, delete".to_owned()),
    }
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    match command {
        Command::Add { name, role, account, details } => {
            let answer = client.add_person(&added(name, *role, account, details)).await?;
            tell(console, answer, json, "added")
        }
        Command::Update { person, account, details, if_updated_at } => {
            let asked = UpdatePerson {
                person: person.clone(),
                full_name: details.full_name.clone(),
                email: details.email.clone(),
                phone: details.phone.clone(),
                notes: details.notes.clone(),
                os_username: account.os_username.clone(),
                uid: account.uid.map(i64::from),
                if_updated_at: if_updated_at.clone(),
            };
            tell(console, client.update_person(&asked).await?, json, "changed")
        }
        Command::Role { person, role } => {
            let asked = SetPersonRole { person: person.clone(), role: *role };
            tell(console, client.set_role(&asked).await?, json, &format!("now {role}"))
        }
        Command::Activate(whom) => set(console, client, whom, GivenStatus::Active, json).await,
        Command::Deactivate(whom) => set(console, client, whom, GivenStatus::Inactive, json).await,
        Command::Suspend(whom) => set(console, client, whom, GivenStatus::Suspended, json).await,
        Command::Delete { whom, yes } => {
            let question = format!("This deletes {}; `activate` brings them back.", visible(&whom.person));
            sure(console, *yes, &question)?;
            tell(console, client.delete_person(&whom.person).await?, json, "deleted")
        }
        Command::Purge { whom, yes } => {
            let question = format!("This removes all that is kept of {}, for ever.", visible(&whom.person));
            sure(console, *yes, &question)?;
            let answer = client.purge_person(&whom.person).await?;
            if json {
                return console.say_json(&answer.text);
            }
            console.say(&format!("{} is removed\n", visible(&answer.reply.name)))
        }
        Command::Merge { person, into, yes } => merge(console, client, (person, into), *yes, json).await,
        Command::Bulk(bulk) => many(console, client, bulk, json).await,
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

fn added(name: &str, role: Role, account: &Account, details: &Details) -> AddPerson {
    AddPerson {
        name: name.to_owned(),
        role: Some(role),
        os_username: account.os_username.clone(),
        uid: account.uid.map(i64::from),
        full_name: details.full_name.clone(),
        email: details.email.clone(),
        phone: details.phone.clone(),
        notes: details.notes.clone(),
    }
}

async fn set(
    console: &mut Console<'_>,
    client: &Client,
    whom: &Whom,
    status: GivenStatus,
    json: bool,
) -> Result<(), Failure> {
    let asked = SetPersonStatus { person: whom.person.clone(), status };
    let word = format!("now {}", PersonStatus::from(status).name());
    tell(console, client.set_status(&asked).await?, json, &word)
}

/// Asks at a terminal whether to go on, unless `yes` was said; nobody there to ask is no yes.
fn sure(console: &mut Console<'_>, yes: bool, question: &str) -> Result<(), Failure> {
    if yes || console.ask(&format!("{question} Type yes to go on:")).as_deref() == Some("yes") {
        return Ok(());
    }
    Err(Failure::usage("nothing was done; `--yes` goes on without asking"))
}

fn tell(
    console: &mut Console<'_>,
    answer: Answer<PersonChangedReply>,
    json: bool,
    done: &str,
) -> Result<(), Failure> {
    if json {
        return console.say_json(&answer.text);
    }
    let reply = answer.reply;
    let name = visible(&reply.name);
    let text = if reply.changed { format!("{name} is {done}\n") } else { format!("{name} was so already\n") };
    console.say(&text)?;
    hints(console, &reply.hints);
    Ok(())
}

fn hints(console: &mut Console<'_>, hints: &[String]) {
    hints.iter().for_each(|hint| console.note(&format!("note: {}", visible(hint))));
}

async fn merge(
    console: &mut Console<'_>,
    client: &Client,
    (person, into): (&str, &str),
    yes: bool,
    json: bool,
) -> Result<(), Failure> {
    let (gone, stays) = (visible(person), visible(into));
    let question =
        format!("This makes {gone} part of {stays}: tasks, messages and notes follow, and {gone} is gone.");
    sure(console, yes, &question)?;
    let answer =
        client.merge_people(&MergePeople { person: person.to_owned(), into: into.to_owned() }).await?;
    if json {
        return console.say_json(&answer.text);
    }
    let reply = answer.reply;
    let end = if reply.purged { "removed" } else { "deleted; sessions keep the name" };
    console.say(&format!(
        "{} is {} now: tasks {}, messages {}; {0} is {end}\n",
        visible(&reply.merged),
        visible(&reply.into),
        reply.tasks,
        reply.messages,
    ))?;
    hints(console, &reply.hints);
    Ok(())
}

async fn many(console: &mut Console<'_>, client: &Client, bulk: &Bulk, json: bool) -> Result<(), Failure> {
    let before = bulk.last_seen_before.as_ref().map(|when| when.rfc3339(console.look.now));
    let asked = |dry_run: bool| BulkPeople {
        deed: bulk.deed,
        role: bulk.role,
        status: bulk.status,
        last_seen_before: before.clone(),
        dry_run: dry_run.then_some(true),
    };
    let would = client.bulk_people(&asked(true)).await?;
    if bulk.dry_run {
        return if json {
            console.say_json(&would.text)
        } else {
            console.say(&listed("would be", &would.reply.people, would.reply.remaining))
        };
    }
    if would.reply.people.is_empty() {
        return if json {
            console.say_json(&would.text)
        } else {
            console.say("Nobody is left by this filter.\n")
        };
    }
    let text = listed("would be", &would.reply.people, would.reply.remaining);
    sure(console, bulk.yes, &format!("{text}That is not all taken back at once."))?;
    let (mut people, mut remaining) = (Vec::new(), 1);
    while remaining > 0 {
        let step = client.bulk_people(&asked(false)).await?.reply;
        if step.people.is_empty() {
            break;
        }
        remaining = step.remaining;
        people.extend(step.people);
    }
    if json {
        let all = serde_json::json!({ "dry_run": false, "people": people, "remaining": 0 });
        return console.say_json(&all.to_string());
    }
    console.say(&listed("were", &people, 0))
}

fn listed(verb: &str, people: &[String], remaining: i64) -> String {
    if people.is_empty() {
        return "Nobody is left by this filter.\n".to_owned();
    }
    let all = i64::try_from(people.len()).unwrap_or(i64::MAX).saturating_add(remaining);
    let names: Vec<String> = people.iter().take(SHOWN).map(|name| visible(name)).collect();
    let rest = all.saturating_sub(i64::try_from(names.len()).unwrap_or(i64::MAX));
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{all} {verb} changed: {}{more}\n", names.join(", "))
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
    use super::{deed, listed, role, status, table_of};
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

    #[test]
    fn many_are_named_or_counted() {
        let names: Vec<String> = (0..25).map(|n| format!("p{n}")).collect();
        assert_eq!(listed("were", &names[..2], 0), "2 were changed: p0, p1\n");
        assert!(listed("would be", &names, 7).ends_with("p19 and 12 more\n"));
        assert!(listed("were", &[], 0).starts_with("Nobody"));
    }

    #[test]
    fn wrong_words_are_told_the_right_ones() {
        assert!(role("boss").unwrap_err().contains("newcomer"));
        assert!(status("gone").unwrap_err().contains("suspended"));
        assert!(deed("explode").unwrap_err().contains("deactivate"));
    }
}
