//! What was used, by session, day and model: counted where it happens, in the transaction in which it is kept, and
//! never taken back. The rows outlive their sessions. A row without a model is the session's own: its messages and its
//! running; tokens stand under the model that answered.

use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::Usage;
use crate::domain::usage::{By, DAY, Day, Group, Key, UsageQuery, Used};
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Tokens of one answer, at most: what a log says beyond is not believed.
const TOKENS_MAX: u64 = 1_000_000_000;
/// Characters of a model's name, at most.
pub(super) const MODEL_CHARS: usize = 100;
/// The name of a model that its agent does not name.
const UNKNOWN: &str = "unknown";
/// Whose the counts of people are who were removed; no person's name has brackets.
pub const REMOVED: &str = "(removed)";
/// Days over which one stretch of running is spread, at most: a clock that jumped is not believed.
const DAYS_MAX: i64 = 366;

/// A session was made.
pub(super) async fn began(conn: &Conn, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
    add(conn, session, Day::of(at), "", &Used::default()).await
}

/// A message was sent to it.
pub(super) async fn message(conn: &Conn, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
    add(conn, session, Day::of(at), "", &Used { messages: 1, ..Used::default() }).await
}

/// Models answered in it. A moment that no answer can have had, before the session was or after `now`, is not believed.
pub(super) async fn answers(
    conn: &Conn,
    session: SessionId,
    costs: &[Usage],
    now: Timestamp,
) -> Result<(), StoreError> {
    if costs.is_empty() {
        return Ok(());
    }
    let sql = "SELECT created FROM sessions WHERE id = $1";
    let Some(row) = conn.query_one_raw(statement(conn, sql, vec![session.0.into()])).await? else {
        return Ok(());
    };
    let created = Timestamp::from_micros(row.try_get("", "created")?);
    let tokens = |n: u64| i64::try_from(n.min(TOKENS_MAX)).unwrap_or(0);
    let mut days: BTreeMap<(Day, String), Used> = BTreeMap::new();
    for cost in costs {
        let at = cost.at.unwrap_or(now).min(now).max(created);
        let used = days.entry((Day::of(at), model(cost.model.as_deref()))).or_default();
        used.input += tokens(cost.input);
        used.cache_read += tokens(cost.cached);
        used.cache_write += tokens(cost.cache_write);
        used.output += tokens(cost.output);
    }
    for ((day, model), used) in days {
        add(conn, session, day, &model, &used).await?;
    }
    Ok(())
}

/// A model's name as it is kept.
fn model(name: Option<&str>) -> String {
    let name: String = name.unwrap_or_default().chars().take(MODEL_CHARS).collect();
    if name.is_empty() { UNKNOWN.to_owned() } else { crate::store::clean(name) }
}

/// Its agent runs from `at` on.
pub(super) async fn runs(conn: &Conn, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO usage_running (session, since) VALUES ($1, $2) ON CONFLICT (session) DO NOTHING";
    execute(conn, sql, vec![session.0.into(), at.micros().into()]).await
}

/// Its agent runs no more, since `until`; `None`: nobody saw when it stopped, and only what was counted before counts.
pub(super) async fn stopped(
    conn: &Conn,
    session: SessionId,
    until: Option<Timestamp>,
) -> Result<(), StoreError> {
    if let Some(until) = until {
        ran(conn, session, until).await?;
    }
    execute(conn, "DELETE FROM usage_running WHERE session = $1", vec![session.0.into()]).await
}

/// Counts how long a session has run until now; doing it twice counts nothing twice. Nothing for one that does not run.
///
/// # Errors
/// The database.
pub async fn ran(conn: &Conn, session: SessionId, until: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT since FROM usage_running WHERE session = $1";
    let Some(row) = conn.query_one_raw(statement(conn, sql, vec![session.0.into()])).await? else {
        return Ok(());
    };
    let (since, until): (i64, i64) = (row.try_get("", "since")?, until.micros());
    let mut from = since.max(until.saturating_sub(DAYS_MAX * DAY)).max(0);
    while from < until {
        let day = Day::of(Timestamp::from_micros(from));
        let to = until.min((day.number() + 1) * DAY);
        add(conn, session, day, "", &Used { running: to - from, ..Used::default() }).await?;
        from = to.max(from + 1);
    }
    let sql = "UPDATE usage_running SET since = $2 WHERE session = $1";
    execute(conn, sql, vec![session.0.into(), until.max(since).into()]).await
}

