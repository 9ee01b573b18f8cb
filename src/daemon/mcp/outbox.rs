//! The way out of one raw connection: how much waits to be written is counted, in answers and in bytes, and a client
//! that does not read is given up. Order is that of [`Outbox::push`].

use crate::daemon::limits::Limits;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

/// Where lines go out.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writer: Arc<Mutex<OwnedWriteHalf>>,
    /// Lines and bytes that wait.
    lines: AtomicUsize,
    bytes: AtomicUsize,
    /// Told when there is less.
    less: Notify,
    broken: AtomicBool,
    most_lines: usize,
    most_bytes: usize,
    patience: Duration,
}

/// What the socket did not take at once.
pub type Rest = BoxFuture<'static, io::Result<()>>;

/// Takes its share off the counters when the line is written or given up.
struct Waiting {
    shared: Arc<Shared>,
    bytes: usize,
    written: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.written {
            self.shared.broken.store(true, Ordering::Release);
        }
        self.shared.lines.fetch_sub(1, Ordering::AcqRel);
        self.shared.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.shared.less.notify_one();
    }
}

impl Outbox {
    /// An outbox over `writer`.
    pub fn new(writer: OwnedWriteHalf, limits: &Limits) -> Self {
        Self(Arc::new(Shared {
            writer: Arc::new(Mutex::new(writer)),
            lines: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            less: Notify::new(),
            broken: AtomicBool::new(false),
            most_lines: limits.unwritten,
            most_bytes: limits.unwritten_bytes,
            patience: limits.write,
        }))
    }

    /// Writes `message` as one line: as far as possible now, the rest by the future, which must be run.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn push(&self, message: &impl Serialize) -> io::Result<Option<Rest>> {
        let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
        line.push(b'\n');
        if self.0.broken.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Fair: fails while anybody waits, so nobody is overtaken.
        let Ok(writer) = Arc::clone(&self.0.writer).try_lock_owned() else {
            let waiting = self.count(line.len());
            let turn = Arc::clone(&self.0.writer).lock_owned();
            return Ok(Some(Box::pin(async move {
                let writer = turn.await;
                finish(writer, line, 0, waiting).await
            })));
        };
        let done = match writer.try_write(&line) {
            Ok(done) => done,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                self.0.broken.store(true, Ordering::Release);
                self.0.less.notify_one();
                return Err(error);
            }
        };
        if done == line.len() {
            return Ok(None);
        }
        let waiting = self.count(line.len());
        Ok(Some(Box::pin(finish(writer, line, done, waiting))))
    }

    /// Waits until less is unwritten than the limits allow; `false` if the connection is gone. Safe to drop.
    pub async fn room(&self) -> bool {
        loop {
            if self.0.broken.load(Ordering::Acquire) {
                return false;
            }
            if self.0.lines.load(Ordering::Acquire) < self.0.most_lines
                && self.0.bytes.load(Ordering::Acquire) < self.0.most_bytes
            {
                return true;
            }
            self.0.less.notified().await;
        }
    }

    /// Nothing more goes out.
    pub fn close(&self) {
        self.0.broken.store(true, Ordering::Release);
    }

    fn count(&self, bytes: usize) -> Waiting {
        self.0.lines.fetch_add(1, Ordering::AcqRel);
        self.0.bytes.fetch_add(bytes, Ordering::AcqRel);
        Waiting { shared: Arc::clone(&self.0), bytes, written: false }
    }
}

async fn finish(
    writer: OwnedMutexGuard<OwnedWriteHalf>,
    line: Vec<u8>,
    mut done: usize,
    mut waiting: Waiting,
) -> io::Result<()> {
    while done < line.len() {
        if waiting.shared.broken.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        tokio::time::timeout(waiting.shared.patience, writer.writable())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        match writer.try_write(&line[done..]) {
            Ok(more) => done += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    waiting.written = true;
    Ok(())
}
