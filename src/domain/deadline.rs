//! Deadlines as people type them: a day, a day and a time, with a time zone or without, or a moment in RFC 3339. Pure: the
//! zone is an argument; which zones there are is `config::zone`.

use crate::domain::timestamp::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

/// What to type, for hints.
pub const SPELLINGS: &str = "give a day (2026-12-01, which means its 23:59), a day and a time (2026-12-01 09:00), both \
                             with a time zone (2026-12-01 09:00 Europe/Berlin), or RFC 3339 (2026-12-01T09:00:00+01:00)";

/// Characters of a deadline as it is typed, at most.
const CHARS_MAX: usize = 100;

/// A time zone, with the rules of its clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(pub TimeZone);

impl Zone {
    /// That of no place.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Its name; a machine may have one without.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("this time zone")
    }

    /// A moment as the clocks of the zone show it, to the minute, with the zone.
    pub fn shown(&self, at: Timestamp) -> String {
        let Ok(moment) = jiff::Timestamp::from_microsecond(at.micros()) else { return at.to_string() };
        let local = self.0.to_datetime(moment).strftime("%Y-%m-%d %H:%M").to_string();
        match self.0.iana_name() {
            Some(name) => format!("{local} {name}"),
            None => format!("{local} {}", self.0.to_offset(moment)),
        }
    }
}

/// The day that it is in a zone, such as `2026-11-21`.
pub fn day(at: Timestamp, zone: &Zone) -> String {
    let moment = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    zone.0.to_datetime(moment).date().to_string()
}

/// A deadline as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A moment, whatever the zone.
    Moment(Timestamp),
    /// What the clocks of a zone show.
    Local {
        /// Day and time.
        at: DateTime,
        /// Whether only the day was given.
        whole_day: bool,
        /// The zone, if it was given.
        zone: Option<String>,
    },
}

/// Why it is no deadline, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Completes "deadline: …".
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl Wrong {
    fn of(problem: String) -> Self {
        Self { problem, hint: SPELLINGS.to_owned() }
    }
}

/// Reads what was typed.
///
/// # Errors
/// It is none of the spellings, or there is no such day or time.
pub fn read(text: &str) -> Result<Typed, Wrong> {
    let text = text.trim();
    let shown: String = text.chars().take(40).filter(|c| !c.is_control()).collect();
    let unknown = || Wrong::of(format!("`{shown}` is no deadline"));
    if text.chars().count() > CHARS_MAX {
        return Err(unknown());
    }
    if let Ok(at) = Timestamp::parse(text) {
        return Ok(Typed::Moment(at));
    }
    let mut words = text.split_whitespace();
    let first = words.next().ok_or_else(|| Wrong::of("must not be empty".to_owned()))?;
    let (day, joined) = match first.split_once(['T', 't']) {
        Some((day, time)) => (day, Some(time)),
        None => (first, None),
    };
    let day = date(day).ok_or_else(unknown)?;
    let day = day.map_err(|()| Wrong::of(format!("`{shown}`: there is no such day")))?;
    let mut next = joined.or_else(|| words.next());
    let time = match next.and_then(clock) {
        Some(time) => {
            next = words.next();
            Some(time.map_err(|()| Wrong::of(format!("`{shown}`: there is no such time of day")))?)
        }
        None if joined.is_some() => return Err(unknown()),
        None => None,
    };
    let zone = match next {
        Some(name) if is_name(name) => Some(name.to_owned()),
        Some(_) => return Err(unknown()),
        None => None,
    };
    if words.next().is_some() {
        return Err(unknown());
    }
    let at = day.to_datetime(time.unwrap_or(LAST));
    Ok(Typed::Local { at, whole_day: time.is_none(), zone })
}

/// What a day alone means.
const LAST: Time = Time::constant(23, 59, 0, 0);

