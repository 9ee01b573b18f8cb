//! Work that blocks or keeps a connection, a few at a time: of one uid fewer still, so that nobody takes the
//! machine from the others. Work that hangs keeps its place, and its uid's, until it ends.

use crate::wire::fault::{Fault, FaultCode};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reading recordings: each costs a processor and memory of some tens of MiB.
pub static READING: LazyLock<Turns> = LazyLock::new(|| Turns::new(4, 1));
/// Looking at folders: a file system that hangs takes these and no more.
pub static LOOKING: LazyLock<Turns> = LazyLock::new(|| Turns::new(64, 4));
/// Following the agents' own logs: reading a piece, or waiting for who opens one.
pub static FOLLOWING: LazyLock<Turns> = LazyLock::new(|| Turns::new(16, 2));

/// Searching: half of the readers of a database on SQLite at most, and one of a uid's.
pub static SEARCHING: LazyLock<Turns> = LazyLock::new(|| Turns::new(2, 1));

/// Places for work.
#[derive(Debug)]
pub struct Turns {
    all: Arc<Semaphore>,
    each: usize,
    /// Holds an entry only for uids that work or wait.
    own: Mutex<HashMap<u32, Arc<Semaphore>>>,
}

impl Turns {
    /// `all` places, of which one uid has at most `each`.
    pub fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, own: Mutex::default() }
    }

    /// Does `work` for `uid` on a blocking thread once it is its turn. Whoever gives up before costs nothing.
    ///
    /// # Errors
    /// `internal` if the work panicked.
    pub async fn run<T: Send + 'static>(
        &'static self,
        uid: u32,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.turn(uid).await?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_| failed())
    }

    /// A place for `uid`, once it is its turn.
    ///
    /// # Errors
    /// `internal`: a defect.
    pub async fn turn(&'static self, uid: u32) -> Result<Turn, Fault> {
        let waiting = Waiting { turns: self, uid, own: Some(self.own_of(uid)) };
        let own = Arc::clone(waiting.own.as_ref().ok_or_else(failed)?);
        let own = own.acquire_owned().await.map_err(|_| failed())?;
        let all = Arc::clone(&self.all).acquire_owned().await.map_err(|_| failed())?;
        Ok(Turn { _all: all, _own: own, _waiting: waiting })
    }

    fn own_of(&self, uid: u32) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(own.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

fn failed() -> Fault {
    Fault::new(FaultCode::Internal, "the daemon failed while looking at files")
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    // In this order: who waits for them finds them free.
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _waiting: Waiting,
}

/// Somebody who works or waits; the last of a uid takes its entry away.
#[derive(Debug)]
struct Waiting {
    turns: &'static Turns,
    uid: u32,
    own: Option<Arc<Semaphore>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut own = self.turns.own.lock().unwrap_or_else(PoisonError::into_inner);
        self.own = None;
        if own.get(&self.uid).is_some_and(|left| Arc::strong_count(left) == 1) {
            own.remove(&self.uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use std::sync::LazyLock;
    use std::sync::mpsc;

    static TURNS: LazyLock<Turns> = LazyLock::new(|| Turns::new(2, 1));

    #[tokio::test]
    async fn one_who_hangs_takes_one_place_and_leaves_nothing_behind() {
        let (go, wait) = mpsc::channel::<()>();
        let hung = tokio::spawn(TURNS.run(1, move || wait.recv().is_ok()));
        while TURNS.all.available_permits() == 2 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn(TURNS.run(1, || ()));
        // Another uid is not behind them; its turn comes although two of the first are there before it.
        assert_eq!(TURNS.run(2, || 7).await, Ok(7));
        second.abort();
        assert!(second.await.is_err());
        go.send(()).unwrap();
        assert_eq!(hung.await.unwrap(), Ok(true));
        assert!(TURNS.own.lock().unwrap().is_empty(), "nothing is remembered of who is done");
    }
}
