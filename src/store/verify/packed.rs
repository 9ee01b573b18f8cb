//! Reading rows of the log from SQLite a page at a time, as one JSON text that the database makes of them: handed over
//! row by row and value by value they cost several times what hashing them does. What is wrong with a row is not said
//! here: a page with one that is not exactly as the daemon writes it (a number that is none, bytes in a text) is no page,
//! and whoever asked reads it row by row.

use crate::domain::audit::{self, AuditOutcome, Content};
use crate::domain::caller::Role;
use crate::domain::timestamp::Timestamp;
use crate::domain::walk::Link;
use crate::store::conn::Conn;
use crate::store::verify::Row;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde::Deserialize;
use std::borrow::Cow;

/// A page of rows. Text is quoted and numbers are not, so that each value comes back as what it is. Bytes never do: some
/// would be taken for JSON in its binary form. A row with any where there should be none makes the page unreadable. The
/// hashes must be bytes.
const PAGE: &str = "\
SELECT group_concat(CASE WHEN computer >= x'' OR seq >= x'' OR at >= x'' OR actor >= x'' OR actor_uid >= x'' \
OR actor_role >= x'' OR via >= x'' OR action >= x'' OR outcome >= x'' OR session >= x'' OR owner >= x'' \
OR target_kind >= x'' OR target_id >= x'' OR reason >= x'' OR request_id >= x'' OR detail >= x'' THEN 'bytes' \
ELSE json_array(computer, seq, at, actor, actor_uid, actor_role, via, action, outcome, session, owner, target_kind, \
target_id, reason, request_id, detail, CASE typeof(prev_hash) WHEN 'blob' THEN hex(prev_hash) END, \
CASE typeof(hash) WHEN 'blob' THEN hex(hash) END) END, char(10)) AS page \
FROM (SELECT * FROM audit_log WHERE computer = ?1 AND seq >= ?2 AND seq < ?3 + 1 ORDER BY seq LIMIT ?4)";

/// The rows `from` to `to` as the database has them packed; `None` if it cannot.
pub(super) async fn page(conn: &Conn, computer: &str, from: i64, to: i64, limit: u64) -> Option<Vec<u8>> {
    let limit = i64::try_from(limit).ok()?;
    let values = [computer.into(), from.into(), to.into(), limit.into()];
    let query = Statement::from_sql_and_values(DbBackend::Sqlite, PAGE, values);
    // Why it cannot is told by reading the rows.
    let row = conn.query_one_raw(query).await.ok()??;
    Some(row.try_get::<Option<Vec<u8>>>("", "page").ok()?.unwrap_or_default())
}

/// The rows of such a page by their seq, hashed; `None` if one of them is not as the daemon writes it.
pub(super) fn rows(page: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for line in page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        rows.push(serde_json::from_slice::<Packed>(line).ok()?.judged()?);
    }
    // They come in this order, but an aggregate does not promise it.
    rows.sort_by_key(|(seq, _)| *seq);
    Some(rows)
}

/// A row of [`PAGE`], in its order. Texts are lent by the page where nothing in them had to be escaped.
#[derive(Deserialize)]
struct Packed<'a> {
    #[serde(borrow)]
    computer: Text<'a>,
    seq: i64,
    at: i64,
    actor: Text<'a>,
    actor_uid: u32,
    actor_role: Text<'a>,
    via: Text<'a>,
    action: Text<'a>,
    outcome: Text<'a>,
    session: Option<Text<'a>>,
    owner: Option<Text<'a>>,
    target_kind: Option<Text<'a>>,
    target_id: Option<Text<'a>>,
    reason: Option<Text<'a>>,
    request_id: Text<'a>,
    detail: Option<Text<'a>>,
    prev_hash: Text<'a>,
    hash: Text<'a>,
}

/// `Cow` alone borrows nothing where it stands in an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Packed<'_> {
    fn judged(&self) -> Option<Row> {
        let target = match (text(&self.target_kind), text(&self.target_id)) {
            (None, None) => None,
            (kind, id) => Some((kind?, id?)),
        };
        let content = Content {
            at: Timestamp::from_micros(self.at),
            actor: &self.actor.0,
            actor_uid: self.actor_uid,
            actor_role: Role::ALL.into_iter().find(|role| role.name() == self.actor_role.0)?,
            via: &self.via.0,
            action: &self.action.0,
            outcome: AuditOutcome::parse(&self.outcome.0)?,
            session: text(&self.session),
            owner: text(&self.owner),
            target,
            reason: text(&self.reason),
            request_id: &self.request_id.0,
            detail: text(&self.detail),
        };
        let prev_hash = digest(&self.prev_hash.0)?;
        let link = Link {
            prev_hash,
            hash: digest(&self.hash.0)?,
            content: audit::hash(&self.computer.0, self.seq, content, &prev_hash),
        };
        Some((self.seq, Ok(link)))
    }
}

fn text<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
    text.as_ref().map(|text| &*text.0)
}

/// The 32 bytes of a hash in hexadecimal digits.
fn digest(digits: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = digits.as_bytes().try_into().ok()?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
