//! The chain's head and putting drafts after it; and telling, after a connection broke at COMMIT, whether it was done.
//! Pure.

use crate::domain::audit::{self, AuditDraft, AuditEntry};

/// The last row of a chain: its place and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: i64,
    pub hash: [u8; 32],
}

impl Head {
    /// Before the first row.
    pub const EMPTY: Self = Self { seq: 0, hash: [0; 32] };

    /// Gives `drafts` their places after this head.
    pub fn follow(self, computer: &str, drafts: Vec<AuditDraft>) -> Vec<AuditEntry> {
        let mut head = self;
        drafts
            .into_iter()
            .map(|draft| {
                let draft = without_nul(draft);
                let seq = head.seq + 1;
                let hash = audit::hash(computer, seq, &draft, &head.hash);
                let entry =
                    AuditEntry { computer: computer.to_owned(), seq, draft, prev_hash: head.hash, hash };
                head = Self { seq, hash };
                entry
            })
            .collect()
    }

    /// The head once `entries` are in.
    pub fn after(self, entries: &[AuditEntry]) -> Self {
        entries.last().map_or(self, |last| Self { seq: last.seq, hash: last.hash })
    }
}

/// Postgres refuses NUL in text, so no text that is hashed may hold one.
fn without_nul(mut draft: AuditDraft) -> AuditDraft {
    fn clean(text: &mut String) {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    for text in [&mut draft.actor, &mut draft.via, &mut draft.action, &mut draft.request_id] {
        clean(text);
    }
    for text in
        [&mut draft.session, &mut draft.owner, &mut draft.reason, &mut draft.detail].into_iter().flatten()
    {
        clean(text);
    }
    if let Some((kind, id)) = &mut draft.target {
        clean(kind);
        clean(id);
    }
    draft
}

/// What became of a COMMIT whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its last audit row is there.
    Committed,
    /// Its last audit row is not there.
    NotCommitted,
    /// It had no audit row to look for.
    Untold,
}

/// Compares the batch's last audit row with what the database has in that place.
pub fn fate(expected: Option<Head>, found: Option<[u8; 32]>) -> Fate {
    match (expected, found) {
        (None, _) => Fate::Untold,
        (Some(head), Some(hash)) if head.hash == hash => Fate::Committed,
        (Some(_), _) => Fate::NotCommitted,
    }
}

#[cfg(test)]
mod tests {
    use super::{Fate, Head, fate};
    use crate::domain::audit::{self, AuditDraft, AuditOutcome};
    use crate::domain::timestamp::Timestamp;

    fn draft(action: &str) -> AuditDraft {
        AuditDraft::by_daemon(7, action, AuditOutcome::Success, Timestamp::from_micros(1))
    }

    #[test]
    fn rows_follow_one_another() {
        let rows = Head::EMPTY.follow("c", vec![draft("a"), draft("b\0c")]);
        assert_eq!((rows[0].seq, rows[0].prev_hash), (1, [0; 32]));
        assert_eq!((rows[1].seq, rows[1].prev_hash), (2, rows[0].hash));
        assert_eq!(rows[1].draft.action, "b\u{fffd}c");
        assert_eq!(rows[1].hash, audit::hash("c", 2, &rows[1].draft, &rows[0].hash));
        assert_eq!(Head::EMPTY.after(&rows), Head { seq: 2, hash: rows[1].hash });
        assert_eq!(Head::EMPTY.after(&[]), Head::EMPTY);
    }

    #[test]
    fn a_lost_commit_is_told_by_its_last_row() {
        let mine = Head { seq: 5, hash: [5; 32] };
        for (expected, found, told) in [
            (Some(mine), Some([5; 32]), Fate::Committed),
            (Some(mine), Some([6; 32]), Fate::NotCommitted),
            (Some(mine), None, Fate::NotCommitted),
            (None, Some([5; 32]), Fate::Untold),
            (None, None, Fate::Untold),
        ] {
            assert_eq!(fate(expected, found), told);
        }
    }
}
