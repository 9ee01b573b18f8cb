//! `teleclaude hook`: what an agent starts to tell its daemon what it does. It never fails, says nothing, and is gone
//! within two seconds: whatever it cannot do is not the agent's concern.

use crate::client::{Client, Endpoint};
use crate::wire::request::ReportHook;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// From the first byte to the last.
const WITHIN: Duration = Duration::from_millis(1_800);
/// Bytes of input that are looked at; the rest is read, so that the agent can write it, and left out.
const INPUT_BYTES_MAX: u64 = 8 << 20;
/// What of the input is of use to the daemon.
const KEYS: [&str; 9] = [
    "session_id",
    "transcript_path",
    "tool_name",
    "tool_input",
    "notification_type",
    "message",
    "details",
    "source",
    "reason",
];
/// Characters of one text, entries of one list and levels of what is told, at most.
const TEXT_CHARS_MAX: usize = 4_000;
const ENTRIES_MAX: usize = 32;
const LEVELS_MAX: usize = 6;

/// Words of the command, for help and completion alone: [`main`] runs before the command line is read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The event, by the agent's name for it
    #[arg(value_name = "EVENT", required = true, num_args = 1..)]
    event: Vec<String>,
}

/// Tells what is on standard input. `words` are those after `hook`.
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let deadline = Instant::now() + WITHIN;
    let event: Vec<String> = words.filter_map(|word| word.into_string().ok()).collect();
    let (done, wait) = mpsc::channel();
    // Whoever does not close our input holds up this thread alone, which ends with the process.
    let told = std::thread::Builder::new().name("hook".to_owned()).spawn(move || {
        tell(&event.join(" "), deadline);
        let _ = done.send(());
    });
    if told.is_ok() {
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
    ExitCode::SUCCESS
}

fn tell(event: &str, deadline: Instant) -> Option<()> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (token, socket) = (var("TELECLAUDE_TOKEN")?, var("TELECLAUDE_SOCKET")?);
    let mut bytes = Vec::new();
    let mut input = io::stdin().lock();
    input.by_ref().take(INPUT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    io::copy(&mut input, &mut io::sink()).ok()?;
    let (event, input) = read(event, &bytes);
    let left = deadline.saturating_duration_since(Instant::now());
    let mut endpoint = Endpoint::new(PathBuf::from(socket), false);
    (endpoint.connect_time, endpoint.answer_time) = (left, left);
    endpoint.token = Some(SecretString::from(token));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(Client::new(endpoint).report_hook(&ReportHook { event, input })).ok().map(drop)
}

/// The event and what is told of it. What is no JSON object tells nothing but the event.
fn read(event: &str, bytes: &[u8]) -> (String, Map<String, Value>) {
    let mut given: Map<String, Value> = serde_json::from_slice(bytes).unwrap_or_default();
    let named = given.get("hook_event_name").and_then(Value::as_str).map(str::to_owned);
    let event = if event.is_empty() { named.unwrap_or_default() } else { event.to_owned() };
    given.retain(|key, _| KEYS.contains(&key.as_str()));
    (event.chars().take(64).collect(), given.into_iter().map(|(key, value)| (key, cut(value, 1))).collect())
}

/// A value of bounded size.
fn cut(value: Value, level: usize) -> Value {
    match value {
        Value::String(text) if text.len() > TEXT_CHARS_MAX => {
            Value::String(text.chars().take(TEXT_CHARS_MAX).collect())
        }
        Value::Array(_) | Value::Object(_) if level >= LEVELS_MAX => Value::Null,
        Value::Array(entries) => entries.into_iter().take(ENTRIES_MAX).map(|e| cut(e, level + 1)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().take(ENTRIES_MAX);
            Value::Object(fields.map(|(key, value)| (key, cut(value, level + 1))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use serde_json::json;

    #[test]
    fn only_what_is_of_use_is_told() {
        let given = json!({
            "session_id": "s", "hook_event_name": "PostToolUse", "tool_response": { "stdout": "words" },
            "prompt": "words", "tool_input": { "command": "x".repeat(5_000), "deep": [[[[[[1]]]]]] },
        });
        let (event, input) = read("", given.to_string().as_bytes());
        assert_eq!(event, "PostToolUse");
        assert_eq!(input.keys().collect::<Vec<_>>(), ["session_id", "tool_input"]);
        assert_eq!(input["tool_input"]["command"].as_str().unwrap().len(), 4_000);
        assert!(!input["tool_input"].to_string().contains('1'), "as deep as somebody likes");
        for garbage in ["", "[1]", "{", "\u{0}"] {
            assert_eq!(read("Stop", garbage.as_bytes()), ("Stop".to_owned(), serde_json::Map::new()));
        }
    }
}
