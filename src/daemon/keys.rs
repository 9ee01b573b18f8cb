//! The encryption keys at work: making the first, making another, and encrypting anew whatever still names an older
//! one. That goes in small units of the writer's, so that nobody waits, and needs no memory of how far it came: each row
//! names its key. So it goes on by itself after a crash, and after an operator has changed the key in the secrets.

use crate::config::keys::{self as config, Key, Keys, Source};
use crate::daemon::app::App;
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::Caller;
use crate::domain::credential::KeyId;
use crate::store::credential::{self, Kept, Resealed};
use crate::store::encryption_key;
use crate::store::error::StoreError;
use crate::store::seal::{self, SealError, Sealed, Which};
use crate::store::writer::WriteError;
use crate::usecase::Facts;
use crate::usecase::resolve::unavailable;
use crate::wire::credential::{KeyRow, KeysReply};
use crate::wire::fault::{Fault, FaultCode};
use serde_json::json;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Credentials that are encrypted anew in one unit of the writer's: milliseconds, also where all are as long as may be.
const BATCH: u64 = 50;
/// As many where such a unit took longer than this, waiting for its turn included: somebody is in need of the writer.
const FEW: u64 = 20;
const LONG: Duration = Duration::from_millis(30);
/// Between two of them, for everybody else: half as long as the last one took, and at most this.
const PAUSE: Duration = Duration::from_millis(50);
/// Before a round is tried again that the database stopped.
const AGAIN: Duration = Duration::from_secs(1);
/// How long one of these writes may wait.
const WRITE: Duration = Duration::from_secs(30);

/// How far it is.
#[derive(Debug, Default)]
pub struct Rotation {
    wake: Notify,
    /// Rounds that were asked for, and how many of them are through.
    asked: AtomicU64,
    through: AtomicU64,
    /// Credentials that the last round could not decrypt though their key is here.
    unreadable: AtomicU64,
    /// Held while keys are made, retired or read again.
    changing: Mutex<()>,
}

impl Rotation {
    /// Has everything looked at again.
    pub fn wake(&self) {
        self.asked.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// A turn at the keys: who has it finds none in the key file that is there on trial only.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Whether a round is in hand or asked for.
    fn busy(&self) -> bool {
        self.through.load(Ordering::Acquire) < self.asked.load(Ordering::Acquire)
    }
}

/// How the keys are, without the keys.
///
/// # Errors
/// The database cannot be read.
pub async fn shown(app: &App) -> Result<KeysReply, Fault> {
    // First: whoever is told that nothing is in hand is told what came of it.
    let rotating = app.rotation().busy();
    let keys = app.keys().load_full();
    let computer = app.store().computer();
    let known = encryption_key::all(app.store().reader(), computer).await.map_err(unavailable)?;
    let mut counts = credential::by_key(app.store().reader(), computer).await.map_err(unavailable)?;
    let in_use = keys.in_use().map(|key| key.id.clone());
    let mut rows: Vec<KeyRow> = Vec::new();
    let mut row = |id: &KeyId, created: Option<String>, retired: Option<String>, many: u64| {
        rows.push(KeyRow {
            key_id: id.to_string(),
            created_at: created,
            retired_at: retired,
            in_use: in_use.as_ref() == Some(id),
            here: keys.get(id).is_some(),
            credentials: i64::try_from(many).unwrap_or(i64::MAX),
        });
    };
    for key in &known {
        let many = counts.iter().position(|(id, _)| *id == key.id).map_or(0, |at| counts.swap_remove(at).1);
        row(&key.id, Some(key.created.to_string()), key.retired.map(|at| at.to_string()), many);
    }
    for (id, many) in counts {
        row(&id, None, None, many);
    }
    let unreadable = app.rotation().unreadable.load(Ordering::Acquire);
    Ok(KeysReply {
        key_id: in_use.map(|id| id.to_string()),
        source: keys.source().map(ToString::to_string),
        problem: keys.problem.clone(),
        rotating,
        unreadable: i64::try_from(unreadable).unwrap_or(i64::MAX),
        keys: rows,
    })
}

/// Makes the first key.
///
/// # Errors
/// `conflict` if there is one.
pub async fn generate(
    app: &App,
    caller: &Caller,
    facts: &Facts,
    deadline: Instant,
) -> Result<KeysReply, Fault> {
    let _one_at_a_time = app.rotation().turn().await;
    let keys = app.keys().load_full();
    if let (Some(key), Some(source)) = (keys.in_use(), keys.source()) {
        let there = format!("there is an encryption key already: {}, in {source}", key.id);
        return Err(Fault::new(FaultCode::Conflict, there).hint("`teleclaude key rotate` makes another"));
    }
    add(app, caller, facts, &keys, deadline).await
}

/// Makes another key and has everything encrypted anew. While an earlier rotation is not through, that one goes on.
///
/// # Errors
/// `conflict` if there is no key yet, or if it is not the daemon's to change.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    facts: &Facts,
    deadline: Instant,
) -> Result<KeysReply, Fault> {
    let _one_at_a_time = app.rotation().turn().await;
    let keys = app.keys().load_full();
    let in_use = match (keys.in_use(), keys.source()) {
        (Some(_), Some(Source::Secrets(origin))) => {
            let whose = format!("the encryption key is not the daemon's to change: it comes from {origin}");
            return Err(Fault::new(FaultCode::Conflict, whose).hint(
                "put a new one there as `encryption.key` and the old one as `encryption.previous_key`, then \
                 `teleclaude reload`; `teleclaude key generate --print` makes one",
            ));
        }
        (Some(key), _) => key.id.clone(),
        (None, _) if keys.problem.is_none() => {
            return Err(Fault::new(FaultCode::Conflict, "there is no encryption key yet")
                .hint("`teleclaude key generate` makes the first"));
        }
        (None, _) => KeyId(String::new()),
    };
    if app.rotation().busy() {
        let counts = credential::by_key(app.store().reader(), app.store().computer());
        let counts = counts.await.map_err(unavailable)?;
        if counts.iter().any(|(id, _)| *id != in_use && keys.get(id).is_some()) {
            app.rotation().wake();
            return shown(app).await;
        }
    }
    add(app, caller, facts, &keys, deadline).await
}

