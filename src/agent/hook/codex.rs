//! Codex' hooks.

use crate::agent::hook::{permission, started, subject, text};
use crate::domain::hook::HookKind;
use serde_json::{Map, Value};

pub(super) fn kind(event: &str, input: &Map<String, Value>) -> HookKind {
    let (tool, given) = (text(input, "tool_name"), input.get("tool_input"));
    match event {
        "SessionStart" => started(input),
        "UserPromptSubmit" => HookKind::Prompted,
        "PreToolUse" => HookKind::ToolBegun,
        "PermissionRequest" => permission(tool, given),
        "PostToolUse" => HookKind::ToolDone { subject: subject(tool, given) },
        "Stop" => HookKind::Stopped,
        "SessionEnd" => HookKind::Ended,
        _ => HookKind::Other,
    }
}
