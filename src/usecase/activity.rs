//! Who did what, when: what happened in sessions, what was done with tasks, and for admins what was changed about
//! people, which the audit log knows. Metadata only: what was said, asked or called stays where it is.

use crate::domain::action::Action;
use crate::domain::activity::{ActivityQuery, Place};
use crate::domain::audit::AuditEntry;
use crate::domain::caller::Caller;
use crate::domain::person::PersonId;
use crate::domain::policy::Listing;
use crate::domain::task::TaskEvent;
use crate::domain::timestamp::Timestamp;
use crate::domain::verb::Verb;
use crate::store::activity::{self, Before, Event, Span};
use crate::store::audit;
use crate::store::conn::Conn;
use crate::store::task_event::{self, Of};
use crate::usecase::resolve::{find, limit, moment, unavailable};
use crate::usecase::{Facts, cursor, people};
use crate::wire::activity::{ActivityReply, ActivityRow, ListActivity};
use crate::wire::fault::Fault;
use std::cmp::Reverse;
use std::collections::BTreeMap;

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

/// Where something was written down, as a number: what happened at one moment is listed in this order.
const fn rank(place: &Place) -> (Timestamp, u8) {
    match place {
        Place::Session(at, _) => (*at, 0),
        Place::Task(at, _) => (*at, 1),
        Place::Audit(at, _, _) => (*at, 2),
    }
}

/// Where the list of what has this rank goes on after `last`, which is of another rank.
fn before(last: &Place, own: u8) -> Before {
    let (at, rank) = rank(last);
    if own < rank { Before::Moment(at) } else { Before::Until(at) }
}

/// Whose activity.
enum Whose {
    Everybodys,
    /// One's own: this person's at this uid.
    Own(PersonId, u32),
    /// Another's, who has this name.
    Persons(PersonId, String),
}

/// A page of activity.
///
/// # Errors
/// There is no such person; the database.
pub(super) async fn list(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    listing: Listing,
    query: &ActivityQuery,
) -> Result<ActivityReply, Fault> {
    let own = caller.person.as_ref().map(|person| Whose::Own(person.id, caller.uid));
    let whose = match &query.person {
        Some(name) if *name == caller.name() => own,
        Some(name) if listing == Listing::All => {
            let person = people::one(conn, facts, "person", name).await?;
            Some(Whose::Persons(person.id, person.name))
        }
        None if listing == Listing::All => Some(Whose::Everybodys),
        _ => own,
    };
    let Some(whose) = whose else {
        return Ok(ActivityReply { activity: Vec::new(), next_cursor: None });
    };
    let mut rows = of_sessions(conn, &whose, query).await?;
    if query.session.is_none() {
        rows.extend(of_tasks(conn, &whose, query).await?);
        if listing == Listing::All {
            let actor = match whose {
                Whose::Everybodys => None,
                Whose::Own(..) => Some(caller.name()),
                Whose::Persons(_, name) => Some(name),
            };
            rows.extend(of_people(conn, actor, query).await?);
        }
    }
    // Each list is in its order already.
    rows.sort_by_key(|listed| {
        let (at, rank) = rank(&listed.place);
        (Reverse(at), rank)
    });
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

async fn of_sessions(conn: &Conn, whose: &Whose, query: &ActivityQuery) -> Result<Vec<Listed>, Fault> {
    let (owner, uid) = match whose {
        Whose::Everybodys => (None, None),
        Whose::Own(person, uid) => (Some(*person), Some(*uid)),
        Whose::Persons(person, _) => (Some(*person), None),
    };
    let filter = activity::Filter {
        session: query.session.as_ref().map(|session| session.id),
        owner,
        uid,
        span: Span { since: query.since, until: query.until },
    };
    let before = query.before.as_ref().map(|last| match last {
        Place::Session(at, id) => Before::Row(*at, *id),
        other => before(other, 0),
    });
    let events = activity::page(conn, &filter, before, query.limit).await.map_err(unavailable)?;
    Ok(events.into_iter().map(of_session).collect())
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

/// What was done with tasks: a person's are those they did something with, and those that were theirs.
async fn of_tasks(conn: &Conn, whose: &Whose, query: &ActivityQuery) -> Result<Vec<Listed>, Fault> {
    let trails = match whose {
        Whose::Everybodys => vec![Of::All],
        Whose::Own(person, _) | Whose::Persons(person, _) => {
            vec![Of::Actor(*person), Of::Assignee(*person)]
        }
    };
    let before = query.before.as_ref().map(|last| match last {
        Place::Task(at, id) => Before::Row(*at, *id),
        other => before(other, 1),
    });
    let span = Span { since: query.since, until: query.until };
    // One's own task, moved by oneself, is in both.
    let mut events = BTreeMap::new();
    for of in trails {
        for event in task_event::page(conn, of, &span, before, query.limit).await.map_err(unavailable)? {
            events.insert(Reverse((event.at, event.id)), event);
        }
    }
    Ok(events.into_values().map(of_task).collect())
}

fn of_task(event: TaskEvent) -> Listed {
    Listed {
        place: Place::Task(event.at, event.id),
        row: ActivityRow {
            at: event.at.to_string(),
            what: format!("task.{}", event.kind.name()),
            actor: event.actor.map(|_| event.actor_name),
            person: None,
            session_id: None,
            target: Some(format!("task {}", event.task)),
            exit: None,
        },
    }
}

/// What was changed about people and bans, by anybody or by `actor`: rows of the audit log, a page of each action's. Only
/// for admins.
async fn of_people(conn: &Conn, actor: Option<String>, query: &ActivityQuery) -> Result<Vec<Listed>, Fault> {
    let (mut found, mut before, mut until) = (Vec::new(), None, query.until);
    match &query.before {
        Some(Place::Audit(at, computer, seq)) => {
            before = Some(audit::Place { at: *at, computer: computer.clone(), seq: *seq });
        }
        // Whatever the log has of that moment is still to come.
        Some(Place::Session(at, _) | Place::Task(at, _)) => {
            until = Some(until.map_or(*at, |until| until.min(*at)));
        }
        None => {}
    }
    for verb in Verb::ALL.iter().filter(|verb| is_of_people(**verb)) {
        let filter = audit::Filter {
            action: Some(verb.name().to_owned()),
            actor: actor.clone(),
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
            actor: Some(draft.actor),
            person: draft.owner,
            session_id: None,
            target: draft.target.map(|(kind, id)| format!("{kind} {id}")),
            exit: None,
        },
    }
}
