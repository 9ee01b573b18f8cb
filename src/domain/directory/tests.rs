//! Who is meant, and who is not.

use super::{Directory, Entry, LIKE_ENOUGH, Step, Words, digits, similarity};
use crate::domain::person::PersonId;
use proptest::prelude::{prop, proptest};
use uuid::Uuid;

#[test]
fn how_like_two_names_are() {
    for (a, b, like) in [
        ("", "ann", 0.0),
        ("ann", "", 0.0),
        ("ann", "ann", 1.0),
        ("a", "a", 1.0),
        ("iv", "ivan", 0.9),
        ("ivan petrov", "ivan", 0.9),
        ("a", "b", 0.0),
        ("a", "ba", 0.9),
        // {iv, va, an} and {iv, vo, on}: one of five.
        ("ivan", "ivon", 0.2),
        // {an, nn, na} and {an, nn, ne}: two of four, and that is enough.
        ("anna", "anne", 0.5),
        // Sets: {ab, ba} and {ab, ba, ac}: two of three.
        ("ababab", "abac", 2.0 / 3.0),
        ("жанна", "жанне", 0.6),
    ] {
        assert!((similarity(a, b) - like).abs() < 1e-9, "{a} {b}: {}", similarity(a, b));
        assert!((similarity(b, a) - like).abs() < 1e-9, "{b} {a}");
    }
}

#[test]
fn words_are_what_is_left_of_them() {
    for (text, left) in [
        (" @ann ", "ann"),
        ("@@@ann", "ann"),
        ("@ @ ann  b", "ann b"),
        ("ann@example.org", "ann@example.org"),
    ] {
        assert_eq!(Words::parse(text).unwrap().as_str(), left);
    }
    for nothing in ["", "@", "  ", "@@ @\t", "a\u{7}b", "\0"] {
        Words::parse(nothing).unwrap_err();
    }
    Words::parse(&"x".repeat(200)).unwrap();
    Words::parse(&"x".repeat(201)).unwrap_err();
}

fn named(n: u128, name: &str) -> Entry {
    Entry {
        id: PersonId(Uuid::from_u128(n)),
        name: Some(name.into()),
        os_username: None,
        uid: u32::try_from(n).ok(),
        full_name: None,
        email: None,
        phone: None,
        deleted: false,
    }
}

fn step(directory: &Directory, words: &str) -> Option<(Step, Vec<u128>)> {
    let found = directory.find(&Words::parse(words).unwrap(), false)?;
    Some((found.step, found.candidates.iter().map(|c| c.id.0.as_u128()).collect()))
}

#[test]
fn who_is_called_something_else_is_no_longer_found_by_what_they_were() {
    let mut directory = Directory::default();
    directory.put(named(1, "ann"));
    directory.put(named(2, "bob"));
    assert_eq!(step(&directory, "ann"), Some((Step::Exact, vec![1])));
    directory.put(Entry { uid: Some(9), ..named(1, "zoe") });
    assert_eq!((step(&directory, "ann"), step(&directory, "1")), (None, None));
    assert_eq!(step(&directory, "zo"), Some((Step::NamePart, vec![1])));
    assert_eq!(step(&directory, "9"), Some((Step::Uid, vec![1])));
    // A uid that has moved on stays with whom it moved to.
    directory.put(Entry { uid: Some(9), ..named(2, "bob") });
    directory.remove(PersonId(Uuid::from_u128(1)));
    assert_eq!((step(&directory, "9"), step(&directory, "zoe")), (Some((Step::Uid, vec![2])), None));
    assert_eq!(directory.len(), 1);
    // What nobody is called any longer does not pile up.
    for n in 0..20_000 {
        directory.put(named(3, &format!("x{n}")));
    }
    assert!(directory.terms.len() < 10_000, "{}", directory.terms.len());
    assert_eq!(step(&directory, "x19999"), Some((Step::Exact, vec![3])));
    assert_eq!(step(&directory, "bob"), Some((Step::Exact, vec![2])));
}

proptest! {
    /// The index finds whom looking at everybody finds.
    #[test]
    fn the_index_is_like_looking_at_all(
        names in prop::collection::vec("[abи]{1,5}", 1..12),
        wanted in "[abи]{1,6}",
    ) {
        let mut directory = Directory::default();
        for (n, name) in names.iter().enumerate() {
            // Of different people, or the same one as called before.
            directory.put(named(n as u128 % 9, name));
        }
        let now = |id: u128| directory.get(PersonId(Uuid::from_u128(id))).map(|e| e.name.clone().unwrap());
        let people: Vec<(u128, Box<str>)> = (0..9).filter_map(|id| Some((id, now(id)?))).collect();
        let scores = people.iter().map(|(id, name)| (*id, similarity(&wanted, name)));
        let exact = people.iter().any(|(_, name)| **name == *wanted);
        let part = people.iter().any(|(_, name)| name.contains(&wanted));
        let mut expected: Vec<u128> = scores
            .filter(|(id, score)| match (exact, part) {
                (true, _) => *score >= 1.0,
                (false, true) => now(*id).unwrap().contains(&wanted),
                (false, false) => *score >= LIKE_ENOUGH,
            })
            .map(|(id, _)| id)
            .collect();
        let mut found = step(&directory, &wanted).map(|(_, ids)| ids).unwrap_or_default();
        // One of several who are called exactly so is enough: names are one person's.
        if exact {
            assert!(expected.contains(&found[0]));
            return Ok(());
        }
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

#[test]
fn numbers_of_any_length_are_found_by_a_part() {
    let mut directory = Directory::default();
    let with =
        |n: u128, phone: &str| Entry { phone: Some(digits(phone).into()), ..named(n, &format!("p{n}")) };
    directory.put(with(1_001, "+49 (30) 123-4567"));
    directory.put(with(1_002, "1234567890123456"));
    directory.put(with(1_003, "99 12345678901234567890"));
    let found = |words: &str| step(&directory, words).map(|(_, who)| who);
    assert_eq!(found("30/1234567"), Some(vec![1_001]));
    assert_eq!(found("4567 8901 2345 6"), Some(vec![1_002, 1_003]));
    assert_eq!(found("34567890123456789"), Some(vec![1_003]));
    assert_eq!(found("000"), None, "what is not there is no zero");
    directory.put(named(1_003, "p1003"));
    assert_eq!(step(&directory, "34567890123456789"), None);
}
