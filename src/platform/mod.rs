//! What differs between Linux and macOS, and nothing else.

pub mod account;
pub mod beneath;
pub mod command;
#[cfg(target_os = "macos")]
pub mod launchd;
pub mod process;
pub mod terminal;
pub mod volume;
