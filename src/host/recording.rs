//! Recordings: asciicast v3, one JSON document a line. The writer keeps a file valid up to its last line whatever
//! happens, the reader takes a torn end, and [`repair`] closes what a vanished host left open. Times inside a file
//! are intervals; here they are moments.

use crate::domain::timestamp::Timestamp;
use crate::host::spec::Size;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// A line longer than this is not one of ours.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// Kept free below the limit, for the markers that say what is missing.
const RESERVE_BYTES: u64 = 4096;
/// The exit status in a recording whose host vanished: as if by SIGKILL.
pub const STATUS_LOST: i32 = 137;

/// What kind of event a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The terminal was written to.
    Output,
    /// Somebody typed.
    Input,
    /// A note.
    Marker,
    /// A new size, `COLSxROWS`.
    Resize,
    /// The end, with the exit status.
    Exit,
}

impl Code {
    const fn letter(self) -> &'static str {
        match self {
            Self::Output => "o",
            Self::Input => "i",
            Self::Marker => "m",
            Self::Resize => "r",
            Self::Exit => "x",
        }
    }

    fn parse(letter: &str) -> Option<Self> {
        [Self::Output, Self::Input, Self::Marker, Self::Resize, Self::Exit]
            .into_iter()
            .find(|c| c.letter() == letter)
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub at: Timestamp,
    /// What kind.
    pub code: Code,
    /// Text, size or status.
    pub data: String,
}

/// The first line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    version: u32,
    term: Term,
    /// Seconds since the epoch.
    timestamp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    title: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Term {
    cols: u16,
    rows: u16,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
}

impl Header {
    /// A header for a recording that begins now.
    pub fn new(size: Size, at: Timestamp, title: Option<String>) -> Self {
        Self {
            version: 3,
            term: Term { cols: size.cols, rows: size.rows, kind: Some("xterm-256color".to_owned()) },
            timestamp: at.micros().div_euclid(1_000_000),
            title,
        }
    }

    /// The size at the beginning.
    pub fn size(&self) -> Size {
        Size { cols: self.term.cols, rows: self.term.rows }.clamped()
    }

    fn start(&self) -> Timestamp {
        Timestamp::from_micros(self.timestamp.saturating_mul(1_000_000))
    }
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the file.
    Kept,
    /// It is not, and this is the first one of a hole; why.
    HoleBegins(String),
    /// It is not, as those before it.
    InHole,
}

/// Writes one recording.
#[derive(Debug)]
pub struct Writer {
    file: File,
    /// Length up to the last whole line.
    length: u64,
    max_bytes: u64,
    last: Timestamp,
    line: Vec<u8>,
    dirty: bool,
    in_hole: bool,
    /// The limit was reached: for good, or what fits between would make shreds.
    full: bool,
    lost_bytes: u64,
    lost_told: u64,
}

