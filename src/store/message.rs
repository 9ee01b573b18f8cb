//! The durable queue of what is to be typed into a session, first in, first out. A message that may have been typed
//! is never typed again: it is `unknown`.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::message::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::usage;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageState {
    /// Waits to be typed.
    Pending,
    /// Was typed.
    Delivered,
    /// Was not typed and will not be.
    Failed,
    /// May have been typed: the host was lost in between.
    Unknown,
}

impl MessageState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Unknown];

    /// The word as the database and the wire spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }
}

/// Something to be typed into a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The key, a UUIDv7.
    pub id: Uuid,
    /// Into which session.
    pub session: SessionId,
    /// What.
    pub text: String,
    /// The client's own id: the same one in the same session is the same message.
    pub client_id: Option<String>,
    /// Whether it is a slash command.
    pub slash: bool,
    /// What became of it.
    pub state: MessageState,
    /// When it was taken.
    pub created: Timestamp,
    /// When it left the queue.
    pub settled: Option<Timestamp>,
    /// Why it failed.
    pub problem: Option<String>,
}

/// Puts a message into its session's queue and gives what is kept: with a `client_id` used before in this session
/// that is the earlier message.
pub async fn enqueue(
    conn: &Conn,
    session: SessionId,
    id: Uuid,
    text: &str,
    client_id: Option<&str>,
    slash: bool,
    at: Timestamp,
) -> Result<Message, StoreError> {
    let client_id = client_id.map(|c| crate::store::clean(c.to_owned()));
    if let Some(client_id) = &client_id {
        let earlier = Entity::find()
            .filter(Column::Session.eq(session.0))
            .filter(Column::ClientId.eq(client_id.as_str()))
            .one(conn)
            .await?;
        if let Some(earlier) = earlier {
            return message(earlier);
        }
    }
    let row = ActiveModel {
        id: Set(id),
        session: Set(session.0),
        text: Set(crate::store::clean(text.to_owned())),
        client_id: Set(client_id),
        slash: Set(slash),
        state: Set(MessageState::Pending.name().to_owned()),
        created: Set(at.micros()),
        settled: Set(None),
        problem: Set(None),
    };
    let again = OnConflict::column(Column::Id).do_nothing().to_owned();
    if Entity::insert(row).on_conflict(again).exec_without_returning(conn).await? > 0 {
        usage::message(conn, session, at).await?;
    }
    by_id(conn, id).await?.ok_or(StoreError::Unreadable("message"))
}

/// The message with this id.
pub async fn by_id(conn: &Conn, id: Uuid) -> Result<Option<Message>, StoreError> {
    Entity::find_by_id(id).one(conn).await?.map(message).transpose()
}

/// The oldest message that waits in this session.
pub async fn next_pending(conn: &Conn, session: SessionId) -> Result<Option<Message>, StoreError> {
    Ok(pending(conn, session, 1).await?.pop())
}

/// The messages that wait in this session, oldest first, at most `limit`.
pub async fn pending(conn: &Conn, session: SessionId, limit: u64) -> Result<Vec<Message>, StoreError> {
    oldest(conn, session, still_pending(), limit).await
}

/// Whether a message whose client's id begins like this waits in the session.
pub async fn waits(conn: &Conn, session: SessionId, client_id: &str) -> Result<bool, StoreError> {
    let row = Entity::find()
        .filter(Column::Session.eq(session.0))
        .filter(still_pending())
        .filter(Column::ClientId.starts_with(client_id))
        .one(conn)
        .await?;
    Ok(row.is_some())
}

/// When a message was last typed into the session, or may have been.
pub async fn last_typed(conn: &Conn, session: SessionId) -> Result<Option<Timestamp>, StoreError> {
    let typed = [MessageState::Delivered, MessageState::Unknown].map(MessageState::name);
    let last: Option<Option<i64>> = Entity::find()
        .select_only()
        .column_as(Column::Settled.max(), "last")
        .filter(Column::Session.eq(session.0))
        .filter(Column::State.is_in(typed))
        .into_tuple()
        .one(conn)
        .await?;
    Ok(last.flatten().map(Timestamp::from_micros))
}

/// The messages that were typed into this session, oldest first, at most `limit`.
pub async fn delivered(conn: &Conn, session: SessionId, limit: u64) -> Result<Vec<Message>, StoreError> {
    oldest(conn, session, Column::State.eq(MessageState::Delivered.name()), limit).await
}

async fn oldest(
    conn: &Conn,
    session: SessionId,
    which: Expr,
    limit: u64,
) -> Result<Vec<Message>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Session.eq(session.0))
        .filter(which)
        .order_by_asc(Column::Created)
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(message).collect()
}

/// Sessions of `computer` in which messages wait.
pub async fn waiting_sessions(conn: &Conn, computer: &str) -> Result<Vec<SessionId>, StoreError> {
    use crate::store::entity::session;
    let here = sea_orm::sea_query::Query::select()
        .column(session::Column::Id)
        .from(session::Entity)
        .and_where(Expr::col(session::Column::Computer).eq(computer))
        .take();
    let ids: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Session)
        .distinct()
        .filter(still_pending())
        .filter(Column::Session.in_subquery(here))
        .into_tuple()
        .all(conn)
        .await?;
    Ok(ids.into_iter().map(SessionId).collect())
}

/// Takes a waiting message out of the queue: delivered, failed (with why) or unknown. `false` if it does not wait.
pub async fn settle(
    conn: &Conn,
    id: Uuid,
    state: MessageState,
    problem: Option<&str>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let done = Entity::update_many()
        .col_expr(Column::State, Expr::val(state.name()))
        .col_expr(Column::Settled, Expr::val(at.micros()))
        .col_expr(Column::Problem, Expr::val(problem.map(|p| crate::store::clean(p.to_owned()))))
        .filter(Column::Id.eq(id))
        .filter(still_pending())
        .exec(conn)
        .await?;
    Ok(done.rows_affected > 0)
}

/// Takes everything that waits in a session out of the queue, when the session is over. Gives how many.
pub async fn settle_all(
    conn: &Conn,
    session: SessionId,
    state: MessageState,
    problem: Option<&str>,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let done = Entity::update_many()
        .col_expr(Column::State, Expr::val(state.name()))
        .col_expr(Column::Settled, Expr::val(at.micros()))
        .col_expr(Column::Problem, Expr::val(problem.map(|p| crate::store::clean(p.to_owned()))))
        .filter(Column::Session.eq(session.0))
        .filter(still_pending())
        .exec(conn)
        .await?;
    Ok(done.rows_affected)
}

/// As the partial index spells it.
fn still_pending() -> Expr {
    Expr::col(Column::State).eq(Expr::cust("'pending'"))
}

fn message(row: Model) -> Result<Message, StoreError> {
    Ok(Message {
        id: row.id,
        session: SessionId(row.session),
        text: row.text,
        client_id: row.client_id,
        slash: row.slash,
        state: MessageState::parse(&row.state).ok_or(StoreError::Unreadable("message state"))?,
        created: Timestamp::from_micros(row.created),
        settled: row.settled.map(Timestamp::from_micros),
        problem: row.problem,
    })
}
