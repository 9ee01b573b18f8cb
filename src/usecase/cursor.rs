//! Cursors of lists: where a page ended, as opaque text that survives being pasted anywhere.

use crate::domain::activity::Place;
use crate::domain::document::DocId;
use crate::domain::people_query::PeoplePlace;
use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::task::{TaskId, TaskPlace};
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{By, Day, Key};
use crate::wire::fault::Fault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
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

/// A place in a list of bans.
pub fn of_ban(created: Timestamp, id: Uuid) -> String {
    format!("b{:x}-{}", created.micros(), id.simple())
}

/// Reads [`of_ban`] back.
pub fn ban(text: &str) -> Result<(Timestamp, Uuid), Fault> {
    let parts = text.strip_prefix('b').and_then(|rest| rest.split_once('-'));
    let read = parts.and_then(|(at, id)| {
        let at = i64::from_str_radix(at, 16).ok()?;
        Some((Timestamp::from_micros(at), Uuid::try_parse(id).ok()?))
    });
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

/// A place in a list of tasks.
pub fn of_task(place: TaskPlace) -> String {
    match place {
        TaskPlace::Newest(id) => format!("wn-{}", id.0.simple()),
        TaskPlace::Due(None, id) => format!("wu-{}", id.0.simple()),
        TaskPlace::Due(Some(due), id) => format!("w{}-{}", due.micros(), id.0.simple()),
    }
}

/// Reads [`of_task`] back.
pub fn task(text: &str) -> Result<TaskPlace, Fault> {
    let parts = text.strip_prefix('w').and_then(|rest| rest.rsplit_once('-'));
    let read = parts.and_then(|(due, id)| {
        let id = TaskId(Uuid::try_parse(id).ok()?);
        Some(match due {
            "n" => TaskPlace::Newest(id),
            "u" => TaskPlace::Due(None, id),
            due => TaskPlace::Due(Some(Timestamp::from_micros(due.parse().ok()?)), id),
        })
    });
    read.ok_or_else(not_a_cursor)
}

/// A place in the index of documents.
pub fn of_document(id: &DocId) -> String {
    format!("d{id}")
}

/// Reads [`of_document`] back.
pub fn document(text: &str) -> Result<DocId, Fault> {
    text.strip_prefix('d').and_then(|id| DocId::parse(id).ok()).ok_or_else(not_a_cursor)
}

/// A place in a document's text: so many bytes after its beginning.
pub fn of_text(id: &DocId, offset: usize) -> String {
    format!("t{offset:x}-{id}")
}

/// Reads [`of_text`] back.
pub fn text(text: &str) -> Result<(DocId, usize), Fault> {
    let parts = text.strip_prefix('t').and_then(|rest| rest.split_once('-'));
    let read = parts.and_then(|(at, id)| Some((DocId::parse(id).ok()?, usize::from_str_radix(at, 16).ok()?)));
    read.ok_or_else(not_a_cursor)
}

/// A place among groups of what was used.
pub fn of_usage(key: &[Key]) -> String {
    let parts: Vec<Value> = key
        .iter()
        .map(|key| match key {
            Key::Name(name) => name.as_str().into(),
            Key::Day(day) => day.number().into(),
        })
        .collect();
    format!("u{}", URL_SAFE_NO_PAD.encode(Value::from(parts).to_string()))
}

/// Reads [`of_usage`] back, for groups told apart by `by`.
pub fn usage(text: &str, by: &[By]) -> Result<Vec<Key>, Fault> {
    let parts = || {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix('u')?).ok()?;
        let parts: Vec<Value> = serde_json::from_slice(&bytes).ok()?;
        if parts.len() != by.len() || parts.is_empty() {
            return None;
        }
        by.iter()
            .zip(parts)
            .map(|(by, part)| match (by, part) {
                (By::Day, part) => Some(Key::Day(Day::from_number(part.as_i64()?))),
                (_, Value::String(name)) if !name.contains('\0') => Some(Key::Name(name)),
                _ => None,
            })
            .collect()
    };
    parts().ok_or_else(not_a_cursor)
}

/// A place in a list of activity.
pub fn of_activity(place: &Place) -> String {
    match place {
        Place::Session(at, id) => format!("vs{:x}-{}", at.micros(), id.simple()),
        Place::Task(at, id) => format!("vt{:x}-{}", at.micros(), id.simple()),
        Place::Audit(at, computer, seq) => format!("v{}", of_audit(*at, computer, *seq)),
    }
}

