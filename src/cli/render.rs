//! The parts that replies are shown with: tables, short ids, relative times, and text made harmless. Pure: the clock,
//! the width and the colours come as a [`Look`]. How each reply looks is in the file of its noun.

use crate::cli::console::paint;
use crate::domain::timestamp::Timestamp;
use crate::wire::limits::SESSION_PREFIX_MIN;
use std::collections::BTreeSet;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How replies are shown.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// What "ago" is counted from.
    pub now: Timestamp,
    /// Columns there are.
    pub width: usize,
    /// Whether colours may be used.
    pub colour: bool,
}

/// Colours (SGR parameters).
pub const BOLD: &str = "1";
/// Less important.
pub const DIM: &str = "2";
/// Well.
pub const GREEN: &str = "32";
/// Under way, or worth a look.
pub const YELLOW: &str = "33";
/// Not well.
pub const RED: &str = "31";

/// Columns narrower than this are not worth having.
const COLUMN_MIN: usize = 8;

/// One line of text that a terminal cannot obey: control characters and those that change the direction of writing are
/// spelt out. Line ends and tabs too, so that it stays one line.
pub fn visible(text: &str) -> String {
    spelt(text, |_| false)
}

/// The same for text of several lines: line ends and tabs stay.
pub fn visible_text(text: &str) -> String {
    spelt(&text.replace("\r\n", "\n"), |c| matches!(c, '\n' | '\t'))
}

/// JSON whose strings hold nothing that a terminal obeys; it means the same. (Below U+0020 JSON escapes by itself.)
pub fn json_visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) && !matches!(c, '\n' | '\t' | '\r') {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

fn spelt(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if stays(c) || !obeyed(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
        }
    }
    out
}

/// C0, DEL, C1; line and paragraph separators; marks that reorder what is shown. All below U+10000.
fn obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A cell: what it says, and the colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    sgr: Option<&'static str>,
}

impl Cell {
    /// What it says.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The same cell in a colour.
    pub const fn sgr(mut self, sgr: &'static str) -> Self {
        self.sgr = Some(sgr);
        self
    }
}

/// A cell saying this, made harmless.
pub fn cell(text: impl AsRef<str>) -> Cell {
    Cell { text: visible(text.as_ref()), sgr: None }
}

/// Rows under a head, aligned. If they are wider than the look, the widest columns give way; the head never does.
pub fn table(head: &[&str], rows: &[Vec<Cell>], look: &Look) -> String {
    let mut widths: Vec<usize> = head.iter().map(|title| title.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.width());
        }
    }
    let gaps = 2 * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > look.width {
        // The first column is a key and stays whole.
        let Some(widest) = widths.iter_mut().skip(1).max_by_key(|width| **width) else { break };
        if *widest <= COLUMN_MIN {
            break;
        }
        *widest -= 1;
    }
    let heads: Vec<Cell> = head.iter().map(|title| cell(title).sgr(BOLD)).collect();
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        let mut pending = 0;
        for (cell, width) in row.iter().zip(&widths) {
            let text = cut(&cell.text, *width);
            if !text.is_empty() {
                line.push_str(&" ".repeat(pending));
                pending = 0;
                line.push_str(&paint(look.colour && cell.sgr.is_some(), cell.sgr.unwrap_or_default(), &text));
            }
            pending += width.saturating_sub(text.width()) + 2;
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Names and values, one pair a line, values under each other. Pairs without a value are left out.
pub fn pairs(rows: &[(&str, Option<String>)], look: &Look) -> String {
    let width = rows.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in rows {
        if let Some(value) = value {
            let gap = " ".repeat(width - name.width() + 2);
            out.push_str(&format!("{}{gap}{}\n", paint(look.colour, BOLD, name), visible(value)));
        }
    }
    out
}

/// The text, or as much as fits in so many columns and `…`.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// A moment as people say it. What is older than a month is a date; what is no time is shown as it came.
pub fn ago(at: &str, look: &Look) -> String {
    let Ok(moment) = Timestamp::parse(at) else { return visible(at) };
    let seconds = look.now.since(moment).as_secs();
    match seconds {
        0 => "now".to_owned(),
        s @ 1..60 => format!("{s}s ago"),
        s @ 60..3_600 => format!("{}m ago", s / 60),
        s @ 3_600..86_400 => format!("{}h ago", s / 3_600),
        s @ 86_400..2_592_000 => format!("{}d ago", s / 86_400),
        _ => moment.to_string().chars().take(10).collect(),
    }
}

/// A moment with how long ago it was, for where there is room.
pub fn moment(at: &str, look: &Look) -> String {
    format!("{} ({})", at, ago(at, look))
}

/// How many characters of these ids are enough to tell them apart: 8 or more, never ending with a dash.
pub fn short_length<'a>(ids: impl Iterator<Item = &'a str> + Clone) -> usize {
    let longest = ids.clone().map(str::len).max().unwrap_or(0);
    let all = ids.clone().collect::<BTreeSet<_>>().len();
    (SESSION_PREFIX_MIN..longest)
        .find(|length| {
            let cut: BTreeSet<_> = ids.clone().map(|id| short(id, *length)).collect();
            cut.len() == all && !cut.iter().any(|id| id.ends_with('-'))
        })
        .unwrap_or(longest)
}

