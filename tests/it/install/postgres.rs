//! The roles on PostgreSQL as `etc/postgresql/teleclaude.sql` makes them: the daemon's works, and cannot touch what is
//! written down.

use super::{repository, said};
use crate::postgres::{Cluster, NOW};
use secrecy::SecretString;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::{Engine, Options, Store, migrate_now};
use tokio::time::Instant;

const COMPUTER: &str = "here";

fn psql(cluster: &Cluster, user: &str, args: &[&str]) -> Output {
    let database = if user == "teleclaude" { "teleclaude" } else { "postgres" };
    // The last -U counts.
    cluster.tool("psql").args(["-X", "-q", "-U", user, "-d", database]).args(args).output().unwrap()
}

/// Run by the superuser, as an operator would.
fn grants(cluster: &Cluster) {
    // The server's user reads it, who may not look into the repository: by standard input.
    let file = repository().join("etc/postgresql/teleclaude.sql");
    let input = std::fs::File::open(file).unwrap();
    let output =
        cluster.tool("psql").args(["-X", "-q", "-d", "postgres", "-f", "-"]).stdin(input).output().unwrap();
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

fn as_role(cluster: &Cluster, role: &str) -> Engine {
    let url = cluster.url("teleclaude");
    Engine::Postgres { url: SecretString::from(format!("{url}&options=-c%20role%3D{role}")) }
}

fn as_daemon(cluster: &Cluster) -> Engine {
    let url = cluster.url("teleclaude").replace("//teleclaude_test@", "//teleclaude@");
    Engine::Postgres { url: SecretString::from(url) }
}

async fn serve_and_write_down(cluster: &Cluster) {
    let options = Options { engine: as_daemon(cluster), computer: COMPUTER.to_owned(), auto_migrate: false };
    let store = Store::open(options, Arc::new(|| Timestamp::from_micros(NOW))).await.unwrap();
    let draft = AuditDraft::by_daemon(7, "daemon.start", AuditOutcome::Success, Timestamp::from_micros(NOW));
    store.append(Instant::now() + Duration::from_secs(30), draft).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_daemons_role_writes_down_and_cannot_take_back() {
    let cluster = Cluster::start();
    grants(&cluster);
    let owner = as_role(&cluster, "teleclaude_owner");
    let steps = migrate_now(owner.clone(), COMPUTER, Timestamp::from_micros(NOW)).await.unwrap();
    assert!(!steps.is_empty());
    grants(&cluster);
    // As often as one likes.
    grants(&cluster);
    serve_and_write_down(&cluster).await;

    for (sql, allowed) in [
        ("SELECT count(*) FROM audit_log", true),
        ("SELECT count(*) FROM sessions", true),
        ("DELETE FROM sessions", true),
        ("UPDATE audit_log SET actor = 'nobody'", false),
        ("DELETE FROM audit_log", false),
        ("TRUNCATE audit_log", false),
        ("ALTER TABLE audit_log DISABLE TRIGGER ALL", false),
        ("DROP TABLE audit_log", false),
        (
            "CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            false,
        ),
        ("DROP TRIGGER audit_log_chain ON audit_log", false),
        (
            "CREATE TRIGGER mine BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()",
            false,
        ),
        ("CREATE RULE mine AS ON INSERT TO audit_log DO INSTEAD NOTHING", false),
        ("BEGIN; LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE", false),
        (
            "INSERT INTO audit_log SELECT * FROM audit_log ON CONFLICT (computer, seq) DO UPDATE SET actor = 'nobody'",
            false,
        ),
        ("SET session_replication_role = replica", false),
        ("ALTER TABLE audit_log OWNER TO teleclaude", false),
        // In a schema of one's own, or for a moment, a table could stand before the log.
        ("CREATE TEMP TABLE audit_log (x int)", false),
        ("CREATE SCHEMA mine", false),
        ("SELECT count(*) FROM inbox", true),
        ("DELETE FROM inbox", true),
        ("CREATE TABLE mine (x int)", false),
        ("DELETE FROM seaql_migrations", false),
        ("SET ROLE teleclaude_owner", false),
    ] {
        let output = psql(&cluster, "teleclaude", &["-v", "ON_ERROR_STOP=1", "-c", sql]);
        let text = said(&output);
        assert_eq!(output.status.success(), allowed, "{sql}: {text}");
        // Refused by the rights, not by a trigger.
        let right = ["permission denied", "must be owner"].iter().any(|words| text.contains(words));
        assert!(allowed || right, "{sql}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_table_of_the_log_can_be_changed_and_none_is_forgotten() {
    let cluster = Cluster::start();
    grants(&cluster);
    let owner = as_role(&cluster, "teleclaude_owner");
    migrate_now(owner, COMPUTER, Timestamp::from_micros(NOW)).await.unwrap();
    grants(&cluster);
    let ask = |sql: &str| {
        let output = psql(&cluster, "teleclaude", &["-t", "-A", "-c", sql]);
        assert!(output.status.success(), "{sql}: {}", said(&output));
        said(&output).trim().to_owned()
    };
    let of_the_log =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'audit\\_%'";
    assert_ne!(ask(of_the_log), "0");
    let may = "has_table_privilege(format('%I.%I', schemaname, tablename)::regclass";
    assert_eq!(
        ask(&format!("{of_the_log} AND {may}, 'UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')")),
        "0"
    );
    let others = "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE \
                  'audit\\_%' AND tablename <> 'seaql_migrations'";
    let unusable = format!(
        "{others} AND NOT ({may}, 'SELECT') AND {may}, 'INSERT') AND {may}, 'UPDATE') AND {may}, 'DELETE'))"
    );
    assert_eq!(ask(&unusable), "", "tables that the daemon cannot use");
    // With the schema brought up by its owner, the daemon only looks whether it is the one it knows.
    serve_and_write_down(&cluster).await;
    let sql = "DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)";
    let output = cluster.tool("psql").args(["-X", "-q", "-d", "teleclaude", "-c", sql]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let options = Options { engine: as_daemon(&cluster), computer: COMPUTER.to_owned(), auto_migrate: false };
    let refused = Store::open(options, Arc::new(|| Timestamp::from_micros(NOW))).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("teleclaude db migrate"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_database_of_one_role_becomes_one_of_two() {
    let cluster = Cluster::start();
    for sql in ["CREATE ROLE teleclaude LOGIN", "CREATE DATABASE teleclaude OWNER teleclaude"] {
        let output = psql(&cluster, "teleclaude_test", &["-c", sql]);
        assert!(output.status.success(), "{}", said(&output));
    }
    migrate_now(as_daemon(&cluster), COMPUTER, Timestamp::from_micros(NOW)).await.unwrap();
    grants(&cluster);
    serve_and_write_down(&cluster).await;
    let output = psql(&cluster, "teleclaude", &["-c", "ALTER TABLE audit_log DISABLE TRIGGER ALL"]);
    assert!(said(&output).contains("must be owner"), "{}", said(&output));
}
