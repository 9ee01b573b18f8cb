//! What was used, by session, day and model, apart from the sessions: it stays when they are purged. What was kept
//! before is counted once. And whose and whose doing each row of activity is, so that a person's are found, as are what
//! was done with their tasks.

use crate::column;
use sea_orm_migration::sea_orm::ConnectionTrait as _;
use sea_orm_migration::sea_query::{
    Alias, ColumnDef, ForeignKey, ForeignKeyAction, Index, IndexOrder, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0016_usage"
    }
}

fn id(name: &str) -> Alias {
    Alias::new(name)
}

fn none_yet(name: &str) -> ColumnDef {
    column::number(name).default(0).take()
}

/// A day is 86,400,000,000 µs of UTC. What an agent's log says is bounded here, as it is where it is written: a moment
/// lies within its session's life, one answer is at most 1,000,000,000 tokens. A run is from a `started` to the row after
/// it, split at midnight.
const COUNT: &str = "
INSERT INTO usage_days (session, day, model, owner, owner_name, owner_uid, project, agent,
                        messages, input, cache_read, cache_write, output, running)
WITH RECURSIVE runs AS (
    SELECT session, kind, at AS since, LEAD(at) OVER (PARTITION BY session ORDER BY at, id) AS until
    FROM activity WHERE kind IN ('started', 'ended')
), pieces AS (
    SELECT session, since, until, since / 86400000000 AS day FROM runs
    WHERE kind = 'started' AND until > since AND since >= 0
    UNION ALL
    SELECT session, since, until, day + 1 FROM pieces WHERE (day + 1) * 86400000000 < until
), counted AS (
    SELECT id AS session, created / 86400000000 AS day, '' AS model,
           0 AS messages, 0 AS input, 0 AS cache_read, 0 AS output, 0 AS running
    FROM sessions
    UNION ALL
    SELECT session, created / 86400000000, '', 1, 0, 0, 0, 0 FROM messages
    UNION ALL
    SELECT session, day, '', 0, 0, 0, 0,
           CASE WHEN until < (day + 1) * 86400000000 THEN until ELSE (day + 1) * 86400000000 END
           - CASE WHEN since > day * 86400000000 THEN since ELSE day * 86400000000 END
    FROM pieces
    UNION ALL
    SELECT u.session,
           CASE WHEN u.at IS NULL OR u.at < s.created THEN s.created
                WHEN u.at > s.last_activity THEN s.last_activity ELSE u.at END / 86400000000,
           COALESCE(NULLIF(SUBSTR(u.model, 1, 100), ''), 'unknown'), 0,
           CASE WHEN u.input > 1000000000 THEN 1000000000 ELSE u.input END,
           CASE WHEN u.cached > 1000000000 THEN 1000000000 ELSE u.cached END,
           CASE WHEN u.output > 1000000000 THEN 1000000000 ELSE u.output END, 0
    FROM usage u JOIN sessions s ON s.id = u.session
)
SELECT s.id, c.day, c.model, s.owner, s.owner_name, s.owner_uid, COALESCE(s.project, s.project_path), s.agent,
       SUM(c.messages), SUM(c.input), SUM(c.cache_read), 0, SUM(c.output), SUM(c.running)
FROM counted c JOIN sessions s ON s.id = c.session
GROUP BY s.id, c.day, c.model, s.owner, s.owner_name, s.owner_uid, s.project, s.project_path, s.agent";

/// What runs now is counted from when it began.
const RUNNING: &str = "
INSERT INTO usage_running (session, since)
SELECT id, COALESCE((SELECT MAX(a.at) FROM activity a WHERE a.session = s.id AND a.kind = 'started'), created)
FROM sessions s WHERE status IN ('running', 'ending')";

const OWNERS: &str = "
UPDATE activity SET owner = (SELECT s.owner FROM sessions s WHERE s.id = activity.session),
                    owner_uid = (SELECT s.owner_uid FROM sessions s WHERE s.id = activity.session)";

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.alter_table(Table::alter().table(id("usage")).add_column(none_yet("cache_write")).take()).await?;

        // The session is no foreign key: what was used stays countable when it is purged. No model: the session itself.
        m.create_table(
            Table::create()
                .table(id("usage_days"))
                .col(column::uuid("session"))
                .col(column::number("day"))
                .col(column::text("model"))
                .col(column::uuid("owner"))
                .col(column::text("owner_name"))
                .col(column::uid("owner_uid"))
                .col(column::text("project"))
                .col(column::text("agent"))
                .col(none_yet("messages"))
                .col(none_yet("input"))
                .col(none_yet("cache_read"))
                .col(none_yet("cache_write"))
                .col(none_yet("output"))
                .col(none_yet("running"))
                .primary_key(Index::create().col(id("session")).col(id("day")).col(id("model")))
                .take(),
        )
        .await?;
        m.create_index(Index::create().name("usage_days_all").table(id("usage_days")).col(id("day")).take())
            .await?;
        m.create_index(
            Index::create()
                .name("usage_days_mine")
                .table(id("usage_days"))
                .col(id("owner"))
                .col(id("owner_uid"))
                .col(id("day"))
                .take(),
        )
        .await?;

        // From when on a session's running is still to be counted.
        m.create_table(
            Table::create()
                .table(id("usage_running"))
                .col(column::uuid("session").primary_key())
                .col(column::number("since"))
                .foreign_key(
                    ForeignKey::create()
                        .from(id("usage_running"), id("session"))
                        .to(id("sessions"), id("id"))
                        .on_delete(ForeignKeyAction::Cascade),
                )
                .take(),
        )
        .await?;

        for column in [column::text_null("actor"), column::uuid_null("owner"), column::uid_null("owner_uid")]
        {
            m.alter_table(Table::alter().table(id("activity")).add_column(column).take()).await?;
        }
        for sql in [COUNT, RUNNING, OWNERS] {
            m.get_connection().execute_unprepared(sql).await?;
        }
        m.create_index(
            Index::create()
                .name("activity_mine")
                .table(id("activity"))
                .col(id("owner"))
                .col((id("at"), IndexOrder::Desc))
                .col((id("id"), IndexOrder::Desc))
                .take(),
        )
        .await?;
        // Serves what `activity_old` was for, too.
        m.create_index(
            Index::create()
                .name("activity_all")
                .table(id("activity"))
                .col((id("at"), IndexOrder::Desc))
                .col((id("id"), IndexOrder::Desc))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("task_events_of_assignee")
                .table(id("task_events"))
                .col(id("assignee"))
                .col((id("at"), IndexOrder::Desc))
                .col((id("id"), IndexOrder::Desc))
                .take(),
        )
        .await?;
        m.drop_index(Index::drop().name("activity_old").table(id("activity")).to_owned()).await
    }
}
