//! What was used: counted from the logs that the real agents write, day by day, and still there when the sessions are
//! gone; the same on both engines. Who may see whose stands in `parity`.

use crate::postgres::{NOW, on_both};
use crate::store::{a_session, at, change, keep, raw};
use crate::world::{ANN, BOB, CID, SHELL, World};
use futures_util::FutureExt as _;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use teleclaude::agent::transcript::Reader;
use teleclaude::config::schema::agents::TranscriptFormat;
use teleclaude::daemon::hours;
use teleclaude::domain::person::PersonId;
use teleclaude::domain::session::{Exit, Session, SessionId};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::domain::transcript::Usage;
use teleclaude::domain::usage::{By, Day, Key, UsageQuery, Used};
use teleclaude::store::connect::Store;
use teleclaude::store::{message, retention, session, transcript, usage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

const HOUR: i64 = 3_600;

fn of(by: &[By]) -> UsageQuery {
    UsageQuery {
        by: by.to_vec(),
        person: None,
        project: None,
        agent: None,
        model: None,
        since: Day::from_number(0),
        until: Day::of(Timestamp::from_micros(i64::MAX)),
        after: None,
        limit: 1_000,
    }
}

/// Groups as text, a line each: what tells them apart, then sessions, messages, tokens, seconds.
async fn shown(store: &Store, query: &UsageQuery) -> Vec<String> {
    let groups = usage::page(store.reader(), query, None).await.unwrap();
    let name = |key: &Key| match key {
        Key::Name(name) => name.clone(),
        Key::Day(day) => day.to_string(),
    };
    groups
        .iter()
        .map(|group| {
            let key: Vec<String> = group.key.iter().map(name).collect();
            format!("{}: {}", key.join(" "), counts(&group.used))
        })
        .collect()
}

fn counts(used: &Used) -> String {
    format!(
        "{} sessions, {} messages, {}+{}+{} in, {} out, {} s",
        used.sessions,
        used.messages,
        used.input,
        used.cache_read,
        used.cache_write,
        used.output,
        (used.running + 500_000) / 1_000_000
    )
}

async fn sum(store: &Store, query: &UsageQuery) -> String {
    counts(&usage::sum(store.reader(), query, None).await.unwrap())
}

/// A session of this agent's and person's.
fn made(n: u128, agent: &str, person: u128, second: i64) -> Session {
    Session {
        agent: agent.to_owned(),
        owner: PersonId(Uuid::from_u128(person)),
        owner_name: format!("person {person}"),
        ..a_session(n, second)
    }
}

async fn answered(store: &Store, session: SessionId, first: i64, costs: Vec<Usage>, now: Timestamp) {
    change(store, move |tx| {
        let costs = costs.clone();
        async move { transcript::add_usage(tx.conn(), session, first, &costs, now).await }.boxed()
    })
    .await
    .unwrap();
}

async fn started(store: &Store, session: SessionId, now: Timestamp) {
    change(store, move |tx| async move { session::started(tx.conn(), session, 7, now).await }.boxed())
        .await
        .unwrap();
}

async fn ended(store: &Store, session: SessionId, exit: Exit, now: Timestamp) {
    change(store, move |tx| {
        let exit = exit.clone();
        async move { session::ended(tx.conn(), session, &exit, now).await }.boxed()
    })
    .await
    .unwrap();
}

async fn ran(store: &Store, session: SessionId, until: Timestamp) {
    change(store, move |tx| async move { usage::ran(tx.conn(), session, until).await }.boxed())
        .await
        .unwrap();
}

/// The first second after `NOW` of the next day but `days`.
fn midnight(days: i64) -> i64 {
    let day = 24 * HOUR;
    (NOW / 1_000_000 / day + 1 + days) * day - NOW / 1_000_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_real_agents_logs_say_is_counted_and_outlives_the_sessions() {
    const LOGS: [(TranscriptFormat, &str, &str); 3] = [
        (TranscriptFormat::Claude, "claude", include_str!("../fixtures/transcripts/claude.jsonl")),
        (TranscriptFormat::Codex, "codex", include_str!("../fixtures/transcripts/codex.jsonl")),
        (TranscriptFormat::Gemini, "gemini", include_str!("../fixtures/transcripts/gemini.jsonl")),
    ];
    on_both(async |db| {
        let store = db.open().await;
        let written = Timestamp::parse("2026-11-21T09:00:00Z").unwrap();
        let later = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        for (n, (format, agent, log)) in (1u128..).zip(LOGS) {
            let row = Session { created: written, last_activity: written, ..made(n, agent, n, 0) };
            let id = row.id;
            keep(&store, row).await;
            let costs = Reader::new(format).unwrap().feed(log.as_bytes()).usage;
            answered(&store, id, 1, costs.clone(), later).await;
            // As a daemon does that reads the log from its beginning: nothing is counted twice.
            answered(&store, id, 1, costs, later).await;
        }
        let expected = [
            "claude-opus-4-8 2026-11-21: 1 sessions, 0 messages, 55+0+0 in, 35 out, 0 s",
            "gemini-2.5-flash 2026-11-21: 1 sessions, 0 messages, 33+0+0 in, 21 out, 0 s",
            "stub-model 2026-11-21: 1 sessions, 0 messages, 33+0+0 in, 21 out, 0 s",
        ];
        let by_model = of(&[By::Model, By::Day]);
        assert_eq!(shown(&store, &by_model).await, expected);
        let all = "3 sessions, 0 messages, 121+0+0 in, 77 out, 0 s";
        assert_eq!(sum(&store, &of(&[])).await, all);

        // First the transcripts go, as their retention wants it, then the sessions.
        for n in 1..=3u128 {
            let id = a_session(n, 0).id;
            ended(&store, id, Exit::Code(0), later).await;
            change(&store, move |tx| {
                async move {
                    retention::begin_purge(tx.conn(), id, at(0)).await?;
                    while retention::delete_some(tx.conn(), id, 100).await? > 0 {}
                    retention::delete_session(tx.conn(), id).await
                }
                .boxed()
            })
            .await
            .unwrap();
            assert_eq!(session::by_id(store.reader(), id).await.unwrap(), None);
        }
        assert_eq!(shown(&store, &by_model).await, expected);
        assert_eq!(sum(&store, &of(&[])).await, all);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_of_the_day_on_which_they_were_used_and_no_log_can_break_the_counts() {
    on_both(async |db| {
        let store = db.open().await;
        keep(&store, made(1, "claude", 1, 0)).await;
        let id = a_session(1, 0).id;
        let cost = |at: Option<Timestamp>, model: Option<&str>, output| Usage {
            at,
            model: model.map(str::to_owned),
            input: 10,
            cached: 3,
            cache_write: 2,
            output,
        };
        let now = at(midnight(0) + HOUR);
        let costs = vec![
            cost(Some(at(1)), Some("a"), 1),
            cost(Some(at(midnight(0) - 1)), Some("a"), 2),
            cost(Some(at(midnight(0))), Some("a"), 4),
            cost(Some(at(midnight(0))), None, 8),
            // Moments that cannot be: before the session was, and after now.
            cost(Some(Timestamp::from_micros(i64::MIN)), Some("a"), 16),
            cost(Some(Timestamp::from_micros(i64::MAX)), Some("a"), 32),
            cost(None, Some("a"), 64),
            cost(Some(at(1)), Some("huge\0"), u64::MAX),
            cost(Some(at(1)), Some("huge\0"), u64::MAX),
            cost(Some(at(1)), Some(&"x".repeat(1 << 20)), 1),
        ];
        answered(&store, id, 1, costs[..4].to_vec(), now).await;
        // A piece that is half known.
        answered(&store, id, 3, costs[2..].to_vec(), now).await;
        let (first, second) = (Day::of(at(0)), Day::of(now));
        let long = "x".repeat(100);
        assert_eq!(
            shown(&store, &of(&[By::Day, By::Model])).await,
            [
                format!("{first} a: 1 sessions, 0 messages, 30+9+6 in, 19 out, 0 s"),
                format!("{first} huge\u{fffd}: 1 sessions, 0 messages, 20+6+4 in, 2000000000 out, 0 s"),
                format!("{first} {long}: 1 sessions, 0 messages, 10+3+2 in, 1 out, 0 s"),
                format!("{second} a: 1 sessions, 0 messages, 30+9+6 in, 100 out, 0 s"),
                format!("{second} unknown: 1 sessions, 0 messages, 10+3+2 in, 8 out, 0 s"),
            ]
        );
        let one_day = UsageQuery { since: second, until: second, ..of(&[By::Agent]) };
        let expected = "claude: 1 sessions, 0 messages, 40+12+8 in, 108 out, 0 s";
        assert_eq!(shown(&store, &one_day).await, [expected]);
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_is_counted_while_it_lasts_split_at_midnight_and_once() {
    on_both(async |db| {
        let store = db.open().await;
        for n in 1..=3 {
            keep(&store, made(n, "claude", n, 0)).await;
        }
        let [one, two, three] = [1, 2, 3].map(|n| a_session(n, 0).id);
        let by = of(&[By::Person, By::Day]);
        let line = |person: u128, day: i64, seconds: i64| {
            let day = Day::of(at(midnight(day - 1)));
            format!("person {person} {day}: 1 sessions, 0 messages, 0+0+0 in, 0 out, {seconds} s")
        };
        let evening = midnight(0) - HOUR;
        started(&store, one, at(evening)).await;
        ran(&store, one, at(evening + 60)).await;
        ran(&store, one, at(evening + 60)).await;
        // A clock that goes back counts nothing twice.
        ran(&store, one, at(evening + 30)).await;
        ran(&store, one, at(evening + 90)).await;
        assert_eq!(shown(&store, &by).await, [line(1, 0, 90), line(2, 0, 0), line(3, 0, 0)]);

        ended(&store, one, Exit::Code(0), at(midnight(2) + 5)).await;
        let of_one = [line(1, 0, HOUR), line(1, 1, 24 * HOUR), line(1, 2, 24 * HOUR), line(1, 3, 5)];
        assert_eq!(shown(&store, &by).await[..4], of_one);
        ran(&store, one, at(midnight(5))).await;
        ended(&store, one, Exit::Code(0), at(midnight(6))).await;
        assert_eq!(shown(&store, &by).await[..4], of_one, "what has ended runs no more");

        // Nobody saw how long a lost one went on.
        started(&store, two, at(10)).await;
        ran(&store, two, at(70)).await;
        ended(&store, two, Exit::Lost, at(midnight(3))).await;
        // One that runs again is counted again, and the day counts it once.
        started(&store, three, at(10)).await;
        ended(&store, three, Exit::Code(0), at(20)).await;
        change(&store, move |tx| {
            let profile = a_session(1, 0).profile;
            async move { session::resume(tx.conn(), three, profile, at(30)).await }.boxed()
        })
        .await
        .unwrap();
        started(&store, three, at(40)).await;
        ended(&store, three, Exit::Code(0), at(45)).await;
        assert_eq!(shown(&store, &by).await[4..], [line(2, 0, 60), line(3, 0, 15)]);
        let all = 49 * HOUR + 5 + 60 + 15;
        assert_eq!(sum(&store, &of(&[])).await, format!("3 sessions, 0 messages, 0+0+0 in, 0 out, {all} s"));
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_come_in_pages_and_a_person_s_own_are_theirs_at_their_uid() {
    on_both(async |db| {
        let store = db.open().await;
        // Names that locales order otherwise than bytes do.
        let names = ["Ann", "ann", "Ärger", "bob", "b b", "_x", "Zoe"];
        for (n, name) in (1u128..).zip(names) {
            let row = Session { owner_name: name.to_owned(), ..made(n, "shell", n, 0) };
            let id = row.id;
            keep(&store, row).await;
            for k in 0..n {
                let key = Uuid::from_u128(n * 100 + k);
                change(&store, move |tx| {
                    let conn = tx.conn();
                    async move {
                        message::enqueue(conn, id, key, "hello", None, false, at(2)).await?;
                        // The same message again is the same message.
                        message::enqueue(conn, id, key, "hello", None, false, at(2)).await
                    }
                    .boxed()
                })
                .await
                .unwrap();
            }
        }
        let mut found = Vec::new();
        let mut query = UsageQuery { limit: 2, ..of(&[By::Person, By::Day]) };
        loop {
            let page = usage::page(store.reader(), &query, None).await.unwrap();
            query.after = page.last().map(|group| group.key.clone());
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let order: Vec<&Key> = found.iter().map(|group| &group.key[0]).collect();
        let mut sorted = names;
        sorted.sort_unstable();
        let expected: Vec<Key> = sorted.iter().map(|name| Key::Name((*name).to_owned())).collect();
        assert_eq!(order, expected.iter().collect::<Vec<_>>());
        let messages: i64 = found.iter().map(|group| group.used.messages).sum();
        assert_eq!(messages, 28);

        let own = async |person: u128, uid: u32| {
            let owner = Some((PersonId(Uuid::from_u128(person)), uid));
            let used = usage::sum(store.reader(), &of(&[]), owner).await.unwrap();
            (used.sessions, used.messages)
        };
        let uid = a_session(1, 0).owner_uid;
        assert_eq!(own(3, uid).await, (1, 3));
        assert_eq!(own(3, uid - 1).await, (0, 0), "another uid of the same person has its own");
        let only = async |query: UsageQuery| sum(&store, &query).await;
        let none = "0 sessions, 0 messages, 0+0+0 in, 0 out, 0 s";
        assert_eq!(only(UsageQuery { person: Some("nobody".to_owned()), ..of(&[]) }).await, none);
        let bobs = "1 sessions, 4 messages, 0+0+0 in, 0 out, 0 s";
        assert_eq!(only(UsageQuery { person: Some("bob".to_owned()), ..of(&[]) }).await, bobs);
        assert_eq!(only(UsageQuery { project: Some("site' OR 1=1 --".to_owned()), ..of(&[]) }).await, none);
        store.close().await;
    })
    .await;
}

/// A database from before this was counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_kept_before_is_counted_once() {
    on_both(async |db| {
        let store = db.open().await;
        let [one, two] = [1, 2].map(|n| a_session(n, 0).id);
        for n in 1..=2 {
            keep(&store, made(n, "claude", n, 0)).await;
        }
        // It ran over midnight, ended, and ran once more; the other one still runs.
        started(&store, one, at(midnight(0) - HOUR)).await;
        ended(&store, one, Exit::Code(0), at(midnight(0) + HOUR)).await;
        started(&store, two, at(100)).await;
        change(&store, move |tx| {
            async move {
                for (n, session, second, kind) in [
                    (1, one, midnight(0) - HOUR, "started"),
                    (2, one, midnight(0) + HOUR, "ended"),
                    (3, two, 100, "started"),
                ] {
                    let event = teleclaude::store::activity::Event {
                        id: Uuid::from_u128(n),
                        session,
                        at: at(second),
                        kind: kind.to_owned(),
                        detail: None,
                        actor: None,
                    };
                    teleclaude::store::activity::insert(tx.conn(), &event).await?;
                }
                message::enqueue(tx.conn(), one, Uuid::from_u128(9), "hello", None, false, at(3)).await
            }
            .boxed()
        })
        .await
        .unwrap();
        let cost = |second: i64, model: Option<&str>, output: u64| Usage {
            at: Some(at(second)),
            model: model.map(str::to_owned),
            input: 5,
            cached: 7,
            output,
            ..Usage::default()
        };
        let costs = vec![cost(1, Some("a"), 3), cost(midnight(0) + 1, None, u64::MAX)];
        answered(&store, one, 1, costs, at(midnight(0) + HOUR)).await;
        let by = of(&[By::Person, By::Model, By::Day]);
        let (models, days) = (shown(&store, &by).await, shown(&store, &of(&[By::Person, By::Day])).await);
        assert_eq!((models.len(), days.len()), (2, 3));
        store.close().await;

        let raw = raw(&db).await;
        for sql in [
            "DROP TABLE usage_days",
            "DROP TABLE usage_running",
            "DROP INDEX activity_mine",
            "DROP INDEX activity_all",
            "DROP INDEX task_events_of_assignee",
            "ALTER TABLE activity DROP COLUMN owner",
            "ALTER TABLE activity DROP COLUMN owner_uid",
            "ALTER TABLE activity DROP COLUMN actor",
            "ALTER TABLE usage DROP COLUMN cache_write",
            "CREATE INDEX activity_old ON activity (at)",
            "DELETE FROM seaql_migrations WHERE version = 'm0016_usage'",
        ] {
            raw.execute_unprepared(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        raw.close().await.unwrap();
        let store = db.open().await;
        assert_eq!(shown(&store, &by).await, models);
        assert_eq!(shown(&store, &of(&[By::Person, By::Day])).await, days);
        // The other's running goes on from where it began.
        ended(&store, two, Exit::Code(0), at(160)).await;
        let of_two = UsageQuery { person: Some("person 2".to_owned()), ..of(&[]) };
        assert_eq!(sum(&store, &of_two).await, "1 sessions, 0 messages, 0+0+0 in, 0 out, 60 s");
        let of_one = teleclaude::store::activity::Filter {
            owner: Some(PersonId(Uuid::from_u128(1))),
            ..Default::default()
        };
        let known = teleclaude::store::activity::page(store.reader(), &of_one, None, 9).await.unwrap();
        assert_eq!(known.len(), 2, "whose each row is was found out");
        store.close().await;
    })
    .await;
}

/// The same through the daemon: whose it is, how it is asked, what a spreadsheet gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_asked_over_rest_by_everybody_for_their_own() {
    on_both(async |db| {
        let world = World::everybody(db).config("roles: { member: { profile: full } }").config(SHELL).start().await;
        world.shell(ANN).await;
        let bobs = world.shell(BOB).await;
        let sent = world
            .rest(BOB, "POST", &format!("/sessions/{bobs}/messages"), Some(json!({ "message": "true" })))
            .await;
        assert_eq!(sent.status, 200, "{sent:?}");
        // A model's name is whatever a person's own log says: also a formula, for whoever opens it in a spreadsheet.
        let id = SessionId(bobs.parse().unwrap());
        let cost = Usage {
            model: Some("=HYPERLINK(\"x\"),a".to_owned()),
            input: 1,
            cached: 2,
            cache_write: 3,
            output: 4,
            at: None,
        };
        answered(world.app.store(), id, 1, vec![cost], world.app.now()).await;
        let later = world.app.now().plus(std::time::Duration::from_secs(7));
        hours::count(&world.app, later).await.unwrap();

        let get = async |uid: u32, query: &str| {
            let answer = world.rest(uid, "GET", &format!("/usage{query}"), None).await;
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
            answer.body
        };
        let own = get(BOB, "?by=person").await;
        let group = own["groups"][0].clone();
        assert_eq!(own["groups"].as_array().unwrap().len(), 1, "{own}");
        let expected = json!({
            "person": "bob", "sessions": 1, "messages": 1, "input_tokens": 1, "cache_read_tokens": 2,
            "cache_write_tokens": 3, "output_tokens": 4, "running_seconds": group["running_seconds"],
        });
        assert_eq!(group, expected);
        assert!(group["running_seconds"].as_i64().unwrap() >= 6, "{group}");
        let mut total = group.clone();
        total.as_object_mut().unwrap().remove("person");
        assert_eq!((&own["total"], &own["by"], &own["next_cursor"]), (&total, &json!(["person"]), &Value::Null));
        assert_eq!(get(BOB, "?by=person&person=bob").await, own);

        for (asked, of) in [("BOB", json!("bob")), ("(removed)", Value::Null)] {
            assert_eq!(get(ANN, &format!("?by=person&person={asked}")).await["groups"][0]["person"], of);
        }
        let nobody = world.rest(ANN, "GET", "/usage?person=nobody-here", None).await;
        assert_eq!((nobody.status, &nobody.body["field"]), (404, &json!("person")), "{nobody:?}");

        let everybodys = get(ANN, "?by=person,agent&limit=1").await;
        assert_eq!((&everybodys["groups"][0]["person"], &everybodys["total"]["sessions"]), (&json!("ann"), &json!(2)));
        let next = everybodys["next_cursor"].as_str().unwrap();
        let second = get(ANN, &format!("?by=person,agent&limit=1&cursor={next}")).await;
        assert_eq!((&second["groups"][0]["person"], &second["total"]), (&json!("bob"), &Value::Null));
        let by_model = get(ANN, "?by=model").await;
        assert_eq!(by_model["groups"].as_array().unwrap().len(), 1);
        assert!(by_model["groups"][0].get("messages").is_none(), "no message is a model's: {by_model}");
        assert_eq!(get(ANN, "?until=2001-01-01").await["total"]["sessions"], 0);
        assert_eq!(get(CID, "").await["total"]["sessions"], 0);

        let csv = async |uid: u32, query: &str, accept: &str| {
            let mut stream = world.connect(uid);
            let head = format!(
                "GET /api/v1/usage{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            (head.to_ascii_lowercase(), body.to_owned())
        };
        let lines = "model,sessions,messages,input_tokens,cache_read_tokens,cache_write_tokens,output_tokens,running_seconds\r\n\
                     \"'=HYPERLINK(\"\"x\"\"),a\",1,,1,2,3,4,\r\n";
        for (query, accept) in [("?by=model&format=csv", "*/*"), ("?by=model", "text/csv")] {
            let (head, body) = csv(BOB, query, accept).await;
            assert!(head.contains("content-type: text/csv"), "{head}");
            assert_eq!(body, lines);
        }
        let (head, _) = csv(BOB, "?by=model&format=json", "text/csv").await;
        assert!(head.contains("content-type: application/json"), "{head}");
        let (head, body) = csv(ANN, "?by=person&format=csv&limit=1", "*/*").await;
        let cursor = head.lines().find_map(|line| line.strip_prefix("teleclaude-next-cursor: ")).unwrap();
        assert_eq!(body.lines().count(), 2);
        // Names in a head are not changed, but this test reads heads in small letters.
        let exact = get(ANN, "?by=person&limit=1").await["next_cursor"].as_str().unwrap().to_owned();
        assert_eq!(cursor, exact.to_ascii_lowercase());
        let (_, body) = csv(ANN, &format!("?by=person&format=csv&limit=1&cursor={exact}"), "*/*").await;
        assert!(body.starts_with("bob,1,1,") && body.lines().count() == 1, "only the first page has a head: {body}");

        for (uid, query, status, field) in [
            (CID, "?person=bob", 404, Value::Null),
            (CID, "?person=nobody", 404, Value::Null),
            (CID, "?by=people", 422, json!("by")),
            (CID, "?by=day,day", 422, json!("by")),
            (CID, "?since=2026-02-30", 422, json!("since")),
            (CID, "?since=2026-02-02&until=2026-02-01", 422, json!("until")),
            (CID, "?limit=0", 422, json!("limit")),
            (CID, "?limit=1001", 422, json!("limit")),
            (CID, "?by=day&cursor=nonsense", 422, json!("cursor")),
            (CID, "?model=", 422, json!("model")),
            (CID, "?project=%00", 422, json!("project")),
            (CID, "?format=xml", 422, json!("format")),
        ] {
            let answer = world.rest(uid, "GET", &format!("/usage{query}"), None).await;
            assert_eq!((answer.status, &answer.body["field"]), (status, &field), "{query}: {answer:?}");
        }
        world.end().await;
    })
    .await;
}
