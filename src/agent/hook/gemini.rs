//! Gemini CLI's hooks.

use crate::agent::hook::{clip, permission, started, subject, text};
use crate::domain::hook::HookKind;
use crate::domain::question::Asked;
use serde_json::{Map, Value};

pub(super) fn kind(event: &str, input: &Map<String, Value>) -> HookKind {
    match event {
        "SessionStart" => started(input),
        "BeforeAgent" => HookKind::Prompted,
        "BeforeTool" => HookKind::ToolBegun,
        "Notification" if text(input, "notification_type") == "ToolPermission" => {
            let details = input.get("details");
            let title = details.and_then(|details| details.get("title")).and_then(Value::as_str);
            let title = title.unwrap_or("Tool");
            match permission(title, details) {
                // Of a tool without a command or a file, its name says more than the details.
                HookKind::Asks(asked) if asked.subject == title => {
                    let name =
                        |key: &str| details.and_then(|details| details.get(key)).and_then(Value::as_str);
                    let text = match (name("serverName"), name("toolName")) {
                        (Some(server), Some(tool)) => format!("{title}: {server}, {tool}"),
                        _ => text(input, "message").to_owned(),
                    };
                    HookKind::Asks(Asked { text: clip(&text), ..asked })
                }
                asks => asks,
            }
        }
        "AfterTool" => {
            HookKind::ToolDone { subject: subject(text(input, "tool_name"), input.get("tool_input")) }
        }
        "AfterAgent" => HookKind::Stopped,
        "SessionEnd" => HookKind::Ended,
        _ => HookKind::Other,
    }
}
