//! Warnings and bans. A ban is in force for every request and every live connection once it is committed: the daemon reads the
//! people map again then. Sessions of somebody who is banned run on; they cannot reach them.

use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::caller::Caller;
use crate::domain::notice::{Notice, NoticeKind};
use crate::domain::people_change::{BanQuery, Banned, WARNINGS_BAN, uid as parse_uid};
use crate::domain::person::{BanSource, Person, PersonId};
use crate::domain::timestamp::Timestamp;
use crate::store::ban::{self, Ban, Whose};
use crate::store::conn::Conn;
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::people_change as kept;
use crate::store::writer::WriteError;
use crate::store::{inbox, person, version};
use crate::usecase::people_ask::whom;
use crate::usecase::people_change::{Done, named};
use crate::usecase::people_guard::not_oneself;
use crate::usecase::resolve::{limit, reason as checked, unavailable};
use crate::usecase::{Facts, cursor};
use crate::wire::fault::Fault;
use crate::wire::people_change::{BanRow, BannedReply, BansReply, LiftedReply, ListBans, WarnedReply};
use crate::wire::reply::Reply;
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Bans that have ended which one unit of work sees to.
const AT_A_TIME: u64 = 100;

/// Why somebody is warned or banned.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn reason(text: String) -> Result<String, Fault> {
    checked(Some(text))?.ok_or_else(|| Fault::invalid("reason", "must be given"))
}

/// Who is meant: a person, or a uid.
///
/// # Errors
/// A fault that names the argument.
pub(super) async fn whose(
    conn: &Conn,
    facts: &Facts,
    words: Option<String>,
    uid: Option<i64>,
) -> Result<Banned, Fault> {
    match (words, uid) {
        (Some(words), None) => {
            let person = whom(conn, facts, "person", &words).await?;
            // Nobody is recognised as a visitor: what counts of them is the uid.
            Ok(match person.uid.filter(|_| person.visitor) {
                Some(uid) => Banned::Uid(uid),
                None => Banned::Person(Box::new(person)),
            })
        }
        (None, Some(number)) => {
            Ok(Banned::Uid(parse_uid(number).map_err(|problem| Fault::invalid("uid", problem))?))
        }
        (Some(_), Some(_)) => Err(Fault::invalid("uid", "cannot be given together with person")),
        (None, None) => Err(Fault::invalid("person", "must be given, or uid")),
    }
}

/// Which bans.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn query(args: &ListBans) -> Result<BanQuery, Fault> {
    Ok(BanQuery {
        all: args.all.unwrap_or(false),
        before: args.cursor.as_deref().map(cursor::ban).transpose()?,
        limit: limit(args.limit)?,
    })
}

/// A page of bans.
///
/// # Errors
/// The database.
pub(super) async fn page(conn: &Conn, facts: &Facts, query: &BanQuery) -> Result<Reply, Fault> {
    let only_active = (!query.all).then_some(facts.now);
    let rows = ban::page(conn, only_active, query.before, query.limit).await.map_err(unavailable)?;
    let full = rows.len() as u64 == query.limit;
    let next_cursor = rows.last().filter(|_| full).map(|last| cursor::of_ban(last.created, last.id));
    let people: Vec<PersonId> = rows
        .iter()
        .filter_map(|row| match row.whose {
            Whose::Person(person) => Some(person),
            Whose::Uid(_) => None,
        })
        .collect();
    let names: HashMap<PersonId, String> =
        kept::names(conn, &people).await.map_err(unavailable)?.into_iter().collect();
    let name = |whose: Whose| match whose {
        Whose::Person(person) => Some(names.get(&person).cloned().unwrap_or_else(|| person.to_string())),
        Whose::Uid(_) => None,
    };
    let bans = rows.iter().map(|ban| row(ban, name(ban.whose), facts.now)).collect();
    Ok(Reply::Bans(BansReply { bans, next_cursor }))
}

/// Bans, or replaces the ban that is in force: counted up, with another reason and end. One for good stays so.
pub(super) async fn ban(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    who: Banned,
    until: Option<Timestamp>,
    reason: String,
) -> Result<Done, Fault> {
    let (person, uid) = match &who {
        Banned::Person(person) => (Some(&**person), None),
        Banned::Uid(uid) => (None, Some(*uid)),
    };
    not_oneself(conn, facts, caller, (person, uid), "ban").await?;
    let (ban, was_for_good) =
        put(conn, facts, caller, whose_of(&who), (until, BanSource::Admin), &reason).await?;
    let mut hints = Vec::new();
    if was_for_good && until.is_some() {
        hints.push("the ban that was in force is for good, and stays so: lift it first".to_owned());
    }
    let name = person.map(|person| person.name.clone());
    let detail = json!({
        "until": ban.until.map(|at| at.to_string()), "permanent": ban.until.is_none(), "count": ban.count, "uid": uid,
    });
    Ok(Done {
        reply: Reply::Banned(BannedReply { ban: row(&ban, name.clone(), facts.now), hints }),
        about: about(&who),
        reason: Some(reason),
        detail: Some(detail),
    })
}

