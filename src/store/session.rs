//! Sessions as kept: one row each, changed only by what happens to the session. Lists go newest activity first.

use crate::domain::label::Labels;
use crate::domain::person::PersonId;
use crate::domain::session::{
    Exit, Profile, Session, SessionActivity, SessionId, SessionStatus, SessionTitle, ThinkingMode, Worktree,
};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::session::{ActiveModel, Aside, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::{label, usage};
use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    UpdateMany,
};
use uuid::Uuid;

/// Which sessions a page is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this person's, at this uid: both must match.
    pub owner: Option<(PersonId, u32)>,
    /// Only of owners of this name.
    pub owner_name: Option<String>,
    /// Only in this project.
    pub project: Option<String>,
    /// Only in this state.
    pub status: Option<SessionStatus>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only with activity at or after.
    pub since: Option<Timestamp>,
    /// Only those started by this session's agent.
    pub parent: Option<SessionId>,
    /// Only on this computer.
    pub computer: Option<String>,
    /// Only with these labels.
    pub labels: Labels,
    /// This session and those its agent started: what an agent may see.
    pub family: Option<SessionId>,
}

/// What a session id, or the beginning of one, is the name of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one.
    One(Box<Session>),
    /// Nothing.
    None,
    /// Several, in the order of birth; at most ten are named.
    Ambiguous(Vec<SessionId>),
}

/// Ids named when a prefix is ambiguous.
const NAMED: u64 = 10;

/// Writes a new session down. Doing it twice with one id does nothing the second time; a `client_id` the owner has
/// used before is [`StoreError::Conflict`].
pub async fn insert(conn: &Conn, session: &Session) -> Result<(), StoreError> {
    let s = session.clone();
    let text = |t: String| Set(crate::store::clean(t));
    let text_null = |t: Option<String>| Set(t.map(crate::store::clean));
    let row = ActiveModel {
        id: Set(s.id.0),
        title: text_null(s.title.map(|t| t.as_str().to_owned())),
        owner: Set(s.owner.0),
        owner_name: text(s.owner_name),
        owner_uid: Set(i64::from(s.owner_uid)),
        actor_name: text(s.actor_name),
        computer: text(s.computer),
        project: text_null(s.project),
        project_path: text(s.project_path),
        subdir: text_null(s.subdir),
        agent: text(s.agent),
        thinking_mode: Set(s.thinking_mode.name().to_owned()),
        profile: Set(s.profile.name().to_owned()),
        status: Set(s.status.name().to_owned()),
        activity: Set(s.activity.map(|a| kept(a).0.to_owned())),
        asks: Set(s.activity.is_some_and(|a| kept(a).1)),
        exit: text_null(s.exit.map(|e| e.to_string())),
        parent: Set(s.parent.map(|p| p.0)),
        native_id: text_null(s.native_id),
        client_id: text_null(s.client_id),
        created: Set(s.created.micros()),
        last_activity: Set(s.last_activity.micros()),
        ended: Set(s.ended.map(Timestamp::micros)),
        worktree: Set(s.worktree.is_some()),
        worktree_path: text_null(s.worktree.as_ref().and_then(|w| w.path.clone())),
        worktree_branch: text_null(s.worktree.and_then(|w| w.branch)),
    };
    let again = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    usage::began(conn, session.id, session.created).await
}

/// The session with this id.
pub async fn by_id(conn: &Conn, id: SessionId) -> Result<Option<Session>, StoreError> {
    Entity::find_by_id(id.0).one(conn).await?.map(session).transpose()
}

/// The sessions with these ids, in no order; those that are not there, or are being purged, are left out.
pub async fn by_ids(conn: &Conn, ids: &[SessionId]) -> Result<Vec<Session>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids.iter().map(|id| id.0)))
        .filter(Expr::col(Aside::Purge).is_null())
        .all(conn)
        .await?;
    rows.into_iter().map(session).collect()
}

