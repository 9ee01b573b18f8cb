//! What changes what is in force: the config read again, and people who are bound to their keys.

use crate::config::load::{self, Loaded};
use crate::daemon::app::App;
use crate::daemon::backend::Event;
use crate::daemon::peer::Names;
use crate::daemon::settings::{self, Settings};
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::Caller;
use crate::domain::people::PeopleMap;
use crate::domain::person::PersonId;
use crate::domain::timestamp::Timestamp;
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::writer::WriteError;
use crate::store::{ban, person, version};
use crate::usecase::resolve::unavailable;
use crate::usecase::{Facts, witness};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::ReloadedReply;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

impl App {
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
                self.store.append(deadline, row).await.map_err(witness::unavailable)?;
                return Err(Fault::invalid("config", text).hint("the old config stays in force"));
            }
        };
        let old = self.settings();
        let (changed, needs_restart) = Loaded::differences(&old.loaded, &loaded);
        let people = by_config(&self.store, &loaded, &self.names, self.own_uid, self.now());
        let people = people.await.map_err(unavailable)?;
        let row = draft("config.reload", AuditOutcome::Success)
            .with_detail(&serde_json::json!({ "changed": changed, "needs_restart": needs_restart }));
        self.store.append(deadline, row).await.map_err(witness::unavailable)?;
        let limits = settings::limits(&loaded);
        let redactor = settings::redactor(&loaded);
        {
            // Who is banned or changed does not wait for names and rows.
            let _one_at_a_time = self.mapping.lock().await;
            let (people, people_version) =
                as_kept(&self.store, &people, self.now()).await.map_err(unavailable)?;
            self.settings.store(Arc::new(Settings { people, people_version, limits, redactor, loaded }));
        }
        self.forget_personal();
        // Whoever comes next is written down as what they are now.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // A key that is just being made is taken out of its file again if it cannot be written down.
        let keys = self.rotation().turn().await;
        self.read_keys().await;
        drop(keys);
        self.tell(Event::Catalogue);
        Ok(ReloadedReply { changed, needs_restart })
    }

    /// Binds a name to a key and puts the people map in force that knows it.
    pub(super) async fn bind(&self, name: &str) -> Result<(), Fault> {
        let (name, fresh, now) = (name.to_owned(), PersonId(Uuid::now_v7()), self.now());
        let deadline = Instant::now() + Duration::from_secs(10);
        self.store
            .write(deadline, move |tx| {
                let name = name.clone();
                Box::pin(async move { person::bind(tx.conn(), &name, fresh, now).await })
            })
            .await
            .map_err(unwritten)?;
        let _one_at_a_time = self.mapping.lock().await;
        self.read_people().await.map_err(unavailable)
    }

    /// Puts people and bans in force as the database has them now, with the config as it is, and tells whoever lives on
    /// a permit from before. After every change of them, whoever made it.
    ///
    /// # Errors
    /// The database; then what was in force stays so.
    pub async fn refresh_people(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.mapping.lock().await;
        self.read_people().await?;
        self.tell(Event::Catalogue);
        Ok(())
    }

    /// The same, by whoever has the turn.
    async fn read_people(&self) -> Result<(), StoreError> {
        let old = self.settings();
        let (people, people_version) = as_kept(&self.store, &old.people, self.now()).await?;
        self.settings.store(Arc::new(Settings { people, people_version, ..(*old).clone() }));
        Ok(())
    }
}

/// Binds every person of the config to a key and makes the map of what the config says; nobody is known in it yet.
pub(super) async fn by_config(
    store: &Store,
    loaded: &Loaded,
    names: &Names,
    own_uid: u32,
    now: Timestamp,
) -> Result<PeopleMap, StoreError> {
    let sources = settings::sources(loaded, names, own_uid).await;
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
    Ok(PeopleMap::new(sources))
}

/// The map with everybody the database knows and the bans in force, and how often either had changed when they were read at
/// the latest.
pub(super) async fn as_kept(
    store: &Store,
    people: &PeopleMap,
    now: Timestamp,
) -> Result<(Arc<PeopleMap>, i64), StoreError> {
    // The number first: what changes after it is read again.
    let version = version::of_people(store.reader()).await?;
    let directory = person::directory(store.reader()).await?;
    let bans = ban::active(store.reader(), now).await?;
    let people = people.with(directory, bans.into_iter().map(ban::Ban::in_map).collect());
    Ok((Arc::new(people), version))
}

fn unwritten<E: std::fmt::Display>(error: WriteError<E>) -> Fault {
    Fault::new(FaultCode::Unavailable, format!("the database did not take it: {error}"))
}
