//! Changing people, inside the writer's transaction, each with its audit row: the way of every change, roles, statuses, and
//! many at once. Details are `people_details`, two who become one `people_merge`, bans and warnings `ban`; that an admin always
//! remains is `people_guard`.

use crate::domain::audit::AuditDraft;
use crate::domain::caller::{Caller, Role};
use crate::domain::people_change::{BULK_MAX, Bulk, PeopleChange, PersonChange};
use crate::domain::person::{Person, PersonId, PersonStatus};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::people_change::{self as kept, Claims, Many};
use crate::store::writer::Tx;
use crate::store::{person, version};
use crate::usecase::people_details::{add, update};
use crate::usecase::people_guard::{not_oneself, still_admin};
use crate::usecase::people_merge::{merge, purge};
use crate::usecase::resolve::unavailable;
use crate::usecase::{Facts, ban};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::people_change::{BulkReply, PersonChangedReply};
use crate::wire::reply::Reply;
use serde_json::{Value, json};
use uuid::Uuid;

/// What came of a change.
pub(super) struct Done {
    /// What is answered.
    pub reply: Reply,
    /// Whom the audit row is about, by key and name.
    pub about: Option<(String, String)>,
    /// Why.
    pub reason: Option<String>,
    /// What else the row says. Without it nothing has changed, and there is no row.
    pub detail: Option<Value>,
}

impl Done {
    /// About this person.
    pub fn of(person: &Person, reply: Reply, detail: Option<Value>) -> Self {
        let about = Some((person.id.to_string(), person.name.clone()));
        Self { reply, about, reason: None, detail }
    }
}

/// Looks at the people again, now inside the transaction that will change them. Whoever changes people at the same time,
/// also by another daemon, has done so before, or waits.
pub(super) async fn again(conn: &Conn, change: &mut PeopleChange) -> Result<(), Fault> {
    if matches!(change, PeopleChange::Bulk(Bulk { dry_run: true, .. })) {
        return Ok(());
    }
    version::people_change(conn).await.map_err(unavailable)?;
    for person in change.people_mut() {
        let now = person::by_id_held(conn, person.id).await.map_err(unavailable)?;
        *person = now.ok_or_else(|| Fault::not_found("person", &person.name))?;
    }
    Ok(())
}

/// Does it, and writes it down.
///
/// # Errors
/// Why not; then nothing is done.
pub(super) async fn change(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    change: PeopleChange,
    draft: Option<AuditDraft>,
) -> Result<Reply, Fault> {
    let conn = tx.conn();
    still_admin(conn, facts, caller).await?;
    let done = match change {
        PeopleChange::Add(new) => add(conn, facts, *new).await?,
        PeopleChange::One { person, change } => one(conn, facts, caller, *person, change).await?,
        PeopleChange::Merge { source, target } => merge(conn, facts, caller, *source, *target).await?,
        PeopleChange::Bulk(bulk) => many(conn, facts, caller, &bulk).await?,
        PeopleChange::Ban { who, until, reason } => ban::ban(conn, facts, caller, who, until, reason).await?,
        PeopleChange::Lift(who) => ban::lift(conn, facts, caller, who).await?,
    };
    still_admin(conn, facts, caller).await?;
    if let Some((draft, detail)) = draft.zip(done.detail) {
        let (target, owner) = match done.about {
            Some((id, name)) => (Some(("person".to_owned(), id)), Some(name)),
            None => (None, None),
        };
        tx.audit(AuditDraft { target, owner, ..draft.because(done.reason.as_deref()).with_detail(&detail) });
    }
    Ok(done.reply)
}

async fn one(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    person: Person,
    change: PersonChange,
) -> Result<Done, Fault> {
    match change {
        PersonChange::Update { details, version, account } => {
            update(conn, facts, person, details, version, account).await
        }
        PersonChange::Role(role) => set_role(conn, facts, caller, person, role).await,
        PersonChange::Status(status) => set_status(conn, facts, caller, person, status).await,
        PersonChange::Delete => set_status(conn, facts, caller, person, PersonStatus::Deleted).await,
        PersonChange::Purge => purge(conn, facts, caller, person).await,
        PersonChange::Warn(reason) => ban::warn(conn, facts, caller, person, reason).await,
    }
}

pub(super) fn conflict(field: &str, message: String) -> Fault {
    Fault { field: Some(field.to_owned()), ..Fault::new(FaultCode::Conflict, message) }
}

/// Somebody of the config has it.
pub(super) fn of_config(field: &str, what: &str, name: &str, origin: Option<&str>) -> Fault {
    let place = origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
    conflict(field, format!("{what} belongs to `{name}` of the config{place}"))
        .hint("the config beats what is kept at run time: change it there, and reload")
}

/// Somebody of the directory has it.
pub(super) fn taken(field: &str, what: &str, other: &Person) -> Fault {
    let name = &other.name;
    if other.status == PersonStatus::Deleted {
        return conflict(field, format!("{what} belongs to `{name}`, who was deleted")).hint(format!(
            "`teleclaude people activate '{name}'` brings them back, `teleclaude people purge '{name}'` removes them"
        ));
    }
    conflict(field, format!("{what} belongs to `{name}` already"))
        .hint(format!("`teleclaude people update '{name}'` changes what is theirs"))
}

/// Without a name there is nothing that could be changed.
pub(super) fn named(person: &Person) -> Result<(), Fault> {
    if !person.visitor {
        return Ok(());
    }
    let uid = person.uid.map(|uid| uid.to_string()).unwrap_or_default();
    Err(conflict("person", format!("uid {uid} is a visitor, and nobody's"))
        .hint(format!("`teleclaude people add NAME --uid {uid}` makes them a person")))
}

