//! An agent's own log of its session, as it grows: bytes in, entries out. Pure. Nothing in such a log is trusted: lines
//! have a bound, what is not understood is counted and passed over, and no input is an error. Where the log is and
//! who may open it is not here.

mod claude;
mod codex;
mod gemini;

use crate::config::schema::agents::TranscriptFormat;
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind, Speaker, Usage};
use serde_json::Value;

/// Bytes of one line, at most; a longer one is left out, with a notice in its place.
pub const LINE_BYTES_MAX: usize = 8 << 20;

/// Where agents that write this format keep their logs: folders below the home, one in the other; nothing where there
/// are none. What the real programs do, seen of claude 2.1, codex 0.169 and gemini 0.61.
pub const fn folder(format: TranscriptFormat) -> &'static [&'static str] {
    match format {
        TranscriptFormat::Claude => &[".claude", "projects"],
        TranscriptFormat::Codex => &[".codex", "sessions"],
        TranscriptFormat::Gemini => &[".gemini", "tmp"],
        TranscriptFormat::None => &[],
    }
}

/// The part of a path below the folder where agents that write this format keep their logs, whoever's home it is in: the
/// owner's alone is looked into. None for a path that leads anywhere else.
pub fn below(format: TranscriptFormat, path: &str) -> Option<&str> {
    let folder = folder(format);
    let mark = format!("/{}/", folder.join("/"));
    let (_, rest) = path.split_once(&mark).filter(|_| path.starts_with('/') && !folder.is_empty())?;
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    rest.split('/').all(plain).then_some(rest)
}

/// What the name of a session's log contains: the agent's own session id, as far as that agent writes it there.
pub fn name_contains(format: TranscriptFormat, native_id: &str) -> String {
    match format {
        // `session-2026-11-21T09-15-0a1b2c3d.jsonl`: the id's first part alone.
        TranscriptFormat::Gemini => native_id.chars().take(8).collect(),
        TranscriptFormat::Claude | TranscriptFormat::Codex | TranscriptFormat::None => native_id.to_owned(),
    }
}

/// What some bytes of a log held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// What was said and done, in the log's order.
    pub entries: Vec<Entry>,
    /// What it cost.
    pub usage: Vec<Usage>,
}

/// What was passed over since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Lines that are no JSON object.
    pub malformed: u64,
    /// Records of a type that is not known.
    pub unknown: u64,
    /// Lines longer than [`LINE_BYTES_MAX`].
    pub too_long: u64,
}

/// Reads one session's log, piece by piece; a log that begins anew (rotation, resumption) goes on in the same reader.
#[derive(Debug)]
pub struct Reader {
    parser: Parser,
    line: Vec<u8>,
    /// Bytes of a line that is being left out, until its end.
    leaving_out: Option<u64>,
    skipped: Skipped,
}

#[derive(Debug)]
enum Parser {
    Claude(claude::Parser),
    Codex(codex::Parser),
    Gemini(gemini::Parser),
}

/// Whether a parser knew what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

impl Reader {
    /// A reader of this format; `None` where there is none.
    pub fn new(format: TranscriptFormat) -> Option<Self> {
        let parser = match format {
            TranscriptFormat::Claude => Parser::Claude(claude::Parser::default()),
            TranscriptFormat::Codex => Parser::Codex(codex::Parser::default()),
            TranscriptFormat::Gemini => Parser::Gemini(gemini::Parser::default()),
            TranscriptFormat::None => return None,
        };
        Some(Self { parser, line: Vec::new(), leaving_out: None, skipped: Skipped::default() })
    }

    /// Takes the next bytes, of any length. A line that is not ended yet waits.
    pub fn feed(&mut self, bytes: &[u8]) -> Read {
        let mut read = Read::default();
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            match &mut self.leaving_out {
                Some(length) => *length += text.len() as u64,
                None if self.line.len() + text.len() > LINE_BYTES_MAX => {
                    self.leaving_out = Some((self.line.len() + text.len()) as u64);
                    self.line = Vec::new();
                }
                None => self.line.extend_from_slice(text),
            }
            if !ended {
                continue;
            }
            if let Some(length) = self.leaving_out.take() {
                self.skipped.too_long += 1;
                read.entries.push(notice(None, format!("a line of {length} bytes was left out")));
            } else {
                let line = std::mem::take(&mut self.line);
                self.line(&line, &mut read);
            }
        }
        read
    }

    /// The file was replaced by another: what was half a line will not be ended.
    pub fn begin_again(&mut self) {
        if !self.line.is_empty() || self.leaving_out.take().is_some() {
            self.skipped.malformed += 1;
        }
        self.line = Vec::new();
    }

    /// Bytes of the line that waits for its end; a reader that starts later must be fed from there.
    pub fn waiting(&self) -> u64 {
        self.leaving_out.unwrap_or(self.line.len() as u64)
    }

    /// What was passed over.
    pub const fn skipped(&self) -> Skipped {
        self.skipped
    }

    fn line(&mut self, line: &[u8], read: &mut Read) {
        let text = String::from_utf8_lossy(line);
        if text.trim().is_empty() {
            return;
        }
        let Ok(record @ Value::Object(_)) = serde_json::from_str::<Value>(&text) else {
            self.skipped.malformed += 1;
            return;
        };
        let known = match &mut self.parser {
            Parser::Claude(parser) => parser.record(&record, read),
            Parser::Codex(parser) => parser.record(&record, read),
            Parser::Gemini(parser) => parser.record(&record, read),
        };
        if known == Known::No {
            self.skipped.unknown += 1;
        }
    }
}

fn notice(at: Option<Timestamp>, text: String) -> Entry {
    Entry::new(at, Speaker::System, EntryKind::Notice, text)
}

/// The record's moment, under this name.
fn moment(record: &Value, name: &str) -> Option<Timestamp> {
    Timestamp::parse(record[name].as_str()?).ok()
}

fn number(record: &Value, name: &str) -> u64 {
    record[name].as_u64().unwrap_or(0)
}

/// What the agents themselves put into the person's mouth: context, instructions, reminders.
fn is_injected(text: &str) -> bool {
    const BEGINNINGS: [&str; 10] = [
        "<environment_context>",
        "<user_instructions>",
        "<permissions instructions>",
        "<skills_instructions>",
        "<session_context>",
        "<system-reminder>",
        "<local-command-stdout>",
        "<command-name>",
        "<command-message>",
        "# AGENTS.md instructions",
    ];
    let text = text.trim_start();
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}

#[cfg(test)]
mod tests;
