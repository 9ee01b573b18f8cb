//! The inbox of each person: durable, in the order of arrival, at most [`KEPT`] notices, and besides as many that tell who
//! read what of theirs and were not seen yet. What happened again before it
//! was read is counted on the notice that is there, if it is the daemon that tells of it: what people write is kept as
//! often as they write it.

use crate::domain::notice::{Mark, Notice, NoticeKind};
use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::inbox::{ActiveModel, Column, Entity, Model};
use crate::store::entity::session;
use crate::store::error::StoreError;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

/// Notices one person has, at most, and besides as many that nobody else may push out; the oldest go first.
pub const KEPT: i64 = 1_000;

/// Whose notices, and which of them.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// This person's …
    pub person: PersonId,
    /// … as this uid: what is for another uid of theirs is left out.
    pub uid: u32,
    /// Only what is about this session, about one its agent started, or about none.
    pub family: Option<SessionId>,
    /// Only what was not read.
    pub unread: bool,
}

impl Filter {
    fn condition(&self) -> Condition {
        let uid = Column::Uid.is_null().or(Column::Uid.eq(i64::from(self.uid)));
        let mut all = Condition::all().add(Column::Person.eq(self.person.0)).add(uid);
        if let Some(agent) = self.family {
            let children = Query::select()
                .column(session::Column::Id)
                .from(session::Entity)
                .and_where(session::Column::Parent.eq(agent.0))
                .take();
            let about = Column::Session.is_null().or(Column::Session.eq(agent.0));
            all = all.add(about.or(Column::Session.in_subquery(children)));
        }
        if self.unread {
            all = all.add(Column::ReadAt.is_null());
        }
        all
    }
}

/// Puts a notice in. One about access that says the same as another that was not read yet only counts there.
pub async fn put(conn: &Conn, notice: &Notice) -> Result<(), StoreError> {
    let person = notice.person.0;
    let last: Option<i64> = Entity::find()
        .select_only()
        .column(Column::Place)
        .filter(Column::Person.eq(person))
        .order_by_desc(Column::Place)
        .order_by_desc(Column::Id)
        .limit(1)
        .into_tuple()
        .one(conn)
        .await?;
    let place = last.unwrap_or(0) + 1;
    let (sender, text) =
        (notice.from.clone().map(crate::store::clean), crate::store::clean(notice.text.clone()));
    if let Some(session) = notice.session.filter(|_| notice.kind == NoticeKind::Access) {
        let mut same = Entity::update_many()
            .col_expr(Column::Times, Expr::col(Column::Times).add(1i64))
            .col_expr(Column::At, Expr::val(notice.at.micros()))
            .col_expr(Column::Place, Expr::val(place))
            .filter(Column::Person.eq(person))
            .filter(Column::Session.eq(session.0))
            .filter(Column::ReadAt.is_null())
            .filter(Column::Kind.eq(notice.kind.name()))
            .filter(Column::Text.eq(text.as_str()));
        same = match &sender {
            Some(sender) => same.filter(Column::Sender.eq(sender.as_str())),
            None => same.filter(Column::Sender.is_null()),
        };
        same = match notice.uid {
            Some(uid) => same.filter(Column::Uid.eq(i64::from(uid))),
            None => same.filter(Column::Uid.is_null()),
        };
        if same.exec(conn).await?.rows_affected > 0 {
            return Ok(());
        }
    }
    let row = ActiveModel {
        id: Set(notice.id),
        person: Set(person),
        uid: Set(notice.uid.map(i64::from)),
        place: Set(place),
        sender: Set(sender),
        at: Set(notice.at.micros()),
        read_at: Set(notice.read_at.map(Timestamp::micros)),
        kind: Set(notice.kind.name().to_owned()),
        text: Set(text),
        session: Set(notice.session.map(|s| s.0)),
        times: Set(i64::try_from(notice.times).unwrap_or(i64::MAX)),
    };
    let again = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(conn).await?;
    // Who read what of theirs nothing else pushes out before they have seen it, only more of the same.
    let unseen = Column::Kind.eq(NoticeKind::Access.name()).and(Column::ReadAt.is_null());
    let of_person = || Entity::delete_many().filter(Column::Person.eq(person));
    of_person().filter(Column::Place.lte(place - KEPT)).filter(unseen.clone().not()).exec(conn).await?;
    if notice.kind == NoticeKind::Access {
        let oldest = Entity::find().select_only().column(Column::Place).filter(Column::Person.eq(person));
        let oldest =
            oldest.filter(unseen.clone()).order_by_desc(Column::Place).limit(1).offset(KEPT.unsigned_abs());
        if let Some(oldest) = oldest.into_tuple::<i64>().one(conn).await? {
            of_person().filter(Column::Place.lte(oldest)).filter(unseen).exec(conn).await?;
        }
    }
    Ok(())
}

