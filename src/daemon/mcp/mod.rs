//! The MCP mouth: translates MCP to requests and replies back to MCP. Decides nothing.

pub mod handler;
pub mod line;
pub mod outbox;
pub mod resources;
pub mod schema;
pub mod serve;
pub mod tools;
pub mod transport;
pub mod watch;
