//! Who is found by which words: every case, on both engines, with the same answers.

use crate::postgres::{Db, on_both};
use crate::store::raw;
use sea_orm::ConnectionTrait;
use teleclaude::domain::caller::Role;
use teleclaude::domain::directory::{Directory, Step, Words};
use teleclaude::domain::people_query::{PeopleQuery, Roles};
use teleclaude::domain::person::fold;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::Engine;
use teleclaude::store::people;
use teleclaude::store::people_list;
use uuid::Uuid;

/// Key (and the place in the table), name, OS user, uid, full name, email, phone, status.
type Row = (
    u128,
    Option<&'static str>,
    Option<&'static str>,
    i64,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
    &'static str,
);

const PEOPLE: &[Row] = &[
    (1, Some("ivan_p"), Some("ivanp"), 1001, Some("Ivan Petrov"), None, Some("+7 (912) 345-67-89"), "active"),
    (2, Some("ivan_s"), Some("ivans"), 1002, Some("Ivan Sidorov"), None, None, "suspended"),
    (3, Some("Жанна"), Some("zhanna"), 1003, Some("Жанна Иванова"), None, None, "active"),
    (4, Some("bob"), Some("robert"), 1004, Some("Robert Miles"), Some("bob@example.org"), None, "active"),
    (5, Some("robert"), Some("rob"), 1005, None, None, None, "active"),
    (6, Some("100%_sure"), Some("pct"), 1006, None, None, None, "active"),
    (7, None, Some("eve"), 2001, None, None, None, "active"),
    (8, Some("gone"), Some("gone_os"), 1008, Some("Gone Person"), None, None, "deleted"),
    (9, Some("x"), None, 1009, None, None, None, "inactive"),
    (10, Some("anna"), Some("anna"), 1010, None, None, Some("555-0100"), "active"),
    (11, Some("ΟΔΥΣΣΕΥΣ"), None, 1011, None, None, None, "active"),
];

/// Puts everybody of the table into the database.
async fn fill(db: &Db) {
    let raw = raw(db).await;
    let sqlite = matches!(db.engine, Engine::Sqlite { .. });
    let text = |text: Option<&str>| match text {
        Some(text) => format!("'{}'", text.replace('\'', "''")),
        None => "NULL".to_owned(),
    };
    for (id, name, os_username, uid, full_name, email, phone, status) in PEOPLE {
        let key = Uuid::from_u128(*id);
        let key = if sqlite { format!("x'{}'", key.simple()) } else { format!("'{key}'") };
        let small = |t: &Option<&str>| text(t.map(fold).as_deref());
        let role = if name.is_some() && id % 2 == 1 { "'member'" } else { "NULL" };
        let sql = format!(
            "INSERT INTO people (id, name, os_username, uid, role, status, first_seen, last_seen, full_name, email, \
             phone, created, updated, name_folded, os_username_folded, full_name_folded, email_folded) \
             VALUES ({key}, {}, {}, {uid}, {role}, '{status}', {id}, {id}, {}, {}, {}, {id}, {id}, {}, {}, {}, {})",
            text(*name),
            text(*os_username),
            text(*full_name),
            text(*email),
            text(*phone),
            small(name),
            small(os_username),
            small(full_name),
            small(email),
        );
        raw.execute_unprepared(&sql).await.unwrap();
    }
    raw.close().await.unwrap();
}

