//! A transcript as text for people: a header where the speaker changes, calls in bold with what they are about, results
//! quoted. Pure.

use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind, Speaker};
use serde_json::Value;

/// Characters of what a call is about, at most.
const SUBJECT_CHARS: usize = 70;

/// The whole, without a line break at its end. `title` stands above it.
pub fn render<'a>(title: Option<&str>, entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let mut writer = Writer::new(title);
    for entry in entries {
        writer.add(entry);
    }
    writer.take()
}

/// The same, piece by piece.
#[derive(Debug)]
pub struct Writer {
    out: String,
    shown: Renderer,
}

impl Writer {
    /// Nothing yet but the title.
    pub fn new(title: Option<&str>) -> Self {
        let out = title.map(|title| format!("# {title}\n\n")).unwrap_or_default();
        Self { out, shown: Renderer::default() }
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: &Entry) {
        self.shown.entry(&mut self.out, entry);
    }

    /// What was written since the last time, but for the blanks at its end, which stand before what comes next.
    pub fn take(&mut self) -> String {
        let kept = self.out.split_off(self.out.trim_end().len());
        std::mem::replace(&mut self.out, kept)
    }
}

/// Writes one entry after the other; knows what stands above the next.
#[derive(Debug, Default)]
pub struct Renderer {
    section: Option<Section>,
    day: Option<String>,
}

impl Renderer {
    /// Writes the next entry, an empty line behind it.
    pub fn entry(&mut self, out: &mut String, entry: &Entry) {
        let next = Section { speaker: shown_as(entry), sub_agent: entry.sub_agent };
        if self.section != Some(next) || (next.speaker == Speaker::User && entry.kind == EntryKind::Text) {
            header(out, next, entry.at, &mut self.day);
            self.section = Some(next);
        }
        body(out, entry);
    }
}

/// What stands under one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Section {
    speaker: Speaker,
    sub_agent: bool,
}

/// Results stand under the agent whose calls they belong to.
fn shown_as(entry: &Entry) -> Speaker {
    match entry.speaker {
        Speaker::Tool => Speaker::Assistant,
        other => other,
    }
}

fn header(out: &mut String, section: Section, at: Option<Timestamp>, day: &mut Option<String>) {
    out.push_str(match (section.speaker, section.sub_agent) {
        (Speaker::User, _) => "## User",
        (Speaker::Assistant | Speaker::Tool, false) => "## Assistant",
        (Speaker::Assistant | Speaker::Tool, true) => "## Sub-agent",
        (Speaker::System, _) => "## System",
    });
    if let Some(at) = at {
        let text = at.to_string();
        let (date, time) = text.split_once('T').unwrap_or(("", &text));
        out.push_str(" · ");
        if day.as_deref() != Some(date) {
            out.push_str(date);
            out.push(' ');
            *day = Some(date.to_owned());
        }
        out.push_str(time.split(['.', 'Z']).next().unwrap_or(time));
        out.push('Z');
    }
    out.push_str("\n\n");
}

fn body(out: &mut String, entry: &Entry) {
    match entry.kind {
        EntryKind::Text => {
            out.push_str(entry.text.trim_end());
            out.push_str("\n\n");
        }
        EntryKind::Thinking => {
            thinking(out, &entry.text);
            out.push('\n');
        }
        EntryKind::ToolCall => {
            out.push_str("**");
            out.push_str(entry.tool.as_deref().unwrap_or("tool"));
            out.push_str("**");
            if let Some(subject) = subject(&entry.text) {
                out.push(' ');
                out.push_str(&subject);
            }
            out.push_str("\n\n");
        }
        EntryKind::ToolResult => {
            out.push_str(if entry.failed { "> error\n" } else { "> ok\n" });
            for line in entry.text.trim_end().lines() {
                out.push_str(if line.is_empty() { ">" } else { "> " });
                out.push_str(line);
                out.push('\n');
            }
            out.push('\n');
        }
        EntryKind::Notice => {
            out.push('_');
            out.push_str(entry.text.trim());
            out.push_str("_\n\n");
        }
    }
}

