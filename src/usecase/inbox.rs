//! One's own inbox, and who read what of one's own; and what the owner of a session is told when another reads it.

use crate::domain::action::Action;
use crate::domain::audit::{AuditDraft, owner_key};
use crate::domain::caller::Caller;
use crate::domain::notice::{InboxQuery, Mark, MineQuery, Notice, NoticeKind, deed};
use crate::domain::session::Session;
use crate::store::audit::{self, Place};
use crate::store::conn::Conn;
use crate::store::inbox::{self, Filter};
use crate::usecase::resolve::{limit, moment, unavailable};
use crate::usecase::{Facts, cursor};
use crate::wire::audit::AuditReply;
use crate::wire::fault::Fault;
use crate::wire::inbox::{Inbox, InboxReply, WhoRead};
use crate::wire::limits::PAGE_MAX;
use uuid::Uuid;

/// What is told the owner of `session`, whom `caller` is not; `None` if the config says that owners are not told.
pub fn notice(facts: &Facts, caller: &Caller, row: &AuditDraft, session: &Session) -> Option<Notice> {
    if !facts.config.audit.notify_owner || session.is_own(caller) {
        return None;
    }
    let what = deed(&row.action);
    let text = match &row.reason {
        Some(reason) => format!("{} {what}. Reason: {reason}", row.actor),
        None => format!("{} {what}.", row.actor),
    };
    Some(Notice {
        id: Uuid::now_v7(),
        person: session.owner,
        uid: Some(session.owner_uid),
        from: None,
        at: row.at,
        read_at: None,
        kind: NoticeKind::Access,
        text,
        session: Some(session.id),
        times: 1,
    })
}

/// Turns the arguments of `inbox` into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn resolve(args: Inbox) -> Result<Action, Fault> {
    let mark = match (args.mark_read, args.mark_all.unwrap_or(false)) {
        (Some(_), true) => {
            return Err(Fault::invalid("mark_all", "cannot be given together with mark_read"));
        }
        (Some(ids), false) => Some(Mark::These(ids_of(&ids)?)),
        (None, true) => Some(Mark::All),
        (None, false) => None,
    };
    Ok(Action::Inbox(Box::new(InboxQuery {
        unread: args.unread.unwrap_or(false),
        mark,
        before: args.cursor.as_deref().map(cursor::inbox).transpose()?,
        limit: limit(args.limit)?,
    })))
}

fn ids_of(ids: &[String]) -> Result<Vec<Uuid>, Fault> {
    if ids.is_empty() || ids.len() as u64 > PAGE_MAX {
        return Err(Fault::invalid("mark_read", format_args!("must name 1 to {PAGE_MAX} messages")));
    }
    ids.iter()
        .map(|id| {
            Uuid::try_parse(id).map_err(|_| {
                let id: String = id.chars().take(40).collect();
                Fault::invalid("mark_read", format_args!("`{id}` is not the id of a message"))
            })
        })
        .collect()
}

/// Turns the arguments of `who_read_my_sessions` into an action.
///
/// # Errors
/// A fault that names the argument.
pub(super) fn resolve_mine(args: &WhoRead) -> Result<Action, Fault> {
    Ok(Action::WhoReadMine(Box::new(MineQuery {
        since: moment("since", args.since.as_deref())?,
        before: args.cursor.as_deref().map(cursor::audit).transpose()?,
        limit: limit(args.limit)?,
    })))
}

/// A page of one's own inbox; what is to be marked as read is marked first, which takes a connection that may write.
///
/// # Errors
/// The database.
pub(super) async fn page(
    conn: &Conn,
    facts: &Facts,
    caller: &Caller,
    query: &InboxQuery,
) -> Result<InboxReply, Fault> {
    let Some(person) = &caller.person else {
        return Ok(InboxReply { messages: Vec::new(), unread: 0, next_cursor: None });
    };
    let filter = Filter { person: person.id, uid: caller.uid, family: caller.agent_of, unread: query.unread };
    if let Some(mark) = &query.mark {
        inbox::mark(conn, &filter, mark, facts.now).await.map_err(unavailable)?;
    }
    let rows = inbox::page(conn, &filter, query.before, query.limit).await.map_err(unavailable)?;
    let unread = inbox::unread(conn, &filter).await.map_err(unavailable)?;
    let full = rows.len() as u64 == query.limit;
    let next_cursor = rows.last().filter(|_| full).map(|(place, last)| cursor::of_inbox(*place, last.id));
    Ok(InboxReply {
        messages: rows.iter().map(|(_, notice)| notice.into()).collect(),
        unread: i64::try_from(unread).unwrap_or(i64::MAX),
        next_cursor,
    })
}

/// Who did what with one's own sessions: rows of the audit log that name person and uid as the owner.
///
/// # Errors
/// The database.
pub(super) async fn mine(conn: &Conn, caller: &Caller, query: &MineQuery) -> Result<AuditReply, Fault> {
    let Some(person) = &caller.person else {
        return Ok(AuditReply { rows: Vec::new(), next_cursor: None });
    };
    let before = query.before.as_ref().map(|(at, computer, seq)| Place {
        at: *at,
        computer: computer.clone(),
        seq: *seq,
    });
    let filter = audit::Filter {
        owner_key: Some(owner_key(person.id, caller.uid)),
        since: query.since,
        ..audit::Filter::default()
    };
    let rows = audit::page(conn, &filter, before.as_ref(), query.limit).await.map_err(unavailable)?;
    let full = rows.len() as u64 == query.limit;
    let last = rows.last().filter(|_| full);
    let next_cursor = last.map(|r| cursor::of_audit(r.draft.at, &r.computer, r.seq));
    Ok(AuditReply { rows: rows.iter().map(Into::into).collect(), next_cursor })
}
