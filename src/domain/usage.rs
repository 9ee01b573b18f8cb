//! What was used: by what it is asked for, of which days, and the counts themselves. Where they come from is not here.

use crate::domain::timestamp::Timestamp;
use std::fmt;

/// Microseconds of a day.
pub const DAY: i64 = 86_400 * 1_000_000;
/// The last day there is: 9999-12-31.
const LAST: i64 = 2_932_896;

/// By what counts are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// Whose the sessions are.
    Person,
    /// Where they work; the folder where that is no configured project.
    Project,
    /// The agent.
    Agent,
    /// The model that answered.
    Model,
    /// The day, of UTC.
    Day,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Person, Self::Project, Self::Agent, Self::Model, Self::Day];

    /// The word as the wire spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Project => "project",
            Self::Agent => "agent",
            Self::Model => "model",
            Self::Day => "day",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == word)
    }
}

/// A day of UTC, from 1970-01-01 to 9999-12-31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// The day of a moment.
    pub const fn of(at: Timestamp) -> Self {
        Self::from_number(at.micros().div_euclid(DAY))
    }

    /// So many days after 1970-01-01, as the database keeps it.
    pub const fn from_number(days: i64) -> Self {
        match days {
            ..0 => Self(0),
            0..=LAST => Self(days),
            _ => Self(LAST),
        }
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// So many days before this one, but none before the first.
    pub const fn before(self, days: i64) -> Self {
        Self::from_number(self.0.saturating_sub(days))
    }

    /// Reads a date, or a moment of which it is the day.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let moment = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
        let at = Timestamp::parse(&moment)
            .map_err(|_| "must be a date (2026-01-31) or an RFC 3339 time".to_owned())?;
        Ok(Self::of(at))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = Timestamp::from_micros(self.0 * DAY).to_string();
        f.write_str(moment.get(..10).unwrap_or(&moment))
    }
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Sessions that were there: each once, however many days it lasted.
    pub sessions: i64,
    /// Messages that were sent to them.
    pub messages: i64,
    /// Tokens that models read, without those of the cache.
    pub input: i64,
    /// Tokens they read from a cache.
    pub cache_read: i64,
    /// Tokens they read and put into a cache.
    pub cache_write: i64,
    /// Tokens they wrote.
    pub output: i64,
    /// How long agents ran, in µs.
    pub running: i64,
}

/// One part of what tells a group from others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A name.
    Name(String),
    /// A day.
    Day(Day),
}

/// What was used by one person, in one project, or whatever was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// In the order of what was asked for.
    pub key: Vec<Key>,
    /// The counts.
    pub used: Used,
}

/// Which counts, and which page of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// By what they are told apart; nothing: one count of all.
    pub by: Vec<By>,
    /// Only of this person.
    pub person: Option<String>,
    /// Only in this project.
    pub project: Option<String>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only of this model.
    pub model: Option<String>,
    /// The first day.
    pub since: Day,
    /// The last day.
    pub until: Day,
    /// The last group of the page before.
    pub after: Option<Vec<Key>>,
    /// Groups at most.
    pub limit: u64,
}

impl UsageQuery {
    /// Whether it is about models: then only tokens are, and of sessions those whose agent said which model answered.
    pub fn is_of_models(&self) -> bool {
        self.model.is_some() || self.by.contains(&By::Model)
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, Day};
    use crate::domain::timestamp::Timestamp;
    use proptest::prelude::{any, proptest};

    #[test]
    fn days_are_of_utc() {
        let day = |text: &str| Day::parse(text).map(|day| day.to_string());
        assert_eq!(day("2026-11-21"), Ok("2026-11-21".to_owned()));
        assert_eq!(day("2026-11-21T23:59:59.999999Z"), Ok("2026-11-21".to_owned()));
        assert_eq!(day("2026-11-22T00:30:00+01:00"), Ok("2026-11-21".to_owned()));
        assert_eq!(Day::of(Timestamp::from_micros(-1)).to_string(), "1970-01-01");
        assert_eq!(Day::of(Timestamp::from_micros(i64::MAX)).to_string(), "9999-12-31");
        assert_eq!(Day::parse("2026-03-01").unwrap().before(1).to_string(), "2026-02-28");
        for wrong in ["", "2026-02-30", "yesterday", "2026-1-1", "21.11.2026", "2026-11-21T25:00:00Z"] {
            assert!(Day::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_day_is_read_back(at in any::<i64>()) {
            let day = Day::of(Timestamp::from_micros(at));
            assert_eq!(Day::parse(&day.to_string()), Ok(day));
            assert_eq!(Day::of(Timestamp::from_micros(day.number() * DAY)), day);
        }
    }
}
