//! What is true: pure types and the policy. No I/O, no clock, no randomness, no async.

pub mod action;
pub mod audit;
pub mod caller;
pub mod credential;
pub mod people;
pub mod person;
pub mod policy;
pub mod project;
pub mod redact;
pub mod session;
pub mod timestamp;
pub mod transcript;
