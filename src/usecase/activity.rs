//! Who did what, when: what happened in sessions, and for admins what was changed about people, which the audit log
//! knows. Metadata only: what was said, asked or called stays where it is.

use crate::domain::action::Action;
use crate::domain::activity::{ActivityQuery, Place};
use crate::domain::audit::AuditEntry;
use crate::domain::caller::{Caller, Role};
use crate::domain::policy::Listing;
use crate::domain::timestamp::Timestamp;
use crate::domain::verb::Verb;
use crate::store::activity::{self, Before, Event};
use crate::store::conn::Conn;
use crate::store::{audit, person};
use crate::usecase::cursor;
use crate::usecase::resolve::{find, limit, moment, unavailable};
use crate::wire::activity::{ActivityReply, ActivityRow, ListActivity};
use crate::wire::fault::Fault;
use std::cmp::Reverse;

/// Kinds of events whose detail is how the session ended.
const ENDS: [&str; 2] = ["ended", "idle_end"];

/// Turns the arguments into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) async fn resolve(conn: &Conn, caller: &Caller, args: ListActivity) -> Result<Action, Fault> {
    if args.session_id.is_some() && args.person.is_some() {
        return Err(Fault::invalid("person", "cannot be given together with session_id"));
    }
    let (since, until) = (moment("since", args.since.as_deref())?, moment("until", args.until.as_deref())?);
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return Err(Fault::invalid("until", "is before since"));
    }
    let before = args.cursor.as_deref().map(cursor::activity).transpose()?;
    let limit = limit(args.limit)?;
    let session = match args.session_id.as_deref() {
        Some(text) => Some(find(conn, caller, text).await?),
        None => None,
    };
    Ok(Action::ListActivity(Box::new(ActivityQuery {
        session,
        person: args.person,
        since,
        until,
        before,
        limit,
    })))
}

/// A row, and where it stands.
struct Listed {
    place: Place,
    row: ActivityRow,
}

impl Listed {
    /// Newest first; what happened at one moment by where it was written down, the latest first.
    fn order(&self) -> (Reverse<Timestamp>, u8) {
        match &self.place {
            Place::Session(at, _) => (Reverse(*at), 0),
            Place::Audit(at, _, _) => (Reverse(*at), 1),
        }
    }
}

/// A page of activity.
///
/// # Errors
/// There is no such person; the database.
pub(super) async fn list(
    conn: &Conn,
    caller: &Caller,
    listing: Listing,
    query: &ActivityQuery,
) -> Result<ActivityReply, Fault> {
    let nothing = ActivityReply { activity: Vec::new(), next_cursor: None };
    let mut filter =
        activity::Filter { since: query.since, until: query.until, ..activity::Filter::default() };
    filter.session = query.session.as_ref().map(|session| session.id);
    if listing != Listing::All || query.person.as_deref() == Some(caller.name().as_str()) {
        let Some(own) = &caller.person else { return Ok(nothing) };
        (filter.owner, filter.uid) = (Some(own.id), Some(caller.uid));
    } else if let Some(name) = &query.person {
        let known = person::by_name(conn, name).await.map_err(unavailable)?;
        filter.owner = Some(known.ok_or_else(|| no_person(name))?.id);
    }
    let before = query.before.as_ref().map(|place| match place {
        Place::Session(at, id) => Before::Row(*at, *id),
        Place::Audit(at, _, _) => Before::Moment(*at),
    });
    let events = activity::page(conn, &filter, before, query.limit).await.map_err(unavailable)?;
    let mut rows: Vec<Listed> = events.into_iter().map(of_session).collect();
    if listing == Listing::All && query.session.is_none() {
        rows.extend(of_people(conn, query).await?);
        rows.sort_by_key(Listed::order);
    }
    let most = usize::try_from(query.limit).unwrap_or(usize::MAX);
    rows.truncate(most);
    let last = rows.last().filter(|_| rows.len() == most);
    let next_cursor = last.map(|last| cursor::of_activity(&last.place));
    Ok(ActivityReply { activity: rows.into_iter().map(|listed| listed.row).collect(), next_cursor })
}

/// There is no such person, or none that the caller may ask about: the same words for both.
pub(super) fn no_person(name: &str) -> Fault {
    let name: String = name.chars().take(64).collect();
    Fault::not_found("person", &name)
}

fn of_session((event, owner): (Event, String)) -> Listed {
    let exit = event.detail.as_deref().filter(|_| ENDS.contains(&event.kind.as_str()));
    Listed {
        row: ActivityRow {
            at: event.at.to_string(),
            what: format!("session.{}", event.kind),
            actor: event.actor,
            person: Some(owner),
            session_id: Some(event.session.to_string()),
            target: None,
            exit: exit.and_then(|text| serde_json::from_str(text).ok()),
        },
        place: Place::Session(event.at, event.id),
    }
}

/// What was changed about people and bans: rows of the audit log, a page of each action's. Only for admins.
async fn of_people(conn: &Conn, query: &ActivityQuery) -> Result<Vec<Listed>, Fault> {
    let (mut found, mut before, mut until) = (Vec::new(), None, query.until);
    match &query.before {
        Some(Place::Audit(at, computer, seq)) => {
            before = Some(audit::Place { at: *at, computer: computer.clone(), seq: *seq });
        }
        // Whatever the log has of that moment is still to come.
        Some(Place::Session(at, _)) => until = Some(until.map_or(*at, |until| until.min(*at))),
        None => {}
    }
    for verb in Verb::ALL.iter().filter(|verb| is_of_people(**verb)) {
        let filter = audit::Filter {
            action: Some(verb.name().to_owned()),
            actor: query.person.clone(),
            since: query.since,
            until,
            ..audit::Filter::default()
        };
        found.extend(audit::page(conn, &filter, before.as_ref(), query.limit).await.map_err(unavailable)?);
    }
    found.sort_by_key(|entry| Reverse((entry.draft.at, entry.computer.clone(), entry.seq)));
    Ok(found.into_iter().map(of_audit).collect())
}

/// Whether an action changes something about people.
fn is_of_people(verb: Verb) -> bool {
    verb.name().starts_with("person.") || verb.name().starts_with("ban.")
}

fn of_audit(entry: AuditEntry) -> Listed {
    let AuditEntry { computer, seq, draft, .. } = entry;
    Listed {
        place: Place::Audit(draft.at, computer, seq),
        row: ActivityRow {
            at: draft.at.to_string(),
            what: draft.action,
            actor: (draft.actor_role != Role::Public).then_some(draft.actor),
            person: draft.owner,
            session_id: None,
            target: draft.target.map(|(kind, id)| format!("{kind} {id}")),
            exit: None,
        },
    }
}
