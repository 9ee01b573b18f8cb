//! The plain text of a recording: what stood on the screen, line by line, with the moment each line appeared. Reads
//! files only; the same file gives the same text.

use crate::domain::timestamp::Timestamp;
use crate::host::recording::{Code, Event, Reader};
use crate::host::spec::{ROWS_MAX, Size};
use avt::observer::{Observation, Observer};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;

/// One line, wrapped rows joined, without blanks at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When something first stood on it.
    pub at: Timestamp,
    /// What stood there when it left the screen, or stands there last.
    pub text: String,
}

/// How much is read and given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes at the end of the recording that are looked at.
    pub bytes: u64,
    /// Lines at the end of the text that are given.
    pub lines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 20, lines: 100_000 }
    }
}

/// The text of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The lines, oldest first.
    pub lines: Vec<Line>,
    /// Whether the limits left out earlier ones.
    pub cut: bool,
}

/// The lines of the recording at `path` that appeared from `since` to `until`, both included. Full-screen programs
/// leave only what they show last, if the recording ends in one.
///
/// # Errors
/// What reading says; `InvalidData` if it is no recording.
pub fn render(
    path: &Path,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    limits: Limits,
) -> io::Result<Text> {
    let skip = std::fs::metadata(path)?.len().saturating_sub(limits.bytes);
    let mut reader = Reader::open(path)?;
    let mut size = reader.header().size();
    let mut rows = Rows { limit: limits.lines, since, cut: false, ..Rows::default() };
    let mut terminal: Option<avt::Terminal> = None;
    while let Some(event) = reader.next() {
        if until.is_some_and(|until| event.at > until) {
            break;
        }
        rows.now = Some(event.at);
        let shown = match event.code {
            Code::Resize => parse_size(&event.data),
            _ => None,
        };
        size = shown.unwrap_or(size);
        if reader.offset() <= skip {
            rows.cut |= event.code == Code::Output;
            continue;
        }
        show(&mut terminal, size, &event, &mut rows)?;
    }
    if let Some(terminal) = &terminal {
        rows.finish(terminal);
    }
    Ok(Text { lines: rows.lines.into(), cut: rows.cut })
}

/// Puts an event on the terminal, which begins in that size.
fn show(terminal: &mut Option<avt::Terminal>, size: Size, event: &Event, rows: &mut Rows) -> io::Result<()> {
    let terminal = match terminal {
        Some(terminal) => terminal,
        none => none.insert(new_terminal(size)?),
    };
    match event.code {
        Code::Output => terminal.feed_with(event.data.as_str(), rows),
        Code::Resize => terminal.resize_with(usize::from(size.cols), usize::from(size.rows), rows),
        Code::Input | Code::Marker | Code::Exit => {}
    }
    Ok(())
}

/// The whole text of a recording, piece by piece, in bounded memory.
pub struct Stream {
    reader: Reader,
    terminal: Option<avt::Terminal>,
    size: Size,
    rows: Rows,
    /// Blank lines that are given only if something follows them.
    blanks: Vec<Timestamp>,
    over: bool,
}

/// Bytes of a recording that one step reads.
const STEP_BYTES: u64 = 256 * 1024;
/// Blank lines beyond this that follow each other are left out.
const BLANKS_MAX: usize = 1_000;

impl Stream {
    /// The text of what lies before `end`.
    ///
    /// # Errors
    /// What reading says; `InvalidData` if it is no recording.
    pub fn open(file: File, end: u64) -> io::Result<Self> {
        let reader = Reader::of(file, end)?;
        let size = reader.header().size();
        let rows = Rows { limit: usize::MAX, ..Rows::default() };
        Ok(Self { reader, terminal: None, size, rows, blanks: Vec::new(), over: false })
    }

    /// The moment the recording counts from.
    pub fn start(&self) -> Timestamp {
        self.reader.start()
    }

