//! The page that plays: one file that opens from the disk and asks nobody for anything. The player is `player.js`, what it
//! plays is `host::film`, and beside it stands what was said and done as text. Everything recorded is escaped here; the
//! page's own policy lets nothing run but the player, known by its hash.

use crate::domain::session::{Session, SessionTitle};
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind, Speaker};
use crate::host::text::Line;
use crate::usecase::markdown::subject;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

const PLAYER: &str = include_str!("player.js");
const STYLE: &str = include_str!("page.css");

/// Lines that stand in one block.
const LINES: usize = 100;

/// Stands where the text was too much for a page.
pub const CUT: &str = "<p class=\"notice\">The rest of the text is left out here, for size. \
Export the session as md, txt or jsonl to have all of it.</p>\n";
/// Between the text and the film.
pub const MIDDLE: &str = "</div></section></main>\n<script type=\"application/json\" id=\"film\">\n";

/// Writes what was said and done.
#[derive(Debug)]
pub struct Page {
    /// When the film starts, if there is one.
    start: Option<Timestamp>,
    speaker: Option<(Speaker, bool)>,
    second: Option<i64>,
    /// Lines in the block that is open.
    lines: usize,
}

impl Page {
    /// For a film that starts then.
    pub const fn new(start: Option<Timestamp>) -> Self {
        Self { start, speaker: None, second: None, lines: 0 }
    }

    /// Adds an entry of a transcript.
    pub fn entry(&mut self, entry: &Entry, out: &mut String) {
        let speaker = match entry.speaker {
            Speaker::Tool => Speaker::Assistant,
            speaker => speaker,
        };
        let is_message = entry.speaker == Speaker::User && entry.kind == EntryKind::Text && !entry.sub_agent;
        let _ = write!(out, "<article class=\"{} {}\"", entry.speaker.name(), entry.kind.name());
        if is_message && let Some(time) = self.time(entry.at) {
            let _ = write!(out, " data-mark=\"{time}\"");
        }
        out.push('>');
        if self.speaker != Some((speaker, entry.sub_agent)) || is_message {
            let name = match (speaker, entry.sub_agent) {
                (Speaker::User, _) => "User",
                (Speaker::System, _) => "System",
                (Speaker::Assistant | Speaker::Tool, false) => "Assistant",
                (Speaker::Assistant | Speaker::Tool, true) => "Sub-agent",
            };
            let _ = write!(out, "<h2>{name} ");
            self.moment(entry.at, out);
            out.push_str("</h2>");
            self.speaker = Some((speaker, entry.sub_agent));
        }
        let text = escaped(entry.text.trim_end());
        match entry.kind {
            EntryKind::Text => {
                let _ = write!(out, "<div class=\"text\">{text}</div>");
            }
            EntryKind::Notice => {
                let _ = write!(out, "<p class=\"notice\">{text}</p>");
            }
            EntryKind::Thinking => {
                let _ = write!(
                    out,
                    "<details><summary>Thinking</summary><div class=\"text\">{text}</div></details>"
                );
            }
            EntryKind::ToolCall => {
                let tool = escaped(entry.tool.as_deref().unwrap_or("tool"));
                let about = subject(&entry.text).map(|about| escaped(&about)).unwrap_or_default();
                let _ = write!(
                    out,
                    "<details><summary><b>{tool}</b> <code>{about}</code></summary><pre>{text}</pre></details>"
                );
            }
            EntryKind::ToolResult => {
                let how = if entry.failed { "error" } else { "ok" };
                let first: String = entry.text.lines().next().unwrap_or_default().chars().take(70).collect();
                let _ = write!(
                    out,
                    "<details class=\"{how}\"><summary>{how} <code>{}</code></summary><pre>{text}</pre></details>",
                    escaped(&first)
                );
            }
        }
        out.push_str("</article>\n");
    }

