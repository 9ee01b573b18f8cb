//! The tables as sea-orm sees them. Private to the store: no caller ever holds one of these.

pub mod activity;
pub mod audit;
pub mod ban;
pub mod credential;
pub mod encryption_key;
pub mod host;
pub mod instance;
pub mod message;
pub mod outbox;
pub mod person;
pub mod session;
pub mod setting;
pub mod transcript_entry;
pub mod transcript_file;
pub mod usage;