/// A page, newest arrival first, each with its place.
pub async fn page(
    conn: &Conn,
    filter: &Filter,
    before: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<(i64, Notice)>, StoreError> {
    let mut query = Entity::find().filter(filter.condition());
    if let Some((place, id)) = before {
        let here = Expr::tuple([Expr::col(Column::Place), Expr::col(Column::Id)]);
        query = query.filter(here.lt(Expr::tuple([Expr::val(place), Expr::val(id)])));
    }
    let rows = query.order_by_desc(Column::Place).order_by_desc(Column::Id).limit(limit).all(conn).await?;
    rows.into_iter().map(|row| Ok((row.place, notice(row)?))).collect()
}

/// How many were not read: at most twice [`KEPT`] rows are looked at.
pub async fn unread(conn: &Conn, filter: &Filter) -> Result<u64, StoreError> {
    Ok(Entity::find().filter(Filter { unread: true, ..*filter }.condition()).count(conn).await?)
}

/// When this sender wrote to this person since then, newest first, at most `limit`.
///
/// # Errors
/// The database.
pub async fn letters_of(
    conn: &Conn,
    person: PersonId,
    sender: &str,
    since: Timestamp,
    limit: u64,
) -> Result<Vec<Timestamp>, StoreError> {
    let at: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::At)
        .filter(Column::Person.eq(person.0))
        .filter(Column::Sender.eq(sender))
        .filter(Column::Kind.is_in([NoticeKind::Message.name(), NoticeKind::Summary.name()]))
        .filter(Column::At.gt(since.micros()))
        .order_by_desc(Column::Place)
        .order_by_desc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(conn)
        .await?;
    Ok(at.into_iter().map(Timestamp::from_micros).collect())
}

/// Marks notices as read; those that were stay as they are.
pub async fn mark(conn: &Conn, filter: &Filter, which: &Mark, at: Timestamp) -> Result<(), StoreError> {
    let mut update = Entity::update_many()
        .col_expr(Column::ReadAt, Expr::val(at.micros()))
        .filter(Filter { unread: true, ..*filter }.condition());
    if let Mark::These(ids) = which {
        update = update.filter(Column::Id.is_in(ids.iter().copied()));
    }
    update.exec(conn).await?;
    Ok(())
}

fn notice(row: Model) -> Result<Notice, StoreError> {
    Ok(Notice {
        id: row.id,
        person: PersonId(row.person),
        uid: row.uid.map(u32::try_from).transpose().map_err(|_| StoreError::Unreadable("uid"))?,
        from: row.sender,
        at: Timestamp::from_micros(row.at),
        read_at: row.read_at.map(Timestamp::from_micros),
        kind: NoticeKind::parse(&row.kind).ok_or(StoreError::Unreadable("kind of notice"))?,
        text: row.text,
        session: row.session.map(SessionId),
        times: u64::try_from(row.times).map_err(|_| StoreError::Unreadable("times"))?,
    })
}
