//! What the daemon does with its audit log itself: proving it with its own keys, showing and changing those, and
//! sending it row by row to whoever may have it. The row about that is committed before any of this begins.

use crate::daemon::app::App;
use crate::daemon::notary::Notary;
use crate::daemon::{checkpoints, pruning};
use crate::domain::action::{Action, AuditEvidence};
use crate::domain::audit::{AuditDraft, AuditEntry, AuditOutcome};
use crate::domain::audit_format::AuditFormat;
use crate::domain::checkpoint::Sealed;
use crate::domain::note;
use crate::domain::policy::Permit;
use crate::domain::timestamp::Timestamp;
use crate::store::audit::{self, Filter};
use crate::store::connect::Store;
use crate::store::error::StoreError;
use crate::store::verify::{ChainReport, Evidence};
use crate::store::{checkpoint, hold, prune, verify};
use crate::usecase::audit::filter;
use crate::usecase::resolve::unavailable;
use crate::usecase::witness::{self, Row};
use crate::usecase::{Facts, audit_format, run};
use crate::wire::audit::{AuditKeyRow, AuditKeysReply, AuditRow, ChainRow, VerifiedReply, hex};
use crate::wire::bundle::{self, Line};
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::reply::Reply;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Rows read at a time.
const PAGE: u64 = 500;
/// Pieces that wait for a slow client; then nothing more is read for it.
const PIECES: usize = 4;
/// How often it is looked whether there are new rows for those who follow.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Something is sent to those who follow at least this often, so that lost connections are noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// So long before the asker's deadline they are told that a log is too long.
const SPARE: Duration = Duration::from_secs(2);
/// Chains that one who follows may say where they are in.
const CHAINS_MAX: usize = 1_000;

/// A part of an answer that is sent while it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of it.
    Bytes(Vec<u8>),
    /// It is whole: so many rows. Without this the answer was cut off.
    End(u64),
}

/// An answer that is sent while it is made.
pub struct Stream {
    /// Its media type.
    pub kind: &'static str,
    /// What was permitted.
    pub action: Action,
    /// For one who follows: by computer the last row before those that are to come.
    pub places: Option<BTreeMap<String, i64>>,
    /// Its parts.
    pub pieces: mpsc::Receiver<Piece>,
}

/// Does what takes the daemon's own key and log. The row about it is there already, but for pruning.
///
/// # Errors
/// What went wrong.
pub async fn done(app: &App, facts: &Facts, permit: Permit, deadline: Instant) -> Result<Reply, Fault> {
    match permit.action() {
        Action::VerifyAudit(more) => match in_time(deadline, prove(app, more)).await {
            Some(proven) => Ok(Reply::Verified(proven?)),
            None => Err(Fault::new(FaultCode::Timeout, "the log is too long to be checked in one answer")
                .hint("`teleclaude audit verify --database FILE|URL` checks it without the daemon, for who may read it")),
        },
        Action::ShowAuditKeys => Ok(Reply::AuditKeys(keys(app))),
        Action::RotateAuditKey => {
            let rotated = app.notary().rotate(app.store().computer()).await;
            let row = run::record(facts, &permit).map(|draft| AuditDraft {
                outcome: if rotated.is_ok() { AuditOutcome::Success } else { AuditOutcome::Failure },
                target: app.notary().keys().last().map(|key| ("key".to_owned(), key.to_string())),
                ..draft
            });
            let rows = row.into_iter().map(|draft| Row { draft, notice: None }).collect();
            let kept = witness::commit(app.store(), rows, deadline).await;
            rotated.map_err(|error| {
                Fault::new(FaultCode::Unavailable, format!("the old key stays: {error:#}"))
            })?;
            kept?;
            checkpoints::make(app).await;
            Ok(Reply::AuditKeys(keys(app)))
        }
        Action::PruneAudit { before, dry_run, by_owner } => {
            let what = (*before, *dry_run, *by_owner);
            pruning::prune(app, facts, &permit, what, deadline).await.map(Reply::Pruned)
        }
        other => {
            Err(Fault::new(FaultCode::Internal, format!("{} came by the wrong way", other.verb().name())))
        }
    }
}

