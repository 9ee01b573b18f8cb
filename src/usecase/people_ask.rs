//! From what is said about people to what is judged: texts become types, words become people.

use crate::domain::action::Action;
use crate::domain::caller::Role;
use crate::domain::directory::Step;
use crate::domain::people_change::{
    Account, Bulk, Details, NewPerson, PeopleChange, PersonChange, PersonName, email, line, notes,
    os_username, phone, uid, until,
};
use crate::domain::person::Person;
use crate::store::conn::Conn;
use crate::store::people_change::{self as kept, Claims};
use crate::store::person;
use crate::usecase::resolve::{moment, unavailable};
use crate::usecase::{Explained, Facts, ban, people};
use crate::wire::fault::Fault;
use crate::wire::people_change::{AddPerson, BulkPeople, ChangePeople, UpdatePerson};

/// Bytes of words that may be a whole name, at most.
const EXACT_BYTES: usize = 512;

/// From a request to what is judged. `explained` is who the OS user is now that is to be somebody's.
///
/// # Errors
/// A fault that names the argument.
pub(super) async fn resolve(
    conn: &Conn,
    facts: &Facts,
    request: ChangePeople,
    explained: Option<Explained>,
) -> Result<Action, Fault> {
    let one = async |field: &str, words: &str| whom(conn, facts, field, words).await.map(Box::new);
    let change = match request {
        ChangePeople::Add(args) => PeopleChange::Add(Box::new(new_person(args, explained)?)),
        ChangePeople::Update(args) => {
            let (details, version) =
                (update_details(&args)?, moment("if_updated_at", args.if_updated_at.as_deref())?);
            let account = account(&details, explained)?;
            let person = one("person", &args.person).await?;
            PeopleChange::One { person, change: PersonChange::Update { details, version, account } }
        }
        ChangePeople::Role(args) => {
            let person = one("person", &args.person).await?;
            PeopleChange::One { person, change: PersonChange::Role(args.role) }
        }
        ChangePeople::Status(args) => {
            let person = one("person", &args.person).await?;
            PeopleChange::One { person, change: PersonChange::Status(args.status.into()) }
        }
        ChangePeople::Delete(args) => {
            PeopleChange::One { person: one("person", &args.person).await?, change: PersonChange::Delete }
        }
        ChangePeople::Purge(args) => {
            PeopleChange::One { person: one("person", &args.person).await?, change: PersonChange::Purge }
        }
        ChangePeople::Merge(args) => {
            let (source, target) = (one("person", &args.person).await?, one("into", &args.into).await?);
            PeopleChange::Merge { source, target }
        }
        ChangePeople::Bulk(args) => PeopleChange::Bulk(bulk_of(&args)?),
        ChangePeople::Warn(args) => {
            let reason = ban::reason(args.reason)?;
            let person = one("person", &args.person).await?;
            PeopleChange::One { person, change: PersonChange::Warn(reason) }
        }
        ChangePeople::Ban(args) => {
            let until = until(&args.until, facts.now).map_err(|problem| Fault::invalid("until", problem))?;
            let reason = ban::reason(args.reason)?;
            PeopleChange::Ban { who: ban::whose(conn, facts, args.person, args.uid).await?, until, reason }
        }
        ChangePeople::Lift(args) => PeopleChange::Lift(ban::whose(conn, facts, args.person, args.uid).await?),
    };
    Ok(Action::ChangePeople(Box::new(change)))
}

/// The one person who is meant: by the name in any case, the uid, or else what [`people::find`] is sure of. Also one who was
/// deleted. What is only like a name is not enough to change somebody.
///
/// # Errors
/// `invalid` if the words say nothing or fit several, who are named; `not_found`.
pub(super) async fn whom(conn: &Conn, facts: &Facts, field: &str, words: &str) -> Result<Person, Fault> {
    let exact = words.trim().trim_start_matches('@').trim();
    if !exact.is_empty() && exact.len() <= EXACT_BYTES {
        if let Some(person) = person::by_name(conn, exact).await.map_err(unavailable)? {
            return Ok(person);
        }
        let by_name = Claims { name: Some(exact), ..Claims::default() };
        if let Some(person) = kept::holder(conn, &by_name, None).await.map_err(unavailable)? {
            let other = kept::holder(conn, &by_name, Some(person.id)).await.map_err(unavailable)?;
            return match other {
                None => Ok(person),
                Some(other) => Err(Fault::invalid(
                    field,
                    format_args!("could be `{}` or `{}`: write it as they do", person.name, other.name),
                )),
            };
        }
        if let Ok(uid) = exact.parse::<u32>()
            && let Some(person) = person::by_uid(conn, uid).await.map_err(unavailable)?
        {
            return Ok(person);
        }
    }
    match people::find(conn, facts, field, words, true).await? {
        Some(mut meant) if meant.step == Step::Similar => {
            let name = meant.people.swap_remove(0).0.name;
            let shown: String = exact.chars().take(64).collect();
            Err(Fault { field: Some(field.to_owned()), ..Fault::not_found("person", &shown) }
                .hint(format!("`{name}` is called much the same: give the whole name, if they are meant")))
        }
        Some(mut meant) if meant.sure => Ok(meant.people.swap_remove(0).0),
        // Several: it names them, unless all but one were deleted.
        _ => people::one(conn, facts, field, words).await,
    }
}

