//! What the doctor says of a real PostgreSQL server, from one login for everything to a role that can only add.

use crate::doctor::machine::{Machine, NOW, SERVICE};
use crate::doctor::{E, N, W, is_root, run_async};
use crate::postgres::Cluster;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::install::doctor::{State, examine};
use teleclaude::platform::command::Output;
use teleclaude::store::connect::{Engine, migrate_now};

#[test]
fn a_postgres_server_says_how_safe_it_is() {
    if !is_root() {
        return;
    }
    let cluster = Cluster::start();
    let superuser = cluster.database("teleclaude");
    let machine = Machine::system();
    machine.config("runner:", &format!("database: {{ url: '{superuser}' }}\nrunner:"));
    let found = || {
        let report = machine.examine(&["database", "database-file", "postgres"]);
        report.findings.into_iter().map(|f| (f.check, f.found.state, f.found.seen)).collect::<Vec<_>>()
    };
    let execute = |url: &str, statements: &[&str]| {
        use sea_orm::ConnectionTrait as _;
        run_async(async {
            let conn = sea_orm::Database::connect(url).await.unwrap();
            for statement in statements {
                conn.execute_unprepared(statement).await.unwrap();
            }
            conn.close().await.unwrap();
        });
    };
    let says = |state: State, words: &str| {
        let found = found();
        assert!(
            found.iter().any(|(check, s, seen)| check == "postgres" && *s == state && seen.contains(words)),
            "{found:?}"
        );
    };
    says(W, "superuser");
    assert!(found()[0].2.contains("its schema lacks"), "an empty database: {:?}", found());

    // One role that owns everything.
    execute(
        &superuser,
        &["CREATE ROLE tc LOGIN", "CREATE ROLE tc_daemon LOGIN", "GRANT ALL ON SCHEMA public TO tc"],
    );
    let as_role = |role: &str| superuser.replacen("teleclaude_test@", &format!("{role}@"), 1);
    run_async(migrate_now(
        Engine::Postgres { url: as_role("tc").into() },
        "here",
        Timestamp::from_micros(NOW),
    ))
    .unwrap();
    machine.config(&superuser, &as_role("tc"));
    says(N, "one role for everything");
    assert_eq!((found()[0].0.as_str(), found()[0].1), ("database", State::Ok));
    assert!(!found().iter().any(|(check, ..)| check == "database-file"));

    // The daemon's own role.
    execute(
        &as_role("tc"),
        &[
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO tc_daemon",
            "GRANT INSERT ON audit_log TO tc_daemon",
        ],
    );
    machine.config(&as_role("tc"), &as_role("tc_daemon"));
    says(State::Ok, "can only be added to");

    // Root is not let in as that role: the service user is asked to ask.
    machine.config(&as_role("tc_daemon"), &as_role("not_for_root"));
    assert!(found()[0].1 == E && found()[0].2.contains("refused the login"), "{:?}", found());
    let mut system = machine.value();
    system.run_as = Arc::new(|account, argv| {
        assert_eq!((account.uid, &argv[1..]), (SERVICE, &["doctor", "--json", "database", "postgres"][..]));
        let findings = json!([
            { "check": "database", "state": "ok", "seen": "asked by the service user" },
            { "check": "postgres", "state": "note", "seen": "one role" }
        ]);
        let report =
            json!({ "version": 1, "mode": "system", "worst": "note", "counts": {}, "findings": findings });
        Some(Output { success: true, text: report.to_string() })
    });
    let only = ["database", "postgres"].map(str::to_owned);
    let report = examine(system, &only, Duration::from_secs(60), &mut |_| {});
    let relayed: Vec<_> = report.findings.iter().map(|f| f.found.seen.as_str()).collect();
    assert_eq!(relayed, ["asked by the service user", "one role"]);
    machine.config(&as_role("not_for_root"), &as_role("tc_daemon"));

    execute(
        &superuser,
        &[
            "ALTER SYSTEM SET synchronous_commit = off",
            "ALTER SYSTEM SET full_page_writes = off",
            "SELECT pg_reload_conf()",
        ],
    );
    // The server reads its files when it gets to it.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !found().iter().any(|(_, state, _)| *state == W) {
        assert!(std::time::Instant::now() < deadline, "{:?}", found());
        std::thread::sleep(Duration::from_millis(50));
    }
    says(N, "synchronous_commit is off");
    says(W, "full_page_writes is off");

    // A server that is gone.
    drop(cluster);
    let found = found();
    assert!(found[0].1 == E && found[0].2.contains("cannot be reached"), "{found:?}");
    assert!(
        found.iter().any(|(check, state, _)| check == "postgres" && *state == State::Skipped),
        "{found:?}"
    );
    assert!(!format!("{found:?}").contains("postgres://"), "a URL may hold a password");
}