    /// Adds a line of a recording. Where the clock has moved on, the moment stands before it.
    pub fn line(&mut self, line: &Line, out: &mut String) {
        if self.lines == LINES {
            self.close(out);
        }
        if self.lines == 0 {
            out.push_str("<div class=\"lines\">\n");
        }
        self.lines += 1;
        out.push_str("<p class=\"line\">");
        let second = line.at.micros().div_euclid(1_000_000);
        if self.second != Some(second) && !line.text.is_empty() {
            self.moment(Some(line.at), out);
            self.second = Some(second);
        }
        let _ = writeln!(out, "<span>{}</span></p>", escaped(&line.text));
    }

    /// Ends the block of lines that is open.
    pub fn close(&mut self, out: &mut String) {
        if std::mem::take(&mut self.lines) > 0 {
            out.push_str("</div>\n");
        }
    }

    /// A button that leads to a moment of the film.
    fn moment(&self, at: Option<Timestamp>, out: &mut String) {
        let Some(at) = at else { return };
        let text = at.to_string();
        let clock = text.split_once('T').map_or(text.as_str(), |(_, time)| time);
        let clock = clock.split(['.', 'Z']).next().unwrap_or(clock);
        match self.time(Some(at)) {
            Some(time) => {
                let _ = write!(
                    out,
                    "<button class=\"at\" data-at=\"{time}\" title=\"{text}: show what stood there then\">{clock}</button>"
                );
            }
            None => {
                let _ = write!(out, "<time datetime=\"{text}\">{clock}</time>");
            }
        }
    }

    /// Milliseconds since the film's start.
    fn time(&self, at: Option<Timestamp>) -> Option<u128> {
        Some(at?.since(self.start?).as_millis())
    }
}

/// Everything before the text.
pub fn head(session: &Session, now: Timestamp) -> String {
    let id = session.id.to_string();
    let title = escaped(session.title.as_ref().map_or(id.as_str(), SessionTitle::as_str));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(PLAYER),
        hash(STYLE)
    );
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<header id=\"about\"><h1>{title}</h1><dl>"
    );
    let project = session.project.as_deref().unwrap_or(&session.project_path);
    let ended = session.ended.map(|at| match &session.exit {
        Some(exit) => format!("{} ({exit})", seconds(at)),
        None => seconds(at),
    });
    let about = [
        ("Owner", Some(session.owner_name.clone())),
        ("Agent", Some(session.agent.clone())),
        ("Project", Some(project.to_owned())),
        ("Started", Some(seconds(session.created))),
        ("Ended", ended),
        ("Session", Some(id)),
        ("Exported", Some(seconds(now))),
    ];
    for (name, value) in about {
        if let Some(value) = value {
            let _ = write!(out, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
        }
    }
    out.push_str("</dl></header>\n<main>\n");
    out.push_str(CONTROLS);
    out.push_str(
        "<section id=\"talk\" aria-label=\"Transcript\">\n<form id=\"search\" role=\"search\">\
         <input type=\"search\" id=\"find\" aria-label=\"Search the text\" placeholder=\"Search\" autocomplete=\"off\">\
         <button type=\"submit\" title=\"Next place (Enter)\">Next</button><output id=\"found\" for=\"find\"></output>\
         </form>\n<div id=\"text\">\n",
    );
    out
}