/// The first `length` bytes of an id, or all of one that cannot be cut there.
pub fn short(id: &str, length: usize) -> &str {
    id.get(..length).unwrap_or(id)
}

/// What follows a page that is not the last.
pub fn more(next_cursor: Option<&str>, look: &Look) -> String {
    next_cursor.map_or_else(String::new, |cursor| {
        format!("{}\n", paint(look.colour, DIM, &format!("more: --cursor {}", visible(cursor))))
    })
}

/// A look for snapshots: 100 columns, no colour, 2026-11-21T12:00:00Z.
#[cfg(test)]
pub fn plain() -> Look {
    Look { now: Timestamp::from_micros(1_795_262_400_000_000), width: 100, colour: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_shown_not_obeyed() {
        assert_eq!(visible("a\x1b]0;pwned\x07b"), "a\\x1b]0;pwned\\x07b");
        assert_eq!(visible("a\u{9b}31m\nb\u{202e}c"), "a\\x9b31m\\nb\\u{202e}c");
        assert_eq!(visible_text("a\r\nb\tc\rd"), "a\nb\tc\\rd");
        assert_eq!(visible("żółw 🐢 漢字"), "żółw 🐢 漢字");
        assert_eq!(json_visible("{\"a\":\"\u{9b}\u{7f}\u{2028}\"}"), r#"{"a":"\u009b\u007f\u2028"}"#);
    }

    proptest! {
        #[test]
        fn nothing_shown_is_obeyed(text in any::<String>()) {
            prop_assert!(!visible(&text).chars().any(obeyed));
            prop_assert!(!visible_text(&text).chars().any(|c| obeyed(c) && !matches!(c, '\n' | '\t')));
        }

        #[test]
        fn json_means_the_same(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let shown = json_visible(&json);
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
            prop_assert!(!shown.chars().any(obeyed));
        }

        #[test]
        fn no_line_is_wider_than_the_look(text in "[a-z漢]{0,80}", other in "[a-z漢]{0,80}", width in 40usize..120) {
            let look = Look { width, ..plain() };
            let rows = [vec![cell("01234567"), cell(text), cell(other)]];
            for line in table(&["ID", "A", "B"], &rows, &look).lines() {
                prop_assert!(line.width() <= width);
            }
        }
    }

    #[test]
    fn ids_are_as_short_as_they_can_be() {
        let ids = |ids: &'static [&'static str]| short_length(ids.iter().copied());
        assert_eq!(ids(&["019a5d2e-1111-7000-8000-000000000001"]), 8);
        assert_eq!(ids(&["019a5d2e-1111-7000", "019a5d2f-1111-7000"]), 8);
        assert_eq!(ids(&["019a5d2e-1111-7000", "019a5d2e-2111-7000"]), 10);
        assert_eq!(ids(&["019a5d2e-1111-7000", "019a5d2e-1111-7000"]), 8);
        assert_eq!(ids(&["019a5d2e-1111-7000", "019a5d2e-1111-8000"]), 15);
        assert_eq!(ids(&["ab", "cd"]), 2);
        assert_eq!(ids(&[]), 0);
    }

    #[test]
    fn moments_in_words() {
        let look = plain();
        for (at, said) in [
            ("2026-11-21T12:00:00Z", "now"),
            ("2026-11-21T12:00:09Z", "now"),
            ("2026-11-21T11:59:01Z", "59s ago"),
            ("2026-11-21T11:01:00Z", "59m ago"),
            ("2026-11-20T12:00:01Z", "23h ago"),
            ("2026-11-01T12:00:00Z", "20d ago"),
            ("2026-01-02T03:04:05Z", "2026-01-02"),
            ("soon\x1b", "soon\\x1b"),
        ] {
            assert_eq!(ago(at, &look), said, "{at}");
        }
    }
}
