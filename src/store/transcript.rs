//! Transcripts as kept: entries and costs, numbered from 1 within their session, and the agents' logs they came from.
//! What is written here was redacted before.

use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind, Speaker, Usage};
use crate::store::conn::Conn;
use crate::store::entity::{transcript_entry, transcript_file, usage};
use crate::store::error::StoreError;
use crate::store::{search, usage as used};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

/// Rows in one statement.
pub(super) const ROWS: usize = 200;

/// One of the logs that a session's entries came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Which of the session's logs, from 1.
    pub place: i64,
    /// Its path, as the follower names it.
    pub path: String,
    /// Entries that were kept before its own.
    pub entries_before: i64,
    /// Costs that were kept before its own.
    pub usage_before: i64,
}

/// How much of a session is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Entries.
    pub entries: i64,
    /// Costs.
    pub usage: i64,
}

/// What a model cost in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The model; `None` where the agent does not say.
    pub model: Option<String>,
    /// Tokens read, without those of the cache.
    pub input: i64,
    /// Tokens read from a cache.
    pub cached: i64,
    /// Tokens read and put into a cache.
    pub cache_write: i64,
    /// Tokens written.
    pub output: i64,
}

/// How much is kept.
pub async fn kept(conn: &Conn, session: SessionId) -> Result<Kept, StoreError> {
    let entries: Option<Option<i64>> = transcript_entry::Entity::find()
        .select_only()
        .column_as(transcript_entry::Column::Seq.max(), "last")
        .filter(transcript_entry::Column::Session.eq(session.0))
        .into_tuple()
        .one(conn)
        .await?;
    let costs: Option<Option<i64>> = usage::Entity::find()
        .select_only()
        .column_as(usage::Column::Seq.max(), "last")
        .filter(usage::Column::Session.eq(session.0))
        .into_tuple()
        .one(conn)
        .await?;
    Ok(Kept { entries: entries.flatten().unwrap_or(0), usage: costs.flatten().unwrap_or(0) })
}

/// Whether anything was said or done that is kept.
pub async fn has_any(conn: &Conn, session: SessionId) -> Result<bool, StoreError> {
    Ok(!page(conn, session, 0, 1).await?.is_empty())
}

/// The log that is followed now: the last one.
pub async fn file(conn: &Conn, session: SessionId) -> Result<Option<File>, StoreError> {
    let row = transcript_file::Entity::find()
        .filter(transcript_file::Column::Session.eq(session.0))
        .order_by_desc(transcript_file::Column::Place)
        .one(conn)
        .await?;
    Ok(row.map(|row| File {
        place: row.place,
        path: row.path,
        entries_before: row.entries_before,
        usage_before: row.usage_before,
    }))
}

/// Goes on with another log and gives it; with the one that is followed already, nothing changes, unless it begins
/// `anew`.
pub async fn follow(
    conn: &Conn,
    session: SessionId,
    path: &str,
    anew: bool,
    at: Timestamp,
) -> Result<File, StoreError> {
    let path = crate::store::clean(path.to_owned());
    let last = file(conn, session).await?;
    if let Some(last) = last.as_ref().filter(|last| last.path == path && !anew) {
        return Ok(last.clone());
    }
    let before = kept(conn, session).await?;
    let next = File {
        place: last.map_or(1, |last| last.place + 1),
        path,
        entries_before: before.entries,
        usage_before: before.usage,
    };
    let row = transcript_file::ActiveModel {
        session: Set(session.0),
        place: Set(next.place),
        path: Set(next.path.clone()),
        entries_before: Set(next.entries_before),
        usage_before: Set(next.usage_before),
        first_seen: Set(at.micros()),
    };
    transcript_file::Entity::insert(row).exec_without_returning(conn).await?;
    Ok(next)
}

/// Keeps entries, and indexes them, the first of them as number `first`. What is kept under a number stays: doing it twice is once.
pub async fn append(
    conn: &Conn,
    session: SessionId,
    first: i64,
    entries: &[Entry],
) -> Result<(), StoreError> {
    use transcript_entry::{ActiveModel, Column};
    for (chunk, seq) in entries.chunks(ROWS).zip((first..).step_by(ROWS)) {
        let rows = chunk.iter().zip(seq..).map(|(entry, seq)| ActiveModel {
            session: Set(session.0),
            seq: Set(seq),
            at: Set(entry.at.map(Timestamp::micros)),
            speaker: Set(entry.speaker.name().to_owned()),
            kind: Set(entry.kind.name().to_owned()),
            tool: Set(entry.tool.clone().map(crate::store::clean)),
            failed: Set(entry.failed),
            sub_agent: Set(entry.sub_agent),
            text: Set(crate::store::clean(entry.text.clone())),
        });
        let again = OnConflict::columns([Column::Session, Column::Seq]).do_nothing().to_owned();
        transcript_entry::Entity::insert_many(rows).on_conflict(again).exec_without_returning(conn).await?;
    }
    search::index(conn, session, first, entries).await
}

