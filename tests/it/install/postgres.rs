//! The roles on PostgreSQL as `etc/postgresql/teleclaude.sql` makes them: the daemon's is enough for all that a daemon
//! does, and cannot touch what is written down; what has to go of that goes by the owner's.

use super::{repository, said};
use crate::postgres::{Cluster, Db, NOW};
use crate::process;
use crate::search::say;
use crate::world::{ANN, BOB, World};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::daemon::{checkpoints, retention};
use teleclaude::domain::audit::{AuditDraft, AuditOutcome};
use teleclaude::domain::session::SessionId;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::domain::transcript::EntryKind;
use teleclaude::store::connect::{Engine, Options, Store, migrate_now};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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

fn daemons_url(cluster: &Cluster) -> String {
    cluster.url("teleclaude").replace("//teleclaude_test@", "//teleclaude@")
}

fn as_daemon(cluster: &Cluster) -> Engine {
    Engine::Postgres { url: SecretString::from(daemons_url(cluster)) }
}

/// A server as the installer leaves it.
async fn installed() -> Cluster {
    let cluster = Cluster::start();
    grants(&cluster);
    let owner = as_role(&cluster, "teleclaude_owner");
    migrate_now(owner, COMPUTER, Timestamp::from_micros(NOW)).await.unwrap();
    grants(&cluster);
    cluster
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
        ("UPDATE audit_checkpoints SET note = ''", false),
        ("DELETE FROM audit_checkpoints", false),
        ("UPDATE audit_holds SET kind = 'session'", false),
        ("DELETE FROM audit_holds", false),
        ("UPDATE audit_hold_releases SET released = 0", false),
        ("TRUNCATE audit_hold_releases", false),
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

/// Asks for something that has to be done.
async fn ok(world: &World, uid: u32, method: &str, path: &str, body: Option<Value>) -> Value {
    let answer = world.rest(uid, method, path, body).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
    answer.body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemons_role_is_enough_for_all_that_a_daemon_does() {
    let cluster = installed().await;
    let engine = as_daemon(&cluster);
    let agents = "agents:
  asker:
    enabled: true
    command: /bin/sh
    args:
      - -c
      - 'echo $TELECLAUDE_TOKEN > new-$TELECLAUDE_SESSION; mv new-$TELECLAUDE_SESSION token-$TELECLAUDE_SESSION; printf \"Proceed?\\n> 1. Yes\\n  2. No\\n\"; exec cat'
    transcript: claude
    resume: ['{id}']
    profiles: { full: [], restricted: [] }
";
    let world = World::everybody(Db::on(cluster, engine))
        .config(
            "roles:\n  member: { profile: full, requests_per_minute: 100000, burst: 10000 }\n  \
             admin: { steer_others: true, requests_per_minute: 100000, burst: 10000 }",
        )
        .config("retention: { transcripts_days: 1, recordings_days: 1, activity_days: 1 }")
        .config(agents)
        .start()
        .await;
    let start = json!({ "project": "work", "agent": "asker", "title": "one" });
    let id = ok(&world, BOB, "POST", "/sessions", Some(start.clone())).await;
    let id = id["session_id"].as_str().unwrap().to_owned();
    world.until(BOB, &id, |row| row["status"] == "running").await;
    let path = format!("/sessions/{id}");
    let token = world.path("project").join(format!("token-{id}"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !token.exists() {
        assert!(Instant::now() < deadline, "the agent never began");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let token = std::fs::read_to_string(token).unwrap().trim().to_owned();

    // The agent: a child that it is told of, and what it asks.
    let child = world.rest_with(BOB, "POST", "/sessions", Some(start), Some(&token)).await;
    let child = child.body["session_id"].as_str().unwrap().to_owned();
    for method in ["PUT", "DELETE", "PUT"] {
        let watched =
            world.rest_with(BOB, method, &format!("/sessions/{child}/watch"), None, Some(&token)).await;
        assert_eq!(watched.status, 200, "{watched:?}");
    }
    let hook = json!({ "event": "PermissionRequest", "input": {
        "session_id": "native-1", "hook_event_name": "PermissionRequest",
        "tool_name": "Bash", "tool_input": { "command": "true" },
    } });
    let heard = world.rest_with(BOB, "POST", "/hook", Some(hook), Some(&token)).await;
    assert_eq!(heard.status, 200, "{heard:?}");
    let asks = ok(&world, BOB, "GET", &path, None).await;
    let answer = json!({ "request_id": asks["needs_input"][0]["request_id"], "answer": "yes" });
    ok(&world, BOB, "POST", &format!("{path}/answer"), Some(answer)).await;

    // The owner.
    ok(&world, BOB, "POST", &format!("{path}/messages"), Some(json!({ "message": "hello" }))).await;
    ok(&world, BOB, "POST", &format!("{path}/interrupt"), Some(json!({}))).await;
    ok(&world, BOB, "PATCH", &path, Some(json!({ "title": "two" }))).await;
    ok(&world, BOB, "PATCH", &format!("{path}/labels"), Some(json!({ "set": { "a": "b" } }))).await;
    let of = SessionId(id.parse().unwrap());
    say(world.app.store(), of, 1, &[(EntryKind::Text, "a needle")]).await;
    assert_eq!(
        ok(&world, BOB, "GET", "/search?query=needle", None).await["hits"][0]["session_id"],
        json!(id)
    );
    ok(&world, BOB, "PUT", "/me/config", Some(json!({ "yaml": "thinking_mode: fast\n" }))).await;

    // An admin, and the owner who is told.
    let why = "reason=looking%20for%20it";
    ok(&world, ANN, "GET", &format!("{path}/transcript?{why}"), None).await;
    ok(&world, ANN, "GET", &format!("/search?query=needle&{why}"), None).await;
    assert_eq!(ok(&world, BOB, "GET", "/inbox", None).await["unread"], 2);
    ok(&world, BOB, "POST", "/inbox/read", Some(json!({ "mark_all": true }))).await;

    // Keys and credentials.
    ok(&world, ANN, "POST", "/keys", Some(json!({}))).await;
    ok(&world, BOB, "PUT", "/credentials/A_KEY", Some(json!({ "value": "sk-invented-1" }))).await;
    ok(&world, ANN, "POST", "/keys/rotate", Some(json!({}))).await;
    ok(&world, BOB, "DELETE", "/credentials/A_KEY", None).await;

    // What people write, and what is done now and then.
    let hello = json!({ "message": "hello", "into_session": id, "reason": "to say hello" });
    assert_eq!(ok(&world, ANN, "POST", "/people/bob/messages", Some(hello)).await["session_id"], json!(id));
    for job in ["heartbeat", "retention", "idle_sessions", "usage", "search_index", "prune"] {
        let done = ok(&world, ANN, "POST", &format!("/jobs/{job}/run"), None).await;
        assert_eq!(done["error"], Value::Null, "{done}");
    }

    // The log: a checkpoint, a hold and its release, a key, and no leave to prune.
    assert!(checkpoints::make(&world.app).await);
    let hold = json!({ "session_id": id, "reason": "case 12 of the court" });
    let hold = ok(&world, ANN, "POST", "/audit/holds", Some(hold)).await;
    let held = hold["id"].as_str().unwrap();
    let release = json!({ "reason": "the case is closed" });
    ok(&world, ANN, "POST", &format!("/audit/holds/{held}/release"), Some(release)).await;
    ok(&world, ANN, "POST", "/audit/keys/rotate", Some(json!({}))).await;
    let now = world.app.now().to_string();
    let refused = world.rest(ANN, "POST", "/audit/prune", Some(json!({ "before": now }))).await;
    assert_eq!((refused.status, &refused.body["code"]), (403, &json!("denied")), "{refused:?}");
    assert!(refused.body.to_string().contains("--owner-database"), "{refused:?}");

    // The end: resumed, ended, grown old, deleted.
    for round in 0..2 {
        ok(&world, BOB, "POST", &format!("{path}/end"), Some(json!({}))).await;
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        if round == 0 {
            ok(&world, BOB, "POST", &format!("{path}/resume"), Some(json!({}))).await;
            world.until(BOB, &id, |row| row["status"] == "running").await;
        }
    }
    let later = Timestamp::from_micros(world.app.now().micros() + 2 * 86_400 * 1_000_000);
    retention::delete_old(&world.app, later, &CancellationToken::new()).await.unwrap();
    let found = ok(&world, BOB, "GET", "/search?query=needle", None).await;
    assert_eq!(found["hits"], json!([]), "it is old: {found}");
    ok(&world, BOB, "DELETE", &path, None).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !world.audit().await.iter().any(|row| row["action"] == "session.purge" && row["actor"] == "daemon")
    {
        assert!(Instant::now() < deadline, "it is never deleted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.app.store().problem(), None);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_the_daemons_role_may_not_prune_the_owner_of_the_tables_does() {
    let cluster = installed().await;
    let mut world = process::World::single("database: { auto_migrate: false }")
        .with("TELECLAUDE_DATABASE__URL", &daemons_url(&cluster));
    world.up();
    for _ in 0..5 {
        assert!(world.run(None, &["audit", "list"]).status.success());
    }
    let prune = ["audit", "prune", "--before", "0s", "--yes"];
    let refused = world.run(None, &prune);
    let text = process::said(&refused);
    assert!(!refused.status.success() && text.contains("--owner-database"), "{text}");
    let url = daemons_url(&cluster);
    let daemons = [&prune[..], &["--owner-database", &url]].concat();
    let first = || world.run_json(None, &["audit", "verify"])["chains"][0]["first_seq"].as_i64().unwrap();
    assert_eq!(first(), 1);

    let owner = format!("{}&options=-c%20role%3Dteleclaude_owner", cluster.url("teleclaude"));
    let owners = [&prune[..], &["--owner-database", &owner]].concat();
    let output = world.run(None, &owners);
    assert!(output.status.success(), "{}", process::said(&output));
    assert!(process::said(&output).contains("were pruned"), "{}", process::said(&output));
    let cut = first();
    assert!(cut > 5, "rows up to {cut} are gone, and what is left proves itself");

    // The record alone moves nothing: a login that is not the owner's fails, and says so.
    let output = world.run(None, &daemons);
    assert!(!output.status.success(), "{}", process::said(&output));
    assert!(process::said(&output).contains("not all rows are gone"), "{}", process::said(&output));
    assert_eq!(first(), cut);
    let output = world.run(None, &owners);
    assert!(output.status.success() && first() > cut, "{}", process::said(&output));

    // The guard is back.
    let sql = "UPDATE audit_log SET actor = 'nobody'";
    let output = cluster.tool("psql").args(["-X", "-q", "-d", "teleclaude", "-c", sql]).output().unwrap();
    assert!(said(&output).contains("append-only"), "{}", said(&output));
}