    /// The next lines, often none; `None` at the end. Blank lines at the end are left out.
    ///
    /// # Errors
    /// The terminal cannot be emulated.
    pub fn next_lines(&mut self) -> io::Result<Option<Vec<Line>>> {
        if self.over {
            return Ok(None);
        }
        let until = self.reader.offset() + STEP_BYTES;
        while self.reader.offset() < until {
            let Some(event) = self.reader.next() else {
                self.over = true;
                if let Some(terminal) = &self.terminal {
                    self.rows.finish(terminal);
                }
                break;
            };
            self.rows.now = Some(event.at);
            if event.code == Code::Resize {
                self.size = parse_size(&event.data).unwrap_or(self.size);
            }
            show(&mut self.terminal, self.size, &event, &mut self.rows)?;
        }
        let mut lines = Vec::with_capacity(self.rows.lines.len());
        for line in self.rows.lines.drain(..) {
            if line.text.is_empty() {
                if self.blanks.len() < BLANKS_MAX {
                    self.blanks.push(line.at);
                }
                continue;
            }
            lines.extend(self.blanks.drain(..).map(|at| Line { at, text: String::new() }));
            lines.push(line);
        }
        Ok(Some(lines))
    }
}

fn new_terminal(size: Size) -> io::Result<avt::Terminal> {
    avt::Terminal::new(usize::from(size.cols), usize::from(size.rows)).map_err(io::Error::other)
}

pub(super) fn parse_size(text: &str) -> Option<Size> {
    let (cols, rows) = text.split_once('x')?;
    Some(Size { cols: cols.parse().ok()?, rows: rows.parse().ok()? }.clamped())
}

/// Blank rows at the end of two screens, which do not count against a limit.
const SLACK: usize = 2 * ROWS_MAX as usize;
/// A line longer than this goes on as another.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Collects lines that leave the screen, and knows since when each row has something on it.
#[derive(Debug, Default)]
struct Rows {
    /// The moment of the event that is being fed.
    now: Option<Timestamp>,
    since: Option<Timestamp>,
    /// Per row of the primary screen, since when it is not blank.
    times: VecDeque<Option<Timestamp>>,
    /// The beginning of a line whose rest is wrapped onto the next rows.
    wrapped: Option<(Option<Timestamp>, String)>,
    lines: VecDeque<Line>,
    limit: usize,
    cut: bool,
}

impl Rows {
    fn push(&mut self, row: &avt::Line, at: Option<Timestamp>) {
        let (begun, mut text) = self.wrapped.take().unwrap_or((at, String::new()));
        text.extend(row.chars());
        if row.is_wrapped() && text.len() < LINE_BYTES_MAX {
            self.wrapped = Some((begun, text));
        } else {
            self.line(begun, &text);
        }
    }

    fn line(&mut self, at: Option<Timestamp>, text: &str) {
        // A blank line appeared together with what stands above it.
        let above = self.lines.back().map(|line| line.at);
        let Some(at) = at.or(above).or(self.now) else { return };
        if self.since.is_some_and(|since| at < since) {
            return;
        }
        if self.lines.len() >= self.limit.saturating_add(SLACK) {
            self.lines.pop_front();
            self.cut = true;
        }
        self.lines.push_back(Line { at, text: text.trim_end().to_owned() });
    }

    fn finish(&mut self, terminal: &avt::Terminal) {
        for row in terminal.primary_screen().visible_lines() {
            let at = self.times.pop_front().flatten();
            self.push(row, at);
        }
        if let Some((at, text)) = self.wrapped.take() {
            self.line(at, &text);
        }
        self.trim();
        if terminal.active_screen_kind() == avt::ScreenKind::Alternate {
            for row in terminal.screen().visible_lines() {
                self.push(row, self.now);
            }
            self.trim();
        }
        let too_many = self.lines.len().saturating_sub(self.limit);
        self.lines.drain(..too_many);
        self.cut |= too_many > 0;
    }

    fn trim(&mut self) {
        while self.lines.back().is_some_and(|line| line.text.is_empty()) {
            self.lines.pop_back();
        }
    }
}

impl Observer for Rows {
    type Output = ();

    fn evicted(&mut self, _: &mut Observation<'_>, row: &avt::Line) {
        // What came and went within one event has no time of its own yet.
        let at = self.times.pop_front().flatten().or(self.now.filter(|_| !is_blank(row)));
        self.push(row, at);
    }

    fn end(&mut self, context: &mut Observation<'_>) {
        let rows = context.terminal().size().1;
        self.times.resize(rows, None);
        for (time, row) in self.times.iter_mut().zip(context.terminal().primary_screen().visible_lines()) {
            if is_blank(row) {
                *time = None;
            } else if time.is_none() {
                *time = self.now;
            }
        }
    }
}

