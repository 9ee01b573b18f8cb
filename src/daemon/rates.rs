//! How often somebody may ask: one token bucket a uid, and one for everybody unmapped together.
//! The clock is an argument; memory is bounded by forgetting full buckets.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Buckets kept at most; past it, full ones are forgotten and, if none is, the newcomer shares one.
const BUCKETS_MAX: usize = 10_000;

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payer {
    /// A mapped uid's own.
    Uid(u32),
    /// The one that all unmapped uids share.
    Unmapped,
}

/// What a role may spend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// Tokens that come back in a minute.
    pub per_minute: u32,
    /// Tokens a full bucket holds.
    pub burst: u32,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Every bucket, and when the full ones were last forgotten.
#[derive(Debug, Default)]
pub struct Rates {
    buckets: Mutex<(HashMap<Payer, Bucket>, Option<Instant>)>,
}

impl Rates {
    /// Takes one token, or says how long until there is one.
    pub fn spend(&self, payer: Payer, allowance: Allowance, now: Instant) -> Result<(), Duration> {
        let per_second = f64::from(allowance.per_minute.max(1)) / 60.0;
        let full = f64::from(allowance.burst.max(1));
        let mut guard = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (buckets, swept) = &mut *guard;
        let newcomer =
            |buckets: &HashMap<_, _>| buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&payer);
        let due = swept.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(60));
        if newcomer(buckets) && due {
            let left = |b: &Bucket| b.tokens + now.saturating_duration_since(b.at).as_secs_f64() * per_second;
            buckets.retain(|_, b| left(b) < full);
            *swept = Some(now);
        }
        let payer = if newcomer(buckets) { Payer::Unmapped } else { payer };
        let bucket = buckets.entry(payer).or_insert(Bucket { tokens: full, at: now });
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * per_second;
        bucket.tokens = (bucket.tokens + gained).min(full);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Payer, Rates};
    use std::time::{Duration, Instant};

    const TEN: Allowance = Allowance { per_minute: 60, burst: 10 };

    #[test]
    fn a_burst_then_one_a_second() {
        let rates = Rates::default();
        let start = Instant::now();
        assert!((0..10).all(|_| rates.spend(Payer::Uid(1), TEN, start).is_ok()));
        let wait = rates.spend(Payer::Uid(1), TEN, start).expect_err("the bucket is empty");
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(rates.spend(Payer::Uid(1), TEN, start + Duration::from_secs(1)).is_ok());
        assert!(rates.spend(Payer::Uid(2), TEN, start).is_ok(), "somebody else is not slowed");
    }

    #[test]
    fn memory_is_bounded() {
        let rates = Rates::default();
        let start = Instant::now();
        for uid in 0..30_000 {
            let _ = rates.spend(Payer::Uid(uid), TEN, start);
        }
        assert!(rates.buckets.lock().unwrap().0.len() <= super::BUCKETS_MAX + 1);
    }
}
