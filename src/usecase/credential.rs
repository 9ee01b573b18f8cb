//! Credentials: from what is said to what is judged, what is kept, and what an agent is given. Values are encrypted
//! inside the writer's transaction, with the key that is in use at that moment: so a rotation that has begun misses none.

use crate::config::keys::Keys;
use crate::domain::action::Action;
use crate::domain::audit::AuditDraft;
use crate::domain::caller::Caller;
use crate::domain::credential::{
    CredentialChange, CredentialName, CredentialValue, HELD_MAX, Holder, KeyId, Secret,
};
use crate::store::conn::Conn;
use crate::store::credential::{self, Kept};
use crate::store::error::StoreError;
use crate::store::seal::{self, Which};
use crate::store::writer::Tx;
use crate::usecase::Facts;
use crate::usecase::resolve::unavailable;
use crate::usecase::run::outdated;
use crate::wire::credential::{
    CredentialDeletedReply, CredentialRow, CredentialsReply, ImportCredentials, ImportedReply,
};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// From a request about credentials to what is judged.
pub(super) fn resolve(caller: &Caller, request: Request) -> Result<Action, Fault> {
    let changes = |system, change| {
        Ok(Action::ChangeCredentials { holder: holder(caller, system)?, change: Box::new(change) })
    };
    match request {
        Request::ListCredentials(args) => Ok(Action::ListCredentials(holder(caller, args.system)?)),
        Request::PutCredential(args) => {
            let (name, value) = (name(&args.name, "name")?, value(args.value, "value")?);
            changes(args.system, CredentialChange::Put { name, value, seen: args.if_updated_at })
        }
        Request::DeleteCredential(args) => {
            let name = name(&args.name, "name")?;
            changes(args.system, CredentialChange::Delete { name, seen: args.if_updated_at })
        }
        Request::ImportCredentials(args) => {
            let system = args.system;
            changes(system, import(args)?)
        }
        other => {
            Err(Fault::new(FaultCode::Internal, format!("{} came by the wrong way", other.verb().name())))
        }
    }
}

fn holder(caller: &Caller, system: Option<bool>) -> Result<Holder, Fault> {
    if system == Some(true) {
        return Ok(Holder::System);
    }
    Holder::of(caller).ok_or_else(|| Fault::new(FaultCode::Denied, "credentials are kept for people only"))
}

fn name(text: &str, field: &str) -> Result<CredentialName, Fault> {
    CredentialName::parse(text).map_err(|problem| Fault::invalid(field, problem))
}

fn value(text: Secret, field: &str) -> Result<CredentialValue, Fault> {
    CredentialValue::parse(text).map_err(|problem| Fault::invalid(field, problem))
}

fn import(args: ImportCredentials) -> Result<CredentialChange, Fault> {
    if args.credentials.is_empty() {
        return Err(Fault::invalid("credentials", "must not be empty"));
    }
    if args.credentials.len() > HELD_MAX {
        return Err(Fault::invalid("credentials", format_args!("may be at most {HELD_MAX}")));
    }
    let mut all = Vec::with_capacity(args.credentials.len());
    let mut seen = BTreeSet::new();
    for (i, one) in args.credentials.into_iter().enumerate() {
        let name = name(&one.name, &format!("credentials[{i}].name"))?;
        if !seen.insert(name.clone()) {
            return Err(Fault::invalid(
                &format!("credentials[{i}].name"),
                format_args!("`{name}` is given twice"),
            ));
        }
        let value = value(one.value, &format!("credentials[{i}].value"))?;
        all.push((name, value));
    }
    Ok(CredentialChange::Import { all, replace: args.replace.unwrap_or(false) })
}

/// The audit row of a change: whose, and the names; never a value.
pub(super) fn described(draft: AuditDraft, holder: &Holder, change: &CredentialChange) -> AuditDraft {
    let system = *holder == Holder::System;
    let mut draft = match change {
        CredentialChange::Put { name, .. } | CredentialChange::Delete { name, .. } => AuditDraft {
            target: Some(("credential".to_owned(), name.to_string())),
            ..draft.with_detail(&json!({ "system": system }))
        },
        CredentialChange::Import { all, replace } => {
            let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
            draft.with_detail(&json!({ "system": system, "names": names, "replace": replace }))
        }
    };
    draft.owner = (!system).then(|| draft.actor.clone());
    draft
}

