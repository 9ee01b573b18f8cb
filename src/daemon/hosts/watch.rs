//! What follows one host, from its first connection to its acknowledged end: a task that keeps the connection,
//! carries commands to the host, and turns what comes back into events.

use crate::daemon::hosts::sweep::{end_tree, is_alive, read_run_file, sweep};
use crate::daemon::hosts::{Command, HostEvent, HostEventKind, Inner, Outcome};
use crate::domain::session::Exit;
use crate::host::client::{self, Receiver, Sender};
use crate::host::files::{self, ExitFile, RunFile};
use crate::host::message::{Message, MessageState};
use crate::host::protocol::{FromHost, Snapshot, Status, TAKEN_OVER, ToHost};
use crate::platform::process;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Questions and messages of one host that may be open.
const OPEN_MAX: usize = 256;

/// What follows one host from its first connection to its acknowledged end.
pub(super) struct Watch {
    inner: Arc<Inner>,
    run: RunFile,
    commands: mpsc::Receiver<Command>,
    /// Typed or to be typed, without an outcome yet.
    messages: Vec<(Message, oneshot::Sender<Outcome>)>,
    snapshots: HashMap<u64, oneshot::Sender<Snapshot>>,
    next_request: u64,
    exited: bool,
    claimed: Option<oneshot::Sender<()>>,
    /// What the last connection failed to carry.
    unsent: Option<Command>,
}

impl Watch {
    /// Follows the host of `run`; dropping `claimed` says that it is claimed or given up.
    pub(super) fn new(
        inner: Arc<Inner>,
        run: RunFile,
        commands: mpsc::Receiver<Command>,
        claimed: oneshot::Sender<()>,
    ) -> Self {
        Self {
            inner,
            run,
            commands,
            messages: Vec::new(),
            snapshots: HashMap::new(),
            next_request: 0,
            exited: false,
            claimed: Some(claimed),
            unsent: None,
        }
    }
}

/// Why a connection is over.
enum Parting {
    /// The host closed it or failed.
    Lost,
    /// Another daemon has the host now.
    TakenOver,
    /// The exit is acknowledged.
    Acknowledged(oneshot::Sender<()>),
    /// This daemon is going.
    Closed,
}

impl Watch {
    /// To its end.
    pub(super) async fn run(mut self) {
        let mut pause = Duration::from_millis(50);
        loop {
            let over = match client::connect(&self.run.socket_path, &self.run.lease, true).await {
                Ok((sender, receiver, status)) => {
                    pause = Duration::from_millis(50);
                    self.serve(sender, receiver, status).await
                }
                Err(_) => Parting::Lost,
            };
            match over {
                Parting::Lost if is_alive(&self.inner.run_dir, &self.run) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                Parting::Lost => {
                    self.lost().await;
                    return;
                }
                Parting::TakenOver | Parting::Closed => {
                    self.inner.lock().remove(&self.run.session_id);
                    return;
                }
                Parting::Acknowledged(done) => {
                    self.wait_until_gone().await;
                    self.forget(done);
                    return;
                }
            }
        }
    }

    async fn emit(&self, kind: HostEventKind) {
        // Waits for room: a slow store slows this session's events, nobody else's.
        let _ = self
            .inner
            .events
            .send(HostEvent { session: self.run.session_id, lease: self.run.lease.clone(), kind })
            .await;
    }

    async fn serve(&mut self, mut sender: Sender, mut receiver: Receiver, status: Status) -> Parting {
        // Dropping it is the message.
        self.claimed = None;
        if let Some(pid) = status.agent_pid {
            self.remember_agent(pid);
        }
        if let Some(exit) = status.exit {
            self.exited_as(exit).await;
        } else if let Some(agent_pid) = status.agent_pid {
            self.emit(HostEventKind::Running { agent_pid }).await;
            self.emit(HostEventKind::Activity(status.activity)).await;
        }
        // What an earlier connection may have lost: the host types no id twice.
        for (message, _) in &self.messages {
            if sender.send(&ToHost::Message(message.clone())).await.is_err() {
                return Parting::Lost;
            }
        }
        if let Some(command) = self.unsent.take()
            && let Some(over) = self.command(command, &mut sender).await
        {
            return over;
        }
        loop {
            tokio::select! {
                command = self.commands.recv() => {
                    let Some(command) = command else { return Parting::Closed };
                    if let Some(over) = self.command(command, &mut sender).await {
                        return over;
                    }
                }
                frame = receiver.next() => match frame {
                    Ok(Some(FromHost::Dropped { why })) if why == TAKEN_OVER => return Parting::TakenOver,
                    Ok(Some(frame)) => self.frame(frame).await,
                    Ok(None) | Err(_) => return Parting::Lost,
                }
            }
        }
    }

