//! `teleclaude people`: lists of people, one of them, who is meant by some words, how many there are, all of them as a
//! file, and why somebody is who they are.

use crate::cli::ban;
use crate::cli::console::Console;
use crate::cli::failure::Failure;
use crate::cli::people_change;
use crate::cli::render::{Cell, DIM, Look, RED, YELLOW, ago, cell, moment, more, pairs, table};
use crate::cli::whoami;
use crate::client::{Client, ClientError};
use crate::domain::caller::Role;
use crate::domain::person::PersonStatus;
use crate::wire::csv::field;
use crate::wire::fault::Fault;
use crate::wire::people::{
    FindPerson, FoundBy, FoundPersonReply, ListPeople, PeopleReply, PeopleStatsReply, PersonReply, PersonRow,
};
use clap::builder::NonEmptyStringValueParser;

/// Commands of `people`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List people, or those whose name or address has a text in it; the newest first (administrators)
    List(List),
    /// Show somebody (administrators), or yourself
    Show {
        /// A name, an OS user, a uid, or a part of a name that fits one person only; without it you
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        person: Option<String>,
    },
    /// Say who is meant by some words, and who else may be (administrators)
    Find {
        /// A name, an OS user, a uid, an address, a part of a name or phone number, or what is like a name
        #[arg(required = true, value_name = "WORDS")]
        words: Vec<String>,
        /// Deleted people, too
        #[arg(long)]
        deleted: bool,
    },
    /// Say how many people there are (administrators)
    Stats,
    /// Write everybody out, as CSV or JSON lines; it is written down (administrators)
    Export(Export),
    /// Say who an OS user is to the daemon, and which rule says so (administrators)
    Explain {
        /// An OS user's name, or a uid
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        user: String,
    },
    #[command(flatten)]
    Change(people_change::Command),
    #[command(flatten)]
    Ban(ban::Command),
}

/// Arguments of `people list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only people in whose name, OS user, full name or address this stands
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    text: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Visitors instead: OS users who were here and are nobody's
    #[arg(long)]
    visitors: bool,
    /// Also how many open sessions each has, and when there last was activity in one
    #[arg(long)]
    sessions: bool,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// Rows at most
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100), value_name = "N")]
    limit: Option<i64>,
}

#[derive(Debug, clap::Args)]
struct Filters {
    /// Only in this status: active, inactive, suspended or deleted; without it nobody who is deleted
    #[arg(long, value_parser = status)]
    status: Option<PersonStatus>,
    /// Only with this role: admin, member, contributor, newcomer or public
    #[arg(long, value_parser = role)]
    role: Option<Role>,
}

/// Arguments of `people export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// As what
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    #[command(flatten)]
    filters: Filters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line of names, then a line a person
    Csv,
    /// A JSON object a line
    Jsonl,
}

fn status(word: &str) -> Result<PersonStatus, String> {
    PersonStatus::parse(word).ok_or_else(|| "it is active, inactive, suspended or deleted".to_owned())
}

fn role(word: &str) -> Result<Role, String> {
    let role = Role::ALL.into_iter().find(|role| role.name() == word);
    role.ok_or_else(|| "it is admin, member, contributor, newcomer or public".to_owned())
}

/// Runs the command.
pub async fn run(
    console: &mut Console<'_>,
    client: &Client,
    command: &Command,
    json: bool,
) -> Result<(), Failure> {
    let (raw, text) = match command {
        Command::List(args) => {
            let answer = client.people(&asked(args)).await?;
            (answer.text, page(&answer.reply, &console.look))
        }
        Command::Show { person } => {
            let answer = client.person(person.as_deref()).await?;
            (answer.text, one(&answer.reply, &console.look))
        }
        Command::Find { words, deleted } => {
            let asked = FindPerson { query: words.join(" "), deleted: deleted.then_some(true) };
            let answer = client.find_person(&asked).await?;
            let text = found(&answer.reply, &console.look);
            if answer.reply.candidates.is_empty() && !json {
                return Err(Failure::Client(ClientError::Fault(Fault::not_found("person", &asked.query))));
            }
            (answer.text, text)
        }
        Command::Stats => {
            let answer = client.people_stats().await?;
            (answer.text, stats(&answer.reply, &console.look))
        }
        Command::Export(args) => return export(console, client, args).await,
        Command::Change(command) => return people_change::run(console, client, command, json).await,
        Command::Ban(command) => return ban::run(console, client, command, json).await,
        Command::Explain { user } => {
            let answer = client.explain_person(user).await?;
            (answer.text, whoami::render(&answer.reply, true, &console.look))
        }
    };
    if json { console.say_json(&raw) } else { console.say(&text) }
}

