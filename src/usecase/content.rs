//! A page of what a session said and did: of its transcript where its agent writes one, else of what it showed, from
//! the lines of its recording.

use crate::domain::action::Window;
use crate::domain::session::{Session, SessionTitle};
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::Entry;
use crate::host::text::{self, Limits, Line, Text};
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::transcript;
use crate::usecase::markdown;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::limits::CONTENT_CHARS_MAX;
use crate::wire::session::ContentReply;
use std::path::Path;

/// Rows that are read at a time.
const ROWS: u64 = 200;
/// Bytes of text of a transcript that one answer looks at, from its end.
const ENTRIES_BYTES_MAX: usize = 8 << 20;

/// Reads the session's recording and cuts the window out of it. Blocks on the disk: call it off the async threads.
///
/// # Errors
/// `unavailable` if the recording is there and cannot be read. One that does not exist yet is empty.
pub fn read(path: &Path, session: &Session, window: &Window, now: Timestamp) -> Result<ContentReply, Fault> {
    let shown = match text::render(path, window.since, window.until, Limits::default()) {
        Ok(shown) => shown,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Text::default(),
        Err(e) => {
            return Err(Fault::new(
                FaultCode::Unavailable,
                format!("the recording of {} cannot be read: {}", session.id, e.kind()),
            ));
        }
    };
    let whole = if window.json { as_json(&shown.lines) } else { as_text(&shown.lines) };
    Ok(reply(&whole, shown.cut, session, window, now))
}

/// The newest entries of the session's transcript that fit the window, oldest first, and whether earlier ones were left
/// out for their size.
///
/// # Errors
/// The database's.
pub async fn entries(
    store: &Store,
    session: &Session,
    window: &Window,
) -> Result<(Vec<(i64, Entry)>, bool), StoreError> {
    let (mut found, mut bytes, mut before) = (Vec::new(), 0, i64::MAX);
    loop {
        let page =
            transcript::page_back(store.reader(), session.id, before, (window.since, window.until), ROWS)
                .await?;
        let Some((seq, _)) = page.last() else { break };
        before = *seq;
        for (seq, entry) in page {
            bytes += entry.text.len();
            if bytes > ENTRIES_BYTES_MAX {
                found.reverse();
                return Ok((found, true));
            }
            found.push((seq, entry));
        }
    }
    found.reverse();
    Ok((found, false))
}

/// The window cut out of a transcript.
pub fn of_entries(
    entries: &[(i64, Entry)],
    left_out: bool,
    session: &Session,
    window: &Window,
    now: Timestamp,
) -> ContentReply {
    let whole = if window.json {
        let rows: Vec<String> = entries.iter().map(|(seq, entry)| row(*seq, entry)).collect();
        rows.join("\n")
    } else {
        let title = session.title.as_ref().map(SessionTitle::as_str);
        markdown::render(title, entries.iter().map(|(_, entry)| entry))
    };
    reply(&whole, left_out, session, window, now)
}

/// An entry as one JSON object.
pub fn row(seq: i64, entry: &Entry) -> String {
    serde_json::json!({
        "seq": seq,
        "at": entry.at,
        "role": entry.speaker.name(),
        "kind": entry.kind.name(),
        "tool": entry.tool,
        "failed": entry.failed,
        "sub_agent": entry.sub_agent,
        "text": entry.text,
    })
    .to_string()
}

fn reply(whole: &str, left_out: bool, session: &Session, window: &Window, now: Timestamp) -> ContentReply {
    let (content, more, next_cursor) = cut(whole, window);
    ContentReply {
        session_id: session.id.to_string(),
        status: session.status.name().to_owned(),
        format: if window.json { "json" } else { "markdown" }.to_owned(),
        content,
        captured_at: now.to_string(),
        truncated: more || left_out,
        next_cursor,
    }
}

fn as_text(lines: &[Line]) -> String {
    let mut text = String::with_capacity(lines.iter().map(|l| l.text.len() + 1).sum());
    for line in lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    text.truncate(text.trim_end_matches('\n').len());
    text
}

pub(super) fn as_json(lines: &[Line]) -> String {
    let rows: Vec<String> = lines
        .iter()
        .filter(|line| !line.text.is_empty())
        .map(|line| serde_json::json!({ "at": line.at, "text": line.text }).to_string())
        .collect();
    rows.join("\n")
}

/// The page, whether something is left out, and where the next page begins.
fn cut(whole: &str, window: &Window) -> (String, bool, Option<String>) {
    let chars = whole.chars().count();
    match window.from {
        None => {
            let skip = chars.saturating_sub(window.tail_chars);
            (whole.chars().skip(skip).collect(), skip > 0, None)
        }
        Some(from) => {
            let from = usize::try_from(from).unwrap_or(usize::MAX).min(chars);
            let page: String = whole.chars().skip(from).take(CONTENT_CHARS_MAX).collect();
            let end = from + page.chars().count();
            (page, end < chars, (end < chars).then(|| end.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cut;
    use crate::domain::action::Window;
    use crate::wire::limits::CONTENT_CHARS_MAX;
    use proptest::prelude::proptest;

    #[test]
    fn the_tail_is_the_end() {
        let window = |tail_chars| Window { tail_chars, ..Window::default() };
        assert_eq!(cut("äöü", &window(2)), ("öü".to_owned(), true, None));
        assert_eq!(cut("äöü", &window(3)), ("äöü".to_owned(), false, None));
        assert_eq!(cut("", &window(3)), (String::new(), false, None));
    }

    proptest! {
        #[test]
        fn pages_put_together_are_the_whole(repeat in 0usize..5, text in "[a-zä\n]{0,40}") {
            let whole = text.repeat(repeat * CONTENT_CHARS_MAX / 40);
            let (mut seen, mut cursor) = (String::new(), Some("0".to_owned()));
            while let Some(from) = cursor {
                let window = Window { from: from.parse().ok(), ..Window::default() };
                let (page, more, next) = cut(&whole, &window);
                assert!(page.chars().count() <= CONTENT_CHARS_MAX);
                assert_eq!(more, next.is_some());
                seen.push_str(&page);
                cursor = next;
            }
            assert_eq!(seen, whole);
        }
    }
}
