//! What differs between Linux and macOS, and nothing else.

#[cfg(target_os = "macos")]
pub mod launchd;
pub mod process;
pub mod terminal;
