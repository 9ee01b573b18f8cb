//! Checking the audit chains: every row's hash is computed again, every row must follow the one before, and what was
//! signed must still be so. Works on any connection, also on a copy and without a daemon. Pages are read side by side
//! and hashed off the async threads.

mod packed;

use crate::domain::audit;
use crate::domain::checkpoint::Checkpoint;
use crate::domain::note::{self, NoteError, VerifierKey};
use crate::domain::walk::{Bad, Link, Walk};
use crate::store::audit::{chains, ends, entry, stray};
use crate::store::checkpoint;
use crate::store::conn::Conn;
use crate::store::entity::audit::{Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::{migrate, prune};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult as _, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, QueryTrait as _, Select, Statement,
};
use std::collections::BTreeMap;

/// Rows read at a time.
const PAGE: i64 = 1_000;
/// The most rows that a page can turn out to have: with one more than fits there is one too many.
const MOST: u64 = PAGE.unsigned_abs() + 1;
/// Pages that are on their way at once.
const PAGES: usize = 3;

/// What there is to prove a log with besides itself.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Public keys that are trusted.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints from elsewhere, as signed notes.
    pub notes: Vec<String>,
}

/// What was found about one computer's chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainReport {
    /// The computer.
    pub computer: String,
    /// Rows that were checked, the bad one included.
    pub rows: u64,
    /// The first row that is there: more than 1 after pruning.
    pub first: Option<i64>,
    /// Hash of the last good row; zeros for none.
    pub head: [u8; 32],
    /// Checkpoints that were signed by a trusted key and fit.
    pub checkpoints: u64,
    /// Checkpoints by a key that is not known here: they prove nothing.
    pub unknown: u64,
    /// The first bad row and what is wrong with it. What comes after it was not checked.
    pub first_bad: Option<(i64, String)>,
}

/// Checks one computer's chain, or all, by themselves alone.
pub async fn verify(
    conn: &Conn,
    computer: Option<&str>,
    progress: impl FnMut(u64) + Send,
) -> Result<Vec<ChainReport>, StoreError> {
    prove(conn, computer, &Evidence::default(), progress).await
}

/// How many rows there are to be checked: from the first to the last of each chain.
pub async fn size(conn: &Conn) -> Result<u64, StoreError> {
    let mut rows = 0;
    for computer in chains(conn).await? {
        if let Some((first, last)) = ends(conn, &computer).await? {
            rows += u64::try_from(last.saturating_sub(first)).unwrap_or(0) + 1;
        }
    }
    Ok(rows)
}