/// The session with this id, unless it is being purged, or, unambiguously, this beginning of an id (hexadecimal, with or without hyphens),
/// among `owner`'s or all, and of those among `family`'s own and its children. The caller sees to the beginning being
/// long enough.
pub async fn find(
    conn: &Conn,
    name: &str,
    owner: Option<(PersonId, u32)>,
    family: Option<SessionId>,
) -> Result<Found, StoreError> {
    let Some((first, last)) = range(name) else { return Ok(Found::None) };
    let mut query = Entity::find()
        .filter(Column::Id.gte(first))
        .filter(Column::Id.lte(last))
        .filter(Expr::col(Aside::Purge).is_null());
    if let Some((owner, uid)) = owner {
        query = query.filter(Column::Owner.eq(owner.0)).filter(Column::OwnerUid.eq(i64::from(uid)));
    }
    if let Some(agent) = family {
        query = query.filter(Column::Id.eq(agent.0).or(Column::Parent.eq(agent.0)));
    }
    let mut rows = query.order_by_asc(Column::Id).limit(NAMED).all(conn).await?;
    match rows.len() {
        0 => Ok(Found::None),
        1 => match rows.pop() {
            Some(row) => Ok(Found::One(Box::new(session(row)?))),
            None => Ok(Found::None),
        },
        _ => Ok(Found::Ambiguous(rows.into_iter().map(|row| SessionId(row.id)).collect())),
    }
}

/// The first and last id that begin like `prefix`.
pub(super) fn range(prefix: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = prefix.chars().filter(|c| *c != '-').collect();
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let first = u128::from_str_radix(&format!("{digits:0<32}"), 16).ok()?;
    let last = u128::from_str_radix(&format!("{digits:f<32}"), 16).ok()?;
    Some((Uuid::from_u128(first), Uuid::from_u128(last)))
}

/// The session this owner started with this id of the client's.
pub async fn by_client_id(
    conn: &Conn,
    owner: PersonId,
    client_id: &str,
) -> Result<Option<Session>, StoreError> {
    let row = Entity::find()
        .filter(Column::Owner.eq(owner.0))
        .filter(Column::ClientId.eq(client_id))
        .one(conn)
        .await?;
    row.map(session).transpose()
}

/// A page, newest activity first. `after` is the last row of the page before.
pub async fn page(
    conn: &Conn,
    filter: &Filter,
    after: Option<(Timestamp, SessionId)>,
    limit: u64,
) -> Result<Vec<Session>, StoreError> {
    let mut query = Entity::find().filter(Expr::col(Aside::Purge).is_null());
    if let Some((owner, uid)) = filter.owner {
        query = query.filter(Column::Owner.eq(owner.0)).filter(Column::OwnerUid.eq(i64::from(uid)));
    }
    for (column, value) in [
        (Column::OwnerName, filter.owner_name.as_deref()),
        (Column::Project, filter.project.as_deref()),
        (Column::Status, filter.status.map(SessionStatus::name)),
        (Column::Agent, filter.agent.as_deref()),
        (Column::Computer, filter.computer.as_deref()),
    ] {
        if let Some(value) = value {
            query = query.filter(column.eq(value));
        }
    }
    for (name, value) in &filter.labels {
        query = query.filter(Column::Id.in_subquery(label::with(name, value)));
    }
    if let Some(parent) = filter.parent {
        query = query.filter(Column::Parent.eq(parent.0));
    }
    if let Some(agent) = filter.family {
        query = query.filter(Column::Id.eq(agent.0).or(Column::Parent.eq(agent.0)));
    }
    if let Some(since) = filter.since {
        query = query.filter(Column::LastActivity.gte(since.micros()));
    }
    if let Some((at, id)) = after {
        query = query.filter(
            Expr::tuple([Expr::col(Column::LastActivity), Expr::col(Column::Id)])
                .lt(Expr::tuple([Expr::val(at.micros()), Expr::val(id.0)])),
        );
    }
    let rows =
        query.order_by_desc(Column::LastActivity).order_by_desc(Column::Id).limit(limit).all(conn).await?;
    rows.into_iter().map(session).collect()
}

/// How many of this person's sessions are not over, on every computer.
pub async fn open_count(conn: &Conn, owner: PersonId) -> Result<u64, StoreError> {
    Ok(Entity::find().filter(Column::Owner.eq(owner.0)).filter(still_open()).count(conn).await?)
}

/// This person's sessions that are not over nor about to be, on every computer, the newest first, at most `limit`.
pub async fn newest_open(conn: &Conn, owner: PersonId, limit: u64) -> Result<Vec<Session>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Owner.eq(owner.0))
        .filter(still_open())
        .filter(Column::Status.ne(SessionStatus::Ending.name()))
        .order_by_desc(Column::Created)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(session).collect()
}

