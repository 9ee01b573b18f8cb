//! Making one person of two, and removing one. Tasks, messages and notes follow; what is a person's and a uid's together
//! (sessions, and what is told of them) never becomes anybody else's, nor do credentials, nor does the audit log change.

use crate::domain::caller::Caller;
use crate::domain::people_change::NOTES_CHARS;
use crate::domain::person::{Person, PersonStatus};
use crate::store::conn::Conn;
use crate::store::people_change as kept;
use crate::store::{ban, hold, task, usage};
use crate::usecase::Facts;
use crate::usecase::people_change::{Done, conflict, keep, named, of_config};
use crate::usecase::people_guard::not_oneself;
use crate::usecase::resolve::unavailable;
use crate::wire::fault::Fault;
use crate::wire::people_change::{MergedReply, PersonPurgedReply};
use crate::wire::reply::Reply;
use serde_json::json;

pub(super) async fn purge(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    person: Person,
) -> Result<Done, Fault> {
    not_oneself(conn, facts, caller, (Some(&person), None), "purge").await?;
    if let Some(config) = facts.people.of_config(&person.name).filter(|_| !person.visitor) {
        let what = format!("`{}`", person.name);
        return Err(of_config("person", &what, &config.name, config.origin.as_deref()));
    }
    not_held(conn, &person).await?;
    let sessions = kept::sessions_of(conn, person.id).await.map_err(unavailable)?;
    if sessions > 0 {
        let s = if sessions == 1 { "" } else { "s" };
        return Err(conflict("person", format!("`{}` owns {sessions} session{s}", person.name)).hint(format!(
            "`teleclaude sessions purge` deletes sessions; `teleclaude people delete '{}'` keeps them and the name",
            person.name
        )));
    }
    if task::names(conn, person.id).await.map_err(unavailable)? {
        return Err(conflict("person", format!("there are tasks that `{}` was given, or gave", person.name))
            .hint(format!(
                "delete them, or make them somebody else's: `teleclaude people merge '{}' NAME`",
                person.name
            )));
    }
    remove(conn, &person).await?;
    let reply = Reply::PersonPurged(PersonPurgedReply {
        person_id: person.id.to_string(),
        name: person.name.clone(),
        purged: true,
    });
    let detail = json!({ "name": person.name, "uid": person.uid });
    Ok(Done::of(&person, reply, Some(detail)))
}

pub(super) async fn merge(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    mut source: Person,
    mut target: Person,
) -> Result<Done, Fault> {
    if source.id == target.id {
        return Err(Fault::invalid("into", "is the same person"));
    }
    not_oneself(conn, facts, caller, (Some(&source), None), "merge away").await?;
    named(&target).map_err(|fault| Fault { field: Some("into".to_owned()), ..fault })?;
    if target.status == PersonStatus::Deleted {
        return Err(conflict("into", format!("`{}` was deleted", target.name))
            .hint(format!("`teleclaude people activate '{}'` brings them back", target.name)));
    }
    if let Some(config) = facts.people.of_config(&source.name).filter(|_| !source.visitor) {
        let what = format!("`{}`", source.name);
        return Err(of_config("person", &what, &config.name, config.origin.as_deref()));
    }
    not_held(conn, &source).await?;
    let before = target.clone();
    if !source.notes.is_empty() {
        let gap = if target.notes.is_empty() { "" } else { "\n" };
        target.notes = format!("{}{gap}{}: {}", target.notes, source.name, source.notes);
        if target.notes.chars().count() > NOTES_CHARS {
            return Err(conflict(
                "into",
                format!("the notes of both have more than {NOTES_CHARS} characters"),
            )
            .hint("shorten one of them with `teleclaude people update NAME --notes …`"));
        }
    }
    keep(conn, facts, &before, &mut target).await?;
    let tasks = task::hand_over(conn, source.id, target.id).await.map_err(unavailable)?;
    let messages = kept::move_inbox(conn, source.id, target.id).await.map_err(unavailable)?;
    let sessions = kept::sessions_of(conn, source.id).await.map_err(unavailable)?;
    let purged = sessions == 0;
    if purged {
        remove(conn, &source).await?;
    } else {
        let was = source.clone();
        source.status = PersonStatus::Deleted;
        source.notes = String::new();
        keep(conn, facts, &was, &mut source).await?;
    }
    let mut hints = Vec::new();
    if let Some(uid) = source.uid {
        let free = if purged {
            String::new()
        } else {
            format!("`teleclaude people update '{}' --os-username ''`, then ", source.name)
        };
        hints.push(format!(
            "uid {uid} is not {} by that: {free}`teleclaude people update '{}' --uid {uid}` says so",
            target.name, target.name
        ));
    }
    if sessions > 0 {
        hints.push(format!("{sessions} sessions stay {}'s: nobody else owns them", source.name));
    }
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let reply = Reply::PeopleMerged(MergedReply {
        merged: source.name.clone(),
        into: target.name.clone(),
        tasks: number(tasks),
        messages: number(messages),
        purged,
        hints,
    });
    let detail = json!({
        "merged": source.name, "into": target.name, "into_id": target.id.to_string(),
        "tasks": tasks, "messages": messages, "purged": purged,
    });
    Ok(Done::of(&source, reply, Some(detail)))
}

/// Refuses what would take away the name by which a hold knows somebody.
async fn not_held(conn: &Conn, person: &Person) -> Result<(), Fault> {
    let held = hold::held(conn).await.map_err(unavailable)?;
    if held.everything || held.people.contains(&person.name) {
        let text = format!("what is `{}`'s is on hold", person.name);
        return Err(
            conflict("person", text).hint("`teleclaude audit holds` lists holds, and who placed them")
        );
    }
    Ok(())
}

/// Removes all that is kept of somebody who owns no session.
async fn remove(conn: &Conn, person: &Person) -> Result<(), Fault> {
    ban::purge(conn, person.id).await.map_err(unavailable)?;
    usage::forget(conn, person.id).await.map_err(unavailable)?;
    kept::purge(conn, person.id).await.map_err(unavailable)
}
