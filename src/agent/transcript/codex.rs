//! Codex's rollout: one record a line with a type and a payload. What was said and done are the `response_item`s; the
//! events tell most of it again, so of them only what has no item is taken.

use super::{Known, Read, is_injected, moment, notice, number};
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind, Speaker, Usage};
use serde_json::Value;
use std::collections::VecDeque;

/// Calls whose results may still come.
const CALLS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Parser {
    model: Option<String>,
    /// Usage comes in records of its own; the counts in events are the same again.
    has_records: bool,
    /// The sum of the last count: one that is told again is not another.
    total: Option<u64>,
    /// Ids and names of calls.
    calls: VecDeque<(String, String)>,
}

impl Parser {
    pub fn record(&mut self, record: &Value, read: &mut Read) -> Known {
        let at = moment(record, "timestamp");
        let payload = &record["payload"];
        match record["type"].as_str() {
            Some("response_item") => return self.item(payload, at, read),
            Some("event_msg") => return self.event(payload, at, read),
            Some("turn_context") => {
                if let Some(model) = payload["model"].as_str() {
                    self.model = Some(model.to_owned());
                }
            }
            Some("token_usage_record") => {
                self.has_records = true;
                self.usage(&payload["usage"], at, read);
            }
            Some("compacted") => read.entries.push(notice(at, "the conversation was compacted".to_owned())),
            Some("session_meta" | "world_state" | "ghost_snapshot") => {}
            _ => return Known::No,
        }
        Known::Yes
    }

    fn item(&mut self, item: &Value, at: Option<Timestamp>, read: &mut Read) -> Known {
        match item["type"].as_str() {
            Some("message") => message(item, at, read),
            Some("reasoning") => {
                let parts = |name: &str| -> Vec<&str> {
                    let parts = item[name].as_array().map(Vec::as_slice).unwrap_or_default();
                    parts.iter().filter_map(|part| part["text"].as_str()).collect()
                };
                let mut texts = parts("summary");
                if texts.is_empty() {
                    texts = parts("content");
                }
                let text = texts.join("\n");
                if !text.is_empty() {
                    read.entries.push(Entry::new(at, Speaker::Assistant, EntryKind::Thinking, text));
                }
            }
            Some(
                "function_call" | "custom_tool_call" | "local_shell_call" | "web_search_call" | "mcp_call",
            ) => {
                let name = item["name"].as_str().or(item["type"].as_str()).unwrap_or("tool").to_owned();
                let arguments = ["arguments", "input", "action"]
                    .into_iter()
                    .map(|name| &item[name])
                    .find(|value| !value.is_null())
                    .map_or_else(String::new, |value| {
                        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                    });
                if let Some(id) = item["call_id"].as_str() {
                    self.calls.push_back((id.to_owned(), name.clone()));
                    if self.calls.len() > CALLS_MAX {
                        self.calls.pop_front();
                    }
                }
                let call = Entry::new(at, Speaker::Assistant, EntryKind::ToolCall, arguments);
                read.entries.push(Entry { tool: Some(name), ..call });
            }
            Some("function_call_output" | "custom_tool_call_output" | "local_shell_call_output") => {
                read.entries.push(self.result(item, at));
            }
            _ => return Known::No,
        }
        Known::Yes
    }

    fn result(&self, item: &Value, at: Option<Timestamp>) -> Entry {
        let output = &item["output"];
        let text = match (output, output["content"].as_str()) {
            (Value::String(text), _) => text.clone(),
            (_, Some(text)) => text.to_owned(),
            (Value::Array(parts), _) => {
                let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
                texts.join("\n")
            }
            (Value::Null, _) => String::new(),
            (other, None) => other.to_string(),
        };
        let id = item["call_id"].as_str();
        let tool =
            self.calls.iter().find(|(call, _)| Some(call.as_str()) == id).map(|(_, name)| name.clone());
        let failed = output["success"] == false || exit_code(&text).is_some_and(|code| code != 0);
        Entry { tool, failed, ..Entry::new(at, Speaker::Tool, EntryKind::ToolResult, text) }
    }

    fn event(&mut self, event: &Value, at: Option<Timestamp>, read: &mut Read) -> Known {
        match event["type"].as_str() {
            Some("token_count") => {
                let total = event["info"]["total_token_usage"]["total_tokens"].as_u64();
                let again = total.is_some() && self.total == total;
                self.total = total;
                if !self.has_records && !again {
                    self.usage(&event["info"]["last_token_usage"], at, read);
                }
            }
            Some("error" | "stream_error") => {
                let text = event["message"].as_str().unwrap_or("an error").to_owned();
                read.entries.push(notice(at, text));
            }
            Some("turn_aborted") => {
                let why = event["reason"].as_str().unwrap_or("stopped");
                read.entries.push(notice(at, format!("the turn was stopped: {why}")));
            }
            Some(_) => {}
            None => return Known::No,
        }
        Known::Yes
    }

    fn usage(&self, usage: &Value, at: Option<Timestamp>, read: &mut Read) {
        if !usage.is_object() {
            return;
        }
        let cached = number(usage, "cached_input_tokens");
        let cache_write = number(usage, "cache_write_input_tokens");
        read.usage.push(Usage {
            at,
            model: self.model.clone(),
            // Here, what came from the cache, or was put into it, is part of the input.
            input: number(usage, "input_tokens").saturating_sub(cached).saturating_sub(cache_write),
            cached,
            cache_write,
            output: number(usage, "output_tokens"),
        });
    }
}

fn message(item: &Value, at: Option<Timestamp>, read: &mut Read) {
    let speaker = match item["role"].as_str() {
        Some("user") => Speaker::User,
        Some("assistant") => Speaker::Assistant,
        // What the program tells the model about itself.
        _ => return,
    };
    // Newer versions say of each part whether the person wrote it.
    let kinds = item["internal_chat_message_metadata_passthrough"]["content_item_kinds"].as_array();
    for (i, part) in item["content"].as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate() {
        let by_person =
            kinds.and_then(|kinds| kinds.get(i)?.as_str()).is_none_or(|kind| kind.starts_with("user."));
        let text = match (part["text"].as_str(), part["type"].as_str()) {
            (Some(text), _) => text.to_owned(),
            (None, Some(kind)) => format!("[{kind}]"),
            (None, None) => continue,
        };
        if text.is_empty() || (speaker == Speaker::User && (!by_person || is_injected(&text))) {
            continue;
        }
        read.entries.push(Entry::new(at, speaker, EntryKind::Text, text));
    }
}

/// The exit code that stands in what a command gave.
fn exit_code(text: &str) -> Option<i32> {
    let line = text.lines().take(8).find_map(|line| {
        line.strip_prefix("Process exited with code ").or_else(|| line.strip_prefix("Exit code: "))
    })?;
    line.trim().parse().ok()
}