/// What is done well before the deadline; what cannot be is not even begun.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    let until = deadline.checked_sub(SPARE).filter(|until| *until > Instant::now())?;
    timeout_at(until, work).await.ok()
}

fn keys(app: &App) -> AuditKeysReply {
    let keys = app.notary().keys();
    let last = keys.len().saturating_sub(1);
    let rows = keys.iter().enumerate();
    AuditKeysReply {
        computer: app.store().computer().to_owned(),
        keys: rows.map(|(n, key)| AuditKeyRow { key: key.to_string(), current: n == last }).collect(),
    }
}

/// Proves the live log with the daemon's own keys and its last checkpoint.
async fn prove(app: &App, more: &AuditEvidence) -> Result<VerifiedReply, Fault> {
    let notary = app.notary();
    let mut keys = notary.keys();
    keys.extend(more.keys.iter().cloned());
    // Evidence that proves nothing must not look as if it had been considered.
    for text in &more.notes {
        note::open(text, &keys).map_err(|problem| Fault::invalid("checkpoints", problem))?;
    }
    let notes = notary.last().map(|(_, note)| note).into_iter().chain(more.notes.iter().cloned()).collect();
    let evidence = Evidence { keys, notes };
    let reader = app.store().reader();
    let mut tries = 3;
    loop {
        let before = audit::ends(reader, app.store().computer()).await.map_err(unavailable)?;
        let reports = verify::prove(reader, None, &evidence, |_| {}).await.map_err(unavailable)?;
        let after = audit::ends(reader, app.store().computer()).await.map_err(unavailable)?;
        tries -= 1;
        // Rows that were pruned while they were walked are not missing.
        let moved = before.map(|(first, _)| first) != after.map(|(first, _)| first);
        if !moved || tries == 0 || reports.iter().all(|report| report.first_bad.is_none()) {
            return Ok(verified(&reports));
        }
    }
}

/// What checking found, as it is answered.
pub fn verified(chains: &[ChainReport]) -> VerifiedReply {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let rows: Vec<ChainRow> = chains
        .iter()
        .map(|c| ChainRow {
            computer: c.computer.clone(),
            rows: count(c.rows),
            first_seq: c.first,
            head: hex(&c.head),
            checkpoints: count(c.checkpoints),
            unknown_checkpoints: count(c.unknown),
            first_bad_seq: c.first_bad.as_ref().map(|(seq, _)| *seq),
            problem: c.first_bad.as_ref().map(|(_, problem)| problem.clone()),
        })
        .collect();
    VerifiedReply {
        ok: rows.iter().all(|r| r.first_bad_seq.is_none()),
        rows: rows.iter().map(|r| r.rows).sum(),
        chains: rows,
    }
}

/// Begins to send rows. The row that says so is committed.
///
/// # Errors
/// `invalid`; `unavailable` if there is nothing to sign a bundle with.
pub async fn open(app: &App, facts: &Facts, permit: Permit) -> Result<Stream, Fault> {
    let (_, action) = permit.into_parts();
    let (sender, pieces) = mpsc::channel(PIECES);
    let sending = Sending { store: app.store().clone(), sender, rows: 0 };
    let mut places = None;
    let kind = match &action {
        Action::ExportAudit { format: AuditFormat::Bundle, .. } => {
            // So that the last rows of it are signed too.
            checkpoints::make(app).await;
            let notary = Arc::clone(app.notary());
            let (computer, now) = (facts.computer.to_string(), facts.now);
            tokio::spawn(sending.bundle(notary, computer, now));
            AuditFormat::Bundle.media_type()
        }
        Action::ExportAudit { format, query } => {
            let mut filter = filter(query);
            filter.until = Some(filter.until.map_or(facts.now, |until| until.min(facts.now)));
            tokio::spawn(sending.export(*format, filter));
            format.media_type()
        }
        Action::FollowAudit { query, after } => {
            let after = after.clone();
            if after.as_ref().is_some_and(|after| after.len() > CHAINS_MAX) {
                return Err(Fault::invalid("after", format_args!("must have {CHAINS_MAX} chains at most")));
            }
            let (newest, from) = match after {
                Some(after) => (0, after),
                // Where the chains are now, and only then the rows before that.
                None => (query.limit, ends(app.store()).await.map_err(unavailable)?),
            };
            places = Some(from.clone());
            tokio::spawn(sending.follow(filter(query), from, newest));
            AuditFormat::Jsonl.media_type()
        }
        other => {
            let problem = format!("{} has nothing to send", other.verb().name());
            return Err(Fault::new(FaultCode::Internal, problem));
        }
    };
    Ok(Stream { kind, action, places, pieces })
}

