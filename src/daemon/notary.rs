//! The key that signs checkpoints, and the public keys of those before it: files of the state directory, never in the
//! database. What is signed, and where it goes, is `checkpoints`.

use crate::config::keys::replace_file;
use crate::domain::checkpoint::Checkpoint;
use crate::domain::note::{self, SigningKey, VerifierKey, key_name};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The secret key. 0600.
const SECRET: &str = "audit.key";
/// The public keys, a line each, the one in use last.
const PUBLIC: &str = "audit.pub";
/// The last checkpoint: what the log may not fall behind.
const LAST: &str = "audit.checkpoint";

/// Parts of the work that may fail for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The key.
    Key,
    /// The log, held against the last checkpoint.
    Log,
    /// The table of checkpoints.
    Table,
    /// `audit.checkpoint.file`.
    File,
    /// The journal.
    Journal,
}

/// Who signs.
pub struct Notary {
    folder: PathBuf,
    keys: RwLock<Keys>,
    problems: Mutex<BTreeMap<Part, String>>,
    /// One at a time changes keys or signs the head.
    turn: tokio::sync::Mutex<()>,
    /// Held while `audit.checkpoint.file` is being written.
    elsewhere: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Keys {
    secret: Option<Arc<SigningKey>>,
    public: Vec<VerifierKey>,
}

impl Notary {
    /// Reads the keys of this state directory, or makes the first one. What goes wrong is a problem of [`Part::Key`]:
    /// the daemon serves without signing, and is not well.
    pub fn open(folder: &Path, computer: &str) -> Self {
        let notary = Self {
            folder: folder.to_owned(),
            keys: RwLock::default(),
            problems: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            elsewhere: Arc::default(),
        };
        let found = notary.load(computer);
        match found {
            Ok(keys) => *notary.keys.write().unwrap_or_else(PoisonError::into_inner) = keys,
            Err(error) => {
                notary.report(Part::Key, Some(format!("{error:#}")));
                // What was signed before proves what it proved.
                let public = public_keys(folder).unwrap_or_default();
                *notary.keys.write().unwrap_or_else(PoisonError::into_inner) = Keys { secret: None, public };
            }
        }
        notary
    }

    fn load(&self, computer: &str) -> anyhow::Result<Keys> {
        let path = self.folder.join(SECRET);
        let what = || format!("the key of the audit log, {}", path.display());
        let mut public = public_keys(&self.folder)?;
        let secret = match fs::read_to_string(&path) {
            Ok(_) if fs::metadata(&path).with_context(what)?.permissions().mode() & 0o077 != 0 => {
                anyhow::bail!("{}, can be read or written by others: give it mode 0600", what());
            }
            Ok(text) => SigningKey::parse(&text).with_context(what)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = fresh(computer)?;
                self.keep_public(&mut public, &secret)?;
                write_whole(&path, &(secret.to_secret_text() + "\n")).with_context(what)?;
                secret
            }
            Err(error) => return Err(error).with_context(what),
        };
        if public.last() != Some(&secret.verifier()) {
            self.keep_public(&mut public, &secret)?;
        }
        Ok(Keys { secret: Some(Arc::new(secret)), public })
    }

    /// Appends a key's public half, durably, before the key is used.
    fn keep_public(&self, public: &mut Vec<VerifierKey>, secret: &SigningKey) -> anyhow::Result<()> {
        public.retain(|key| *key != secret.verifier());
        public.push(secret.verifier());
        let path = self.folder.join(PUBLIC);
        let text: String = public.iter().map(|key| format!("{key}\n")).collect();
        write_whole(&path, &text)
            .with_context(|| format!("the public keys of the audit log, {}", path.display()))
    }

    /// Signs with a new key from now on.
    ///
    /// # Errors
    /// The old key stays then.
    pub async fn rotate(&self, computer: &str) -> anyhow::Result<()> {
        let _turn = self.turn.lock().await;
        let mut public = self.keys();
        let secret = fresh(computer)?;
        self.keep_public(&mut public, &secret)?;
        write_whole(&self.folder.join(SECRET), &(secret.to_secret_text() + "\n"))?;
        let keys = Keys { secret: Some(Arc::new(secret)), public };
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.report(Part::Key, None);
        Ok(())
    }

    /// The public keys, the one in use last.
    pub fn keys(&self) -> Vec<VerifierKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).public.clone()
    }

    /// The note of this text; `None` if there is no key.
    pub fn sign(&self, text: &str) -> Option<String> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).secret.as_ref().map(|key| key.sign(text))
    }

    /// A turn at signing the head.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// A turn at `audit.checkpoint.file`, for whoever writes there, however long that takes.
    pub fn elsewhere(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.elsewhere)
    }

    /// The last checkpoint that this daemon signed, and its note.
    pub fn last(&self) -> Option<(Checkpoint, String)> {
        let text = fs::read_to_string(self.folder.join(LAST)).ok()?;
        let point = Checkpoint::parse(note::open(&text, &self.keys()).ok()?)?;
        Some((point, text))
    }

    /// Keeps the note of the last checkpoint.
    ///
    /// # Errors
    /// The disk.
    pub fn keep_last(&self, note: &str) -> std::io::Result<()> {
        write_whole(&self.folder.join(LAST), note)
    }

    /// Where the last checkpoint is kept.
    pub fn last_path(&self) -> PathBuf {
        self.folder.join(LAST)
    }

    /// Says how a part is: what is wrong with it, or nothing.
    pub fn report(&self, part: Part, problem: Option<String>) {
        let mut problems = self.problems();
        match problem {
            Some(problem) => {
                if problems.get(&part) != Some(&problem) {
                    tracing::error!(%problem, "the audit log's checkpoints");
                }
                problems.insert(part, problem);
            }
            None => {
                problems.remove(&part);
            }
        }
    }

    /// What is wrong now.
    pub fn wrong(&self) -> Vec<String> {
        self.problems().values().cloned().collect()
    }

    fn problems(&self) -> MutexGuard<'_, BTreeMap<Part, String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The public keys that are kept in this state directory; none where there is no such file.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn public_keys(folder: &Path) -> anyhow::Result<Vec<VerifierKey>> {
    let path = folder.join(PUBLIC);
    let what = || format!("the public keys of the audit log, {}", path.display());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(what),
    };
    let keys: Result<Vec<VerifierKey>, _> =
        text.lines().filter(|line| !line.trim().is_empty()).map(VerifierKey::parse).collect();
    keys.with_context(what)
}

/// The note of the last checkpoint in this state directory, if it can be read.
pub fn last_note(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(LAST)).ok()
}

fn fresh(computer: &str) -> anyhow::Result<SigningKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    Ok(SigningKey::from_seed(&key_name(computer), seed)?)
}

fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    replace_file(path, |file| file.write_all(text.as_bytes()))
}
