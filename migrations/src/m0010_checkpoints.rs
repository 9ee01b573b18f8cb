//! Signed checkpoints of the audit chains, append-only as the log is; legal holds; and the indexes that listing the
//! log by action and by outcome needs.

use crate::column;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::sea_query::{Alias, ConditionalStatement, Expr, ExprTrait, Index, IndexOrder, Table};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0010_checkpoints"
    }
}

fn id(name: &str) -> Alias {
    Alias::new(name)
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, m: &SchemaManager) -> Result<(), DbErr> {
        m.create_table(
            Table::create()
                .table(id("audit_checkpoints"))
                .col(column::text("computer"))
                .col(column::number("seq").check(Expr::col(id("seq")).gte(0i64)))
                .col(column::number("at"))
                .col(column::text("note"))
                .primary_key(Index::create().col(id("computer")).col(id("seq")).col(id("at")))
                .take(),
        )
        .await?;
        m.create_table(
            Table::create()
                .table(id("audit_holds"))
                .col(column::uuid("id").primary_key())
                .col(column::word("kind", &["session", "person", "everything"]))
                .col(column::text("target"))
                .col(column::text("reason"))
                .col(column::text("placed_by"))
                .col(column::number("placed"))
                .take(),
        )
        .await?;
        // A hold that is released is not changed: the daemon's role may add to the tables of the log, and no more.
        m.create_table(
            Table::create()
                .table(id("audit_hold_releases"))
                .col(column::uuid("hold").primary_key())
                .col(column::text("released_by"))
                .col(column::number("released"))
                .take(),
        )
        .await?;
        for (name, first) in [("audit_log_action", Some("action")), ("audit_log_failed", None)] {
            let mut index = Index::create().name(name).table(id("audit_log")).take();
            match first {
                Some(first) => index.col(id(first)),
                // What went well is nearly everything: for that the log's own order is the best index.
                None => index.col(id("outcome")).and_where(Expr::col(id("outcome")).ne("success")),
            };
            index
                .col((id("at"), IndexOrder::Desc))
                .col((id("computer"), IndexOrder::Desc))
                .col((id("seq"), IndexOrder::Desc));
            m.create_index(index).await?;
        }
        let triggers = match m.get_database_backend() {
            DbBackend::Sqlite => SQLITE,
            _ => POSTGRES,
        };
        m.get_connection().execute_unprepared(triggers).await?;
        Ok(())
    }
}

const SQLITE: &str = "
CREATE TRIGGER audit_checkpoints_no_update BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END;
CREATE TRIGGER audit_checkpoints_no_delete BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END;
CREATE TRIGGER audit_checkpoints_no_replace BEFORE INSERT ON audit_checkpoints
WHEN EXISTS (SELECT 1 FROM audit_checkpoints
  WHERE computer = NEW.computer AND seq = NEW.seq AND at = NEW.at)
BEGIN SELECT RAISE(ABORT, 'audit_checkpoints is append-only'); END;
CREATE TRIGGER audit_holds_no_update BEFORE UPDATE ON audit_holds
BEGIN SELECT RAISE(ABORT, 'audit_holds is append-only'); END;
CREATE TRIGGER audit_holds_no_delete BEFORE DELETE ON audit_holds
BEGIN SELECT RAISE(ABORT, 'holds are released, not deleted'); END;
CREATE TRIGGER audit_holds_no_replace BEFORE INSERT ON audit_holds
WHEN EXISTS (SELECT 1 FROM audit_holds WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit_holds is append-only'); END;
CREATE TRIGGER audit_hold_releases_no_update BEFORE UPDATE ON audit_hold_releases
BEGIN SELECT RAISE(ABORT, 'audit_hold_releases is append-only'); END;
CREATE TRIGGER audit_hold_releases_no_delete BEFORE DELETE ON audit_hold_releases
BEGIN SELECT RAISE(ABORT, 'audit_hold_releases is append-only'); END;
CREATE TRIGGER audit_hold_releases_no_replace BEFORE INSERT ON audit_hold_releases
WHEN EXISTS (SELECT 1 FROM audit_hold_releases WHERE hold = NEW.hold)
BEGIN SELECT RAISE(ABORT, 'audit_hold_releases is append-only'); END;
";

const POSTGRES: &str = "
CREATE FUNCTION audit_checkpoints_refuse() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $fn$;
CREATE TRIGGER audit_checkpoints_no_change BEFORE UPDATE OR DELETE ON audit_checkpoints
  FOR EACH ROW EXECUTE FUNCTION audit_checkpoints_refuse();
CREATE TRIGGER audit_checkpoints_no_truncate BEFORE TRUNCATE ON audit_checkpoints
  FOR EACH STATEMENT EXECUTE FUNCTION audit_checkpoints_refuse();
CREATE TRIGGER audit_holds_no_change BEFORE UPDATE OR DELETE ON audit_holds
  FOR EACH ROW EXECUTE FUNCTION audit_checkpoints_refuse();
CREATE TRIGGER audit_holds_no_truncate BEFORE TRUNCATE ON audit_holds
  FOR EACH STATEMENT EXECUTE FUNCTION audit_checkpoints_refuse();
CREATE TRIGGER audit_hold_releases_no_change BEFORE UPDATE OR DELETE ON audit_hold_releases
  FOR EACH ROW EXECUTE FUNCTION audit_checkpoints_refuse();
CREATE TRIGGER audit_hold_releases_no_truncate BEFORE TRUNCATE ON audit_hold_releases
  FOR EACH STATEMENT EXECUTE FUNCTION audit_checkpoints_refuse();
";
