//! Counting refusals, so that somebody who asks a thousand times does not write a thousand rows: the first refusal of
//! a uid for an action in a minute is written at once, the rest of that minute as one counted row. In memory, bounded.

use crate::domain::timestamp::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// Pairs of uid and action that are counted at one time; beyond it refusals of new pairs are counted together.
pub const PAIRS: usize = 4_096;
/// How many of these may be strangers': one user may own thousands of uids, and all that nobody maps share this.
pub const STRANGERS: usize = 256;
const MINUTE: Duration = Duration::from_secs(60);

/// Refusals that were not written one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whose; `None` for those beyond the bounds.
    pub uid: Option<u32>,
    /// Which action; empty for those beyond the bounds.
    pub action: String,
    /// When the minute began.
    pub since: Timestamp,
    /// How many, beside the first.
    pub count: u64,
}

/// The counter.
#[derive(Debug, Default)]
pub struct DenialMeter {
    minutes: HashMap<(u32, String), Minute>,
    /// How many of them are strangers'.
    strangers: usize,
    beyond: Option<(Timestamp, u64)>,
}

#[derive(Debug)]
struct Minute {
    since: Timestamp,
    count: u64,
    stranger: bool,
}

impl DenialMeter {
    /// Counts a refusal of somebody who is mapped to a person; `true` means it is the first of its minute and has to
    /// be written now. Call [`Self::due`] before it, so that a past minute is closed first.
    pub fn first(&mut self, uid: u32, action: &str, now: Timestamp) -> bool {
        self.begins(uid, action, now, false)
    }

    /// The same for somebody whom nobody maps.
    pub fn first_of_stranger(&mut self, uid: u32, action: &str, now: Timestamp) -> bool {
        self.begins(uid, action, now, true)
    }

    fn begins(&mut self, uid: u32, action: &str, now: Timestamp, stranger: bool) -> bool {
        let key = (uid, action.to_owned());
        if let Some(minute) = self.minutes.get_mut(&key) {
            minute.count += 1;
            return false;
        }
        if self.minutes.len() >= PAIRS || (stranger && self.strangers >= STRANGERS) {
            self.beyond.get_or_insert((now, 0)).1 += 1;
            return false;
        }
        self.strangers += usize::from(stranger);
        self.minutes.insert(key, Minute { since: now, count: 0, stranger });
        true
    }

    /// Takes back what could not be written: it is counted, and comes again with the next [`Self::due`].
    pub fn put_back(&mut self, counted: &Counted) {
        let room = self.minutes.len() < PAIRS;
        let fresh = Minute { since: counted.since, count: 0, stranger: false };
        match counted.uid.map(|uid| (uid, counted.action.clone())) {
            Some(key) if room || self.minutes.contains_key(&key) => {
                self.minutes.entry(key).or_insert(fresh).count += counted.count;
            }
            _ => self.beyond.get_or_insert((counted.since, 0)).1 += counted.count,
        }
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
        let mut strangers = 0;
        self.minutes.retain(|(uid, action), minute| {
            let over = over(minute.since);
            if over && minute.count > 0 {
                let (action, since, count) = (action.clone(), minute.since, minute.count);
                counted.push(Counted { uid: Some(*uid), action, since, count });
            }
            strangers += usize::from(!over && minute.stranger);
            !over
        });
        self.strangers = strangers;
        if let Some((since, count)) = self.beyond.take_if(|(since, _)| over(*since)) {
            counted.push(Counted { uid: None, action: String::new(), since, count });
        }
        counted.sort_by(|a, b| (a.since, a.uid, &a.action).cmp(&(b.since, b.uid, &b.action)));
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::{DenialMeter, PAIRS, STRANGERS};
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
    fn strangers_share_a_bound_and_take_nobody_elses_place() {
        let mut meter = DenialMeter::default();
        let rows = (0..65_536u32).filter(|uid| meter.first_of_stranger(100_000 + uid, "x", at(0))).count();
        assert_eq!(rows, STRANGERS);
        assert!(meter.first(1, "x", at(0)), "a mapped person's is written all the same");
        let due = meter.due(at(60));
        assert_eq!((due.len(), due[0].uid, due[0].count), (1, None, 65_536 - STRANGERS as u64));
        assert!(meter.first_of_stranger(100_000, "x", at(60)), "a new minute");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_keep_a_minute_open() {
        let mut meter = DenialMeter::default();
        assert!(meter.first(1, "x", at(1_000)));
        meter.due(at(10));
        assert!(meter.first(1, "x", at(10)));
    }
}