/// Warns; the last warning bans for `bans.auto_days`. Warnings that led to a ban which is over do not count.
pub(super) async fn warn(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    mut person: Person,
    reason: String,
) -> Result<Done, Fault> {
    named(&person)?;
    not_oneself(conn, facts, caller, (Some(&person), None), "warn").await?;
    let in_force = ban::active_of(conn, &[person.id], &[], facts.now).await.map_err(unavailable)?;
    if person.warnings >= WARNINGS_BAN && in_force.is_empty() {
        person.warnings = 0;
    }
    person.warnings = person.warnings.saturating_add(1);
    person.updated = facts.now.max(Timestamp::from_micros(person.updated.micros() + 1));
    kept::put(conn, &person).await.map_err(unavailable)?;
    let days = facts.config.bans.auto_days;
    let mut banned = None;
    if person.warnings >= WARNINGS_BAN && days > 0 {
        let end = facts.now.plus(Duration::from_secs(u64::from(days) * 86_400));
        // A warning makes no ban shorter.
        let end = in_force.iter().filter_map(|ban| ban.until).fold(end, Timestamp::max);
        let whose = Whose::Person(person.id);
        banned = Some(put(conn, facts, caller, whose, (Some(end), BanSource::Warnings), &reason).await?.0);
    }
    let text = match &banned {
        None => format!("You were warned: {reason} The next warning bans you."),
        Some(_) => format!("You were warned, and are banned: {reason}"),
    };
    let text = if days == 0 { format!("You were warned: {reason}") } else { text };
    let notice = Notice {
        id: facts.message_id,
        person: person.id,
        uid: None,
        from: Some(caller.name()),
        at: facts.now,
        read_at: None,
        kind: NoticeKind::Message,
        text,
        session: None,
        times: 1,
    };
    inbox::put(conn, &notice).await.map_err(unavailable)?;
    let ban = banned.as_ref().map(|ban| row(ban, Some(person.name.clone()), facts.now));
    let until = banned.as_ref().and_then(|ban| ban.until).map(|at| at.to_string());
    let reply =
        Reply::Warned(WarnedReply { person: person.name.clone(), warnings: i64::from(person.warnings), ban });
    let detail = json!({ "warnings": person.warnings, "banned": banned.is_some(), "until": until });
    Ok(Done { reason: Some(reason), ..Done::of(&person, reply, Some(detail)) })
}

/// Lifts what is in force, and forgets warnings.
pub(super) async fn lift(conn: &Conn, facts: &Facts, caller: &Caller, who: Banned) -> Result<Done, Fault> {
    let (people, uids) = match &who {
        Banned::Person(person) => {
            let by_config = facts.people.config_uids(&person.name);
            (vec![person.id], person.uid.into_iter().chain(by_config).collect())
        }
        Banned::Uid(uid) => (Vec::new(), vec![*uid]),
    };
    let in_force = ban::active_of(conn, &people, &uids, facts.now).await.map_err(unavailable)?;
    for ban in &in_force {
        let lifted = Ban { lifted: Some((facts.now, caller.name())), ..ban.clone() };
        ban::put(conn, &lifted).await.map_err(unavailable)?;
    }
    let mut warnings = 0;
    let mut hints = Vec::new();
    match &who {
        Banned::Person(person) => {
            warnings = person.warnings;
            forget_warnings(conn, (**person).clone(), facts.now).await.map_err(unavailable)?;
        }
        Banned::Uid(uid) => {
            let seen = person::by_uid(conn, *uid).await.map_err(unavailable)?;
            let theirs = match (seen, facts.people.claimed(None, Some(*uid))) {
                (None, Some(config)) => person::by_name(conn, &config.name).await.map_err(unavailable)?,
                (seen, _) => seen,
            };
            if let Some(person) = theirs {
                let theirs = ban::active_of(conn, &[person.id], &[], facts.now).await.map_err(unavailable)?;
                if !theirs.is_empty() {
                    hints.push(format!(
                        "`{}`, who comes as this uid, is banned as a person: `teleclaude people unban '{}'`",
                        person.name, person.name
                    ));
                }
            }
        }
    }
    let is_changed = !in_force.is_empty() || warnings > 0;
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let reply = LiftedReply { lifted: number(in_force.len()), warnings: i64::from(warnings), hints };
    let ids: Vec<String> = in_force.iter().map(|ban| ban.id.to_string()).collect();
    let uid = uids.first().filter(|_| matches!(who, Banned::Uid(_)));
    let detail = is_changed.then(|| json!({ "bans": ids, "warnings": warnings, "uid": uid }));
    Ok(Done { reply: Reply::Lifted(reply), about: about(&who), reason: None, detail })
}