/// All sessions of a computer that are not over, in the order of birth.
pub async fn open_on(conn: &Conn, computer: &str) -> Result<Vec<Session>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(still_open())
        .order_by_asc(Column::Id)
        .all(conn)
        .await?;
    rows.into_iter().map(session).collect()
}

/// How many sessions of a computer are not over, by status and agent.
pub async fn open_by(conn: &Conn, computer: &str) -> Result<Vec<(SessionStatus, String, u64)>, StoreError> {
    let rows: Vec<(String, String, i64)> = Entity::find()
        .select_only()
        .column(Column::Status)
        .column(Column::Agent)
        .column_as(Expr::col(Column::Id).count(), "n")
        .filter(Column::Computer.eq(computer))
        .filter(still_open())
        .group_by(Column::Status)
        .group_by(Column::Agent)
        .into_tuple()
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|(status, agent, n)| {
            let status = SessionStatus::parse(&status).ok_or(StoreError::Unreadable("status"))?;
            Ok((status, agent, u64::try_from(n).unwrap_or(0)))
        })
        .collect()
}

/// As the partial indexes spell it: a bound parameter would not let a planner use them.
pub(super) fn still_open() -> Expr {
    Expr::col(Column::Status).ne(Expr::cust("'ended'"))
}

/// Moves a session that is not over to `status`. `false` if it is over or not there. For the end use [`ended`].
pub async fn set_status(conn: &Conn, id: SessionId, status: SessionStatus) -> Result<bool, StoreError> {
    changed(conn, open(id).col_expr(Column::Status, Expr::val(status.name()))).await
}

/// Its agent lives, as this process: `starting` becomes `running`, `ending` stays.
pub async fn started(conn: &Conn, id: SessionId, pid: i32, at: Timestamp) -> Result<bool, StoreError> {
    let status = CaseStatement::new()
        .case(Expr::col(Column::Status).eq("starting"), Expr::val("running"))
        .finally(Expr::col(Column::Status));
    let update = open(id)
        .col_expr(Column::Status, status.into())
        .col_expr(Aside::Pid, Expr::val(i64::from(pid)))
        .col_expr(Column::LastActivity, not_before(at));
    let started = changed(conn, update).await?;
    if started {
        usage::runs(conn, id, at).await?;
    }
    Ok(started)
}

/// Its agent became busy or idle, or asks something. `last_activity` never goes back.
pub async fn activity(
    conn: &Conn,
    id: SessionId,
    activity: SessionActivity,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let (word, asks) = kept(activity);
    let update = open(id)
        .col_expr(Column::Activity, Expr::val(word))
        .col_expr(Column::Asks, Expr::val(asks))
        .col_expr(Column::LastActivity, not_before(at));
    changed(conn, update).await
}

/// How it is kept: a session that asks is an idle one that does.
const fn kept(activity: SessionActivity) -> (&'static str, bool) {
    match activity {
        SessionActivity::NeedsInput => (SessionActivity::Idle.name(), true),
        activity => (activity.name(), false),
    }
}

/// Something happened in it, without a change of busy or idle.
pub async fn touch(conn: &Conn, id: SessionId, at: Timestamp) -> Result<bool, StoreError> {
    changed(conn, open(id).col_expr(Column::LastActivity, not_before(at))).await
}

/// The agent's own id for it became known.
pub async fn native_id(conn: &Conn, id: SessionId, native: &str) -> Result<bool, StoreError> {
    changed(conn, open(id).col_expr(Column::NativeId, Expr::val(crate::store::clean(native.to_owned()))))
        .await
}

/// Its end is asked for by nobody but the daemon, which says why. `false` unless it runs and is idle since before `at`.
pub async fn end_idle(conn: &Conn, id: SessionId, why: &Exit, at: Timestamp) -> Result<bool, StoreError> {
    let update = idle_before(Entity::update_many().filter(Column::Id.eq(id.0)), at)
        .col_expr(Column::Status, Expr::val(SessionStatus::Ending.name()))
        .col_expr(Column::Exit, Expr::val(crate::store::clean(why.to_string())));
    changed(conn, update).await
}

