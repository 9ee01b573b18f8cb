//! The index over transcripts: FTS5 on SQLite, a tsvector on Postgres, one function to ask either. Both only know which
//! entries have which words, told apart by `domain::query`; that words stand one after the other is looked up in the
//! text itself. Beside its words every entry has one for its owner, which no text can have.

use crate::domain::person::PersonId;
use crate::domain::query::{Query, Term, distinct, unescaped};
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind};
use crate::store::conn::Conn;
use crate::store::entity::session as sessions;
use crate::store::entity::transcript_entry::{self, Column};
use crate::store::error::StoreError;
use crate::store::transcript;
use sea_orm::sea_query::{Expr, ExprTrait, Query as Sql};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Statement, Value,
};
use std::borrow::Cow;
use uuid::Uuid;

/// Entries with the words that are looked through at once for those that the scope lets through.
const WINDOW: i64 = 5_000;
/// On Postgres, places that are looked through one by one before its index is asked.
const LATEST: i64 = 1_024;

/// Among which entries it is searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this person's, at this uid: both must match.
    pub owner: Option<(PersonId, u32)>,
    /// Only of sessions in this project.
    pub project: Option<String>,
    /// Only said or done at or after.
    pub since: Option<Timestamp>,
    /// Only said or done at or before.
    pub until: Option<Timestamp>,
}

/// An entry that may be what is looked for: it has the words, in whatever order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the index; later entries have higher ones.
    pub place: i64,
    /// Its session.
    pub session: SessionId,
    /// Its number in the session's transcript.
    pub seq: i64,
    /// What was said or done.
    pub entry: Entry,
}

/// Some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The one that was written down last first.
    pub found: Vec<Candidate>,
    /// The place before which the next ones are; `None` if there are no more.
    pub next: Option<i64>,
}

/// What of an entry is searched.
pub fn text(entry: &Entry) -> Cow<'_, str> {
    match entry.kind {
        EntryKind::ToolCall => unescaped(&entry.text),
        _ => Cow::Borrowed(&entry.text),
    }
}

/// The word of everything that belongs to this person at this uid. No text has one with this sign.
fn owners(owner: Uuid, uid: i64) -> String {
    format!("={}={uid}", owner.simple())
}

/// Entries that have the words, the one that was written down last first, at most `limit`, of those before place
/// `before`. Sessions that are being purged have none. However few the scope lets through, a bounded number is looked at:
/// there may be none of them, and more later.
///
/// # Errors
/// The database.
pub async fn candidates(
    conn: &Conn,
    query: &Query,
    scope: &Scope,
    before: Option<i64>,
    limit: u64,
) -> Result<Batch, StoreError> {
    let backend = conn.get_database_backend();
    let asked = Asked { conn, question: question(backend, query, scope.owner), scope };
    let top = match before {
        Some(before) => before,
        None if backend == DbBackend::Sqlite => i64::MAX,
        None => latest(conn).await?.saturating_add(1),
    };
    let narrows = scope.project.is_some() || scope.since.is_some() || scope.until.is_some();
    let first = if narrows { asked.window(top).await? } else { None };
    let span = (first.unwrap_or(i64::MIN), top);
    let found = match backend {
        DbBackend::Sqlite => asked.in_sqlite(span, limit).await?,
        _ => asked.in_postgres(span, limit).await?,
    };
    let last = found.last().map(|candidate| candidate.place);
    let next = if found.len() as u64 == limit { last } else { first };
    Ok(Batch { found, next })
}

/// The last place that is taken.
async fn latest(conn: &Conn) -> Result<i64, StoreError> {
    let sql = "SELECT max(id) AS id FROM transcript_index";
    let row = conn.query_one_raw(Statement::from_string(conn.get_database_backend(), sql)).await?;
    let id: Option<i64> = row.map(|row| row.try_get("", "id")).transpose()?.flatten();
    Ok(id.unwrap_or(0))
}

/// A question, and among what it is asked.
struct Asked<'a> {
    conn: &'a Conn,
    question: String,
    scope: &'a Scope,
}

