//! Changing people, in types that were checked: names and other texts, bans and how long they last, filters for many. Who
//! may is `policy`, doing it `usecase::people_change`.

use crate::domain::caller::Role;
use crate::domain::person::{Person, PersonId, PersonStatus};
use crate::domain::timestamp::Timestamp;
use crate::domain::verb::Verb;
use std::fmt;
use std::time::Duration;

/// Characters of a name, a full name, an address or a number, at most.
pub const LINE_CHARS: usize = 100;
/// Bytes of an OS user's name, at most.
const OS_NAME_BYTES: usize = 256;
/// Characters of notes, at most.
pub const NOTES_CHARS: usize = 4_000;
/// Warnings that ban.
pub const WARNINGS_BAN: u32 = 2;
/// People that one request changes at most, where a filter says which.
pub const BULK_MAX: u64 = 100;
/// The longest ban that ends: ten years. What is longer is for good.
const BAN_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A person's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Reads a name. The error completes "name: …".
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = line(text)?;
        if name.starts_with('@') {
            return Err("must not begin with `@`".to_owned());
        }
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return Err("must not be a number: that would be a uid".to_owned());
        }
        Ok(Self(name))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PersonName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of text: of at most [`LINE_CHARS`] characters, none of them a control character or one that turns the
/// direction of what follows, and no blank at either end. The error completes "field: …".
///
/// # Errors
/// What is wrong with it.
pub fn line(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.trim() != text {
        return Err("must not be empty, nor begin or end with a blank".to_owned());
    }
    if text.chars().take(LINE_CHARS + 1).count() > LINE_CHARS || text.chars().any(is_unseen) {
        return Err(format!("must be one line of at most {LINE_CHARS} characters"));
    }
    Ok(text.to_owned())
}

/// What a terminal obeys instead of showing it.
fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An address. The error completes "email: …".
///
/// # Errors
/// What is wrong with it.
pub fn email(text: &str) -> Result<String, String> {
    let text = line(text)?;
    let whole = text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace)
    });
    if whole { Ok(text) } else { Err("must be an address such as ann@example.org".to_owned()) }
}

/// A number to call, as it is written. The error completes "phone: …".
///
/// # Errors
/// What is wrong with it.
pub fn phone(text: &str) -> Result<String, String> {
    let text = line(text)?;
    let plain = |c: char| c.is_ascii_digit() || " +-()/.".contains(c);
    if text.chars().all(plain) && text.chars().any(|c| c.is_ascii_digit()) {
        Ok(text)
    } else {
        Err("must be of digits, blanks and `+-()/.`".to_owned())
    }
}

/// Notes: lines of text. The error completes "notes: …".
///
/// # Errors
/// What is wrong with them.
pub fn notes(text: &str) -> Result<String, String> {
    if text.chars().take(NOTES_CHARS + 1).count() > NOTES_CHARS {
        return Err(format!("must have at most {NOTES_CHARS} characters"));
    }
    if text.chars().any(|c| is_unseen(c) && c != '\n') {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// The name of an OS user. The error completes "os_username: …".
///
/// # Errors
/// What is wrong with it.
pub fn os_username(text: &str) -> Result<String, String> {
    let odd = |c: char| c.is_whitespace() || is_unseen(c) || matches!(c, ':' | '/' | ',');
    let plain = !text.is_empty() && text.len() <= OS_NAME_BYTES && !text.starts_with(['-', '@', '+']);
    if plain && !text.contains(odd) {
        Ok(text.to_owned())
    } else {
        Err("must be a name as the OS has it".to_owned())
    }
}

/// A uid. The error completes "uid: …".
///
/// # Errors
/// What is wrong with it.
pub fn uid(number: i64) -> Result<u32, String> {
    // The last one stands for nobody.
    u32::try_from(number)
        .ok()
        .filter(|uid| *uid != u32::MAX)
        .ok_or_else(|| format!("must be 0 to {}", u32::MAX - 1))
}

/// When a ban ends: `2h`, `7d` and the like, an RFC 3339 time, or `permanent`, which is `None`. The error completes
/// "until: …".
///
/// # Errors
/// What is wrong with it.
pub fn until(text: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    const HOW: &str = "say how long (30m, 2h, 7d), an RFC 3339 time, or `permanent`";
    if text == "permanent" {
        return Ok(None);
    }
    let at = match span(text) {
        Some(seconds) => now.plus(Duration::from_secs(seconds)),
        None => Timestamp::parse(text).map_err(|_| HOW.to_owned())?,
    };
    if at <= now {
        return Err(format!("is over already; {HOW}"));
    }
    if at.since(now) > BAN_MAX {
        return Err("is more than ten years away; say `permanent`".to_owned());
    }
    Ok(Some(at))
}

/// Seconds of `90s`, `30m`, `2h` or `7d`.
fn span(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    // More than there is room for is as long as can be.
    plain.then(|| digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(seconds))
}

/// What is kept of a person and an admin may change. What is `None` stays; an empty text takes away what was there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// How they are called.
    pub full_name: Option<String>,
    /// Their address.
    pub email: Option<String>,
    /// Their number.
    pub phone: Option<String>,
    /// What admins note of them.
    pub notes: Option<String>,
    /// Their OS user; another one takes the uid away, if none is given with it.
    pub os_username: Option<String>,
    /// Their uid.
    pub uid: Option<u32>,
}

impl Details {
    /// Names of what is given, for the audit log.
    pub fn given(&self) -> Vec<&'static str> {
        [
            ("full_name", self.full_name.is_some()),
            ("email", self.email.is_some()),
            ("phone", self.phone.is_some()),
            ("notes", self.notes.is_some()),
            ("os_username", self.os_username.is_some()),
            ("uid", self.uid.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
        .collect()
    }
}

/// Who the OS says a person is to be, looked up before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The uid, if the OS knows such a user, or it was given.
    pub uid: Option<u32>,
    /// The person the config makes of that user already, and where that is written.
    pub mapped: Option<(String, Option<String>)>,
}

/// Somebody new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPerson {
    /// What everybody calls them.
    pub name: PersonName,
    /// What they may do.
    pub role: Role,
    /// What else is known.
    pub details: Details,
    /// What the OS knows of them.
    pub account: Account,
}

