//! Who types messages, and when: one at a time, in order, once per id, not before the agent is ready, Enter apart
//! from the text, and then a look whether the screen changed. An agent that shows nothing of the text asks something
//! else at the moment (whether the folder is trusted, whether a command may run): it gets no Enter, which would be a yes.
//! One that leaves the text where it was typed was not ready to take it, and gets another. Pure: clocks, counts and
//! what stands on the screen are arguments.

use crate::host::message::{ENTER_AFTER, Message, MessageState, Typing};
use crate::host::screen::Spot;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// An agent that was quiet for this long after its first output is ready.
const QUIET: Duration = Duration::from_millis(500);
/// An agent that is never quiet, or says nothing, counts as ready after this.
const READY_AT_LAST: Duration = Duration::from_secs(30);
/// Between two Enters for a text that stays where it was typed.
const ENTER_AGAIN: Duration = Duration::from_secs(2);
/// Characters at the end of a text by which it is found on the screen; no text is found by fewer than the least.
const TAIL: usize = 16;
const TAIL_LEAST: usize = 4;
/// A text of so many bytes and one line is shown as it is.
const WHOLE: usize = 400;
/// Rows at the bottom among which an agent's input is, and what it says about itself.
const BY_THE_INPUT: usize = 6;
/// The screen has this long to change after Enter.
const CONFIRM: Duration = Duration::from_secs(5);
/// The terminal has this long to take the text, and an agent to show it.
const TAKE: Duration = Duration::from_secs(30);
/// Messages that may wait, and their bytes together.
const QUEUE_MAX: usize = 64;
const QUEUE_BYTES_MAX: usize = 2 << 20;
/// Ids that are remembered.
const IDS_MAX: usize = 1024;

/// What is known of the terminal at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Now.
    pub now: Instant,
    /// When the agent was started.
    pub started: Instant,
    /// When the agent last wrote, if it ever did.
    pub last_output: Option<Instant>,
    /// Count of output bytes.
    pub seq: u64,
    /// Whether the terminal has taken everything typed so far.
    pub taken: bool,
    /// Whether the program asked for bracketed pastes.
    pub bracketed: bool,
    /// Whether the program takes keys as they come, and shows them itself, instead of lines.
    pub raw: bool,
    /// Where [`Typist::looks_for`] stands on the screen.
    pub spot: Option<Spot>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Type this.
    Type(String),
    /// A message got this far.
    State(String, MessageState),
}

impl Seen {
    /// Whether Enter may follow a text: it was taken and, by a program that shows what it is given, shown.
    fn may_enter(self, unshown: Option<u64>) -> bool {
        self.taken && (!self.raw || unshown.is_none())
    }
}

#[derive(Debug)]
enum Phase {
    /// Text is typed; Enter comes then. The screen was at `unshown`, as long as nothing of it is shown; its end stood
    /// at `before`, and `whole` says that it is to be seen.
    Text { enter_at: Instant, give_up: Instant, unshown: Option<u64>, before: Option<Spot>, whole: bool },
    /// Enter is typed; the screen was at this count. The end of the text stood at `spot`, if it is to go from there.
    Enter { seq: u64, spot: Option<Spot>, again_at: Instant, give_up: Instant },
}

/// A message that is being typed.
#[derive(Debug)]
struct Current {
    id: String,
    tail: Option<String>,
    phase: Phase,
}

/// The queue, and the message that is being typed.
#[derive(Debug, Default)]
pub struct Typist {
    queue: VecDeque<Message>,
    bytes: usize,
    current: Option<Current>,
    known: VecDeque<(String, MessageState)>,
    ready: bool,
}

impl Typist {
    /// Takes a message. Gives its state: of the first time, if the id was seen before.
    ///
    /// # Errors
    /// It cannot be typed, or too much waits; its id is not remembered then.
    pub fn take(&mut self, message: Message) -> Result<MessageState, String> {
        message.check()?;
        if let Some((_, state)) = self.known.iter().find(|(id, _)| *id == message.id) {
            return Ok(*state);
        }
        if self.queue.len() >= QUEUE_MAX || self.bytes + message.text.len() > QUEUE_BYTES_MAX {
            return Err("too many messages wait".to_owned());
        }
        if self.known.len() >= IDS_MAX {
            self.known.pop_front();
        }
        self.known.push_back((message.id.clone(), MessageState::Pending));
        self.bytes += message.text.len();
        self.queue.push_back(message);
        Ok(MessageState::Pending)
    }

