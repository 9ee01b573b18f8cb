//! kill -9 at random moments: of the daemon under load, on both databases, and of session hosts. What was acknowledged
//! is there afterwards, agents notice nothing of the daemon's death, and nothing outlives its host. A failure prints
//! its seed; `TELECLAUDE_TEST_SEED` runs it again.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::postgres::Cluster;
use crate::process::{Asker, COUNTER, World, assert_unbroken, counted, until};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use teleclaude::host::recording::{self, Code};
use teleclaude::platform::process;

/// Random numbers that can be had again.
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let given = std::env::var("TELECLAUDE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(u64::from(now.subsec_nanos()));
        Self { seed, state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    pub fn pause(&mut self, most_ms: u64) -> Duration {
        Duration::from_micros(self.below(most_ms * 1_000))
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "TELECLAUDE_TEST_SEED={} runs this again", self.seed);
        }
    }
}

fn config() -> String {
    format!(
        "roles:
  admin: {{ max_sessions: 10000, requests_per_minute: 100000, burst: 10000 }}
agents:
{COUNTER}
  quick:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo $$ >> starts-$TELECLAUDE_SESSION; echo done']
    profiles: {{ full: [] }}
  stay:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo $$ >> starts-$TELECLAUDE_SESSION; exec sleep 600']
    profiles: {{ full: [] }}
  listener:
    enabled: true
    command: /bin/sh
    args: [-c, 'stty -echo; echo ready; while read -r line; do echo got $line; done']
    profiles: {{ full: [] }}
  keeper:
    enabled: true
    command: /bin/sh
    args: [-c, 'echo $TELECLAUDE_TOKEN > new && mv new token-$TELECLAUDE_SESSION; exec sleep 600']
    profiles: {{ full: [] }}
  nest:
    enabled: true
    command: /bin/sh
    args:
      - -c
      - 'setsid nohup sleep 600 >/dev/null 2>&1 & (nohup sleep 600 >/dev/null 2>&1 &) ; i=0; while :; do i=$((i+1)); echo count $i; sleep 0.02; done'
    profiles: {{ full: [] }}
"
    )
}

/// What the daemon promised by answering, and what it was asked without an answer.
#[derive(Default)]
struct Promised {
    /// The client's id of a start -> the session.
    started: BTreeMap<String, String>,
    /// Starts that were asked for and not answered: (client's id, agent).
    start_again: Vec<(String, &'static str)>,
    /// Sessions whose end was acknowledged.
    ended: BTreeSet<String>,
    /// Sessions that are to be ended.
    to_end: Vec<String>,
    /// Messages that were taken, by the client's id.
    taken: BTreeSet<String>,
    /// Messages that were not acknowledged.
    send_again: Vec<String>,
    /// Reads of the audit log that were answered, each of which is a row.
    audit_reads: usize,
}

/// One killed daemon after the other, and the clients' view of it.
struct Chaos {
    me: Asker,
    project: String,
    listener: String,
    promised: Mutex<Promised>,
}

impl Chaos {
    fn promised(&self) -> MutexGuard<'_, Promised> {
        self.promised.lock().unwrap()
    }

    /// Starts a session; the same client's id is the same session.
    fn start(&self, client_id: &str, agent: &'static str) {
        let body = json!({ "project": self.project, "agent": agent, "client_id": client_id });
        let Ok(answer) = self.me.post("/sessions", body) else {
            self.promised().start_again.push((client_id.to_owned(), agent));
            return;
        };
        if stopping(&answer.body) {
            self.promised().start_again.push((client_id.to_owned(), agent));
            return;
        }
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = answer.body["session_id"].as_str().unwrap().to_owned();
        let mut promised = self.promised();
        if agent == "stay" {
            promised.to_end.push(id.clone());
        }
        promised.started.insert(client_id.to_owned(), id);
    }

    fn end(&self, id: String) {
        match self.me.post(&format!("/sessions/{id}/end"), json!({})) {
            Ok(answer) if !stopping(&answer.body) => {
                assert_eq!(answer.status, 200, "{answer:?}");
                self.promised().ended.insert(id);
            }
            _ => self.promised().to_end.push(id),
        }
    }

    fn send(&self, client_id: String) {
        let body = json!({ "message": client_id, "client_id": client_id });
        match self.me.post(&format!("/sessions/{}/messages", self.listener), body) {
            Ok(answer) if !stopping(&answer.body) => {
                assert_eq!(answer.status, 200, "{answer:?}");
                self.promised().taken.insert(client_id);
            }
            _ => self.promised().send_again.push(client_id),
        }
    }

