//! The daemon: one file per step of a request, and what runs beside the requests.

pub mod backend;
pub mod connection;
pub mod front;
pub mod http;
pub mod limits;
pub mod listen;
pub mod mcp;
pub mod peer;