    /// Does one command. None: go on.
    async fn command(&mut self, command: Command, sender: &mut Sender) -> Option<Parting> {
        let frame = match &command {
            Command::Send(frame) => frame.clone(),
            Command::Message(message, _) => ToHost::Message(message.clone()),
            Command::Snapshot(scrollback, _) => {
                self.next_request += 1;
                ToHost::Snapshot { request: self.next_request, scrollback: *scrollback }
            }
            Command::Acknowledge(_) if self.exited => ToHost::Acknowledge,
            // Nothing ended: there is nothing to acknowledge.
            Command::Acknowledge(_) => return None,
        };
        if sender.send(&frame).await.is_err() {
            self.unsent = Some(command);
            return Some(Parting::Lost);
        }
        match command {
            Command::Send(_) => None,
            Command::Message(message, reply) => {
                self.messages.retain(|m| !m.1.is_closed());
                if self.messages.len() < OPEN_MAX {
                    self.messages.push((message, reply));
                }
                None
            }
            Command::Snapshot(_, reply) => {
                self.snapshots.retain(|_, waiting| !waiting.is_closed());
                if self.snapshots.len() < OPEN_MAX {
                    self.snapshots.insert(self.next_request, reply);
                }
                None
            }
            Command::Acknowledge(done) => Some(Parting::Acknowledged(done)),
        }
    }

    async fn frame(&mut self, frame: FromHost) {
        match frame {
            FromHost::MessageState { id, state } => {
                let outcome = match state {
                    MessageState::Pending => return,
                    MessageState::Delivered => Outcome::Delivered,
                    MessageState::Unknown => Outcome::Unknown,
                    MessageState::Failed => Outcome::Failed,
                };
                for (_, waiting) in self.messages.extract_if(.., |(message, _)| message.id == id) {
                    let _ = waiting.send(outcome);
                }
                self.emit(HostEventKind::MessageState { message_id: id, state }).await;
            }
            FromHost::Snapshot(snapshot) => {
                if let Some(waiting) = self.snapshots.remove(&snapshot.request) {
                    let _ = waiting.send(snapshot);
                }
            }
            FromHost::Activity(activity) => self.emit(HostEventKind::Activity(activity)).await,
            FromHost::Gap(gap) => self.emit(HostEventKind::RecordingGap(gap)).await,
            FromHost::Exited(exit) => self.exited_as(exit).await,
            FromHost::Started { agent_pid } => {
                self.remember_agent(agent_pid);
                self.emit(HostEventKind::Running { agent_pid }).await;
            }
            _ => {}
        }
    }

    /// A sweep needs to know the agent, also one that started after the run file was read.
    fn remember_agent(&mut self, pid: i32) {
        if self.run.agent_pid != Some(pid) || self.run.agent_start_time.is_none() {
            self.run.agent_pid = Some(pid);
            self.run.agent_start_time = process::start_time(pid);
        }
    }

    /// The exit file says more than the frame, unless the disk is full.
    async fn exited_as(&mut self, exit: Exit) {
        if std::mem::replace(&mut self.exited, true) {
            return;
        }
        if exit == Exit::Lost && self.run.by_runner {
            // The runner was lost, and the host waited no longer for the terminal than it does: whoever reads `lost` may
            // start the session again.
            let run = self.run.clone();
            let _ = tokio::task::spawn_blocking(move || end_tree(&run)).await;
        }
        let file = files::read::<ExitFile>(&self.run.exit_path).ok();
        let (at, lost_bytes) = file.map_or_else(|| (SystemTime::now().into(), 0), |f| (f.at, f.lost_bytes));
        self.emit(HostEventKind::Exited { exit, at, lost_bytes }).await;
    }

    /// The host is gone without a word.
    async fn lost(&mut self) {
        // Who took our events is gone: this daemon is over, and what is left is the next one's to clear up.
        if self.inner.events.is_closed() {
            return;
        }
        self.messages.clear();
        self.snapshots.clear();
        // The run file may know an agent that this daemon never heard of.
        if let Some(run) = read_run_file(&files::run_path(&self.inner.run_dir, self.run.session_id)) {
            self.run.agent_pid = run.agent_pid.or(self.run.agent_pid);
            self.run.agent_start_time = run.agent_start_time.or(self.run.agent_start_time);
        }
        let run = self.run.clone();
        if let Ok(file) = tokio::task::spawn_blocking(move || sweep(&run)).await
            && !std::mem::replace(&mut self.exited, true)
        {
            let ExitFile { exit, at, lost_bytes, .. } = file;
            self.emit(HostEventKind::Exited { exit, at, lost_bytes }).await;
        }
        loop {
            let command = match self.unsent.take() {
                Some(command) => command,
                None => match self.commands.recv().await {
                    Some(command) => command,
                    None => return,
                },
            };
            match command {
                Command::Message(_, reply) => drop(reply.send(Outcome::Failed)),
                Command::Acknowledge(done) => return self.forget(done),
                Command::Send(_) | Command::Snapshot(..) => {}
            }
        }
    }

    async fn wait_until_gone(&self) {
        for _ in 0..250 {
            if !is_alive(&self.inner.run_dir, &self.run) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn forget(&self, done: oneshot::Sender<()>) {
        if !is_alive(&self.inner.run_dir, &self.run) {
            files::remove(&self.inner.run_dir, &self.run);
        }
        self.inner.lock().remove(&self.run.session_id);
        let _ = done.send(());
    }
}
