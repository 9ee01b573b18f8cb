//! The audit log: the chain's head, putting rows in (only the writer does), and pages of it. Checking the chain is
//! `verify`.

use crate::domain::audit::{AuditDraft, AuditEntry, AuditOutcome, OWNER};
use crate::domain::caller::Role;
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::entity::audit::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

/// Rows of one INSERT statement: 18 columns each, within both engines' parameter limits.
pub(super) const ROWS: usize = 500;

/// Which rows a page is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this actor.
    pub actor: Option<String>,
    /// Only about sessions of this owner.
    pub owner: Option<String>,
    /// Only about this session.
    pub session: Option<String>,
    /// Only of this action.
    pub action: Option<String>,
    /// Only of this computer's chain.
    pub computer: Option<String>,
    /// Only what others did with what is this owner's (`domain::audit::owner_key`).
    pub owner_key: Option<String>,
    /// Only at or after.
    pub since: Option<Timestamp>,
    /// Only at or before.
    pub until: Option<Timestamp>,
}

/// A row's place in a page: the next page begins after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// When.
    pub at: Timestamp,
    /// Which chain.
    pub computer: String,
    /// Where in it.
    pub seq: i64,
}

impl From<&AuditEntry> for Place {
    fn from(entry: &AuditEntry) -> Self {
        Self { at: entry.draft.at, computer: entry.computer.clone(), seq: entry.seq }
    }
}

/// A page of the log over all chains, newest first; rows of one moment by chain and seq.
pub async fn page(
    conn: &Conn,
    filter: &Filter,
    before: Option<&Place>,
    limit: u64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut query = Entity::find();
    for (column, value) in [
        (Column::Actor, &filter.actor),
        (Column::Owner, &filter.owner),
        (Column::Session, &filter.session),
        (Column::Action, &filter.action),
        (Column::Computer, &filter.computer),
        (Column::TargetId, &filter.owner_key),
    ] {
        if let Some(value) = value {
            query = query.filter(column.eq(value.as_str()));
        }
    }
    if filter.owner_key.is_some() {
        query = query.filter(Column::TargetKind.eq(OWNER));
    }
    if let Some(since) = filter.since {
        query = query.filter(Column::At.gte(since.micros()));
    }
    if let Some(until) = filter.until {
        query = query.filter(Column::At.lte(until.micros()));
    }
    if let Some(place) = before {
        query = query.filter(
            Expr::tuple([Expr::col(Column::At), Expr::col(Column::Computer), Expr::col(Column::Seq)]).lt(
                Expr::tuple([
                    Expr::val(place.at.micros()),
                    Expr::val(place.computer.as_str()),
                    Expr::val(place.seq),
                ]),
            ),
        );
    }
    let rows = query
        .order_by_desc(Column::At)
        .order_by_desc(Column::Computer)
        .order_by_desc(Column::Seq)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(entry).collect()
}

/// The last row's place and hash.
pub(super) async fn head(
    db: &impl ConnectionTrait,
    computer: &str,
) -> Result<Option<(i64, [u8; 32])>, StoreError> {
    let row: Option<(i64, Vec<u8>)> = Entity::find()
        .select_only()
        .columns([Column::Seq, Column::Hash])
        .filter(Column::Computer.eq(computer))
        .order_by_desc(Column::Seq)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?;
    row.map(|(seq, hash)| Ok((seq, digest(hash)?))).transpose()
}

/// The hash of the row in this place, if there is one.
pub(super) async fn hash_at(
    db: &impl ConnectionTrait,
    computer: &str,
    seq: i64,
) -> Result<Option<[u8; 32]>, StoreError> {
    let row: Option<Vec<u8>> = Entity::find_by_id((computer.to_owned(), seq))
        .select_only()
        .column(Column::Hash)
        .into_tuple()
        .one(db)
        .await?;
    row.map(digest).transpose()
}

/// Puts rows in, [`ROWS`] a statement.
pub(super) async fn insert(db: &impl ConnectionTrait, entries: &[AuditEntry]) -> Result<(), StoreError> {
    for entries in entries.chunks(ROWS) {
        Entity::insert_many(entries.iter().map(row)).exec_without_returning(db).await?;
    }
    Ok(())
}

fn row(entry: &AuditEntry) -> ActiveModel {
    let draft = &entry.draft;
    let (target_kind, target_id) = draft.target.clone().unzip();
    ActiveModel {
        computer: Set(entry.computer.clone()),
        seq: Set(entry.seq),
        at: Set(draft.at.micros()),
        actor: Set(draft.actor.clone()),
        actor_uid: Set(i64::from(draft.actor_uid)),
        actor_role: Set(draft.actor_role.name().to_owned()),
        via: Set(draft.via.clone()),
        action: Set(draft.action.clone()),
        outcome: Set(draft.outcome.name().to_owned()),
        session: Set(draft.session.clone()),
        owner: Set(draft.owner.clone()),
        target_kind: Set(target_kind),
        target_id: Set(target_id),
        reason: Set(draft.reason.clone()),
        request_id: Set(draft.request_id.clone()),
        detail: Set(draft.detail.clone()),
        prev_hash: Set(entry.prev_hash.to_vec()),
        hash: Set(entry.hash.to_vec()),
    }
}

/// A kept row as the domain knows it.
pub(super) fn entry(row: Model) -> Result<AuditEntry, StoreError> {
    let role = Role::ALL.into_iter().find(|r| r.name() == row.actor_role);
    Ok(AuditEntry {
        computer: row.computer,
        seq: row.seq,
        draft: AuditDraft {
            at: Timestamp::from_micros(row.at),
            actor: row.actor,
            actor_uid: u32::try_from(row.actor_uid).map_err(|_| StoreError::Unreadable("actor_uid"))?,
            actor_role: role.ok_or(StoreError::Unreadable("actor_role"))?,
            via: row.via,
            action: row.action,
            outcome: AuditOutcome::parse(&row.outcome).ok_or(StoreError::Unreadable("outcome"))?,
            session: row.session,
            owner: row.owner,
            target: row.target_kind.zip(row.target_id),
            reason: row.reason,
            request_id: row.request_id,
            detail: row.detail,
        },
        prev_hash: digest(row.prev_hash)?,
        hash: digest(row.hash)?,
    })
}

fn digest(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Unreadable("hash"))
}