/// The player's place. It is shown by the player, if there is something to play.
const CONTROLS: &str = "<section id=\"player\" aria-label=\"Recording\" hidden>
<div id=\"stage\" tabindex=\"0\" role=\"group\" aria-label=\"What stood on the terminal\"><div id=\"screen\"></div></div>
<div id=\"bar\"><div id=\"marks\"></div>
<input type=\"range\" id=\"seek\" min=\"0\" max=\"0\" value=\"0\" step=\"1\" aria-label=\"Position\"></div>
<div id=\"controls\" role=\"toolbar\" aria-label=\"Player\">
<button id=\"play\" title=\"Play or pause (space)\">Play</button>
<button id=\"back\" title=\"One change back (comma)\" aria-label=\"One change back\">&#8249;</button>
<button id=\"forth\" title=\"One change on (full stop)\" aria-label=\"One change on\">&#8250;</button>
<button id=\"former\" title=\"The mark before ([)\" aria-label=\"The mark before\">&#171;</button>
<button id=\"next\" title=\"The next mark (])\" aria-label=\"The next mark\">&#187;</button>
<label>Speed <select id=\"speed\"><option>0.5</option><option selected>1</option><option>2</option><option>4</option><option>8</option><option>16</option></select></label>
<label><input type=\"checkbox\" id=\"skip\" checked> Shorten pauses</label>
<button id=\"theme\" title=\"Dark or light\">Theme</button>
<span id=\"clock\"></span>
</div>
<p id=\"note\" class=\"notice\" hidden></p>
<p id=\"status\" role=\"status\" class=\"aside\"></p>
</section>
";

/// Everything after the film.
pub fn end() -> String {
    format!("</script>\n<script>{PLAYER}</script>\n</body>\n</html>\n")
}

/// A moment to the second.
fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// Text that stands in the page as itself: nothing in it is markup, and what would steer a terminal or turn the direction
/// of writing is spelt out.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\r' if chars.peek() == Some(&'\n') => {}
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// SHA-256 in base64, as a page's policy wants it.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let mut out = String::with_capacity(44);
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place)) & 63;
            out.push(if place > three.len() { '=' } else { char::from(DIGITS[digit as usize]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{PLAYER, Page, STYLE, escaped, hash};
    use crate::domain::timestamp::Timestamp;
    use crate::domain::transcript::{Entry, EntryKind, Speaker};
    use proptest::prelude::{any, proptest};

    #[test]
    fn hashes_are_those_of_the_textbook() {
        assert_eq!(hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn nothing_of_ours_ends_its_own_element_or_names_an_address() {
        for (text, end) in [(PLAYER, "</script"), (STYLE, "</style")] {
            assert!(!text.to_lowercase().contains(end));
            for address in ["http:", "https:", "//cdn", "url(", "@import", "innerHTML", "eval("] {
                assert!(!text.contains(address), "{address}");
            }
        }
    }

    #[test]
    fn an_entry_is_text_and_a_message_is_a_mark() {
        let start = Timestamp::from_micros(1_795_252_515_000_000);
        let mut page = Page::new(Some(start));
        let at = Some(Timestamp::from_micros(start.micros() + 1_500_000));
        let mut out = String::new();
        let evil = "</script><img src=x onerror=alert(1)>\x1b[2J\u{202e}";
        page.entry(&Entry::new(at, Speaker::User, EntryKind::Text, evil.to_owned()), &mut out);
        assert_eq!(
            out,
            "<article class=\"user text\" data-mark=\"1500\"><h2>User <button class=\"at\" data-at=\"1500\" \
             title=\"2026-11-21T09:15:16.5Z: show what stood there then\">09:15:16</button></h2><div class=\"text\">\
             &lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;\\x1b[2J\\u{202e}</div></article>\n"
        );
        let call = Entry {
            tool: Some("<b>".to_owned()),
            ..Entry::new(None, Speaker::Assistant, EntryKind::ToolCall, "{\"command\":\"<i>\"}".to_owned())
        };
        let mut out = String::new();
        page.entry(&call, &mut out);
        assert!(out.contains("<b>&lt;b&gt;</b> <code>&lt;i&gt;</code>") && !out.contains("<i>"), "{out}");
    }

    proptest! {
        #[test]
        fn escaped_text_holds_no_markup(text in any::<String>()) {
            let out = escaped(&text);
            assert!(!out.contains(['<', '>', '"', '\'']));
            assert!(out.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()));
            for part in out.split('&').skip(1) {
                assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|name| part.starts_with(name)), "{out}");
            }
        }
    }
}
