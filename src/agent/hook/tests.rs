//! What the real agents' hooks were given, and what of it is understood.

use super::read;
use crate::config::schema::agents::TranscriptFormat::{Claude, Codex, Gemini, None as NoFormat};
use crate::domain::hook::HookKind;
use crate::domain::question::{Asked, QuestionKind};
use proptest::prelude::any;
use serde_json::{Map, Value};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hooks");

/// The inputs of one agent's hooks, in the order in which they came.
fn fixtures(agent: &str) -> Vec<Map<String, Value>> {
    let text = std::fs::read_to_string(format!("{FIXTURES}/{agent}.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn word(kind: HookKind) -> String {
    match kind {
        HookKind::Started => "started".to_owned(),
        HookKind::Prompted => "prompted".to_owned(),
        HookKind::ToolBegun => "tool begun".to_owned(),
        HookKind::ToolDone { subject } => format!("tool done ({subject})"),
        HookKind::Asks(Asked { kind, text, subject, options }) => {
            format!("asks {}: {text} ({subject}) {options:?}", kind.name())
        }
        HookKind::Stopped => "stopped".to_owned(),
        HookKind::Ended => "ended".to_owned(),
        HookKind::Other => "other".to_owned(),
    }
}

#[test]
fn what_the_real_agents_say() {
    for (agent, format, id, log, expected) in [
        (
            "claude",
            Claude,
            "0f0e1f6e-0000-4000-8000-000000000001",
            "/home/ann/.claude/projects/-srv-work/0f0e1f6e-0000-4000-8000-000000000001.jsonl",
            vec![
                "started",
                "prompted",
                "tool begun",
                "asks permission: Bash: touch made.txt (touch made.txt) []",
                "other",
                "tool done (touch made.txt)",
                "stopped",
                "asks question: Which color? (AskUserQuestion) [\"Red\", \"Blue\"]",
                "tool done (AskUserQuestion)",
                "ended",
            ],
        ),
        (
            "codex",
            Codex,
            "01a1fff4-0000-7000-8000-000000000002",
            "/home/ann/.codex/sessions/2026/11/21/rollout-2026-11-21T21-13-15-01a1fff4-0000-7000-8000-000000000002.jsonl",
            vec![
                "started",
                "prompted",
                "tool begun",
                "asks permission: Bash: touch made.txt (touch made.txt) []",
                "tool done (touch made.txt)",
                "stopped",
                "ended",
            ],
        ),
        (
            "gemini",
            Gemini,
            "0f0e1f6e-0000-4000-8000-000000000003",
            "/home/ann/.gemini/tmp/work/chats/session-2026-11-21T21-17-0f0e1f6e.jsonl",
            vec![
                "started",
                "prompted",
                "tool begun",
                "asks permission: Confirm Shell Command: touch made.txt (touch made.txt) []",
                "tool done (touch made.txt)",
                "stopped",
                "ended",
            ],
        ),
    ] {
        let read: Vec<_> = fixtures(agent)
            .iter()
            .map(|input| read(format, input["hook_event_name"].as_str().unwrap(), input))
            .collect();
        for event in &read {
            assert_eq!((event.native_id.as_deref(), event.transcript_path.as_deref()), (Some(id), Some(log)));
        }
        let said: Vec<String> = read.into_iter().map(|event| word(event.kind)).collect();
        assert_eq!(said, expected, "{agent}");
    }
}

#[test]
fn what_is_no_hook_of_the_agents_is_nothing() {
    let none = Map::new();
    for (format, event) in
        [(Claude, "PreCompact"), (Codex, "BeforeAgent"), (Gemini, "Stop"), (NoFormat, "Stop")]
    {
        assert_eq!(read(format, event, &none).kind, HookKind::Other, "{event}");
    }
    let given = |id: Value, path: Value| {
        let input = Map::from_iter([("session_id".to_owned(), id), ("transcript_path".to_owned(), path)]);
        let event = read(Claude, "Stop", &input);
        (event.native_id, event.transcript_path)
    };
    for (id, path) in [
        (Value::from("--dangerously"), Value::from("")),
        (Value::from("a b"), Value::from("/a\nb")),
        (Value::from("../x"), Value::from(7)),
        (Value::from("x".repeat(200)), Value::from("x".repeat(5_000))),
        (Value::Null, Value::Null),
    ] {
        assert_eq!(given(id, path), (None, None));
    }
    let event = read(Claude, "PermissionRequest", &none);
    assert!(matches!(event.kind, HookKind::Asks(Asked { kind: QuestionKind::Permission, .. })));
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_said_is_too_much(event in "[A-Za-z]{0,20}", text in any::<String>(), n in any::<i64>()) {
        for format in [Claude, Codex, Gemini] {
            for key in ["session_id", "tool_name", "tool_input", "details", "message", "notification_type"] {
                for value in [Value::from(text.as_str()), n.into(), serde_json::json!({ "command": text, "questions": [n, text] })] {
                    let events = [event.as_str(), "PermissionRequest", "Notification", "PostToolUse", "AfterTool"];
                    for event in events {
                        read(format, event, &Map::from_iter([(key.to_owned(), value.clone())]));
                    }
                }
            }
        }
    }
}

#[test]
fn what_makes_its_context_smaller_works_on() {
    for format in [Claude, Codex, Gemini] {
        for (source, kind) in [("startup", HookKind::Started), ("compact", HookKind::Other)] {
            let input = Map::from_iter([("source".to_owned(), Value::from(source))]);
            assert_eq!(read(format, "SessionStart", &input).kind, kind, "{source}");
        }
    }
}
