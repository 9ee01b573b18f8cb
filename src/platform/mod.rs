//! What differs between Linux and macOS, and nothing else.

pub mod process;