fn asked(args: &List) -> ListPeople {
    ListPeople {
        query: args.text.clone(),
        status: args.filters.status,
        role: args.filters.role,
        visitors: args.visitors.then_some(true),
        sessions: args.sessions.then_some(true),
        export: None,
        cursor: args.cursor.clone(),
        limit: args.limit,
    }
}

/// Writes everybody out, a page at a time.
async fn export(console: &mut Console<'_>, client: &Client, args: &Export) -> Result<(), Failure> {
    let mut asked = ListPeople {
        status: args.filters.status,
        role: args.filters.role,
        sessions: Some(true),
        export: Some(true),
        ..ListPeople::default()
    };
    if args.format == Format::Csv {
        console.say(&format!("{}\n", COLUMNS.join(",")))?;
    }
    loop {
        let reply = client.people(&asked).await?.reply;
        let mut text = String::new();
        for person in &reply.people {
            text += &match args.format {
                Format::Csv => csv(person),
                Format::Jsonl => serde_json::to_string(person)
                    .map_err(|error| Failure::Local(format!("a person could not be written: {error}")))?,
            };
            text.push('\n');
        }
        console.say(&text)?;
        match reply.next_cursor {
            Some(cursor) => asked.cursor = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// What a line of CSV has, in its order.
const COLUMNS: [&str; 14] = [
    "person_id",
    "name",
    "full_name",
    "role",
    "role_from",
    "status",
    "os_username",
    "uid",
    "email",
    "phone",
    "first_seen_at",
    "last_seen_at",
    "open_sessions",
    "last_session_at",
];

fn csv(person: &PersonRow) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
    let values: [String; COLUMNS.len()] = [
        person.person_id.clone(),
        person.name.clone(),
        text(&person.full_name),
        person.role.name().to_owned(),
        person.role_from.name().to_owned(),
        person.status.name().to_owned(),
        text(&person.os_username),
        number(person.uid),
        text(&person.email),
        text(&person.phone),
        person.first_seen_at.clone(),
        person.last_seen_at.clone(),
        number(person.open_sessions),
        text(&person.last_session_at),
    ];
    values.map(|value| field(&value)).join(",")
}

fn status_cell(status: PersonStatus) -> Cell {
    match status {
        PersonStatus::Active => cell(status.name()),
        PersonStatus::Inactive | PersonStatus::Suspended => cell(status.name()).sgr(YELLOW),
        PersonStatus::Deleted => cell(status.name()).sgr(RED),
    }
}

fn os_user(person: &PersonRow) -> String {
    match (&person.os_username, person.uid) {
        (Some(user), Some(uid)) => format!("{user} ({uid})"),
        (Some(user), None) => user.clone(),
        (None, Some(uid)) => uid.to_string(),
        (None, None) => "-".to_owned(),
    }
}

/// A page of people.
pub fn page(reply: &PeopleReply, look: &Look) -> String {
    if reply.people.is_empty() {
        return format!("Nobody.\n{}", more(reply.next_cursor.as_deref(), look));
    }
    let with_sessions = reply.people.iter().any(|person| person.open_sessions.is_some());
    let mut head = vec!["NAME", "FULL NAME", "ROLE", "STATUS", "OS USER", "SEEN"];
    if with_sessions {
        head.extend(["OPEN", "LAST SESSION"]);
    }
    let rows: Vec<_> = reply
        .people
        .iter()
        .map(|person| {
            let mut row = vec![
                cell(&person.name),
                cell(person.full_name.as_deref().unwrap_or("-")),
                cell(person.role.name()),
                status_cell(person.status),
                cell(os_user(person)),
                cell(ago(&person.last_seen_at, look)).sgr(DIM),
            ];
            if with_sessions {
                let last = person.last_session_at.as_deref();
                row.push(cell(person.open_sessions.unwrap_or(0).to_string()));
                row.push(cell(last.map_or_else(|| "-".to_owned(), |at| ago(at, look))).sgr(DIM));
            }
            row
        })
        .collect();
    table(&head, &rows, look) + &more(reply.next_cursor.as_deref(), look)
}

/// One person.
pub fn one(reply: &PersonReply, look: &Look) -> String {
    let person = &reply.person;
    let did = &reply.activity;
    let mut rows = vec![
        ("name", Some(person.name.clone())),
        ("full name", person.full_name.clone()),
        ("role", Some(format!("{} (from {})", person.role, person.role_from.name()))),
        ("status", Some(person.status.name().to_owned())),
        ("OS user", Some(os_user(person))),
        ("email", person.email.clone()),
        ("phone", person.phone.clone()),
        ("first seen", Some(moment(&person.first_seen_at, look))),
        ("last seen", Some(moment(&person.last_seen_at, look))),
        ("sessions", Some(format!("{} open of {}", person.open_sessions.unwrap_or(0), did.sessions))),
        ("last session", person.last_session_at.as_deref().map(|at| moment(at, look))),
        ("messages", Some(did.messages.to_string())),
        ("tasks", Some(format!("{} open of {}", did.open_tasks, did.tasks))),
        ("warnings", reply.warnings.map(|n| n.to_string())),
        ("notes", reply.notes.clone().filter(|notes| !notes.is_empty())),
    ];
    for ban in &reply.bans {
        let until = ban.until.as_deref().map_or_else(|| "for good".to_owned(), |at| format!("until {at}"));
        let by = ban.by.as_deref().map(|by| format!(", by {by}")).unwrap_or_default();
        let reason = ban.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        rows.push(("banned", Some(format!("{until}{by}{reason}"))));
    }
    rows.push(("key", Some(person.person_id.clone())));
    pairs(&rows, look)
}

const fn step(found_by: FoundBy) -> &'static str {
    match found_by {
        FoundBy::Exact => "exactly",
        FoundBy::Uid => "by uid",
        FoundBy::NamePart => "by a part of the name",
        FoundBy::PhonePart => "by a part of the phone number",
        FoundBy::Similar => "by a name like it",
    }
}

/// Who is meant.
pub fn found(reply: &FoundPersonReply, look: &Look) -> String {
    let by = reply.found_by.map(step).unwrap_or_default();
    let mut text = match &reply.person {
        Some(person) => format!("{} is meant, found {by}.\n", crate::cli::render::visible(&person.name)),
        None => format!("It may be one of these, found {by}.\n"),
    };
    if reply.person.is_none() || reply.candidates.len() > 1 {
        let rows: Vec<_> = reply
            .candidates
            .iter()
            .map(|candidate| {
                vec![
                    cell(&candidate.person.name),
                    cell(candidate.person.full_name.as_deref().unwrap_or("-")),
                    cell(os_user(&candidate.person)),
                    cell(format!("{:.2}", candidate.score)).sgr(DIM),
                ]
            })
            .collect();
        text += &table(&["NAME", "FULL NAME", "OS USER", "FITS"], &rows, look);
    }
    if reply.more {
        text += "And others.\n";
    }
    text
}

/// How many people there are.
pub fn stats(reply: &PeopleStatsReply, look: &Look) -> String {
    let words = |counts: &std::collections::BTreeMap<String, i64>| {
        let words: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
        Some(words.join(", ")).filter(|text| !text.is_empty())
    };
    let since = |one: &Option<crate::wire::people::PersonSince>| {
        one.as_ref().map(|one| format!("{}, {}", one.name, moment(&one.created_at, look)))
    };
    let new =
        format!("{} within a day, {} within 7, {} within 30", reply.new_24h, reply.new_7d, reply.new_30d);
    let rows = [
        ("people", Some(reply.total.to_string())),
        ("status", words(&reply.by_status)),
        ("roles", words(&reply.by_role)),
        ("new", Some(new)),
        ("visitors", Some(reply.visitors.to_string())),
        ("oldest", since(&reply.oldest)),
        ("newest", since(&reply.newest)),
    ];
    pairs(&rows, look)
}

#[cfg(test)]
mod tests {
    use super::{csv, found, one, page, stats};
    use crate::cli::render::plain;
    use crate::domain::caller::Role;
    use crate::domain::person::PersonStatus;
    use crate::wire::csv::field;
    use crate::wire::people::{
        BanInForce, CandidateRow, FoundBy, FoundPersonReply, PeopleReply, PeopleStatsReply, PersonActivity,
        PersonReply, PersonRow, PersonSince, RoleFrom,
    };

    fn ann() -> PersonRow {
        PersonRow {
            person_id: "0193b2a0-0000-7000-8000-000000000001".to_owned(),
            name: "ann".to_owned(),
            full_name: Some("Ann Smith".to_owned()),
            role: Role::Admin,
            role_from: RoleFrom::Config,
            status: PersonStatus::Active,
            visitor: false,
            os_username: Some("ann".to_owned()),
            uid: Some(1_000),
            email: Some("ann@example.org".to_owned()),
            phone: None,
            first_seen_at: "2026-11-20T12:00:00Z".to_owned(),
            last_seen_at: "2026-11-21T11:57:00Z".to_owned(),
            open_sessions: Some(2),
            last_session_at: Some("2026-11-21T11:00:00Z".to_owned()),
        }
    }

    fn bob() -> PersonRow {
        PersonRow {
            name: "bob\u{1b}[2J".to_owned(),
            full_name: None,
            role: Role::Public,
            role_from: RoleFrom::Nothing,
            status: PersonStatus::Suspended,
            os_username: None,
            email: None,
            open_sessions: None,
            last_session_at: None,
            ..ann()
        }
    }

    #[test]
    fn a_page_of_people() {
        let reply = PeopleReply { people: vec![ann(), bob()], next_cursor: Some("p0-1-2".to_owned()) };
        insta::assert_snapshot!(page(&reply, &plain()));
        let nobody = PeopleReply { people: Vec::new(), next_cursor: None };
        assert_eq!(page(&nobody, &plain()), "Nobody.\n");
    }

    #[test]
    fn one_person() {
        let reply = PersonReply {
            person: ann(),
            activity: PersonActivity { sessions: 7, messages: 40, tasks: 3, open_tasks: 1 },
            bans: vec![BanInForce {
                until: None,
                reason: Some("noise".to_owned()),
                created_at: "2026-11-21T11:57:00Z".to_owned(),
                by: Some("zoe".to_owned()),
            }],
            created_at: "2026-11-20T12:00:00Z".to_owned(),
            updated_at: "2026-11-20T12:00:00Z".to_owned(),
            notes: Some("likes tea".to_owned()),
            warnings: Some(1),
        };
        insta::assert_snapshot!(one(&reply, &plain()));
    }

    #[test]
    fn who_is_meant() {
        let candidate = |score, person| CandidateRow { score, person };
        let mut reply = FoundPersonReply {
            person: None,
            found_by: Some(FoundBy::NamePart),
            candidates: vec![candidate(0.9, ann()), candidate(0.9, bob())],
            more: true,
        };
        insta::assert_snapshot!("may_be_several", found(&reply, &plain()));
        reply = FoundPersonReply {
            person: Some(ann()),
            found_by: Some(FoundBy::Exact),
            candidates: vec![candidate(1.0, ann())],
            more: false,
        };
        assert_eq!(found(&reply, &plain()), "ann is meant, found exactly.\n");
    }

    #[test]
    fn how_many() {
        let count = |words: &[(&str, i64)]| words.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
        let since = |name: &str| {
            Some(PersonSince { name: name.to_owned(), created_at: "2026-11-20T12:00:00Z".to_owned() })
        };
        let reply = PeopleStatsReply {
            total: 3,
            active: 2,
            suspended: 1,
            admins: 1,
            new_24h: 1,
            new_7d: 2,
            new_30d: 3,
            by_status: count(&[("active", 2), ("suspended", 1)]),
            by_role: count(&[("admin", 1), ("member", 2)]),
            visitors: 4,
            oldest: since("ann"),
            newest: since("bob"),
        };
        insta::assert_snapshot!(stats(&reply, &plain()));
    }

    #[test]
    fn a_line_of_csv_is_one_whatever_is_in_it() {
        for (value, line) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
            ("=1+1", "'=1+1"),
            ("+49, 30", "\"'+49, 30\""),
        ] {
            assert_eq!(field(value), line);
        }
        assert_eq!(csv(&ann()).split(',').count(), super::COLUMNS.len());
    }
}