impl Asked<'_> {
    /// The place of the last of [`WINDOW`] entries with the words before `before`, if there are as many.
    async fn window(&self, before: i64) -> Result<Option<i64>, StoreError> {
        let backend = self.conn.get_database_backend();
        let sql = match backend {
            DbBackend::Sqlite => {
                "SELECT rowid AS place FROM transcript_words WHERE transcript_words MATCH $1 AND rowid < $2 \
                 ORDER BY rowid DESC LIMIT 1 OFFSET $3"
            }
            // As below: the index of words first, whatever the order.
            _ => {
                "SELECT place FROM (SELECT id + 0 AS place FROM transcript_index \
                 WHERE words @@ $1::tsquery AND id < $2 ORDER BY 1 DESC OFFSET 0) i LIMIT 1 OFFSET $3"
            }
        };
        let values: Vec<Value> = vec![self.question.clone().into(), before.into(), (WINDOW - 1).into()];
        let row = self.conn.query_one_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        Ok(row.map(|row| row.try_get("", "place")).transpose()?)
    }

    async fn in_sqlite(&self, span: (i64, i64), limit: u64) -> Result<Vec<Candidate>, StoreError> {
        // A cross join keeps the order: the index first, which gives its rows in the order that is wanted.
        let from = "transcript_words CROSS JOIN transcript_index i ON i.id = transcript_words.rowid \
                    CROSS JOIN transcript_entries e ON e.session = i.session AND e.seq = i.seq \
                    CROSS JOIN sessions s ON s.id = i.session \
                    WHERE transcript_words MATCH $1 AND transcript_words.rowid < $2 AND transcript_words.rowid >= $4";
        self.rows(from, "transcript_words.rowid", span, limit).await
    }

    async fn in_postgres(&self, (first, top): (i64, i64), limit: u64) -> Result<Vec<Candidate>, StoreError> {
        // This index gives all rows at once, in no order: good for few. Words that are everywhere are among the latest, too.
        let middle = Ord::max(top.saturating_sub(LATEST), first);
        let joined = "JOIN transcript_entries e ON e.session = i.session AND e.seq = i.seq \
                      JOIN sessions s ON s.id = i.session";
        // The function keeps this condition from the index.
        let from = format!(
            "transcript_index i {joined} \
             WHERE coalesce(i.words, ''::tsvector) @@ $1::tsquery AND i.id < $2 AND i.id >= $4"
        );
        let mut found = self.rows(&from, "i.id", (middle, top), limit).await?;
        let left = limit.saturating_sub(found.len() as u64);
        if left > 0 && first < middle {
            // The sum keeps the order from the primary key, and the offset keeps the joins outside.
            let from = format!(
                "(SELECT id + 0 AS id, session, seq FROM transcript_index \
                 WHERE words @@ $1::tsquery AND id < $2 AND id >= $4 ORDER BY 1 DESC OFFSET 0) i {joined} WHERE TRUE"
            );
            found.extend(self.rows(&from, "i.id", (first, middle), left).await?);
        }
        Ok(found)
    }

    /// Rows of `from`, which takes the question as $1 and the places from $4 on and before $2, in the order of `place`.
    async fn rows(
        &self,
        from: &str,
        place: &str,
        (first, before): (i64, i64),
        limit: u64,
    ) -> Result<Vec<Candidate>, StoreError> {
        let scope = self.scope;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut values: Vec<Value> =
            vec![self.question.clone().into(), before.into(), limit.into(), first.into()];
        let mut filter = String::new();
        for (condition, value) in [
            ("s.project =", scope.project.clone().map(Value::from)),
            ("e.at >=", scope.since.map(|at| at.micros().into())),
            ("e.at <=", scope.until.map(|at| at.micros().into())),
        ] {
            if let Some(value) = value {
                values.push(value);
                filter.push_str(&format!(" AND {condition} ${}", values.len()));
            }
        }
        let sql = format!(
            "SELECT i.id AS place, i.session, i.seq, e.at, e.speaker, e.kind, e.tool, e.failed, e.sub_agent, e.text \
             FROM {from} AND s.purge IS NULL{filter} ORDER BY {place} DESC LIMIT $3"
        );
        let statement = Statement::from_sql_and_values(self.conn.get_database_backend(), sql, values);
        let rows = self.conn.query_all_raw(statement).await?;
        rows.iter()
            .map(|row| {
                let kept = transcript_entry::Model::from_query_result(row, "")?;
                let session = SessionId(kept.session);
                let (seq, entry) = transcript::entry(kept)?;
                Ok(Candidate { place: row.try_get("", "place")?, session, seq, entry })
            })
            .collect()
    }
}

