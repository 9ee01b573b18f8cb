//! teleclaude: AI coding agents as a shared, accountable service for the people of one machine.
//!
//! # The map
//! A file's folder says what kind of truth it holds, its name says about what.
//!
//! | folder | holds | may import |
//! |---|---|---|
//! | `domain` | what is true: pure types and the policy; no I/O, no clock, no randomness, no async | - |
//! | `wire` | what is said: requests, replies, faults, limits | domain |
//! | `config` | layers, schema, provenance, paths | domain |
//! | `agent` | what is particular to claude, codex, gemini, shell (pure) | domain, config |
//! | `platform` | what differs between Linux and macOS, and nothing else | - |
//! | `store` | what is kept; the only user of sea-orm | domain, config |
//! | `runner` | the privileged helper that acts as a session's owner, and the way to ask it | domain, config, agent, platform |
//! | `host` | the session host process: pty, screen, recording, control socket | domain, platform, runner |
//! | `usecase` | what is done once allowed | domain, wire, store, agent, config, host |
//! | `daemon` | the shell, one file per step of a request | everything above |
//! | `client` | the only dialer: HTTP over the socket | domain, wire, config |
//! | `bridge` | `teleclaude mcp`: stdio to socket | client, domain, wire, config |
//! | `install` | `doctor`: what is wrong with an installation | domain, wire, config, agent, platform, store, host, client |
//! | `cli` | the commands people type | client, bridge, install, daemon's and host's entry points |
//!
//! The table is checked by `tests/it/tidy.rs`. One request's way is `daemon/handle.rs`: read that first.
//!
//! # Invariants
//! 1. No byte of somebody else's transcript leaves before the audit row that names the reader is durably committed.
//! 2. An acknowledged write survives kill -9 of any process at any moment.
//! 3. A session outlives the daemon. At most one live process tree per session.
//! 4. Unknown means public; public may only ask who it is, and read what an admin marked public. Deny beats allow.
//! 5. A secret is never in an argv, a log line, an error text, or the environment of a process that does not need it.
//! 6. SQLite and Postgres behave the same: every store test runs on both.
//! 7. One stalled or hostile client cannot slow another.

pub mod agent;
pub mod bridge;
pub mod cli;
pub mod client;
pub mod config;
pub mod daemon;
pub mod domain;
pub mod host;
pub mod install;
pub mod platform;
pub mod runner;
pub mod store;
pub mod usecase;
pub mod wire;