/// Sessions of a computer that run and are idle since before `at`, at most `limit`.
pub async fn idle_on(
    conn: &Conn,
    computer: &str,
    at: Timestamp,
    limit: u64,
) -> Result<Vec<Session>, StoreError> {
    let open = Entity::find().filter(Column::Computer.eq(computer)).filter(still_open());
    let rows = idle_before(open, at).order_by_asc(Column::Id).limit(limit).all(conn).await?;
    rows.into_iter().map(session).collect()
}

/// The moment of an idle session's last activity is when it became idle.
fn idle_before<Q: QueryFilter>(query: Q, at: Timestamp) -> Q {
    query
        .filter(Column::Status.eq(SessionStatus::Running.name()))
        .filter(Column::Activity.eq(SessionActivity::Idle.name()))
        .filter(Column::LastActivity.lt(at.micros()))
}

/// A session that is over begins again, with this profile. `false` if it is not over: then somebody else was faster.
pub async fn resume(conn: &Conn, id: SessionId, profile: Profile, at: Timestamp) -> Result<bool, StoreError> {
    let update = Entity::update_many()
        .filter(Column::Id.eq(id.0))
        .filter(Column::Status.eq(SessionStatus::Ended.name()))
        .filter(Expr::col(Aside::Purge).is_null())
        .col_expr(Column::Status, Expr::val(SessionStatus::Starting.name()))
        .col_expr(Column::Profile, Expr::val(profile.name()))
        .col_expr(Column::Exit, Expr::val(None::<String>))
        .col_expr(Column::Ended, Expr::val(None::<i64>))
        .col_expr(Aside::Pid, Expr::val(None::<i64>))
        .col_expr(Column::LastActivity, not_before(at));
    changed(conn, update).await
}

/// It is called something else, whether it is over or not.
pub async fn rename(conn: &Conn, id: SessionId, title: &SessionTitle) -> Result<bool, StoreError> {
    let title = crate::store::clean(title.as_str().to_owned());
    let update = Entity::update_many().filter(Column::Id.eq(id.0)).col_expr(Column::Title, Expr::val(title));
    changed(conn, update).await
}

/// Its worktree stands there now, or nowhere any more; the branch, once known, stays known.
pub async fn worktree(
    conn: &Conn,
    id: SessionId,
    path: Option<&str>,
    branch: Option<&str>,
) -> Result<bool, StoreError> {
    let text = |text: &str| crate::store::clean(text.to_owned());
    let mut update = Entity::update_many()
        .filter(Column::Id.eq(id.0))
        .col_expr(Column::WorktreePath, Expr::val(path.map(text)));
    if let Some(branch) = branch {
        update = update.col_expr(Column::WorktreeBranch, Expr::val(text(branch)));
    }
    changed(conn, update).await
}

/// It is over: the exit and the end are kept, the agent's token is worth nothing any more. `false` if it was over.
pub async fn ended(conn: &Conn, id: SessionId, exit: &Exit, at: Timestamp) -> Result<bool, StoreError> {
    let update = open(id)
        .col_expr(Column::Status, Expr::val(SessionStatus::Ended.name()))
        .col_expr(Column::Activity, Expr::val(None::<String>))
        .col_expr(Column::Exit, Expr::val(crate::store::clean(exit.to_string())))
        .col_expr(Column::Ended, Expr::val(at.micros()))
        .col_expr(Column::LastActivity, not_before(at))
        .col_expr(Aside::TokenHash, Expr::val(None::<Vec<u8>>));
    let ended = changed(conn, update).await?;
    if ended {
        usage::stopped(conn, id, Some(at).filter(|_| *exit != Exit::Lost)).await?;
    }
    Ok(ended)
}

/// Keeps the SHA-256 of the token its agent shows; `None` takes it back.
pub async fn set_token_hash(conn: &Conn, id: SessionId, hash: Option<[u8; 32]>) -> Result<bool, StoreError> {
    changed(conn, open(id).col_expr(Aside::TokenHash, Expr::val(hash.map(|h| h.to_vec())))).await
}