/// The moment at which the clocks of the zone show this. A whole day ends when they show 23:59 for the last time.
///
/// # Errors
/// They never do, or do it twice; and it is too far away.
pub fn moment(at: DateTime, whole_day: bool, zone: &Zone) -> Result<Timestamp, Wrong> {
    let far = |_| Wrong::of("is too far away".to_owned());
    let ambiguous = zone.0.to_ambiguous_timestamp(at);
    let shown = at.strftime("%Y-%m-%d %H:%M");
    let name = zone.name();
    match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { .. } => {}
        _ if whole_day => {}
        AmbiguousOffset::Gap { before, after } => {
            let skipped = after.duration_since(before).as_mins();
            return Err(Wrong {
                problem: format!(
                    "{shown} does not exist in {name}: the clocks are put on by {skipped} minutes then"
                ),
                hint: "give a time before or after that".to_owned(),
            });
        }
        AmbiguousOffset::Fold { before, after } => {
            let spelt = |offset: jiff::tz::Offset| {
                let minutes = offset.seconds() / 60;
                let sign = if minutes < 0 { '-' } else { '+' };
                let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
                format!("{}{sign}{hours:02}:{minutes:02}", at.strftime("%Y-%m-%dT%H:%M:%S"))
            };
            return Err(Wrong {
                problem: format!("{shown} comes twice in {name}: the clocks are put back then"),
                hint: format!(
                    "give {} for the first time, or {} for the second",
                    spelt(before),
                    spelt(after)
                ),
            });
        }
    }
    let at = ambiguous.later().map_err(far)?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}

/// `2026-12-01`; the inner error is a day that the calendar does not have.
fn date(text: &str) -> Option<Result<Date, ()>> {
    let mut parts = text.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4..=4)?, number(parts.next()?, 2..=2)?, number(parts.next()?, 2..=2)?);
    if parts.next().is_some() {
        return None;
    }
    let small = |n: i16| i8::try_from(n).map_err(|_| ());
    Some(small(month).and_then(|month| Date::new(year, month, small(day)?).map_err(|_| ())))
}

