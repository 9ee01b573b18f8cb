//! A session as a file, made piece by piece while it is read: in bounded memory, and each piece in its turn off the async
//! threads, so that neither a large session nor a slow reader holds anything up. Whether somebody may is not here.

pub mod page;

use crate::domain::export::ExportFormat;
use crate::domain::session::{Session, SessionTitle};
use crate::domain::timestamp::Timestamp;
use crate::host::film::{Film, Room, quoted};
use crate::host::recording;
use crate::host::text::{Line, Stream};
use crate::store::connect::Store;
use crate::store::{message, transcript};
use crate::usecase::content;
use crate::usecase::export::page::Page;
use crate::usecase::markdown;
use crate::usecase::resolve::unavailable;
use crate::usecase::turns::READING;
use crate::wire::fault::{Fault, FaultCode};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Bytes of a recording that are copied at a time.
const COPY_BYTES: u64 = 256 * 1024;
/// Entries of a transcript that are read at a time: each may have a quarter of a mebibyte.
const ROWS: u64 = 40;
/// Bytes of text beside the film on one page, at most.
const PAGE_TEXT_BYTES: usize = 12 << 20;
/// Messages that are marks on a page whose session has no transcript, and characters of each, at most.
const MARKS: u64 = 500;
const MARK_CHARS: usize = 80;

/// A session on its way out.
pub struct Export {
    store: Store,
    session: Session,
    /// In whose turn it is read.
    uid: u32,
    parts: VecDeque<Part>,
    /// Bytes in all, where they are known beforehand.
    length: Option<u64>,
}

/// What a file is made of, one after the other.
enum Part {
    Ready(Vec<u8>),
    Copy { file: File, left: u64 },
    Lines { stream: Box<Stream>, form: LineForm, left: usize },
    Entries { after: i64, last: i64, form: EntryForm, left: usize },
    Film(Box<Film>),
}

/// How the lines of a recording are written.
enum LineForm {
    Text,
    /// As a block of code.
    Markdown,
    Json,
    Page(Page),
}

/// How the entries of a transcript are written.
enum EntryForm {
    Markdown(Box<markdown::Writer>),
    Json,
    Page(Page),
}

/// A recording as far as it is there now.
struct Recorded {
    file: File,
    length: u64,
}

impl Recorded {
    /// `None` if there is none yet.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = recording::whole_length(&file)?;
        Ok((length > 0).then_some(Self { file, length }))
    }

    /// The same file, read from its beginning on its own.
    fn again(&self, path: &Path) -> io::Result<File> {
        let again = File::open(path)?;
        let same = |a: &File, b: &File| {
            use std::os::unix::fs::MetadataExt as _;
            io::Result::Ok(a.metadata()?.ino() == b.metadata()?.ino())
        };
        if same(&again, &self.file)? { Ok(again) } else { Err(ErrorKind::NotFound.into()) }
    }
}

/// What is opened before anything is given.
enum Opened {
    Copy(Recorded),
    Lines(Box<Stream>),
    /// For a page: the film, and the text if there is no transcript.
    Film(Box<Film>, Option<Box<Stream>>),
    Nothing,
}