/// Reads [`of_activity`] back.
pub fn activity(text: &str) -> Result<Place, Fault> {
    let rest = text.strip_prefix('v').ok_or_else(not_a_cursor)?;
    if rest.starts_with('a') {
        return audit(rest).map(|(at, computer, seq)| Place::Audit(at, computer, seq));
    }
    if let Some(task) = rest.strip_prefix('t') {
        return session(&format!("s{task}")).map(|(at, id)| Place::Task(at, id.0));
    }
    session(rest).map(|(at, id)| Place::Session(at, id.0))
}

/// The fault of a text that is no place in this list.
pub(super) fn not_a_cursor() -> Fault {
    Fault::invalid("cursor", "is not one that a list gave")
        .hint("pass next_cursor of the page before, unchanged")
}

#[cfg(test)]
mod tests {
    use super::{
        activity, audit, ban, document, hit, inbox, of_activity, of_audit, of_ban, of_document, of_inbox,
        of_people, of_session, of_task, of_text, of_usage, people, session, task, text, usage,
    };
    use crate::domain::activity::Place;
    use crate::domain::document::DocId;
    use crate::domain::people_query::PeoplePlace;
    use crate::domain::person::PersonId;
    use crate::domain::session::SessionId;
    use crate::domain::task::{TaskId, TaskPlace};
    use crate::domain::timestamp::Timestamp;
    use crate::domain::usage::{By, Day, Key};
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    proptest! {
        #[test]
        fn read_back(at in 0..i64::MAX, id in any::<u128>(), seq in any::<i64>(), name in "[a-z0-9.-]{1,20}") {
            let (at, id) = (Timestamp::from_micros(at), SessionId(Uuid::from_u128(id)));
            assert_eq!(session(&of_session(at, id)), Ok((at, id)));
            assert_eq!(ban(&of_ban(at, id.0)), Ok((at, id.0)));
            assert_eq!(inbox(&of_inbox(at.micros(), id.0)), Ok((at.micros(), id.0)));
            let named = TaskId(id.0);
            for place in [
                TaskPlace::Newest(named),
                TaskPlace::Due(None, named),
                TaskPlace::Due(Some(at), named),
                TaskPlace::Due(Some(Timestamp::from_micros(seq)), named),
            ] {
                assert_eq!(task(&of_task(place)), Ok(place));
            }
            if let Ok(id) = DocId::parse(&name) {
                assert_eq!(document(&of_document(&id)), Ok(id.clone()));
                assert_eq!(text(&of_text(&id, 77)), Ok((id, 77)));
            }
            if seq >= 0 {
                let place = PeoplePlace { named: seq % 2 == 0, created: at, id: id.0 };
                assert_eq!(people(&of_people(place.named, at, PersonId(id.0))), Ok(place));
                let place = Place::Audit(at, name.clone(), seq);
                assert_eq!(activity(&of_activity(&place)), Ok(place));
                assert_eq!(audit(&of_audit(at, &name, seq)), Ok((at, name, seq)));
            }
            for place in [Place::Session(at, id.0), Place::Task(at, id.0)] {
                assert_eq!(activity(&of_activity(&place)), Ok(place));
            }
        }

        #[test]
        fn groups_read_back(name in "[^\0]{0,20}", day in 0..100_000i64) {
            let (by, key) = ([By::Person, By::Day], [Key::Name(name), Key::Day(Day::from_number(day))]);
            let cursor = of_usage(&key);
            assert_eq!(usage(&cursor, &by), Ok(key.to_vec()));
            assert!(usage(&cursor, &[By::Person]).is_err() && usage(&cursor, &[By::Day, By::Person]).is_err());
        }

        #[test]
        fn garbage_is_a_fault(given in any::<String>()) {
            let _ = session(&given);
            let _ = audit(&given);
            let _ = inbox(&given);
            let _ = hit(&given);
            let _ = document(&given);
            let _ = text(&given);
            let _ = people(&given);
            let _ = activity(&given);
            let _ = usage(&given, &[By::Person, By::Day]);
            let _ = ban(&given);
            let _ = task(&given);
        }
    }
}
