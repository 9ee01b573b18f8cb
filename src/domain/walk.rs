//! Walking one computer's chain row by row: what must follow what, which rows are missing, and whether the rows that
//! were signed once are still the same. Pure; where the rows come from is `store::verify` and the bundle's reader.

use crate::domain::checkpoint::{Checkpoint, Pruned};
use crate::domain::timestamp::Timestamp;
use std::collections::BTreeMap;

/// The first row that is wrong, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Where.
    pub seq: i64,
    /// In words.
    pub problem: String,
}

/// What of a row makes it a link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The hash of the row before, as it says.
    pub prev_hash: [u8; 32],
    /// Its own hash, as it says.
    pub hash: [u8; 32],
    /// Its own hash, as its content has it.
    pub content: [u8; 32],
}

/// Where one is in a chain.
#[derive(Debug)]
pub struct Walk {
    first: Option<i64>,
    seq: i64,
    head: [u8; 32],
    rows: u64,
    cuts: Vec<Pruned>,
    signed: BTreeMap<i64, Vec<([u8; 32], Timestamp)>>,
    proven: u64,
    /// The last row that a signature has proven.
    sure: i64,
}

impl Walk {
    /// The beginning of a chain. `cuts` and `points` are this chain's, and a trusted key has signed each of them.
    pub fn new(cuts: Vec<Pruned>, points: Vec<Checkpoint>) -> Self {
        let mut walk = Self {
            first: None,
            seq: 0,
            head: [0; 32],
            rows: 0,
            cuts,
            signed: BTreeMap::new(),
            proven: 0,
            sure: 0,
        };
        for point in points.into_iter().filter(|point| point.seq > 0) {
            walk.signed.entry(point.seq).or_default().push((point.hash, point.at));
        }
        walk
    }

    /// Rows that were looked at, the bad one included.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The first row that is there.
    pub const fn first(&self) -> Option<i64> {
        self.first
    }

    /// The last good row; 0 for none.
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// Its hash; zeros for none.
    pub const fn head(&self) -> [u8; 32] {
        self.head
    }

    /// Checkpoints that fit.
    pub const fn proven(&self) -> u64 {
        self.proven
    }

    /// The next row. `link` is `Err` if it cannot be read at all.
    ///
    /// # Errors
    /// What is wrong with it; there is no going on then.
    pub fn step(&mut self, seq: i64, link: Result<Link, String>) -> Result<(), Bad> {
        self.rows += 1;
        let bad = |problem: String| Err(Bad { seq, problem });
        if self.first.is_none() {
            self.begin(seq, &link)?;
        } else if seq == self.seq {
            return bad(format!("row {seq} is there twice"));
        } else if seq != self.seq + 1 {
            return bad(format!("rows {} to {} are missing", self.seq + 1, seq - 1));
        }
        let link = match link {
            Ok(link) => link,
            Err(problem) => return bad(problem),
        };
        if self.rows > 1 && link.prev_hash != self.head {
            return bad("it does not follow the row before it".to_owned());
        }
        if link.content != link.hash {
            return bad("its content does not match its hash".to_owned());
        }
        for (hash, at) in self.signed.remove(&seq).unwrap_or_default() {
            if hash != link.hash {
                return bad(self.rewritten(seq, at));
            }
            self.proven += 1;
            self.sure = seq;
        }
        self.seq = seq;
        self.head = link.hash;
        Ok(())
    }

    fn begin(&mut self, seq: i64, link: &Result<Link, String>) -> Result<(), Bad> {
        let bad = |problem: String| Err(Bad { seq, problem });
        self.first = Some(seq);
        let prev_hash = link.as_ref().map(|link| link.prev_hash).unwrap_or_default();
        if seq < 1 {
            return bad("rows begin with 1".to_owned());
        }
        if seq == 1 {
            return if prev_hash == [0; 32] { Ok(()) } else { bad("it does not begin the chain".to_owned()) };
        }
        let before = seq - 1;
        let Some(cut) = self.cuts.iter().filter(|cut| cut.last >= before).min_by_key(|cut| cut.last) else {
            return bad(format!(
                "rows 1 to {before} are missing, and no record that a trusted key has signed says they were pruned"
            ));
        };
        if cut.last == before && cut.head != prev_hash {
            return bad(format!("it does not follow row {before}, the last that was pruned at {}", cut.at));
        }
        if cut.last > before {
            // Half done: what is left of it must still lead to its end.
            self.signed.entry(cut.last).or_default().push((cut.head, cut.at));
        }
        self.sure = before;
        // What was signed about rows that are gone cannot be compared any more.
        self.signed = self.signed.split_off(&seq);
        Ok(())
    }

    fn rewritten(&self, seq: i64, at: Timestamp) -> String {
        let since = self.sure + 1;
        let which = if since < seq { format!("one of the rows {since} to {seq}") } else { "it".to_owned() };
        format!("{which} was changed and the chain computed anew: it is not the row that was signed at {at}")
    }

