//! `teleclaude audit` as it is typed: with the daemon, without it, on a copy of the database, and on a bundle; what
//! it says and its exit codes.

use crate::process::{World, said};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use std::process::Output;
use teleclaude::domain::checkpoint::Checkpoint;
use teleclaude::domain::note::{self, SigningKey};
use teleclaude::domain::timestamp::Timestamp;

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn whole(output: &Output) {
    assert_eq!(code(output), 0, "{}", said(output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("The log is whole"), "{}", said(output));
}

fn broken(output: &Output, why: &str) {
    assert_eq!(code(output), 1, "{}", said(output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("NOT whole") && text.contains(why), "{}", said(output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_with_an_export_and_the_public_key_needs_nobody() {
    let mut world = World::single("");
    world.up();
    let folder = world.path("");
    let path = |name: &str| folder.join(name).display().to_string();
    let (bundle, key, copy) = (path("log.bundle"), path("key"), path("copy.db"));
    let keys = world.run(None, &["audit", "key"]);
    assert_eq!(code(&keys), 0, "{}", said(&keys));
    std::fs::write(&key, &keys.stdout).unwrap();
    for _ in 0..5 {
        assert_eq!(code(&world.run(None, &["audit", "list"])), 0);
    }
    whole(&world.run(None, &["audit", "verify"]));
    // Many checkpoints from elsewhere, of which the oldest is of another log: none is left out.
    let secret = std::fs::read_to_string(world.state().join("audit.key")).unwrap();
    let signer = SigningKey::parse(&secret).unwrap();
    let last = std::fs::read_to_string(world.state().join("audit.checkpoint")).unwrap();
    let origin = note::unproven(&last).unwrap().lines().next().unwrap().to_owned();
    let at = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
    let other = Checkpoint { origin, seq: 1, hash: [9; 32], at };
    let points = path("points");
    std::fs::write(&points, signer.sign(&other.text()) + &last.repeat(600)).unwrap();
    broken(&world.run(None, &["audit", "verify", "--checkpoint", &points]), "row 1: it was changed");
    std::fs::write(&points, last.repeat(600)).unwrap();
    whole(&world.run(None, &["audit", "verify", "--checkpoint", &points]));
    // One that was torn off proves nothing, is named, and takes no other along: with the daemon, and without it.
    let torn = &last[..last.len() - 40];
    std::fs::write(&points, format!("{last}\n{torn}\n\n{last}")).unwrap();
    let key_file = ["--key", &key];
    let db = world.state().join("teleclaude.db").display().to_string();
    for place in [&[][..], &["--database", &db], &key_file] {
        let found = world.run(None, &[&["audit", "verify", "--checkpoint", &points][..], place].concat());
        whole(&found);
        assert!(said(&found).contains("number 2 in it is not whole"), "{}", said(&found));
    }
    std::fs::write(&points, format!("{torn}\n\n{}", signer.sign(&other.text()))).unwrap();
    broken(&world.run(None, &["audit", "verify", "--checkpoint", &points]), "row 1: it was changed");
    std::fs::write(&points, torn).unwrap();
    let nothing = world.run(None, &["audit", "verify", "--checkpoint", &points]);
    assert_eq!(code(&nothing), 2, "{}", said(&nothing));
    assert!(said(&nothing).contains("no whole checkpoint"), "{}", said(&nothing));
    // What is signed but no checkpoint is not passed over.
    std::fs::write(&points, signer.sign("something\nelse\n")).unwrap();
    let wrong = world.run(None, &["audit", "verify", "--checkpoint", &points]);
    assert_eq!(code(&wrong), 2, "{}", said(&wrong));
    let export = ["audit", "export", "--format", "bundle", "-o", &bundle];
    assert_eq!(code(&world.run(None, &export)), 0);
    let again = world.run(None, &export);
    assert_eq!(code(&again), 2, "nothing is overwritten: {}", said(&again));
    let tail = world.run(None, &["audit", "tail", "-n", "2"]);
    assert_eq!(String::from_utf8_lossy(&tail.stdout).lines().count(), 2, "{}", said(&tail));
    let held = world.run(None, &["audit", "hold", "add", "--everything", "--reason", "case 12 of the court"]);
    assert_eq!(code(&held), 0, "{}", said(&held));
    let pruned = world.run(None, &["audit", "prune", "--before", "0s", "--yes"]);
    assert_eq!(code(&pruned), 1, "{}", said(&pruned));
    assert!(said(&pruned).contains("case 12 of the court"), "{}", said(&pruned));
    world.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(world.ended().success());

    // Nobody is there any more.
    let alone = world.run(None, &["audit", "verify"]);
    whole(&alone);
    assert!(said(&alone).contains("not running"), "{}", said(&alone));
    whole(&world.run(None, &["audit", "verify", "--bundle", &bundle, "--key", &key]));
    let text = std::fs::read_to_string(&bundle).unwrap();
    let cut: String = text.split_inclusive('\n').take(4).collect();
    std::fs::write(path("cut.bundle"), cut).unwrap();
    broken(&world.run(None, &["audit", "verify", "--bundle", &path("cut.bundle")]), "cut off");
    std::fs::write(path("wrong"), "stranger+00000000+AQ==\n").unwrap();
    for wrong in [
        vec!["audit", "verify", "--bundle", "/nowhere"],
        vec!["audit", "verify", "--database", "/nowhere"],
        vec!["audit", "verify", "--bundle", &bundle, "--key", &path("wrong")],
        vec!["audit", "verify", "--checkpoint", &key],
    ] {
        let output = world.run(None, &wrong);
        assert_eq!(code(&output), 2, "{wrong:?}: {}", said(&output));
    }

    for url in ["postgres://u:secret@localhost/x", "postgres://u@localhost/x?password=secret"] {
        let output = world.run(None, &["audit", "verify", "--database", url]);
        assert!(said(&output).contains("PGPASSWORD"), "{}", said(&output));
    }

    // A copy, and what the daemon signed last, kept elsewhere.
    let state = world.state();
    let raw = world.database().await;
    raw.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    raw.close().await.unwrap();
    std::fs::copy(state.join("teleclaude.db"), &copy).unwrap();
    let point = state.join("audit.checkpoint").display().to_string();
    let verify = ["audit", "verify", "--database", &copy, "--key", &key, "--checkpoint", &point];
    whole(&world.run(None, &verify));
    let raw = Database::connect(format!("sqlite://{copy}")).await.unwrap();
    cut_off(raw).await;
    whole(&world.run(None, &["audit", "verify", "--database", &copy, "--key", &key]));
    broken(&world.run(None, &verify), "truncated: rows 6 to");
    let json = world.run(None, &[&verify[..], &["--json"]].concat());
    let found: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(found["chains"][0]["first_bad_seq"], 6, "{found}");

    // The daemon's own log is held against what the daemon signed last, also where a key is given.
    whole(&world.run(None, &["audit", "verify", "--key", &key]));
    cut_off(world.database().await).await;
    broken(&world.run(None, &["audit", "verify", "--key", &key]), "truncated: rows 6 to");
}

/// Leaves five rows, and no checkpoint that knew of more.
async fn cut_off(raw: DatabaseConnection) {
    for sql in [
        "DROP TRIGGER audit_log_no_delete",
        "DROP TRIGGER audit_checkpoints_no_delete",
        "DELETE FROM audit_log WHERE seq > 5",
        "DELETE FROM audit_checkpoints",
    ] {
        raw.execute_unprepared(sql).await.unwrap();
    }
    raw.close().await.unwrap();
}

#[test]
fn a_log_that_is_too_long_for_one_answer_is_looked_at_without_the_daemon() {
    // It gives up so long before that deadline that it never begins.
    let mut world = World::single("limits: { request_seconds: 2 }");
    world.up();
    let answer = world.me().post("/audit/verify", serde_json::json!({})).unwrap();
    assert_eq!(answer.body["code"], "timeout", "{answer:?}");
    assert!(answer.body.to_string().contains("--database"), "{answer:?}");
    let output = world.run(None, &["audit", "verify"]);
    whole(&output);
    assert!(said(&output).contains("too long for one answer"), "{}", said(&output));
    // Where it cannot be looked at from here, the daemon's hint is what there is.
    let elsewhere = world.path("elsewhere.db").display().to_string();
    std::fs::create_dir(&elsewhere).unwrap();
    let mut command = world.command(std::path::Path::new(env!("CARGO_BIN_EXE_teleclaude")));
    command.env("TELECLAUDE_DATABASE__URL", format!("sqlite://{elsewhere}"));
    let output = command.arg("--socket").arg(world.socket()).args(["audit", "verify"]).output().unwrap();
    assert_eq!(code(&output), 2, "{}", said(&output));
    assert!(said(&output).contains("--database"), "{}", said(&output));
}
