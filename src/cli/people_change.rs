//! `teleclaude people add`, `update`, `role` and the like: an administrator's changes. What cannot be taken back is asked
//! about first.

use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::render::visible;
use crate::cli::when::{self, When};
use crate::client::{Answer, Client};
use crate::domain::caller::Role;
use crate::domain::person::PersonStatus;
use crate::wire::people_change::{
    AddPerson, BulkDeed, BulkPeople, GivenStatus, MergePeople, PersonChangedReply, SetPersonRole,
    SetPersonStatus, UpdatePerson,
};
use clap::builder::NonEmptyStringValueParser;

/// Names that are asked about by name; of more, the number is said.
const SHOWN: usize = 20;

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
}

/// A person.
#[derive(Debug, clap::Args)]
pub struct Whom {
    /// Their name, or uid
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) person: String,
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

pub(super) fn hints(console: &mut Console<'_>, hints: &[String]) {
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

#[cfg(test)]
mod tests {
    use super::{deed, listed, role, status};

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
