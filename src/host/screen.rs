//! The screen as the agent sees it: a terminal emulator fed with what the agent writes, plus what the emulator
//! does not keep (modes a painted terminal must be put into) or does not do (answering questions).

use crate::host::spec::Size;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Private modes that belong to a first paint and that the emulator does not dump: mouse, focus, pastes.
const KEPT_MODES: [u16; 7] = [1000, 1002, 1003, 1004, 1005, 1006, 2004];
/// Lines that may come below what somebody typed before it counts as moved.
const LINES_BELOW: usize = 2;
/// An escape sequence longer than this is of no interest here.
const SEQUENCE_MAX: usize = 64;

/// Turns bytes into text: a character that is split between two reads is held back, what is no UTF-8 becomes
/// U+FFFD.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Vec<u8>,
}

impl Decoder {
    /// The text of `bytes`, together with what was held back before.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len() + 4);
        let joined;
        let mut rest = if self.held.is_empty() {
            bytes
        } else {
            joined = [std::mem::take(&mut self.held).as_slice(), bytes].concat();
            &joined
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(good) => {
                    text.push_str(good);
                    return text;
                }
                Err(e) => {
                    let (good, bad) = rest.split_at(e.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(good));
                    match e.error_len() {
                        Some(length) => {
                            text.push('\u{fffd}');
                            rest = &bad[length..];
                        }
                        None => {
                            self.held = bad.to_vec();
                            return text;
                        }
                    }
                }
            }
        }
    }

    /// What is still held back, at the end: a character that never became whole.
    pub fn finish(&mut self) -> &'static str {
        if std::mem::take(&mut self.held).is_empty() { "" } else { "\u{fffd}" }
    }
}

/// Where on the screen some words stand: so many rows above the last one that is not blank, in a row of this sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Rows above the last one that is not blank.
    pub from_bottom: usize,
    /// The sum over the row's text.
    pub row: u64,
}

impl Spot {
    /// Whether what stood here is now there, but for a line or two that came to stand below it.
    pub fn is_still_at(self, now: Self) -> bool {
        let below = self.from_bottom..=self.from_bottom + LINES_BELOW;
        self.row == now.row && below.contains(&now.from_bottom)
    }
}

/// The screen with its scrollback.
pub struct Screen {
    terminal: avt::Terminal,
    scan: Scan,
    modes: [bool; KEPT_MODES.len()],
}

enum Scan {
    Ground,
    Escape,
    Sequence(String),
}

impl Screen {
    /// An empty screen.
    pub fn new(size: Size, scrollback: usize) -> Self {
        let size = size.clamped();
        let terminal =
            avt::Terminal::with_scrollback(usize::from(size.cols), usize::from(size.rows), Some(scrollback))
                .unwrap_or_else(|_| unreachable!("a clamped size is positive"));
        Self { terminal, scan: Scan::Ground, modes: [false; KEPT_MODES.len()] }
    }

    /// Takes output. Gives what a terminal would answer to the questions in it (cursor position, status, device):
    /// programs wait for that, and nobody may be attached.
    pub fn feed(&mut self, text: &str) -> String {
        let mut answers = String::new();
        let mut fed = 0;
        for (i, c) in text.char_indices() {
            self.scan = match std::mem::replace(&mut self.scan, Scan::Ground) {
                _ if c == '\x1b' => Scan::Escape,
                Scan::Escape if c == '[' => Scan::Sequence(String::new()),
                Scan::Escape if c == 'c' => {
                    self.modes = [false; KEPT_MODES.len()];
                    Scan::Ground
                }
                Scan::Ground | Scan::Escape => Scan::Ground,
                Scan::Sequence(mut seen) if matches!(c, '\x20'..='\x3f') && seen.len() < SEQUENCE_MAX => {
                    seen.push(c);
                    Scan::Sequence(seen)
                }
                Scan::Sequence(seen) => {
                    if matches!(c, 'n' | 'c') {
                        let end = i + c.len_utf8();
                        self.terminal.feed(&text[fed..end]);
                        fed = end;
                    }
                    self.sequence(&seen, c, &mut answers);
                    Scan::Ground
                }
            };
        }
        self.terminal.feed(&text[fed..]);
        answers
    }

    fn sequence(&mut self, parameters: &str, last: char, answers: &mut String) {
        match (parameters, last) {
            ("6", 'n') => {
                let cursor = self.terminal.cursor();
                let _ = write!(answers, "\x1b[{};{}R", cursor.row + 1, cursor.col + 1);
            }
            ("5", 'n') => answers.push_str("\x1b[0n"),
            ("" | "0", 'c') => answers.push_str("\x1b[?62;22c"),
            (p, 'h' | 'l') => {
                for mode in p.strip_prefix('?').into_iter().flat_map(|p| p.split(';')) {
                    if let Some(i) = KEPT_MODES.iter().position(|m| mode.parse() == Ok(*m)) {
                        self.modes[i] = last == 'h';
                    }
                }
            }
            _ => {}
        }
    }

    /// Changes the size.
    pub fn resize(&mut self, size: Size) {
        let size = size.clamped();
        self.terminal.resize(usize::from(size.cols), usize::from(size.rows));
    }

