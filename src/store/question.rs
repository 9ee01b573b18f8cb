//! What agents ask, and what became of it. A question is answered once: only an open one can be, and what moves it says
//! whether it was the first to.

use crate::domain::question::{Asked, Question, QuestionKind, QuestionState};
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::needs_input::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, UpdateMany};
use std::collections::HashMap;
use uuid::Uuid;

/// Questions of one session that are open, at most: an agent that asks more has its oldest withdrawn.
const OPEN_MAX: u64 = 16;

/// An agent asks. What it asks already is not asked twice: `false` then.
pub async fn ask(
    conn: &Conn,
    id: Uuid,
    session: SessionId,
    asked: &Asked,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let open = open(conn, session).await?;
    if open.iter().any(|question| question.asked == *asked) {
        return Ok(false);
    }
    if open.len() as u64 >= OPEN_MAX {
        withdraw(conn, open[0].id, at).await?;
    }
    let options = serde_json::to_string(&asked.options).unwrap_or_default();
    let row = ActiveModel {
        id: Set(id),
        session: Set(session.0),
        kind: Set(asked.kind.name().to_owned()),
        asked: Set(crate::store::clean(asked.text.clone())),
        subject: Set(crate::store::clean(asked.subject.clone())),
        options: Set(crate::store::clean(options)),
        since: Set(at.micros()),
        state: Set(QuestionState::Open.name().to_owned()),
        answer: Set(None),
        settled: Set(None),
    };
    Entity::insert(row).exec_without_returning(conn).await?;
    Ok(true)
}

/// The question with this id, if this session asked it.
pub async fn by_id(conn: &Conn, session: SessionId, id: Uuid) -> Result<Option<Question>, StoreError> {
    let row = Entity::find_by_id(id).filter(Column::Session.eq(session.0)).one(conn).await?;
    row.map(question).transpose()
}

/// What a session asks now, oldest first.
pub async fn open(conn: &Conn, session: SessionId) -> Result<Vec<Question>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Session.eq(session.0))
        .filter(still_open())
        .order_by_asc(Column::Since)
        .order_by_asc(Column::Id)
        .limit(2 * OPEN_MAX)
        .all(conn)
        .await?;
    rows.into_iter().map(question).collect()
}

/// How much each of these sessions asks now; nothing where it asks nothing.
pub async fn open_counts(
    conn: &Conn,
    sessions: impl IntoIterator<Item = SessionId>,
) -> Result<HashMap<SessionId, i64>, StoreError> {
    let ids: Vec<Uuid> = sessions.into_iter().map(|session| session.0).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, i64)> = Entity::find()
        .select_only()
        .column(Column::Session)
        .column_as(Column::Id.count(), "open")
        .filter(Column::Session.is_in(ids))
        .filter(still_open())
        .group_by(Column::Session)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(rows.into_iter().map(|(session, open)| (SessionId(session), open)).collect())
}

/// It is answered. `false` if it was not open: somebody else was faster, or the agent asks no more.
pub async fn answer(conn: &Conn, id: Uuid, text: &str, at: Timestamp) -> Result<bool, StoreError> {
    let update = settled(QuestionState::Answered, at)
        .col_expr(Column::Answer, Expr::val(crate::store::clean(text.to_owned())))
        .filter(Column::Id.eq(id));
    changed(conn, update).await.map(|rows| rows > 0)
}

/// The agent asks it no more. `false` if it was not open.
pub async fn withdraw(conn: &Conn, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
    let update = settled(QuestionState::Withdrawn, at).filter(Column::Id.eq(id));
    changed(conn, update).await.map(|rows| rows > 0)
}

/// Nothing is asked in this session any more, or nothing about this subject. Gives how much was.
pub async fn withdraw_all(
    conn: &Conn,
    session: SessionId,
    subject: Option<&str>,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let mut update = settled(QuestionState::Withdrawn, at).filter(Column::Session.eq(session.0));
    if let Some(subject) = subject {
        update = update.filter(Column::Subject.eq(crate::store::clean(subject.to_owned())));
    }
    changed(conn, update).await
}

/// The answer never came to the agent: it still asks, or asks no more. `false` unless it was answered.
pub async fn not_arrived(conn: &Conn, id: Uuid, state: QuestionState) -> Result<bool, StoreError> {
    let update = Entity::update_many()
        .col_expr(Column::State, Expr::val(state.name()))
        .col_expr(Column::Answer, Expr::val(None::<String>))
        .filter(Column::Id.eq(id))
        .filter(Column::State.eq(QuestionState::Answered.name()));
    changed(conn, update).await.map(|rows| rows > 0)
}

/// Of what is open alone.
fn settled(state: QuestionState, at: Timestamp) -> UpdateMany<Entity> {
    Entity::update_many()
        .col_expr(Column::State, Expr::val(state.name()))
        .col_expr(Column::Settled, Expr::val(at.micros()))
        .filter(still_open())
}

/// As the partial index spells it.
fn still_open() -> Expr {
    Expr::col(Column::State).eq(Expr::cust("'open'"))
}

async fn changed(conn: &Conn, update: UpdateMany<Entity>) -> Result<u64, StoreError> {
    Ok(update.exec(conn).await?.rows_affected)
}

fn question(row: Model) -> Result<Question, StoreError> {
    Ok(Question {
        id: row.id,
        session: SessionId(row.session),
        asked: Asked {
            kind: QuestionKind::parse(&row.kind).ok_or(StoreError::Unreadable("question kind"))?,
            text: row.asked,
            subject: row.subject,
            options: serde_json::from_str(&row.options)
                .map_err(|_| StoreError::Unreadable("question options"))?,
        },
        since: Timestamp::from_micros(row.since),
        state: QuestionState::parse(&row.state).ok_or(StoreError::Unreadable("question state"))?,
        answer: row.answer,
    })
}