/// The last row of each chain.
async fn ends(store: &Store) -> Result<BTreeMap<String, i64>, StoreError> {
    let mut ends = BTreeMap::new();
    for computer in audit::chains(store.reader()).await? {
        let last = audit::last(store.reader(), &computer).await?;
        ends.insert(computer, last.map_or(0, |(seq, _)| seq));
    }
    Ok(ends)
}

/// Why sending ended early: the client is gone, or the database is.
struct Over;

struct Sending {
    store: Store,
    sender: mpsc::Sender<Piece>,
    rows: u64,
}

impl Sending {
    async fn send(&self, bytes: impl Into<Vec<u8>>) -> Result<(), Over> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            // Who is gone is not looked for any longer, though there is nothing for them.
            return if self.sender.is_closed() { Err(Over) } else { Ok(()) };
        }
        self.sender.send(Piece::Bytes(bytes)).await.map_err(|_| Over)
    }

    async fn end(&self) {
        // A client that is gone needs no end.
        let _ = self.sender.send(Piece::End(self.rows)).await;
    }

    /// Says in the log why an answer has no end.
    fn lost<E: std::fmt::Display>(error: E) -> Over {
        tracing::warn!(%error, "an export of the audit log was cut off");
        Over
    }

    /// Every row that the filter leaves, chain by chain, in the order of the chain.
    async fn export(mut self, format: AuditFormat, filter: Filter) {
        if self.send(audit_format::head(format)).await.is_ok() && self.chains(format, &filter).await.is_ok() {
            self.end().await;
        }
    }

    async fn chains(&mut self, format: AuditFormat, filter: &Filter) -> Result<(), Over> {
        let reader = self.store.reader();
        for computer in audit::chains(reader).await.map_err(Self::lost)? {
            let Some((first, last)) = audit::ends(reader, &computer).await.map_err(Self::lost)? else {
                continue;
            };
            let mut after = first - 1;
            loop {
                let rows =
                    audit::chain_page(reader, &computer, after, last, PAGE).await.map_err(Self::lost)?;
                let Some(end) = rows.last() else { break };
                after = end.seq;
                let meant: Vec<&AuditEntry> = rows.iter().filter(|row| filter.meets(row)).collect();
                let text: String = meant.iter().map(|row| audit_format::line(format, row)).collect();
                let sent = meant.len() as u64;
                self.send(text).await?;
                self.rows += sent;
            }
        }
        Ok(())
    }

    /// Everything, with the checkpoints, under a seal.
    async fn bundle(mut self, notary: Arc<Notary>, computer: String, now: Timestamp) {
        if self.sealed(&notary, computer, now).await.is_ok() {
            self.end().await;
        }
    }

    async fn sealed(&mut self, notary: &Notary, made_by: String, now: Timestamp) -> Result<(), Over> {
        let reader = self.store.reader();
        let mut chains = Vec::new();
        for computer in audit::chains(reader).await.map_err(Self::lost)? {
            let Some((mut first, last)) = audit::ends(reader, &computer).await.map_err(Self::lost)? else {
                continue;
            };
            let pruned = prune::records(reader, &computer).await.map_err(Self::lost)?;
            let cuts = prune::proven(reader, &computer, &notary.keys()).await.map_err(Self::lost)?;
            // Rows that are on their way out are not taken along, unless a hold keeps them.
            if let Some(end) = cuts.iter().map(|cut| cut.last).filter(|end| *end >= first).max()
                && hold::covering(reader, &computer, end).await.map_err(Self::lost)?.is_none()
            {
                first = end + 1;
            }
            chains.push(bundle::ChainHead { computer, first, last, pruned });
        }
        let head = bundle::Head {
            kind: bundle::KIND.to_owned(),
            made_at: now.to_string(),
            made_by: made_by.clone(),
            keys: notary.keys().iter().map(ToString::to_string).collect(),
            chains: chains.clone(),
        };
        let mut sha = Sha256::new();
        let mut points = 0i64;
        let text = json_line(&Line::Bundle(head));
        sha.update(&text);
        self.send(text).await?;
        for chain in &chains {
            let mut after = chain.first - 1;
            while after < chain.last {
                let rows = audit::chain_page(reader, &chain.computer, after, chain.last, PAGE)
                    .await
                    .map_err(Self::lost)?;
                let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                    return Err(Self::lost(format!("rows of {} after {after} are gone", chain.computer)));
                };
                let between = checkpoint::between(reader, &chain.computer, first.seq, last.seq)
                    .await
                    .map_err(Self::lost)?;
                after = last.seq;
                let mut coming: VecDeque<checkpoint::Kept> = between.into();
                let mut text = Vec::new();
                for row in &rows {
                    text.extend(json_line(&Line::Row(Box::new(AuditRow::from(row)))));
                    self.rows += 1;
                    while coming.front().is_some_and(|kept| kept.seq <= row.seq) {
                        if let Some(kept) = coming.pop_front() {
                            points += 1;
                            text.extend(json_line(&Line::Checkpoint(kept.note)));
                        }
                    }
                }
                sha.update(&text);
                self.send(text).await?;
            }
        }
        let digest: [u8; 32] = sha.finalize().into();
        let rows = i64::try_from(self.rows).unwrap_or(i64::MAX);
        let seal = Sealed { origin: made_by, rows, checkpoints: points, digest, at: now };
        let note = notary.sign(&seal.text()).ok_or_else(|| Self::lost("there is no key to seal it with"))?;
        self.send(json_line(&Line::Seal(note))).await
    }

    /// The newest rows, then those that come, until nobody listens.
    async fn follow(mut self, filter: Filter, places: BTreeMap<String, i64>, newest: u64) {
        // However the client goes, or the database: the stream just ends, and the client asks again.
        let _ = self.following(filter, places, newest).await;
    }

    async fn following(
        &mut self,
        filter: Filter,
        mut places: BTreeMap<String, i64>,
        newest: u64,
    ) -> Result<(), Over> {
        let store = self.store.clone();
        let reader = store.reader();
        if newest > 0 {
            let (mut rows, _) = audit::list(reader, &filter, None, newest).await.map_err(Self::lost)?;
            rows.retain(|row| places.get(&row.computer).is_some_and(|last| row.seq <= *last));
            rows.reverse();
            let text: String = rows.iter().map(|row| audit_format::line(AuditFormat::Jsonl, row)).collect();
            self.send(text).await?;
        }
        let mut quiet = Instant::now();
        loop {
            for computer in audit::chains(reader).await.map_err(Self::lost)? {
                let after = places.entry(computer.clone()).or_insert(0);
                loop {
                    let rows = audit::chain_page(reader, &computer, *after, i64::MAX, PAGE)
                        .await
                        .map_err(Self::lost)?;
                    let Some(end) = rows.last() else { break };
                    *after = end.seq;
                    let meant = rows.iter().filter(|row| filter.meets(row));
                    let text: String = meant.map(|row| audit_format::line(AuditFormat::Jsonl, row)).collect();
                    if !text.is_empty() {
                        quiet = Instant::now();
                    }
                    self.send(text).await?;
                }
            }
            if quiet.elapsed() >= SIGN_OF_LIFE {
                quiet = Instant::now();
                self.send("\n").await?;
            }
            tokio::select! {
                () = self.sender.closed() => return Err(Over),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }
}

fn json_line(line: &Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}