    /// The size.
    pub fn size(&self) -> Size {
        let (cols, rows) = self.terminal.size();
        Size { cols: u16::try_from(cols).unwrap_or(u16::MAX), rows: u16::try_from(rows).unwrap_or(u16::MAX) }
    }

    /// Whether the program asked for bracketed pastes.
    pub fn wants_bracketed_paste(&self) -> bool {
        self.modes[KEPT_MODES.len() - 1]
    }

    /// Where these words stand last; blanks do not count, nor where a row or a box around it ends.
    pub fn spot(&self, words: &str) -> Option<Spot> {
        let bare = |row: &avt::Line| -> String {
            row.text().chars().filter(|c| !c.is_whitespace() && !matches!(c, '│' | '┃' | '|')).collect()
        };
        let rows: Vec<String> = self.terminal.screen().visible_lines().map(bare).collect();
        let end = rows.iter().rposition(|row| !row.is_empty())? + 1;
        (0..end).rev().find_map(|last| {
            let row = &rows[last];
            let above = last.checked_sub(1).map_or("", |above| &rows[above]);
            let is_there = row.contains(words)
                || (!row.is_empty() && !above.contains(words) && format!("{above}{row}").contains(words));
            is_there.then(|| {
                let mut sum = DefaultHasher::new();
                row.hash(&mut sum);
                Spot { from_bottom: end - 1 - last, row: sum.finish() }
            })
        })
    }

    /// Escape sequences that bring a terminal of this size to this state.
    pub fn dump(&self) -> String {
        let mut dump = String::from("\x1bc");
        dump.push_str(&self.terminal.dump());
        for (mode, _) in KEPT_MODES.iter().zip(self.modes).filter(|(_, on)| *on) {
            let _ = write!(dump, "\x1b[?{mode}h");
        }
        dump
    }

    /// The text on the screen with up to `scrollback` lines above it, wrapped lines joined, blanks at the ends of
    /// lines and blank lines at the end removed.
    pub fn text(&self, scrollback: usize) -> String {
        let lines: Vec<&avt::Line> = self.terminal.screen().all_lines().collect();
        let rows = self.terminal.size().1;
        let skip = lines.len().saturating_sub(rows + scrollback);
        let mut text = String::new();
        for line in &lines[skip..] {
            text.push_str(&line.text());
            if !line.is_wrapped() {
                text.truncate(text.trim_end_matches(' ').len());
                text.push('\n');
            }
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen::new(Size { cols: 20, rows: 4 }, 100)
    }

    #[test]
    fn a_split_character_waits_and_garbage_is_replaced() {
        let mut d = Decoder::default();
        let bytes = "a€b".as_bytes();
        assert_eq!(d.push(&bytes[..2]), "a");
        assert_eq!(d.push(&bytes[2..3]), "");
        assert_eq!(d.push(&bytes[3..]), "€b");
        assert_eq!(d.push(b"x\xff\xc3y"), "x\u{fffd}\u{fffd}y");
        assert_eq!(d.push(b"\xe2\x82"), "");
        assert_eq!(d.finish(), "\u{fffd}");
        assert_eq!(d.finish(), "");
    }

    #[test]
    fn questions_are_answered_from_where_the_cursor_is() {
        let mut s = screen();
        assert_eq!(s.feed("ab\x1b[6ncd"), "\x1b[1;3R");
        assert_eq!(s.feed("\x1b[5n\x1b["), "\x1b[0n");
        assert_eq!(s.feed("c"), "\x1b[?62;22c");
        assert_eq!(s.feed("\x1b[6"), "");
        assert_eq!(s.feed("n"), "\x1b[1;5R");
    }

    #[test]
    fn paste_mode_is_seen_and_painted() {
        let mut s = screen();
        assert!(!s.wants_bracketed_paste());
        s.feed("\x1b[?25;2004h");
        assert!(s.wants_bracketed_paste() && s.dump().ends_with("\x1b[?2004h"));
        s.feed("\x1b[?2004l");
        assert!(!s.wants_bracketed_paste() && !s.dump().contains("2004"));
    }

    #[test]
    fn words_are_found_where_they_stand_last() {
        let mut s = screen();
        s.feed("> say\r\n\r\n* say\r\n");
        let spot = s.spot("say").unwrap();
        assert_eq!((spot.from_bottom, s.spot("no")), (0, None));
        s.feed("foot");
        let moved = s.spot("say").unwrap();
        assert_eq!((moved.from_bottom, moved.row), (1, spot.row));
        s.feed("\x1b[3;1H> ");
        assert_ne!(s.spot("say").unwrap().row, spot.row);
        s.feed("\x1b[2J\x1b[H│ some words of a │\r\n│ line   │\r\n└──┘");
        assert_eq!(s.spot("wordsofaline").map(|spot| spot.from_bottom), Some(1));
    }

    #[test]
    fn text_has_no_padding_and_as_much_history_as_asked_for() {
        let mut s = screen();
        s.feed("one\r\ntwo  \r\nthree\r\nfour\r\nfive\r\n\r\n");
        assert_eq!(s.text(0), "four\nfive");
        assert_eq!(s.text(1), "three\nfour\nfive");
        assert_eq!(s.text(100), "one\ntwo\nthree\nfour\nfive");
    }
}