impl Writer {
    /// Begins a recording (0600), or goes on with one that exists: a torn last line is cut off and a marker says
    /// that the session was resumed.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path, header: &Header, at: Timestamp, max_bytes: u64) -> io::Result<Self> {
        let old = match Reader::open(path) {
            Ok(reader) => Some(reader.measure()),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => None,
            Err(e) => return Err(e),
        };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let mut writer = Self {
            file,
            length: old.map_or(0, |o| o.length),
            max_bytes: max_bytes.max(2 * RESERVE_BYTES),
            last: old.map_or(header.start(), |o| o.last),
            line: Vec::new(),
            dirty: false,
            in_hole: false,
            full: false,
            lost_bytes: 0,
            lost_told: 0,
        };
        writer.file.set_len(writer.length)?;
        if old.is_some() {
            writer.put(Code::Marker, "session resumed", at)?;
            let size = header.size();
            writer.put(Code::Resize, &format!("{}x{}", size.cols, size.rows), at)?;
        } else {
            writer.line = serde_json::to_vec(header)?;
            writer.line.push(b'\n');
            writer.put_line()?;
        }
        Ok(writer)
    }

    /// Output of the terminal.
    pub fn output(&mut self, text: &str, at: Timestamp) -> Recorded {
        self.event(Code::Output, text, at)
    }

    /// What was typed.
    pub fn input(&mut self, text: &str, at: Timestamp) -> Recorded {
        self.event(Code::Input, text, at)
    }

    /// A new size.
    pub fn resize(&mut self, size: Size, at: Timestamp) -> Recorded {
        self.event(Code::Resize, &format!("{}x{}", size.cols, size.rows), at)
    }

    fn event(&mut self, code: Code, data: &str, at: Timestamp) -> Recorded {
        if data.is_empty() {
            return Recorded::Kept;
        }
        self.full |= self.length + data.len() as u64 + 64 > self.max_bytes - RESERVE_BYTES;
        let why = if self.full {
            format!("the limit of {} bytes is reached", self.max_bytes)
        } else {
            let told = if self.lost_bytes > self.lost_told {
                let note = format!("{} bytes could not be recorded", self.lost_bytes - self.lost_told);
                self.put(Code::Marker, &note, at)
            } else {
                Ok(())
            };
            match told.and_then(|()| {
                self.lost_told = self.lost_bytes;
                self.put(code, data, at)
            }) {
                Ok(()) => {
                    self.in_hole = false;
                    return Recorded::Kept;
                }
                Err(e) => e.to_string(),
            }
        };
        self.lost_bytes += data.len() as u64;
        if self.in_hole {
            return Recorded::InHole;
        }
        self.in_hole = true;
        let _ = self.put(Code::Marker, &format!("recording stops here: {why}"), at);
        Recorded::HoleBegins(why)
    }

    /// The end: what is missing, the cause if there is more to say than the status, the status; then sync.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(&mut self, status: i32, cause: Option<&str>, at: Timestamp) -> io::Result<()> {
        if self.lost_bytes > self.lost_told {
            let note = format!("{} bytes were left out", self.lost_bytes - self.lost_told);
            self.put(Code::Marker, &note, at)?;
        }
        if let Some(cause) = cause {
            self.put(Code::Marker, cause, at)?;
        }
        self.put(Code::Exit, &status.to_string(), at)?;
        self.dirty = false;
        self.file.sync_all()
    }

    /// Whether there is something that a power cut would take.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Brings everything to the disk.
    ///
    /// # Errors
    /// What the file system says; it is not tried again for these bytes, since the system has forgotten them.
    pub fn sync(&mut self) -> io::Result<()> {
        self.dirty = false;
        self.file.sync_data()
    }

    /// Bytes of output that are not in the file.
    pub fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    fn put(&mut self, code: Code, data: &str, at: Timestamp) -> io::Result<()> {
        let interval = at.since(self.last).as_micros();
        self.line.clear();
        write!(self.line, "[{}.{:06}, \"{}\", ", interval / 1_000_000, interval % 1_000_000, code.letter())?;
        serde_json::to_writer(&mut self.line, data)?;
        self.line.extend_from_slice(b"]\n");
        self.put_line()?;
        self.last = self.last.max(at);
        Ok(())
    }

    fn put_line(&mut self) -> io::Result<()> {
        if let Err(e) = self.file.write_all(&self.line) {
            // Half a line must not stay before the next one.
            let _ = self.file.set_len(self.length);
            return Err(e);
        }
        self.length += self.line.len() as u64;
        self.dirty = true;
        if self.line.capacity() > 64 * 1024 {
            self.line = Vec::new();
        }
        Ok(())
    }
}

/// Where a recording's whole lines end, and how.
#[derive(Clone, Copy, Debug)]
struct Measure {
    length: u64,
    last: Timestamp,
    ended: bool,
}

