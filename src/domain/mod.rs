//! What is true: pure types and the policy. No I/O, no clock, no randomness, no async.

pub mod action;
pub mod audit;
pub mod audit_format;
pub mod caller;
pub mod checkpoint;
pub mod credential;
pub mod deadline;
pub mod export;
pub mod hold;
pub mod hook;
pub mod label;
pub mod note;
pub mod notice;
pub mod people;
pub mod person;
pub mod policy;
pub mod project;
pub mod query;
pub mod question;
pub mod redact;
pub mod session;
pub mod task;
pub mod timestamp;
pub mod transcript;
pub mod verb;
pub mod walk;
