//! Checking the audit chains: every row's hash is computed again, every row must follow the one before. Works on any
//! connection, also on a copy and without a daemon.

use crate::domain::audit;
use crate::store::audit::entry;
use crate::store::conn::Conn;
use crate::store::entity::audit::{Column, Entity};
use crate::store::error::StoreError;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

/// Rows read at a time.
const PAGE: u64 = 5_000;

/// What was found about one computer's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// The computer.
    pub computer: String,
    /// Rows that were checked, the bad one included.
    pub rows: u64,
    /// Hash of the last good row; zeros for none.
    pub head: [u8; 32],
    /// The first bad row and what is wrong with it. What comes after it was not checked.
    pub first_bad: Option<(i64, String)>,
}

/// Checks one computer's chain, or all. `progress` is told after each page how many rows are done in all.
pub async fn verify(
    conn: &Conn,
    computer: Option<&str>,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Vec<ChainReport>, StoreError> {
    let computers = match computer {
        Some(computer) => vec![computer.to_owned()],
        None => chains(conn).await?,
    };
    let mut reports = Vec::with_capacity(computers.len());
    let mut before = 0;
    for computer in computers {
        let report = verify_chain(conn, computer, before, &mut progress).await?;
        before += report.rows;
        reports.push(report);
    }
    Ok(reports)
}

/// The computers that have a chain, by name, one index look-up each.
async fn chains(conn: &Conn) -> Result<Vec<String>, StoreError> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let mut query = Entity::find().select_only().column(Column::Computer);
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

async fn verify_chain(
    conn: &Conn,
    computer: String,
    before: u64,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<ChainReport, StoreError> {
    let mut report = ChainReport { computer, rows: 0, head: [0; 32], first_bad: None };
    // The last row's seq, and where the next page begins: two rows of one seq must not hide behind the page's edge.
    let mut seq = 0i64;
    let mut last_read: Option<i64> = None;
    loop {
        let mut query = Entity::find().filter(Column::Computer.eq(report.computer.as_str()));
        if let Some(last) = last_read {
            query = query.filter(Column::Seq.gt(last));
        }
        let rows = query.order_by_asc(Column::Seq).limit(PAGE).all(conn).await?;
        let full = rows.len() as u64 == PAGE;
        last_read = rows.last().map(|row| row.seq).or(last_read);
        for row in rows {
            report.rows += 1;
            let found = row.seq;
            match follows(seq, &report.head, row) {
                Ok(hash) => report.head = hash,
                Err(problem) => {
                    report.first_bad = Some((found, problem));
                    progress(before + report.rows);
                    return Ok(report);
                }
            }
            seq = found;
        }
        progress(before + report.rows);
        if !full {
            return Ok(report);
        }
    }
}

/// Whether `row` is what must come after the row `seq` with the hash `head`: its hash, or what is wrong.
fn follows(seq: i64, head: &[u8; 32], row: crate::store::entity::audit::Model) -> Result<[u8; 32], String> {
    let found = row.seq;
    if found == seq {
        return Err(format!("row {found} is there twice"));
    }
    if found != seq + 1 {
        return Err(format!("rows {} to {} are missing", seq + 1, found - 1));
    }
    if row.target_kind.is_some() != row.target_id.is_some() {
        return Err("half a target".to_owned());
    }
    let entry = entry(row).map_err(|e| e.to_string())?;
    if entry.prev_hash != *head {
        return Err("it does not follow the row before it".to_owned());
    }
    if audit::hash(&entry.computer, entry.seq, &entry.draft, &entry.prev_hash) != entry.hash {
        return Err("its content does not match its hash".to_owned());
    }
    Ok(entry.hash)
}