fn read<T>(field: &str, read: Result<T, String>) -> Result<T, Fault> {
    read.map_err(|problem| Fault::invalid(field, problem))
}

/// Text that is checked if there is any; none takes away what was there.
fn text(
    field: &str,
    text: Option<&str>,
    check: fn(&str) -> Result<String, String>,
) -> Result<Option<String>, Fault> {
    match text {
        None => Ok(None),
        Some("") => Ok(Some(String::new())),
        Some(text) => read(field, check(text)).map(Some),
    }
}

fn new_person(args: AddPerson, explained: Option<Explained>) -> Result<NewPerson, Fault> {
    let name = read("name", PersonName::parse(&args.name))?;
    if args.os_username.is_none() && args.uid.is_none() {
        return Err(Fault::invalid("os_username", "must be given, or uid: how else would they be known?"));
    }
    let details = Details {
        full_name: text("full_name", args.full_name.as_deref(), line)?,
        email: text("email", args.email.as_deref(), email)?,
        phone: text("phone", args.phone.as_deref(), phone)?,
        notes: text("notes", args.notes.as_deref(), notes)?,
        os_username: args
            .os_username
            .as_deref()
            .map(|user| read("os_username", os_username(user)))
            .transpose()?,
        uid: args.uid.map(|number| read("uid", uid(number))).transpose()?,
    };
    let account = account(&details, explained)?.unwrap_or(Account { uid: details.uid, mapped: None });
    Ok(NewPerson { name, role: args.role.unwrap_or(Role::Newcomer), details, account })
}

fn update_details(args: &UpdatePerson) -> Result<Details, Fault> {
    let details = Details {
        full_name: text("full_name", args.full_name.as_deref(), line)?,
        email: text("email", args.email.as_deref(), email)?,
        phone: text("phone", args.phone.as_deref(), phone)?,
        notes: text("notes", args.notes.as_deref(), notes)?,
        os_username: text("os_username", args.os_username.as_deref(), os_username)?,
        uid: args.uid.map(|number| read("uid", uid(number))).transpose()?,
    };
    if details == Details::default() {
        return Err(Fault::invalid("full_name", "nothing is to be changed")
            .hint("say one of full_name, email, phone, notes, os_username and uid"));
    }
    if details.os_username.as_deref() == Some("") && details.uid.is_some() {
        return Err(Fault::invalid("uid", "cannot be given while the OS user is taken away"));
    }
    Ok(details)
}

/// Who the OS user is now that is to be theirs.
fn account(details: &Details, explained: Option<Explained>) -> Result<Option<Account>, Fault> {
    let user = details.os_username.as_deref().filter(|user| !user.is_empty());
    if user.is_none() && details.uid.is_none() {
        return Ok(None);
    }
    let Some(Explained { who, .. }) = explained else {
        return Ok(Some(Account { uid: details.uid, mapped: None }));
    };
    if let (Some(user), Some(uid)) = (user, details.uid)
        && who.uid != uid
    {
        let problem = format!("the OS user `{user}` has the uid {}", who.uid);
        return Err(Fault::invalid("uid", problem).hint("one of the two is enough"));
    }
    let origin = who.rule.origin;
    Ok(Some(Account { uid: Some(who.uid), mapped: who.person.map(|person| (person.name, origin)) }))
}

fn bulk_of(args: &BulkPeople) -> Result<Bulk, Fault> {
    let bulk = Bulk {
        role: args.role,
        status: args.status,
        last_seen_before: moment("last_seen_before", args.last_seen_before.as_deref())?,
        to: args.deed.into(),
        dry_run: args.dry_run.unwrap_or(false),
    };
    if bulk.role.is_none() && bulk.status.is_none() && bulk.last_seen_before.is_none() {
        return Err(Fault::invalid("role", "one filter at least must be given")
            .hint("say one of role, status and last_seen_before"));
    }
    Ok(bulk)
}
