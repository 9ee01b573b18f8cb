//! The one integration test binary. One file a noun; `tidy` checks the architecture itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod attach;
mod audit;
mod bridge;
mod children;
mod cli;
mod config;
mod credentials;
mod docs;
mod doctor;
mod doors;
mod export;
mod follow;
mod heartbeat;
mod hooks;
mod host;
mod hostile;
mod http;
mod install;
mod jobs;
mod kill;
mod letters;
mod mcp;
mod orphans;
mod owner;
mod parity;
mod postgres;
mod process;
mod queue;
mod resume;
mod retention;
mod review;
mod runner;
mod search;
#[cfg(target_os = "linux")]
mod service;
mod sessions;
mod socket;
mod store;
mod streams;
mod tasks;
mod tidy;
mod transcripts;
mod users;
mod worktree;
mod world;
