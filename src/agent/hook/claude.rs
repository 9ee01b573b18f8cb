//! Claude Code's hooks.

use crate::agent::hook::{clip, permission, started, subject, text};
use crate::domain::hook::HookKind;
use crate::domain::question::{Asked, QuestionKind};
use serde_json::{Map, Value};

/// The tool by which it asks questions of its own.
const ASKS: &str = "AskUserQuestion";

pub(super) fn kind(event: &str, input: &Map<String, Value>) -> HookKind {
    let (tool, given) = (text(input, "tool_name"), input.get("tool_input"));
    match event {
        "SessionStart" => started(input),
        "UserPromptSubmit" => HookKind::Prompted,
        "PreToolUse" => HookKind::ToolBegun,
        "PermissionRequest" if tool == ASKS => question(given),
        "PermissionRequest" => permission(tool, given),
        // A denied use was one that somebody decided.
        "PostToolUse" | "PostToolUseFailure" | "PermissionDenied" => {
            HookKind::ToolDone { subject: subject(tool, given) }
        }
        // One for a permission comes as well, seconds later, and says less than the request did.
        "Notification" if text(input, "notification_type") == "elicitation_dialog" => HookKind::Asks(Asked {
            kind: QuestionKind::Question,
            text: clip(text(input, "message")),
            ..Asked::default()
        }),
        "Stop" | "StopFailure" => HookKind::Stopped,
        "SessionEnd" => HookKind::Ended,
        _ => HookKind::Other,
    }
}

/// What it asks by its own tool: of several questions in one dialogue, the first one's answers.
fn question(given: Option<&Value>) -> HookKind {
    let all = given.and_then(|given| given.get("questions")).and_then(Value::as_array);
    let all = all.map(Vec::as_slice).unwrap_or_default();
    let said = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let texts: Vec<String> = all.iter().filter_map(|one| said(one, "question")).collect();
    let options = all.first().and_then(|one| one.get("options")).and_then(Value::as_array);
    let options = options.into_iter().flatten().filter_map(|option| said(option, "label"));
    HookKind::Asks(Asked {
        kind: QuestionKind::Question,
        text: clip(&texts.join("\n")),
        subject: ASKS.to_owned(),
        options: options.take(9).map(|label| clip(&label)).collect(),
    })
}