/// Keeps costs, the first of them as number `first`, and counts them; twice is once.
pub async fn add_usage(
    conn: &Conn,
    session: SessionId,
    first: i64,
    costs: &[Usage],
    now: Timestamp,
) -> Result<(), StoreError> {
    use usage::{ActiveModel, Column};
    let known = usize::try_from(kept(conn, session).await?.usage - first + 1).unwrap_or(0).min(costs.len());
    used::answers(conn, session, &costs[known..], now).await?;
    let tokens = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    for (chunk, seq) in costs.chunks(ROWS).zip((first..).step_by(ROWS)) {
        let rows = chunk.iter().zip(seq..).map(|(cost, seq)| ActiveModel {
            session: Set(session.0),
            seq: Set(seq),
            at: Set(cost.at.map(Timestamp::micros)),
            model: Set(cost.model.as_deref().map(clipped)),
            input: Set(tokens(cost.input)),
            cached: Set(tokens(cost.cached)),
            cache_write: Set(tokens(cost.cache_write)),
            output: Set(tokens(cost.output)),
        });
        let again = OnConflict::columns([Column::Session, Column::Seq]).do_nothing().to_owned();
        usage::Entity::insert_many(rows).on_conflict(again).exec_without_returning(conn).await?;
    }
    Ok(())
}

fn clipped(model: &str) -> String {
    crate::store::clean(model.chars().take(used::MODEL_CHARS).collect())
}

/// Entries with their numbers, in order, at most `limit`, of those after number `after`.
pub async fn page(
    conn: &Conn,
    session: SessionId,
    after: i64,
    limit: u64,
) -> Result<Vec<(i64, Entry)>, StoreError> {
    use transcript_entry::Column;
    let rows = transcript_entry::Entity::find()
        .filter(Column::Session.eq(session.0))
        .filter(Column::Seq.gt(after))
        .order_by_asc(Column::Seq)
        .limit(limit)
        .all(conn)
        .await?;
    rows.into_iter().map(entry).collect()
}

/// The same from the end: entries before number `before`, newest first, and of those only what was said from `since`
/// to `until`, both included. An entry without a moment belongs to no span of time.
pub async fn page_back(
    conn: &Conn,
    session: SessionId,
    before: i64,
    (since, until): (Option<Timestamp>, Option<Timestamp>),
    limit: u64,
) -> Result<Vec<(i64, Entry)>, StoreError> {
    use transcript_entry::Column;
    let mut query =
        transcript_entry::Entity::find().filter(Column::Session.eq(session.0)).filter(Column::Seq.lt(before));
    if let Some(since) = since {
        query = query.filter(Column::At.gte(since.micros()));
    }
    if let Some(until) = until {
        query = query.filter(Column::At.lte(until.micros()));
    }
    let rows = query.order_by_desc(Column::Seq).limit(limit).all(conn).await?;
    rows.into_iter().map(entry).collect()
}

/// What a session cost, by model, in the order of their names.
pub async fn totals(conn: &Conn, session: SessionId) -> Result<Vec<Total>, StoreError> {
    use usage::Column;
    // Postgres adds bigints up to a numeric, which is no bigint.
    let sum = |column: Column| Expr::col(column).sum().cast_as("bigint");
    let rows: Vec<(Option<String>, i64, i64, i64, i64)> = usage::Entity::find()
        .select_only()
        .column(Column::Model)
        .column_as(sum(Column::Input), "input_sum")
        .column_as(sum(Column::Cached), "cached_sum")
        .column_as(sum(Column::CacheWrite), "cache_write_sum")
        .column_as(sum(Column::Output), "output_sum")
        .filter(Column::Session.eq(session.0))
        .group_by(Column::Model)
        .into_tuple()
        .all(conn)
        .await?;
    let mut totals: Vec<Total> = rows
        .into_iter()
        .map(|(model, input, cached, cache_write, output)| Total {
            model,
            input,
            cached,
            cache_write,
            output,
        })
        .collect();
    totals.sort_by(|a, b| a.model.cmp(&b.model));
    Ok(totals)
}

pub(super) fn entry(row: transcript_entry::Model) -> Result<(i64, Entry), StoreError> {
    let entry = Entry {
        at: row.at.map(Timestamp::from_micros),
        speaker: Speaker::parse(&row.speaker).ok_or(StoreError::Unreadable("speaker"))?,
        kind: EntryKind::parse(&row.kind).ok_or(StoreError::Unreadable("kind of entry"))?,
        tool: row.tool,
        failed: row.failed,
        sub_agent: row.sub_agent,
        text: row.text,
    };
    Ok((row.seq, entry))
}
