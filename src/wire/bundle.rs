//! A bundle of the audit log: JSON Lines that prove themselves. A head with the keys and the chains, each chain's rows
//! in their order with every checkpoint right after its row, and a signed seal over all of it. The reader needs no
//! more memory for a long one than for a short one.

use crate::domain::audit::{self, AuditDraft, AuditEntry, AuditOutcome};
use crate::domain::caller::Role;
use crate::domain::checkpoint::{Checkpoint, Pruned, Sealed};
use crate::domain::note::{self, NoteError, VerifierKey};
use crate::domain::timestamp::Timestamp;
use crate::domain::walk::{Bad, Link, Walk};
use crate::wire::audit::{AuditRow, ChainRow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;

/// What the first line says a bundle is.
pub const KIND: &str = "teleclaude-audit-1";
/// Bytes of one line that are read, at most.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Line {
    /// The first.
    Bundle(Head),
    /// A row.
    Row(Box<AuditRow>),
    /// A checkpoint of the row before: a signed note.
    Checkpoint(String),
    /// The last: a signed note over all before it.
    Seal(String),
}

/// What a bundle begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`KIND`].
    pub kind: String,
    /// When it was made.
    pub made_at: String,
    /// By whose daemon.
    pub made_by: String,
    /// The public keys of that daemon, the one in use last. They prove nothing unless one has them from elsewhere.
    pub keys: Vec<String>,
    /// The chains, in the order in which they come.
    pub chains: Vec<ChainHead>,
}

/// A chain of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHead {
    /// Whose.
    pub computer: String,
    /// Its first row.
    pub first: i64,
    /// Its last row when the bundle was made.
    pub last: i64,
    /// Signed records of what was cut off its front.
    pub pruned: Vec<String>,
}

/// What a bundle turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct BundleReport {
    /// What was found about each chain.
    pub chains: Vec<ChainRow>,
    /// What is wrong with the bundle as a whole.
    pub problem: Option<String>,
    /// When its seal was signed, and by which computer.
    pub sealed: Option<(String, String)>,
}

/// Reads a bundle line by line.
pub struct Reader {
    given: bool,
    keys: Vec<VerifierKey>,
    sha: Sha256,
    begun: bool,
    coming: VecDeque<ChainHead>,
    walk: Option<(ChainHead, Walk, u64)>,
    rows: i64,
    points: i64,
    report: BundleReport,
    over: bool,
}

impl Reader {
    /// A reader that trusts `keys`; without any, those that the bundle brings along, which proves less.
    pub fn new(keys: Vec<VerifierKey>) -> Self {
        Self {
            given: !keys.is_empty(),
            keys,
            sha: Sha256::new(),
            begun: false,
            coming: VecDeque::new(),
            walk: None,
            rows: 0,
            points: 0,
            report: BundleReport { chains: Vec::new(), problem: None, sealed: None },
            over: false,
        }
    }

    /// Rows so far.
    pub const fn rows(&self) -> i64 {
        self.rows
    }

    /// Rows that are to come in all, as the head says.
    pub fn expected(&self) -> u64 {
        let all = self.walk.iter().map(|(head, _, _)| head).chain(&self.coming);
        // Whoever made it may have put any numbers there.
        let rest = all.fold(0, |rest: i64, head| {
            rest.saturating_add(head.last.saturating_sub(head.first).saturating_add(1))
        });
        u64::try_from(rest).unwrap_or(0)
    }

    /// Takes one line with its end. `false` when there is no use in going on.
    pub fn line(&mut self, line: &[u8]) -> bool {
        if let Err(problem) = self.take(line) {
            self.report.problem.get_or_insert(problem);
        }
        self.report.problem.is_none()
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        if self.over {
            return Err("there is something after the seal".to_owned());
        }
        if !line.ends_with(b"\n") {
            return Err("the bundle is cut off in the middle of a line".to_owned());
        }
        let parsed: Line = serde_json::from_slice(line)
            .map_err(|_| format!("line {} is not one of a bundle", self.rows + self.points + 2))?;
        match parsed {
            Line::Bundle(head) if !self.begun => self.begin(head)?,
            _ if !self.begun => return Err("this is no bundle of an audit log".to_owned()),
            Line::Bundle(_) => return Err("a second bundle begins in the middle of this one".to_owned()),
            Line::Row(row) => self.row(&row)?,
            Line::Checkpoint(text) => self.point(&text)?,
            Line::Seal(text) => return self.seal(&text),
        }
        self.sha.update(line);
        Ok(())
    }

    fn begin(&mut self, head: Head) -> Result<(), String> {
        if head.kind != KIND {
            return Err("it is a bundle of another version: use a newer teleclaude".to_owned());
        }
        if !self.given {
            let keys: Result<Vec<VerifierKey>, NoteError> =
                head.keys.iter().map(|key| VerifierKey::parse(key)).collect();
            self.keys = keys.map_err(|_| "a key in its head is none".to_owned())?;
        }
        self.begun = true;
        self.coming = head.chains.into();
        Ok(())
    }

    /// Goes on to the next chain.
    fn next_chain(&mut self) -> bool {
        self.close();
        let Some(head) = self.coming.pop_front() else { return false };
        let cut = |note: &String| Pruned::parse(note::open(note, &self.keys).ok()?);
        let cuts = head.pruned.iter().filter_map(cut).filter(|cut| cut.origin == head.computer).collect();
        self.walk = Some((head, Walk::new(cuts, Vec::new()), 0));
        true
    }

