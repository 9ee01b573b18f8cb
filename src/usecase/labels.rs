//! Labels of sessions: checked when they come, changed in the writer's transaction, shown with the rows they belong to.

use crate::domain::action::Action;
use crate::domain::caller::Caller;
use crate::domain::label::{self, LABELS_MAX, Labels};
use crate::domain::session::{Session, SessionId, SessionTitle, version};
use crate::store::conn::Conn;
use crate::store::label as kept;
use crate::store::writer::Tx;
use crate::usecase::Facts;
use crate::usecase::resolve::{find, reason, unavailable};
use crate::usecase::run::outdated;
use crate::usecase::sessions::happened;
use crate::wire::fault::Fault;
use crate::wire::reply::Reply;
use crate::wire::request::LabelSession;
use crate::wire::session::SessionReply;
use uuid::Uuid;

/// Labels as they may be, or what is wrong with them.
pub(super) fn checked(labels: Labels) -> Result<Labels, Fault> {
    match label::check_all(&labels) {
        Ok(()) => Ok(labels),
        Err(problem) => Err(Fault::invalid("labels", problem)),
    }
}

/// Those that a list is to have.
pub(super) fn filter(text: Option<&str>) -> Result<Labels, Fault> {
    text.map_or(Ok(Labels::new()), label::parse).map_err(|problem| Fault::invalid("label", problem))
}

pub(super) async fn resolve(conn: &Conn, caller: &Caller, args: LabelSession) -> Result<Action, Fault> {
    label::check_all(&args.set).map_err(|problem| Fault::invalid("set", problem))?;
    if args.remove.len() > LABELS_MAX {
        return Err(Fault::invalid("remove", format_args!("a session has at most {LABELS_MAX}")));
    }
    for name in &args.remove {
        label::check(name).map_err(|problem| Fault::invalid("remove", problem))?;
        if args.set.contains_key(name) {
            return Err(Fault::invalid("remove", format_args!("`{name}` is set, too")));
        }
    }
    if args.set.is_empty() && args.remove.is_empty() {
        return Err(Fault::invalid("set", "says nothing to change"));
    }
    let reason = reason(args.reason)?;
    let session = find(conn, caller, &args.session_id).await?;
    Ok(Action::LabelSession { session, set: args.set, remove: args.remove, seen: args.if_version, reason })
}

/// Whether a session's title and labels are those that were seen.
pub(super) async fn unchanged(conn: &Conn, session: &Session, seen: Option<&str>) -> Result<(), Fault> {
    let Some(seen) = seen else { return Ok(()) };
    let labels = kept::of(conn, &[session.id]).await.map_err(unavailable)?.remove(&session.id);
    let now = version(session.title.as_ref().map(SessionTitle::as_str), &labels.unwrap_or_default());
    if now == seen { Ok(()) } else { Err(outdated("if_version", "session")) }
}

pub(super) async fn change(
    tx: &mut Tx,
    facts: &Facts,
    session: &Session,
    set: &Labels,
    remove: &[String],
) -> Result<Reply, Fault> {
    kept::remove(tx.conn(), session.id, remove).await.map_err(unavailable)?;
    kept::set(tx.conn(), session.id, set).await.map_err(unavailable)?;
    let now = kept::of(tx.conn(), &[session.id]).await.map_err(unavailable)?.remove(&session.id);
    let labels = now.unwrap_or_default();
    if labels.len() > LABELS_MAX {
        return Err(Fault::invalid("set", format_args!("a session has at most {LABELS_MAX}")));
    }
    happened(tx, facts, session, "labelled").await?;
    Ok(Reply::Changed(Box::new(SessionReply { labels, ..SessionReply::from(session) })))
}

/// Puts their labels to the sessions of an answer.
///
/// # Errors
/// The database.
pub async fn show(conn: &Conn, reply: &mut Reply) -> Result<(), Fault> {
    let rows: Vec<&mut SessionReply> = match reply {
        Reply::Session(row) | Reply::Changed(row) => vec![row],
        Reply::Started(started) => vec![&mut started.session],
        Reply::Sessions(page) => page.sessions.iter_mut().collect(),
        _ => return Ok(()),
    };
    let key = |row: &SessionReply| Uuid::try_parse(&row.session_id).ok().map(SessionId);
    let ids: Vec<SessionId> = rows.iter().filter_map(|row| key(row)).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut found = kept::of(conn, &ids).await.map_err(unavailable)?;
    for row in rows {
        row.labels = key(row).and_then(|id| found.remove(&id)).unwrap_or_default();
    }
    if let Reply::Session(row) | Reply::Changed(row) = reply {
        row.version = Some(version(row.title.as_deref(), &row.labels));
    }
    Ok(())
}

/// The same for what was changed: it is done, whether or not its labels can be read.
pub async fn done(conn: &Conn, reply: &mut Reply) {
    if let Err(fault) = show(conn, reply).await {
        tracing::warn!(%fault, "an answer goes without labels");
    }
}
