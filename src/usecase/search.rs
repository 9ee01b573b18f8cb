//! Searching what was said and done. The index gives entries that have the words; whether one is what is looked for
//! is seen in its text. What is found comes with the audit rows that must be kept before it is shown.

use crate::domain::action::{Action, SearchQuery};
use crate::domain::audit::{AuditDraft, AuditOutcome};
use crate::domain::person::PersonId;
use crate::domain::policy::Permit;
use crate::domain::query::{Query, snippet};
use crate::domain::session::{Session, SessionId};
use crate::domain::timestamp::Timestamp;
use crate::store::conn::Conn;
use crate::store::search::{self, Candidate, Scope};
use crate::store::session;
use crate::usecase::resolve::{limit, moment, reason, unavailable};
use crate::usecase::turns::{READING, SEARCHING};
use crate::usecase::witness::Row;
use crate::usecase::{Facts, cursor, inbox};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use crate::wire::request::SearchSessions;
use crate::wire::session::{HitRow, SearchReply};
use serde_json::json;
use std::collections::HashMap;

/// Entries that are looked at together: each may have 256 KiB of text.
const BATCH: u64 = 25;
/// Entries that are looked at for one page. If they are not enough, the page ends and has a cursor.
const LOOKED_AT_MAX: u64 = 1_000;
/// Questions to the database for one page: what the filters leave out is looked at, too.
const BATCHES_MAX: u64 = 40;

/// What was found, and what must be written down before it is shown.
#[derive(Debug)]
pub struct Found {
    /// The hits.
    pub reply: Reply,
    /// One for each session of somebody else's whose text is among them; where everybody's were searched, one at least.
    pub rows: Vec<Row>,
    /// Whose inboxes change by that.
    pub told: Vec<(PersonId, u32)>,
}

pub(super) fn resolve(args: SearchSessions) -> Result<Action, Fault> {
    let query = Query::parse(&args.query).map_err(|problem| {
        Fault::invalid("query", problem)
            .hint("words (all of them), \"words one after the other\", begin*, -not")
    })?;
    Ok(Action::SearchSessions(Box::new(SearchQuery {
        query,
        project: args.project,
        since: moment("since", args.since.as_deref())?,
        until: moment("until", args.until.as_deref())?,
        reason: reason(args.reason)?,
        before: args.cursor.as_deref().map(cursor::hit).transpose()?,
        limit: limit(args.limit)?,
    })))
}

/// Searches. Nothing of it may be shown before its rows are kept.
///
/// # Errors
/// The database.
pub async fn search(conn: &Conn, facts: &Facts, permit: Permit) -> Result<Found, Fault> {
    let everybodys = permit.record();
    let (caller, action) = permit.into_parts();
    let (Action::SearchSessions(asked), Some(person)) = (action, &caller.person) else {
        return Err(Fault::new(FaultCode::Internal, "a search came by the wrong way"));
    };
    let scope = Scope {
        owner: everybodys.is_none().then_some((person.id, caller.uid)),
        project: asked.project.clone(),
        since: asked.since,
        until: asked.until,
    };
    let (found, next) = page(conn, caller.uid, &asked, &scope).await?;
    let mut ids: Vec<SessionId> = found.iter().map(|hit| hit.session).collect();
    ids.sort();
    ids.dedup();
    let sessions = session::by_ids(conn, &ids).await.map_err(unavailable)?;
    let sessions: HashMap<SessionId, Session> = sessions.into_iter().map(|s| (s.id, s)).collect();
    let mut shown: HashMap<SessionId, u64> = HashMap::new();
    let mut hits = Vec::with_capacity(found.len());
    for hit in found {
        // One that was deleted meanwhile is not shown.
        let Some(session) = sessions.get(&hit.session) else { continue };
        if everybodys.is_none() && !session.is_own(&caller) {
            continue;
        }
        *shown.entry(session.id).or_default() += 1;
        hits.push(hit.row(session));
    }
    let (mut rows, mut told) = (Vec::new(), Vec::new());
    if let Some(action) = everybodys {
        let request = facts.request_id.to_string();
        for id in ids {
            let Some(session) = sessions.get(&id).filter(|session| !session.is_own(&caller)) else {
                continue;
            };
            let draft = AuditDraft::by(&caller, action, AuditOutcome::Success, facts.now, &request)
                .about(session)
                .because(asked.reason.as_deref())
                .with_detail(&json!({ "hits": shown.get(&id) }))
                .of_anothers(session);
            let notice = inbox::notice(facts, &caller, &draft, session);
            if notice.is_some() {
                told.push((session.owner, session.owner_uid));
            }
            rows.push(Row { draft, notice });
        }
        // That words are nowhere is something learned, too.
        if rows.is_empty() {
            let draft = AuditDraft::by(&caller, action, AuditOutcome::Success, facts.now, &request)
                .because(asked.reason.as_deref())
                .with_detail(&json!({ "hits": 0 }));
            rows.push(Row { draft, notice: None });
        }
    }
    let searched = if everybodys.is_some() { "all" } else { "own" }.to_owned();
    Ok(Found {
        reply: Reply::Hits(SearchReply { hits, searched, next_cursor: next.map(cursor::of_hit) }),
        rows,
        told,
    })
}