/// Makes a key: in the key file first, since nothing may be encrypted with a key that a crash could lose.
async fn add(
    app: &App,
    caller: &Caller,
    facts: &Facts,
    keys: &Keys,
    deadline: Instant,
) -> Result<KeysReply, Fault> {
    if let Some(problem) = &keys.problem {
        return Err(Fault::new(FaultCode::Unavailable, problem.clone()));
    }
    let mut random = [0u8; config::KEY_BYTES];
    getrandom::fill(&mut random)
        .map_err(|_| Fault::new(FaultCode::Unavailable, "there are no random numbers"))?;
    let key = Arc::new(Key::new(random));
    let file = app.key_file();
    let (path, new) = (file.to_owned(), Arc::clone(&key));
    on_disk(file, move || config::append(&path, &new)).await?;
    let verb = if keys.in_use().is_some() { "key.rotate" } else { "key.generate" };
    let request = facts.request_id.to_string();
    let was = keys.in_use().map(|key| key.id.to_string());
    let draft = AuditDraft {
        target: Some(("key".to_owned(), key.id.to_string())),
        ..AuditDraft::by(caller, verb, AuditOutcome::Success, facts.now, &request)
            .with_detail(&json!({ "was": was }))
    };
    if let Err(error) = begin(app, key.id.clone(), draft, deadline).await {
        // Of a lost COMMIT nobody knows: the key stays, and is in use.
        if error != WriteError::OutcomeUnknown {
            let (path, id) = (file.to_owned(), key.id.clone());
            on_disk(file, move || config::take_out(&path, &id)).await?;
            return Err(crate::usecase::witness::unavailable(error));
        }
    }
    app.read_keys().await;
    shown(app).await
}

async fn on_disk(file: &Path, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), Fault> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|error| {
        let text = format!("the key file {} cannot be written: {error}", file.display());
        Fault::new(FaultCode::Unavailable, text)
    })
}

/// Writes down that a key is in use, if that is news.
async fn begin(
    app: &App,
    id: KeyId,
    draft: AuditDraft,
    deadline: Instant,
) -> Result<(), WriteError<StoreError>> {
    let (computer, at) = (app.store().computer().to_owned(), app.now());
    app.store()
        .write(deadline, move |tx| {
            let (computer, id, draft) = (computer.clone(), id.clone(), draft.clone());
            Box::pin(async move {
                if encryption_key::begin(tx.conn(), &computer, &id, at).await? {
                    tx.audit(draft);
                }
                Ok(())
            })
        })
        .await
}

/// Encrypts anew whatever wants it, until stopped.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    app.rotation().wake();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.rotation().wake.notified() => {}
        }
        // What is asked for from here on is another round.
        let asked = app.rotation().asked.load(Ordering::Acquire);
        match round(&app, &stop).await {
            Ok(()) => app.rotation().through.store(asked, Ordering::Release),
            Err(error) => {
                tracing::warn!(%error, "encrypting credentials anew waits for the database");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
                app.rotation().wake();
            }
        }
    }
}