/// Line by line in italics, but for code.
fn thinking(out: &mut String, text: &str) {
    let mut in_code = false;
    for line in text.trim_end().lines() {
        let fence = line.trim_start().starts_with("```");
        if in_code || fence || line.trim().is_empty() {
            out.push_str(line);
        } else {
            let inner = line.trim();
            out.push('*');
            out.push_str(inner);
            out.push('*');
        }
        in_code ^= fence;
        out.push('\n');
    }
}

/// What a call is about: a path, else a command's first line, else what is searched, else an address, else the first
/// text there is.
pub fn subject(arguments: &str) -> Option<String> {
    const NAMES: [&str; 14] = [
        "file_path",
        "notebook_path",
        "absolute_path",
        "path",
        "dir_path",
        "command",
        "cmd",
        "pattern",
        "query",
        "url",
        "slug",
        "skill",
        "description",
        "prompt",
    ];
    let Ok(Value::Object(arguments)) = serde_json::from_str(arguments) else {
        return short(arguments);
    };
    let text = |value: &Value| match value {
        Value::String(text) => short(text),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            short(&words.join(" "))
        }
        _ => None,
    };
    NAMES
        .into_iter()
        .filter_map(|name| arguments.get(name))
        .chain(arguments.values().filter(|value| value.is_string()))
        .find_map(text)
}

/// The first line with something on it, shortened.
fn short(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let mut chars = line.chars();
    let mut shown: String = chars.by_ref().take(SUBJECT_CHARS).collect();
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::{render, subject};
    use crate::domain::timestamp::Timestamp;
    use crate::domain::transcript::{Entry, EntryKind, Speaker};

    fn entry(second: i64, speaker: Speaker, kind: EntryKind, text: &str) -> Entry {
        let at = Timestamp::from_micros(1_795_252_515_000_000 + second * 1_000_000);
        Entry::new(Some(at), speaker, kind, text.to_owned())
    }

    #[test]
    fn a_conversation_reads_like_one() {
        let call = Entry {
            tool: Some("Bash".to_owned()),
            ..entry(
                1,
                Speaker::Assistant,
                EntryKind::ToolCall,
                r#"{"description":"list","command":"ls -l\ntrue"}"#,
            )
        };
        let entries = [
            entry(0, Speaker::User, EntryKind::Text, "What is here?\n"),
            entry(1, Speaker::Assistant, EntryKind::Thinking, "A list.\n\n```\nls\n```"),
            call,
            entry(2, Speaker::Tool, EntryKind::ToolResult, "a\n\nb\n"),
            entry(3, Speaker::Assistant, EntryKind::Text, "Two files."),
            entry(4, Speaker::User, EntryKind::Text, "And now?"),
            entry(5, Speaker::User, EntryKind::Text, "Hello?"),
            Entry { failed: true, ..entry(86_400, Speaker::Tool, EntryKind::ToolResult, "no such file") },
            entry(86_401, Speaker::System, EntryKind::Notice, "the conversation was compacted"),
            Entry {
                at: None,
                sub_agent: true,
                ..entry(0, Speaker::Assistant, EntryKind::Text, "On my way.")
            },
        ];
        insta::assert_snapshot!(render(Some("Looking around"), &entries));
        assert_eq!(render(None, &[]), "");
        // Piece by piece it is the same.
        let mut writer = super::Writer::new(Some("Looking around"));
        let mut pieces = writer.take();
        for entry in &entries {
            writer.add(entry);
            pieces.push_str(&writer.take());
        }
        assert_eq!(pieces, render(Some("Looking around"), &entries));
    }

    #[test]
    fn calls_say_what_they_are_about() {
        for (arguments, about) in [
            (r#"{"content":"x","file_path":"src/lib.rs"}"#, Some("src/lib.rs")),
            (r#"{"command":["bash","-lc","ls"]}"#, Some("bash -lc ls")),
            (r#"{"limit":3,"pattern":"fn main"}"#, Some("fn main")),
            (r#"{"whatever":"this"}"#, Some("this")),
            (r#"{"n":1}"#, None),
            ("*** Begin Patch\n", Some("*** Begin Patch")),
            ("", None),
        ] {
            assert_eq!(subject(arguments).as_deref(), about, "{arguments}");
        }
        let long = format!(r#"{{"command":"{}"}}"#, "ä".repeat(100));
        assert_eq!(subject(&long).unwrap().chars().count(), 70);
    }
}