/// The token hashes of a computer's open sessions, with session and owner's uid.
pub async fn open_tokens(conn: &Conn, computer: &str) -> Result<Vec<([u8; 32], SessionId, u32)>, StoreError> {
    let rows: Vec<(Vec<u8>, Uuid, i64)> = Entity::find()
        .select_only()
        .expr(Expr::col(Aside::TokenHash))
        .columns([Column::Id, Column::OwnerUid])
        .filter(Column::Computer.eq(computer))
        .filter(still_open())
        .filter(Expr::col(Aside::TokenHash).is_not_null())
        .into_tuple()
        .all(conn)
        .await?;
    rows.into_iter()
        .map(|(hash, id, uid)| {
            let hash = hash.try_into().map_err(|_| StoreError::Unreadable("session token hash"))?;
            let uid = u32::try_from(uid).map_err(|_| StoreError::Unreadable("session owner's uid"))?;
            Ok((hash, SessionId(id), uid))
        })
        .collect()
}

/// The session whose agent holds the token with this SHA-256.
pub async fn by_token_hash(conn: &Conn, hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
    Entity::find()
        .filter(Expr::col(Aside::TokenHash).eq(hash.to_vec()))
        .one(conn)
        .await?
        .map(session)
        .transpose()
}

/// The agent's process id, once it lived.
pub async fn pid(conn: &Conn, id: SessionId) -> Result<Option<i32>, StoreError> {
    let pid: Option<Option<i64>> =
        Entity::find_by_id(id.0).select_only().expr(Expr::col(Aside::Pid)).into_tuple().one(conn).await?;
    Ok(pid.flatten().and_then(|pid| i32::try_from(pid).ok()))
}

fn open(id: SessionId) -> UpdateMany<Entity> {
    Entity::update_many().filter(Column::Id.eq(id.0)).filter(still_open())
}

async fn changed(conn: &Conn, update: UpdateMany<Entity>) -> Result<bool, StoreError> {
    Ok(update.exec(conn).await?.rows_affected > 0)
}

/// `last_activity`, moved forward to `at` if that is later.
fn not_before(at: Timestamp) -> Expr {
    CaseStatement::new()
        .case(Expr::col(Column::LastActivity).lt(at.micros()), Expr::val(at.micros()))
        .finally(Expr::col(Column::LastActivity))
        .into()
}

pub(super) fn session(row: Model) -> Result<Session, StoreError> {
    let unreadable = StoreError::Unreadable;
    Ok(Session {
        id: SessionId(row.id),
        title: row.title.map(SessionTitle::from_kept),
        owner: PersonId(row.owner),
        owner_name: row.owner_name,
        owner_uid: u32::try_from(row.owner_uid).map_err(|_| unreadable("owner_uid"))?,
        actor_name: row.actor_name,
        computer: row.computer,
        project: row.project,
        project_path: row.project_path,
        subdir: row.subdir,
        worktree: row.worktree.then_some(Worktree { path: row.worktree_path, branch: row.worktree_branch }),
        agent: row.agent,
        thinking_mode: ThinkingMode::parse(&row.thinking_mode).ok_or(unreadable("thinking_mode"))?,
        profile: Profile::parse(&row.profile).ok_or(unreadable("profile"))?,
        status: SessionStatus::parse(&row.status).ok_or(unreadable("status"))?,
        activity: match row.activity {
            Some(_) if row.asks => Some(SessionActivity::NeedsInput),
            Some(word) => Some(SessionActivity::parse(&word).ok_or(unreadable("activity"))?),
            None => None,
        },
        exit: row.exit.as_deref().map(Exit::parse),
        parent: row.parent.map(SessionId),
        native_id: row.native_id,
        client_id: row.client_id,
        created: Timestamp::from_micros(row.created),
        last_activity: Timestamp::from_micros(row.last_activity),
        ended: row.ended.map(Timestamp::from_micros),
    })
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_prefix_is_a_range() {
        let (first, last) = range("01a2b3c4-D").unwrap();
        assert_eq!(first.to_string(), "01a2b3c4-d000-0000-0000-000000000000");
        assert_eq!(last.to_string(), "01a2b3c4-dfff-ffff-ffff-ffffffffffff");
        let whole = "01a2b3c4-d5e6-7000-8000-000000000001";
        assert_eq!(range(whole).map(|(a, b)| (a.to_string(), a == b)), Some((whole.to_owned(), true)));
        for bad in ["", "----", "x1", "01a2b3c4d5e6700080000000000000011", "%", "é"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