/// Sessions of a computer whose running is counted up to a moment before `before`, in the order of their ids, after
/// session `after`.
///
/// # Errors
/// The database.
pub async fn running(
    conn: &Conn,
    computer: &str,
    before: Timestamp,
    after: Option<SessionId>,
    limit: u64,
) -> Result<Vec<SessionId>, StoreError> {
    let sql = "SELECT r.session FROM usage_running r JOIN sessions s ON s.id = r.session \
               WHERE s.computer = $1 AND r.since < $2 AND r.session > $3 ORDER BY r.session LIMIT $4";
    let values = vec![
        computer.into(),
        before.micros().into(),
        after.map_or(Uuid::nil(), |session| session.0).into(),
        i64::try_from(limit).unwrap_or(i64::MAX).into(),
    ];
    let rows = conn.query_all_raw(statement(conn, sql, values)).await?;
    rows.iter().map(|row| Ok(SessionId(row.try_get("", "session")?))).collect()
}

/// Adds to a day of a session that is still there.
async fn add(conn: &Conn, session: SessionId, day: Day, model: &str, used: &Used) -> Result<(), StoreError> {
    let sql = "INSERT INTO usage_days (session, day, model, owner, owner_name, owner_uid, project, agent, \
               messages, input, cache_read, cache_write, output, running) \
               SELECT id, CAST($2 AS bigint), CAST($3 AS text), owner, owner_name, owner_uid, \
               COALESCE(project, project_path), agent, CAST($4 AS bigint), CAST($5 AS bigint), \
               CAST($6 AS bigint), CAST($7 AS bigint), CAST($8 AS bigint), CAST($9 AS bigint) \
               FROM sessions WHERE id = $1 \
               ON CONFLICT (session, day, model) DO UPDATE SET messages = usage_days.messages + excluded.messages, \
               input = usage_days.input + excluded.input, cache_read = usage_days.cache_read + excluded.cache_read, \
               cache_write = usage_days.cache_write + excluded.cache_write, \
               output = usage_days.output + excluded.output, running = usage_days.running + excluded.running";
    let values = vec![
        session.0.into(),
        day.number().into(),
        model.into(),
        used.messages.into(),
        used.input.into(),
        used.cache_read.into(),
        used.cache_write.into(),
        used.output.into(),
        used.running.into(),
    ];
    execute(conn, sql, values).await
}

/// Takes the name of a person who is removed off what they used; the counts stay.
///
/// # Errors
/// The database.
pub async fn forget(conn: &Conn, owner: PersonId) -> Result<(), StoreError> {
    let sql = "UPDATE usage_days SET owner_name = $2 WHERE owner = $1";
    execute(conn, sql, vec![owner.0.into(), REMOVED.into()]).await
}

/// A page of groups, told apart by something, in the order of their keys; only of `owner`, this person at this uid, if given.
///
/// # Errors
/// The database.
pub async fn page(
    conn: &Conn,
    query: &UsageQuery,
    owner: Option<(PersonId, u32)>,
) -> Result<Vec<Group>, StoreError> {
    let mut asked = Asked::new(conn, query, owner);
    let columns: Vec<String> = query.by.iter().map(|by| asked.ordered(*by)).collect();
    let mut sql = String::from("SELECT ");
    for by in &query.by {
        sql.push_str(&format!("{}, ", column(*by)));
    }
    sql.push_str(&sums());
    if let Some(after) = &query.after {
        let places: Vec<String> = after.iter().map(|key| asked.bind(key_value(key))).collect();
        asked.wheres.push(format!("({}) > ({})", columns.join(", "), places.join(", ")));
    }
    sql.push_str(&asked.from());
    let plain: Vec<&str> = query.by.iter().map(|by| column(*by)).collect();
    let limit = asked.bind(i64::try_from(query.limit).unwrap_or(i64::MAX).into());
    sql.push_str(&format!(" GROUP BY {} ORDER BY {} LIMIT {limit}", plain.join(", "), columns.join(", ")));
    let rows = conn.query_all_raw(statement(conn, &sql, asked.values)).await?;
    rows.iter().map(|row| group(row, &query.by)).collect()
}

