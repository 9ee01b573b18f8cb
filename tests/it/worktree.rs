//! Sessions with a worktree of their own, in real git repositories: added and removed as the owner, by the daemon where
//! agents run as its own user and by the runner where they run as theirs; what is unsaved is never lost.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::postgres::{Cluster, on_both};
use crate::process::{self, until};
use crate::world::{ANN, BOB, ERAS, World};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use teleclaude::host::recording::{self, Code};

const AGENTS: &str = "agents:
  worker:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo at $(pwd) on $(git branch --show-current); exec sleep 600', worker]
    native_id: ['{id}']
    resume: ['{id}']
    profiles: { full: [], restricted: [] }
";

fn git(at: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    for (name, value) in [("NAME", "T"), ("EMAIL", "t@example.org")] {
        git.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let output = git.current_dir(at).args(args).env_remove("GIT_DIR").output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A repository with one commit.
fn repository(at: &Path) {
    fs::create_dir_all(at.join("api")).unwrap();
    fs::write(at.join("api/file"), "saved\n").unwrap();
    git(at, &["init", "-q", "-b", "main"]);
    git(at, &["add", "-A"]);
    git(at, &["commit", "-q", "-m", "first"]);
}

fn shown(cast: &Path) -> String {
    let Ok(events) = recording::read(cast) else { return String::new() };
    events.filter(|event| event.code == Code::Output).map(|event| event.data).collect()
}

async fn start(world: &World, body: Value) -> String {
    let answer = world.rest(BOB, "POST", "/sessions", Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["session_id"].as_str().unwrap().to_owned()
}

fn wanted() -> Value {
    json!({ "project": "work", "agent": "worker", "worktree": true })
}

/// A session that runs in its worktree, which stands there, on that branch.
async fn running(world: &World) -> (String, PathBuf, String) {
    let id = start(world, wanted()).await;
    let row = world.until(BOB, &id, |row| row["status"] == "running").await;
    let text = |field: &str| row[field].as_str().unwrap_or_else(|| panic!("no {field}: {row}")).to_owned();
    (id, text("worktree_path").into(), text("worktree_branch"))
}

async fn end(world: &World, id: &str, body: Value) -> Value {
    let answer = world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    world.until(BOB, id, |row| row["status"] == "ended").await;
    answer.body
}

async fn shows(world: &World, id: &str, wanted: &str) {
    let cast = world.path("state").join("recordings").join(format!("{id}.cast"));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !shown(&cast).contains(wanted) {
        assert!(tokio::time::Instant::now() < deadline, "{wanted:?} never shown: {}", shown(&cast));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_gets_a_worktree_and_a_branch_of_its_own() {
    on_both(async |db| {
        let world = World::everybody(db).config(AGENTS).start().await;
        let project = world.path("project");
        repository(&project);
        let (id, path, branch) = running(&world).await;
        assert!(
            path.starts_with(world.path("home")) && branch.starts_with("teleclaude/"),
            "{path:?} {branch}"
        );
        shows(&world, &id, &format!("at {} on {branch}", path.display())).await;
        assert_eq!(fs::read_to_string(path.join("api/file")).unwrap(), "saved\n");
        assert_eq!(git(&project, &["branch", "--show-current"]).trim(), "main", "the project is as it was");
        let (other, other_path, other_branch) = running(&world).await;
        assert!(path != other_path && branch != other_branch);

        // What is unsaved is kept, and named.
        fs::write(path.join("new"), "unsaved").unwrap();
        let answer = end(&world, &id, json!({})).await;
        assert_eq!(answer["worktree_path"], json!(path));
        let asked = end(&world, &id, json!({ "remove_worktree": true })).await;
        assert!(asked.get("worktree_path").is_none(), "{asked}");
        // The other's is removed after it, so this one has been tried.
        end(&world, &other, json!({ "remove_worktree": true })).await;
        let row = world.until(BOB, &other, |row| row.get("worktree_path").is_none()).await;
        assert_eq!(row["worktree_branch"], json!(other_branch), "the branch stays");
        assert!(!other_path.exists());
        assert!(git(&project, &["branch", "--list", &other_branch]).contains(&other_branch));
        assert_eq!(fs::read_to_string(path.join("new")).unwrap(), "unsaved");
        let row = world.rest(BOB, "GET", &format!("/sessions/{id}"), None).await.body;
        assert_eq!(row["worktree_path"], json!(path));

        // Resumed, each works where it did; one that was removed comes back with what was committed.
        for (id, path, branch) in [(&id, &path, &branch), (&other, &other_path, &other_branch)] {
            let answer = world.rest(BOB, "POST", &format!("/sessions/{id}/resume"), Some(json!({}))).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let row = world.until(BOB, id, |row| row["status"] == "running").await;
            assert_eq!((&row["worktree_path"], &row["worktree_branch"]), (&json!(path), &json!(branch)));
            assert!(path.join("api/file").exists());
        }
        // Saved meanwhile.
        git(&path, &["add", "-A"]);
        git(&path, &["commit", "-q", "-m", "second"]);
        end(&world, &id, json!({ "remove_worktree": true })).await;
        world.until(BOB, &id, |row| row.get("worktree_path").is_none()).await;
        assert!(!path.exists() && git(&project, &["show", &format!("{branch}:new")]) == "unsaved");
        let audit = world.audit().await;
        let removals = audit.iter().filter(|row| row["detail"].to_string().contains("remove_worktree"));
        assert_eq!(removals.count(), 3, "{audit:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_can_be_none_is_said() {
    on_both(async |db| {
        let world = World::everybody(db).config(AGENTS).start().await;
        let id = start(&world, wanted()).await;
        let row = world.until(BOB, &id, |row| row["status"] == "ended").await;
        let exit = row["exit"].as_str().unwrap();
        assert!(exit.starts_with("failed: worktree: ") && exit.contains("not a git repository"), "{exit}");
        // The same request is the same session; with a worktree it is another request.
        let mut args = wanted();
        args["client_id"] = json!("mine");
        let first = start(&world, args.clone()).await;
        assert_eq!(start(&world, args.clone()).await, first);
        args["worktree"] = json!(false);
        let other = world.rest(BOB, "POST", "/sessions", Some(args)).await;
        assert_eq!((other.status, &other.body["field"]), (409, &json!("client_id")), "{other:?}");

        world.rewrite_config(|text| text.replace("name: work,", "name: work, worktrees: false,"));
        assert_eq!(world.rest(ANN, "POST", "/reload", None).await.status, 200);
        let refused = world.rest(BOB, "POST", "/sessions", Some(wanted())).await;
        assert_eq!((refused.status, &refused.body["field"]), (422, &json!("worktree")), "{refused:?}");
        for era in ERAS {
            let answer = world.call(BOB, era, "start_session", wanted()).await;
            assert_eq!(answer["result"]["structuredContent"]["field"], "worktree", "{answer}");
        }
        world.end().await;
    })
    .await;
}

fn one_users(database: Option<String>) -> process::World {
    let mut world = process::World::single(AGENTS);
    if let Some(url) = database {
        world = world.with("TELECLAUDE_DATABASE__URL", &url);
    }
    world.up();
    world
}

#[test]
fn the_command_line_starts_in_a_worktree_and_removes_it() {
    let cluster = Cluster::start();
    for mut world in [one_users(None), one_users(Some(cluster.database("worktree")))] {
        let me = world.me();
        let project = world.project();
        repository(&project);
        let folder = project.display().to_string();
        let args = ["sessions", "start", "--worktree", "--project", &folder, "--subdir", "api", "worker"];
        let mut ids = Vec::new();
        for _ in 0..2 {
            let started = world.run_json(None, &args);
            let id = started["session_id"].as_str().unwrap().to_owned();
            let row = me.until_status(&id, "running");
            let path = PathBuf::from(row["worktree_path"].as_str().unwrap());
            until("it is there", || {
                shown(&world.recording(&id)).contains(&format!("at {}/api", path.display()))
            });
            ids.push((id, path));
        }
        let (id, path) = &ids[0];
        let show = world.run(None, &["sessions", "show", id]);
        let text = String::from_utf8_lossy(&show.stdout).into_owned();
        assert!(text.contains(&path.display().to_string()) && text.contains("teleclaude/"), "{text}");
        let ended = world.run(None, &["sessions", "end", id, "--remove-worktree"]);
        assert!(ended.status.success() && !path.exists(), "{}", process::said(&ended));
        assert!(
            String::from_utf8_lossy(&ended.stdout).ends_with("worktree removed\n"),
            "{}",
            process::said(&ended)
        );

        let (id, path) = &ids[1];
        fs::write(path.join("api/file"), "changed").unwrap();
        // A daemon that is killed between the end and the removal leaves both to the next one.
        me.post(&format!("/sessions/{id}/end"), json!({ "remove_worktree": true })).unwrap();
        world.kill();
        world.up();
        me.until_status(id, "ended");
        let kept = world.run(None, &["sessions", "end", id, "--remove-worktree"]);
        let text = String::from_utf8_lossy(&kept.stdout).into_owned();
        assert_eq!(kept.status.code(), Some(1), "{}", process::said(&kept));
        assert!(text.contains(&format!("worktree kept: {}", path.display())), "{text}");
        assert_eq!(fs::read_to_string(path.join("api/file")).unwrap(), "changed");
        let none = world.run(None, &["sessions", "start", "--project", &folder, "worker", "--worktree"]);
        assert!(none.status.success(), "{}", process::said(&none));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_session_leaves_no_worktree_but_one_with_something_unsaved() {
    on_both(async |db| {
        let world = World::everybody(db).config(AGENTS).start().await;
        repository(&world.path("project"));
        let (clean, clean_path, _) = running(&world).await;
        let (unsaved, unsaved_path, _) = running(&world).await;
        fs::write(unsaved_path.join("new"), "unsaved").unwrap();
        for id in [&clean, &unsaved] {
            end(&world, id, json!({})).await;
            let answer = world.rest(BOB, "DELETE", &format!("/sessions/{id}"), None).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.body["worktree_path"].is_string(), "{answer:?}");
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let done = loop {
            let rows = world.audit().await;
            let done: Vec<Value> = rows
                .into_iter()
                .filter(|row| row["action"] == "session.purge" && row["actor"] == "daemon")
                .collect();
            if done.len() == 2 {
                break done;
            }
            assert!(tokio::time::Instant::now() < deadline, "never purged: {done:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        for row in done {
            let detail: Value = serde_json::from_str(row["detail"].as_str().unwrap()).unwrap();
            let kept = if row["session_id"] == json!(unsaved) { json!(unsaved_path) } else { Value::Null };
            assert_eq!(detail["worktree_kept"], kept, "{row}");
        }
        assert!(!clean_path.exists());
        assert_eq!(fs::read_to_string(unsaved_path.join("new")).unwrap(), "unsaved");
        world.end().await;
    })
    .await;
}
