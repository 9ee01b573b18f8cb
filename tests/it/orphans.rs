//! What is left: nothing, however a session comes to its end, and everything, as long as it has not come to it. Two
//! hundred sessions whose hosts, agents and daemons are killed with -9 at random moments, some of them resumed and
//! killed again; a hundred that live through ten daemons. A failure prints its seed; `TELECLAUDE_TEST_SEED` runs it again.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::kill::Random;
use crate::process::{Answer, Asker, World, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use teleclaude::host::files::{self, RunFile};
use teleclaude::host::recording::{self, Code};
use teleclaude::platform::process;

const ROUNDS: usize = 200;
const AT_A_TIME: usize = 10;

/// An agent with children that left its terminal session and its process group. It writes down who lives of those that
/// came before it under the same id: a process that has ended, or is another's, has no such environment.
const NEST: &str = "agents:
  nest:
    enabled: true
    command: /bin/sh
    args:
      - -c
      - 'own=TELECLAUDE_SESSION=$TELECLAUDE_SESSION;
        for pid in $(cat began-$TELECLAUDE_SESSION 2>/dev/null); do
          grep -qz $own /proc/$pid/environ 2>/dev/null && echo $pid >>two-$TELECLAUDE_SESSION;
        done;
        echo $$ >>began-$TELECLAUDE_SESSION;
        setsid nohup sleep 600 >/dev/null 2>&1 & (nohup sleep 600 >/dev/null 2>&1 &);
        echo it began; exec sleep 600'
    profiles: { full: [] }
    native_id: [\"{id}\"]
    resume: [\"{id}\"]
roles:
  admin: { max_sessions: 10000, requests_per_minute: 1000000, burst: 100000 }
";

/// One who starts, kills and ends, whether or not a daemon is there.
struct Hand {
    me: Asker,
    project: PathBuf,
    run_dir: PathBuf,
    hosts_killed: AtomicUsize,
    agents_killed: AtomicUsize,
    resumed: AtomicUsize,
}

impl Hand {
    /// Asks until a daemon answers that has done something, or has not.
    fn post(&self, path: &str, body: &Value) -> Answer {
        let mut answered = None;
        until(&format!("{path} is answered"), || {
            answered = self.me.post(path, body.clone()).ok().filter(|answer| {
                !["unavailable", "outcome_unknown", "timeout"].iter().any(|code| answer.body["code"] == *code)
            });
            answered.is_some()
        });
        answered.unwrap()
    }

    fn host(&self, id: &str) -> Option<RunFile> {
        files::read(&self.run_dir.join(format!("{id}.json"))).ok()
    }

    fn is_over(&self, id: &str) -> bool {
        self.me.session(id).is_some_and(|row| row["status"] == "ended")
    }

    /// Kills the host, the agent, both or neither, a moment after there is something to kill.
    fn kill(&self, id: &str, random: &mut Random) {
        until("there is a host, or an end", || self.host(id).is_some() || self.is_over(id));
        // Half of them as early as can be.
        let most_ms = if random.below(2) == 0 { 5 } else { 200 };
        std::thread::sleep(random.pause(most_ms));
        let which = random.below(8);
        let Some(run) = self.host(id).filter(|run| process::is_alive(run.pid, run.start_time)) else {
            return;
        };
        if which < 3
            && let Some(agent) = run.agent_pid
        {
            let _ = process::kill(agent);
            self.agents_killed.fetch_add(1, Ordering::Relaxed);
        }
        if (2..7).contains(&which) {
            let _ = process::kill(run.pid);
            self.hosts_killed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One session from its start to its end, or ends.
    fn round(&self, n: usize, mut random: Random) -> String {
        let start = json!({ "project": self.project, "agent": "nest", "client_id": format!("round {n}") });
        let answer = self.post("/sessions", &start);
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = answer.body["session_id"].as_str().unwrap().to_owned();
        self.kill(&id, &mut random);
        // Those that were lost or killed, and some that were ended for it, run a second time.
        if random.below(2) == 0 {
            let mut asked_to_end = random.below(2) == 0;
            let mut answer = None;
            until("it runs a second time, or cannot", || {
                let status = self.me.session(&id).map(|row| row["status"].clone()).unwrap_or_default();
                if asked_to_end || status == "running" {
                    self.post(&format!("/sessions/{id}/end"), &json!({}));
                    asked_to_end = false;
                }
                if status == "ended" {
                    answer = Some(self.post(&format!("/sessions/{id}/resume"), &json!({})));
                }
                answer.is_some()
            });
            if answer.is_some_and(|answer| answer.status == 200) {
                self.resumed.fetch_add(1, Ordering::Relaxed);
                self.kill(&id, &mut random);
            }
        }
        self.post(&format!("/sessions/{id}/end"), &json!({}));
        self.me.until_status(&id, "ended");
        id
    }
}

#[test]
fn two_hundred_start_kill_rounds_leave_no_orphan_and_never_two_of_one() {
    let mut random = Random::new();
    let mut world = World::single(NEST);
    world.up();
    let hand = Hand {
        me: world.me(),
        project: world.project(),
        run_dir: world.run_dir(),
        hosts_killed: AtomicUsize::new(0),
        agents_killed: AtomicUsize::new(0),
        resumed: AtomicUsize::new(0),
    };
    let (mut ids, mut daemons_killed) = (Vec::new(), 0);
    for group in 0..ROUNDS / AT_A_TIME {
        let hand = &hand;
        let mut ended: Vec<String> = std::thread::scope(|threads| {
            let rounds: Vec<_> = (0..AT_A_TIME)
                .map(|n| {
                    let random = random.another();
                    threads.spawn(move || hand.round(group * AT_A_TIME + n, random))
                })
                .collect();
            if group % 2 == 1 {
                std::thread::sleep(random.pause(400));
                world.kill();
                daemons_killed += 1;
                // Some time without any, in which hosts and agents die unseen.
                std::thread::sleep(random.pause(200));
                world.up();
            }
            rounds.into_iter().map(|round| round.join().unwrap()).collect()
        });
        for id in &ended {
            assert_eq!(world.living(id, None), [0; 0], "orphans of {id}");
        }
        ids.append(&mut ended);
    }
    until("no host is left", || world.hosts().is_empty());
    let files: Vec<String> = names(&world.project());
    assert_eq!(files.iter().filter(|name| name.starts_with("two-")).count(), 0, "two of one: {files:?}");
    assert_eq!(world.me().all("/sessions?status=ended", "sessions").len(), ROUNDS);
    let began: usize = ids
        .iter()
        .map(|id| fs::read_to_string(world.project().join(format!("began-{id}"))).unwrap_or_default())
        .map(|pids| pids.lines().count())
        .sum();
    let (hosts, agents) = (hand.hosts_killed.into_inner(), hand.agents_killed.into_inner());
    let resumed = hand.resumed.into_inner();
    let seen = format!(
        "{ROUNDS} sessions ({resumed} resumed, {began} agents began): {hosts} hosts, {agents} agents and \
         {daemons_killed} daemons killed; 0 processes left"
    );
    let _ = writeln!(std::io::stderr(), "{seen}");
    assert!(hosts >= ROUNDS / 5 && agents >= ROUNDS / 10 && resumed >= ROUNDS / 20, "{seen}");
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

const SESSIONS: usize = 100;
const DAEMONS: usize = 10;

/// Memory that would be had back without these processes, in KiB, and what each of them seems to hold.
fn memory(pids: &[i32]) -> (u64, u64) {
    let field = |text: &str, name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    };
    pids.iter()
        .map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default())
        .map(|text| (field(&text, "Pss:"), field(&text, "Rss:")))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Asks every session for an answer that its shell must work out, and waits until each was recorded.
fn all_answer(world: &World, ids: &[String], round: usize) {
    let me = world.me();
    for id in ids {
        let message = json!({ "message": format!("echo round-{round}-is-$(({round} + 1000))") });
        let answer = me.post(&format!("/sessions/{id}/messages"), message).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    for id in ids {
        let wanted = format!("round-{round}-is-{}", round + 1000);
        until(&format!("{id} answers in round {round}"), || shown(world, id).contains(&wanted));
    }
}

fn shown(world: &World, id: &str) -> String {
    let events = recording::read(&world.recording(id)).unwrap();
    events.filter(|event| event.code == Code::Output).map(|event| event.data).collect()
}

#[test]
fn a_hundred_live_shells_outlive_ten_daemons() {
    let mut world = World::single(
        "roles:\n  admin: { max_sessions: 1000, requests_per_minute: 1000000, burst: 100000 }\n",
    );
    world.up();
    let ids: Vec<String> = std::thread::scope(|threads| {
        let world = &world;
        let starters: Vec<_> = (0..4)
            .map(|_| {
                threads.spawn(|| {
                    let start = || world.session(&world.me(), "shell");
                    (0..SESSIONS / 4).map(|_| start()).collect::<Vec<_>>()
                })
            })
            .collect();
        starters.into_iter().flat_map(|starter| starter.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), SESSIONS);
    let before: BTreeMap<&String, RunFile> = ids.iter().map(|id| (id, world.host(id).unwrap())).collect();
    for round in 0..DAEMONS {
        if round % 2 == 0 {
            world.signal(Signal::SIGTERM);
            assert!(world.ended().success(), "a daemon that is asked to end ends well");
        } else {
            world.kill();
        }
        world.up();
        for (id, run) in &before {
            assert_eq!(world.host(id).as_ref(), Some(run), "the same host and agent, after {round} daemons");
            assert!(process::is_alive(run.pid, run.start_time), "host of {id}, after {round} daemons");
            assert!(process::start_time(run.agent_pid.unwrap()).is_some(), "agent of {id}, after {round}");
        }
        all_answer(&world, &ids, round);
    }
    let running = world.me().all("/sessions?status=running", "sessions");
    assert_eq!(running.len(), SESSIONS);
    let hosts: Vec<i32> = before.values().map(|run| run.pid).collect();
    let (daemon, all) = (memory(&[world.pid()]), memory(&hosts));
    let _ = writeln!(
        std::io::stderr(),
        "{SESSIONS} shells after {DAEMONS} daemons: the daemon holds {} KiB (PSS; RSS {}), the hosts {} KiB \
         (PSS; RSS {}), {} KiB each",
        daemon.0,
        daemon.1,
        all.0,
        all.1,
        all.0 / SESSIONS as u64
    );
    for id in &ids {
        assert_eq!(world.me().post(&format!("/sessions/{id}/end"), json!({})).unwrap().status, 200);
    }
    for id in &ids {
        world.me().until_status(id, "ended");
        assert_eq!(world.living(id, None), [0; 0]);
        let text = fs::read_to_string(world.recording(id)).unwrap();
        assert!(text.ends_with('\n') && text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
        // Each answer once, in order: nothing was lost while there was no daemon, and nothing was typed twice.
        let shown = shown(&world, id);
        let mut from = 0;
        for round in 0..DAEMONS {
            let wanted = format!("round-{round}-is-{}", round + 1000);
            assert_eq!(shown.matches(&wanted).count(), 1, "{id}: {wanted:?} in {shown}");
            let at = shown.find(&wanted).unwrap();
            assert!(at >= from, "{id}: in order");
            from = at;
        }
        let last = recording::read(&world.recording(id)).unwrap().last().unwrap();
        assert_eq!(last.code, Code::Exit, "{id}");
    }
    until("no host is left", || world.hosts().is_empty());
}