/// An entry that is what was looked for.
struct Hit {
    place: i64,
    session: SessionId,
    seq: i64,
    at: Option<Timestamp>,
    role: &'static str,
    kind: &'static str,
    tool: Option<String>,
    snippet: String,
}

impl Hit {
    fn of(candidate: Candidate, query: &Query) -> Option<Self> {
        let text = search::text(&candidate.entry);
        let snippet = snippet(&text, &query.find(&text)?);
        let entry = candidate.entry;
        Some(Self {
            place: candidate.place,
            session: candidate.session,
            seq: candidate.seq,
            at: entry.at,
            role: entry.speaker.name(),
            kind: entry.kind.name(),
            tool: entry.tool,
            snippet,
        })
    }

    fn row(self, session: &Session) -> HitRow {
        HitRow {
            session_id: session.id.to_string(),
            title: session.title.as_ref().map(|title| title.as_str().to_owned()),
            owner_person: session.owner_name.clone(),
            project: session.project.clone(),
            agent: session.agent.clone(),
            seq: self.seq,
            at: self.at.map(|at| at.to_string()),
            role: self.role.to_owned(),
            kind: self.kind.to_owned(),
            tool: self.tool,
            snippet: self.snippet,
        }
    }
}

/// A page of hits, and the place after which the next one begins, if there may be one.
async fn page(
    conn: &Conn,
    uid: u32,
    asked: &SearchQuery,
    scope: &Scope,
) -> Result<(Vec<Hit>, Option<i64>), Fault> {
    let most = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let mut hits: Vec<Hit> = Vec::new();
    let mut before = asked.before;
    let (mut looked_at, mut batches) = (0, 0);
    let _turn = SEARCHING.turn(uid).await?;
    loop {
        let batch =
            search::candidates(conn, &asked.query, scope, before, BATCH).await.map_err(unavailable)?;
        let is_last = batch.next.is_none();
        before = batch.next.or(before);
        let batch = batch.found;
        looked_at += batch.len() as u64;
        batches += 1;
        let query = asked.query.clone();
        let look = move || batch.into_iter().filter_map(|c| Hit::of(c, &query)).collect::<Vec<_>>();
        hits.extend(READING.run(uid, look).await?);
        if hits.len() > most || (hits.len() == most && !is_last) {
            hits.truncate(most);
            let last = hits.last().map(|hit| hit.place);
            return Ok((hits, last));
        }
        if is_last {
            return Ok((hits, None));
        }
        if looked_at >= LOOKED_AT_MAX || batches >= BATCHES_MAX {
            return Ok((hits, before));
        }
    }
}