/// What is done to one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonChange {
    /// These details.
    Update {
        /// Which.
        details: Details,
        /// When the asker last saw them change; the change is refused if they did since.
        version: Option<Timestamp>,
        /// What the OS knows of the user who is to be theirs, if one is given.
        account: Option<Account>,
    },
    /// Another role.
    Role(Role),
    /// Another status than deleted.
    Status(PersonStatus),
    /// Gone, but sessions and audit keep the name.
    Delete,
    /// Nothing of them is left but the audit log.
    Purge,
    /// Told that something must not happen again.
    Warn(String),
}

/// Whom a ban is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Banned {
    /// A person, whichever OS user they come as.
    Person(Box<Person>),
    /// A uid, whoever that is.
    Uid(u32),
}

/// Which people, where a filter says so. One of the first three is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bulk {
    /// Only those of this role.
    pub role: Option<Role>,
    /// Only those in this status.
    pub status: Option<PersonStatus>,
    /// Only those who were last seen before.
    pub last_seen_before: Option<Timestamp>,
    /// The status they get; deleted is one, too.
    pub to: PersonStatus,
    /// Only to say who.
    pub dry_run: bool,
}

/// A change of people or bans, as it is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeopleChange {
    /// Somebody new.
    Add(Box<NewPerson>),
    /// One of those who are there.
    One {
        /// Whom.
        person: Box<Person>,
        /// What.
        change: PersonChange,
    },
    /// Two become one.
    Merge {
        /// Who goes.
        source: Box<Person>,
        /// Who stays.
        target: Box<Person>,
    },
    /// Many.
    Bulk(Bulk),
    /// A ban.
    Ban {
        /// Whose.
        who: Banned,
        /// When it ends by itself; `None` is never.
        until: Option<Timestamp>,
        /// Why; they are told.
        reason: String,
    },
    /// No ban any more, and no warnings.
    Lift(Banned),
}

impl PeopleChange {
    /// Whether it is only looked at who would be changed.
    pub const fn is_dry_run(&self) -> bool {
        matches!(self, Self::Bulk(Bulk { dry_run: true, .. }))
    }

    /// Who is warned, and at which uid they were last seen.
    pub fn warned(&self) -> Option<(PersonId, u32)> {
        match self {
            Self::One { person, change: PersonChange::Warn(_) } => person.uid.map(|uid| (person.id, uid)),
            _ => None,
        }
    }

    /// The people it is about, to be looked at again.
    pub fn people_mut(&mut self) -> Vec<&mut Person> {
        match self {
            Self::One { person, .. } => vec![person],
            Self::Merge { source, target } => vec![source, target],
            Self::Ban { who: Banned::Person(person), .. } | Self::Lift(Banned::Person(person)) => {
                vec![person]
            }
            Self::Add(_) | Self::Bulk(_) | Self::Ban { .. } | Self::Lift(_) => Vec::new(),
        }
    }

