//! The runner: a small privileged program (`teleclaude-runner`) that does a handful of fixed things as the owner of a
//! session, and the host's way of asking it. What is said is `message`.

pub mod client;
pub mod message;
pub mod sys;