/// Checks one computer's chain, or all, also those of which there is nothing left but what was signed. `progress` is
/// told after each page how many rows are done in all.
pub async fn prove(
    conn: &Conn,
    computer: Option<&str>,
    evidence: &Evidence,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Vec<ChainReport>, StoreError> {
    let mut signed = signed(conn, evidence).await?;
    let mut computers = chains(conn).await?;
    computers.extend(signed.keys().cloned());
    computers.sort();
    computers.dedup();
    if let Some(computer) = computer {
        computers = vec![computer.to_owned()];
    }
    let mut reports = Vec::with_capacity(computers.len());
    let mut before = 0;
    for computer in computers {
        let signed = signed.remove(&computer).unwrap_or_default();
        let report = prove_chain(conn, computer, signed, &evidence.keys, before, &mut progress).await?;
        before += report.rows;
        reports.push(report);
    }
    if computer.is_none()
        && let Some((computer, seq)) = stray(conn).await?
    {
        let problem = "its computer is no text, so it is of no chain".to_owned();
        let nothing = ChainReport { computer, rows: 1, ..ChainReport::default() };
        reports.push(ChainReport { first_bad: Some((seq, problem)), ..nothing });
    }
    Ok(reports)
}

/// What is signed about one chain.
#[derive(Default)]
struct Signed {
    points: Vec<Checkpoint>,
    unknown: u64,
    bad: Option<Bad>,
}

impl Signed {
    fn take(&mut self, opened: Result<&str, NoteError>, at: i64) {
        match opened.map(Checkpoint::parse) {
            Ok(Some(point)) => self.points.push(point),
            Err(NoteError::UnknownKey(_)) => self.unknown += 1,
            Ok(None) | Err(_) if self.bad.is_none() => {
                let problem = "the checkpoint of it that is kept is not what was signed".to_owned();
                self.bad = Some(Bad { seq: at, problem });
            }
            Ok(None) | Err(_) => {}
        }
    }
}

/// The checkpoints by chain: those that are kept beside the log, and those from elsewhere.
async fn signed(conn: &Conn, evidence: &Evidence) -> Result<BTreeMap<String, Signed>, StoreError> {
    let mut all: BTreeMap<String, Signed> = BTreeMap::new();
    for text in &evidence.notes {
        let opened = note::open(text, &evidence.keys);
        let Some(point) = note::unproven(text).ok().and_then(Checkpoint::parse) else { continue };
        all.entry(point.origin).or_default().take(opened, point.seq);
    }
    let has_table = migrate::status(conn).await?.applied.iter().any(|step| step == "m0010_checkpoints");
    let mut after: Option<checkpoint::Kept> = None;
    // A copy from before there were checkpoints has its rows, and that is all.
    if !has_table {
        return Ok(all);
    }
    loop {
        let page = checkpoint::page(conn, after.as_ref()).await?;
        for kept in &page {
            // Only what is signed counts; where the row says it belongs does not.
            let opened = note::open(&kept.note, &evidence.keys);
            let origin = opened.clone().ok().and_then(Checkpoint::parse).map(|point| point.origin);
            let origin = origin.unwrap_or_else(|| kept.computer.clone());
            all.entry(origin).or_default().take(opened, kept.seq);
        }
        after = page.last().cloned();
        if after.is_none() {
            return Ok(all);
        }
    }
}

async fn prove_chain(
    conn: &Conn,
    computer: String,
    signed: Signed,
    keys: &[VerifierKey],
    before: u64,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<ChainReport, StoreError> {
    let cuts = prune::proven(conn, &computer, keys).await?;
    let mut walk = Walk::new(cuts, signed.points);
    let ends = ends(conn, &computer).await?;
    let mut walked = match ends {
        Some(ends) => walk_rows(conn, &computer, ends, &mut walk, before, progress).await?,
        None => Ok(()),
    };
    if walked.is_ok() && has_strays(conn, &computer, ends).await? {
        walked = Err(Bad { seq: walk.seq() + 1, problem: NO_PLACE.to_owned() });
    }
    let bad = walked.and_then(|()| walk.finish()).and_then(|()| signed.bad.map_or(Ok(()), Err)).err();
    Ok(ChainReport {
        computer,
        rows: walk.rows(),
        first: walk.first(),
        head: walk.head(),
        checkpoints: walk.proven(),
        unknown: signed.unknown,
        first_bad: bad.map(|bad| (bad.seq, bad.problem)),
    })
}

/// Walks the rows from the first to the last as they were when it began; what is added meanwhile is left for next time.
async fn walk_rows(
    conn: &Conn,
    computer: &str,
    (first, last): (i64, i64),
    walk: &mut Walk,
    before: u64,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<Result<(), Bad>, StoreError> {
    let mut reading = FuturesOrdered::new();
    let mut next = first;
    loop {
        while reading.len() < PAGES && next <= last {
            let to = Ord::min(next.saturating_add(PAGE - 1), last);
            reading.push_back(read(conn, computer, next, to));
            next = match to.checked_add(1) {
                Some(next) => next,
                None => break,
            };
        }
        let Some(page) = reading.next().await else { return Ok(Ok(())) };
        let (to, rows) = page?;
        let gone = rows.is_empty() && to < last;
        for (seq, link) in rows {
            if let Err(bad) = walk.step(seq, link) {
                progress(before + walk.rows());
                return Ok(Err(bad));
            }
        }
        progress(before + walk.rows());
        if gone {
            // A hole as wide as a page, or wider: the row behind it tells.
            if let Some((seq, link)) = after_hole(conn, computer, to).await? {
                return Ok(walk.step(seq, link));
            }
        }
    }
}

/// A row's place, and what is to be judged of it.
type Row = (i64, Result<Link, String>);
/// How far was read, and the rows up to there.
type Rows = (i64, Vec<Row>);

/// The rows `from` to `to`, and whatever stands between them. There may be too many of them where the table has lost its
/// key: the walk stops at those.
async fn read(conn: &Conn, computer: &str, from: i64, to: i64) -> Result<Rows, StoreError> {
    if conn.get_database_backend() == DbBackend::Sqlite
        && let Some(page) = packed::page(conn, computer, from, to, MOST).await
        && let Some(rows) = hashed(move || packed::rows(&page)).await?
    {
        return Ok((to, rows));
    }
    let up_to = match conn.get_database_backend() {
        DbBackend::Sqlite => Expr::col(Column::Seq).lt(Expr::val(to).add(1)),
        _ => Expr::col(Column::Seq).lte(to),
    };
    let query = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Seq.gte(from))
        .filter(up_to)
        .order_by_asc(Column::Seq)
        .limit(MOST);
    Ok((to, links(conn, query, from).await?))
}

/// The first row behind `to`.
async fn after_hole(conn: &Conn, computer: &str, to: i64) -> Result<Option<Row>, StoreError> {
    let query = Entity::find()
        .filter(Column::Computer.eq(computer))
        .filter(Column::Seq.gt(to))
        .order_by_asc(Column::Seq)
        .limit(1);
    Ok(links(conn, query, to.saturating_add(1)).await?.into_iter().next())
}

/// Whether a chain has rows outside of its ends: SQLite lets a column of whole numbers have anything else in it, too.
async fn has_strays(conn: &Conn, computer: &str, ends: Option<(i64, i64)>) -> Result<bool, StoreError> {
    if conn.get_database_backend() != DbBackend::Sqlite {
        return Ok(false);
    }
    let (first, last) = ends.unwrap_or((i64::MAX, i64::MAX));
    // What was added meanwhile is behind the last one, too.
    let sql = "SELECT EXISTS (SELECT 1 FROM audit_log WHERE computer = ?1 AND seq IS NULL) \
               OR EXISTS (SELECT 1 FROM audit_log WHERE computer = ?1 AND seq < ?2) \
               OR EXISTS (SELECT 1 FROM audit_log WHERE computer = ?1 AND seq > ?3 AND typeof(seq) <> 'integer') AS has";
    let values = [computer.into(), first.into(), last.into()];
    let row = conn.query_one_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
    Ok(row.map(|row| row.try_get("", "has")).transpose()?.unwrap_or(false))
}

/// What is said of a row whose place is none.
const NO_PLACE: &str = "there is a row whose number is no whole number";

/// The rows of a query in their order; `next` is the place that the first of them should have.
async fn links(conn: &Conn, query: Select<Entity>, mut next: i64) -> Result<Vec<Row>, StoreError> {
    let rows = conn.query_all_raw(query.build(conn.get_database_backend())).await?;
    hashed(move || {
        let judged = |row: &QueryResult| {
            let Ok(seq) = row.try_get::<i64>("", "seq") else { return (next, Err(NO_PLACE.to_owned())) };
            next = seq.saturating_add(1);
            let model = Model::from_query_result(row, "").map_err(|_| "it cannot be read".to_owned());
            (seq, model.and_then(link))
        };
        rows.iter().map(judged).collect()
    })
    .await
}

/// Does what takes long where it holds nobody up.
async fn hashed<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| StoreError::Other("hashing was stopped".to_owned()))
}

fn link(row: Model) -> Result<Link, String> {
    if row.target_kind.is_some() != row.target_id.is_some() {
        return Err("half a target".to_owned());
    }
    let entry = entry(row).map_err(|e| e.to_string())?;
    let content = audit::hash(&entry.computer, entry.seq, &entry.draft, &entry.prev_hash);
    Ok(Link { prev_hash: entry.prev_hash, hash: entry.hash, content })
}
