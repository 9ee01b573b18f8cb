//! The bounds of the socket and who has used up how much of them. What a role may do is not here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bounds of connections and requests. The defaults are those of the config's `limits`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, all together.
    pub connections: usize,
    /// Open connections of one uid; unmapped uids share one such pool besides.
    pub connections_per_uid: usize,
    /// Until the first byte, and until the first whole request.
    pub first_byte: Duration,
    /// One line or one body that comes in, in bytes.
    pub message_bytes: usize,
    /// Requests in flight on one connection.
    pub in_flight: usize,
    /// Requests in flight of one uid; unmapped uids share one such pool besides.
    pub in_flight_per_uid: usize,
    /// Answers that wait to be written on one connection before we stop reading.
    pub unwritten: usize,
    /// Their bytes, together.
    pub unwritten_bytes: usize,
    /// How long one write may make no headway.
    pub write: Duration,
    /// Lines that were no request before the connection is closed.
    pub bad_lines: usize,
    /// HTTP header lines.
    pub headers: usize,
    /// Bytes of an HTTP head.
    pub header_bytes: usize,
    /// How long an HTTP head may take from its first byte.
    pub header: Duration,
    /// How long a body, or a line that has begun, may take.
    pub body: Duration,
    /// How long an HTTP connection may rest between requests.
    pub keep_alive: Duration,
    /// How long one request may take.
    pub request: Duration,
    /// Sessions that one connection may watch.
    pub watched: usize,
    /// How long requests in flight may go on after a stop was asked for, before they are cancelled.
    pub drain: Duration,
    /// How long a stop may take in all.
    pub stop: Duration,
    /// `Origin` headers that are let in. Empty in every installation: nothing that talks to a Unix socket is a
    /// browser. A conformance suite that comes through a relay needs it.
    pub origins: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_uid: 256,
            first_byte: Duration::from_secs(60),
            message_bytes: 1024 * 1024,
            in_flight: 64,
            in_flight_per_uid: 256,
            unwritten: 64,
            unwritten_bytes: 8 * 1024 * 1024,
            write: Duration::from_secs(30),
            bad_lines: 16,
            headers: 64,
            header_bytes: 64 * 1024,
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            request: Duration::from_secs(60),
            watched: 1_024,
            drain: Duration::from_secs(4),
            stop: Duration::from_secs(5),
            origins: Vec::new(),
        }
    }
}

/// Whose bucket something comes out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// One uid's own.
    Uid(u32),
    /// The one that all unmapped uids share, since one user may own thousands of subordinate uids.
    Unmapped,
}

/// Counts what each bucket has in use. Holds an entry only for buckets in use.
#[derive(Debug, Default)]
pub struct Gate {
    used: Mutex<HashMap<Bucket, usize>>,
}

impl Gate {
    /// Takes one out of `bucket` unless `most` are in use already. Given back on drop.
    pub fn enter(self: &Arc<Self>, bucket: Bucket, most: usize) -> Option<Entered> {
        let mut used = self.used();
        let count = used.get(&bucket).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        used.insert(bucket, count + 1);
        Some(Entered { gate: Arc::clone(self), bucket })
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Bucket, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place taken in a [`Gate`].
#[derive(Debug)]
pub struct Entered {
    gate: Arc<Gate>,
    bucket: Bucket,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut used = self.gate.used();
        if let Some(count) = used.get_mut(&self.bucket) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.bucket);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Gate};
    use std::sync::Arc;

    #[test]
    fn a_gate_counts_each_bucket_and_forgets_empty_ones() {
        let gate = Arc::new(Gate::default());
        let one = gate.enter(Bucket::Uid(1), 2);
        let two = gate.enter(Bucket::Uid(1), 2);
        assert!(one.is_some() && two.is_some());
        assert!(gate.enter(Bucket::Uid(1), 2).is_none());
        assert!(gate.enter(Bucket::Uid(2), 1).is_some());
        assert!(gate.enter(Bucket::Unmapped, 0).is_none());
        drop(one);
        assert!(gate.enter(Bucket::Uid(1), 2).is_some());
        drop(two);
        assert!(!gate.used().contains_key(&Bucket::Uid(1)));
    }
}