async fn round(app: &App, stop: &CancellationToken) -> Result<(), StoreError> {
    let keys = app.keys().load_full();
    let Some(new) = keys.in_use() else { return Ok(()) };
    let (reader, computer) = (app.store().reader(), app.store().computer());
    let known = encryption_key::all(reader, computer).await?;
    if !known.iter().any(|key| key.id == new.id && key.retired.is_none()) {
        // One that came by the secrets, or just before a crash.
        let draft = by_daemon(app, "key.use", &new.id);
        begin(app, new.id.clone(), draft, Instant::now() + WRITE).await.map_err(store_error)?;
    }
    let mut unreadable = 0;
    for (old, many) in credential::by_key(reader, computer).await? {
        if old == new.id {
            continue;
        }
        if keys.get(&old).is_none() {
            tracing::warn!(key = %old, credentials = many, "credentials are encrypted with a key that is not here");
            continue;
        }
        tracing::info!(from = %old, to = %new.id, credentials = many, "credentials are encrypted anew");
        unreadable += all_under(app, stop, &keys, &old).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
    }
    app.rotation().unreadable.store(unreadable, Ordering::Release);
    retire(app, new.id.clone()).await
}

/// Encrypts everything anew that names `old`; gives how many could not be decrypted.
async fn all_under(
    app: &App,
    stop: &CancellationToken,
    keys: &Arc<Keys>,
    old: &KeyId,
) -> Result<u64, StoreError> {
    let mut after = None;
    let mut unreadable = 0;
    let mut many = BATCH;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let (keys, old, place) = (Arc::clone(keys), old.clone(), after.clone());
        let computer: Arc<str> = Arc::from(app.store().computer());
        let done = app.store().write(Instant::now() + WRITE, move |tx| {
            let (keys, old, place, computer) =
                (Arc::clone(&keys), old.clone(), place.clone(), Arc::clone(&computer));
            Box::pin(async move {
                let place = place.as_ref().map(|(holder, name): &(String, String)| (&**holder, &**name));
                let anew = |kept: &Kept| anew(&keys, &computer, kept);
                credential::reseal(tx.conn(), &computer, &old, place, many, anew).await
            })
        });
        let Resealed { last, left } = done.await.map_err(store_error)?;
        unreadable += left;
        if last.is_none() {
            break;
        }
        after = last;
        many = if began.elapsed() > LONG { FEW } else { BATCH };
        tokio::time::sleep(PAUSE.min(began.elapsed() / 2)).await;
    }
    Ok(unreadable)
}

/// The same value, encrypted with the key in use; nothing if it cannot be decrypted.
fn anew(keys: &Keys, computer: &str, kept: &Kept) -> Option<Sealed> {
    let which = Which { computer, holder: &kept.holder, name: &kept.name };
    let (old, new) = (keys.get(&kept.sealed.key_id)?, keys.in_use()?);
    let sealed = seal::open(old, which, &kept.sealed).and_then(|value| seal::seal(new, which, &value));
    let wrong = |error: &SealError| {
        tracing::warn!(holder = kept.holder, name = kept.name, key = %old.id, %error, "a credential cannot be decrypted");
    };
    sealed.inspect_err(wrong).ok()
}

/// Retires what no credential names any longer.
async fn retire(app: &App, in_use: KeyId) -> Result<(), StoreError> {
    // A key that is just being made is in the database before it is in use, and must not be taken for an old one.
    let _one_at_a_time = app.rotation().turn().await;
    if app.keys().load().in_use().is_none_or(|key| key.id != in_use) {
        return Ok(());
    }
    let known = encryption_key::all(app.store().reader(), app.store().computer()).await?;
    if known.iter().all(|key| key.id == in_use || key.retired.is_some()) {
        return Ok(());
    }
    let (computer, at) = (app.store().computer().to_owned(), app.now());
    let draft = by_daemon(app, "key.retire", &in_use);
    app.store()
        .write(Instant::now() + WRITE, move |tx| {
            let (computer, in_use, draft) = (computer.clone(), in_use.clone(), draft.clone());
            Box::pin(async move {
                for id in encryption_key::retire(tx.conn(), &computer, &in_use, at).await? {
                    let target = Some(("key".to_owned(), id.to_string()));
                    tx.audit(AuditDraft { target, ..draft.clone() });
                }
                Ok(())
            })
        })
        .await
        .map_err(store_error)
}

fn by_daemon(app: &App, action: &str, key: &KeyId) -> AuditDraft {
    AuditDraft {
        target: Some(("key".to_owned(), key.to_string())),
        ..AuditDraft::by_daemon(app.own_uid(), action, AuditOutcome::Success, app.now())
    }
}

fn store_error(error: WriteError<StoreError>) -> StoreError {
    match error {
        WriteError::Refused(error) | WriteError::Store(error) => error,
        WriteError::Busy | WriteError::OutcomeUnknown | WriteError::Panicked => StoreError::Timeout,
    }
}
