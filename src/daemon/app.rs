//! The daemon's state, and what `handle` asks of it: what is in force, what is counted, how the daemon is. Behind one
//! `Arc`. Who somebody is stands in `identity`, reading the config again in `reload`, what the mouths ask in `mouths`.

mod identity;
mod mouths;
mod reload;

use crate::config::keys::{self, Keys};
use crate::config::load::Loaded;
use crate::config::paths::Environment;
use crate::config::personal::Personal;
use crate::config::show;
use crate::config::zone;
use crate::daemon::attach::Attachments;
use crate::daemon::backend::Event;
use crate::daemon::docs::Docs;
use crate::daemon::hosts::Hosts;
use crate::daemon::jobs::Jobs;
use crate::daemon::keys::Rotation;
use crate::daemon::limits::Gate;
use crate::daemon::metrics::Counts;
use crate::daemon::notary::Notary;
use crate::daemon::peer::Names;
use crate::daemon::rates::{Payer, Rates};
use crate::daemon::settings::{self, Settings};
use crate::daemon::tokens::Tokens;
use crate::daemon::transcripts::Copying;
use crate::domain::audit::AuditDraft;
use crate::domain::caller::{Caller, Role};
use crate::domain::person::PersonId;
use crate::domain::timestamp::Timestamp;
use crate::domain::verb::Verb;
use crate::store::connect::{Clock, Store};
use crate::store::denial::{Counted, DenialMeter};
use crate::store::error::StoreError;
use crate::usecase::people::Roster;
use crate::usecase::witness::Written;
use crate::usecase::{Facts, run, witness};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::{ConfigReply, HealthDetail, HealthReply, Reply};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;
use uuid::Uuid;

/// Personal layers that are remembered; past it one is read from the database again.
const PERSONAL_MAX: usize = 10_000;
/// Uids whose contact is remembered, so that each is written down once an hour.
const SEEN_MAX: usize = 10_000;
const SEEN_EVERY: Duration = Duration::from_secs(3_600);
/// Events that wait for a slow watcher; it loses the oldest and is told so.
const EVENTS: usize = 1_024;

/// The daemon's state.
pub struct App {
    me: Weak<Self>,
    store: Store,
    settings: ArcSwap<Settings>,
    environment: Environment,
    clock: Clock,
    names: Arc<Names>,
    hosts: Hosts,
    attachments: Arc<Attachments>,
    copying: Arc<Copying>,
    exports: Arc<Gate>,
    docs: Docs,
    tokens: Tokens,
    rates: Rates,
    denials: Mutex<DenialMeter>,
    personal: RwLock<HashMap<u32, Option<Arc<Personal>>>>,
    /// Counts changes of personal layers: what was read before one is not remembered after it.
    personal_changes: AtomicUsize,
    seen: Mutex<HashMap<u32, Instant>>,
    events: broadcast::Sender<Event>,
    /// Rings when there are effects to be done.
    work: Notify,
    connections: Arc<AtomicUsize>,
    computer: Arc<str>,
    recordings: Arc<PathBuf>,
    /// Where it is listened, whatever a reload says.
    socket: String,
    own_uid: u32,
    started: Timestamp,
    counts: Counts,
    reloading: tokio::sync::Mutex<()>,
    /// Held while people are read and put in force: milliseconds.
    mapping: tokio::sync::Mutex<()>,
    notary: Arc<Notary>,
    pruning: tokio::sync::Mutex<()>,
    jobs: Jobs,
    keys: Arc<ArcSwap<Keys>>,
    key_file: PathBuf,
    rotation: Rotation,
    roster: Arc<Roster>,
}

/// What an [`App`] is made of.
pub struct Parts {
    /// The open database.
    pub store: Store,
    /// The config it was opened with.
    pub loaded: Loaded,
    /// Where a reload reads it again.
    pub environment: Environment,
    /// The time.
    pub clock: Clock,
    /// The session hosts.
    pub hosts: Hosts,
    /// The uid the daemon runs as.
    pub own_uid: u32,
}

