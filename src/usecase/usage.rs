//! What was used: by whom, where, with what, when. Everybody sees their own, admins everybody's.

use crate::domain::action::Action;
use crate::domain::caller::Caller;
use crate::domain::policy::Listing;
use crate::domain::usage::{By, Day, UsageQuery, Used};
use crate::store::conn::Conn;
use crate::store::person;
use crate::store::usage::{self, REMOVED};
use crate::usecase::resolve::unavailable;
use crate::usecase::{Facts, cursor, people};
use crate::wire::fault::Fault;
use crate::wire::limits::{GROUPS_DEFAULT, GROUPS_MAX};
use crate::wire::usage::{ShowUsage, UsageReply, UsageRow};

/// Days that are looked at if nothing is said.
const DAYS: i64 = 30;
/// Characters of a name that is filtered by, at most: a path may be one.
const NAME_CHARS_MAX: usize = 4_096;

/// Turns the arguments into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn resolve(facts: &Facts, args: ShowUsage) -> Result<Action, Fault> {
    let day = |field: &str, text: Option<&str>| {
        text.map(|text| Day::parse(text).map_err(|problem| Fault::invalid(field, problem))).transpose()
    };
    let until = day("until", args.until.as_deref())?;
    let since = day("since", args.since.as_deref())?;
    let until = until.unwrap_or_else(|| since.unwrap_or(Day::of(facts.now)).max(Day::of(facts.now)));
    let since = since.unwrap_or_else(|| until.before(DAYS));
    if since > until {
        return Err(Fault::invalid("until", format_args!("{until} is before {since}, the first day")));
    }
    let by = by(args.by.as_deref().unwrap_or_default())?;
    let after = args.cursor.as_deref().map(|text| cursor::usage(text, &by)).transpose()?;
    Ok(Action::ShowUsage(Box::new(UsageQuery {
        after,
        by,
        person: name("person", args.person)?,
        project: name("project", args.project)?,
        agent: name("agent", args.agent)?,
        model: name("model", args.model)?,
        since,
        until,
        limit: limit(args.limit)?,
    })))
}

/// Reads `person,day`.
fn by(words: &str) -> Result<Vec<By>, Fault> {
    let mut all = Vec::new();
    for word in words.split(',').map(str::trim).filter(|_| !words.is_empty()) {
        let Some(by) = By::parse(word) else {
            let word: String = word.chars().take(40).collect();
            return Err(Fault::invalid("by", format_args!("`{word}` is no way to tell it apart"))
                .hint("one or more of person, project, agent, model and day, with commas between"));
        };
        if all.contains(&by) {
            return Err(Fault::invalid("by", format_args!("names {word} twice")));
        }
        all.push(by);
    }
    Ok(all)
}

fn name(field: &str, name: Option<String>) -> Result<Option<String>, Fault> {
    match name {
        Some(name) if name.is_empty() || name.contains('\0') || name.chars().count() > NAME_CHARS_MAX => {
            Err(Fault::invalid(
                field,
                format_args!("must have 1 to {NAME_CHARS_MAX} characters, none of them NUL"),
            ))
        }
        name => Ok(name),
    }
}

fn limit(limit: Option<i64>) -> Result<u64, Fault> {
    match limit {
        None => Ok(GROUPS_DEFAULT),
        Some(n) => u64::try_from(n)
            .ok()
            .filter(|n| (1..=GROUPS_MAX).contains(n))
            .ok_or_else(|| Fault::invalid("limit", format_args!("must be 1 to {GROUPS_MAX}"))),
    }
}

/// A page of groups; the first page also has their sum.
///
/// # Errors
/// The database.
pub(super) async fn show(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    listing: Listing,
    mut query: UsageQuery,
) -> Result<UsageReply, Fault> {
    if let Some(name) = query.person.as_deref().filter(|name| *name != REMOVED && *name != caller.name()) {
        // As it is written, it is also one who was deleted.
        if person::by_name(conn, name).await.map_err(unavailable)?.is_none() {
            query.person = Some(people::one(conn, facts, "person", name).await?.name);
        }
    }
    let query = &query;
    let own = caller.person.as_ref().map(|person| (person.id, caller.uid));
    let owner = if listing == Listing::All { None } else { own };
    let of_models = query.is_of_models();
    let mut reply = UsageReply {
        by: query.by.iter().map(|by| by.name().to_owned()).collect(),
        since: query.since.to_string(),
        until: query.until.to_string(),
        groups: Vec::new(),
        total: query.after.is_none().then(|| UsageRow::new(&Used::default(), of_models)),
        next_cursor: None,
    };
    if listing != Listing::All && own.is_none() {
        return Ok(reply);
    }
    if query.after.is_none() {
        let all = usage::sum(conn, query, owner).await.map_err(unavailable)?;
        reply.total = Some(UsageRow::new(&all, of_models));
    }
    if query.by.is_empty() {
        return Ok(reply);
    }
    let rows = usage::page(conn, query, owner).await.map_err(unavailable)?;
    let full = rows.len() as u64 == query.limit;
    reply.next_cursor = rows.last().filter(|_| full).map(|last| cursor::of_usage(&last.key));
    reply.groups = rows.iter().map(|group| UsageRow::of(group, &query.by, of_models)).collect();
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::by;
    use crate::domain::usage::By;

    #[test]
    fn ways_to_tell_it_apart() {
        assert_eq!(by("").unwrap(), []);
        assert_eq!(by("day").unwrap(), [By::Day]);
        assert_eq!(by("person, model").unwrap(), [By::Person, By::Model]);
        for wrong in [",", "person,", "people", "day,day", "Day", " "] {
            assert_eq!(by(wrong).unwrap_err().field.as_deref(), Some("by"), "{wrong}");
        }
    }
}
