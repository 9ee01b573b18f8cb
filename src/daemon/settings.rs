//! What is in force: the config, and what is worked out from it once so that no request has to. A reload makes a
//! new one and swaps it in whole.

use crate::config::load::Loaded;
use crate::config::paths::Mode;
use crate::config::schema::RunAs;
use crate::config::schema::access::{AccessEntry, PersonEntry, Unmapped};
use crate::daemon::limits::Limits;
use crate::daemon::peer::Names;
use crate::daemon::rates::Allowance;
use crate::domain::caller::Role;
use crate::domain::people::{ConfigPerson, Listed, PeopleMap, Selector, Sources};
use crate::domain::redact::Redactor;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a reload replaces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The config with its secrets, paths and origins.
    pub loaded: Loaded,
    /// Who is who.
    pub people: Arc<PeopleMap>,
    /// How often people and bans had changed when the map was made.
    pub people_version: i64,
    /// The bounds of the socket.
    pub limits: Arc<Limits>,
    /// Takes credentials out of transcripts. Without it none are kept.
    pub redactor: Option<Arc<Redactor>>,
}

impl Settings {
    /// Whether one user only is served.
    pub fn single_user(&self) -> bool {
        self.loaded.mode == Mode::SingleUser
    }

    /// Where the runner is asked, if agents run as the owners of their sessions. There is no falling back from this to
    /// running them as the service user.
    pub fn runner(&self) -> Option<&Path> {
        let by_runner = !self.single_user() && self.loaded.config.sessions.run_as == RunAs::Owner;
        by_runner.then_some(self.loaded.paths.runner_socket.as_path())
    }

    /// What a role may spend in requests.
    pub fn allowance(&self, role: Role) -> Allowance {
        let limits = self.loaded.config.roles.of(role);
        Allowance { per_minute: limits.requests_per_minute, burst: limits.burst }
    }
}

/// What takes credentials out of transcripts, by this config. It was checked, so it can be made; if not, nothing is kept
/// rather than a secret.
pub fn redactor(loaded: &Loaded) -> Option<Arc<Redactor>> {
    Redactor::new(&loaded.config.sessions.redact)
        .map(Arc::new)
        .inspect_err(|(_, why)| {
            tracing::error!(why, "no transcripts are kept: their credentials cannot be taken out")
        })
        .ok()
}

/// What the config says about people, with group names looked up. The directory and bans are added by the caller.
pub async fn sources(loaded: &Loaded, names: &Names, own_uid: u32) -> Sources {
    if loaded.mode == Mode::SingleUser {
        let name = names.user_name(own_uid).await.unwrap_or_else(|| format!("uid{own_uid}"));
        return Sources { single_user: Some((own_uid, name)), ..Sources::default() };
    }
    let config = &loaded.config;
    let mut sources =
        Sources { refuse_unmapped: config.access.unmapped == Unmapped::Refuse, ..Sources::default() };
    for (i, entry) in config.people.iter().enumerate() {
        sources.config.push(ConfigPerson {
            name: entry.name.clone(),
            who: selectors(entry, names).await,
            role: entry.role,
            projects: entry.projects.clone(),
            origin: loaded.origins.file_line(&format!("people[{i}]")),
        });
    }
    for (list, name, into) in [
        (&config.access.deny, "access.deny", &mut sources.deny),
        (&config.access.allow, "access.allow", &mut sources.allow),
    ] {
        for (i, entry) in list.iter().enumerate() {
            let who = match entry {
                AccessEntry::User(user) => Selector::User(user.clone()),
                AccessEntry::Uid(uid) => Selector::Uid(*uid),
                AccessEntry::Group(group) => Selector::Group(group.clone(), names.gid(group.clone()).await),
            };
            let origin = loaded.origins.file_line(&format!("{name}[{i}]"));
            if name == "access.deny" {
                // Denied by name is denied by uid: a directory that stops answering must not let anybody in.
                let uid = match &who {
                    Selector::User(user) => names.uid(user.clone()).await,
                    Selector::Uid(_) | Selector::Group(..) => None,
                };
                if uid.is_none() && !matches!(who, Selector::Uid(_) | Selector::Group(_, Some(_))) {
                    tracing::warn!(?who, "access.deny names nobody this system knows");
                }
                into.extend(uid.map(|uid| Listed { who: Selector::Uid(uid), origin: origin.clone() }));
            }
            into.push(Listed { who, origin });
        }
    }
    sources
}

async fn selectors(entry: &PersonEntry, names: &Names) -> Vec<Selector> {
    let mut who = Vec::new();
    if let Some(uid) = entry.os_uid {
        who.push(Selector::Uid(uid));
    }
    if let Some(user) = &entry.os_username {
        who.push(Selector::User(user.clone()));
    }
    if let Some(group) = &entry.os_group {
        who.push(Selector::Group(group.clone(), names.gid(group.clone()).await));
    }
    who
}

/// The socket's bounds as the config has them.
pub fn limits(loaded: &Loaded) -> Arc<Limits> {
    let from = &loaded.config.limits;
    let seconds = |n: u64| Duration::from_secs(n);
    Arc::new(Limits {
        connections: from.connections as usize,
        connections_per_uid: from.connections_per_uid as usize,
        first_byte: seconds(from.first_byte_seconds),
        message_bytes: from.message_bytes,
        in_flight: from.in_flight_per_connection as usize,
        in_flight_per_uid: from.in_flight_per_uid as usize,
        unwritten: from.unwritten_answers,
        unwritten_bytes: from.unwritten_bytes,
        write: seconds(from.write_seconds),
        bad_lines: from.bad_lines as usize,
        headers: from.headers,
        header_bytes: from.header_bytes,
        header: seconds(from.header_seconds),
        body: seconds(from.body_seconds),
        keep_alive: seconds(from.keep_alive_seconds),
        request: seconds(from.request_seconds),
        ..Limits::default()
    })
}
