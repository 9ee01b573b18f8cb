//! The session host, `teleclaude session-host`: one process per session that holds the terminal, the screen and
//! the recording, and outlives the daemon. This file is its way from the first instruction to the last; the work
//! is in the files below. It uses no async runtime: one thread in `poll(2)`, one that waits for children.

pub mod client;
pub mod files;
pub mod film;
pub mod message;
pub mod peers;
pub mod protocol;
pub mod pty;
pub mod recording;
pub mod replay;
pub mod resident;
pub mod screen;
pub mod serve;
pub mod spec;
pub mod text;
pub mod tree;
pub mod typist;

use crate::platform::process;
use anyhow::{Context, bail};
use spec::{Ready, StartSpec};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

/// The whole life of a host: reads its [`StartSpec`] as JSON from stdin, answers one [`Ready`] as JSON on stdout,
/// lets go of all three, and serves until the daemon has taken the exit. The argv is never looked at.
pub fn main() -> ExitCode {
    match prepare() {
        Ok(server) => {
            let failed = answer(&Ready::Up { pid: process_id(), start_time: own_start_time() })
                .and_then(|()| release_std())
                .is_err();
            // A starter that went away meanwhile is no reason to end: the run file tells the next daemon.
            let _ = failed;
            match server.run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(e) => {
            let _ = answer(&Ready::Failed { why: format!("{e:#}") });
            ExitCode::FAILURE
        }
    }
}

/// Everything up to the living agent. The run file stands before the agent does.
fn prepare() -> anyhow::Result<serve::Server> {
    files::close_inherited();
    let spec = read_spec()?;
    // A group leader may not make a session; it then has one of its own already.
    let _ = nix::unistd::setsid();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    process::adopt_orphans();
    let run = files::Run::claim(&spec)?;
    serve::Server::new(spec, run)
}

fn read_spec() -> anyhow::Result<StartSpec> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(spec::SPEC_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .context("reading the start spec")?;
    if bytes.len() > spec::SPEC_BYTES_MAX {
        bail!("the start spec is longer than {} bytes", spec::SPEC_BYTES_MAX);
    }
    // serde's message may quote what it read, and that may be a secret.
    let spec: StartSpec = serde_json::from_slice(&bytes)
        .map_err(|e| anyhow::anyhow!("start spec: line {}, column {}", e.line(), e.column()))?;
    spec.check()?;
    Ok(spec)
}

fn answer(ready: &Ready) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(ready)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Points stdin, stdout and stderr at /dev/null.
fn release_std() -> std::io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(null.as_fd())?;
    nix::unistd::dup2_stdout(null.as_fd())?;
    nix::unistd::dup2_stderr(null.as_fd())?;
    Ok(())
}

fn process_id() -> i32 {
    std::process::id().cast_signed()
}

fn own_start_time() -> u64 {
    process::start_time(process_id()).unwrap_or(0)
}
