//! What an agent's hooks say, in one form: the words that each agent has for what happens, seen of claude 2.1, codex
//! 0.169 and gemini 0.61. Pure. What a hook says is the agent's word and believed of its own session alone; what is not
//! understood is nothing. How the agent comes to call its hooks is `agent::wiring`, how it is answered `agent::answer`.

mod claude;
mod codex;
mod gemini;

use crate::config::schema::agents::TranscriptFormat;
use crate::domain::hook::{HookEvent, HookKind};
use crate::domain::question::{ASKED_CHARS_MAX, Asked, QuestionKind};
use serde_json::{Map, Value};

/// Characters of a native id, and of a path, at most.
const NAME_CHARS_MAX: usize = 4_096;

/// What the hook of an agent that writes this format was given: the event's name as the agent has it, and the input.
pub fn read(format: TranscriptFormat, event: &str, input: &Map<String, Value>) -> HookEvent {
    let kind = match format {
        TranscriptFormat::Claude => claude::kind(event, input),
        TranscriptFormat::Codex => codex::kind(event, input),
        TranscriptFormat::Gemini => gemini::kind(event, input),
        TranscriptFormat::None => HookKind::Other,
    };
    let name = |key: &str| {
        let text = input.get(key)?.as_str()?;
        let fits = !text.is_empty() && text.len() <= NAME_CHARS_MAX && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    };
    // It becomes part of a command line, and of the name of a file that is looked for.
    let native_id = name("session_id").filter(|id| {
        id.len() <= 128
            && !id.starts_with('-')
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    });
    HookEvent { native_id, transcript_path: name("transcript_path"), kind }
}

/// An agent is there and waits; one that says it after it made its context smaller is in the middle of its work.
fn started(input: &Map<String, Value>) -> HookKind {
    if text(input, "source") == "compact" { HookKind::Other } else { HookKind::Started }
}

/// A question about the use of a tool, by its name and input.
fn permission(tool: &str, input: Option<&Value>) -> HookKind {
    let subject = subject(tool, input);
    let text = match input {
        Some(Value::Object(fields)) if !fields.is_empty() => {
            let said = match fields.get("command").or_else(|| fields.get("file_path")).and_then(Value::as_str)
            {
                Some(said) => said.to_owned(),
                None => Value::Object(fields.clone()).to_string(),
            };
            format!("{tool}: {said}")
        }
        _ => tool.to_owned(),
    };
    HookKind::Asks(Asked { kind: QuestionKind::Permission, text: clip(&text), subject, options: Vec::new() })
}

/// What the use of a tool is about.
fn subject(tool: &str, input: Option<&Value>) -> String {
    let said = ["command", "file_path", "filePath"].iter().find_map(|key| input?.get(key)?.as_str());
    clip(said.unwrap_or(tool))
}

fn text<'a>(input: &'a Map<String, Value>, key: &str) -> &'a str {
    input.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn clip(text: &str) -> String {
    let keep = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(keep).take(ASKED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
