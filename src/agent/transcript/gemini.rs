//! Gemini CLI's JSONL: a header, messages, and `$set` records that change the conversation as a whole. A message is
//! written again as it grows, and all of them again when a session is resumed, so what was seen of each is kept.

use super::{Known, Read, is_injected, moment, notice, number};
use crate::domain::timestamp::Timestamp;
use crate::domain::transcript::{Entry, EntryKind, Speaker, Usage};
use serde_json::Value;
use std::collections::{HashSet, VecDeque};

/// Things that may be told again, kept as long as they are among the newest of so many.
const SEEN_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Parser {
    seen: HashSet<String>,
    order: VecDeque<String>,
}

impl Parser {
    pub fn record(&mut self, record: &Value, read: &mut Read) -> Known {
        if let Some(set) = record.get("$set") {
            for message in set["messages"].as_array().map(Vec::as_slice).unwrap_or_default() {
                self.message(message, read);
            }
            return Known::Yes;
        }
        if record.get("$rewindTo").is_some() {
            read.entries.push(notice(None, "the conversation went back to an earlier point".to_owned()));
            return Known::Yes;
        }
        if record.get("projectHash").is_some() {
            return Known::Yes;
        }
        self.message(record, read)
    }

    fn message(&mut self, message: &Value, read: &mut Read) -> Known {
        let at = moment(message, "timestamp");
        let Some(id) = message["id"].as_str() else { return Known::No };
        match message["type"].as_str() {
            Some("user") => {
                let text = words(&message["content"]);
                if !text.is_empty() && !is_injected(&text) && self.is_new(format!("{id} text")) {
                    read.entries.push(Entry::new(at, Speaker::User, EntryKind::Text, text));
                }
            }
            Some("gemini") => self.answer(id, message, at, read),
            Some("info" | "warning" | "error") => {
                let text = words(&message["content"]);
                if !text.is_empty() && self.is_new(format!("{id} text")) {
                    read.entries.push(notice(at, text));
                }
            }
            _ => return Known::No,
        }
        Known::Yes
    }

    fn answer(&mut self, id: &str, message: &Value, at: Option<Timestamp>, read: &mut Read) {
        for (i, thought) in
            message["thoughts"].as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate()
        {
            let parts =
                [&thought["subject"], &thought["description"]].map(|part| part.as_str().unwrap_or(""));
            let text = parts.join("\n").trim().to_owned();
            if !text.is_empty() && self.is_new(format!("{id} thought {i}")) {
                read.entries.push(Entry::new(at, Speaker::Assistant, EntryKind::Thinking, text));
            }
        }
        let text = words(&message["content"]);
        if !text.is_empty() && self.is_new(format!("{id} text")) {
            read.entries.push(Entry::new(at, Speaker::Assistant, EntryKind::Text, text));
        }
        for (i, call) in
            message["toolCalls"].as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate()
        {
            let call_id = call["id"].as_str().map_or_else(|| format!("{id} {i}"), str::to_owned);
            let name = call["name"].as_str().unwrap_or("tool").to_owned();
            if self.is_new(format!("{call_id} call")) {
                let entry = Entry::new(at, Speaker::Assistant, EntryKind::ToolCall, call["args"].to_string());
                read.entries.push(Entry { tool: Some(name.clone()), ..entry });
            }
            let ended = matches!(call["status"].as_str(), Some("success" | "error" | "cancelled"));
            if ended && self.is_new(format!("{call_id} result")) {
                let at = moment(call, "timestamp").or(at);
                let entry = Entry::new(at, Speaker::Tool, EntryKind::ToolResult, result(call));
                let failed = call["status"] != "success";
                read.entries.push(Entry { tool: Some(name), failed, ..entry });
            }
        }
        let tokens = &message["tokens"];
        if tokens.is_object() && self.is_new(format!("{id} tokens")) {
            let cached = number(tokens, "cached");
            read.usage.push(Usage {
                at,
                model: message["model"].as_str().map(str::to_owned),
                input: number(tokens, "input").saturating_sub(cached),
                cached,
                cache_write: 0,
                output: number(tokens, "output").saturating_add(number(tokens, "thoughts")),
            });
        }
    }

    fn is_new(&mut self, key: String) -> bool {
        if !self.seen.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

/// The words of a content: text, or parts of which some are words.
fn words(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// What was shown of a call's result, else what the model got.
fn result(call: &Value) -> String {
    if let Some(shown) = call["resultDisplay"].as_str() {
        return shown.to_owned();
    }
    let parts = call["result"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<String> = parts
        .iter()
        .map(|part| &part["functionResponse"]["response"])
        .map(|response| {
            let text = response["output"].as_str().or_else(|| response["error"].as_str());
            text.map_or_else(|| response.to_string(), str::to_owned)
        })
        .collect();
    texts.join("\n")
}
