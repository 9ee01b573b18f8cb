//! What is counted while it happens: numbers that any task adds to without waiting for another. What they are called
//! when a monitoring system reads them is not here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Something that is counted.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper ends of a [`Histogram`]'s buckets, in µs, both ends of the scale being what people and alarms ask for:
/// half a millisecond to ten seconds.
const ENDS: [u64; 13] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// How long things took.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; ENDS.len() + 1],
    micros: AtomicU64,
}

/// A [`Histogram`] as it was at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// How long all of it took, in seconds.
    pub sum: f64,
    /// The upper end of each bucket in seconds, the last one endless, and how many are in it and in none before.
    pub buckets: Vec<(f64, u64)>,
}

impl Measured {
    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, n)| n).sum()
    }
}

impl Histogram {
    /// One more, which took so long.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = ENDS.iter().position(|end| micros <= *end).unwrap_or(ENDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was measured.
    pub fn read(&self) -> Measured {
        let ends = ENDS.iter().map(|end| seconds(*end)).chain([f64::INFINITY]);
        Measured {
            sum: seconds(self.micros.load(Ordering::Relaxed)),
            buckets: ends.zip(self.buckets.iter().map(|n| n.load(Ordering::Relaxed))).collect(),
        }
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::Histogram;
    use std::time::Duration;

    #[test]
    fn each_is_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 10_000_000, 10_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let read = histogram.read();
        let full: Vec<_> = read.buckets.iter().filter(|(_, n)| *n > 0).copied().collect();
        assert_eq!(full, [(0.0005, 2), (0.001, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!((read.count(), read.sum), (5, 20.001_002));
    }
}
