//! A page of what a session showed, cut from the lines of its recording. Pure, but for [`read`], which opens the file.

use crate::domain::action::Window;
use crate::domain::session::Session;
use crate::domain::timestamp::Timestamp;
use crate::host::text::{self, Limits, Line, Text};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::limits::CONTENT_CHARS_MAX;
use crate::wire::reply::ContentReply;
use std::path::Path;

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
    let (content, more, next_cursor) = cut(&whole, window);
    Ok(ContentReply {
        session_id: session.id.to_string(),
        status: session.status.name().to_owned(),
        format: if window.json { "json" } else { "markdown" }.to_owned(),
        content,
        captured_at: now.to_string(),
        truncated: more || shown.cut,
        next_cursor,
    })
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

fn as_json(lines: &[Line]) -> String {
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
