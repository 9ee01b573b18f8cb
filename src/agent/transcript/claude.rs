//! Claude Code's JSONL: one record a line with a type, a moment and, for what was said, a message of blocks. An answer of
//! several blocks is several lines that repeat the message's id, and its usage as far as it was known: the last line's is
//! the whole.

use super::{Known, Read, is_injected, moment, notice, number};
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind, Speaker, Usage};
use serde_json::Value;
use std::collections::VecDeque;

/// Records that hold nothing that was said or done.
const SILENT: [&str; 12] = [
    "attachment",
    "custom-title",
    "ai-title",
    "agent-name",
    "file-history-snapshot",
    "last-prompt",
    "mode",
    "permission-mode",
    "pr-link",
    "progress",
    "queue-operation",
    "summary",
];
/// Calls whose results may still come.
const CALLS_MAX: usize = 256;
/// Messages whose further lines may still come.
const MESSAGES_MAX: usize = 64;
/// Characters of a message's id that tell it from others.
const ID_CHARS: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Parser {
    /// By message what was counted of it: input, cached, to the cache, output.
    counted: VecDeque<(String, [u64; 4])>,
    /// Ids and names of calls.
    calls: VecDeque<(String, String)>,
}

impl Parser {
    pub fn record(&mut self, record: &Value, read: &mut Read) -> Known {
        let at = moment(record, "timestamp");
        let first = read.entries.len();
        match record["type"].as_str() {
            Some("user") => self.user(record, at, read),
            Some("assistant") => self.assistant(record, at, read),
            Some("system") => system(record, at, read),
            Some(silent) if SILENT.contains(&silent) => {}
            _ => return Known::No,
        }
        if record["isSidechain"] == true {
            read.entries[first..].iter_mut().for_each(|entry| entry.sub_agent = true);
        }
        Known::Yes
    }

    fn user(&self, record: &Value, at: Option<Timestamp>, read: &mut Read) {
        if record["isCompactSummary"] == true {
            read.entries.push(notice(at, "the conversation was compacted".to_owned()));
            return;
        }
        if record["isMeta"] == true {
            return;
        }
        let say = |text: &str, read: &mut Read| {
            if !text.is_empty() && !is_injected(text) {
                read.entries.push(Entry::new(at, Speaker::User, EntryKind::Text, text.to_owned()));
            }
        };
        match &record["message"]["content"] {
            Value::String(text) => say(text, read),
            Value::Array(blocks) => {
                for block in blocks {
                    match block["type"].as_str() {
                        Some("text") => say(block["text"].as_str().unwrap_or(""), read),
                        Some("tool_result") => read.entries.push(self.result(block, at)),
                        Some(other) => {
                            let text = format!("[{other}]");
                            read.entries.push(Entry::new(at, Speaker::User, EntryKind::Text, text));
                        }
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn result(&self, block: &Value, at: Option<Timestamp>) -> Entry {
        let text = match &block["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                let texts: Vec<String> = parts
                    .iter()
                    .map(|part| match (part["text"].as_str(), part["type"].as_str()) {
                        (Some(text), _) => text.to_owned(),
                        (None, kind) => format!("[{}]", kind.unwrap_or("something")),
                    })
                    .collect();
                texts.join("\n")
            }
            _ => String::new(),
        };
        let id = block["tool_use_id"].as_str();
        let tool =
            self.calls.iter().find(|(call, _)| Some(call.as_str()) == id).map(|(_, name)| name.clone());
        let failed = block["is_error"] == true;
        Entry { tool, failed, ..Entry::new(at, Speaker::Tool, EntryKind::ToolResult, text) }
    }

    fn assistant(&mut self, record: &Value, at: Option<Timestamp>, read: &mut Read) {
        let message = &record["message"];
        for block in message["content"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let said = |kind, text: &str| Entry::new(at, Speaker::Assistant, kind, text.to_owned());
            match block["type"].as_str() {
                Some("text") => {
                    let text = block["text"].as_str().unwrap_or("");
                    if !text.is_empty() {
                        read.entries.push(said(EntryKind::Text, text));
                    }
                }
                Some("thinking") => {
                    let text = block["thinking"].as_str().unwrap_or("");
                    if !text.is_empty() {
                        read.entries.push(said(EntryKind::Thinking, text));
                    }
                }
                Some("tool_use" | "server_tool_use") => {
                    let name = block["name"].as_str().unwrap_or("tool").to_owned();
                    if let Some(id) = block["id"].as_str() {
                        self.calls.push_back((id.to_owned(), name.clone()));
                        if self.calls.len() > CALLS_MAX {
                            self.calls.pop_front();
                        }
                    }
                    let call = said(EntryKind::ToolCall, &block["input"].to_string());
                    read.entries.push(Entry { tool: Some(name), ..call });
                }
                _ => {}
            }
        }
        let usage = &message["usage"];
        if usage.is_object() {
            let usage = Usage {
                at,
                model: message["model"].as_str().map(str::to_owned),
                input: number(usage, "input_tokens"),
                cached: number(usage, "cache_read_input_tokens"),
                cache_write: number(usage, "cache_creation_input_tokens"),
                output: number(usage, "output_tokens"),
            };
            read.usage.extend(self.not_counted(message["id"].as_str(), usage));
        }
    }

    /// What a line adds to what was counted of its message.
    fn not_counted(&mut self, id: Option<&str>, usage: Usage) -> Option<Usage> {
        let Some(id) = id else { return Some(usage) };
        let id: String = id.chars().take(ID_CHARS).collect();
        let now = [usage.input, usage.cached, usage.cache_write, usage.output];
        let Some((_, counted)) = self.counted.iter_mut().find(|(message, _)| *message == id) else {
            self.counted.push_back((id, now));
            if self.counted.len() > MESSAGES_MAX {
                self.counted.pop_front();
            }
            return Some(usage);
        };
        let more: [u64; 4] = std::array::from_fn(|i| now[i].saturating_sub(counted[i]));
        *counted = std::array::from_fn(|i| now[i].max(counted[i]));
        let [input, cached, cache_write, output] = more;
        (more != [0; 4]).then_some(Usage { input, cached, cache_write, output, ..usage })
    }
}

fn system(record: &Value, at: Option<Timestamp>, read: &mut Read) {
    match (record["subtype"].as_str(), record["content"].as_str()) {
        (Some("compact_boundary"), _) => {
            read.entries.push(notice(at, "the conversation was compacted".to_owned()));
        }
        (Some("api_error"), _) => {
            read.entries.push(notice(at, "the model's service gave an error".to_owned()))
        }
        (_, Some(text)) if record["isMeta"] != true && !text.is_empty() && !is_injected(text) => {
            read.entries.push(notice(at, text.to_owned()));
        }
        _ => {}
    }
}