    /// Forgets every message that waits or is being typed: the agent is gone. Gives their last states.
    pub fn give_up(&mut self) -> Vec<(String, MessageState)> {
        let mut last = Vec::new();
        if let Some(current) = self.current.take() {
            last.push((current.id, MessageState::Unknown));
        }
        last.extend(self.queue.drain(..).map(|m| (m.id, MessageState::Failed)));
        self.bytes = 0;
        for (id, state) in &last {
            self.remember(id, *state);
        }
        last
    }

    /// Does what is due. Call it again until it gives None.
    pub fn step(&mut self, seen: Seen) -> Option<Keys> {
        let now = seen.now;
        let Some(current) = &mut self.current else {
            if self.queue.is_empty() || !self.is_ready(seen) {
                return None;
            }
            let message = self.queue.pop_front()?;
            self.bytes -= message.text.len();
            let keys = message.keystrokes(seen.bracketed);
            // A shell may be at a question that hides what is typed.
            let unshown = (message.typing != Typing::Line).then_some(seen.seq);
            let (enter_at, give_up) = (now + ENTER_AFTER, now + TAKE);
            // What is long is shown as a note that something was pasted; what stood by the input is not told apart.
            let whole = message.text.len() <= WHOLE && !message.text.contains('\n');
            let whole = whole && seen.spot.is_none_or(|spot| spot.from_bottom > BY_THE_INPUT);
            let phase = Phase::Text { enter_at, give_up, unshown, before: seen.spot, whole };
            self.current = Some(Current { tail: tail(&message), id: message.id, phase });
            return Some(Keys::Type(keys));
        };
        match &mut current.phase {
            Phase::Text { enter_at, give_up, unshown, before, whole } => {
                let is_seen =
                    !*whole || current.tail.is_none() || (seen.spot.is_some() && seen.spot != *before);
                if unshown.is_some_and(|seq| seen.raw && seen.seq > seq) && is_seen {
                    // A busy agent takes a paste late, and an Enter right after it as part of it.
                    (*unshown, *enter_at) = (None, (*enter_at).max(now + ENTER_AFTER));
                }
                if now >= *enter_at && seen.may_enter(*unshown) {
                    let spot = seen.spot.filter(|spot| seen.raw && Some(*spot) != *before);
                    let give_up = now + if spot.is_some() { TAKE } else { CONFIRM };
                    current.phase =
                        Phase::Enter { seq: seen.seq, spot, again_at: now + ENTER_AGAIN, give_up };
                    return Some(Keys::Type("\r".to_owned()));
                }
                if now < *give_up { None } else { self.done(MessageState::Unknown) }
            }
            Phase::Enter { seq, spot, again_at, give_up } => {
                let is_there = spot.zip(seen.spot).is_some_and(|(then, now)| then.is_still_at(now));
                if seen.seq > *seq && !is_there {
                    return self.done(MessageState::Delivered);
                }
                if now >= *give_up {
                    return self.done(MessageState::Unknown);
                }
                if !is_there || now < *again_at {
                    return None;
                }
                *again_at = now + ENTER_AGAIN;
                Some(Keys::Type("\r".to_owned()))
            }
        }
    }

    /// The end of the text that is being typed, or is the next: what stands at [`Seen::spot`].
    pub fn looks_for(&self) -> Option<String> {
        match &self.current {
            Some(current) => current.tail.clone(),
            None => self.queue.front().and_then(tail),
        }
    }

    /// When [`Self::step`] may next have something to do, if nothing happens before.
    pub fn deadline(&self, seen: Seen) -> Option<Instant> {
        match self.current.as_ref().map(|current| &current.phase) {
            Some(Phase::Text { enter_at, give_up, unshown, .. }) => {
                Some(if seen.may_enter(*unshown) { *enter_at } else { *give_up })
            }
            Some(Phase::Enter { spot: Some(_), again_at, give_up, .. }) => Some(*again_at.min(give_up)),
            Some(Phase::Enter { give_up, .. }) => Some(*give_up),
            None if self.queue.is_empty() => None,
            None if self.ready => Some(seen.now),
            None => {
                let at_last = seen.started + READY_AT_LAST;
                let quiet = seen.last_output.filter(|_| seen.bracketed || !seen.raw).map(|last| last + QUIET);
                Some(quiet.map_or(at_last, |quiet| at_last.min(quiet)))
            }
        }
    }

