//! Children: an agent starts sessions with its token, they are its owner's, and it is told in its own terminal when one
//! stops, by one line, once, whatever happens to the daemon; and no longer when it says so, or is over itself.

use crate::postgres::{Cluster, on_both};
use crate::process::{self, until};
use crate::world::{ANN, BOB, World};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use teleclaude::daemon::backend::{Backend as _, Event};
use teleclaude::domain::session::SessionId;
use teleclaude::store::{message, subscription};
use teleclaude::usecase::children::news;
use tokio::time::Instant;

const AGENTS: &str = "agents:
  boss: &talker
    enabled: true
    command: /bin/sh
    args:
      - -c
      - 'stty -echo; echo $TELECLAUDE_TOKEN > new-$TELECLAUDE_SESSION; mv new-$TELECLAUDE_SESSION token-$TELECLAUDE_SESSION; echo ready; while read -r line; do echo got $line; done'
    profiles: { full: [], restricted: [] }
  worker: *talker
  asker:
    enabled: true
    command: /bin/sh
    args:
      - -c
      - 'stty -echo; echo $TELECLAUDE_TOKEN > new-$TELECLAUDE_SESSION; mv new-$TELECLAUDE_SESSION token-$TELECLAUDE_SESSION; printf \"Proceed?\\n> 1. Yes\\n  2. No\\n\"; exec sleep 600'
    transcript: claude
    profiles: { full: [], restricted: [] }
  broken:
    enabled: true
    command: /nowhere/at/all
    profiles: { full: [], restricted: [] }
";
const PATIENCE: Duration = Duration::from_secs(30);

fn token_of(project: &Path, id: &str) -> String {
    let path = project.join(format!("token-{id}"));
    until("it has its token", || path.exists());
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}

struct Boss<'a> {
    world: &'a World,
    id: String,
    token: String,
}

impl<'a> Boss<'a> {
    async fn of(world: &'a World) -> Self {
        let args = json!({ "project": "work", "agent": "boss" });
        let started = world.rest(BOB, "POST", "/sessions", Some(args)).await;
        let id = started.body["session_id"].as_str().unwrap().to_owned();
        world.until(BOB, &id, |row| row["status"] == "running").await;
        let token = token_of(&world.path("project"), &id);
        Self { world, id, token }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.world.rest_with(BOB, method, path, body, Some(&self.token)).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.body
    }

    /// Starts a session that it is to be told of.
    async fn child(&self, args: Value) -> String {
        let mut args = args;
        args["project"] = json!("work");
        let child = self.ask("POST", "/sessions", Some(args)).await;
        let id = child["session_id"].as_str().unwrap().to_owned();
        assert_eq!((&child["parent_session_id"], &child["owner_person"]), (&json!(self.id), &json!("bob")));
        self.watch(&id).await;
        id
    }

    async fn watch(&self, child: &str) {
        let watching = self.ask("PUT", &format!("/sessions/{child}/watch"), None).await;
        assert_eq!(watching["watching"], true);
    }

    /// The lines that were typed to it about this session so far.
    async fn told(&self, of: &str) -> Vec<String> {
        let path = format!("/sessions/{}/transcript?tail_chars=48000", self.id);
        let page = self.world.rest(BOB, "GET", &path, None).await;
        let text = page.body["content"].as_str().unwrap_or_default().to_owned();
        text.lines().filter(|line| line.contains("got") && line.contains(of)).map(str::to_owned).collect()
    }

