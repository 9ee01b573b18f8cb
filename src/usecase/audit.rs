//! The audit log's own verbs: what of it is meant, pages of it, and holds. Writing it out line by line is
//! `audit_format`; what takes the daemon's key, pruning and verifying, is the daemon's.

use crate::domain::action::{Action, AuditEvidence, AuditQuery};
use crate::domain::audit::AuditDraft;
use crate::domain::audit_format::AuditFormat;
use crate::domain::caller::Caller;
use crate::domain::checkpoint::Checkpoint;
use crate::domain::hold::{Hold, HoldScope};
use crate::domain::note::{self, VerifierKey};
use crate::store::audit::{self, Filter, Place};
use crate::store::connect::Store;
use crate::store::hold;
use crate::store::writer::Tx;
use crate::usecase::resolve::{audit_query, moment, reason, unavailable};
use crate::usecase::{Facts, cursor};
use crate::wire::audit::{
    AuditReply, ExportAudit, FollowAudit, HoldRow, HoldsReply, PlaceHold, PruneAudit, ReleaseHold,
    VerifyAudit,
};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use serde_json::json;
use uuid::Uuid;

/// Characters of text that is looked for, at most.
const TEXT_CHARS_MAX: usize = 200;
/// Checkpoints and keys of one request to verify, at most.
const NOTES_MAX: usize = 500;
const KEYS_MAX: usize = 100;
/// Characters of a person's name in a hold, at most.
const NAME_CHARS_MAX: usize = 128;

/// Text to look for.
pub(super) fn text(text: &str) -> Result<String, Fault> {
    if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
        return Err(Fault::invalid("text", format_args!("must have 1 to {TEXT_CHARS_MAX} characters")));
    }
    Ok(audit::needle(text))
}

/// What to check with.
pub(super) fn verify(args: VerifyAudit) -> Result<Action, Fault> {
    for (field, given, most) in
        [("checkpoints", args.checkpoints.len(), NOTES_MAX), ("keys", args.keys.len(), KEYS_MAX)]
    {
        if given > most {
            return Err(Fault::invalid(field, format_args!("must be {most} at most")));
        }
    }
    let is_point = |text: &String| note::unproven(text).ok().and_then(Checkpoint::parse).is_some();
    if !args.checkpoints.iter().all(is_point) {
        return Err(Fault::invalid("checkpoints", "one of them is no signed checkpoint"));
    }
    let keys: Result<Vec<VerifierKey>, _> = args.keys.iter().map(|key| VerifierKey::parse(key)).collect();
    let keys = keys.map_err(|problem| Fault::invalid("keys", problem))?;
    Ok(Action::VerifyAudit(Box::new(AuditEvidence { notes: args.checkpoints, keys })))
}

/// What to write out.
pub(super) fn export(args: ExportAudit) -> Result<Action, Fault> {
    for (field, is_given) in
        [("cursor", args.filter.cursor.is_some()), ("limit", args.filter.limit.is_some())]
    {
        if is_given {
            return Err(Fault::invalid(field, "an export is of all rows that the filters leave"));
        }
    }
    if args.format == AuditFormat::Bundle && args.filter != crate::wire::request::ListAudit::default() {
        return Err(Fault::invalid("format", "a bundle is whole chains, without filters")
            .hint("rows between which some are missing prove nothing; jsonl, csv and ocsf take filters"));
    }
    Ok(Action::ExportAudit { format: args.format, query: Box::new(audit_query(args.filter)?) })
}

/// What to follow.
pub(super) fn follow(args: FollowAudit) -> Result<Action, Fault> {
    if args.filter.cursor.is_some() {
        return Err(Fault::invalid("cursor", "is for lists: to go on, say `after`"));
    }
    if args.filter.until.is_some() {
        return Err(Fault::invalid("until", "what is followed has no end"));
    }
    Ok(Action::FollowAudit { query: Box::new(audit_query(args.filter)?), after: args.after })
}

/// What to cut off.
pub(super) fn prune(args: &PruneAudit) -> Result<Action, Fault> {
    let before =
        moment("before", Some(&args.before))?.ok_or_else(|| Fault::invalid("before", "must be given"))?;
    let (dry_run, by_owner) = (args.dry_run.unwrap_or(false), args.by_owner.unwrap_or(false));
    Ok(Action::PruneAudit { before, dry_run, by_owner })
}

/// What to hold.
pub(super) fn place(facts: &Facts, args: PlaceHold) -> Result<Action, Fault> {
    let everything = args.everything.unwrap_or(false);
    let scope = match (args.session_id, args.person, everything) {
        (Some(session), None, false) => {
            let id: Uuid = session.parse().map_err(|_| {
                Fault::invalid("session_id", "must be the whole id: the session itself may be gone")
            })?;
            HoldScope::Session(id.to_string())
        }
        (None, Some(person), false) => {
            let plain = !person.is_empty() && !person.chars().any(char::is_control);
            if !plain || person.chars().count() > NAME_CHARS_MAX {
                return Err(Fault::invalid("person", "must be a person's name"));
            }
            HoldScope::Person(person)
        }
        (None, None, true) => HoldScope::Everything,
        _ => return Err(Fault::invalid("session_id", "say one of session_id, person and everything: true")),
    };
    Ok(Action::PlaceHold { id: facts.session_id, scope, reason: must_say(args.reason)? })
}

