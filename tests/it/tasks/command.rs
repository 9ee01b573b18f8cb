//! `teleclaude tasks` as people type it, against a real daemon.

use crate::process::{World, ends, said};
use std::path::Path;
use std::process::{Output, Stdio};

fn ran(world: &World, args: &[&str]) -> Output {
    let mut command = world.command(Path::new(env!("CARGO_BIN_EXE_teleclaude")));
    command.arg("--socket").arg(world.socket()).args(args).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn tasks_from_the_command_line() {
    let mut world = World::single("");
    world.up();
    let run = |args: &[&str]| ran(&world, args);
    let json = |args: &[&str]| -> serde_json::Value {
        let output = ran(&world, &[&["--json"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let me = json(&["whoami"])["person"].as_str().unwrap().to_owned();
    ends(&run(&["tasks"]), 0, "No tasks.");
    let added = json(&["tasks", "add", &me, "mow the lawn", "--deadline", "2090-12-01 09:00 Asia/Tokyo"]);
    assert_eq!(
        (added["deadline"].as_str(), added["status"].as_str()),
        (Some("2090-12-01T00:00:00Z"), Some("pending"))
    );
    let id = added["task_id"].as_str().unwrap().to_owned();
    ends(&run(&["tasks", "add", &me, "x", "--deadline", "2026-02-30"]), 2, "there is no such day");
    ends(&run(&["tasks", "add", &me, "x", "--time-zone", "UTC"]), 2, "--deadline");
    ends(&run(&["tasks", "add", "nobody-here", "x"]), 4, "no person `nobody-here`");
    ends(&run(&["tasks"]), 0, "mow the lawn");
    ends(&run(&["tasks", "list", "--all", "--status", "pending"]), 0, "2090-12-01");
    ends(&run(&["tasks", "overdue"]), 0, "No tasks.");
    ends(&run(&["tasks", "accept", &id]), 0, "accepted, due 2090-12-01T00:00:00Z");
    ends(&run(&["tasks", "move", &id, "completed"]), 0, ": completed");
    ends(&run(&["tasks", "move", &id, "late"]), 2, "possible values: pending, accepted, completed");
    ends(&run(&["tasks", "reopen", &id]), 0, ": pending");
    ends(&run(&["tasks", "edit", &id]), 2, "--description");
    ends(
        &run(&["tasks", "edit", &id, "--description", "rake the leaves", "--version", "2"]),
        1,
        "has changed since",
    );
    let edited = json(&["tasks", "edit", &id, "--description", "rake the leaves", "--no-deadline"]);
    assert_eq!((edited["description"].as_str(), edited.get("deadline")), (Some("rake the leaves"), None));
    ends(&run(&["tasks", "complete", &id]), 0, ": completed");
    ends(&run(&["tasks"]), 0, "No tasks.");
    let shown = run(&["tasks", "show", &id]);
    for words in ["rake the leaves", "created", "completed", "pending to accepted", "no deadline"] {
        ends(&shown, 0, words);
    }
    ends(&run(&["tasks", "delete", &id]), 2, "nothing was deleted");
    ends(&run(&["tasks", "delete", &id, "--dry-run"]), 0, "rake the leaves");
    ends(&run(&["tasks", "show", &id]), 0, "rake the leaves");
    ends(&run(&["tasks", "delete", "--yes", &id]), 0, "Deleted 1 task.");
    ends(&run(&["tasks", "show", &id]), 4, "no task");
}