/// Who is found by which step, the best first; whether there is no doubt who is meant.
type Expected = Option<(Step, &'static [u128], bool)>;

/// What is looked for, and who is found.
const CASES: &[(&str, Expected)] = &[
    // Exactly somebody's name or OS user, in any case of any script.
    ("@IVAN_P", Some((Step::Exact, &[1], true))),
    (" @@ivanp ", Some((Step::Exact, &[1], true))),
    ("ЖАННА", Some((Step::Exact, &[3], true))),
    ("οδυσσευς", Some((Step::Exact, &[11], true))),
    ("x", Some((Step::Exact, &[9], true))),
    ("Ivan  Petrov", Some((Step::Exact, &[1], true))),
    ("BOB@example.org", Some((Step::Exact, &[4], true))),
    ("00000000-0000-0000-0000-000000000002", Some((Step::Exact, &[2], true))),
    // As typed it is one person's name; in another case it may be either's.
    ("robert", Some((Step::Exact, &[5], true))),
    ("Robert", Some((Step::Exact, &[4, 5], false))),
    // A uid.
    ("1003", Some((Step::Uid, &[3], true))),
    ("2001", Some((Step::Uid, &[7], true))),
    // A part of a name.
    ("petr", Some((Step::NamePart, &[1], true))),
    ("ИВАНОВ", Some((Step::NamePart, &[3], true))),
    ("ivan", Some((Step::NamePart, &[1, 2], false))),
    ("%", Some((Step::NamePart, &[6], true))),
    ("_", Some((Step::NamePart, &[6, 1, 2], false))),
    ("Miles", Some((Step::NamePart, &[4], true))),
    // A part of a number, however it is written.
    ("912 345", Some((Step::PhonePart, &[1], true))),
    ("34567", Some((Step::PhonePart, &[1], true))),
    ("0100", Some((Step::PhonePart, &[10], true))),
    ("5", Some((Step::PhonePart, &[10, 1], false))),
    // Like a name: half of all pairs is enough; one name within the other is more.
    ("anne", Some((Step::Similar, &[10], true))),
    ("Ivan Petrovich", Some((Step::Similar, &[1, 2], false))),
    ("жанне", Some((Step::Similar, &[3], true))),
    ("h", Some((Step::Similar, &[3], true))),
    ("anders", None),
    ("99999", None),
    // A visitor by all of the OS user's name, and not by a part of it; who is deleted not at all.
    ("EVE", Some((Step::Exact, &[7], true))),
    ("ev", None),
    ("gone", None),
    ("1008", None),
    ("perso", None),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_there_before_is_found_like_those_who_come() {
    on_both(async |db| {
        // As the program before made it, with somebody in it.
        if let Engine::Sqlite { path, .. } = &db.engine {
            std::fs::File::create(path).unwrap();
        }
        let old = raw(&db).await;
        migrations::up_first(&old, 12).await.unwrap();
        let sqlite = matches!(db.engine, Engine::Sqlite { .. });
        let key = |n: u128| {
            let key = Uuid::from_u128(n);
            if sqlite { format!("x'{}'", key.simple()) } else { format!("'{key}'") }
        };
        let sql = format!(
            "INSERT INTO people (id, name, os_username, uid, status, first_seen, last_seen) VALUES \
             ({}, 'ЖАННА', 'Zhanna', 5, 'active', 7, 9), ({}, NULL, NULL, 6, 'active', 8, 9)",
            key(1),
            key(2)
        );
        old.execute_unprepared(&sql).await.unwrap();
        let sql = format!(
            "INSERT INTO bans (id, person, by_name, created) VALUES ({}, {}, 'ann', 11)",
            key(3),
            key(1)
        );
        old.execute_unprepared(&sql).await.unwrap();
        old.close().await.unwrap();
        let store = db.open().await;
        let query =
            |text: &str| PeopleQuery { text: Some(text.to_owned()), limit: 9, ..PeopleQuery::default() };
        for text in ["жанна", "zhanna"] {
            let found = people_list::page(store.reader(), &query(text), &Roles::default()).await.unwrap();
            assert_eq!(found.len(), 1, "{text}");
            let person = &found[0].0;
            assert_eq!((person.created.micros(), person.updated.micros(), person.warnings), (7, 7, 0));
        }
        assert_eq!(people::names(store.reader(), None, 9).await.unwrap().0.len(), 2);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_gives_a_role_everybody_else_is_public() {
    on_both(async |db| {
        let store = db.open().await;
        fill(&db).await;
        let roles = Roles::default();
        let with = |role| PeopleQuery { role: Some(role), limit: 100, ..PeopleQuery::default() };
        let public = people_list::page(store.reader(), &with(Role::Public), &roles).await.unwrap();
        assert!(!public.is_empty());
        assert!(people_list::page(store.reader(), &with(Role::Admin), &roles).await.unwrap().is_empty());
        let since = [Timestamp::from_micros(0); 3];
        let counts = people_list::counts(store.reader(), &roles, since).await.unwrap();
        assert_eq!(counts.by_role.keys().collect::<Vec<_>>(), [&Role::Public]);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_is_found_by_five_steps() {
    on_both(async |db| {
        let store = db.open().await;
        fill(&db).await;
        let mut directory = Directory::default();
        let mut after = None;
        // In pieces, as a large directory is read.
        loop {
            let (some, end) = people::names(store.reader(), after, 4).await.unwrap();
            some.into_iter().for_each(|entry| directory.put(entry));
            let Some(end) = end else { break };
            after = Some(end);
        }
        assert_eq!(directory.len(), PEOPLE.len());
        let look = |words: &str, deleted| {
            let found = directory.find(&Words::parse(words).unwrap(), deleted)?;
            let ids: Vec<u128> = found.candidates.iter().map(|c| c.id.0.as_u128()).collect();
            Some((found.step, ids, found.one().is_some()))
        };
        for (words, expected) in CASES {
            let expected = expected.map(|(step, ids, sure)| (step, ids.to_vec(), sure));
            assert_eq!(look(words, false), expected, "{words}");
        }
        for words in ["gone", "1008", "perso"] {
            assert_eq!(look(words, true).unwrap().1, [8], "{words}");
        }
        store.close().await;
    })
    .await;
}
