//! What happened in sessions, a row each: for people to look back, never for deciding. Each row knows whose session it
//! was, so that a person's are found without looking at everybody's.

use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use sea_orm::{ConnectionTrait, QueryResult, Statement, Value};
use uuid::Uuid;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key, a UUIDv7.
    pub id: Uuid,
    /// In which session.
    pub session: SessionId,
    /// When.
    pub at: Timestamp,
    /// What, such as `started`.
    pub kind: String,
    /// More, as JSON text.
    pub detail: Option<String>,
    /// Who did it; `None`: the daemon, or the agent.
    pub actor: Option<String>,
}

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only in this session.
    pub session: Option<SessionId>,
    /// Only in this person's sessions.
    pub owner: Option<PersonId>,
    /// Only in those of this uid.
    pub uid: Option<u32>,
    /// Only of then.
    pub span: Span,
}

/// A time of which events are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Only at or after.
    pub since: Option<Timestamp>,
    /// Only at or before.
    pub until: Option<Timestamp>,
}

/// Where a page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// After this row of the page before.
    Row(Timestamp, Uuid),
    /// With what happened before this moment.
    Moment(Timestamp),
    /// With what happened at this moment or before.
    Until(Timestamp),
}

/// Writes an event down; twice with one id is once. A session that is not there any more keeps nothing.
pub async fn insert(conn: &Conn, event: &Event) -> Result<(), StoreError> {
    let sql = "INSERT INTO activity (id, session, at, kind, detail, actor, owner, owner_uid) \
               SELECT $2, id, $3, $4, $5, $6, owner, owner_uid FROM sessions WHERE id = $1 \
               ON CONFLICT (id) DO NOTHING";
    let text = |text: &Option<String>| text.clone().map(crate::store::clean);
    let values = vec![
        event.session.0.into(),
        event.id.into(),
        event.at.micros().into(),
        event.kind.as_str().into(),
        text(&event.detail).into(),
        text(&event.actor).into(),
    ];
    conn.execute_raw(Statement::from_sql_and_values(conn.get_database_backend(), sql, values)).await?;
    Ok(())
}

/// A page of events, newest first, each with the name of the session's owner. What is being purged is not shown.
pub async fn page(
    conn: &Conn,
    filter: &Filter,
    before: Option<Before>,
    limit: u64,
) -> Result<Vec<(Event, String)>, StoreError> {
    let mut values: Vec<Value> = Vec::new();
    let mut wheres = vec!["s.purge IS NULL".to_owned()];
    let mut only = |condition: &str, value: Value| {
        values.push(value);
        wheres.push(format!("{condition} ${}", values.len()));
    };
    if let Some(session) = filter.session {
        only("a.session =", session.0.into());
    }
    if let Some(owner) = filter.owner {
        only("a.owner =", owner.0.into());
    }
    if let Some(uid) = filter.uid {
        only("a.owner_uid =", i64::from(uid).into());
    }
    if let Some(since) = filter.span.since {
        only("a.at >=", since.micros().into());
    }
    if let Some(until) = filter.span.until {
        only("a.at <=", until.micros().into());
    }
    match before {
        Some(Before::Moment(at)) => only("a.at <", at.micros().into()),
        Some(Before::Until(at)) => only("a.at <=", at.micros().into()),
        Some(Before::Row(at, id)) => {
            values.extend([at.micros().into(), id.into()]);
            wheres.push(format!("(a.at, a.id) < (${}, ${})", values.len() - 1, values.len()));
        }
        None => {}
    }
    values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    let sql = format!(
        "SELECT a.id, a.session, a.at, a.kind, a.detail, a.actor, s.owner_name FROM activity a \
         JOIN sessions s ON s.id = a.session WHERE {} ORDER BY a.at DESC, a.id DESC LIMIT ${}",
        wheres.join(" AND "),
        values.len()
    );
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    conn.query_all_raw(statement).await?.iter().map(event).collect()
}

fn event(row: &QueryResult) -> Result<(Event, String), StoreError> {
    let event = Event {
        id: row.try_get("", "id")?,
        session: SessionId(row.try_get("", "session")?),
        at: Timestamp::from_micros(row.try_get("", "at")?),
        kind: row.try_get("", "kind")?,
        detail: row.try_get("", "detail")?,
        actor: row.try_get("", "actor")?,
    };
    Ok((event, row.try_get("", "owner_name")?))
}
