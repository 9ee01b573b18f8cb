//! Cursors of lists: where a page ended, as opaque text that survives being pasted anywhere.

use crate::domain::document::DocId;
use crate::domain::session::SessionId;
use crate::domain::task::{TaskId, TaskPlace};
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

/// The fault of a text that is no place in this list.
pub(super) fn not_a_cursor() -> Fault {
    Fault::invalid("cursor", "is not one that a list gave")
        .hint("pass next_cursor of the page before, unchanged")
}

#[cfg(test)]
mod tests {
    use super::{
        audit, document, hit, inbox, of_audit, of_document, of_inbox, of_session, of_task, of_text, session,
        task, text,
    };
    use crate::domain::document::DocId;
    use crate::domain::session::SessionId;
    use crate::domain::task::{TaskId, TaskPlace};
    use crate::domain::timestamp::Timestamp;
    use proptest::prelude::{any, proptest};
    use uuid::Uuid;

    proptest! {
        #[test]
        fn read_back(at in 0..i64::MAX, id in any::<u128>(), seq in any::<i64>(), name in "[a-z0-9.-]{1,20}") {
            let (at, id) = (Timestamp::from_micros(at), SessionId(Uuid::from_u128(id)));
            assert_eq!(session(&of_session(at, id)), Ok((at, id)));
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
                assert_eq!(audit(&of_audit(at, &name, seq)), Ok((at, name, seq)));
            }
        }

        #[test]
        fn garbage_is_a_fault(given in any::<String>()) {
            let _ = session(&given);
            let _ = audit(&given);
            let _ = inbox(&given);
            let _ = hit(&given);
            let _ = document(&given);
            let _ = text(&given);
            let _ = task(&given);
        }
    }
}
