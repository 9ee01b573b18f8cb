//! Counting refusals, so that somebody who asks a thousand times does not write a thousand rows: the first refusal of
//! a uid for an action in a minute is written at once, the rest of that minute as one counted row. In memory, bounded.

use crate::domain::timestamp::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// Pairs of uid and action that are counted at one time; beyond it refusals of new pairs are counted together.
pub const PAIRS: usize = 4_096;
const MINUTE: Duration = Duration::from_secs(60);

/// Refusals that were not written one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whose; `None` for those beyond [`PAIRS`].
    pub uid: Option<u32>,
    /// Which action; empty for those beyond [`PAIRS`].
    pub action: String,
    /// When the minute began.
    pub since: Timestamp,
    /// How many, beside the first.
    pub count: u64,
}

/// The counter.
#[derive(Debug, Default)]
pub struct DenialMeter {
    minutes: HashMap<(u32, String), (Timestamp, u64)>,
    beyond: Option<(Timestamp, u64)>,
}

impl DenialMeter {
    /// Counts a refusal; `true` means it is the first of its minute and has to be written now. Call [`Self::due`]
    /// before it, so that a past minute is closed first.
    pub fn first(&mut self, uid: u32, action: &str, now: Timestamp) -> bool {
        let key = (uid, action.to_owned());
        if let Some((_, count)) = self.minutes.get_mut(&key) {
            *count += 1;
            return false;
        }
        if self.minutes.len() >= PAIRS {
            self.beyond.get_or_insert((now, 0)).1 += 1;
            return false;
        }
        self.minutes.insert(key, (now, 0));
        true
    }

    /// Takes back what could not be written: it is counted, and comes again with the next [`Self::due`].
    pub fn put_back(&mut self, counted: &Counted) {
        let room = self.minutes.len() < PAIRS;
        let slot = match counted.uid.map(|uid| (uid, counted.action.clone())) {
            Some(key) if room || self.minutes.contains_key(&key) => {
                self.minutes.entry(key).or_insert((counted.since, 0))
            }
            _ => self.beyond.get_or_insert((counted.since, 0)),
        };
        slot.1 += counted.count;
    }

    /// Closes minutes that are over; gives what has to be written for them.
    pub fn due(&mut self, now: Timestamp) -> Vec<Counted> {
        self.take(|since| now.since(since) >= MINUTE || now < since)
    }

    /// Closes every minute, at the daemon's stop.
    pub fn all(&mut self) -> Vec<Counted> {
        self.take(|_| true)
    }

    fn take(&mut self, over: impl Fn(Timestamp) -> bool) -> Vec<Counted> {
        let mut counted = Vec::new();
        self.minutes.retain(|(uid, action), (since, count)| {
            let over = over(*since);
            if over && *count > 0 {
                let action = action.clone();
                counted.push(Counted { uid: Some(*uid), action, since: *since, count: *count });
            }
            !over
        });
        if let Some((since, count)) = self.beyond.take_if(|(since, _)| over(*since)) {
            counted.push(Counted { uid: None, action: String::new(), since, count });
        }
        counted.sort_by(|a, b| (a.since, a.uid, &a.action).cmp(&(b.since, b.uid, &b.action)));
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::{DenialMeter, PAIRS};
    use crate::domain::timestamp::Timestamp;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn the_first_is_written_the_rest_counted() {
        let mut meter = DenialMeter::default();
        assert!(meter.first(5, "session.send", at(0)));
        assert!(!meter.first(5, "session.send", at(1)));
        assert!(!meter.first(5, "session.send", at(59)));
        assert!(meter.first(5, "session.end", at(59)));
        assert!(meter.first(6, "session.send", at(59)));
        assert_eq!(meter.due(at(59)), []);
        let due = meter.due(at(60));
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].uid, due[0].count, due[0].since), (Some(5), 2, at(0)));
        assert!(meter.first(5, "session.send", at(60)), "a new minute");
        assert_eq!(meter.all(), []);
    }

    #[test]
    fn what_could_not_be_written_comes_again() {
        let mut meter = DenialMeter::default();
        assert!(meter.first(5, "x", at(0)) && !meter.first(5, "x", at(1)));
        let due = meter.due(at(60));
        meter.put_back(&due[0]);
        assert_eq!(meter.due(at(61)), due);
        for n in 0..PAIRS as u32 {
            meter.first(n, "y", at(61));
        }
        meter.put_back(&due[0]);
        assert_eq!(meter.due(at(62))[0].count, 1, "beyond the bound it is counted with the others");
    }

    #[test]
    fn bounded() {
        let mut meter = DenialMeter::default();
        for n in 0..PAIRS as u32 {
            assert!(meter.first(n, "x", at(0)));
        }
        assert!(!meter.first(u32::MAX, "x", at(0)));
        assert!(!meter.first(u32::MAX, "y", at(0)));
        let due = meter.due(at(61));
        assert_eq!((due.len(), due[0].uid, due[0].count), (1, None, 2));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_keep_a_minute_open() {
        let mut meter = DenialMeter::default();
        assert!(meter.first(1, "x", at(1_000)));
        meter.due(at(10));
        assert!(meter.first(1, "x", at(10)));
    }
}
