//! The one integration test binary. One file a noun; `tidy` checks the architecture itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod attach;
mod audit;
mod bridge;
mod cli;
mod config;
mod credentials;
mod doctor;
mod host;
mod http;
mod install;
mod kill;
mod mcp;
mod owner;
mod parity;
mod postgres;
mod process;
mod resume;
mod review;
mod runner;
#[cfg(target_os = "linux")]
mod service;
mod sessions;
mod socket;
mod store;
mod tidy;
mod transcripts;
mod users;
mod worktree;
mod world;
