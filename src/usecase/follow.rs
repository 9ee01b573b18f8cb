//! What comes next of a session that is followed: the entries of its transcript where its agent writes one, else the
//! lines of its screen, once nothing is written on them any more. Where somebody is, is a cursor that outlives the daemon.

use crate::domain::session::{Session, SessionTitle};
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::Entry;
use crate::host::text::{self, Limits, Line};
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::transcript;
use crate::usecase::content::{as_json, row};
use crate::usecase::markdown::Renderer;
use crate::wire::fault::Fault;
use std::path::Path;

/// Entries that are read at a time.
const ROWS: u64 = 32;
/// Entries that are looked at, at a time, for where the end begins.
const TAIL_ROWS: u64 = 200;
/// Entries that the end may have, however short they are.
const TAIL_ROWS_MAX: u64 = 2_000;

/// Where somebody is who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the beginning of whatever there is.
    Start,
    /// After the entry of this number.
    Entry(i64),
    /// After so many of the lines that appeared at this moment.
    Line(Timestamp, usize),
}

impl Place {
    /// The cursor.
    pub fn cursor(self) -> String {
        match self {
            Self::Start => "0".to_owned(),
            Self::Entry(seq) => format!("e{seq}"),
            Self::Line(at, seen) => format!("l{}.{seen}", at.micros()),
        }
    }

    /// Reads a cursor.
    ///
    /// # Errors
    /// `invalid`: it is none of these.
    pub fn parse(cursor: &str) -> Result<Self, Fault> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| *n >= 0);
        let place = match cursor.split_at_checked(1) {
            _ if cursor == "0" => Some(Self::Start),
            Some(("e", seq)) => number(seq).map(Self::Entry),
            Some(("l", rest)) => rest.split_once('.').and_then(|(at, seen)| {
                Some(Self::Line(Timestamp::from_micros(number(at)?), seen.parse().ok()?))
            }),
            _ => None,
        };
        place.ok_or_else(|| {
            Fault::invalid("cursor", "is not one that following gave").hint("\"0\" begins at the start")
        })
    }
}

/// How it is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where to begin; without it at the end of what there is.
    pub from: Option<Place>,
    /// Characters of that end.
    pub tail_chars: usize,
    /// Only what was said at or after.
    pub since: Option<Timestamp>,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Text, or a JSON object a line, each with its line end. May be empty where `since` left all of it out.
    pub content: String,
    /// Where it goes on.
    pub place: Place,
    /// The first and the last number, or moment, of it.
    pub span: (u64, u64),
}

/// A transcript's entries, one page after the other.
#[derive(Debug)]
pub struct Entries {
    after: i64,
    since: Option<Timestamp>,
    json: bool,
    shown: Renderer,
    /// Stands above the first.
    title: Option<String>,
}

impl Entries {
    /// From where it is wanted.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin(store: &Store, session: &Session, wanted: &Wanted) -> Result<Self, StoreError> {
        let mut shown = Renderer::default();
        let mut title = session.title.as_ref().map(SessionTitle::as_str).map(str::to_owned);
        let after = match wanted.from {
            Some(Place::Entry(seq)) => {
                // A header stands above it already.
                for (_, entry) in transcript::page(store.reader(), session.id, seq - 1, 1).await? {
                    shown.entry(&mut String::new(), &entry);
                }
                title = None;
                seq
            }
            Some(_) => 0,
            None if wanted.since.is_some() => 0,
            None => tail(store, session, wanted.tail_chars).await?,
        };
        Ok(Self { after, since: wanted.since, json: wanted.json, shown, title })
    }

    /// Where it goes on.
    pub const fn place(&self) -> Place {
        Place::Entry(self.after)
    }

    /// What was said since. `None`: nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn next(&mut self, store: &Store, session: &Session) -> Result<Option<Piece>, StoreError> {
        let page = transcript::page(store.reader(), session.id, self.after, ROWS).await?;
        let (Some((first, _)), Some((last, _))) = (page.first(), page.last()) else { return Ok(None) };
        let span = (u64::try_from(*first).unwrap_or(0), u64::try_from(*last).unwrap_or(0));
        self.after = *last;
        let mut content = String::new();
        let wanted = |entry: &Entry| self.since.is_none_or(|since| entry.at.is_some_and(|at| at >= since));
        for (seq, entry) in page.iter().filter(|(_, entry)| wanted(entry)) {
            if self.json {
                content.push_str(&row(*seq, entry));
                content.push('\n');
                continue;
            }
            if let Some(title) = self.title.take() {
                content.push_str(&format!("# {title}\n\n"));
            }
            self.shown.entry(&mut content, entry);
        }
        Ok(Some(Piece { content, place: Place::Entry(self.after), span }))
    }
}

/// The number before the first of the last entries that have so many characters together.
async fn tail(store: &Store, session: &Session, chars: usize) -> Result<i64, StoreError> {
    let (mut before, mut missing, mut rows) = (i64::MAX, chars, 0);
    while missing > 0 && rows < TAIL_ROWS_MAX {
        let page = transcript::page_back(store.reader(), session.id, before, (None, None), TAIL_ROWS).await?;
        let is_last = (page.len() as u64) < TAIL_ROWS;
        for (seq, entry) in page {
            if missing == 0 {
                break;
            }
            before = seq;
            missing = missing.saturating_sub(entry.text.chars().count());
        }
        if is_last {
            break;
        }
        rows += TAIL_ROWS;
    }
    Ok(if before == i64::MAX { 0 } else { before - 1 })
}

