//! The MCP mouth: translates MCP to requests and replies back to MCP. Decides nothing.

pub mod elicit;
pub mod handler;
pub mod line;
pub mod outbox;
pub mod pace;
pub mod prompts;
pub mod resources;
pub mod schema;
pub mod serve;
pub mod tools;
pub mod transport;
pub mod watch;

/// What a client is told before it ever met a daemon, as JSON texts: server info, capabilities, instructions, tools.
/// The bridge answers with it while the daemon is away.
pub fn built_in() -> [String; 4] {
    let info = handler::info();
    let listed: Vec<&rmcp::model::Tool> = tools::TOOLS.iter().map(|entry| &entry.tool).collect();
    let json = |value: serde_json::Result<String>| value.unwrap_or_else(|_| "null".to_owned());
    [
        json(serde_json::to_string(&info.server_info)),
        json(serde_json::to_string(&info.capabilities)),
        "null".to_owned(),
        json(serde_json::to_string(&listed)),
    ]
}
