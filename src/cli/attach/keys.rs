//! What is done to the bytes of an attached terminal on their way: the keys that detach are taken out of what is
//! typed, and questions that the session's host answers itself out of what is shown.

use std::time::{Duration, Instant};

/// Detaches when it comes twice: `Ctrl-\`, as terminals send it, and in the two ways in which a program may have asked
/// to get it.
const DETACH: [&[u8]; 3] = [b"\x1c", b"\x1b[92;5u", b"\x1b[27;5;92~"];
/// Ends watching, where keys go nowhere else: `Ctrl-C`, likewise.
const LEAVE: [&[u8]; 3] = [b"\x03", b"\x1b[99;5u", b"\x1b[27;5;99~"];
/// The second must come within this; after it the first was meant for the session.
pub const TWICE_WITHIN: Duration = Duration::from_secs(1);

/// Questions to a terminal (where is the cursor, are you well, what are you) that the host answers, so that programs
/// get their answer with nobody attached. Answered once more, the answer would be typed.
const ANSWERED: [&[u8]; 4] = [b"\x1b[6n", b"\x1b[5n", b"\x1b[c", b"\x1b[0c"];

/// What is typed.
#[derive(Debug)]
pub struct Keys {
    read_only: bool,
    /// The first of two, and when it came.
    held: Option<(&'static [u8], Instant)>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// For the session.
    pub pass: Vec<u8>,
    /// Whether it is to be left.
    pub leave: bool,
}

impl Keys {
    /// Nothing typed yet.
    pub const fn new(read_only: bool) -> Self {
        Self { read_only, held: None }
    }

    /// Takes what was typed.
    pub fn typed(&mut self, bytes: &[u8], now: Instant) -> Typed {
        let mut pass = self.late(now);
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if self.read_only && LEAVE.iter().any(|keys| rest.starts_with(keys)) {
                return Typed { pass, leave: true };
            }
            if let Some(keys) = DETACH.into_iter().find(|keys| rest.starts_with(keys)) {
                if self.held.take().is_some() {
                    return Typed { pass, leave: true };
                }
                self.held = Some((keys, now));
                rest = &rest[keys.len()..];
            } else {
                pass.extend(self.held.take().into_iter().flat_map(|(held, _)| held));
                pass.push(*first);
                rest = &rest[1..];
            }
        }
        Typed { pass, leave: false }
    }

    /// When the first of two turns out to be one alone.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.map(|(_, at)| at + TWICE_WITHIN)
    }

    /// The first of two, if no second came in time.
    pub fn late(&mut self, now: Instant) -> Vec<u8> {
        if self.deadline().is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.held.take().map(|(held, _)| held.to_vec()).unwrap_or_default()
    }
}

/// What is shown.
#[derive(Debug, Default)]
pub struct Shown {
    /// The beginning of what may become a question.
    held: Vec<u8>,
}

impl Shown {
    /// What of it the terminal gets.
    pub fn shown(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(all.len());
        let mut rest = all.as_slice();
        while let Some(first) = rest.first() {
            if *first == 0x1b {
                if let Some(question) = ANSWERED.iter().find(|question| rest.starts_with(question)) {
                    rest = &rest[question.len()..];
                    continue;
                }
                if ANSWERED.iter().any(|question| question.starts_with(rest)) {
                    self.held = rest.to_vec();
                    break;
                }
            }
            out.push(*first);
            rest = &rest[1..];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, Shown, TWICE_WITHIN, Typed};
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};
    use std::time::Instant;

    fn typed(pass: &[u8], leave: bool) -> Typed {
        Typed { pass: pass.to_vec(), leave }
    }

    #[test]
    fn twice_detaches_and_once_is_for_the_session() {
        let now = Instant::now();
        for twice in [&b"ab\x1c\x1ccd"[..], b"ab\x1b[92;5u\x1b[92;5u", b"ab\x1b[27;5;92~\x1c"] {
            assert_eq!(Keys::new(false).typed(twice, now), typed(b"ab", true));
        }
        let mut keys = Keys::new(false);
        assert_eq!(keys.typed(b"a\x1c", now), typed(b"a", false));
        assert_eq!(keys.typed(b"b\x1c", now), typed(b"\x1cb", false));
        assert_eq!(keys.deadline(), Some(now + TWICE_WITHIN));
        assert_eq!(keys.late(now), b"");
        assert_eq!(keys.late(now + TWICE_WITHIN), b"\x1c");
        assert_eq!(keys.typed(b"\x1c", now + TWICE_WITHIN), typed(b"", false));
        assert_eq!(keys.typed(b"\x1c", now + TWICE_WITHIN), typed(b"", true));
        assert_eq!(Keys::new(false).typed(b"\x03", now), typed(b"\x03", false));
        assert_eq!(Keys::new(true).typed(b"a\x03", now), typed(b"a", true));
    }

    #[test]
    fn answered_questions_are_not_shown_however_they_are_cut() {
        let text = b"a\x1b[6nb\x1b[1;31mc\x1b[c\x1b[0cd\x1b[5n\x1b[>c\x1b[?6ne";
        let kept = b"ab\x1b[1;31mcd\x1b[>c\x1b[?6ne";
        for cut in 0..text.len() {
            let mut shown = Shown::default();
            let mut out = shown.shown(&text[..cut]);
            out.extend(shown.shown(&text[cut..]));
            assert_eq!(out, kept, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn what_is_no_question_is_shown_as_it_is(bytes in prop::collection::vec(0x20_u8.., 0..99)) {
            prop_assert_eq!(Shown::default().shown(&bytes), bytes);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            Shown::default().shown(&bytes);
            Keys::new(true).typed(&bytes, Instant::now());
        }
    }
}