/// Names, never values.
pub(super) async fn list(conn: &Conn, facts: &Facts, holder: &Holder) -> Result<Reply, Fault> {
    let rows = credential::of(conn, &facts.computer, holder).await.map_err(unavailable)?;
    let credentials = rows.iter().map(|kept| row(holder, kept)).collect();
    Ok(Reply::Credentials(CredentialsReply { credentials }))
}

/// Keeps, replaces or deletes.
pub(super) async fn change(
    tx: &mut Tx,
    facts: &Facts,
    holder: &Holder,
    change: CredentialChange,
) -> Result<Reply, Fault> {
    let conn = tx.conn();
    let system = *holder == Holder::System;
    match change {
        CredentialChange::Put { name, value, seen } => {
            let all = credential::of(conn, &facts.computer, holder).await.map_err(unavailable)?;
            unchanged(&all, &name, seen.as_deref())?;
            room(&all, [&name].into_iter())?;
            put(conn, facts, holder, &name, &value).await?;
            let all = credential::of(conn, &facts.computer, holder).await.map_err(unavailable)?;
            let kept = all.iter().find(|kept| kept.name == name.as_str()).ok_or_else(lost)?;
            Ok(Reply::Credential(row(holder, kept)))
        }
        CredentialChange::Delete { name, seen } => {
            if seen.is_some() {
                let all = credential::of(conn, &facts.computer, holder).await.map_err(unavailable)?;
                unchanged(&all, &name, seen.as_deref())?;
            }
            if !credential::delete(conn, &facts.computer, holder, &name).await.map_err(unavailable)? {
                return Err(Fault::not_found("credential", name.as_str())
                    .hint("`teleclaude credentials list` shows their names"));
            }
            let name = name.to_string();
            Ok(Reply::CredentialDeleted(CredentialDeletedReply { name, system, deleted: true }))
        }
        CredentialChange::Import { all, replace } => {
            let before = credential::of(conn, &facts.computer, holder).await.map_err(unavailable)?;
            let known = |name: &CredentialName| before.iter().any(|kept| kept.name == name.as_str());
            let (replaced, added): (Vec<_>, Vec<_>) =
                all.iter().map(|(name, _)| name).partition(|name| known(name));
            if !replaced.is_empty() && !replace {
                let names: Vec<&str> = replaced.iter().map(|name| name.as_str()).collect();
                return Err(Fault {
                    field: Some("credentials".to_owned()),
                    ..Fault::new(FaultCode::Conflict, format!("these are there already: {}", names.join(", ")))
                }
                .hint("take them out of the file, or say that they may be replaced (`--replace`); earlier values are gone then"));
            }
            room(&before, all.iter().map(|(name, _)| name))?;
            let strings = |names: &[&CredentialName]| names.iter().map(ToString::to_string).collect();
            let (added, replaced) = (strings(&added), strings(&replaced));
            for (name, value) in &all {
                put(conn, facts, holder, name, value).await?;
            }
            let key_id = verified(conn, facts, holder, &all).await?;
            Ok(Reply::Imported(ImportedReply { added, replaced, key_id }))
        }
    }
}

/// Whether a credential is the one that was seen.
fn unchanged(all: &[Kept], name: &CredentialName, seen: Option<&str>) -> Result<(), Fault> {
    let now = all.iter().find(|kept| kept.name == name.as_str()).map(|kept| kept.updated.to_string());
    match seen {
        Some(seen) if now.as_deref() != Some(seen) => Err(outdated("if_updated_at", "credential")),
        _ => Ok(()),
    }
}

/// Whether all of these would fit.
fn room<'a>(before: &'a [Kept], names: impl Iterator<Item = &'a CredentialName>) -> Result<(), Fault> {
    let all: BTreeSet<&str> =
        before.iter().map(|kept| kept.name.as_str()).chain(names.map(CredentialName::as_str)).collect();
    if all.len() > HELD_MAX && all.len() > before.len() {
        return Err(Fault::new(FaultCode::LimitReached, format!("at most {HELD_MAX} credentials are kept"))
            .hint("delete some with `teleclaude credentials delete NAME`"));
    }
    Ok(())
}

async fn put(
    conn: &Conn,
    facts: &Facts,
    holder: &Holder,
    name: &CredentialName,
    value: &CredentialValue,
) -> Result<(), Fault> {
    let keys = facts.keys.load();
    let key = keys.in_use().ok_or_else(|| no_key(&keys))?;
    let whose = holder.key();
    let sealed = seal::seal(key, Which::of(&facts.computer, &whose, name), value)
        .map_err(|error| Fault::new(FaultCode::Unavailable, format!("nothing was kept: {error}")))?;
    credential::put(conn, &facts.computer, holder, name, sealed, facts.now).await.map_err(unavailable)
}

