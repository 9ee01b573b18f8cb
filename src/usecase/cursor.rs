//! Cursors of lists: where a page ended, as opaque text that survives being pasted anywhere.

use crate::domain::people_query::PeoplePlace;
use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::wire::fault::Fault;
use uuid::Uuid;

/// A place in a list of sessions.
pub fn of_session(last_activity: Timestamp, id: SessionId) -> String {
    format!("s{:x}-{}", last_activity.micros(), id.0.simple())
}

/// Reads [`of_session`] back.
pub fn session(text: &str) -> Result<(Timestamp, SessionId), Fault> {
    let parts = text.strip_prefix('s').and_then(|rest| rest.split_once('-'));
    let read = parts.and_then(|(at, id)| {
        let at = i64::from_str_radix(at, 16).ok()?;
        Some((Timestamp::from_micros(at), SessionId(Uuid::try_parse(id).ok()?)))
    });
    read.ok_or_else(not_a_cursor)
}

/// A place in the audit log: seq of the last row, and its machine.
pub fn of_audit(at: Timestamp, computer: &str, seq: i64) -> String {
    format!("a{:x}-{seq}-{computer}", at.micros())
}

/// Reads [`of_audit`] back.
pub fn audit(text: &str) -> Result<(Timestamp, String, i64), Fault> {
    let read = text.strip_prefix('a').and_then(|rest| {
        let mut parts = rest.splitn(3, '-');
        let at = i64::from_str_radix(parts.next()?, 16).ok()?;
        let seq = parts.next()?.parse().ok()?;
        Some((Timestamp::from_micros(at), parts.next()?.to_owned(), seq))
    });
    read.ok_or_else(not_a_cursor)
}

/// A place in an inbox.
pub fn of_inbox(place: i64, id: Uuid) -> String {
    format!("i{place:x}-{}", id.simple())
}

/// Reads [`of_inbox`] back.
pub fn inbox(text: &str) -> Result<(i64, Uuid), Fault> {
    let parts = text.strip_prefix('i').and_then(|rest| rest.split_once('-'));
    let read =
        parts.and_then(|(place, id)| Some((i64::from_str_radix(place, 16).ok()?, Uuid::try_parse(id).ok()?)));
    read.ok_or_else(not_a_cursor)
}

/// A place among hits.
pub fn of_hit(place: i64) -> String {
    format!("h{place:x}")
}

/// Reads [`of_hit`] back.
pub fn hit(text: &str) -> Result<i64, Fault> {
    let read = text.strip_prefix('h').and_then(|place| i64::from_str_radix(place, 16).ok());
    read.filter(|place| *place > 0).ok_or_else(not_a_cursor)
}

/// A place in a list of people.
pub fn of_people(named: bool, created: Timestamp, id: PersonId) -> String {
    format!("p{}-{:x}-{}", u8::from(named), created.micros(), id.0.simple())
}

/// Reads [`of_people`] back.
pub fn people(text: &str) -> Result<PeoplePlace, Fault> {
    let read = text.strip_prefix('p').and_then(|rest| {
        let mut parts = rest.splitn(3, '-');
        let named = match parts.next()? {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let created = Timestamp::from_micros(i64::from_str_radix(parts.next()?, 16).ok()?);
        Some(PeoplePlace { named, created, id: Uuid::try_parse(parts.next()?).ok()? })
    });
    read.ok_or_else(not_a_cursor)
}

fn not_a_cursor() -> Fault {
    Fault::invalid("cursor", "is not one that a list gave")
        .hint("pass next_cursor of the page before, unchanged")
}

#[cfg(test)]
mod tests {
    use super::{audit, hit, inbox, of_audit, of_inbox, of_people, of_session, people, session};
    use crate::domain::people_query::PeoplePlace;
    use crate::domain::person::PersonId;
    use crate::domain::session::SessionId;
    use crate::domain::timestamp::Timestamp;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    proptest! {
        #[test]
        fn read_back(at in 0..i64::MAX, id in any::<u128>(), seq in any::<i64>(), name in "[a-z0-9.-]{1,20}") {
            let (at, id) = (Timestamp::from_micros(at), SessionId(Uuid::from_u128(id)));
            assert_eq!(session(&of_session(at, id)), Ok((at, id)));
            assert_eq!(inbox(&of_inbox(at.micros(), id.0)), Ok((at.micros(), id.0)));
            if seq >= 0 {
                let place = PeoplePlace { named: seq % 2 == 0, created: at, id: id.0 };
                assert_eq!(people(&of_people(place.named, at, PersonId(id.0))), Ok(place));
                assert_eq!(audit(&of_audit(at, &name, seq)), Ok((at, name, seq)));
            }
        }

        #[test]
        fn garbage_is_a_fault(text in any::<String>()) {
            let _ = session(&text);
            let _ = audit(&text);
            let _ = inbox(&text);
            let _ = hit(&text);
            let _ = people(&text);
        }
    }
}