/// The question as the engine's own language has it. A word has letters and digits only, so none is a sign of it.
fn question(backend: DbBackend, query: &Query, owner: Option<(PersonId, u32)>) -> String {
    let (quote, begins, and, not) = match backend {
        DbBackend::Sqlite => ('"', "*", " AND ", " NOT "),
        _ => ('\'', ":*", " & ", " & !"),
    };
    let word = |term: &Term, at: usize| {
        let begins = if term.prefix && at + 1 == term.words.len() { begins } else { "" };
        format!("{quote}{}{quote}{begins}", term.words[at])
    };
    let owner = owner.map(|(person, uid)| format!("{quote}{}{quote}", owners(person.0, uid.into())));
    let wanted = query.wanted.iter().flat_map(|term| (0..term.words.len()).map(move |at| word(term, at)));
    let mut text = owner.into_iter().chain(wanted).collect::<Vec<_>>().join(and);
    if backend == DbBackend::Sqlite {
        text = format!("({text})");
    }
    // Words that may be there, only not one after the other, are looked up in the text.
    for term in query.unwanted.iter().filter(|term| term.words.len() == 1) {
        text.push_str(not);
        text.push_str(&word(term, 0));
    }
    text
}

/// Puts entries of a session into the index, the first of them as number `first`; twice is once. In the transaction
/// that keeps them.
///
/// # Errors
/// The database.
pub async fn index(conn: &Conn, session: SessionId, first: i64, entries: &[Entry]) -> Result<(), StoreError> {
    let numbered: Vec<(i64, &Entry)> = (first..).zip(entries).collect();
    index_these(conn, session, &numbered).await
}

async fn index_these(conn: &Conn, session: SessionId, entries: &[(i64, &Entry)]) -> Result<(), StoreError> {
    let Some((person, uid)) = owner_of(conn, session).await? else { return Ok(()) };
    let owner = owners(person, uid);
    let backend = conn.get_database_backend();
    for chunk in entries.chunks(transcript::ROWS) {
        let words = chunk.iter().map(|(seq, entry)| (*seq, distinct(&text(entry)), &owner));
        match backend {
            DbBackend::Sqlite => {
                let places = inserted(conn, backend, session, chunk).await?;
                let rows: Vec<(i64, String)> = words
                    .filter_map(|(seq, words, owner)| {
                        let place = places.iter().find(|(_, kept)| *kept == seq)?.0;
                        let text: String =
                            words.iter().chain([owner]).flat_map(|word| [word.as_str(), " "]).collect();
                        Some((place, text))
                    })
                    .collect();
                if rows.is_empty() {
                    continue;
                }
                let holes: Vec<String> =
                    (0..rows.len()).map(|row| format!("(${}, ${})", row * 2 + 1, row * 2 + 2)).collect();
                let values: Vec<Value> =
                    rows.into_iter().flat_map(|(place, text)| [place.into(), text.into()]).collect();
                let sql = format!("INSERT INTO transcript_words (rowid, words) VALUES {}", holes.join(", "));
                conn.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
            }
            _ => {
                let mut values: Vec<Value> = vec![session.0.into()];
                let mut holes = Vec::with_capacity(chunk.len());
                for (seq, words, owner) in words {
                    let words: String =
                        words.iter().chain([owner]).map(|word| format!("'{word}' ")).collect();
                    holes.push(format!("($1, ${}, ${}::tsvector)", values.len() + 1, values.len() + 2));
                    values.extend([seq.into(), words.into()]);
                }
                let sql = format!(
                    "INSERT INTO transcript_index (session, seq, words) VALUES {} ON CONFLICT (session, seq) DO NOTHING",
                    holes.join(", ")
                );
                conn.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
            }
        }
    }
    Ok(())
}