/// Reads back and decrypts what was imported; gives the id of the key.
async fn verified(
    conn: &Conn,
    facts: &Facts,
    holder: &Holder,
    all: &[(CredentialName, CredentialValue)],
) -> Result<String, Fault> {
    let keys = facts.keys.load();
    let rows = credential::of(conn, &facts.computer, holder).await.map_err(unavailable)?;
    let mut key_id = String::new();
    for (name, value) in all {
        let kept = rows.iter().find(|kept| kept.name == name.as_str()).ok_or_else(lost)?;
        if opened(&keys, &facts.computer, kept).as_ref() != Some(value) {
            return Err(Fault::new(
                FaultCode::Internal,
                format!("`{name}` cannot be read back; nothing was imported"),
            ));
        }
        key_id.clone_from(&kept.sealed.key_id.0);
    }
    Ok(key_id)
}

fn opened(keys: &Keys, computer: &str, kept: &Kept) -> Option<CredentialValue> {
    let key = keys.get(&kept.sealed.key_id)?;
    seal::open(key, Which { computer, holder: &kept.holder, name: &kept.name }, &kept.sealed).ok()
}

fn lost() -> Fault {
    Fault::new(FaultCode::Internal, "what was kept is not there; nothing was done")
}

/// There is no key to encrypt with.
fn no_key(keys: &Keys) -> Fault {
    match &keys.problem {
        Some(problem) => Fault::new(FaultCode::Unavailable, format!("nothing was kept: {problem}")),
        None => Fault::new(FaultCode::Conflict, "there is no encryption key yet, so nothing was kept")
            .hint("an admin makes one with `teleclaude key generate`"),
    }
}

fn row(holder: &Holder, kept: &Kept) -> CredentialRow {
    CredentialRow {
        name: kept.name.clone(),
        system: *holder == Holder::System,
        created_at: kept.created.to_string(),
        updated_at: kept.updated.to_string(),
        key_id: kept.sealed.key_id.to_string(),
    }
}

/// Why an agent cannot be given its credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// One cannot be decrypted.
    #[error("the credential `{name}` cannot be decrypted: {}", reason(.key_id, *.here))]
    Unreadable {
        /// Its name.
        name: String,
        /// The key it is encrypted with.
        key_id: KeyId,
        /// Whether that key is there.
        here: bool,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn reason(key_id: &KeyId, here: bool) -> String {
    match here {
        true => format!("it was not encrypted with the key {key_id}, or was changed"),
        false => format!("its key {key_id} is not here"),
    }
}

/// The values that are kept under these names for the agents of this holder; names without one are left out.
///
/// # Errors
/// One of them cannot be decrypted: then the agent gets none, rather than another in its place.
pub async fn values(
    conn: &Conn,
    keys: &Keys,
    computer: &str,
    holder: &Holder,
    names: &[String],
) -> Result<BTreeMap<String, CredentialValue>, Missing> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut found = BTreeMap::new();
    for kept in credential::of(conn, computer, holder).await? {
        if !names.contains(&kept.name) {
            continue;
        }
        let value = opened(keys, computer, &kept).ok_or_else(|| Missing::Unreadable {
            here: keys.get(&kept.sealed.key_id).is_some(),
            key_id: kept.sealed.key_id.clone(),
            name: kept.name.clone(),
        })?;
        found.insert(kept.name, value);
    }
    Ok(found)
}

/// Whether a session of this holder could be given its credentials: said before it is begun.
///
/// # Errors
/// A fault that names the credential and its key.
pub(super) async fn check(conn: &Conn, facts: &Facts, holder: &Holder, agent: &str) -> Result<(), Fault> {
    let Some(agent) = facts.config.agents.by_name.get(agent) else { return Ok(()) };
    let keys = facts.keys.load();
    let mut holders = vec![*holder];
    if agent.share_system_keys || facts.single_user {
        holders.push(Holder::System);
    }
    for holder in holders {
        match values(conn, &keys, &facts.computer, &holder, &agent.env).await {
            Ok(_) => {}
            Err(Missing::Store(error)) => return Err(unavailable(error)),
            Err(missing @ Missing::Unreadable { .. }) => {
                return Err(Fault::new(FaultCode::Conflict, missing.to_string()).hint(
                    "an admin can put the key back (docs/credentials.md); or put the credential again with \
                     `teleclaude credentials put NAME`",
                ));
            }
        }
    }
    Ok(())
}