    /// What is done, without to whom.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Add(_) => Verb::AddPerson,
            Self::One { change, .. } => match change {
                PersonChange::Update { .. } => Verb::UpdatePerson,
                PersonChange::Role(_) => Verb::SetPersonRole,
                PersonChange::Status(_) => Verb::SetPersonStatus,
                PersonChange::Delete => Verb::DeletePerson,
                PersonChange::Purge => Verb::PurgePerson,
                PersonChange::Warn(_) => Verb::WarnPerson,
            },
            Self::Merge { .. } => Verb::MergePeople,
            Self::Bulk(_) => Verb::BulkPeople,
            Self::Ban { .. } => Verb::BanPerson,
            Self::Lift(_) => Verb::LiftBan,
        }
    }
}

/// Which bans, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanQuery {
    /// Also those that have ended or were lifted.
    pub all: bool,
    /// The last row of the page before: since when, and its key.
    pub before: Option<(Timestamp, uuid::Uuid)>,
    /// Rows at most.
    pub limit: u64,
}

#[cfg(test)]
mod tests {
    use super::{PersonName, email, line, notes, os_username, phone, uid, until};
    use crate::domain::timestamp::Timestamp;

    #[test]
    fn names_are_one_line_and_no_number() {
        for good in ["ann", "Ann Onym", "анна", "7of9", "a@b"] {
            assert_eq!(PersonName::parse(good).unwrap().as_str(), good);
        }
        let long = "x".repeat(101);
        let large = "x".repeat(1 << 20);
        for bad in [
            "",
            " ",
            "@",
            "@ann",
            " ann",
            "ann ",
            "1234",
            "a\nb",
            "a\u{1b}[31m",
            "a\u{202e}b",
            "a\0",
            &long,
            &large,
        ] {
            assert!(PersonName::parse(bad).is_err(), "{bad:.20}");
        }
        assert!(line(&"ä".repeat(100)).is_ok(), "characters count, not bytes");
    }

    #[test]
    fn addresses_numbers_notes_and_os_users() {
        assert!(email("Ann@Example.org").is_ok());
        for bad in ["", "@", "ann", "ann@", "@example.org", "a b@c", "a@b@c", "a@b\n"] {
            assert!(email(bad).is_err(), "{bad}");
        }
        assert!(phone("+49 (30) 123-45.6").is_ok());
        for bad in ["", "+", "12a", "12\t3"] {
            assert!(phone(bad).is_err(), "{bad}");
        }
        assert_eq!(notes(" one\ntwo \n").unwrap(), "one\ntwo");
        assert_eq!(notes("").unwrap(), "");
        for bad in ["a\tb", "a\u{7}", "a\0"] {
            assert!(notes(bad).is_err(), "{bad}");
        }
        assert!(notes(&"x".repeat(4_001)).is_err());
        assert!(os_username("ann_1.x-y$").is_ok());
        for bad in ["", "-a", "@a", "a b", "a:b", "a/b", "a\n"] {
            assert!(os_username(bad).is_err(), "{bad}");
        }
        assert_eq!(uid(0), Ok(0));
        assert_eq!(uid(4_294_967_294), Ok(4_294_967_294));
        assert!(uid(-1).is_err() && uid(4_294_967_295).is_err() && uid(i64::MAX).is_err());
    }

    #[test]
    fn bans_end_in_the_future_or_never() {
        let now = Timestamp::from_micros(1_795_262_400_000_000);
        let said = |text| until(text, now).map(|at| at.map(|at| at.to_string()));
        assert_eq!(said("permanent"), Ok(None));
        assert_eq!(said("2h").unwrap().unwrap(), "2026-11-21T14:00:00Z");
        assert_eq!(said("7d").unwrap().unwrap(), "2026-11-28T12:00:00Z");
        assert_eq!(said("2026-11-21T13:00:01+01:00").unwrap().unwrap(), "2026-11-21T12:00:01Z");
        for bad in [
            "",
            "d",
            "0h",
            "-1h",
            "1.5h",
            "tomorrow",
            "2026-11-21T12:00:00Z",
            "2026-02-30T12:00:00Z",
            "4000d",
            "99999999999999999999d",
            "18446744073709551615s",
        ] {
            assert!(said(bad).is_err(), "{bad}");
        }
    }
}