/// What to release.
pub(super) fn release(args: ReleaseHold) -> Result<Action, Fault> {
    let id = args.id.parse().map_err(|_| {
        Fault::invalid("id", "is not that of a hold").hint("`teleclaude audit hold list` shows them")
    })?;
    Ok(Action::ReleaseHold { id, reason: must_say(args.reason)? })
}

fn must_say(why: String) -> Result<String, Fault> {
    reason(Some(why))?.ok_or_else(|| Fault::invalid("reason", "must be given"))
}

/// The audit row of such an action, with what is particular to it.
pub(super) fn recorded(draft: AuditDraft, action: &Action) -> AuditDraft {
    match action {
        Action::ExportAudit { format, query } => draft.with_detail(&json!({
            "format": format.name(), "filter": said(query),
        })),
        Action::FollowAudit { query, .. } => {
            draft.with_detail(&json!({ "filter": said(query), "follow": true }))
        }
        Action::PruneAudit { before, dry_run: true, .. } => {
            draft.with_detail(&json!({ "before": before, "event": "prune, dry run" }))
        }
        Action::PlaceHold { id, scope, reason } => AuditDraft {
            target: Some(("hold".to_owned(), id.to_string())),
            ..draft.because(Some(reason)).with_detail(&json!({
                "event": "placed", "kind": scope.kind(), "target": scope.target(),
            }))
        },
        Action::ReleaseHold { id, reason } => AuditDraft {
            target: Some(("hold".to_owned(), id.to_string())),
            ..draft.because(Some(reason)).with_detail(&json!({ "event": "released" }))
        },
        _ => draft,
    }
}

/// The filters of a query, for the row that says what was asked.
fn said(query: &AuditQuery) -> serde_json::Value {
    let mut all = serde_json::Map::new();
    for (name, value) in [
        ("actor", query.actor.clone()),
        ("owner", query.owner.clone()),
        ("session_id", query.session.clone()),
        ("action", query.action.clone()),
        ("outcome", query.outcome.map(|outcome| outcome.name().to_owned())),
        ("since", query.since.map(|at| at.to_string())),
        ("until", query.until.map(|at| at.to_string())),
        ("text", query.text.clone()),
    ] {
        if let Some(value) = value {
            all.insert(name.to_owned(), value.into());
        }
    }
    all.into()
}

/// A query as the store takes it.
pub fn filter(query: &AuditQuery) -> Filter {
    Filter {
        actor: query.actor.clone(),
        owner: query.owner.clone(),
        session: query.session.clone(),
        action: query.action.clone(),
        outcome: query.outcome,
        computer: None,
        owner_key: None,
        since: query.since,
        until: query.until,
        text: query.text.clone(),
    }
}

/// A page of the log.
pub(super) async fn list(store: &Store, query: &AuditQuery) -> Result<AuditReply, Fault> {
    let before = query.before.as_ref().map(|(at, computer, seq)| Place {
        at: *at,
        computer: computer.clone(),
        seq: *seq,
    });
    let (rows, next) = audit::list(store.reader(), &filter(query), before.as_ref(), query.limit)
        .await
        .map_err(unavailable)?;
    let next_cursor = next.map(|place| cursor::of_audit(place.at, &place.computer, place.seq));
    Ok(AuditReply { rows: rows.iter().map(Into::into).collect(), next_cursor })
}

/// Holds.
pub(super) async fn holds(store: &Store, all: bool) -> Result<HoldsReply, Fault> {
    let holds = hold::list(store.reader(), all).await.map_err(unavailable)?;
    Ok(HoldsReply { holds: holds.iter().map(HoldRow::from).collect() })
}

/// Places a hold.
pub(super) async fn place_hold(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    id: Uuid,
    scope: HoldScope,
    reason: String,
) -> Result<Reply, Fault> {
    let hold = Hold { id, scope, reason, placed_by: caller.name(), placed: facts.now, released: None };
    if !hold::insert(tx.conn(), &hold).await.map_err(unavailable)? {
        let problem = format!("{} holds are in force, and no more can be", hold::LIST);
        return Err(
            Fault::new(FaultCode::Conflict, problem).hint("release one: `teleclaude audit hold list`")
        );
    }
    Ok(Reply::Hold(HoldRow::from(&hold)))
}

/// Releases a hold.
pub(super) async fn release_hold(
    tx: &mut Tx,
    facts: &Facts,
    caller: &Caller,
    id: Uuid,
) -> Result<Reply, Fault> {
    let Some(mut kept) = hold::by_id(tx.conn(), id).await.map_err(unavailable)? else {
        return Err(Fault::not_found("hold", &id.to_string()).hint("`teleclaude audit hold list` shows them"));
    };
    let by = caller.name();
    if !hold::release(tx.conn(), id, &by, facts.now).await.map_err(unavailable)? {
        return Err(Fault::new(FaultCode::Conflict, format!("the hold {id} was released already")));
    }
    kept.released = Some((by, facts.now));
    Ok(Reply::Hold(HoldRow::from(&kept)))
}
