//! The daemon's state, and what `handle` asks of it: who somebody is, what is in force, what is counted. Behind one
//! `Arc`; the settings are swapped whole by a reload.

use crate::config::load::{self, Loaded};
use crate::config::paths::Environment;
use crate::config::personal::{self, Personal};
use crate::config::show;
use crate::daemon::backend::{Backend, Call, Event};
use crate::daemon::handle::{audit_unavailable, handle};
use crate::daemon::hosts::Hosts;
use crate::daemon::limits::Limits;
use crate::daemon::peer::{self, Names};
use crate::daemon::rates::{Payer, Rates};
use crate::daemon::settings::{self, Settings};
use crate::daemon::tokens::Tokens;
use crate::domain::action::Verb;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::{Caller, Peer, Role, Via};
use crate::domain::people::{self, OsUser, PeopleMap, Resolved};
use crate::domain::person::PersonId;
use crate::domain::policy;
use crate::domain::session::SessionId;
use crate::domain::timestamp::Timestamp;
use crate::store::connect::{Clock, Store};
use crate::store::denial::{Counted, DenialMeter};
use crate::store::error::StoreError;
use crate::store::writer::WriteError;
use crate::store::{person, setting};
use crate::usecase::{Facts, run};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::{ConfigReply, HealthDetail, HealthReply, ReloadedReply, Reply};
use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
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
    store: Store,
    settings: ArcSwap<Settings>,
    environment: Environment,
    clock: Clock,
    names: Arc<Names>,
    hosts: Hosts,
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
    reloading: tokio::sync::Mutex<()>,
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
        let people = people_map(&parts.store, &parts.loaded, &names, parts.own_uid, now).await?;
        let limits = settings::limits(&parts.loaded);
        let tokens = Tokens::default();
        for (hash, session, uid) in
            crate::store::session::open_tokens(parts.store.reader(), parts.store.computer()).await?
        {
            tokens.keep(hash, session, uid);
        }
        Ok(Arc::new(Self {
            computer: Arc::from(parts.store.computer()),
            socket: parts.loaded.config.socket.to_string_lossy().into_owned(),
            recordings: Arc::new(parts.loaded.paths.state_dir.join("recordings")),
            settings: ArcSwap::from_pointee(Settings { people, limits, loaded: parts.loaded }),
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
            events: broadcast::Sender::new(EVENTS),
            work: Notify::new(),
            connections: Arc::default(),
            own_uid: parts.own_uid,
            started: now,
            reloading: tokio::sync::Mutex::default(),
            store: parts.store,
        }))
    }

    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The session hosts.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Live session tokens.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Names of OS users and groups.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// What is in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
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

    /// What a request needs beside itself. `projects` are those the caller is held to.
    pub fn facts(&self, settings: &Settings, caller: &Caller, projects: Arc<[String]>) -> Facts {
        Facts {
            config: Arc::clone(&settings.loaded.config),
            single_user: settings.single_user(),
            runner: settings.runner().map(Arc::from),
            computer: Arc::clone(&self.computer),
            now: self.now(),
            request_id: Uuid::now_v7(),
            session_id: Uuid::now_v7(),
            message_id: Uuid::now_v7(),
            own_projects: projects,
            personal: self.known_personal(caller.uid),
            recordings: Arc::clone(&self.recordings),
        }
    }

    /// Who `peer` is, for this request, and the projects they are held to. Binds somebody new to a key first.
    ///
    /// # Errors
    /// A token that is not this user's, or the database.
    pub async fn identify(
        &self,
        peer: &Peer,
        via: Via,
        token: Option<&SecretString>,
    ) -> Result<(Caller, Arc<[String]>), Fault> {
        let user = self.names.user_name(peer.uid).await;
        let (mut user, mut resolved) = self.resolve_now(&self.settings(), peer, user);
        if let Some(name) = resolved.bind.take() {
            self.bind(&name).await?;
            (user, resolved) = self.resolve_now(&self.settings(), peer, user);
        }
        if resolved.refuse {
            // A connection from before a reload; new ones are closed at once.
            let caller = caller(peer, via, user, resolved);
            self.spend(&self.settings(), &caller)?;
            let draft = AuditDraft::by(&caller, "access.denied", AuditOutcome::Denied, self.now(), "")
                .with_detail(&serde_json::json!({ "action": "connect" }));
            self.note_denial(draft, Verb::Whoami, Instant::now() + Duration::from_secs(5)).await?;
            return Err(Fault::new(FaultCode::Denied, "this daemon does not serve this user"));
        }
        self.load_personal(peer.uid, &resolved).await;
        self.note_contact(peer.uid, user.as_deref(), &resolved);
        let projects = Arc::from(std::mem::take(&mut resolved.projects));
        let mut caller = caller(peer, via, user, resolved);
        if let Some(token) = token {
            match self.tokens.find(token, peer.uid) {
                Ok(session) => caller.agent_of = Some(session),
                Err(why) => {
                    self.spend(&self.settings(), &caller)?;
                    let draft =
                        AuditDraft::by(&caller, "access.denied", AuditOutcome::Denied, self.now(), "")
                            .with_detail(&serde_json::json!({ "action": "session_token", "why": why }));
                    let deadline = Instant::now() + Duration::from_secs(5);
                    self.note_denial(draft, Verb::Whoami, deadline).await?;
                    return Err(Fault::new(FaultCode::Denied, why)
                        .hint("TELECLAUDE_TOKEN belongs to one session and ends with it"));
                }
            }
        } else {
            caller.agent_of = self.agent_by_place(peer);
        }
        Ok((caller, projects))
    }

    /// Whose agent `peer` is by where its process lies, without having shown a token.
    fn agent_by_place(&self, peer: &Peer) -> Option<SessionId> {
        self.tokens.agent_in(peer.runner.as_deref()?, peer.uid)
    }

    /// What the map in force says about `peer`, whose name is `username`. Gives the name back.
    fn resolve_now(
        &self,
        settings: &Settings,
        peer: &Peer,
        username: Option<String>,
    ) -> (Option<String>, Resolved) {
        let mut gids = Vec::with_capacity(peer.groups.len() + 1);
        gids.push(peer.gid);
        gids.extend_from_slice(&peer.groups);
        let who = OsUser { uid: peer.uid, username, gids, foreign: peer::is_nobody(peer.uid) };
        let resolved = settings.people.resolve(&who, self.now());
        (who.username, resolved)
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
        let first = self.denials().first(draft.actor_uid, verb.name(), draft.at);
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
        self.store.append(deadline, draft).await.map_err(audit_unavailable)?;
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
            Reply::Started(_) | Reply::Sent(_) | Reply::Ended(_) => self.work.notify_one(),
            Reply::MyConfig(_) => {
                let mut all = self.personal.write().unwrap_or_else(PoisonError::into_inner);
                self.personal_changes.fetch_add(1, Ordering::Relaxed);
                all.clear();
            }
            _ => {}
        }
    }

    /// Who an OS user, named by name or uid, would be. `None` if the system does not know them, or if it is not for
    /// the asker to know: only an admin may ask about others.
    pub async fn explain(&self, asker: &Caller, user: &str) -> Option<Caller> {
        if asker.role < Role::Admin {
            let own = user.parse() == Ok(asker.uid) || asker.os_username.as_deref() == Some(user);
            return own.then(|| asker.clone());
        }
        let uid = match user.parse::<u32>() {
            Ok(uid) => uid,
            Err(_) => self.names.uid(user.to_owned()).await?,
        };
        let name = self.names.user_name(uid).await;
        if uid == asker.uid {
            return Some(asker.clone());
        }
        let groups = self.names.groups(uid).await;
        let peer = Peer { uid, gid: groups.first().copied().unwrap_or(uid), groups, pid: None, runner: None };
        let (name, resolved) = self.resolve_now(&self.settings(), &peer, name);
        Some(caller(&peer, asker.via, name, resolved))
    }

    /// How the daemon is: a word for all, details for admins.
    pub fn health(&self, caller: &Caller) -> HealthReply {
        let settings = self.settings();
        let mut problems: Vec<String> = self.store.problem().into_iter().collect();
        let status = if problems.is_empty() { "ok" } else { "degraded" };
        let detail = (caller.role == Role::Admin && caller.agent_of.is_none()).then(|| {
            problems.extend(settings.loaded.warnings.iter().cloned());
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

    /// Reads the config again. A bad one changes nothing and is written down.
    ///
    /// # Errors
    /// `invalid` with every problem of the new config.
    pub async fn reload(&self, by: Option<(&Caller, &Facts)>) -> Result<ReloadedReply, Fault> {
        let _one_at_a_time = self.reloading.lock().await;
        let environment = self.environment.clone();
        let loaded = tokio::task::spawn_blocking(move || load::load(&environment))
            .await
            .map_err(|_| Fault::new(FaultCode::Internal, "reading the config failed"))?;
        let draft = |action: &str, outcome| match by {
            Some((caller, facts)) => {
                AuditDraft::by(caller, action, outcome, facts.now, &facts.request_id.to_string())
            }
            None => AuditDraft::by_daemon(self.own_uid, action, outcome, self.now()),
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(problems) => {
                let text = problems.to_string();
                tracing::warn!(problems = %text, "the new config is wrong; the old one stays in force");
                let row = draft("config.rejected", AuditOutcome::Failure).with_detail(
                    &serde_json::json!({ "problems": text.chars().take(4_096).collect::<String>() }),
                );
                self.store.append(deadline, row).await.map_err(audit_unavailable)?;
                return Err(Fault::invalid("config", text).hint("the old config stays in force"));
            }
        };
        let old = self.settings();
        let (changed, needs_restart) = Loaded::differences(&old.loaded, &loaded);
        let people = people_map(&self.store, &loaded, &self.names, self.own_uid, self.now())
            .await
            .map_err(crate::usecase::resolve::unavailable)?;
        let row = draft("config.reload", AuditOutcome::Success)
            .with_detail(&serde_json::json!({ "changed": changed, "needs_restart": needs_restart }));
        self.store.append(deadline, row).await.map_err(audit_unavailable)?;
        let limits = settings::limits(&loaded);
        self.settings.store(Arc::new(Settings { people, limits, loaded }));
        self.tell(Event::Catalogue);
        Ok(ReloadedReply { changed, needs_restart })
    }

    /// Binds a name to a key and puts the people map in force that knows it.
    async fn bind(&self, name: &str) -> Result<(), Fault> {
        let _one_at_a_time = self.reloading.lock().await;
        let (name, fresh, now) = (name.to_owned(), PersonId(Uuid::now_v7()), self.now());
        let deadline = Instant::now() + Duration::from_secs(10);
        self.store
            .write(deadline, move |tx| {
                let name = name.clone();
                Box::pin(async move { person::bind(tx.conn(), &name, fresh, now).await })
            })
            .await
            .map_err(unwritten)?;
        let old = self.settings();
        let people = people_map(&self.store, &old.loaded, &self.names, self.own_uid, now)
            .await
            .map_err(crate::usecase::resolve::unavailable)?;
        let limits = Arc::clone(&old.limits);
        self.settings.store(Arc::new(Settings { people, limits, loaded: old.loaded.clone() }));
        Ok(())
    }

    fn known_personal(&self, uid: u32) -> Option<Arc<Personal>> {
        self.personal.read().unwrap_or_else(PoisonError::into_inner).get(&uid).cloned().flatten()
    }

    /// Reads somebody's personal layer from the database once. One that no longer passes counts as none.
    async fn load_personal(&self, uid: u32, resolved: &Resolved) {
        if resolved.person.is_none()
            || self.personal.read().unwrap_or_else(PoisonError::into_inner).contains_key(&uid)
        {
            return;
        }
        let changes = self.personal_changes.load(Ordering::Acquire);
        let Ok(kept) = setting::get(self.store.reader(), uid, run::PERSONAL).await else { return };
        let parsed =
            kept.and_then(|(yaml, _)| personal::parse(&yaml, std::path::Path::new("config.yml")).ok());
        let mut all = self.personal.write().unwrap_or_else(PoisonError::into_inner);
        if self.personal_changes.load(Ordering::Relaxed) != changes {
            return;
        }
        if all.len() >= PERSONAL_MAX {
            all.clear();
        }
        all.insert(uid, parsed.map(Arc::new));
    }

    /// Writes down, once an hour and beside the request, that a uid was here.
    fn note_contact(&self, uid: u32, user: Option<&str>, resolved: &Resolved) {
        let now = Instant::now();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.get(&uid).is_some_and(|at| now.duration_since(*at) < SEEN_EVERY) {
                return;
            }
            if seen.len() >= SEEN_MAX {
                seen.retain(|_, at| now.duration_since(*at) < SEEN_EVERY);
            }
            if seen.len() >= SEEN_MAX {
                return;
            }
            seen.insert(uid, now);
        }
        let (store, at) = (self.store.clone(), self.now());
        let (user, name) = (user.map(str::to_owned), resolved.person.as_ref().map(|p| p.name.clone()));
        let fresh = PersonId(Uuid::now_v7());
        tokio::spawn(async move {
            let written = store
                .write(now + Duration::from_secs(30), move |tx| {
                    let (user, name) = (user.clone(), name.clone());
                    Box::pin(async move {
                        person::upsert_seen(tx.conn(), fresh, uid, user.as_deref(), name.as_deref(), at).await
                    })
                })
                .await;
            if let Err(error) = written {
                tracing::warn!(%error, uid, "a contact could not be written down");
            }
        });
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

fn caller(peer: &Peer, via: Via, os_username: Option<String>, resolved: Resolved) -> Caller {
    Caller {
        uid: peer.uid,
        gid: peer.gid,
        groups: peer.groups.clone(),
        os_username,
        person: resolved.person,
        role: resolved.role,
        standing: resolved.standing,
        rule: resolved.rule,
        via,
        agent_of: None,
    }
}

fn unwritten<E: std::fmt::Display>(error: WriteError<E>) -> Fault {
    Fault::new(FaultCode::Unavailable, format!("the database did not take it: {error}"))
}

/// Binds every person of the config to a key and makes the map of all.
async fn people_map(
    store: &Store,
    loaded: &Loaded,
    names: &Names,
    own_uid: u32,
    now: Timestamp,
) -> Result<PeopleMap, StoreError> {
    let mut sources = settings::sources(loaded, names, own_uid).await;
    let known = person::directory(store.reader()).await?;
    let new: Vec<(String, PersonId)> = PeopleMap::config_names(&sources)
        .into_iter()
        .filter(|name| !known.iter().any(|p| p.name == *name))
        .map(|name| (name, PersonId(Uuid::now_v7())))
        .collect();
    if !new.is_empty() {
        let new = Arc::new(new);
        store
            .write(Instant::now() + Duration::from_secs(10), move |tx| {
                let new = Arc::clone(&new);
                Box::pin(async move {
                    for (name, fresh) in new.iter() {
                        person::bind(tx.conn(), name, *fresh, now).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
            .map_err(|error| match error {
                WriteError::Refused(error) | WriteError::Store(error) => error,
                WriteError::Busy | WriteError::OutcomeUnknown | WriteError::Panicked => StoreError::Timeout,
            })?;
    }
    sources.directory = person::directory(store.reader()).await?;
    let bans = person::active_bans(store.reader(), now).await?;
    sources.bans = bans
        .into_iter()
        .map(|b| people::Ban { person: b.person, uid: b.uid, until: b.until, reason: b.reason })
        .collect();
    Ok(PeopleMap::new(sources))
}

impl Backend for App {
    fn handle<'a>(&'a self, peer: &'a Peer, call: Call) -> BoxFuture<'a, Result<Reply, Fault>> {
        Box::pin(handle(self, peer, call))
    }

    fn caller(&self, peer: &Peer, via: Via, token: Option<&SecretString>) -> Caller {
        let (user, resolved) = self.resolve_now(&self.settings.load(), peer, self.names.known_user(peer.uid));
        let mut caller = caller(peer, via, user, resolved);
        if let Some(token) = token {
            match self.tokens.find(token, peer.uid) {
                Ok(session) => caller.agent_of = Some(session),
                Err(_) => {
                    caller.role = Role::Public;
                    caller.person = None;
                }
            }
        } else {
            caller.agent_of = self.agent_by_place(peer);
        }
        caller
    }

    fn may(&self, caller: &Caller, kind: &'static str) -> bool {
        verb_of(kind).is_some_and(|verb| policy::may(caller, verb))
    }

    fn look_at(&self, peer: &mut Peer) {
        if self.settings.load().runner().is_some() && !self.tokens.is_empty() {
            peer.runner = peer.pid.and_then(peer::runner_of);
        }
    }

    fn turns_away(&self, peer: &Peer) -> bool {
        self.resolve_now(&self.settings(), peer, self.names.known_user(peer.uid)).1.refuse
    }

    fn refused<'a>(
        &'a self,
        peer: &'a Peer,
        via: Via,
        token: Option<&'a SecretString>,
        kind: &'static str,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Some(verb) = verb_of(kind) else { return };
            let settings = self.settings();
            let Ok((caller, projects)) = self.identify(peer, via, token).await else { return };
            if self.spend(&settings, &caller).is_err() {
                return;
            }
            let facts = self.facts(&settings, &caller, projects);
            let deadline = Instant::now() + Duration::from_secs(5);
            if let Err(fault) = self.note_denial(run::refusal_of(&facts, &caller, verb), verb, deadline).await
            {
                tracing::warn!(%fault, uid = peer.uid, "a refusal could not be written down");
            }
        })
    }

    fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.settings.load().limits)
    }

    fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// The row of the policy's table for a request's kind, as the mouths name it.
fn verb_of(kind: &str) -> Option<Verb> {
    Some(match kind {
        "whoami" => Verb::Whoami,
        "health" => Verb::Health,
        "list_projects" => Verb::ListProjects,
        "list_agents" => Verb::ListAgents,
        "list_computers" => Verb::ListComputers,
        "list_sessions" => Verb::ListSessions,
        "get_session" => Verb::ShowSession,
        "start_session" | "run_agent_command" => Verb::StartSession,
        "send_message" => Verb::SendMessage,
        "end_session" => Verb::EndSession,
        "get_session_data" => Verb::ReadSession,
        "subscribe" | "stop_notifications" => Verb::Watch,
        "list_audit" => Verb::ListAudit,
        "verify_audit" => Verb::VerifyAudit,
        "show_config" => Verb::ShowConfig,
        "put_my_config" => Verb::PutMyConfig,
        "explain_person" => Verb::ExplainPerson,
        "reload" => Verb::Reload,
        _ => return None,
    })
}
