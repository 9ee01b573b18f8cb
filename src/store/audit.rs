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
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
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
    /// Only with this outcome.
    pub outcome: Option<AuditOutcome>,
    /// Only of this computer's chain.
    pub computer: Option<String>,
    /// Only what others did with what is this owner's (`domain::audit::owner_key`).
    pub owner_key: Option<String>,
    /// Only at or after.
    pub since: Option<Timestamp>,
    /// Only at or before.
    pub until: Option<Timestamp>,
    /// Only with this in what they say; as [`needle`] has it. [`page`] leaves it to its caller, [`list`] does not.
    pub text: Option<String>,
}

/// Text to look for, made comparable: the same way whatever the engine.
pub fn needle(text: &str) -> String {
    text.to_lowercase()
}

impl Filter {
    /// Whether a row is meant.
    pub fn meets(&self, entry: &AuditEntry) -> bool {
        let row = &entry.draft;
        let same = |wanted: &Option<String>, has: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| has == Some(wanted))
        };
        same(&self.actor, Some(&row.actor))
            && same(&self.owner, row.owner.as_deref())
            && same(&self.session, row.session.as_deref())
            && same(&self.action, Some(&row.action))
            && same(&self.computer, Some(&entry.computer))
            && self.outcome.is_none_or(|outcome| outcome == row.outcome)
            && self.since.is_none_or(|since| row.at >= since)
            && self.until.is_none_or(|until| row.at <= until)
            && self.says(row)
    }

    /// Whether the row says the text.
    fn says(&self, row: &AuditDraft) -> bool {
        let Some(text) = &self.text else { return true };
        let target = row.target.as_ref();
        [
            Some(&row.actor),
            Some(&row.action),
            row.owner.as_ref(),
            row.session.as_ref(),
            target.map(|target| &target.0),
            target.map(|target| &target.1),
            row.reason.as_ref(),
            row.detail.as_ref(),
        ]
        .into_iter()
        .flatten()
        .any(|has| needle(has).contains(text.as_str()))
    }
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

/// Rows that one search for text looks at, at most; and at a time.
const SEARCHED: (usize, u64) = (20_000, 1_000);

/// A page of the log over all chains, newest first, and where the next one begins; rows of one moment by chain and
/// seq. A search for text looks at a bounded number of rows: the page may be short, or empty, and not be the last.
pub async fn list(
    conn: &Conn,
    filter: &Filter,
    before: Option<&Place>,
    limit: u64,
) -> Result<(Vec<AuditEntry>, Option<Place>), StoreError> {
    if filter.text.is_none() {
        let rows = page(conn, filter, before, limit).await?;
        let next = rows.last().filter(|_| rows.len() as u64 == limit).map(Place::from);
        return Ok((rows, next));
    }
    let (mut found, mut searched) = (Vec::new(), 0);
    let mut at = before.cloned();
    loop {
        let rows = page(conn, filter, at.as_ref(), SEARCHED.1).await?;
        let last = (rows.len() as u64) < SEARCHED.1;
        searched += rows.len();
        for row in rows {
            at = Some(Place::from(&row));
            if filter.meets(&row) {
                found.push(row);
                if found.len() as u64 == limit {
                    return Ok((found, at));
                }
            }
        }
        if last {
            return Ok((found, None));
        }
        if searched >= SEARCHED.0 {
            return Ok((found, at));
        }
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
    if let Some(outcome) = filter.outcome {
        query = query.filter(Column::Outcome.eq(outcome.name()));
        if outcome != AuditOutcome::Success {
            // In so many words: only then do the engines know that the index of what failed will do.
            query = query.filter(Expr::cust("outcome <> 'success'"));
        }
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

/// The rows of one chain after `after`, up to `last`, in their order.
pub async fn chain_page(
    conn: &Conn,
    computer: &str,
    after: i64,
    last: i64,
    limit: u64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Seq.gt(after))
        .filter(Column::Seq.lte(last))
        .order_by_asc(Column::Seq)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(entry).collect()
}

/// A row of no chain, since its computer is no text, which only SQLite can keep: the computer as text, and the seq.
pub async fn stray(conn: &Conn) -> Result<Option<(String, i64)>, StoreError> {
    if conn.get_database_backend() != DbBackend::Sqlite {
        return Ok(None);
    }
    // Numbers are ordered before every text, and blobs after.
    let stray = Expr::cust("computer IS NULL OR computer < '' OR computer >= x''");
    let row: Option<(Option<Vec<u8>>, i64)> = Entity::find()
        .select_only()
        .expr_as(Expr::cust("CAST(computer AS BLOB)"), "computer")
        .expr_as(Expr::cust("CAST(seq AS INTEGER)"), "seq")
        .filter(stray)
        .limit(1)
        .into_tuple()
        .one(conn)
        .await?;
    Ok(row.map(|(name, seq)| (String::from_utf8_lossy(&name.unwrap_or_default()).into_owned(), seq)))
}

/// The computers that have a chain, by name, one index look-up each.
pub async fn chains(conn: &Conn) -> Result<Vec<String>, StoreError> {
    let mut found: Vec<String> = Vec::new();
    let is_sqlite = conn.get_database_backend() == DbBackend::Sqlite;
    loop {
        let mut query = Entity::find().select_only().column(Column::Computer);
        if is_sqlite {
            query = query.filter(Expr::cust("typeof(computer) = 'text'"));
        }
        if let Some(last) = found.last() {
            query = query.filter(Column::Computer.gt(last.as_str()));
        }
        let next: Option<String> =
            query.order_by_asc(Column::Computer).limit(1).into_tuple().one(conn).await?;
        match next {
            Some(next) => found.push(next),
            None => return Ok(found),
        }
    }
}

/// The first and the last seq of a chain, if it has rows.
pub async fn ends(conn: &Conn, computer: &str) -> Result<Option<(i64, i64)>, StoreError> {
    // Two look-ups: asked for both at once, SQLite reads the whole chain. What is no whole number there has no place.
    let whole = match conn.get_database_backend() {
        DbBackend::Sqlite => Expr::cust("typeof(seq) = 'integer'"),
        _ => Expr::cust("true"),
    };
    let of = |order| {
        Entity::find()
            .select_only()
            .column(Column::Seq)
            .filter(Column::Computer.eq(computer))
            .filter(whole.clone())
            .order_by(Column::Seq, order)
            .limit(1)
            .into_tuple::<i64>()
    };
    let first = of(sea_orm::Order::Asc).one(conn).await?;
    let last = of(sea_orm::Order::Desc).one(conn).await?;
    Ok(first.zip(last))
}

/// The last row's place and hash, for signing it.
pub async fn last(conn: &Conn, computer: &str) -> Result<Option<(i64, [u8; 32])>, StoreError> {
    head(conn, computer).await
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
