//! People by their names: who is meant by some words, as data and as the one person something is done to.

use crate::domain::directory::{Directory, Step, Words};
use crate::domain::person::{Person, PersonId};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::error::StoreError;
use crate::store::people;
use crate::usecase::Facts;
use crate::usecase::resolve::unavailable;
use crate::wire::fault::Fault;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use uuid::Uuid;

/// People that are read from the database at a time.
const PIECE: u64 = 5_000;
/// Longest from the moment that a change carries to its commit, and farthest apart the clocks of machines that share a
/// database: what changed this long before the last look is read again.
const OVERLAP: Duration = Duration::from_secs(120);
/// How often somebody who is gone meanwhile is passed over.
const TRIES: usize = 5;

/// Everybody's names, for finding one of them. Read from the database when somebody is looked for the first time; from
/// then on only what has changed, whoever changed it.
#[derive(Debug, Default)]
pub struct Roster {
    directory: Arc<RwLock<Directory>>,
    /// When it was last brought up to date.
    read: tokio::sync::Mutex<Option<Timestamp>>,
}

impl Roster {
    /// Brings it up to date.
    async fn refresh(&self, conn: &Conn, now: Timestamp) -> Result<(), StoreError> {
        let mut read = self.read.lock().await;
        let overlap = i64::try_from(OVERLAP.as_micros()).unwrap_or(i64::MAX);
        let mut after =
            read.map(|at| (Timestamp::from_micros(at.micros().saturating_sub(overlap)), Uuid::nil()));
        loop {
            let (changed, end) = people::names(conn, after, PIECE).await?;
            if !changed.is_empty() {
                let directory = Arc::clone(&self.directory);
                let put = tokio::task::spawn_blocking(move || {
                    let mut directory = directory.write().unwrap_or_else(PoisonError::into_inner);
                    changed.into_iter().for_each(|entry| directory.put(entry));
                });
                put.await.map_err(|_| UNREADABLE)?;
            }
            match end {
                Some(end) => after = Some(end),
                None => break,
            }
        }
        // Requests overtake each other.
        *read = (*read).max(Some(now));
        Ok(())
    }

    fn remove(&self, gone: &[PersonId]) {
        let mut directory = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        gone.iter().for_each(|id| directory.remove(*id));
    }

    /// Who may be meant by these words, as the database has them at `now`. `None` is nobody; deleted people are found only
    /// if asked for.
    ///
    /// # Errors
    /// The database.
    pub async fn meant(
        &self,
        conn: &Conn,
        now: Timestamp,
        words: &Words,
        deleted: bool,
    ) -> Result<Option<Meant>, StoreError> {
        self.refresh(conn, now).await?;
        for _ in 0..TRIES {
            let (directory, words) = (Arc::clone(&self.directory), words.clone());
            let look = move || {
                let directory = directory.read().unwrap_or_else(PoisonError::into_inner);
                directory.find(&words, deleted)
            };
            let found = tokio::task::spawn_blocking(look).await.map_err(|_| UNREADABLE)?;
            let Some(found) = found else { return Ok(None) };
            let ids: Vec<_> = found.candidates.iter().map(|candidate| candidate.id).collect();
            let mut rows = people::by_ids(conn, &ids).await?;
            let gone: Vec<_> =
                ids.iter().filter(|id| !rows.iter().any(|row| row.id == **id)).copied().collect();
            if !gone.is_empty() {
                // Purged, perhaps by the daemon of another machine.
                self.remove(&gone);
                continue;
            }
            let sure = found.one().is_some();
            let people = found.candidates.iter().filter_map(|candidate| {
                let at = rows.iter().position(|row| row.id == candidate.id)?;
                Some((rows.swap_remove(at), candidate.score))
            });
            return Ok(Some(Meant { step: found.step, people: people.collect(), more: found.more, sure }));
        }
        Err(StoreError::Timeout)
    }
}

/// The index could not be used: a defect.
const UNREADABLE: StoreError = StoreError::Unreadable("the directory of people");

/// Who may be meant by some words.
#[derive(Clone, Debug, PartialEq)]
pub struct Meant {
    /// Which step found them.
    pub step: Step,
    /// The best first, with how well it fits each; at least one.
    pub people: Vec<(Person, f64)>,
    /// Whether there are still others.
    pub more: bool,
    /// Whether the first is meant without a doubt.
    pub sure: bool,
}

/// What is looked for.
///
/// # Errors
/// It says nothing.
pub(super) fn words(field: &str, text: &str) -> Result<Words, Fault> {
    Words::parse(text).map_err(|problem| {
        Fault::invalid(field, problem).hint("give a name, a part of one, an OS user, a uid or a phone number")
    })
}

/// Nobody is meant by these words, or nobody whom the asker may know of: the same for both.
pub(super) fn nobody(field: &str, words: &str) -> Fault {
    let shown: String = words.trim().chars().take(64).collect();
    Fault { field: Some(field.to_owned()), ..Fault::not_found("person", &shown) }.hint(
        "`teleclaude people list` shows everybody to admins, `teleclaude people show` everybody themselves",
    )
}

/// Who may be meant by these words, as the database has them now. `None` is nobody; deleted people are found only if
/// asked for. `field` is the argument that the words came in. Never inside the writer's transaction: what that has
/// changed may yet be undone.
///
/// # Errors
/// The words say nothing, or the database.
pub async fn find(
    conn: &Conn,
    facts: &Facts,
    field: &str,
    words: &str,
    deleted: bool,
) -> Result<Option<Meant>, Fault> {
    let words = self::words(field, words)?;
    facts.roster.meant(conn, facts.now, &words, deleted).await.map_err(unavailable)
}

/// The one person who is meant by these words, to whom something is done: a key, a name, an OS user, a uid, a part of a
/// name or number, or what is like a name. `field` is the argument that the words came in. Looked for before the
/// writer's transaction; inside it the person is looked at again by key ([`crate::store::person::by_id`]).
///
/// # Errors
/// `invalid` if the words say nothing or fit several, who are named; `not_found`; the database.
pub async fn one(conn: &Conn, facts: &Facts, field: &str, words: &str) -> Result<Person, Fault> {
    let Some(mut meant) = find(conn, facts, field, words, false).await? else {
        return Err(nobody(field, words));
    };
    if meant.sure {
        return Ok(meant.people.swap_remove(0).0);
    }
    let shown: String = words.trim().chars().take(64).collect();
    let mut names: Vec<String> =
        meant.people.iter().take(NAMED).map(|(person, _)| described(person)).collect();
    if meant.people.len() > NAMED || meant.more {
        names.push("others".to_owned());
    }
    Err(Fault::invalid(field, format_args!("`{shown}` fits several: {}", names.join(", ")))
        .hint("give the whole name, the uid or the key of one of them"))
}

/// Candidates that a refusal names.
const NAMED: usize = 10;

/// Somebody, told from others of like names.
fn described(person: &Person) -> String {
    let full_name = person.full_name.as_deref().map(|name| format!("{name}, "));
    let who = match (person.uid, &person.os_username) {
        (Some(uid), _) => format!("uid {uid}"),
        (None, Some(user)) => format!("OS user {user}"),
        (None, None) => format!("key {}", person.id),
    };
    format!("{} ({}{who})", person.name, full_name.unwrap_or_default())
}
