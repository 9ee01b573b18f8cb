//! A recording as a film: what stood on the screen, moment by moment, as lines of JSON for somebody who only paints. The
//! recording is replayed on the emulator that hosts use; nobody who plays the film needs one.
//!
//! Each line is an array whose first element says what it is. Times are milliseconds since the start.
//! - `["h", start]`: the start, in milliseconds since the epoch. The first line.
//! - `["s", fg, bg, attributes]`: a style; styles are numbered from 0 in the order of these lines. A colour is `null`,
//!   0 to 255, or `"#rrggbb"`; attributes are a sum of 1 bold, 2 faint, 4 italic, 8 underlined, 16 struck through,
//!   32 blinking, 64 inverse.
//! - `["r", [text, cells, style, …]]`: a row, numbered from 0 likewise; blanks at its end may be missing.
//! - `["k", time, cols, rows, [row, …], x, y]`: the whole screen, and the cursor (-1 and -1 if there is none).
//! - `["f", time, [place, row, …], x, y]`: what has changed on it.
//! - `["m", time, text]`: a note in the recording. `["x", time, text]`: the end, with the exit status.
//! - `["t", time, text]`: a message that was typed; whoever has them puts them in.
//! - `["n", moments]`: so many moments were left out, for size. The last line.

use crate::domain::timestamp::Timestamp;
use crate::host::recording::{Code, Event, Reader};
use crate::host::spec::Size;
use crate::host::text::parse_size;
use avt::observer::DirtyRows;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::time::Duration;
use unicode_width::UnicodeWidthChar as _;

/// What changes within this is one moment.
const MOMENT: Duration = Duration::from_millis(33);
/// A pause of this or more is looked at: what stands there is shown if there is any room.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of a recording that one step reads.
const STEP_BYTES: u64 = 256 * 1024;
/// The whole screen is given every so many moments.
const WHOLE_EVERY: u32 = 100;
/// Bytes of rows that are known by their number; beyond it they begin anew. The same of styles.
const ROWS_BYTES: usize = 4 << 20;
const STYLES_BYTES: usize = 128 << 10;
/// Characters of a note, and notes, at most.
const NOTE_CHARS: usize = 200;
const NOTES: u32 = 10_000;

/// Bytes that a film may have.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Wherever in the recording they are needed.
    pub free: u64,
    /// Spread evenly over the recording.
    pub spread: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { free: 6 << 20, spread: 18 << 20 }
    }
}

/// A recording that is being made into a film.
pub struct Film {
    reader: Reader,
    end: u64,
    room: Room,
    terminal: avt::Terminal,
    changes: DirtyRows,
    /// Places that may have changed since the last moment given.
    dirty: Vec<bool>,
    /// The rows that were given last, by their numbers.
    shown: Vec<u32>,
    cursor: (i64, i64),
    /// Whether the next moment is to be a whole screen.
    whole: bool,
    since_whole: u32,
    /// When something first changed after the last moment given, and the last event.
    since: Option<Timestamp>,
    last: Timestamp,
    rows: Numbers,
    styles: Numbers,
    given: u64,
    left_out: u64,
    notes: u32,
    begun: bool,
}

/// Lines that are known by a number.
#[derive(Default)]
struct Numbers {
    known: HashMap<String, u32>,
    next: u32,
    bytes: usize,
}

impl Numbers {
    /// The number of `line`, which is given if it is not known; at most `bytes_max` are.
    fn of(&mut self, line: String, bytes_max: usize, out: &mut String) -> u32 {
        if let Some(number) = self.known.get(&line) {
            return *number;
        }
        if self.bytes + line.len() > bytes_max {
            self.known.clear();
            self.bytes = 0;
        }
        out.push_str(&line);
        let number = self.next;
        self.next += 1;
        self.bytes += line.len();
        self.known.insert(line, number);
        number
    }
}