    /// The end of the chain that is being walked.
    fn close(&mut self) {
        let Some((head, walk, unknown)) = self.walk.take() else { return };
        let mut bad = walk.finish().err();
        if bad.is_none() && walk.seq() != head.last {
            let (seq, last) = (walk.seq() + 1, head.last);
            bad = Some(Bad { seq, problem: format!("rows {seq} to {last} are missing from the bundle") });
        }
        self.found(&head, &walk, unknown, bad);
    }

    fn found(&mut self, head: &ChainHead, walk: &Walk, unknown: u64, bad: Option<Bad>) {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.report.chains.push(ChainRow {
            computer: head.computer.clone(),
            rows: count(walk.rows()),
            first_seq: walk.first(),
            head: crate::wire::audit::hex(&walk.head()),
            checkpoints: count(walk.proven()),
            unknown_checkpoints: count(unknown),
            first_bad_seq: bad.as_ref().map(|bad| bad.seq),
            problem: bad.map(|bad| bad.problem),
        });
    }

    fn row(&mut self, row: &AuditRow) -> Result<(), String> {
        self.rows += 1;
        while self.walk.as_ref().is_none_or(|(head, _, _)| head.computer != row.computer) {
            if !self.next_chain() {
                return Err(format!(
                    "row {} is of {}, of which there is no chain here",
                    row.seq, row.computer
                ));
            }
        }
        let Some((_, walk, _)) = &mut self.walk else { return Ok(()) };
        let link = entry(row).map(|entry| Link {
            prev_hash: entry.prev_hash,
            hash: entry.hash,
            content: audit::hash(&entry.computer, entry.seq, &entry.draft, &entry.prev_hash),
        });
        walk.step(row.seq, link).or_else(|bad| self.stop(bad))
    }

    fn point(&mut self, text: &str) -> Result<(), String> {
        self.points += 1;
        let Some((head, walk, unknown)) = &mut self.walk else {
            return Err("a checkpoint comes before the first row".to_owned());
        };
        let bad = match note::open(text, &self.keys).map(Checkpoint::parse) {
            Ok(Some(point)) if point.origin == head.computer => match walk.point(&point) {
                Ok(()) => return Ok(()),
                Err(bad) => bad,
            },
            Err(NoteError::UnknownKey(_)) => {
                *unknown += 1;
                return Ok(());
            }
            Ok(_) | Err(_) => {
                let problem = "the checkpoint that comes after it is not what was signed".to_owned();
                Bad { seq: walk.seq(), problem }
            }
        };
        self.stop(bad)
    }

    /// A chain that is wrong ends the reading.
    fn stop(&mut self, bad: Bad) -> Result<(), String> {
        let problem = format!("row {}: {}", bad.seq, bad.problem);
        if let Some((head, walk, unknown)) = self.walk.take() {
            self.found(&head, &walk, unknown, Some(bad));
        }
        Err(problem)
    }

    fn seal(&mut self, text: &str) -> Result<(), String> {
        self.over = true;
        while self.next_chain() {}
        let digest: [u8; 32] = self.sha.clone().finalize().into();
        let signed = note::open(text, &self.keys).map_err(|e| format!("the seal: {e}"))?;
        let seal = Sealed::parse(signed).ok_or("what stands at its end is no seal")?;
        if seal.digest != digest || seal.rows != self.rows || seal.checkpoints != self.points {
            return Err(
                "the seal is not this bundle's: something was changed, taken out or put in".to_owned()
            );
        }
        self.report.sealed = Some((seal.at.to_string(), seal.origin));
        match self.report.chains.iter().find(|chain| chain.first_bad_seq.is_some()) {
            Some(_) => Err("a chain in it is not whole".to_owned()),
            None => Ok(()),
        }
    }

    /// The end of the file.
    pub fn finish(mut self) -> BundleReport {
        if self.report.problem.is_none() && !self.over {
            let problem = match self.begun {
                true => "the bundle is cut off: it has no seal",
                false => "this is no bundle of an audit log",
            };
            self.report.problem = Some(problem.to_owned());
            // What is missing of the chain is missing because of that.
            if let Some((head, walk, unknown)) = self.walk.take() {
                self.found(&head, &walk, unknown, None);
            }
        }
        self.close();
        self.report
    }
}

/// The row that was written out as `row`.
///
/// # Errors
/// What of it cannot be read.
pub fn entry(row: &AuditRow) -> Result<AuditEntry, String> {
    let wrong = |what: &str| format!("its {what} cannot be read");
    let role = Role::ALL.into_iter().find(|role| role.name() == row.actor_role);
    if row.target_kind.is_some() != row.target_id.is_some() {
        return Err("half a target".to_owned());
    }
    Ok(AuditEntry {
        computer: row.computer.clone(),
        seq: row.seq,
        draft: AuditDraft {
            at: Timestamp::parse(&row.at).map_err(|_| wrong("time"))?,
            actor: row.actor.clone(),
            actor_uid: u32::try_from(row.actor_uid).map_err(|_| wrong("uid"))?,
            actor_role: role.ok_or_else(|| wrong("role"))?,
            via: row.via.clone(),
            action: row.action.clone(),
            outcome: AuditOutcome::parse(&row.outcome).ok_or_else(|| wrong("outcome"))?,
            session: row.session_id.clone(),
            owner: row.owner.clone(),
            target: row.target_kind.clone().zip(row.target_id.clone()),
            reason: row.reason.clone(),
            request_id: row.request_id.clone(),
            detail: row.detail.clone(),
        },
        prev_hash: unhex(&row.prev_hash).ok_or_else(|| wrong("hash"))?,
        hash: unhex(&row.hash).ok_or_else(|| wrong("hash"))?,
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}