/// Takes places for entries that have none; place and number of each.
async fn inserted(
    conn: &Conn,
    backend: DbBackend,
    session: SessionId,
    entries: &[(i64, &Entry)],
) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut values: Vec<Value> = vec![session.0.into()];
    values.extend(entries.iter().map(|(seq, _)| Value::from(*seq)));
    let holes: Vec<String> = (0..entries.len()).map(|row| format!("($1, ${})", row + 2)).collect();
    let sql = format!(
        "INSERT INTO transcript_index (session, seq) VALUES {} ON CONFLICT (session, seq) DO NOTHING RETURNING id, seq",
        holes.join(", ")
    );
    let rows = conn.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    rows.iter().map(|row| Ok((row.try_get("", "id")?, row.try_get("", "seq")?))).collect()
}

async fn owner_of(conn: &Conn, session: SessionId) -> Result<Option<(Uuid, i64)>, StoreError> {
    Ok(sessions::Entity::find_by_id(session.0)
        .select_only()
        .columns([sessions::Column::Owner, sessions::Column::OwnerUid])
        .into_tuple()
        .one(conn)
        .await?)
}

/// A session whose entries were kept before there was an index and may not be in it yet: the oldest.
///
/// # Errors
/// The database.
pub async fn backlog(conn: &Conn) -> Result<Option<SessionId>, StoreError> {
    let backend = conn.get_database_backend();
    let sql = "SELECT session FROM search_backlog ORDER BY session LIMIT 1";
    let row = conn.query_one_raw(Statement::from_string(backend, sql)).await?;
    Ok(row.map(|row| row.try_get("", "session")).transpose()?.map(SessionId))
}

/// Indexes at most `limit` entries of a session of the backlog, those after number `after`. Gives the number of the last
/// one; `None` once there are no more, and the session is out of the backlog.
///
/// # Errors
/// The database.
pub async fn fill(
    conn: &Conn,
    session: SessionId,
    after: i64,
    limit: u64,
) -> Result<Option<i64>, StoreError> {
    let place = Sql::select()
        .expr(Expr::val(1))
        .from("transcript_index")
        .and_where(Expr::col(("transcript_index", "session")).equals(("transcript_entries", "session")))
        .and_where(Expr::col(("transcript_index", "seq")).equals(("transcript_entries", "seq")))
        .take();
    let rows = transcript_entry::Entity::find()
        .filter(Column::Session.eq(session.0))
        .filter(Column::Seq.gt(after))
        .filter(Expr::exists(place).not())
        .order_by_asc(Column::Seq)
        .limit(limit)
        .all(conn)
        .await?;
    if rows.is_empty() {
        let backend = conn.get_database_backend();
        let sql = "DELETE FROM search_backlog WHERE session = $1";
        conn.execute_raw(Statement::from_sql_and_values(backend, sql, [session.0.into()])).await?;
        return Ok(None);
    }
    let entries: Vec<(i64, Entry)> =
        rows.into_iter().map(transcript::entry).collect::<Result<_, StoreError>>()?;
    let numbered: Vec<(i64, &Entry)> = entries.iter().map(|(seq, entry)| (*seq, entry)).collect();
    index_these(conn, session, &numbered).await?;
    Ok(numbered.last().map(|(seq, _)| *seq))
}

#[cfg(test)]
mod tests {
    use super::question;
    use crate::domain::person::PersonId;
    use crate::domain::query::Query;
    use sea_orm::DbBackend;
    use uuid::Uuid;

    #[test]
    fn what_engines_are_asked() {
        let query = Query::parse(r#"foo "b c" d* -e -"f g" OR NEAR(x) ')"#).unwrap();
        let owner = Some((PersonId(Uuid::nil()), 7));
        assert_eq!(
            question(DbBackend::Sqlite, &query, owner),
            r#"("=00000000000000000000000000000000=7" AND "foo" AND "b" AND "c" AND "d"* AND "or" AND "near" AND "x") NOT "e""#
        );
        assert_eq!(
            question(DbBackend::Postgres, &query, None),
            "'foo' & 'b' & 'c' & 'd':* & 'or' & 'near' & 'x' & !'e'"
        );
    }
}