/// What stood on the screen since, line by line. The last line is held back: something may still be written on it.
/// `over`: nothing will be. Blocks on the disk. `None`: nothing.
///
/// # Errors
/// The recording cannot be read; one that does not exist yet is empty.
pub fn lines(path: &Path, wanted: &Wanted, over: bool) -> std::io::Result<Option<Piece>> {
    let mut lines = match text::render(path, None, None, Limits::default()) {
        Ok(text) => text.lines,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !over {
        lines.pop();
    }
    if let Some(since) = wanted.since {
        lines.retain(|line| line.at >= since);
    }
    let from = match wanted.from {
        Some(Place::Line(at, seen)) => {
            let mut same = 0;
            lines.retain(|line| {
                same += usize::from(line.at == at);
                line.at > at || (line.at == at && same > seen)
            });
            Some((at, seen))
        }
        Some(_) => None,
        None if wanted.since.is_some() => None,
        None => {
            let mut chars = 0;
            let fit = |line: &&Line| {
                let is_wanted = chars < wanted.tail_chars;
                chars += line.text.chars().count() + 1;
                is_wanted
            };
            let kept = lines.iter().rev().take_while(fit).count();
            lines.drain(..lines.len() - kept);
            None
        }
    };
    let (Some(first), Some(at)) = (lines.first(), lines.iter().map(|line| line.at).max()) else {
        return Ok(None);
    };
    let span = (first.at.micros().unsigned_abs(), at.micros().unsigned_abs());
    let before = from.filter(|(before, _)| *before == at).map_or(0, |(_, seen)| seen);
    let seen = before + lines.iter().filter(|line| line.at == at).count();
    let mut content = String::new();
    if wanted.json {
        content = as_json(&lines);
        if !content.is_empty() {
            content.push('\n');
        }
    } else {
        for line in &lines {
            content.push_str(&line.text);
            content.push('\n');
        }
    }
    Ok(Some(Piece { content, place: Place::Line(at, seen), span }))
}

#[cfg(test)]
mod tests {
    use super::{Place, Wanted, lines};
    use crate::domain::timestamp::Timestamp;
    use crate::host::recording::{Header, Writer};
    use crate::host::spec::Size;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_795_271_509_000_000 + seconds * 1_000_000)
    }

    fn wanted(from: Option<Place>) -> Wanted {
        Wanted { from, tail_chars: 1_000, since: None, json: false }
    }

    #[test]
    fn cursors_are_read_back_and_nothing_else_is() {
        for place in [Place::Start, Place::Entry(7), Place::Line(at(0), 3)] {
            assert_eq!(Place::parse(&place.cursor()), Ok(place));
        }
        for bad in ["", "e", "e-1", "7", "l1", "l1.", "l.1", "x1", "ä", "e1.2", "l-1.0"] {
            assert_eq!(Place::parse(bad).unwrap_err().field.as_deref(), Some("cursor"), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_cursor_makes_it_panic(cursor in any::<String>()) {
            if let Ok(place) = Place::parse(&cursor) {
                prop_assert_eq!(Place::parse(&place.cursor()), Ok(place));
            }
        }

        #[test]
        fn however_often_one_looks_each_line_is_seen_once(
            words in proptest::collection::vec(("[a-z]{1,8}", 0_i64..3), 1..40),
            looks in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.cast");
            let header = Header::new(Size { cols: 20, rows: 4 }, at(0), None);
            let mut recording = Writer::open(&path, &header, at(0), 1 << 30).unwrap();
            let (mut place, mut shown, mut now, mut whole) = (Some(Place::Start), String::new(), 0, String::new());
            for ((word, pause), look) in words.iter().zip(looks) {
                now += pause;
                recording.output(&format!("{word}\r\n$ "), at(now));
                whole.push_str(&format!("{}{word}\n", if whole.is_empty() { "" } else { "$ " }));
                if look && let Some(piece) = lines(&path, &wanted(place), false).unwrap() {
                    shown.push_str(&piece.content);
                    place = Some(piece.place);
                }
            }
            if let Some(piece) = lines(&path, &wanted(place), true).unwrap() {
                shown.push_str(&piece.content);
                prop_assert_eq!(lines(&path, &wanted(Some(piece.place)), true).unwrap(), None);
            }
            prop_assert_eq!(shown, format!("{whole}$\n"));
        }
    }

    #[test]
    fn it_begins_with_whole_lines_of_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        assert_eq!(lines(&path, &wanted(None), false).unwrap(), None, "not there yet");
        let mut recording =
            Writer::open(&path, &Header::new(Size { cols: 20, rows: 4 }, at(0), None), at(0), 1 << 30)
                .unwrap();
        for n in 0..10 {
            recording.output(&format!("line {n}\r\n"), at(n));
        }
        let end = Wanted { tail_chars: 9, ..wanted(None) };
        assert_eq!(lines(&path, &end, true).unwrap().unwrap().content, "line 8\nline 9\n");
        let late = Wanted { since: Some(at(9)), ..wanted(None) };
        assert_eq!(lines(&path, &late, true).unwrap().unwrap().content, "line 9\n");
        let json = Wanted { json: true, ..end };
        let content = lines(&path, &json, true).unwrap().unwrap().content;
        assert!(content.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}
