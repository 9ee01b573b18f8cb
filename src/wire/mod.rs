//! What is said: requests, replies, faults and limits, the same for MCP, REST and the CLI. Serde types only.

pub mod activity;
pub mod attach;
pub mod audit;
pub mod bundle;
pub mod credential;
pub mod csv;
pub mod docs;
pub mod export;
pub mod fault;
pub mod follow;
pub mod inbox;
pub mod job;
pub mod limits;
pub mod people;
pub mod people_change;
pub mod reply;
pub mod request;
pub mod session;
pub mod task;
pub mod usage;