/// The sum of all groups.
///
/// # Errors
/// The database.
pub async fn sum(
    conn: &Conn,
    query: &UsageQuery,
    owner: Option<(PersonId, u32)>,
) -> Result<Used, StoreError> {
    let asked = Asked::new(conn, query, owner);
    let sql = format!("SELECT {}{}", sums(), asked.from());
    let row = conn.query_one_raw(statement(conn, &sql, asked.values)).await?;
    row.as_ref().map_or(Ok(Used::default()), used)
}

/// A query that grows.
struct Asked {
    backend: DbBackend,
    wheres: Vec<String>,
    values: Vec<Value>,
}

impl Asked {
    fn new(conn: &Conn, query: &UsageQuery, owner: Option<(PersonId, u32)>) -> Self {
        let backend = conn.get_database_backend();
        let mut asked = Self { backend, wheres: Vec::new(), values: Vec::new() };
        if let Some((person, uid)) = owner {
            asked.only("owner = ", person.0.into());
            asked.only("owner_uid = ", i64::from(uid).into());
        }
        asked.only("day >= ", query.since.number().into());
        asked.only("day <= ", query.until.number().into());
        for (column, name) in [
            ("owner_name = ", &query.person),
            ("project = ", &query.project),
            ("agent = ", &query.agent),
            ("model = ", &query.model),
        ] {
            if let Some(name) = name {
                asked.only(column, name.as_str().into());
            }
        }
        if query.is_of_models() {
            asked.wheres.push("model <> ''".to_owned());
        }
        asked
    }

    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn only(&mut self, column: &str, value: Value) {
        let place = self.bind(value);
        self.wheres.push(format!("{column}{place}"));
    }

    /// As keys are ordered and compared: names byte by byte, whatever the database's locale.
    fn ordered(&self, by: By) -> String {
        match (by, self.backend) {
            (By::Day, _) | (_, DbBackend::Sqlite) => column(by).to_owned(),
            (by, _) => format!("{} COLLATE \"C\"", column(by)),
        }
    }

    fn from(&self) -> String {
        format!(" FROM usage_days WHERE {}", self.wheres.join(" AND "))
    }
}

fn sums() -> String {
    let mut sums = "CAST(COUNT(DISTINCT session) AS bigint) AS sessions".to_owned();
    for name in ["messages", "input", "cache_read", "cache_write", "output", "running"] {
        // Postgres adds bigints up to a numeric, which is no bigint. Over no row a sum is nothing.
        sums.push_str(&format!(", CAST(COALESCE(SUM({name}), 0) AS bigint) AS {name}_sum"));
    }
    sums
}

const fn column(by: By) -> &'static str {
    match by {
        By::Person => "owner_name",
        By::Project => "project",
        By::Agent => "agent",
        By::Model => "model",
        By::Day => "day",
    }
}

fn key_value(key: &Key) -> Value {
    match key {
        Key::Name(name) => name.as_str().into(),
        Key::Day(day) => day.number().into(),
    }
}

fn group(row: &QueryResult, by: &[By]) -> Result<Group, StoreError> {
    let mut key = Vec::with_capacity(by.len());
    for by in by {
        key.push(match by {
            By::Day => Key::Day(Day::from_number(row.try_get("", column(*by))?)),
            by => Key::Name(row.try_get("", column(*by))?),
        });
    }
    Ok(Group { key, used: used(row)? })
}

fn used(row: &QueryResult) -> Result<Used, StoreError> {
    Ok(Used {
        sessions: row.try_get("", "sessions")?,
        messages: row.try_get("", "messages_sum")?,
        input: row.try_get("", "input_sum")?,
        cache_read: row.try_get("", "cache_read_sum")?,
        cache_write: row.try_get("", "cache_write_sum")?,
        output: row.try_get("", "output_sum")?,
        running: row.try_get("", "running_sum")?,
    })
}

fn statement(conn: &Conn, sql: &str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(conn.get_database_backend(), sql, values)
}

async fn execute(conn: &Conn, sql: &str, values: Vec<Value>) -> Result<(), StoreError> {
    conn.execute_raw(statement(conn, sql, values)).await?;
    Ok(())
}