impl Film {
    /// The film of what lies before `end` in a recording.
    ///
    /// # Errors
    /// What reading says; `InvalidData` if it is no recording.
    pub fn open(file: File, end: u64, room: Room) -> io::Result<Self> {
        let reader = Reader::of(file, end)?;
        let size = reader.header().size();
        let terminal =
            avt::Terminal::new(usize::from(size.cols), usize::from(size.rows)).map_err(io::Error::other)?;
        let last = reader.start();
        Ok(Self {
            reader,
            end,
            room,
            terminal,
            changes: DirtyRows::new(),
            dirty: vec![true; usize::from(size.rows)],
            shown: Vec::new(),
            cursor: (-1, -1),
            whole: true,
            since_whole: 0,
            since: None,
            last,
            rows: Numbers::default(),
            styles: Numbers::default(),
            given: 0,
            left_out: 0,
            notes: 0,
            begun: false,
        })
    }

    /// The moment it starts.
    pub fn start(&self) -> Timestamp {
        self.reader.start()
    }

    /// The next lines, sometimes none, each with its line end; `None` after the last.
    pub fn next_lines(&mut self) -> Option<String> {
        if self.end == 0 {
            return None;
        }
        let mut out = String::new();
        if !self.begun {
            self.begun = true;
            let _ = writeln!(out, "[\"h\",{}]", self.reader.start().micros().div_euclid(1_000));
        }
        let until = self.reader.offset() + STEP_BYTES;
        while self.reader.offset() < until {
            let Some(event) = self.reader.next() else {
                if self.since.is_some() {
                    self.moment(&mut out);
                }
                if self.left_out > 0 {
                    let _ = writeln!(out, "[\"n\",{}]", self.left_out);
                }
                self.end = 0;
                break;
            };
            self.event(&event, &mut out);
        }
        Some(out)
    }

    fn event(&mut self, event: &Event, out: &mut String) {
        if let Some(since) = self.since
            && event.at.since(since) >= MOMENT
        {
            let pause = event.at.since(self.last) >= PAUSE;
            if self.has_room(pause, out.len()) {
                self.moment(out);
            } else {
                self.left_out += 1;
                // As often as it would have been a moment.
                self.since = Some(event.at);
            }
        }
        self.last = event.at;
        match event.code {
            Code::Output => {
                for row in self.terminal.feed_with(event.data.as_str(), &mut self.changes) {
                    self.dirty[row] = true;
                }
                self.since.get_or_insert(event.at);
            }
            Code::Resize => {
                let Some(size) = parse_size(&event.data) else { return };
                self.resize(size);
                self.since.get_or_insert(event.at);
            }
            Code::Marker | Code::Exit if self.notes < NOTES => {
                self.notes += 1;
                let kind = if event.code == Code::Marker { "m" } else { "x" };
                let text: String = event.data.chars().take(NOTE_CHARS).collect();
                let _ = writeln!(out, "[\"{kind}\",{},{}]", self.time(event.at), quoted(&text));
            }
            Code::Marker | Code::Exit | Code::Input => {}
        }
    }

    fn resize(&mut self, size: Size) {
        let (cols, rows) = (usize::from(size.cols), usize::from(size.rows));
        self.terminal.resize_with(cols, rows, &mut self.changes);
        self.dirty = vec![true; rows];
        self.whole = true;
    }

    /// Whether there is room for another moment, `pending` bytes being on their way already.
    fn has_room(&self, pause: bool, pending: usize) -> bool {
        let part =
            u128::from(self.room.spread) * u128::from(self.reader.offset()) / u128::from(self.end.max(1));
        let free = if pause { self.room.free } else { self.room.free / 2 };
        u128::from(self.given) + pending as u128 <= part + u128::from(free)
    }

    fn time(&self, at: Timestamp) -> u128 {
        at.since(self.reader.start()).as_millis()
    }

