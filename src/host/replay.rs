//! The last of the output, for who subscribes late, and the count of all output that there ever was.

use std::collections::VecDeque;

/// Output that is kept, in bytes.
const REPLAY_BYTES: usize = 256 * 1024;

/// What was shown last.
#[derive(Debug, Default)]
pub struct Replay {
    kept: VecDeque<u8>,
    seq: u64,
}

impl Replay {
    /// Count of output bytes so far.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Adds output.
    pub fn push(&mut self, text: &str) {
        self.seq += text.len() as u64;
        self.kept.extend(text.as_bytes());
        let too_many = self.kept.len().saturating_sub(REPLAY_BYTES);
        self.kept.drain(..too_many);
    }

    /// Everything after the first `seq` bytes; None if that is no longer kept, or was never shown.
    pub fn since(&self, seq: u64) -> Option<Vec<u8>> {
        let kept_from = self.seq - self.kept.len() as u64;
        let skip = usize::try_from(seq.checked_sub(kept_from)?).ok()?;
        (seq <= self.seq).then(|| self.kept.iter().skip(skip).copied().collect())
    }

    /// Lets go of what is kept; the count stays.
    pub fn forget(&mut self) {
        self.kept = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::{REPLAY_BYTES, Replay};

    #[test]
    fn what_is_kept_can_be_had_from_any_place_in_it() {
        let mut replay = Replay::default();
        assert_eq!((replay.since(0), replay.since(1)), (Some(vec![]), None));
        replay.push("abc");
        replay.push("de");
        for (from, rest) in [(0, Some("abcde")), (3, Some("de")), (5, Some("")), (6, None), (u64::MAX, None)]
        {
            assert_eq!(replay.since(from), rest.map(|r| r.as_bytes().to_vec()), "{from}");
        }
        replay.push(&"x".repeat(REPLAY_BYTES));
        assert_eq!(replay.seq(), REPLAY_BYTES as u64 + 5);
        assert_eq!((replay.since(4), replay.since(5).map(|b| b.len())), (None, Some(REPLAY_BYTES)));
        replay.forget();
        assert_eq!((replay.since(5), replay.since(replay.seq())), (None, Some(vec![])));
    }
}