    fn starts(&self, round: usize, over: &AtomicBool) {
        let again = std::mem::take(&mut self.promised().start_again);
        for (client_id, agent) in again {
            self.start(&client_id, agent);
        }
        for n in 0..2 {
            if over.load(Ordering::SeqCst) {
                return;
            }
            self.start(&format!("s{round}.{n}"), if n == 0 { "stay" } else { "quick" });
            let to_end = self.promised().to_end.pop();
            if let Some(id) = to_end {
                self.end(id);
            }
        }
    }

    fn sends(&self, round: usize) {
        let again = std::mem::take(&mut self.promised().send_again);
        for client_id in again {
            self.send(client_id);
        }
        self.send(format!("m{round}"));
    }

    fn reads(&self, over: &AtomicBool) {
        while !over.load(Ordering::SeqCst) {
            if self.me.get("/audit?limit=1").is_ok_and(|answer| answer.status == 200) {
                self.promised().audit_reads += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether an answer says that nobody knows, or that nothing was done: as good as none.
fn stopping(answer: &Value) -> bool {
    ["unavailable", "outcome_unknown", "timeout"].iter().any(|code| answer["code"] == *code)
}

async fn killed_daemons(mut world: World, rounds: usize) {
    let mut random = Random::new();
    world.up();
    let me = world.me();
    let counter = world.session(&me, "counter");
    let listener = world.session(&me, "listener");
    let agents = [world.host(&counter).unwrap(), world.host(&listener).unwrap()];
    let chaos = Chaos {
        project: world.project().display().to_string(),
        listener: listener.clone(),
        promised: Mutex::default(),
        me: me.clone(),
    };
    for round in 0..rounds {
        let over = AtomicBool::new(false);
        // The first moments of a daemon are as good as any other.
        if round % 2 == 1 {
            world.wait_until_it_answers();
        }
        let moment = random.pause(250);
        std::thread::scope(|threads| {
            threads.spawn(|| chaos.starts(round, &over));
            threads.spawn(|| chaos.sends(round));
            threads.spawn(|| chaos.reads(&over));
            std::thread::sleep(moment);
            world.kill();
            over.store(true, Ordering::SeqCst);
        });
        for agent in &agents {
            let run = world.host(&agent.session_id.to_string()).unwrap();
            assert_eq!(run, *agent, "round {round}");
            assert!(
                process::start_time(agent.agent_pid.unwrap()).is_some(),
                "round {round}: the agent lives"
            );
        }
        world.spawn();
    }
    world.wait_until_it_answers();
    chaos.starts(rounds, &AtomicBool::new(true));
    chaos.sends(rounds);
    while let Some(id) = { chaos.promised().to_end.pop() } {
        chaos.end(id);
    }
    let promised = chaos.promised.into_inner().unwrap();
    assert!(promised.start_again.is_empty() && promised.send_again.is_empty() && promised.to_end.is_empty());

    // Sessions: each that was asked for is there once, ran once, and is over.
    for id in promised.started.values() {
        let row = me.until_status(id, "ended");
        let starts = std::fs::read_to_string(world.project().join(format!("starts-{id}")));
        // One that was ended before it began never ran.
        let starts = starts.unwrap_or_default().lines().count();
        assert!(starts == 1 || (starts == 0 && promised.ended.contains(id)), "started {starts} times: {row}");
        assert_eq!(world.living(id, None), [0; 0], "{id}");
    }
    let sessions = me.all("/sessions", "sessions");
    assert_eq!(sessions.len(), promised.started.len() + 2);
    let ids: BTreeSet<&String> = promised.started.values().collect();
    assert_eq!(ids.len(), promised.started.len(), "a client's id is one session");
    for row in sessions.iter().filter(|row| row["agent"] == "quick") {
        assert_eq!(row["exit"], "code 0", "{row}");
    }

    // The audit log: whole, and each start and end is in it once.
    let verified = me.post("/audit/verify", json!({})).unwrap();
    assert_eq!(verified.body["ok"], true, "{verified:?}");
    let by_person = |action: &str| {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for row in me.all(&format!("/audit?action={action}"), "rows") {
            if row["via"] != "host" && row["actor"] != "daemon" {
                *count.entry(row["session_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        count
    };
    let starts = by_person("session.start");
    assert!(
        promised.started.values().all(|id| starts.get(id) == Some(&1)),
        "each start has one row: {starts:?} of {:?}",
        promised.started
    );
    let ends = by_person("session.end");
    assert!(promised.ended.iter().all(|id| ends.contains_key(id)), "{ends:?}");
    let reads = me.all("/audit?action=audit.read", "rows").len();
    assert!(reads >= promised.audit_reads, "{reads} rows of {} reads", promised.audit_reads);

    // Messages: each that was taken is there once, and none was typed twice.
    let raw = world.database().await;
    let backend = raw.get_database_backend();
    let sql = "SELECT client_id, state FROM messages";
    let mut states: Vec<(String, String)>;
    loop {
        let rows = raw.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
        states = rows
            .iter()
            .map(|row| (row.try_get("", "client_id").unwrap(), row.try_get("", "state").unwrap()))
            .collect();
        if states.iter().all(|(_, state)| state != "pending") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    raw.close().await.unwrap();
    let taken: BTreeSet<String> = states.iter().map(|(client_id, _)| client_id.clone()).collect();
    assert_eq!((states.len(), &taken), (promised.taken.len(), &promised.taken));
    let shown = || -> String {
        let events = recording::read(&world.recording(&listener)).unwrap();
        events.filter(|event| event.code == Code::Output).map(|event| event.data).collect()
    };
    for (client_id, state) in &states {
        // The paste that a terminal program would have asked for, as it is.
        let line = format!("got \u{1b}[200~{client_id}\u{1b}[201~");
        if state == "delivered" {
            until(&format!("{client_id} is said to be delivered and is"), || shown().contains(&line));
        }
        let times = shown().matches(&line).count();
        assert!(times <= 1, "{client_id} was typed {times} times");
    }

    // The agents noticed nothing, and all that they showed is recorded.
    assert_eq!([world.host(&counter).unwrap(), world.host(&listener).unwrap()], agents);
    let transcript = me.get(&format!("/sessions/{counter}/transcript?tail_chars=200")).unwrap();
    assert!(transcript.body["content"].as_str().unwrap().contains("count "), "{transcript:?}");
    for id in [&counter, &listener] {
        assert_eq!(me.post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
        me.until_status(id, "ended");
        assert_eq!(world.living(id, None), [0; 0]);
    }
    assert_unbroken(&counted(&world.recording(&counter)), rounds);
    until("no host is left", || world.hosts().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn fifty_killed_daemons_lose_nothing_that_was_acknowledged() {
    killed_daemons(World::single(&config()), 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ten_killed_daemons_lose_nothing_on_postgres() {
    let cluster = Cluster::start();
    let url = cluster.database("teleclaude");
    killed_daemons(World::single(&config()).with("TELECLAUDE_DATABASE__URL", &url), 10).await;
}

/// The state of a daemon that was killed between an effect and its row is made by hand, past the daemon.
async fn rewrite(world: &World, sql: &str) {
    let raw = world.database().await;
    let done = raw.execute_unprepared(sql).await.unwrap();
    assert!(done.rows_affected() >= 1, "{sql}");
    raw.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_daemon_killed_while_it_started_a_session_leaves_its_agents_token_good() {
    let mut world = World::single(&config());
    world.up();
    let me = world.me();
    let id = world.session(&me, "keeper");
    let run = world.host(&id).unwrap();
    let path = world.project().join(format!("token-{id}"));
    until("it has its token", || path.exists());
    let token = std::fs::read_to_string(path).unwrap();
    let agent = me.with_token(token.trim());
    assert_eq!(agent.get("/whoami").unwrap().body["agent_of"], id.as_str());
    world.kill();
    rewrite(&world, "UPDATE sessions SET status = 'starting'").await;
    rewrite(&world, "UPDATE outbox SET done = NULL WHERE kind = 'start'").await;
    world.up();
    me.until_status(&id, "running");
    let raw = world.database().await;
    let sql = "SELECT COUNT(*) AS n FROM outbox WHERE done IS NULL";
    loop {
        let count = Statement::from_string(raw.get_database_backend(), sql);
        let row = raw.query_one_raw(count).await.unwrap().unwrap();
        if row.try_get::<i64>("", "n").unwrap() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    raw.close().await.unwrap();
    assert_eq!(agent.get("/whoami").unwrap().body["agent_of"], id.as_str());
    assert_eq!(world.host(&id).unwrap(), run, "the same host, the same agent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_end_that_no_host_heard_of_is_asked_for_again() {
    let mut world = World::single(&config());
    world.up();
    let id = world.session(&world.me(), "counter");
    world.kill();
    // Committed and taken for done, but the host never got it.
    rewrite(&world, "UPDATE sessions SET status = 'ending'").await;
    world.up();
    world.me().until_status(&id, "ended");
    assert_eq!(world.living(&id, None), [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_host_of_an_ended_session_is_ended() {
    let mut world = World::single(&config());
    world.up();
    let id = world.session(&world.me(), "counter");
    world.kill();
    rewrite(&world, "UPDATE sessions SET status = 'ended', exit = 'lost', ended = created").await;
    world.up();
    until("its host ends", || world.host(&id).is_none());
    assert_eq!(world.living(&id, None), [0; 0]);
}

/// What must be so after the host of `id` was killed; `counted_before` is what its recording held then.
fn is_lost(world: &World, id: &str, leader: Option<i32>, counted_before: usize) {
    let row = world.me().until_status(id, "ended");
    assert_eq!(world.living(id, leader), [0; 0], "{row}");
    // One that was killed before it said that it is up has failed to start.
    let exit = row["exit"].as_str().unwrap();
    assert!(exit == "lost" || exit.starts_with("failed: the session host did not start"), "{row}");
    let path = world.recording(id);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    if !text.is_empty() {
        assert!(
            text.ends_with('\n') && text.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()),
            "{id}"
        );
        let events: Vec<_> = recording::read(&path).unwrap().collect();
        let end = events.last().unwrap();
        assert_eq!((end.code, end.data.as_str()), (Code::Exit, "137"), "{id}");
        let cause = events.iter().rev().find(|event| event.code == Code::Marker).unwrap();
        assert!(cause.data.starts_with("lost: "), "{id}: {cause:?}");
        assert_unbroken(&counted(&path), counted_before);
    }
    until("its files are gone", || world.host(id).is_none());
}

#[test]
fn fifty_killed_hosts_leave_no_process_and_a_closed_recording() {
    let mut random = Random::new();
    let mut world = World::single(&config());
    world.up();
    let start = |world: &World| {
        let body = json!({ "project": world.project(), "agent": "nest" });
        let answer = world.me().post("/sessions", body).unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body["session_id"].as_str().unwrap().to_owned()
    };
    let kill = |world: &World, id: &str, after: Duration| {
        until("a host comes up", || world.host(id).is_some());
        std::thread::sleep(after);
        let run = world.host(id).unwrap();
        let before = recording::read(&world.recording(id)).map_or(0, |_| counted(&world.recording(id)).len());
        assert!(process::is_alive(run.pid, run.start_time), "{id}: it lives until it is killed");
        process::kill(run.pid).unwrap();
        (run.agent_pid, before)
    };
    for _ in 0..4 {
        // Half of them as early as can be.
        let moments: Vec<Duration> =
            (0..10).map(|n| if n % 2 == 0 { random.pause(30) } else { random.pause(700) }).collect();
        std::thread::scope(|threads| {
            for moment in moments {
                let (world, start, kill) = (&world, &start, &kill);
                threads.spawn(move || {
                    let id = start(world);
                    let (leader, before) = kill(world, &id, moment);
                    is_lost(world, &id, leader, before);
                });
            }
        });
    }
    // And with no daemon there to see it.
    let ids: Vec<String> = (0..10).map(|_| start(&world)).collect();
    for id in &ids {
        world.me().until_status(id, "running");
    }
    world.kill();
    let killed: Vec<_> = ids.iter().map(|id| kill(&world, id, random.pause(20))).collect();
    assert!(ids.iter().all(|id| !world.living(id, None).is_empty()), "orphans are left");
    world.up();
    for (id, (leader, before)) in ids.iter().zip(killed) {
        is_lost(&world, id, leader, before);
    }
    let me = world.me();
    let lost = me.all("/audit?action=session.lost", "rows");
    let of_status = me.all("/sessions?status=ended", "sessions");
    assert_eq!(of_status.len(), 50);
    assert_eq!(lost.len(), of_status.iter().filter(|row| row["exit"] == "lost").count());
    assert!(lost.len() >= 25, "{} of 50 were up when they were killed", lost.len());
    until("no host is left", || world.hosts().is_empty());
    let left: Vec<_> = std::fs::read_dir(world.run_dir()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with("teleclaude.sock")), "{left:?}");
}
