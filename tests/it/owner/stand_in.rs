//! A runner that is a thread of the test: it speaks the runner's messages, starts `/bin/sh` as whoever runs the tests, and
//! misbehaves as it is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use teleclaude::host::spec::StartSpec;
use teleclaude::platform::process;
use teleclaude::runner::message::{Exited, Order, Reply, Request, Run, frame_length};
use teleclaude::runner::sys;

/// How the stand-in behaves.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Runs this script; after its connection is lost, the tree lives on for so long.
    Runs(&'static str, Duration),
    /// Answers this and closes.
    Says(Reply),
    /// Closes without an answer.
    Leaves,
    /// Neither answers nor closes.
    Hangs,
}

/// What a stand-in is told and tells.
#[derive(Debug)]
pub struct Shared {
    pub manner: Manner,
    /// What was asked, with the mode of the terminal that came along.
    pub asked: Vec<(Run, nix::libc::mode_t)>,
    /// What was asked about worktrees.
    pub worktrees: Vec<Request>,
    pub orders: Vec<Order>,
    /// Closes what is open without a word, as a runner does that is killed.
    pub killed: bool,
    /// The control group that agents are put into.
    pub group: Option<PathBuf>,
}

/// A runner that is a thread of the test.
pub struct StandIn {
    shared: Arc<Mutex<Shared>>,
}

impl StandIn {
    pub fn listen(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let manner = Manner::Runs("exec /bin/sh", Duration::ZERO);
        let (asked, worktrees, orders) = (Vec::new(), Vec::new(), Vec::new());
        let shared = Shared { manner, asked, worktrees, orders, killed: false, group: None };
        let shared = Arc::new(Mutex::new(shared));
        let each = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&each);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { shared }
    }

    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub fn behave(&self, manner: Manner) {
        self.shared().manner = manner;
    }

    pub fn asked(&self) -> Vec<(Run, nix::libc::mode_t)> {
        self.shared().asked.clone()
    }
}

fn serve(mut stream: UnixStream, shared: &Mutex<Shared>) -> Option<()> {
    let (run, slave) = match request(&mut stream)? {
        (Request::Run(run), Some(slave)) => (run, slave),
        (asked, None) => {
            let reply = match &asked {
                Request::AddWorktree(place) => Reply::Worktree {
                    path: format!("/nowhere/{}", place.session),
                    branch: format!("teleclaude/{}", place.session),
                },
                Request::RemoveWorktree(_) => Reply::Removed,
                other => panic!("not expected: {other:?}"),
            };
            shared.lock().unwrap().worktrees.push(asked);
            return stream.write_all(&reply.encode()).ok();
        }
        (asked, Some(_)) => panic!("a descriptor came with {asked:?}"),
    };
    let mode = nix::sys::stat::fstat(&slave).unwrap().st_mode & 0o777;
    let manner = {
        let mut shared = shared.lock().unwrap();
        shared.asked.push((run.clone(), mode));
        shared.manner.clone()
    };
    let (script, linger) = match manner {
        Manner::Runs(script, linger) => (script, linger),
        Manner::Says(reply) => return stream.write_all(&reply.encode()).ok(),
        Manner::Leaves => return None,
        Manner::Hangs => return stream.read_to_end(&mut Vec::new()).ok().map(drop),
    };
    let mut child = spawn(script, &run, slave);
    let pid = child.id().cast_signed();
    if let Some(group) = &shared.lock().unwrap().group {
        fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
    }
    // Whoever is gone already is noticed below.
    let _ = stream.write_all(&Reply::Started { pid }.encode());
    stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let mut kill_at = None;
    let mark = StartSpec::mark(run.place.session);
    let end = |signal: i32| {
        for pid in process::marked(&mark, Some(pid), process::own_uid()) {
            let _ = process::send(pid, signal);
        }
    };
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let exited = status.signal().map_or(Exited::Code(status.code().unwrap_or(0)), Exited::Signal);
            let _ = stream.write_all(&Reply::Exited(exited).encode());
            end(9);
            let _ = stream.write_all(&Reply::Gone.encode());
            return None;
        }
        let mut length = [0; 4];
        let order = match stream.read(&mut length[..1]) {
            Ok(0) => None,
            Ok(_) => {
                stream.set_read_timeout(None).unwrap();
                stream.read_exact(&mut length[1..]).unwrap();
                let mut frame = vec![0; frame_length(&length).unwrap().unwrap()];
                stream.read_exact(&mut frame).unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
                Some(Some(Order::decode(&frame).unwrap()))
            }
            Err(_) => Some(None),
        };
        let killed = shared.lock().unwrap().killed;
        match order {
            None => break,
            Some(_) if killed => break,
            Some(None) => {}
            Some(Some(order)) => {
                shared.lock().unwrap().orders.push(order);
                match order {
                    Order::Signal { signal, group } => {
                        let _ = process::send_group(if group == 0 { pid } else { group }, signal);
                    }
                    Order::End { grace_ms } => {
                        end(1);
                        end(15);
                        kill_at = Some(Instant::now() + Duration::from_millis(grace_ms.into()));
                    }
                }
            }
        }
        if kill_at.is_some_and(|at| at <= Instant::now()) {
            end(9);
        }
    }
    // A runner that was killed: what ends its tree comes later than the end of its connection.
    drop(stream);
    std::thread::sleep(linger);
    end(9);
    child.wait().unwrap();
    None
}

fn request(stream: &mut UnixStream) -> Option<(Request, Option<OwnedFd>)> {
    let mut bytes = Vec::new();
    let mut descriptors = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        let (count, more) = sys::receive(&*stream, &mut chunk).unwrap();
        if count == 0 {
            return None;
        }
        bytes.extend_from_slice(&chunk[..count]);
        descriptors.extend(more);
        if let Some(length) = frame_length(&bytes).unwrap()
            && bytes.len() >= 4 + length
        {
            assert!(descriptors.len() < 2, "the terminal and nothing else");
            return Some((Request::decode(&bytes[4..]).unwrap(), descriptors.pop()));
        }
    }
}

fn spawn(script: &str, run: &Run, slave: OwnedFd) -> Child {
    assert!(nix::unistd::isatty(slave.as_fd()).unwrap());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env_clear().env("PATH", "/usr/bin:/bin").env("PS1", "$ ").current_dir("/");
    command.env("TELECLAUDE_SESSION", run.place.session.to_string()).env("TELECLAUDE_TOKEN", &run.token);
    command.stdin(Stdio::from(slave.try_clone().unwrap())).stdout(Stdio::from(slave.try_clone().unwrap()));
    command.stderr(Stdio::from(slave));
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            if libc::ioctl(0, libc::TIOCSCTTY as _, 0) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn().unwrap()
}