/// `9:00`, `09:00` or `09:00:30`; the inner error is a time that the clock does not show.
fn clock(text: &str) -> Option<Result<Time, ()>> {
    let mut parts = text.split(':');
    let (hour, minute) = (number(parts.next()?, 1..=2)?, number(parts.next()?, 2..=2)?);
    let second = match parts.next() {
        Some(text) => number(text, 2..=2)?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    let small = |n: i16| i8::try_from(n).map_err(|_| ());
    let read = || Time::new(small(hour)?, small(minute)?, small(second)?, 0).map_err(|_| ());
    // jiff takes a leap second for the one before it.
    Some(if second > 59 { Err(()) } else { read() })
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i16> {
    let plain = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Whether it is made like the name of a time zone.
pub fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-/".contains(&b))
}

/// That of these names which was meant, if one is like it: a place without its continent, a slip of the fingers.
pub fn meant<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_lowercase().replace(' ', "_");
    let place = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let how_like = |known: &str| {
        let known = known.to_lowercase();
        let whole = strsim::normalized_damerau_levenshtein(&known, &name);
        // The end of a name is worth no more than the whole: `berlin` means `Europe/Berlin`, not another `Berlin`.
        whole.max(strsim::normalized_damerau_levenshtein(&place(&known), &place(&name)) * 0.99)
    };
    names
        .map(|known| (how_like(known), known))
        .filter(|(how, _)| *how >= 0.7)
        .max_by(|(a, first), (b, second)| a.total_cmp(b).then_with(|| second.cmp(first)))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn zone(name: &str) -> Zone {
        Zone(TimeZone::get(name).unwrap())
    }

    fn said(text: &str, zone: &Zone) -> Result<String, Wrong> {
        match read(text)? {
            Typed::Moment(at) => Ok(at.to_string()),
            Typed::Local { at, whole_day, zone: None } => {
                moment(at, whole_day, zone).map(|at| at.to_string())
            }
            Typed::Local { at, whole_day, zone: Some(name) } => {
                moment(at, whole_day, &self::zone(&name)).map(|at| at.to_string())
            }
        }
    }

    #[test]
    fn every_spelling() {
        let berlin = zone("Europe/Berlin");
        for (text, utc) in [
            ("2026-12-01", "2026-12-01T22:59:00Z"),
            ("2026-07-01", "2026-07-01T21:59:00Z"),
            ("2028-02-29", "2028-02-29T22:59:00Z"),
            (" 2026-12-01  09:00 ", "2026-12-01T08:00:00Z"),
            ("2026-12-01 9:05", "2026-12-01T08:05:00Z"),
            ("2026-12-01T09:00", "2026-12-01T08:00:00Z"),
            ("2026-12-01 09:00:30", "2026-12-01T08:00:30Z"),
            ("2026-12-01 Asia/Tokyo", "2026-12-01T14:59:00Z"),
            ("2026-12-01 09:00 America/New_York", "2026-12-01T14:00:00Z"),
            ("2026-12-01 09:00 america/new_york", "2026-12-01T14:00:00Z"),
            ("2026-12-01 09:00 UTC", "2026-12-01T09:00:00Z"),
            ("2026-12-01 09:00 Etc/GMT+5", "2026-12-01T14:00:00Z"),
            ("2026-12-01T09:00:00Z", "2026-12-01T09:00:00Z"),
            ("2026-12-01T09:00:00.5+05:30", "2026-12-01T03:30:00.5Z"),
            // What the clocks are put on or back around the end of a day does not matter to a day.
            ("2026-03-29", "2026-03-29T21:59:00Z"),
            ("2026-10-25", "2026-10-25T22:59:00Z"),
        ] {
            assert_eq!(said(text, &berlin).as_deref(), Ok(utc), "{text}");
        }
    }

    #[test]
    fn what_is_no_deadline() {
        for (text, problem) in [
            ("", "must not be empty"),
            ("2026-02-30", "`2026-02-30`: there is no such day"),
            ("2027-02-29 10:00", "`2027-02-29 10:00`: there is no such day"),
            ("2026-13-01", "`2026-13-01`: there is no such day"),
            ("2026-02-30T10:00:00Z", "`2026-02-30T10:00:00Z`: there is no such day"),
            ("2026-12-01 24:00", "`2026-12-01 24:00`: there is no such time of day"),
            ("2026-12-01 09:60", "`2026-12-01 09:60`: there is no such time of day"),
            ("2026-12-01 23:59:60", "`2026-12-01 23:59:60`: there is no such time of day"),
            ("tomorrow", "`tomorrow` is no deadline"),
            ("01.12.2026", "`01.12.2026` is no deadline"),
            ("2026-12-1", "`2026-12-1` is no deadline"),
            ("2026-12-01 09", "`2026-12-01 09` is no deadline"),
            ("2026-12-01 09:00 +02:00", "`2026-12-01 09:00 +02:00` is no deadline"),
            ("2026-12-01 09:00 ../../etc/passwd", "`2026-12-01 09:00 ../../etc/passwd` is no deadline"),
            (
                "2026-12-01 09:00 Europe/Berlin please",
                "`2026-12-01 09:00 Europe/Berlin please` is no deadline",
            ),
            ("2026-12-01T09:00:00+25:00", "`2026-12-01T09:00:00+25:00` is no deadline"),
            ("9999999999-01-01", "`9999999999-01-01` is no deadline"),
        ] {
            assert_eq!(read(text).unwrap_err().problem, problem, "{text}");
        }
    }

    #[test]
    fn clocks_that_are_put_on_or_back() {
        let wrong = |text, name| said(text, &zone(name)).unwrap_err();
        let gap = wrong("2026-03-29 02:30", "Europe/Berlin");
        assert_eq!(
            gap.problem,
            "2026-03-29 02:30 does not exist in Europe/Berlin: the clocks are put on by 60 minutes then"
        );
        let fold = wrong("2026-10-25 02:30", "Europe/Berlin");
        assert_eq!(
            fold.problem,
            "2026-10-25 02:30 comes twice in Europe/Berlin: the clocks are put back then"
        );
        assert_eq!(
            fold.hint,
            "give 2026-10-25T02:30:00+02:00 for the first time, or 2026-10-25T02:30:00+01:00 for the second"
        );
        let west = wrong("2026-11-01 01:30", "America/St_Johns");
        assert_eq!(
            west.hint,
            "give 2026-11-01T01:30:00-02:30 for the first time, or 2026-11-01T01:30:00-03:30 for the second"
        );
        // At midnight the clocks there are put back to 23:00: that day has two 23:59s, and ends with the second.
        let santiago = zone("America/Santiago");
        assert_eq!(said("2026-04-04", &santiago).as_deref(), Ok("2026-04-05T03:59:00Z"));
        assert!(said("2026-04-04 23:30", &santiago).is_err());
    }

    #[test]
    fn what_was_meant() {
        let names = ["America/New_York", "Asia/Tokyo", "Europe/Berlin", "Europe/Bern", "UTC", "US/Eastern"];
        let meant = |name| meant(name, names.into_iter());
        assert_eq!(meant("berlin"), Some("Europe/Berlin"));
        assert_eq!(meant("Europe/Belrin"), Some("Europe/Berlin"));
        assert_eq!(meant("new york"), Some("America/New_York"));
        assert_eq!(meant("Asia/Tokio"), Some("Asia/Tokyo"));
        assert_eq!(meant("Mars/Olympus"), None);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in any::<String>(), other in "[0-9T: -]{0,30}") {
            for text in [text, other] {
                if let Ok(Typed::Local { at, whole_day, .. }) = read(&text) {
                    let _ = moment(at, whole_day, &zone("Europe/Berlin"));
                }
            }
        }
    }
}
