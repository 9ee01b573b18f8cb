//! Who somebody is: from what the kernel said, by the people map in force, to a caller; and what is remembered of who
//! was here.

use crate::config::personal::{self, Personal};
use crate::daemon::app::{App, PERSONAL_MAX, SEEN_EVERY, SEEN_MAX};
use crate::daemon::peer;
use crate::daemon::settings::Settings;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::{Caller, Peer, Role, Via};
use crate::domain::people::{OsUser, Resolved};
use crate::domain::person::PersonId;
use crate::domain::session::SessionId;
use crate::domain::verb::Verb;
use crate::store::person::{self, Seen};
use crate::store::setting;
use crate::usecase::{Explained, run};
use crate::wire::fault::{Fault, FaultCode};
use secrecy::SecretString;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

impl App {
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
    pub(super) fn agent_by_place(&self, peer: &Peer) -> Option<SessionId> {
        self.tokens.agent_in(peer.runner.as_deref()?, peer.uid)
    }

    /// What the map in force says about `peer`, whose name is `username`. Gives the name back.
    pub(super) fn resolve_now(
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

    /// Who an OS user, named by name or uid, would be. `None` if the system does not know them, or if it is not for
    /// the asker to know: only an admin may ask about others.
    pub async fn explain(&self, asker: &Caller, user: &str) -> Option<Explained> {
        let themselves = || Explained { who: asker.clone(), projects: Arc::default() };
        if asker.role < Role::Admin {
            let own = user.parse() == Ok(asker.uid) || asker.os_username.as_deref() == Some(user);
            return own.then(themselves);
        }
        let uid = match user.parse::<u32>() {
            Ok(uid) => uid,
            Err(_) => self.names.uid(user.to_owned()).await?,
        };
        if uid == asker.uid {
            return Some(themselves());
        }
        Some(self.explained(uid, asker.via).await)
    }

    /// Who this uid is today, for what is done without being asked.
    pub async fn today(&self, uid: u32) -> Caller {
        self.explained(uid, Via::Daemon).await.who
    }

    async fn explained(&self, uid: u32, via: Via) -> Explained {
        let name = self.names.user_name(uid).await;
        let groups = self.names.groups(uid).await;
        let peer = Peer { uid, gid: groups.first().copied().unwrap_or(uid), groups, pid: None, runner: None };
        let (name, mut resolved) = self.resolve_now(&self.settings(), &peer, name);
        let projects = Arc::from(std::mem::take(&mut resolved.projects));
        Explained { who: caller(&peer, via, name, resolved), projects }
    }

    /// Somebody's personal layer, if it was read before.
    pub(super) fn known_personal(&self, uid: u32) -> Option<Arc<Personal>> {
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
            // Strangers, who may be many, leave half of it to people.
            let most = if resolved.person.is_some() { SEEN_MAX } else { SEEN_MAX / 2 };
            if seen.len() >= most {
                return;
            }
            seen.insert(uid, now);
        }
        let (store, at) = (self.store.clone(), self.now());
        let (user, name) = (user.map(str::to_owned), resolved.person.as_ref().map(|p| p.name.clone()));
        let group_role = resolved.group_role;
        let fresh = PersonId(Uuid::now_v7());
        tokio::spawn(async move {
            let written = store
                .write(now + Duration::from_secs(30), move |tx| {
                    let (user, name) = (user.clone(), name.clone());
                    Box::pin(async move {
                        let seen =
                            Seen { uid, os_username: user.as_deref(), name: name.as_deref(), group_role, at };
                        person::upsert_seen(tx.conn(), fresh, &seen).await
                    })
                })
                .await;
            if let Err(error) = written {
                tracing::warn!(%error, uid, "a contact could not be written down");
            }
        });
    }
}

/// A caller of what was resolved; its human, until something says otherwise.
pub(super) fn caller(peer: &Peer, via: Via, os_username: Option<String>, resolved: Resolved) -> Caller {
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