impl App {
    /// Binds the people of the config to their keys and works out what is in force.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn new(parts: Parts) -> Result<Arc<Self>, StoreError> {
        let names = Arc::new(Names::default());
        let now = (parts.clock)();
        let people = reload::by_config(&parts.store, &parts.loaded, &names, parts.own_uid, now).await?;
        let (people, people_version) = reload::as_kept(&parts.store, &people, now).await?;
        let limits = settings::limits(&parts.loaded);
        let tokens = Tokens::default();
        for (hash, session, uid) in
            crate::store::session::open_tokens(parts.store.reader(), parts.store.computer()).await?
        {
            tokens.keep(hash, session, uid);
        }
        let jobs = crate::store::job::all(parts.store.reader(), parts.store.computer()).await?;
        let events = broadcast::Sender::new(EVENTS);
        let app = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            attachments: Attachments::new(parts.hosts.clone(), events.clone()),
            copying: Arc::default(),
            exports: Arc::default(),
            docs: Docs::default(),
            computer: Arc::from(parts.store.computer()),
            notary: Arc::new(Notary::open(&parts.loaded.paths.state_dir, parts.store.computer())),
            pruning: tokio::sync::Mutex::default(),
            jobs: Jobs::new(jobs, now),
            socket: parts.loaded.config.socket.to_string_lossy().into_owned(),
            key_file: parts.loaded.paths.state_dir.join(keys::FILE),
            recordings: Arc::new(parts.loaded.paths.state_dir.join("recordings")),
            settings: ArcSwap::from_pointee(Settings {
                people,
                people_version,
                limits,
                redactor: settings::redactor(&parts.loaded),
                loaded: parts.loaded,
            }),
            environment: parts.environment,
            clock: parts.clock,
            names,
            hosts: parts.hosts,
            tokens,
            rates: Rates::default(),
            denials: Mutex::default(),
            personal: RwLock::default(),
            personal_changes: AtomicUsize::new(0),
            seen: Mutex::default(),
            events,
            work: Notify::new(),
            connections: Arc::default(),
            own_uid: parts.own_uid,
            started: now,
            counts: Counts::default(),
            reloading: tokio::sync::Mutex::default(),
            mapping: tokio::sync::Mutex::default(),
            store: parts.store,
            keys: Arc::default(),
            rotation: Rotation::default(),
            roster: Arc::default(),
        });
        app.read_keys().await;
        Ok(app)
    }

    /// This, for what goes on when the one who asked for it has gone.
    pub fn shared(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The session hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Who sees which terminal now.
    pub fn attachments(&self) -> &Arc<Attachments> {
        &self.attachments
    }

    /// Whose transcripts are still being copied although they have ended.
    pub fn copying(&self) -> &Arc<Copying> {
        &self.copying
    }

    /// Who takes sessions out now.
    pub fn exports(&self) -> &Arc<Gate> {
        &self.exports
    }

    /// The shared documents.
    pub fn docs(&self) -> &Docs {
        &self.docs
    }

    /// Live session tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Who signs the audit log's checkpoints.
    pub fn notary(&self) -> &Arc<Notary> {
        &self.notary
    }

    /// Held by the one who prunes the audit log.
    pub fn pruning(&self) -> &tokio::sync::Mutex<()> {
        &self.pruning
    }

    /// What is done now and then.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Where the system's folders begin.
    pub fn system_root(&self) -> &std::path::Path {
        &self.environment.root
    }

    /// The encryption keys that are there.
    pub fn keys(&self) -> &ArcSwap<Keys> {
        &self.keys
    }

    /// Where the daemon keeps those that it makes.
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// Reads the encryption keys again, and has whatever names an older one encrypted anew.
    /// Whoever calls it has the turn at them.
    pub async fn read_keys(&self) {
        let (settings, file) = (self.settings(), self.key_file.clone());
        let read = tokio::task::spawn_blocking(move || Keys::read(&settings.loaded.secrets, &file)).await;
        if let Ok(keys) = read {
            if let Some(problem) = &keys.problem {
                tracing::warn!(problem, "credentials cannot be kept or used");
            }
            self.keys.store(Arc::new(keys));
        }
        self.rotation.wake();
    }

    /// How far the encryption with another key is.
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// Names of OS users and groups.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// What is in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// When the daemon began.
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// What is counted for a monitoring system.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The moment.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The uid the daemon runs as.
    pub fn own_uid(&self) -> u32 {
        self.own_uid
    }

    /// The socket, for agents.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// A variable of the daemon's own environment that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.var(name).filter(|value| !value.is_empty())
    }

    /// The folder in which recordings lie.
    pub fn recordings(&self) -> &std::path::Path {
        &self.recordings
    }

    /// The home of the daemon's own user.
    pub fn home(&self) -> &std::path::Path {
        &self.environment.home
    }

    /// Rings when there are effects to be done.
    pub fn work(&self) -> &Notify {
        &self.work
    }

    /// How many connections are open, to be kept by who accepts them.
    pub fn connections(&self) -> &Arc<AtomicUsize> {
        &self.connections
    }

    /// Tells whoever watches.
    pub fn tell(&self, event: Event) {
        // Nobody watching is no error.
        let _ = self.events.send(event);
    }

    /// Tells the owner of what was read, where they listen, that there is something in their inbox.
    pub fn tell_of(&self, written: &Written) {
        if let Some(session) = written.action().session().filter(|_| written.told()) {
            self.tell_owner(session.owner, session.owner_uid);
        }
    }

    /// Tells whoever listens as this person, at this uid, that their inbox has changed.
    pub fn tell_owner(&self, person: PersonId, uid: u32) {
        self.tell(Event::Inbox { person, uid: Some(uid) });
    }

    /// Tells whoever listens as this person, at whichever uid, that their inbox has changed.
    pub fn tell_person(&self, person: PersonId) {
        self.tell(Event::Inbox { person, uid: None });
    }

    /// What a request needs beside itself. `projects` are those the caller is held to.
    pub fn facts(&self, settings: &Settings, caller: &Caller, projects: Arc<[String]>) -> Facts {
        Facts {
            config: Arc::clone(&settings.loaded.config),
            single_user: settings.single_user(),
            runner: settings.runner().map(Arc::from),
            computer: Arc::clone(&self.computer),
            actor: caller.name(),
            now: self.now(),
            zone: zone::of_machine(),
            request_id: Uuid::now_v7(),
            session_id: Uuid::now_v7(),
            message_id: Uuid::now_v7(),
            own_projects: projects,
            personal: self.known_personal(caller.uid),
            recordings: Arc::clone(&self.recordings),
            roster: Arc::clone(&self.roster),
            people: Arc::clone(&settings.people),
            keys: Arc::clone(&self.keys),
        }
    }

    /// Takes one request out of the caller's bucket.
    ///
    /// # Errors
    /// `rate_limited`, saying when to try again.
    pub fn spend(&self, settings: &Settings, caller: &Caller) -> Result<(), Fault> {
        let payer = if caller.person.is_some() { Payer::Uid(caller.uid) } else { Payer::Unmapped };
        let now = Instant::now().into_std();
        self.rates.spend(payer, settings.allowance(caller.role), now).map_err(|wait| {
            let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1);
            Fault {
                retry_after_ms: Some(ms),
                ..Fault::new(
                    FaultCode::RateLimited,
                    format!("the role {} has no requests left for now", caller.role),
                )
                .hint(format!("try again in {ms} ms (roles.{}.requests_per_minute)", caller.role))
            }
        })
    }

    /// Writes a refusal down: the first of its kind in a minute as a row, the rest of the minute as a count.
    ///
    /// # Errors
    /// `audit_unavailable`.
    pub async fn note_denial(&self, draft: AuditDraft, verb: Verb, deadline: Instant) -> Result<(), Fault> {
        self.counts.denied(verb);
        let (uid, at) = (draft.actor_uid, draft.at);
        let first = match draft.actor_role {
            Role::Public => self.denials().first_of_stranger(uid, verb.name(), at),
            _ => self.denials().first(uid, verb.name(), at),
        };
        if !first {
            return Ok(());
        }
        let mut uncounted = Uncounted {
            app: self,
            refusal: Some(Counted {
                uid: Some(draft.actor_uid),
                action: verb.name().to_owned(),
                since: draft.at,
                count: 1,
            }),
        };
        self.store.append(deadline, draft).await.map_err(witness::unavailable)?;
        uncounted.refusal = None;
        Ok(())
    }

    /// The refusals that are counted.
    pub fn denials(&self) -> std::sync::MutexGuard<'_, DenialMeter> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a change is committed: whoever waits for it is told.
    pub fn after_change(&self, reply: &Reply) {
        match reply {
            Reply::Started(_)
            | Reply::Sent(_)
            | Reply::Delivered(_)
            | Reply::Ended(_)
            | Reply::Purged(_)
            | Reply::Changed(_)
            | Reply::Answered(_)
            | Reply::Heard(_) => self.work.notify_one(),
            Reply::MyConfig(_) => self.forget_personal(),
            _ => {}
        }
    }

    /// Has personal layers read again: one was changed, maybe by another daemon.
    pub(super) fn forget_personal(&self) {
        let mut all = self.personal.write().unwrap_or_else(PoisonError::into_inner);
        self.personal_changes.fetch_add(1, Ordering::Relaxed);
        all.clear();
    }

    /// How the daemon is: a word for all, details for admins.
    pub fn health(&self, caller: &Caller) -> HealthReply {
        let settings = self.settings();
        let mut problems: Vec<String> = self.store.problem().into_iter().chain(self.notary.wrong()).collect();
        problems.extend(self.jobs.wrong());
        let status = if problems.is_empty() { "ok" } else { "degraded" };
        let detail = (caller.role == Role::Admin && caller.agent_of.is_none()).then(|| {
            problems.extend(settings.loaded.warnings.iter().cloned());
            problems.extend(self.keys.load().problem.clone());
            problems.extend(self.docs.wrong());
            HealthDetail {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                computer: self.computer.to_string(),
                database: self.store.engine().to_owned(),
                uptime_seconds: i64::try_from(self.now().since(self.started).as_secs()).unwrap_or(i64::MAX),
                connections: i64::try_from(self.connections.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
                sessions: i64::try_from(self.tokens.len()).unwrap_or(i64::MAX),
                problems,
            }
        });
        HealthReply { status: status.to_owned(), detail }
    }

    /// The config in force for admins; the personal layer for others.
    pub fn config_rows(&self, settings: &Settings, caller: &Caller) -> ConfigReply {
        if caller.role == Role::Admin {
            return run::config_rows(show::rows(&settings.loaded));
        }
        let values = self.known_personal(caller.uid).map(|p| show::personal_rows(&p)).unwrap_or_default();
        run::config_rows(values)
    }
}

/// A first refusal on its way to the audit log. If it does not get there (the database, or the asker is gone while it
/// waits), it is counted with the rest of its minute.
struct Uncounted<'a> {
    app: &'a App,
    refusal: Option<Counted>,
}

impl Drop for Uncounted<'_> {
    fn drop(&mut self) {
        if let Some(refusal) = self.refusal.take() {
            self.app.denials().put_back(&refusal);
        }
    }
}
