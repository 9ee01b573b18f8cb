//! What is said: requests, replies, faults and limits, the same for MCP, REST and the CLI. Serde types only.

pub mod attach;
pub mod credential;
pub mod fault;
pub mod limits;
pub mod reply;
pub mod request;
