//! What is done once it is allowed. [`resolve`] turns names into things, [`run`] does the permitted thing:
//! [`run::read`] what changes nothing, [`run::change`] inside the writer's transaction. No sockets, no clock.

pub mod activity;
pub mod audit;
pub mod audit_format;
pub mod ban;
pub mod children;
pub mod content;
pub mod credential;
pub mod cursor;
pub mod docs;
pub mod export;
pub mod follow;
pub mod heartbeat;
pub mod hook;
pub mod inbox;
pub mod job;
pub mod labels;
pub mod letter;
pub mod markdown;
pub mod people;
mod people_ask;
mod people_change;
mod people_details;
mod people_guard;
pub mod people_list;
mod people_merge;
pub mod place;
pub mod purge;
pub mod question;
pub mod refusal;
pub mod resolve;
pub mod resume;
pub mod run;
pub mod search;
pub mod sessions;
pub mod task;
pub mod turns;
pub mod usage;
pub mod visitors;
pub mod witness;

use crate::config::keys::Keys;
use crate::config::personal::Personal;
use crate::config::schema::Config;
use crate::domain::caller::Caller;
use crate::domain::deadline::Zone;
use crate::domain::people::PeopleMap;
use crate::domain::timestamp::Timestamp;
use crate::usecase::people::Roster;
use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Somebody as the people map has them now.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Who that is.
    pub who: Caller,
    /// Projects they are held to; empty for no restriction.
    pub projects: Arc<[String]>,
}

/// What is needed beside the request: config, time and ids are arguments, so that every test is exact. Owned, so
/// that a unit of work can take it along to the writer.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The config in force.
    pub config: Arc<Config>,
    /// Whether the daemon serves one user only.
    pub single_user: bool,
    /// Where the runner is asked, if agents run as the owners of their sessions. The daemon then need not be able to
    /// look into homes and projects, and does not.
    pub runner: Option<Arc<Path>>,
    /// This machine's name in the database.
    pub computer: Arc<str>,
    /// The name of who asks.
    pub actor: String,
    /// The moment of the request.
    pub now: Timestamp,
    /// The machine's time zone.
    pub zone: Zone,
    /// The request, for the audit log and for logs: a UUIDv7.
    pub request_id: Uuid,
    /// A fresh UUIDv7 for a session, should one be made.
    pub session_id: Uuid,
    /// A fresh UUIDv7 for a message, should one be made.
    pub message_id: Uuid,
    /// Projects of the caller's own list; empty for no restriction.
    pub own_projects: Arc<[String]>,
    /// The caller's personal choices, if they handed any over.
    pub personal: Option<Arc<Personal>>,
    /// Folder in which recordings lie.
    pub recordings: Arc<PathBuf>,
    /// Everybody's names, for finding one of them.
    pub roster: Arc<Roster>,
    /// Who is who, as it was when the request came.
    pub people: Arc<PeopleMap>,
    /// The encryption keys: which are there at the moment of use, not of the request.
    pub keys: Arc<ArcSwap<Keys>>,
}