    /// A checkpoint that comes among the rows. A trusted key has signed it.
    ///
    /// # Errors
    /// It says otherwise than the rows do.
    pub fn point(&mut self, point: &Checkpoint) -> Result<(), Bad> {
        if point.seq == self.seq && self.rows > 0 {
            if point.hash != self.head {
                return Err(Bad { seq: point.seq, problem: self.rewritten(point.seq, point.at) });
            }
            self.proven += 1;
            self.sure = point.seq;
        } else if point.seq > self.seq {
            self.signed.entry(point.seq).or_default().push((point.hash, point.at));
        } else if self.first.is_some_and(|first| point.seq >= first) {
            let problem = "a checkpoint of it stands in the wrong place".to_owned();
            return Err(Bad { seq: point.seq, problem });
        }
        Ok(())
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// Rows that were signed are not there.
    pub fn finish(&self) -> Result<(), Bad> {
        let Some((last, signed)) = self.signed.last_key_value() else { return Ok(()) };
        let at = signed.iter().map(|(_, at)| *at).max().unwrap_or(Timestamp::from_micros(0));
        let seq = self.seq + 1;
        let problem = if self.rows == 0 {
            format!("the log is gone: it had row {last} at {at}")
        } else {
            format!("the log is truncated: rows {seq} to {last} are missing; row {last} was there at {at}")
        };
        Err(Bad { seq, problem })
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, Walk};
    use crate::domain::checkpoint::{Checkpoint, Pruned};
    use crate::domain::timestamp::Timestamp;

    fn hash(n: i64) -> [u8; 32] {
        [u8::try_from(n.max(0)).unwrap(); 32]
    }

    fn link(n: i64) -> Result<Link, String> {
        Ok(Link { prev_hash: hash(n - 1), hash: hash(n), content: hash(n) })
    }

    fn point(seq: i64, of: i64) -> Checkpoint {
        Checkpoint { origin: "c".to_owned(), seq, hash: hash(of), at: Timestamp::from_micros(0) }
    }

    fn cut(last: i64, head: i64) -> Pruned {
        let at = Timestamp::from_micros(0);
        Pruned { origin: "c".to_owned(), first: 1, last, count: last, head: hash(head), at }
    }

    /// Walks these rows; the first bad one and what is said of it.
    fn walk(rows: &[i64], cuts: &[Pruned], points: &[Checkpoint]) -> Result<(), (i64, String)> {
        let mut walk = Walk::new(cuts.to_vec(), points.to_vec());
        let rows = rows.iter().try_for_each(|n| walk.step(*n, link(*n)));
        rows.and_then(|()| walk.finish()).map_err(|bad| (bad.seq, bad.problem))
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(walk(&[1, 2, 3], &[], &[point(3, 3), point(2, 2), point(0, 0)]), Ok(()));
        assert_eq!(walk(&[], &[], &[]), Ok(()));
        for (rows, points, seq, words) in [
            (vec![1, 2, 4], vec![], 4, "rows 3 to 3 are missing"),
            (vec![2, 3], vec![], 2, "rows 1 to 1 are missing"),
            (vec![1, 1], vec![], 1, "twice"),
            (vec![0, 1], vec![], 0, "begin with 1"),
            (vec![1, 2], vec![point(5, 5)], 3, "truncated: rows 3 to 5"),
            (vec![], vec![point(5, 5)], 1, "gone"),
            (vec![1, 2, 3], vec![point(1, 1), point(3, 9)], 3, "rows 2 to 3"),
        ] {
            let (bad, problem) = walk(&rows, &[], &points).unwrap_err();
            assert_eq!(bad, seq, "{problem}");
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn a_pruned_front_is_proven_by_its_record() {
        let old = [point(2, 9)];
        assert_eq!(walk(&[4, 5], &[cut(1, 1), cut(3, 3)], &old), Ok(()), "what is gone is compared no more");
        assert_eq!(walk(&[3, 4, 5], &[cut(4, 4)], &[]), Ok(()), "half done");
        assert_eq!(walk(&[4, 5], &[cut(3, 9)], &[]).unwrap_err().0, 4, "another row's");
        assert_eq!(walk(&[3, 4, 5], &[cut(4, 9)], &[]).unwrap_err().0, 4, "half done, of another log");
        assert_eq!(walk(&[5, 6], &[cut(3, 3)], &[]).unwrap_err().0, 5, "more than was pruned");
    }

    #[test]
    fn checkpoints_among_the_rows() {
        let mut walk = Walk::new(vec![], vec![]);
        walk.step(1, link(1)).unwrap();
        walk.point(&point(1, 1)).unwrap();
        walk.step(2, link(2)).unwrap();
        assert!(walk.point(&point(1, 1)).is_err(), "too late");
        assert_eq!(walk.point(&point(2, 3)).unwrap_err().seq, 2);
        walk.point(&point(3, 3)).unwrap();
        assert_eq!(walk.finish().unwrap_err().seq, 3);
        assert_eq!(walk.proven(), 1);
    }
}