impl Export {
    /// Finds what there is to be taken out. `now` is said in a page; nothing of the content is read for anybody yet.
    ///
    /// # Errors
    /// `not_found` if there is nothing yet, `unavailable` if it cannot be read.
    pub async fn open(
        store: &Store,
        (session, path): (&Session, &Path),
        format: ExportFormat,
        uid: u32,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let last = match format {
            ExportFormat::Md | ExportFormat::Jsonl | ExportFormat::Html => {
                transcript::kept(store.reader(), session.id).await.map_err(unavailable)?.entries
            }
            ExportFormat::Cast | ExportFormat::Txt => 0,
        };
        let own_path = path.to_owned();
        let opened = READING.run(uid, move || opened(&own_path, format, last > 0)).await?;
        let opened = opened.map_err(|error| {
            let problem = format!("the recording of {} cannot be read: {}", session.id, error.kind());
            Fault::new(FaultCode::Unavailable, problem)
        })?;
        let nothing = || {
            Fault::not_found("recording of session", &session.id.to_string())
                .hint("a session that is just starting has none yet")
        };
        let title = session.title.as_ref().map(SessionTitle::as_str);
        let entries = |form, left| Part::Entries { after: 0, last, form, left };
        let lines = |stream, form, left| Part::Lines { stream, form, left };
        let mut length = None;
        let parts = match (format, opened) {
            (ExportFormat::Md, _) if last > 0 => {
                let writer = markdown::Writer::new(title);
                VecDeque::from([
                    entries(EntryForm::Markdown(Box::new(writer)), usize::MAX),
                    Part::Ready(b"\n".to_vec()),
                ])
            }
            (ExportFormat::Jsonl, _) if last > 0 => VecDeque::from([entries(EntryForm::Json, usize::MAX)]),
            (ExportFormat::Html, opened) => {
                let (film, stream) = match opened {
                    Opened::Film(film, stream) => (Some(film), stream),
                    _ if last == 0 => return Err(nothing()),
                    _ => (None, None),
                };
                let page = Page::new(film.as_deref().map(Film::start));
                let mut parts = VecDeque::from([Part::Ready(page::head(session, now).into_bytes())]);
                match stream {
                    Some(stream) => parts.push_back(lines(stream, LineForm::Page(page), PAGE_TEXT_BYTES)),
                    None => parts.push_back(entries(EntryForm::Page(page), PAGE_TEXT_BYTES)),
                }
                parts.push_back(Part::Ready(page::MIDDLE.as_bytes().to_vec()));
                if let Some(film) = film {
                    if last == 0 {
                        parts.push_back(Part::Ready(marks(store, session, film.start()).await?.into_bytes()));
                    }
                    parts.push_back(Part::Film(film));
                }
                parts.push_back(Part::Ready(page::end().into_bytes()));
                parts
            }
            (_, Opened::Copy(recorded)) => {
                length = Some(recorded.length);
                VecDeque::from([Part::Copy { file: recorded.file, left: recorded.length }])
            }
            (ExportFormat::Md, Opened::Lines(stream)) => {
                let head = title.map(|title| format!("# {title}\n\n")).unwrap_or_default();
                VecDeque::from([
                    Part::Ready(head.into_bytes()),
                    lines(stream, LineForm::Markdown, usize::MAX),
                ])
            }
            (ExportFormat::Jsonl, Opened::Lines(stream)) => {
                VecDeque::from([lines(stream, LineForm::Json, usize::MAX)])
            }
            (_, Opened::Lines(stream)) => VecDeque::from([lines(stream, LineForm::Text, usize::MAX)]),
            (_, Opened::Film(..) | Opened::Nothing) => return Err(nothing()),
        };
        Ok(Self { store: store.clone(), session: session.clone(), uid, parts, length })
    }

    /// Bytes in all, where they are known beforehand.
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next bytes, sometimes none; `None` at the end.
    ///
    /// # Errors
    /// The recording or the database cannot be read any more. What was given by then is no whole file.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(part) = self.parts.pop_front() else { return Ok(None) };
        let (piece, rest) = match part {
            Part::Ready(bytes) => (bytes, None),
            Part::Entries { after, last, form, left } => self.entries(after, last, form, left).await?,
            part => {
                let read = READING.run(self.uid, move || read(part)).await?;
                read.map_err(|error| {
                    let problem = format!("the recording of {}: {}", self.session.id, error.kind());
                    Fault::new(FaultCode::Unavailable, problem)
                })?
            }
        };
        if let Some(rest) = rest {
            self.parts.push_front(rest);
        }
        Ok(Some(piece))
    }

    /// The next entries of the transcript, of those that were there when this began.
    async fn entries(
        &self,
        after: i64,
        last: i64,
        mut form: EntryForm,
        left: usize,
    ) -> Result<(Vec<u8>, Option<Part>), Fault> {
        let mut found =
            transcript::page(self.store.reader(), self.session.id, after, ROWS).await.map_err(unavailable)?;
        found.retain(|(seq, _)| *seq <= last);
        // Numbers leave no holes; at the beginning some may have gone for their age.
        let next = found.first().map(|(seq, _)| *seq);
        if after < last && next.is_none_or(|next| after > 0 && next != after + 1) {
            let problem = format!("the transcript of {} was deleted meanwhile", self.session.id);
            return Err(Fault::new(FaultCode::Unavailable, problem));
        }
        let Some(after) = found.last().map(|(seq, _)| *seq) else { return Ok((Vec::new(), None)) };
        READING
            .run(self.uid, move || {
                let mut out = String::new();
                for (seq, entry) in &found {
                    match &mut form {
                        EntryForm::Markdown(writer) => writer.add(entry),
                        EntryForm::Json => {
                            out.push_str(&content::row(*seq, entry));
                            out.push('\n');
                        }
                        EntryForm::Page(page) => page.entry(entry, &mut out),
                    }
                }
                if let EntryForm::Markdown(writer) = &mut form {
                    out = writer.take();
                }
                let Some(left) = left.checked_sub(out.len()) else {
                    out.push_str(page::CUT);
                    return (out.into_bytes(), None);
                };
                (out.into_bytes(), Some(Part::Entries { after, last, form, left }))
            })
            .await
    }
}

