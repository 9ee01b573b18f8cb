//! The daemon: one file per step of a request, and what runs beside the requests.

pub mod app;
pub mod attach;
pub mod backend;
pub mod connection;
pub mod credentials;
pub mod database;
pub mod effects;
pub mod front;
pub mod handle;
pub mod hosts;
pub mod http;
pub mod jobs;
pub mod keys;
pub mod life;
pub mod limits;
pub mod listen;
pub mod log;
pub mod manager;
pub mod mcp;
pub mod peer;
pub mod rates;
pub mod run;
pub mod settings;
pub mod tokens;
pub mod transcripts;
pub mod worktrees;