/// Sees to bans that have ended by themselves: their rows say so, and the warnings that led to them are forgotten, each with
/// its audit row. In units of at most a hundred; gives how many there were. They were not in force any more before.
///
/// # Errors
/// The database.
pub async fn end_over(
    store: &Store,
    own_uid: u32,
    now: Timestamp,
    deadline: Instant,
) -> Result<u64, WriteError<StoreError>> {
    let mut ended = 0;
    loop {
        let seen = store
            .write(deadline, move |tx| {
                Box::pin(async move {
                    if ban::over(tx.conn(), now, 1).await?.is_empty() {
                        return Ok(0);
                    }
                    version::people_change(tx.conn()).await?;
                    // Whoever else was at it is through now.
                    let over = ban::over(tx.conn(), now, AT_A_TIME).await?;
                    for ban in &over {
                        let draft = end(tx.conn(), ban, own_uid, now).await?;
                        tx.audit(draft);
                    }
                    Ok::<_, StoreError>(over.len() as u64)
                })
            })
            .await?;
        ended += seen;
        if seen < AT_A_TIME {
            return Ok(ended);
        }
    }
}

async fn end(conn: &Conn, over: &Ban, own_uid: u32, now: Timestamp) -> Result<AuditDraft, StoreError> {
    ban::put(conn, &Ban { lifted: Some((now, "daemon".to_owned())), ..over.clone() }).await?;
    let mut draft = AuditDraft::by_daemon(own_uid, "ban.lift", AuditOutcome::Success, now);
    let mut uid = None;
    match over.whose {
        Whose::Uid(theirs) => uid = Some(theirs),
        Whose::Person(id) => {
            draft.target = Some(("person".to_owned(), id.to_string()));
            if let Some(person) = person::by_id(conn, id).await? {
                draft.owner = Some(person.name.clone());
                if ban::active_of(conn, &[id], &[], now).await?.is_empty() {
                    forget_warnings(conn, person, now).await?;
                }
            }
        }
    }
    let until = over.until.map(|at| at.to_string());
    Ok(draft.with_detail(&json!({ "bans": [over.id.to_string()], "ended": until, "uid": uid })))
}

async fn forget_warnings(conn: &Conn, person: Person, now: Timestamp) -> Result<(), StoreError> {
    if person.warnings == 0 {
        return Ok(());
    }
    let updated = now.max(Timestamp::from_micros(person.updated.micros() + 1));
    kept::put(conn, &Person { warnings: 0, updated, ..person }).await
}

fn whose_of(who: &Banned) -> Whose {
    match who {
        Banned::Person(person) => Whose::Person(person.id),
        Banned::Uid(uid) => Whose::Uid(*uid),
    }
}

fn about(who: &Banned) -> Option<(String, String)> {
    match who {
        Banned::Person(person) => Some((person.id.to_string(), person.name.clone())),
        Banned::Uid(_) => None,
    }
}

/// The ban as it is now, and whether one for good was in force before.
async fn put(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    whose: Whose,
    (until, source): (Option<Timestamp>, BanSource),
    reason: &str,
) -> Result<(Ban, bool), Fault> {
    let (people, uids) = match whose {
        Whose::Person(person) => (vec![person], vec![]),
        Whose::Uid(uid) => (vec![], vec![uid]),
    };
    let before = ban::active_of(conn, &people, &uids, facts.now).await.map_err(unavailable)?.pop();
    let was_for_good = before.as_ref().is_some_and(|ban| ban.until.is_none());
    let fresh = Ban {
        id: facts.session_id,
        whose,
        until: if was_for_good { None } else { until },
        reason: Some(reason.to_owned()),
        by: caller.name(),
        by_person: caller.person.as_ref().map(|person| person.id),
        source,
        count: 1,
        created: facts.now,
        updated: facts.now,
        lifted: None,
    };
    let ban = match before {
        Some(before) => {
            Ban { id: before.id, count: before.count.saturating_add(1), created: before.created, ..fresh }
        }
        None => fresh,
    };
    ban::put(conn, &ban).await.map_err(unavailable)?;
    Ok((ban, was_for_good))
}

fn row(ban: &Ban, person: Option<String>, now: Timestamp) -> BanRow {
    let uid = match ban.whose {
        Whose::Uid(uid) => Some(i64::from(uid)),
        Whose::Person(_) => None,
    };
    BanRow {
        id: ban.id.to_string(),
        person,
        uid,
        reason: ban.reason.clone(),
        until: ban.until.map(|at| at.to_string()),
        active: ban.is_active(now),
        source: ban.source.name().to_owned(),
        count: i64::from(ban.count),
        by: ban.by.clone(),
        created_at: ban.created.to_string(),
        updated_at: ban.updated.to_string(),
        lifted_at: ban.lifted.as_ref().map(|(at, _)| at.to_string()),
        lifted_by: ban.lifted.as_ref().map(|(_, by)| by.clone()),
    }
}