    /// Gives what stands there after the last event.
    fn moment(&mut self, out: &mut String) {
        self.since = None;
        let before = out.len();
        let (cols, rows) = self.terminal.size();
        self.whole |= self.since_whole >= WHOLE_EVERY || self.shown.len() != rows;
        self.shown.resize(rows, u32::MAX);
        let mut changed = Vec::new();
        for place in 0..rows {
            if std::mem::take(&mut self.dirty[place]) {
                let row = self.row(place, out);
                if self.shown[place] != row {
                    self.shown[place] = row;
                    changed.push((place, row));
                }
            }
        }
        let cursor = self.terminal.cursor().position();
        let number = |n: usize| i64::try_from(n).unwrap_or(-1);
        let cursor = cursor.map_or((-1, -1), |(x, y)| (number(x), number(y)));
        let time = self.time(self.last);
        if self.whole {
            let all: Vec<String> = self.shown.iter().map(u32::to_string).collect();
            let all = all.join(",");
            let _ = writeln!(out, "[\"k\",{time},{cols},{rows},[{all}],{},{}]", cursor.0, cursor.1);
            (self.whole, self.since_whole) = (false, 0);
        } else if !changed.is_empty() || cursor != self.cursor {
            let changed: Vec<String> = changed.iter().map(|(place, row)| format!("{place},{row}")).collect();
            let changed = changed.join(",");
            let _ = writeln!(out, "[\"f\",{time},[{changed}],{},{}]", cursor.0, cursor.1);
            self.since_whole += 1;
        }
        self.cursor = cursor;
        self.given += (out.len() - before) as u64;
    }

    /// The number of what stands in a place; a row that is new is given first.
    fn row(&mut self, place: usize, out: &mut String) -> u32 {
        let mut runs: Vec<Run> = Vec::new();
        let screen = self.terminal.screen();
        for cell in screen.line(place).map(avt::Line::cells).unwrap_or_default() {
            if cell.width() > 0 {
                add(&mut runs, cell);
            }
        }
        while let Some(last) = runs.last_mut().filter(|run| run.pen.is_default()) {
            let kept = last.text.trim_end_matches(' ').len();
            if kept > 0 {
                last.cells -= last.text.len() - kept;
                last.text.truncate(kept);
                break;
            }
            runs.pop();
        }
        let mut line = String::from("[\"r\",[");
        for (i, run) in runs.iter().enumerate() {
            let style = self.styles.of(style_line(&run.pen), STYLES_BYTES, out);
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(line, "{comma}{},{},{style}", quoted(&run.text), run.cells);
        }
        line.push_str("]]\n");
        self.rows.of(line, ROWS_BYTES, out)
    }
}

/// Cells that stand together in one style.
struct Run {
    text: String,
    cells: usize,
    pen: avt::Pen,
    /// Whether all of it is ASCII, whose characters are as wide as a cell in every font.
    plain: bool,
    /// Whether nothing is added any more.
    closed: bool,
}

/// Adds a cell: to the last run if it fits there. What may be wider or narrower than its cells stands alone, so that
/// what comes after it begins where it should.
fn add(runs: &mut Vec<Run>, cell: &avt::Cell) {
    let (c, width) = (cell.char(), usize::from(cell.width()));
    let combines = c.width() == Some(0);
    let wide = width != 1;
    let plain = c.is_ascii();
    match runs.last_mut() {
        Some(run) if !run.closed && !wide && run.pen == *cell.pen() && (run.plain == plain || combines) => {
            run.text.push(c);
            run.cells += 1;
            run.plain &= plain;
            run.closed = combines;
        }
        _ => runs.push(Run {
            text: c.to_string(),
            cells: width,
            pen: *cell.pen(),
            plain,
            closed: wide || combines,
        }),
    }
}

fn style_line(pen: &avt::Pen) -> String {
    let attributes = [
        pen.is_bold(),
        pen.is_faint(),
        pen.is_italic(),
        pen.is_underline(),
        pen.is_strikethrough(),
        pen.is_blink(),
        pen.is_inverse(),
    ];
    let sum: u32 = attributes.iter().zip(0..).map(|(on, bit)| u32::from(*on) << bit).sum();
    format!("[\"s\",{},{},{sum}]\n", colour(pen.foreground()), colour(pen.background()))
}

fn colour(colour: Option<avt::Color>) -> String {
    match colour {
        None => "null".to_owned(),
        Some(avt::Color::Indexed(index)) => index.to_string(),
        Some(avt::Color::RGB(rgb)) => format!("\"#{:02x}{:02x}{:02x}\"", rgb.r, rgb.g, rgb.b),
    }
}

