//! The audit log: append-only, one chain a computer. Triggers refuse every change to a row and every row that does
//! not follow its chain's head; they guard against mistakes, not against the owner of the database.

use crate::column;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::sea_query::{
    Alias, ColumnDef, ConditionalStatement, Expr, ExprTrait, Index, IndexOrder, Table,
};
use sea_orm_migration::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0003_audit"
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
                .table(id("audit_log"))
                .col(column::text("computer"))
                .col(column::number("seq").check(Expr::col(id("seq")).gte(1i64)))
                .col(column::number("at"))
                .col(column::text("actor"))
                .col(column::uid("actor_uid"))
                .col(column::word("actor_role", &["public", "newcomer", "contributor", "member", "admin"]))
                .col(column::text("via"))
                .col(column::text("action"))
                .col(column::word("outcome", &["success", "denied", "failure"]))
                .col(column::text_null("session"))
                .col(column::text_null("owner"))
                .col(column::text_null("target_kind"))
                .col(column::text_null("target_id"))
                .col(column::text_null("reason"))
                .col(column::text("request_id"))
                .col(column::text_null("detail"))
                .col(ColumnDef::new(id("prev_hash")).blob().not_null())
                .col(ColumnDef::new(id("hash")).blob().not_null())
                .primary_key(Index::create().col(id("computer")).col(id("seq")))
                .take(),
        )
        .await?;
        m.create_index(
            Index::create()
                .name("audit_log_prev_hash")
                .table(id("audit_log"))
                .col(id("computer"))
                .col(id("prev_hash"))
                .unique()
                .take(),
        )
        .await?;
        for (name, first) in [
            ("audit_log_page", None),
            ("audit_log_actor", Some("actor")),
            ("audit_log_session", Some("session")),
            ("audit_log_owner", Some("owner")),
        ] {
            let mut index = Index::create().name(name).table(id("audit_log")).take();
            if let Some(first) = first {
                index.col(id(first));
            }
            index
                .col((id("at"), IndexOrder::Desc))
                .col((id("computer"), IndexOrder::Desc))
                .col((id("seq"), IndexOrder::Desc));
            if matches!(first, Some("session" | "owner")) {
                index.and_where(Expr::col(id(first.unwrap_or_default())).is_not_null());
            }
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

/// REPLACE INTO fires no DELETE trigger here, but what it would replace breaks the chain check.
const SQLITE: &str = "
CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only'); END;
CREATE TRIGGER audit_log_chain BEFORE INSERT ON audit_log
WHEN length(NEW.prev_hash) <> 32 OR length(NEW.hash) <> 32
  OR NEW.seq <> coalesce((SELECT max(seq) FROM audit_log WHERE computer = NEW.computer), 0) + 1
  OR NEW.prev_hash <> coalesce(
       (SELECT hash FROM audit_log WHERE computer = NEW.computer ORDER BY seq DESC LIMIT 1), zeroblob(32))
BEGIN SELECT RAISE(ABORT, 'audit_log chain break'); END;
";

const POSTGRES: &str = "
CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
  RAISE EXCEPTION 'audit_log is append-only';
END $fn$;
CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_refuse();
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse();
CREATE FUNCTION audit_log_check() RETURNS trigger LANGUAGE plpgsql AS $fn$
DECLARE
  head record;
BEGIN
  SELECT seq, hash INTO head FROM audit_log WHERE computer = NEW.computer ORDER BY seq DESC LIMIT 1;
  IF NOT FOUND THEN
    head.seq := 0;
    head.hash := decode(repeat('00', 32), 'hex');
  END IF;
  IF NEW.seq <> head.seq + 1 OR NEW.prev_hash <> head.hash
     OR length(NEW.prev_hash) <> 32 OR length(NEW.hash) <> 32 THEN
    RAISE EXCEPTION 'audit_log chain break';
  END IF;
  RETURN NEW;
END $fn$;
CREATE TRIGGER audit_log_chain BEFORE INSERT ON audit_log
  FOR EACH ROW EXECUTE FUNCTION audit_log_check();
";