    async fn until_told(&self, of: &str, lines: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.told(of).await;
            if told.len() >= lines.len() {
                assert_eq!(told.len(), lines.len(), "{told:?}");
                assert!(told.iter().zip(lines).all(|(told, line)| told.contains(line)), "{told:?}");
                return;
            }
            assert!(Instant::now() < deadline, "{told:?} and not {lines:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn world(db: crate::postgres::Db) -> World {
    World::everybody(db).config("roles: { member: { profile: full } }").config(AGENTS).start().await
}

fn id_of(id: &str) -> SessionId {
    SessionId(id.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_told_once_when_a_child_stops() {
    on_both(async |db| {
        let world = world(db).await;
        let boss = Boss::of(&world).await;
        let title = "ends\u{202e} \"well\"";
        let id = boss.child(json!({ "agent": "worker", "title": title, "message": "begin" })).await;
        boss.until_told(&id, &["has stopped and waits for a message"]).await;
        let first = boss.told(&id).await;
        assert!(
            first[0].contains("[teleclaude] The session ") && first[0].contains("\"ends\\u{202e} "),
            "{first:?}"
        );

        // It belongs to its owner, and is listed as a child.
        let list = boss.ask("GET", &format!("/sessions?children_of={}", boss.id), None).await;
        assert_eq!(list["sessions"][0]["session_id"], json!(id));
        assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
        let of_owner = world.rest(BOB, "GET", &format!("/sessions?children_of={}", boss.id), None).await;
        assert_eq!(of_owner.body["sessions"][0]["actor_person"], "bob", "{of_owner:?}");

        // Each turn is told once, the end once.
        boss.ask("POST", &format!("/sessions/{id}/messages"), Some(json!({ "message": "go on" }))).await;
        let waits = "has stopped and waits for a message";
        boss.until_told(&id, &[waits, waits]).await;
        boss.watch(&id).await;
        boss.ask("POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        boss.until_told(&id, &[waits, waits, "has ended"]).await;

        // One that has ended before it is asked about is told of at once; one that never began, too.
        boss.ask("DELETE", &format!("/sessions/{id}/watch"), None).await;
        boss.watch(&id).await;
        let other = boss.child(json!({ "agent": "broken" })).await;
        boss.until_told(&other, &["has failed"]).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_told_once_that_a_child_asks_and_not_what() {
    on_both(async |db| {
        let world = world(db).await;
        let boss = Boss::of(&world).await;
        let id = boss.child(json!({ "agent": "asker" })).await;
        world.until(BOB, &id, |row| row["status"] == "running").await;
        let token = token_of(&world.path("project"), &id);
        let mut events = world.app.watch();
        let hook = json!({ "event": "PermissionRequest", "input": {
            "session_id": "native-1", "hook_event_name": "PermissionRequest",
            "tool_name": "Bash", "tool_input": { "command": "a secret command" },
        } });
        // Agents tell of the same more than once.
        for _ in 0..2 {
            let heard = world.rest_with(BOB, "POST", "/hook", Some(hook.clone()), Some(&token)).await;
            assert_eq!(heard.status, 200, "{heard:?}");
        }
        // Told of at once: not only when all are looked at.
        tokio::time::timeout(PATIENCE, async {
            loop {
                let event = events.recv().await.unwrap();
                if matches!(event, Event::Session(of) if of.session_id == id_of(&id) && of.parent.is_some()) {
                    return;
                }
            }
        })
        .await
        .expect("nobody hears that it asks");
        boss.until_told(&id, &["needs input"]).await;
        let row = world.rest(BOB, "GET", &format!("/sessions/{id}"), None).await.body;
        assert!(row["needs_input"][0]["asked"].as_str().unwrap().contains("a secret command"), "{row}");
        boss.ask("POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        boss.until_told(&id, &["needs input", "has ended"]).await;
        let path = format!("/sessions/{}/transcript?tail_chars=48000", boss.id);
        let typed = world.rest(BOB, "GET", &path, None).await.body;
        assert!(!typed.to_string().contains("secret command"), "what it asks is not told: {typed}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_who_does_not_want_to_or_is_over() {
    on_both(async |db| {
        let world = world(db).await;
        let boss = Boss::of(&world).await;
        let (quiet, loud) =
            (boss.child(json!({ "agent": "worker" })).await, boss.child(json!({ "agent": "worker" })).await);
        boss.ask("DELETE", &format!("/sessions/{quiet}/watch"), None).await;
        // Only a child's agent may be told of it: not of itself, nor of its owner's others.
        let others =
            world.rest(BOB, "POST", "/sessions", Some(json!({ "project": "work", "agent": "worker" }))).await;
        for id in [boss.id.as_str(), others.body["session_id"].as_str().unwrap()] {
            let path = format!("/sessions/{id}/watch");
            let answer = world.rest_with(BOB, "PUT", &path, None, Some(&boss.token)).await;
            assert_eq!(answer.status, 404, "{answer:?}");
        }
        boss.ask("POST", &format!("/sessions/{quiet}/end"), Some(json!({}))).await;
        world.until(BOB, &quiet, |row| row["status"] == "ended").await;
        // Nothing was typed to it: that it is idle is no news. That it ends is, and comes after the other's.
        world.until(BOB, &loud, |row| row["activity"] == "idle").await;
        boss.ask("POST", &format!("/sessions/{loud}/end"), Some(json!({}))).await;
        boss.until_told(&loud, &["has ended"]).await;
        assert_eq!(boss.told(&quiet).await, Vec::<String>::new());

        let late = boss.child(json!({ "agent": "worker" })).await;
        let ended = world.rest(BOB, "POST", &format!("/sessions/{}/end", boss.id), Some(json!({}))).await;
        assert_eq!(ended.status, 200);
        world.until(BOB, &boss.id, |row| row["status"] == "ended").await;
        world.rest(BOB, "POST", &format!("/sessions/{late}/end"), Some(json!({}))).await;
        world.until(BOB, &late, |row| row["status"] == "ended").await;
        let now = world.app.now();
        let news = news(world.app.store().reader(), id_of(&late), now).await.unwrap();
        assert_eq!(news, None, "the parent is over");
        let store = world.app.store();
        let open = subscription::open_on(store.reader(), store.computer(), None, 10).await.unwrap();
        assert!(!open.contains(&id_of(&late)), "nor is it looked at again and again");
        let waiting = message::pending(world.app.store().reader(), id_of(&boss.id), 10).await.unwrap();
        assert_eq!(waiting, vec![]);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_start_none_where_the_config_says_so() {
    on_both(async |db| {
        let config = AGENTS.replace("agents:\n", "agents:\n  may_start: false\n");
        let world =
            World::everybody(db).config("roles: { member: { profile: full } }").config(&config).start().await;
        let boss = Boss::of(&world).await;
        let args = json!({ "project": "work", "agent": "worker" });
        let refused = world.rest_with(BOB, "POST", "/sessions", Some(args), Some(&boss.token)).await;
        assert_eq!(refused.body["code"], "denied", "{refused:?}");
        let listed = world.rest(ANN, "GET", "/sessions", None).await;
        assert_eq!(listed.body["sessions"].as_array().unwrap().len(), 1);
        world.end().await;
    })
    .await;
}

/// The child ends while no daemon is there, and the daemon is killed again as often as it tells.
fn told_over_restarts(mut world: process::World) {
    world.up();
    let me = world.me();
    let parent = world.session(&me, "boss");
    let agent = me.with_token(&token_of(&world.project(), &parent));
    let mut children = Vec::new();
    for _ in 0..3 {
        let child = world.session(&agent, "worker");
        let watching = agent.ask("PUT", &format!("/sessions/{child}/watch"), None).unwrap();
        assert_eq!(watching.body["watching"], true, "{watching:?}");
        children.push(child);
    }
    world.kill();
    for child in &children {
        let run = world.host(child).unwrap();
        teleclaude::platform::process::kill(run.agent_pid.unwrap()).unwrap();
    }
    for n in 0..10 {
        world.spawn();
        std::thread::sleep(Duration::from_millis(30 * n));
        world.kill();
    }
    world.up();
    let told = |child: &str| {
        let page = me.get(&format!("/sessions/{parent}/transcript?tail_chars=48000")).unwrap();
        let text = page.body["content"].as_str().unwrap_or_default().to_owned();
        text.lines().filter(|line| line.contains("got") && line.contains(child)).count()
    };
    for child in &children {
        me.until_status(child, "ended");
        until("the parent is told", || told(child) > 0);
    }
    for child in &children {
        assert_eq!(told(child), 1, "{child} is told once");
    }
}

#[test]
fn it_is_told_once_over_killed_daemons() {
    told_over_restarts(process::World::single(AGENTS));
}

#[test]
fn it_is_told_once_over_killed_daemons_on_postgres() {
    let cluster = Cluster::start();
    let url = cluster.database("teleclaude");
    told_over_restarts(process::World::single(AGENTS).with("TELECLAUDE_DATABASE__URL", &url));
}