/// The messages that were typed into a session, for its film: a transcript would have them itself.
async fn marks(store: &Store, session: &Session, start: Timestamp) -> Result<String, Fault> {
    let typed = message::delivered(store.reader(), session.id, MARKS).await.map_err(unavailable)?;
    let line = |message: message::Message| {
        let at = message.settled.unwrap_or(message.created).since(start).as_millis();
        let text: String = message.text.chars().take(MARK_CHARS).collect();
        format!("[\"t\",{at},{}]\n", quoted(&text))
    };
    Ok(typed.into_iter().map(line).collect())
}

/// Opens what a format needs.
fn opened(path: &Path, format: ExportFormat, has_entries: bool) -> io::Result<Opened> {
    if has_entries && matches!(format, ExportFormat::Md | ExportFormat::Jsonl) {
        return Ok(Opened::Nothing);
    }
    let Some(recorded) = Recorded::open(path)? else { return Ok(Opened::Nothing) };
    let length = recorded.length;
    Ok(match format {
        ExportFormat::Cast => Opened::Copy(recorded),
        ExportFormat::Txt | ExportFormat::Md | ExportFormat::Jsonl => {
            Opened::Lines(Box::new(Stream::open(recorded.file, length)?))
        }
        ExportFormat::Html => {
            let stream = match has_entries {
                true => None,
                false => Some(Box::new(Stream::open(recorded.again(path)?, length)?)),
            };
            Opened::Film(Box::new(Film::open(recorded.file, length, Room::default())?), stream)
        }
    })
}

/// The next bytes of a part that lies in the recording, and what is left of it.
fn read(part: Part) -> io::Result<(Vec<u8>, Option<Part>)> {
    Ok(match part {
        Part::Copy { mut file, left } => {
            let mut bytes = Vec::new();
            let read = (&mut file).take(left.min(COPY_BYTES)).read_to_end(&mut bytes)? as u64;
            if read == 0 && left > 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let left = left - read;
            (bytes, (left > 0).then_some(Part::Copy { file, left }))
        }
        Part::Lines { mut stream, mut form, left } => {
            let lines = stream.next_lines()?;
            let mut out = String::new();
            for line in lines.iter().flatten() {
                write_line(line, &mut form, &mut out);
            }
            match left.checked_sub(out.len()).filter(|_| lines.is_some()) {
                Some(left) => (out.into_bytes(), Some(Part::Lines { stream, form, left })),
                None => {
                    if let LineForm::Page(page) = &mut form {
                        page.close(&mut out);
                    }
                    if lines.is_some() {
                        out.push_str(page::CUT);
                    }
                    (out.into_bytes(), None)
                }
            }
        }
        Part::Film(mut film) => match film.next_lines() {
            Some(lines) => (lines.into_bytes(), Some(Part::Film(film))),
            None => (Vec::new(), None),
        },
        other => (Vec::new(), Some(other)),
    })
}

fn write_line(line: &Line, form: &mut LineForm, out: &mut String) {
    match form {
        LineForm::Text => out.push_str(&line.text),
        LineForm::Markdown if line.text.is_empty() => {}
        LineForm::Markdown => {
            out.push_str("    ");
            out.push_str(&line.text);
        }
        LineForm::Json if line.text.is_empty() => return,
        LineForm::Json => {
            out.push_str(&serde_json::json!({ "at": line.at, "text": line.text }).to_string());
        }
        LineForm::Page(page) => return page.line(line, out),
    }
    out.push('\n');
}
