//! Reading rows of the log from SQLite a page at a time, as one JSON text that the database makes of them: handed over
//! row by row and value by value they cost several times what hashing them does. Nothing is judged here. What is not
//! exactly as the daemon writes it (a number that is none, bytes in a text) cannot be packed, and whoever asked reads
//! that page row by row.

use crate::store::conn::Conn;
use crate::store::entity::audit::Model;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde::Deserialize as _;

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

/// What `judge` makes of each row of such a page, by their seq; `None` if one of them is not as it should be.
pub(super) fn rows<T>(page: &[u8], judge: impl Fn(Model) -> (i64, T)) -> Option<Vec<(i64, T)>> {
    let mut rows = Vec::new();
    for line in page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        rows.push(judge(serde_json::from_slice(line).ok()?));
    }
    // They come in this order, but an aggregate does not promise it.
    rows.sort_by_key(|(seq, _)| *seq);
    Some(rows)
}

/// The bytes of a hash in hexadecimal digits. What has another length is left for the reader of rows to judge.
pub(in crate::store) fn hash<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let digits = <std::borrow::Cow<'de, str>>::deserialize(from)?;
    let digit = |at: usize| {
        let digit = digits.as_bytes().get(at).and_then(|digit| char::from(*digit).to_digit(16));
        digit.and_then(|digit| u8::try_from(digit).ok())
    };
    (0..digits.len() / 2)
        .map(|at| Some(digit(2 * at)? << 4 | digit(2 * at + 1)?))
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| serde::de::Error::custom("no hexadecimal digits"))
}
