//! The tables as sea-orm sees them. Private to the store: no caller ever holds one of these.

pub mod audit;
pub mod ban;
pub mod checkpoint;
pub mod credential;
pub mod encryption_key;
pub mod hold;
pub mod hold_release;
pub mod hook_state;
pub mod host;
pub mod inbox;
pub mod instance;
pub mod job;
pub mod message;
pub mod needs_input;
pub mod outbox;
pub mod person;
pub mod session;
pub mod session_label;
pub mod setting;
pub mod subscription;
pub mod task;
pub mod task_event;
pub mod task_reminder;
pub mod transcript_entry;
pub mod transcript_file;
pub mod usage;