fn is_blank(row: &avt::Line) -> bool {
    row.chars().all(|c| c == ' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::recording::{Header, Writer};
    use std::path::PathBuf;

    const SIZE: Size = Size { cols: 10, rows: 3 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_250_000 + seconds * 1_000_000)
    }

    fn recording(outputs: &[(i64, &str)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        let mut w = Writer::open(&path, &Header::new(SIZE, at(0), None), at(0), 1 << 30).unwrap();
        for (seconds, text) in outputs {
            w.output(text, at(*seconds));
        }
        (dir, path)
    }

    fn texts(text: &Text) -> Vec<(Timestamp, &str)> {
        text.lines.iter().map(|l| (l.at, l.text.as_str())).collect()
    }

    #[test]
    fn each_line_has_the_moment_it_appeared() {
        let (_dir, path) = recording(&[
            (1, "one  \r\n"),
            (2, "tw"),
            (3, "o\r\n\r\n"),
            (4, "four\r\n"),
            (5, "0123456789abc\r\n\r\n"),
        ]);
        let all = render(&path, None, None, Limits::default()).unwrap();
        let expected =
            [(at(1), "one"), (at(2), "two"), (at(2), ""), (at(4), "four"), (at(5), "0123456789abc")];
        assert_eq!((texts(&all), all.cut), (expected.to_vec(), false));
        let some = render(&path, Some(at(2)), Some(at(4)), Limits::default()).unwrap();
        assert_eq!(texts(&some), expected[1..4].to_vec());
        assert_eq!(render(&path, None, None, Limits::default()).unwrap(), all);
    }

    #[test]
    fn limits_cut_the_beginning_and_say_so() {
        let lines: Vec<(i64, String)> = (0..100).map(|i| (i, format!("line {i}\r\n"))).collect();
        let borrowed: Vec<(i64, &str)> = lines.iter().map(|(i, l)| (*i, l.as_str())).collect();
        let (_dir, path) = recording(&borrowed);
        let few = render(&path, None, None, Limits { bytes: 1 << 20, lines: 2 }).unwrap();
        assert_eq!((texts(&few), few.cut), (vec![(at(98), "line 98"), (at(99), "line 99")], true));
        let tail = render(&path, None, None, Limits { bytes: 90, lines: 100 }).unwrap();
        assert!(tail.cut && tail.lines.len() < 5);
        assert_eq!(tail.lines.last().unwrap().text, "line 99");
    }

    #[test]
    fn a_stream_gives_the_whole_and_says_what_rendering_says() {
        let lines: Vec<(i64, String)> = (0..20_000)
            .map(|i| (i / 100, format!("line {i}\r\n{}", "\r\n".repeat(usize::from(i % 7 == 0)))))
            .collect();
        let borrowed: Vec<(i64, &str)> = lines.iter().map(|(i, l)| (*i, l.as_str())).collect();
        let (_dir, path) = recording(&borrowed);
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length > 2 * STEP_BYTES, "several steps");
        let all = render(&path, None, None, Limits::default()).unwrap();
        let mut stream = Stream::open(File::open(&path).unwrap(), length).unwrap();
        let (mut streamed, mut pieces) = (Vec::new(), 0);
        while let Some(lines) = stream.next_lines().unwrap() {
            streamed.extend(lines);
            pieces += 1;
        }
        assert!(pieces > 2 && !all.cut);
        let texts = |lines: &[Line]| lines.iter().map(|l| l.text.clone()).collect::<Vec<_>>();
        assert_eq!(texts(&streamed), texts(&all.lines));
        // Only what was there when it began.
        let mut first = Stream::open(File::open(&path).unwrap(), length / 2).unwrap();
        let mut count = 0;
        while let Some(lines) = first.next_lines().unwrap() {
            count += lines.len();
        }
        assert!(count > 0 && count < streamed.len());
    }

    #[test]
    fn a_full_screen_program_leaves_what_it_shows_last() {
        let (_dir, path) = recording(&[(1, "$ vim\r\n"), (2, "\x1b[?1049h\x1b[Hbuffer")]);
        let text = render(&path, None, None, Limits::default()).unwrap();
        assert_eq!(texts(&text), [(at(1), "$ vim"), (at(2), "buffer")]);
    }
}
