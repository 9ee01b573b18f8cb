//! The one integration test binary. One file a noun; `tidy` checks the architecture itself.

mod bridge;
mod cli;
mod config;
mod host;
mod http;
mod mcp;
mod postgres;
mod socket;
mod store;
mod tidy;
mod world;
