//! That there always is an admin. Nobody takes from themselves what makes them one, and whoever changes people is one still
//! when the change is committed: so at least the asker remains. Looked at inside the writer's transaction, by the same
//! mapping that decides about requests.

use crate::domain::caller::{Caller, Role};
use crate::domain::people::{Known, OsUser, PeopleMap};
use crate::domain::person::{Person, PersonId};
use crate::store::conn::Conn;
use crate::store::{ban, people_change};
use crate::usecase::Facts;
use crate::usecase::resolve::unavailable;
use crate::wire::fault::{Fault, FaultCode};

/// Refuses what would make the caller somebody else than the admin who asked.
///
/// # Errors
/// `denied`, if they are none any more: another admin was faster, or this change takes it from them.
pub(super) async fn still_admin(conn: &Conn, facts: &Facts, caller: &Caller) -> Result<(), Fault> {
    let lost = || {
        Fault::new(FaultCode::Denied, "you would not be an admin after that, or are none any more")
            .hint("`teleclaude whoami` says who you are; ask another admin")
    };
    let Some(own) = caller.person.as_ref().map(|person| person.id) else { return Err(lost()) };
    let who = OsUser {
        uid: caller.uid,
        username: caller.os_username.clone(),
        gids: std::iter::once(caller.gid).chain(caller.groups.iter().copied()).collect(),
        foreign: false,
    };
    let rows = people_change::mapping(conn, own, caller.uid, caller.os_username.as_deref())
        .await
        .map_err(unavailable)?;
    let now = with_bans(conn, facts, rows).await?.resolve(&who, facts.now);
    let is_same = now.person.as_ref().is_some_and(|person| person.id == own);
    if is_same && now.role == Role::Admin && now.standing.refusal().is_none() { Ok(()) } else { Err(lost()) }
}

/// Refuses to do this to oneself, and says so if nobody else could.
///
/// # Errors
/// `conflict`.
pub(super) async fn not_oneself(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    (person, uid): (Option<&Person>, Option<u32>),
    what: &str,
) -> Result<(), Fault> {
    let own = caller.person.as_ref().map(|person| person.id);
    let by_person = person.is_some_and(|person| Some(person.id) == own || person.uid == Some(caller.uid));
    if !by_person && uid != Some(caller.uid) {
        return Ok(());
    }
    let field = Some(if by_person { "person" } else { "uid" }.to_owned());
    let fault = if are_others(conn, facts, own).await? {
        Fault::new(FaultCode::Conflict, format!("nobody can {what} themselves")).hint("ask another admin")
    } else {
        Fault::new(
            FaultCode::Conflict,
            format!("you are the last admin who can act, so you cannot {what} yourself"),
        )
        .hint("make somebody else an admin first: `teleclaude people role NAME admin`, or in the config")
    };
    Err(Fault { field, ..fault })
}

/// Whether somebody but `own` may act as an admin: of the config and of those added at run time together.
async fn are_others(conn: &Conn, facts: &Facts, own: Option<PersonId>) -> Result<bool, Fault> {
    let config = facts.people.config_roles();
    let names: Vec<String> =
        config.into_iter().filter(|(_, role)| *role == Role::Admin).map(|(name, _)| name).collect();
    let rows = people_change::admins(conn, &names).await.map_err(unavailable)?;
    let map = with_bans(conn, facts, rows).await?;
    Ok(map.admins(facts.now).into_iter().any(|admin| Some(admin) != own))
}

/// The mapping in force, as if these rows were the directory, with their bans as they are now.
async fn with_bans(conn: &Conn, facts: &Facts, rows: Vec<Known>) -> Result<PeopleMap, Fault> {
    let ids: Vec<PersonId> = rows.iter().map(|row| row.id).collect();
    let by_config = rows.iter().flat_map(|row| facts.people.config_uids(&row.name));
    let uids: Vec<u32> = rows.iter().filter_map(|row| row.uid).chain(by_config).collect();
    let bans = ban::active_of(conn, &ids, &uids, facts.now).await.map_err(unavailable)?;
    Ok(facts.people.with(rows, bans.into_iter().map(ban::Ban::in_map).collect()))
}