    /// Once ready, ready for good: a busy agent queues what is typed by itself. One that takes keys as they come is
    /// not ready before it can tell a paste from them.
    fn is_ready(&mut self, seen: Seen) -> bool {
        let quiet = seen.last_output.is_some_and(|last| seen.now >= last + QUIET);
        self.ready |= quiet && (seen.bracketed || !seen.raw) || seen.now >= seen.started + READY_AT_LAST;
        self.ready
    }

    fn done(&mut self, state: MessageState) -> Option<Keys> {
        let Current { id, .. } = self.current.take()?;
        self.remember(&id, state);
        Some(Keys::State(id, state))
    }

    fn remember(&mut self, id: &str, state: MessageState) {
        if let Some(known) = self.known.iter_mut().find(|(known, _)| known == id) {
            known.1 = state;
        }
    }
}

/// The last characters of a message's last line, if it is typed for an agent and long enough to be told from others.
fn tail(message: &Message) -> Option<String> {
    if message.typing == Typing::Line {
        return None;
    }
    let line = message.text.trim_end().lines().last()?;
    let line: Vec<char> = line.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let tail = &line[line.len().saturating_sub(TAIL)..];
    (tail.len() >= TAIL_LEAST).then(|| tail.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::message::Typing;

    fn message(id: &str) -> Message {
        Message { id: id.to_owned(), text: "hi".to_owned(), typing: Typing::Bare }
    }

    fn seen(start: Instant, after_ms: u64, output_ms: Option<u64>, seq: u64) -> Seen {
        let at = |ms| start + Duration::from_millis(ms);
        Seen {
            now: at(after_ms),
            started: start,
            last_output: output_ms.map(at),
            seq,
            taken: true,
            bracketed: false,
            raw: false,
            spot: None,
        }
    }

    #[test]
    fn waits_until_the_agent_is_quiet_then_types_then_enters_then_looks() {
        let (mut t, s) = (Typist::default(), Instant::now());
        assert_eq!(t.take(message("a")), Ok(MessageState::Pending));
        assert_eq!(t.step(seen(s, 100, None, 0)), None);
        assert_eq!(t.step(seen(s, 600, Some(200), 5)), None);
        assert_eq!(t.step(seen(s, 700, Some(200), 5)), Some(Keys::Type("hi".to_owned())));
        assert_eq!(t.step(seen(s, 701, Some(200), 5)), None);
        assert_eq!(t.step(seen(s, 900, Some(800), 7)), Some(Keys::Type("\r".to_owned())));
        assert_eq!(t.step(seen(s, 901, Some(800), 7)), None);
        let done = Keys::State("a".to_owned(), MessageState::Delivered);
        assert_eq!(t.step(seen(s, 950, Some(940), 9)), Some(done));
        assert_eq!(t.take(message("a")), Ok(MessageState::Delivered));
        assert_eq!(t.step(seen(s, 999, Some(940), 9)), None);
    }

    #[test]
    fn a_mute_agent_is_typed_to_at_last_and_the_outcome_is_unknown() {
        let (mut t, s) = (Typist::default(), Instant::now());
        t.take(message("a")).unwrap();
        assert_eq!(t.step(seen(s, 29_999, None, 0)), None);
        assert!(matches!(t.step(seen(s, 30_000, None, 0)), Some(Keys::Type(_))));
        assert!(matches!(t.step(seen(s, 30_200, None, 0)), Some(Keys::Type(_))));
        let done = Keys::State("a".to_owned(), MessageState::Unknown);
        assert_eq!(t.step(seen(s, 36_000, None, 0)), Some(done));
    }

    #[test]
    fn an_agent_that_shows_nothing_of_the_text_gets_no_enter() {
        let raw = |bracketed, seen| Seen { raw: true, bracketed, ..seen };
        for (typing, shown) in [(Typing::Paste, false), (Typing::Paste, true), (Typing::Line, false)] {
            let (mut t, s) = (Typist::default(), Instant::now());
            t.take(Message { typing, ..message("a") }).unwrap();
            let quiet = seen(s, 900, Some(200), 5);
            assert_eq!(t.step(raw(false, quiet)), None, "it is still beginning");
            assert_eq!(t.deadline(raw(false, quiet)), Some(s + READY_AT_LAST));
            assert!(matches!(t.step(raw(true, quiet)), Some(Keys::Type(_))));
            let later = raw(true, seen(s, 1_100, Some(200), if shown { 8 } else { 5 }));
            if shown {
                assert_eq!(t.step(later), None, "it may still take an Enter for a part of the paste");
                assert_eq!(t.deadline(later), Some(later.now + ENTER_AFTER));
            }
            let later = Seen { now: later.now + ENTER_AFTER, ..later };
            if shown || typing == Typing::Line {
                assert_eq!(t.step(later), Some(Keys::Type("\r".to_owned())));
                continue;
            }
            assert_eq!(t.step(later), None);
            assert_eq!(t.deadline(later), Some(quiet.now + TAKE));
            let done = Keys::State("a".to_owned(), MessageState::Unknown);
            assert_eq!(t.step(raw(true, seen(s, 30_900, Some(200), 5))), Some(done));
        }
    }

    #[test]
    fn a_text_that_stays_where_it_was_typed_is_entered_again() {
        let spot = |row| Some(Spot { from_bottom: row, row: 7 });
        let at =
            |start, ms, seq, spot| Seen { raw: true, bracketed: true, spot, ..seen(start, ms, Some(0), seq) };
        let enter = Some(Keys::Type("\r".to_owned()));
        // One whose words stood there before is not known by them.
        for (before, again) in [(None, true), (spot(2), false)] {
            let (mut t, s) = (Typist::default(), Instant::now());
            t.take(Message { text: "two\nwords of a message".to_owned(), ..message("a") }).unwrap();
            assert_eq!(t.looks_for().as_deref(), Some("wordsofamessage"));
            assert!(matches!(t.step(at(s, 600, 1, before)), Some(Keys::Type(_))));
            assert_eq!(t.step(at(s, 690, 2, before)), None);
            assert_eq!(t.step(at(s, 700, 2, spot(2))), None);
            assert_eq!(t.step(at(s, 900, 2, spot(2))), enter);
            if again {
                assert_eq!(t.step(at(s, 1_000, 3, spot(2))), None, "it is painted, but not taken");
                assert_eq!(t.deadline(at(s, 1_000, 3, spot(2))), Some(s + Duration::from_millis(2_900)));
                assert_eq!(t.step(at(s, 2_900, 3, spot(2))), enter);
                assert_eq!(
                    t.step(at(s, 2_901, 4, spot(3))),
                    None,
                    "it took the Enter for a part of the text"
                );
            }
            let done = Keys::State("a".to_owned(), MessageState::Delivered);
            assert_eq!(t.step(at(s, 3_000, 4, spot(6))), Some(done));
        }
        // Something else was painted: whatever it is, it is not asked to be entered.
        let (mut t, s) = (Typist::default(), Instant::now());
        t.take(Message { text: "one line".to_owned(), ..message("a") }).unwrap();
        assert!(matches!(t.step(at(s, 600, 1, spot(9))), Some(Keys::Type(_))));
        for (ms, seen) in [(700, spot(9)), (800, None), (20_000, spot(9))] {
            assert_eq!(t.step(at(s, ms, ms, seen)), None);
        }
        let done = Keys::State("a".to_owned(), MessageState::Unknown);
        assert_eq!(t.step(at(s, 30_600, 30_600, None)), Some(done));
        let (mut t, s) = (Typist::default(), Instant::now());
        t.take(Message { text: "never taken".to_owned(), ..message("a") }).unwrap();
        t.step(at(s, 600, 1, None));
        t.step(at(s, 700, 2, spot(2)));
        let mut enters = 0;
        for ms in (800..31_000).step_by(100) {
            enters += usize::from(t.step(at(s, ms, 2, spot(2))) == enter);
        }
        assert_eq!((enters, t.take(message("a"))), (15, Ok(MessageState::Unknown)));
    }

    #[test]
    fn the_queue_and_the_memory_are_bounded() {
        let mut t = Typist::default();
        for i in 0..QUEUE_MAX {
            t.take(message(&i.to_string())).unwrap();
        }
        assert!(t.take(message("one more")).is_err());
        assert_eq!(t.give_up().len(), QUEUE_MAX);
        assert_eq!(t.take(message("0")), Ok(MessageState::Failed));
        for i in 0..2 * IDS_MAX {
            t.take(message(&format!("x{i}"))).unwrap();
            t.give_up();
        }
        assert!(t.known.len() <= IDS_MAX);
    }
}
