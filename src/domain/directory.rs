//! How one person is found by some words: an index over everybody's names, and five steps through it, of which the first
//! that finds somebody answers. Pure: who is in the index, and when it is brought up to date, is `usecase::people`.
//!
//! The steps: exactly a key, a name, an address; a uid; a part of a name; a part of a number; a name that is like it.

use crate::domain::person::{PersonId, fold};
use memchr::memmem::Finder;
use std::collections::HashMap;
use std::sync::Arc;

/// Characters of what is looked for, at most.
pub const WORDS_CHARS_MAX: usize = 200;
/// Candidates that are named, at most.
pub const CANDIDATES_MAX: usize = 20;
/// How like a name must be to count: this much or more.
pub const LIKE_ENOUGH: f64 = 0.5;
/// What one name within the other counts.
const WITHIN: f64 = 0.9;
/// Terms that nobody is called any longer, before the index is made anew.
const WASTE_MAX: usize = 4_096;

/// What is looked for, as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// As it was typed, without blanks and `@` around it.
    typed: String,
    /// The same, folded.
    folded: String,
}

impl Words {
    /// Takes blanks around it and every leading `@` away; what is left must be something.
    ///
    /// # Errors
    /// What is wrong, completing "`query` …".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let typed = text.trim_start_matches(|c: char| c == '@' || c.is_whitespace()).trim_end();
        if typed.is_empty() {
            return Err("has nothing in it to look for");
        }
        if typed.chars().count() > WORDS_CHARS_MAX {
            return Err("must have at most 200 characters");
        }
        if typed.chars().any(char::is_control) {
            return Err("must not have control characters");
        }
        let typed = typed.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { folded: fold(&typed), typed })
    }

    /// As it was typed, without blanks and `@` around it.
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// The uid that it is, if it is nothing but digits.
    fn uid(&self) -> Option<u32> {
        let uid: u32 = self.typed.parse().ok()?;
        (uid.to_string() == self.typed).then_some(uid)
    }

    /// The digits of it, if it is written like a part of a phone number.
    fn digits(&self) -> Option<String> {
        let like_a_number = |c: char| c.is_ascii_digit() || " +-./()".contains(c);
        let digits = digits(&self.typed);
        (self.typed.chars().all(like_a_number) && !digits.is_empty()).then_some(digits)
    }
}

/// The digits of a phone number: how it is written does not matter.
pub fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

/// What the index knows of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub id: PersonId,
    /// The name; visitors have none.
    pub name: Option<Box<str>>,
    /// The OS user.
    pub os_username: Option<Box<str>>,
    /// The uid.
    pub uid: Option<u32>,
    /// How they are called.
    pub full_name: Option<Box<str>>,
    /// Their address.
    pub email: Option<Box<str>>,
    /// The digits of their number.
    pub phone: Option<Box<str>>,
    /// Whether they are deleted: found only if asked for.
    pub deleted: bool,
}

impl Entry {
    fn shown(&self) -> Option<&str> {
        self.name.as_deref().or(self.os_username.as_deref())
    }
}

/// Which of the steps found somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is exactly somebody's key, name, OS user, full name or address.
    Exact,
    /// It is somebody's uid.
    Uid,
    /// It stands in a name.
    NamePart,
    /// It stands in a phone number.
    PhonePart,
    /// It is like a name.
    Similar,
}

impl Step {
    /// The word on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Uid => "uid",
            Self::NamePart => "name_part",
            Self::PhonePart => "phone_part",
            Self::Similar => "similar",
        }
    }
}

/// Somebody who may be meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Who.
    pub id: PersonId,
    /// How well it fits: 1 is exactly.
    pub score: f64,
}

/// Who may be meant, the best first. Nobody is never a `Found`.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The step that found them.
    pub step: Step,
    /// One or more, at most [`CANDIDATES_MAX`]; equal ones by name.
    pub candidates: Vec<Candidate>,
    /// Whether there are still others.
    pub more: bool,
}

impl Found {
    /// The one who is meant, if there is no doubt: the only one, or the only one whom it fits exactly.
    pub fn one(&self) -> Option<PersonId> {
        let exactly = |candidate: &Candidate| candidate.score >= 1.0;
        match self.candidates.as_slice() {
            [only] => Some(only.id),
            [first, second, ..] if exactly(first) && !exactly(second) => Some(first.id),
            _ => None,
        }
    }
}