/// Text as a JSON string that can stand in any page and on any terminal: of what means something there, only the number
/// is written.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '<'
            | '>'
            | '&'
            | '\''
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::{Film, MOMENT, Room, quoted};
    use crate::domain::timestamp::Timestamp;
    use crate::host::recording::{Code, Header, Reader, Writer};
    use crate::host::spec::Size;
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
    use serde_json::Value;
    use std::fs::File;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    const SIZE: Size = Size { cols: 12, rows: 4 };
    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    #[derive(Clone, Debug)]
    enum Step {
        Output(String),
        Resize(u16, u16),
    }

    fn recording(steps: &[(u64, Step)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        let mut writer = Writer::open(&path, &Header::new(SIZE, START, None), START, 1 << 30).unwrap();
        let mut at = START;
        for (pause, step) in steps {
            at = at.plus(Duration::from_millis(*pause));
            match step {
                Step::Output(text) => writer.output(text, at),
                Step::Resize(cols, rows) => writer.resize(Size { cols: *cols, rows: *rows }, at),
            };
        }
        writer.finish(0, Some("the end"), at).unwrap();
        (dir, path)
    }

    fn film(path: &Path, room: Room) -> Vec<Value> {
        let length = std::fs::metadata(path).unwrap().len();
        let mut film = Film::open(File::open(path).unwrap(), length, room).unwrap();
        let mut text = String::new();
        while let Some(lines) = film.next_lines() {
            text.push_str(&lines);
        }
        assert!(
            text.chars().all(|c| c == '\n' || !(c.is_control() || "<>&\u{2028}".contains(c))),
            "{text:?}"
        );
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A size, the rows, the cursor.
    type Picture = ((u64, u64), Vec<String>, (i64, i64));

    /// Plays a film as a player would: each moment with its time, size, rows and cursor.
    fn play(lines: &[Value]) -> Vec<(u64, Picture)> {
        let (mut rows, mut shown, mut size, mut moments) = (Vec::new(), Vec::new(), (0, 0), Vec::new());
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
        for line in lines {
            let time = line[1].as_u64();
            let cursor = match line[0].as_str().unwrap() {
                "r" => {
                    let runs = line[1].as_array().unwrap();
                    rows.push(runs.chunks(3).map(|run| run[0].as_str().unwrap()).collect::<String>());
                    continue;
                }
                "k" => {
                    size = (line[2].as_u64().unwrap(), line[3].as_u64().unwrap());
                    shown = line[4].as_array().unwrap().iter().map(number).collect();
                    (&line[5], &line[6])
                }
                "f" => {
                    for change in line[2].as_array().unwrap().chunks(2) {
                        let place: usize = number(&change[0]);
                        shown[place] = number(&change[1]);
                    }
                    (&line[3], &line[4])
                }
                _ => continue,
            };
            let cursor = (cursor.0.as_i64().unwrap(), cursor.1.as_i64().unwrap());
            let texts = shown.iter().map(|row: &usize| rows[*row].clone()).collect();
            moments.push((time.unwrap(), (size, texts, cursor)));
        }
        moments
    }

    /// What an emulator shows that was fed with everything up to this moment.
    fn screen_at(path: &Path, time: u64) -> Picture {
        let mut terminal = avt::Terminal::new(usize::from(SIZE.cols), usize::from(SIZE.rows)).unwrap();
        for event in Reader::open(path).unwrap() {
            if event.at.since(START).as_millis() > u128::from(time) {
                break;
            }
            match event.code {
                Code::Output => terminal.feed(event.data.as_str()),
                Code::Resize => {
                    let size = super::parse_size(&event.data).unwrap();
                    terminal.resize(usize::from(size.cols), usize::from(size.rows));
                }
                _ => {}
            }
        }
        let row = |line: &avt::Line| {
            let cells = line.cells().iter().filter(|cell| cell.width() > 0);
            let last = cells.clone().rposition_not_blank();
            cells.take(last).map(avt::Cell::char).collect()
        };
        let rows = terminal.screen().visible_lines().map(row).collect();
        let (cols, lines) = terminal.size();
        let cursor = terminal
            .cursor()
            .position()
            .map_or((-1, -1), |(x, y)| (x.try_into().unwrap(), y.try_into().unwrap()));
        ((cols as u64, lines as u64), rows, cursor)
    }

    trait Blank {
        fn rposition_not_blank(self) -> usize;
    }

    impl<'a, I: Iterator<Item = &'a avt::Cell>> Blank for I {
        fn rposition_not_blank(self) -> usize {
            let cells: Vec<&avt::Cell> = self.collect();
            let blank = |cell: &&avt::Cell| cell.char() == ' ' && cell.pen().is_default();
            cells.len() - cells.iter().rev().take_while(|cell| blank(cell)).count()
        }
    }

    fn output() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[ -~]{0,12}",
            Just("\r\n".to_owned()),
            Just("\x1b[2J\x1b[H".to_owned()),
            Just("\x1b[?1049h".to_owned()),
            Just("\x1b[?1049l".to_owned()),
            Just("\x1b[?25l".to_owned()),
            Just("漢字e\u{301}\u{2028}\u{202e}👩‍👩‍👧".to_owned()),
            (0..5_u8, 0..256_u16).prop_map(|(row, n)| format!("\x1b[{row};3H\x1b[38;5;{n};1;7m</script>")),
            Just("\x1b[48;2;1;2;3mx \x1b[m".to_owned()),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn every_moment_is_what_an_emulator_shows_then(
            steps in prop::collection::vec(
                (0..90_u64, prop_oneof![
                    9 => output().prop_map(Step::Output),
                    1 => (1..20_u16, 1..8_u16).prop_map(|(cols, rows)| Step::Resize(cols, rows)),
                ]),
                1..40,
            ),
        ) {
            let (_dir, path) = recording(&steps);
            let lines = film(&path, Room::default());
            let moments = play(&lines);
            assert!(!moments.is_empty());
            for (time, picture) in &moments {
                assert_eq!(*picture, screen_at(&path, *time), "at {time}");
            }
            // Nothing is lost at the end.
            assert_eq!(moments.last().unwrap().1, screen_at(&path, u64::MAX));
            assert!(lines.iter().any(|line| line[0] == "x"));
        }

        #[test]
        fn quoted_text_is_the_same_text(text in any::<String>()) {
            assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }
    }

    #[test]
    fn what_is_wider_or_narrower_than_its_cells_stands_alone() {
        let (_dir, path) = recording(&[(0, Step::Output("a漢be\u{301}x─y".to_owned()))]);
        let lines = film(&path, Room::default());
        let row = lines.iter().find(|line| line[0] == "r").unwrap();
        let runs: Vec<(&str, u64)> = row[1]
            .as_array()
            .unwrap()
            .chunks(3)
            .map(|r| (r[0].as_str().unwrap(), r[1].as_u64().unwrap()))
            .collect();
        assert_eq!(runs, [("a", 1), ("漢", 2), ("be\u{301}", 3), ("x", 1), ("─", 1), ("y", 1)]);
    }

    #[test]
    fn what_comes_fast_is_one_moment_and_what_is_too_much_is_left_out_and_counted() {
        let steps: Vec<(u64, Step)> = (0..2_000)
            .map(|i| (40, Step::Output(format!("\x1b[H{i} \x1b[38;2;{};7;9mx", i % 256))))
            .collect();
        let (_dir, path) = recording(&steps);
        let all = film(&path, Room::default());
        assert_eq!(play(&all).len(), 2_000);
        let room = Room { free: 4_000, spread: 20_000 };
        let few = film(&path, room);
        let bytes: usize = few.iter().map(|line| line.to_string().len() + 1).sum();
        assert!(bytes < 26_000, "{bytes}");
        let left_out = few.last().unwrap();
        assert!(left_out[0] == "n" && left_out[1].as_u64().unwrap() > 1_000, "{left_out}");
        let (some, every) = (play(&few), play(&all));
        assert_eq!(some.last(), every.last());
        // Spread over all of it.
        let half = some.iter().filter(|moment| moment.0 < 40_000).count();
        assert!(half * 3 > some.len() && half * 3 < some.len() * 2, "{half} of {}", some.len());

        let fast: Vec<(u64, Step)> = (0..300).map(|i| (1, Step::Output(format!("\r{i}")))).collect();
        let (_dir, path) = recording(&fast);
        let moments = play(&film(&path, Room::default())).len() as u64;
        assert!(moments <= 300 / u64::try_from(MOMENT.as_millis()).unwrap() + 1, "{moments}");
    }
}
