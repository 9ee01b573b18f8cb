//! The runner: a small privileged program (`teleclaude-runner`) that does a handful of fixed things as the owner of a
//! session, and the host's way of asking it (`client`). What is said is `message`; one call's way is `serve`.

#![deny(unsafe_code)]

pub mod account;
pub mod child;
pub mod client;
pub mod connection;
pub mod installed;
pub mod judge;
pub mod launch;
pub mod lock;
pub mod log;
pub mod message;
pub mod open;
pub mod serve;
pub mod sys;
pub mod terminal;
pub mod tree;
pub mod trust;
pub mod worktree;