/// Reads one recording, event by event. Lines that are no events are skipped; a torn last line ends it.
#[derive(Debug)]
pub struct Reader {
    lines: BufReader<File>,
    header: Header,
    at: Timestamp,
    /// Bytes read so far, and up to the end of the last good line.
    read: u64,
    good: u64,
    /// Nothing is read that begins here or later.
    end: u64,
    line: Vec<u8>,
}

impl Reader {
    /// Opens a recording and reads its header.
    ///
    /// # Errors
    /// What reading says; `InvalidData` if there is no header.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?, u64::MAX)
    }

    /// The same for a file that is open already, and of it only what lies before `end`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of(file: File, end: u64) -> io::Result<Self> {
        let mut lines = BufReader::with_capacity(64 * 1024, file);
        let mut line = Vec::new();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        let header: Option<Header> = line
            .strip_suffix(b"\n")
            .and_then(|l| serde_json::from_slice(l).ok())
            .filter(|h: &Header| h.version == 3);
        let header =
            header.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an asciicast v3"))?;
        let at = header.start();
        Ok(Self { lines, header, at, read, good: read, end, line })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The moment from which the first event is counted.
    pub fn start(&self) -> Timestamp {
        self.header.start()
    }

    /// Bytes of the file up to the end of the last event given.
    pub fn offset(&self) -> u64 {
        self.good
    }

    fn measure(mut self) -> Measure {
        let mut ended = false;
        for event in self.by_ref() {
            ended = event.code == Code::Exit;
        }
        Measure { length: self.good, last: self.at, ended }
    }
}

impl Iterator for Reader {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.read < self.end {
            self.line.clear();
            let read = (&mut self.lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line).ok()?;
            self.read += read as u64;
            let line = self.line.strip_suffix(b"\n")?;
            let Ok((interval, letter, data)) = serde_json::from_slice::<(f64, String, String)>(line) else {
                continue;
            };
            self.good = self.read;
            let interval = Duration::try_from_secs_f64(interval).unwrap_or_default();
            // Written with six digits: rounding gives the same microseconds back.
            let micros = interval.as_nanos().saturating_add(500) / 1_000;
            self.at = self.at.plus(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)));
            if let Some(code) = Code::parse(&letter) {
                return Some(Event { at: self.at, code, data });
            }
        }
        None
    }
}

/// Bytes of a recording up to the end of its last whole line. It may be written to meanwhile; what lies before stays.
///
/// # Errors
/// What reading says.
pub fn whole_length(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 64 * 1024];
    while end > 0 {
        let size = usize::try_from(end).unwrap_or(usize::MAX).min(block.len());
        let start = end - size as u64;
        file.read_exact_at(&mut block[..size], start)?;
        if let Some(last) = block[..size].iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Opens a recording for reading.
///
/// # Errors
/// As [`Reader::open`].
pub fn read(path: &Path) -> io::Result<Reader> {
    Reader::open(path)
}

/// Closes a recording whose host is gone: cuts off a torn last line and, unless it was closed already, adds `cause`
/// as a marker and the end. A file without a header becomes an empty recording. Doing it twice changes nothing.
///
/// # Errors
/// What the file system says, `NotFound` included.
pub fn repair(path: &Path, cause: &str, at: Timestamp) -> io::Result<()> {
    let measure = match Reader::open(path) {
        Ok(reader) => reader.measure(),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            let header = Header::new(Size { cols: 80, rows: 24 }, at, None);
            return Writer::open(path, &header, at, u64::MAX)?.finish(STATUS_LOST, Some(cause), at);
        }
        Err(e) => return Err(e),
    };
    let file = OpenOptions::new().append(true).open(path)?;
    file.set_len(measure.length)?;
    if measure.ended {
        return file.sync_all();
    }
    let mut writer = Writer {
        file,
        length: measure.length,
        max_bytes: u64::MAX,
        last: measure.last,
        line: Vec::new(),
        dirty: false,
        in_hole: false,
        full: false,
        lost_bytes: 0,
        lost_told: 0,
    };
    writer.finish(STATUS_LOST, Some(cause), at)
}
