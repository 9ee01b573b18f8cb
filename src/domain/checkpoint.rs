//! What the daemon signs about a chain, as the texts of signed notes: where its head is, what was cut off its front,
//! and what a bundle holds. The signing itself is `note`.

use crate::domain::timestamp::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A chain's head at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose chain: the computer.
    pub origin: String,
    /// The last row; 0 for an empty chain.
    pub seq: i64,
    /// Its hash; zeros for an empty chain.
    pub hash: [u8; 32],
    /// When it was signed.
    pub at: Timestamp,
}

impl Checkpoint {
    /// The note's text: origin, seq, hash and time, a line each.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n{}\n", self.origin, self.seq, BASE64.encode(self.hash), self.at)
    }

    /// Reads [`Self::text`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let [origin, seq, hash, at] = four(text)?;
        let seq = seq.parse().ok().filter(|seq| *seq >= 0)?;
        Some(Self { origin: origin.to_owned(), seq, hash: digest(hash)?, at: Timestamp::parse(at).ok()? })
    }
}

/// Leave to cut rows off the front of a chain, and what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Whose chain: the computer.
    pub origin: String,
    /// The first row that was cut off.
    pub first: i64,
    /// The last.
    pub last: i64,
    /// How many.
    pub count: i64,
    /// The hash of the last.
    pub head: [u8; 32],
    /// When it was signed.
    pub at: Timestamp,
}

impl Pruned {
    /// The note's text.
    pub fn text(&self) -> String {
        let Self { origin, first, last, count, head, at } = self;
        format!("{origin}\npruned {first} {last} {count}\n{}\n{at}\n", BASE64.encode(head))
    }

    /// Reads [`Self::text`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let [origin, what, head, at] = four(text)?;
        let [first, last, count] = numbers(what, "pruned ")?;
        let (head, at) = (digest(head)?, Timestamp::parse(at).ok()?);
        Some(Self { origin: origin.to_owned(), first, last, count, head, at })
    }
}

/// The end of a bundle: how much it holds, and the hash of all that stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The computer whose key signed it.
    pub origin: String,
    /// Rows in it.
    pub rows: i64,
    /// Checkpoints in it.
    pub checkpoints: i64,
    /// SHA-256 of every byte before the seal's line.
    pub digest: [u8; 32],
    /// When it was signed.
    pub at: Timestamp,
}

impl Sealed {
    /// The note's text.
    pub fn text(&self) -> String {
        let Self { origin, rows, checkpoints, digest, at } = self;
        format!("{origin}\nbundle {rows} {checkpoints} 0\n{}\n{at}\n", BASE64.encode(digest))
    }

    /// Reads [`Self::text`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let [origin, what, hash, at] = four(text)?;
        let [rows, checkpoints, _] = numbers(what, "bundle ")?;
        let (digest, at) = (digest(hash)?, Timestamp::parse(at).ok()?);
        Some(Self { origin: origin.to_owned(), rows, checkpoints, digest, at })
    }
}

fn four(text: &str) -> Option<[&str; 4]> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let four = [lines.next()?, lines.next()?, lines.next()?, lines.next()?];
    lines.next().is_none().then_some(four)
}

fn numbers(text: &str, word: &str) -> Option<[i64; 3]> {
    let mut parts = text.strip_prefix(word)?.split(' ').map(|n| n.parse::<i64>().ok().filter(|n| *n >= 0));
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

fn digest(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, Pruned, Sealed};
    use crate::domain::timestamp::Timestamp;
    use proptest::prelude::{any, proptest};

    const YEARS: i64 = 4_000_000_000_000_000;

    proptest! {
        #[test]
        fn read_back(seq in 0..i64::MAX, hash in any::<[u8; 32]>(), at in 0..YEARS, name in "[a-z0-9._-]{1,20}") {
            let at = Timestamp::from_micros(at);
            let point = Checkpoint { origin: name.clone(), seq, hash, at };
            assert_eq!(Checkpoint::parse(&point.text()), Some(point.clone()));
            let cut = Pruned { origin: name.clone(), first: 1, last: seq, count: seq, head: hash, at };
            assert_eq!(Pruned::parse(&cut.text()), Some(cut.clone()));
            let seal = Sealed { origin: name, rows: seq, checkpoints: 3, digest: hash, at };
            assert_eq!(Sealed::parse(&seal.text()), Some(seal.clone()));
            // None of them passes for another.
            assert_eq!(Checkpoint::parse(&cut.text()), None);
            assert_eq!(Checkpoint::parse(&seal.text()), None);
            assert_eq!(Pruned::parse(&seal.text()), None);
            assert_eq!(Pruned::parse(&point.text()), None);
        }

        #[test]
        fn garbage_is_nothing(text in any::<String>()) {
            let _ = (Checkpoint::parse(&text), Pruned::parse(&text), Sealed::parse(&text));
        }
    }
}