pub(super) fn after(before: Timestamp, now: Timestamp) -> Timestamp {
    now.max(Timestamp::from_micros(before.micros() + 1))
}

/// Writes down what became of a person, if that is another than before.
pub(super) async fn keep(
    conn: &Conn,
    facts: &Facts,
    before: &Person,
    person: &mut Person,
) -> Result<bool, Fault> {
    if person == before {
        return Ok(false);
    }
    person.updated = after(before.updated, facts.now);
    kept::put(conn, person).await.map_err(unavailable)?;
    Ok(true)
}

async fn set_role(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    mut person: Person,
    role: Role,
) -> Result<Done, Fault> {
    named(&person)?;
    if role < Role::Admin {
        not_oneself(conn, facts, caller, (Some(&person), None), "take the role admin from").await?;
    }
    if let Some(config) = facts.people.of_config(&person.name) {
        return Err(of_config("role", "that role", &config.name, config.origin.as_deref()));
    }
    if let Some(group) = person.group_role.filter(|_| person.role.is_none()) {
        return Err(conflict("role", format!("an OS group of the config makes `{}` a {group}", person.name))
            .hint("name them in `people` of the config: what is given at run time would count for nothing"));
    }
    let before = person.clone();
    person.role = Some(role);
    let is_changed = keep(conn, facts, &before, &mut person).await?;
    let mut hints = Vec::new();
    if person.uid.is_none() && person.os_username.is_none() {
        let name = &person.name;
        hints.push(format!(
            "no OS user is {name} yet: `teleclaude people update '{name}' --os-username USER` says which"
        ));
    }
    let from = before.role.map(Role::name);
    let detail = is_changed.then(|| json!({ "from": from, "to": role.name() }));
    Ok(Done::of(&person, changed(&person, is_changed, hints), detail))
}

async fn set_status(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    mut person: Person,
    status: PersonStatus,
) -> Result<Done, Fault> {
    named(&person)?;
    if status != PersonStatus::Active {
        let what = match status {
            PersonStatus::Deleted => "delete",
            PersonStatus::Suspended => "suspend",
            PersonStatus::Active | PersonStatus::Inactive => "deactivate",
        };
        not_oneself(conn, facts, caller, (Some(&person), None), what).await?;
    }
    if person.status == PersonStatus::Deleted && status != PersonStatus::Deleted {
        has_own_address(conn, &person).await?;
    }
    let before = person.clone();
    person.status = status;
    let is_changed = keep(conn, facts, &before, &mut person).await?;
    let mut hints = Vec::new();
    if status == PersonStatus::Deleted
        && let Some(config) = facts.people.of_config(&person.name)
    {
        let place = config.origin.as_deref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        hints.push(format!("the config still names them{place}; they can do nothing all the same"));
    }
    let detail = is_changed.then(|| json!({ "from": before.status.name(), "to": status.name() }));
    Ok(Done::of(&person, changed(&person, is_changed, hints), detail))
}

/// While somebody is deleted, another may have been given their address.
async fn has_own_address(conn: &Conn, person: &Person) -> Result<(), Fault> {
    let claims = Claims { email: person.email.as_deref(), ..Claims::default() };
    match kept::holder(conn, &claims, Some(person.id)).await.map_err(unavailable)? {
        Some(other) => {
            let email = person.email.as_deref().unwrap_or_default();
            Err(taken("person", &format!("the address `{email}` of `{}`", person.name), &other))
        }
        None => Ok(()),
    }
}

async fn many(conn: &Conn, facts: &Facts, caller: &Caller, bulk: &Bulk) -> Result<Done, Fault> {
    let config = facts.people.config_roles();
    let but = caller.person.as_ref().map_or(PersonId(Uuid::nil()), |person| person.id);
    let who = Many { bulk, config: &config, but };
    let found = kept::many(conn, &who, BULK_MAX).await.map_err(unavailable)?;
    let all = kept::count(conn, &who).await.map_err(unavailable)?;
    if !bulk.dry_run {
        if bulk.status == Some(PersonStatus::Deleted) {
            for (id, _) in &found {
                if let Some(person) = person::by_id(conn, *id).await.map_err(unavailable)? {
                    has_own_address(conn, &person).await?;
                }
            }
        }
        let ids: Vec<PersonId> = found.iter().map(|(id, _)| *id).collect();
        kept::set_statuses(conn, &ids, bulk.to, facts.now).await.map_err(unavailable)?;
    }
    let people: Vec<String> = found.into_iter().map(|(_, name)| name).collect();
    let remaining = all.saturating_sub(people.len() as u64);
    let detail = (!bulk.dry_run && !people.is_empty()).then(|| {
        json!({
            "to": bulk.to.name(), "role": bulk.role.map(Role::name), "status": bulk.status.map(PersonStatus::name),
            "last_seen_before": bulk.last_seen_before.map(|at| at.to_string()), "people": people,
        })
    });
    let remaining = i64::try_from(remaining).unwrap_or(i64::MAX);
    let reply = Reply::PeopleBulk(BulkReply { dry_run: bulk.dry_run, people, remaining });
    Ok(Done { reply, about: None, reason: None, detail })
}

pub(super) fn changed(person: &Person, changed: bool, hints: Vec<String>) -> Reply {
    Reply::PersonChanged(Box::new(PersonChangedReply {
        person_id: person.id.to_string(),
        name: person.name.clone(),
        role: person.role,
        status: person.status,
        os_username: person.os_username.clone(),
        uid: person.uid.map(i64::from),
        full_name: person.full_name.clone(),
        email: person.email.clone(),
        phone: person.phone.clone(),
        notes: person.notes.clone(),
        warnings: i64::from(person.warnings),
        updated_at: person.updated.to_string(),
        changed,
        hints,
    }))
}
