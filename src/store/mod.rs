//! What is kept. The only user of sea-orm: `connect` opens a database, `writer` owns every write, `lock` keeps two
//! daemons off one chain, `entity` maps rows; the rest is one file a noun and speaks domain types only.

pub mod about;
pub mod activity;
pub mod audit;
pub mod ban;
pub mod checkpoint;
pub mod conn;
pub mod connect;
pub mod credential;
pub mod denial;
pub mod encryption_key;
mod entity;
pub mod error;
mod file;
pub mod hold;
pub mod hook;
pub mod host;
pub mod inbox;
pub mod instance;
pub mod job;
pub mod label;
mod lock;
pub mod message;
pub mod migrate;
pub mod outbox;
pub mod people;
pub mod people_change;
pub mod people_list;
pub mod person;
pub mod prune;
pub mod question;
pub mod reminder;
pub mod retention;
pub mod seal;
pub mod search;
pub mod session;
pub mod setting;
pub mod subscription;
pub mod task;
pub mod task_event;
pub mod transcript;
pub mod usage;
pub mod verify;
pub mod version;
pub mod visitor;
pub mod writer;

/// Text without NUL bytes, which Postgres refuses in text.
fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}