/// How like two names are: 0 if one is empty, 1 if they are equal, 0.9 if one stands within the other, else what they
/// have in common of the pairs of characters that either has. Both are folded.
pub fn similarity(a: &str, b: &str) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (of_a, of_b) = (pairs(a), pairs(b));
    let common = of_a.iter().filter(|pair| of_b.binary_search(pair).is_ok()).count();
    score(a, b, common, of_a.len(), of_b.len())
}

/// The same, with what is already known of the pairs. Neither is empty.
fn score(a: &str, b: &str, common: usize, of_a: usize, of_b: usize) -> f64 {
    if a == b {
        1.0
    } else if a.contains(b) || b.contains(a) {
        WITHIN
    } else {
        ratio(common, of_a + of_b - common)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// A place in a list: there are fewer people than this could count.
fn place(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Two characters that follow each other; a lone character is a pair with nothing.
type Pair = (char, char);

/// What stands in a pair with a lone character; in no name, since control characters are refused or cleaned.
const ALONE: char = '\0';

/// The set of pairs of a name, sorted. That of one character is itself.
fn pairs(text: &str) -> Vec<Pair> {
    let mut all: Vec<Pair> = text.chars().zip(text.chars().skip(1)).collect();
    if all.is_empty() {
        all.extend(text.chars().next().map(|lone| (lone, '\0')));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// As what somebody is called something.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum As {
    /// Their name.
    Name,
    /// Their OS user.
    User,
    /// A word of their full name.
    Part,
    /// All of their full name, or their address: found only by all of it.
    Whole,
}

/// Somebody's place, and as what they are called it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Called(u32);

impl Called {
    fn new(slot: u32, by: As) -> Self {
        Self(slot << 2 | by as u32)
    }

    fn slot(self) -> u32 {
        self.0 >> 2
    }

    fn is(self, by: As) -> bool {
        self.0 & 3 == by as u32
    }
}

/// A text that people are called by.
struct Term {
    text: Arc<str>,
    /// How many pairs it has; 0 as long as it is not in the lists of pairs.
    pairs: u32,
    people: Vec<Called>,
}

/// Digits of a number that are kept where all are looked through; by E.164 there are 15 at most.
const DIGITS: usize = 16;

#[derive(Default)]
struct Slot {
    entry: Option<Box<Entry>>,
    terms: Box<[u32]>,
    /// The digits of their number, then zeros; none if there are more of them.
    phone: [u8; DIGITS],
    long_phone: bool,
}

impl Slot {
    fn new(entry: Entry, terms: Vec<u32>) -> Self {
        let digits = entry.phone.as_deref().unwrap_or_default().as_bytes();
        let mut phone = [0; DIGITS];
        let long_phone = digits.len() > DIGITS;
        if !long_phone {
            phone[..digits.len()].copy_from_slice(digits);
        }
        Self { entry: Some(Box::new(entry)), terms: terms.into(), phone, long_phone }
    }

    fn has_in_phone(&self, wanted: &Finder<'_>) -> bool {
        if !self.long_phone {
            return self.phone[0] != 0 && wanted.find(&self.phone).is_some();
        }
        let phone = self.entry.as_deref().and_then(|entry| entry.phone.as_deref());
        phone.is_some_and(|phone| wanted.find(phone.as_bytes()).is_some())
    }
}

/// The index.
#[derive(Default)]
pub struct Directory {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_id: HashMap<PersonId, u32>,
    by_uid: HashMap<u32, u32>,
    terms: Vec<Term>,
    by_text: HashMap<Arc<str>, u32>,
    by_pair: HashMap<Pair, Vec<u32>>,
    unused: usize,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("people", &self.by_id.len()).finish_non_exhaustive()
    }
}

impl Directory {
    /// How many are in it.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What it knows of somebody.
    pub fn get(&self, id: PersonId) -> Option<&Entry> {
        self.by_id.get(&id).and_then(|slot| self.entry(*slot))
    }

    /// Puts somebody in, or what is now known of them in place of what was.
    pub fn put(&mut self, entry: Entry) {
        if self.get(entry.id) == Some(&entry) {
            return;
        }
        self.remove(entry.id);
        if self.unused > WASTE_MAX && self.unused > self.terms.len() / 2 {
            self.renew();
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            place(self.slots.len() - 1)
        });
        let mut terms = Vec::new();
        let visitor = entry.name.is_none();
        let mut call = |text: &str, by: As| {
            let text = fold(text);
            if !text.is_empty() {
                terms.push(self.term(&text, Called::new(slot, by)));
            }
        };
        if let Some(name) = &entry.name {
            call(name, As::Name);
        }
        if let Some(user) = &entry.os_username {
            // A visitor is found by all of it alone: nobody has said who they are.
            call(user, if visitor { As::Whole } else { As::User });
        }
        if let Some(full_name) = &entry.full_name {
            let parts: Vec<&str> = full_name.split_whitespace().collect();
            parts.iter().for_each(|part| call(part, As::Part));
            if parts.len() > 1 {
                call(&parts.join(" "), As::Whole);
            }
        }
        if let Some(email) = &entry.email {
            call(email, As::Whole);
        }
        terms.sort_unstable();
        terms.dedup();
        self.by_id.insert(entry.id, slot);
        if let Some(uid) = entry.uid {
            self.by_uid.insert(uid, slot);
        }
        self.slots[slot as usize] = Slot::new(entry, terms);
    }

    /// Takes somebody out.
    pub fn remove(&mut self, id: PersonId) {
        let Some(slot) = self.by_id.remove(&id) else { return };
        let gone = std::mem::take(&mut self.slots[slot as usize]);
        for term in gone.terms {
            let term = &mut self.terms[term as usize];
            term.people.retain(|called| called.slot() != slot);
            self.unused += usize::from(term.people.is_empty());
        }
        if let Some(entry) = gone.entry {
            // Another may have been given the same meanwhile.
            if let Some(uid) = entry.uid.filter(|uid| self.by_uid.get(uid) == Some(&slot)) {
                self.by_uid.remove(&uid);
            }
        }
        self.free.push(slot);
    }

    /// Makes the index anew, without what nobody is called any longer.
    fn renew(&mut self) {
        let old = std::mem::take(self);
        for entry in old.slots.into_iter().filter_map(|slot| slot.entry) {
            self.put(*entry);
        }
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.slots[slot as usize].entry.as_deref()
    }

    /// Notes that somebody is called so; gives the term.
    fn term(&mut self, text: &str, called: Called) -> u32 {
        let number = match self.by_text.get(text) {
            Some(number) => *number,
            None => {
                let number = place(self.terms.len());
                let text: Arc<str> = text.into();
                self.by_text.insert(Arc::clone(&text), number);
                self.terms.push(Term { text, pairs: 0, people: Vec::new() });
                // Until somebody is called so, below.
                self.unused += 1;
                number
            }
        };
        let term = &mut self.terms[number as usize];
        self.unused -= usize::from(term.people.is_empty());
        if !term.people.contains(&called) {
            term.people.push(called);
        }
        if term.pairs == 0 && !called.is(As::Whole) {
            let pairs = pairs(text);
            term.pairs = place(pairs.len());
            for pair in pairs {
                self.by_pair.entry(pair).or_default().push(number);
            }
        }
        number
    }

    /// Who is meant by these words; `None` is nobody. Deleted people only if they are asked for.
    pub fn find(&self, words: &Words, deleted: bool) -> Option<Found> {
        let open = |slot: &u32| self.entry(*slot).is_some_and(|entry| deleted || !entry.deleted);
        let alone = |step, slot: &u32| {
            let id = self.entry(*slot)?.id;
            Some(Found { step, candidates: vec![Candidate { id, score: 1.0 }], more: false })
        };
        let key = words.typed.parse().ok().and_then(|key| self.by_id.get(&PersonId(key)));
        if let Some(slot) = key.filter(|slot| open(slot)) {
            return alone(Step::Exact, slot);
        }
        if let Some(term) = self.by_text.get(words.folded.as_str()) {
            let called = &self.terms[*term as usize].people;
            // As it was typed, a name is one person's.
            let typed = |slot: &u32| {
                self.entry(*slot).is_some_and(|entry| entry.name.as_deref() == Some(words.as_str()))
            };
            let named = called.iter().filter(|c| c.is(As::Name)).map(|c| c.slot());
            if let Some(slot) = named.filter(typed).find(open) {
                return alone(Step::Exact, &slot);
            }
            // One word of several is no name of its own.
            let exactly = called.iter().filter(|c| !c.is(As::Part)).map(|c| c.slot());
            let fits = exactly.filter(open).map(|slot| (slot, 1.0)).collect();
            if let Some(found) = self.ranked(Step::Exact, fits) {
                return Some(found);
            }
        }
        if let Some(slot) = words.uid().and_then(|uid| self.by_uid.get(&uid)).filter(|slot| open(slot)) {
            return alone(Step::Uid, slot);
        }
        let like = self.like(&words.folded);
        self.ranked(Step::NamePart, self.by_part(words, &like, open))
            .or_else(|| self.ranked(Step::PhonePart, self.by_phone(words, open)))
            .or_else(|| self.ranked(Step::Similar, self.best(&like, open)))
    }

    /// Those in whose name, or a word of whose full name, it stands; what counts is the best of all their names.
    fn by_part(&self, words: &Words, like: &[(u32, f64)], open: impl Fn(&u32) -> bool) -> HashMap<u32, f64> {
        let mut parts = HashMap::new();
        for term in like.iter().map(|(term, _)| &self.terms[*term as usize]) {
            if term.text.contains(&words.folded) {
                let named = term.people.iter().filter(|c| c.is(As::Name) || c.is(As::Part));
                parts.extend(named.map(|c| (c.slot(), 0.0)).filter(|(slot, _)| open(slot)));
            }
        }
        if !parts.is_empty() {
            for (slot, score) in self.scored(like) {
                if let Some(best) = parts.get_mut(&slot) {
                    *best = score.max(*best);
                }
            }
        }
        parts
    }

    /// Everybody with a name that is like enough.
    fn best(&self, like: &[(u32, f64)], open: impl Fn(&u32) -> bool) -> HashMap<u32, f64> {
        let mut all: HashMap<u32, f64> = HashMap::new();
        for (slot, score) in self.scored(like).filter(|(slot, _)| open(slot)) {
            let best = all.entry(slot).or_default();
            *best = score.max(*best);
        }
        all
    }

    fn scored(&self, like: &[(u32, f64)]) -> impl Iterator<Item = (u32, f64)> {
        like.iter().flat_map(|(term, score)| {
            let called = self.terms[*term as usize].people.iter().filter(|c| !c.is(As::Whole));
            called.map(|c| (c.slot(), *score))
        })
    }

    fn by_phone(&self, words: &Words, open: impl Fn(&u32) -> bool) -> HashMap<u32, f64> {
        let Some(wanted) = words.digits() else { return HashMap::new() };
        let wanted = Finder::new(wanted.as_bytes());
        let found = self.slots.iter().zip(0..).filter(|(slot, _)| slot.has_in_phone(&wanted));
        found.map(|(_, place)| place).filter(open).map(|slot| (slot, WITHIN)).collect()
    }

    /// The terms that are like enough, and how like; one may be named twice.
    fn like(&self, wanted: &str) -> Vec<(u32, f64)> {
        let pairs = pairs(wanted);
        let mut counts = vec![0_u16; self.terms.len()];
        for term in pairs.iter().filter_map(|pair| self.by_pair.get(pair)).flatten() {
            counts[*term as usize] += 1;
        }
        let mut like = Vec::new();
        let mut look = |number: u32, common: usize| {
            let text = &self.terms[number as usize].text;
            let score = score(wanted, text, common, pairs.len(), self.terms[number as usize].pairs as usize);
            if score >= LIKE_ENOUGH {
                like.push((number, score));
            }
        };
        for (number, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let (common, theirs) = (usize::from(count), self.terms[number].pairs as usize);
            // Half of what either has is in common, or all of what one has: nothing else can be like enough.
            if 3 * common >= pairs.len() + theirs || common == pairs.len() || common == theirs {
                look(place(number), common);
            }
        }
        // A lone character has no pair in common with what it stands in.
        for lone in wanted.chars() {
            self.by_pair.get(&(lone, ALONE)).into_iter().flatten().for_each(|number| look(*number, 0));
        }
        if pairs.iter().any(|(_, second)| *second == ALONE) {
            let within =
                self.terms.iter().enumerate().filter(|(_, t)| t.pairs > 0 && t.text.contains(wanted));
            within.for_each(|(number, _)| look(place(number), 0));
        }
        like
    }

    /// The best first, equal ones by name and then by key, so that both databases and every day give the same.
    fn ranked(&self, step: Step, fits: HashMap<u32, f64>) -> Option<Found> {
        let fits = fits.into_iter().filter_map(|(slot, score)| Some((score, self.entry(slot)?)));
        let mut fits: Vec<(f64, &Entry)> = fits.collect();
        let better = |(a, one): &(f64, &Entry), (b, other): &(f64, &Entry)| {
            b.total_cmp(a).then_with(|| one.shown().cmp(&other.shown())).then(one.id.cmp(&other.id))
        };
        let more = fits.len() > CANDIDATES_MAX;
        if more {
            fits.select_nth_unstable_by(CANDIDATES_MAX, better);
            fits.truncate(CANDIDATES_MAX);
        }
        fits.sort_unstable_by(better);
        let candidates: Vec<Candidate> =
            fits.into_iter().map(|(score, entry)| Candidate { id: entry.id, score }).collect();
        (!candidates.is_empty()).then_some(Found { step, candidates, more })
    }
}

#[cfg(test)]
mod tests;
