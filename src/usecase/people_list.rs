//! Lists of people, one of them, and how many there are. Reading about others is for admins; everybody sees themselves.

use crate::domain::action::Action;
use crate::domain::caller::{Caller, Role};
use crate::domain::directory::{Step, Words};
use crate::domain::people_query::{PeopleQuery, Roles};
use crate::domain::person::{Person, PersonId, fold};
use crate::domain::timestamp::Timestamp;
use crate::store::ban;
use crate::store::conn::Conn;
use crate::store::people_list::{self, Sessions};
use crate::store::person;
use crate::usecase::resolve::unavailable;
use crate::usecase::{Facts, cursor, people};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::limits::PAGE_MAX;
use crate::wire::people::{
    BanInForce, CandidateRow, FindPerson, FoundBy, FoundPersonReply, ListPeople, PeopleReply,
    PeopleStatsReply, PersonActivity, PersonReply, PersonRow, PersonSince, RoleFrom, ShowPerson,
};
use std::time::Duration;

/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// Turns the arguments of a list into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn resolve_list(args: ListPeople) -> Result<Action, Fault> {
    let text = match args.query.as_deref() {
        Some(text) => {
            let words = Words::parse(text)
                .map_err(|problem| Fault::invalid("query", problem).hint("leave it out to see everybody"))?;
            Some(fold(words.as_str()))
        }
        None => None,
    };
    let limit = match args.limit {
        None => PAGE_MAX,
        Some(_) => crate::usecase::resolve::limit(args.limit)?,
    };
    Ok(Action::ListPeople(Box::new(PeopleQuery {
        text,
        status: args.status,
        role: args.role,
        visitors: args.visitors.unwrap_or(false),
        sessions: args.sessions.unwrap_or(false),
        export: args.export.unwrap_or(false),
        after: args.cursor.as_deref().map(cursor::people).transpose()?,
        limit,
    })))
}

/// Turns what is looked for into an action.
///
/// # Errors
/// It says nothing.
pub(super) fn resolve_find(args: FindPerson) -> Result<Action, Fault> {
    // Looked at again when it is looked for; a wrong one is refused before anything is.
    people::words("query", &args.query)?;
    Ok(Action::FindPerson { query: args.query, deleted: args.deleted.unwrap_or(false) })
}

/// Who is to be shown. Whoever is no admin finds themselves alone; others are to them as if they were not there.
///
/// # Errors
/// Nobody is meant, or several may be.
pub(super) async fn resolve_show(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    args: ShowPerson,
) -> Result<Action, Fault> {
    let own = caller.person.as_ref();
    let oneself = match args.person.as_deref().map(|text| people::words("person", text)).transpose()? {
        None => true,
        Some(words) => {
            let said = fold(words.as_str());
            let name = own.map(|person| fold(&person.name));
            let key = own.map(|person| person.id.to_string());
            let theirs = [name, key, caller.os_username.as_deref().map(fold), Some(caller.uid.to_string())];
            caller.role < Role::Admin && theirs.into_iter().flatten().any(|name| name == said)
        }
    };
    let person = match (args.person, own) {
        (_, Some(own)) if oneself => person::by_id(conn, own.id).await.map_err(unavailable)?,
        (Some(said), _) if caller.role == Role::Admin => {
            match people::one(conn, facts, "person", &said).await {
                Err(fault) if fault.code == FaultCode::NotFound => {
                    let deleted = people::find(conn, facts, "person", &said, true).await?;
                    let mut deleted = deleted.filter(|meant| meant.sure).ok_or(fault)?;
                    Some(deleted.people.swap_remove(0).0)
                }
                found => Some(found?),
            }
        }
        (Some(said), _) => return Err(people::nobody("person", &said)),
        (None, _) => None,
    };
    let person = person.ok_or_else(|| people::nobody("person", &caller.name()))?;
    let own = own.is_some_and(|own| own.id == person.id);
    Ok(Action::ShowPerson { person: Box::new(person), own })
}

/// What gives people their roles here.
fn roles(facts: &Facts, caller: &Caller) -> Roles {
    if facts.single_user {
        // The one who is served is the one who asks.
        return Roles { config: vec![(caller.name(), Role::Admin)], ..Roles::default() };
    }
    let people = &facts.config.people;
    let named = people.iter().filter(|person| person.os_uid.is_some() || person.os_username.is_some());
    Roles {
        config: named.map(|person| (person.name.clone(), person.role)).collect(),
        groups: people.iter().any(|person| person.os_group.is_some()),
        given: true,
    }
}

fn role(roles: &Roles, person: &Person) -> (Role, RoleFrom) {
    let config = roles.config.iter().find(|(name, _)| !person.visitor && *name == person.name);
    let group = person.group_role.filter(|_| roles.groups);
    let given = person.role.filter(|_| roles.given);
    match (config, group, given) {
        (Some((_, role)), _, _) => (*role, RoleFrom::Config),
        (None, Some(role), _) => (role, RoleFrom::Group),
        (None, None, Some(role)) => (role, RoleFrom::Directory),
        (None, None, None) => (Role::Public, RoleFrom::Nothing),
    }
}

fn row(roles: &Roles, person: &Person, sessions: Option<Sessions>) -> PersonRow {
    let (role, role_from) = role(roles, person);
    PersonRow {
        person_id: person.id.to_string(),
        name: person.name.clone(),
        full_name: person.full_name.clone(),
        role,
        role_from,
        status: person.status,
        visitor: person.visitor,
        os_username: person.os_username.clone(),
        uid: person.uid.map(i64::from),
        email: person.email.clone(),
        phone: person.phone.clone(),
        first_seen_at: person.first_seen.to_string(),
        last_seen_at: person.last_seen.to_string(),
        open_sessions: sessions.map(|sessions| sessions.open),
        last_session_at: sessions.and_then(|sessions| sessions.last).map(|at| at.to_string()),
    }
}

/// A page of people.
///
/// # Errors
/// The database.
pub(super) async fn list(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    query: &PeopleQuery,
) -> Result<PeopleReply, Fault> {
    let roles = roles(facts, caller);
    let found = people_list::page(conn, query, &roles).await.map_err(unavailable)?;
    let ids: Vec<PersonId> = found.iter().map(|(person, _)| person.id).collect();
    let sessions = match query.sessions {
        true => Some(people_list::sessions(conn, &ids).await.map_err(unavailable)?),
        false => None,
    };
    let of = |id| sessions.as_ref().map(|all| all.get(&id).copied().unwrap_or_default());
    let people = found.iter().map(|(person, _)| row(&roles, person, of(person.id))).collect();
    let full = found.len() as u64 == query.limit;
    let next_cursor = found
        .last()
        .filter(|_| full)
        .map(|(person, named)| cursor::of_people(*named, person.created, person.id));
    Ok(PeopleReply { people, next_cursor })
}

/// Who is meant by some words.
///
/// # Errors
/// The database.
pub(super) async fn find(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    query: &str,
    deleted: bool,
) -> Result<FoundPersonReply, Fault> {
    let nobody = FoundPersonReply { person: None, found_by: None, candidates: Vec::new(), more: false };
    let Some(meant) = people::find(conn, facts, "query", query, deleted).await? else { return Ok(nobody) };
    let roles = roles(facts, caller);
    let candidates: Vec<CandidateRow> = meant
        .people
        .iter()
        .map(|(person, score)| CandidateRow { score: *score, person: row(&roles, person, None) })
        .collect();
    Ok(FoundPersonReply {
        person: candidates.first().filter(|_| meant.sure).map(|first| first.person.clone()),
        found_by: Some(match meant.step {
            Step::Exact => FoundBy::Exact,
            Step::Uid => FoundBy::Uid,
            Step::NamePart => FoundBy::NamePart,
            Step::PhonePart => FoundBy::PhonePart,
            Step::Similar => FoundBy::Similar,
        }),
        candidates,
        more: meant.more,
    })
}

/// One person, and what is known of them. Notes, warnings and who banned are for admins.
///
/// # Errors
/// The database.
pub(super) async fn show(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    person: &Person,
) -> Result<PersonReply, Fault> {
    let admin = caller.role == Role::Admin;
    let sessions = people_list::sessions(conn, &[person.id]).await.map_err(unavailable)?;
    let sessions = sessions.get(&person.id).copied().unwrap_or_default();
    let [all, messages, tasks, open_tasks] =
        people_list::activity(conn, person.id).await.map_err(unavailable)?;
    let theirs =
        ban::active_of(conn, &[person.id], person.uid.as_slice(), facts.now).await.map_err(unavailable)?;
    Ok(PersonReply {
        person: row(&roles(facts, caller), person, Some(sessions)),
        activity: PersonActivity { sessions: all, messages, tasks, open_tasks },
        bans: theirs
            .into_iter()
            .map(|ban| BanInForce {
                until: ban.until.map(|at| at.to_string()),
                reason: ban.reason,
                created_at: ban.created.to_string(),
                by: Some(ban.by).filter(|_| admin),
            })
            .collect(),
        created_at: person.created.to_string(),
        updated_at: person.updated.to_string(),
        notes: Some(person.notes.clone()).filter(|_| admin),
        warnings: Some(i64::from(person.warnings)).filter(|_| admin),
    })
}

/// How many there are.
///
/// # Errors
/// The database.
pub(super) async fn stats(conn: &Conn, facts: &Facts, caller: &Caller) -> Result<PeopleStatsReply, Fault> {
    let ago = |days: u32| {
        let micros = i64::try_from((DAY * days).as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(facts.now.micros().saturating_sub(micros))
    };
    let since = [ago(1), ago(7), ago(30)];
    let counts = people_list::counts(conn, &roles(facts, caller), since).await.map_err(unavailable)?;
    let of = |status| counts.by_status.get(&status).copied().unwrap_or(0);
    let named = |end: &Option<(String, Timestamp)>| {
        end.as_ref().map(|(name, at)| PersonSince { name: name.clone(), created_at: at.to_string() })
    };
    use crate::domain::person::PersonStatus as Status;
    Ok(PeopleStatsReply {
        total: of(Status::Active) + of(Status::Inactive) + of(Status::Suspended),
        active: of(Status::Active),
        suspended: of(Status::Suspended),
        admins: counts.by_role.get(&Role::Admin).copied().unwrap_or(0),
        new_24h: counts.since[0],
        new_7d: counts.since[1],
        new_30d: counts.since[2],
        by_status: counts.by_status.iter().map(|(status, n)| (status.name().to_owned(), *n)).collect(),
        by_role: counts.by_role.iter().map(|(role, n)| (role.name().to_owned(), *n)).collect(),
        visitors: counts.visitors,
        oldest: named(&counts.oldest),
        newest: named(&counts.newest),
    })
}
