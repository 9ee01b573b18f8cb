//! What is written out: all of it or a sign that it is not, in each form; bundles that prove themselves, and what
//! becomes of those that somebody changed; following; and finding rows by what they say.

use crate::postgres::on_both;
use crate::world::{ANN, BOB, World};
use serde_json::{Value, json};
use std::time::Duration;
use teleclaude::domain::note::{SigningKey, VerifierKey};
use teleclaude::wire::bundle::{BundleReport, Reader};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

/// An answer that was sent in parts: its status, what it says, and how many rows it says there were.
struct Parts {
    status: u16,
    body: String,
    rows: Option<u64>,
}

async fn export(world: &World, uid: u32, query: &str) -> Parts {
    let mut stream = world.connect(uid);
    let head = format!(
        "GET /api/v1/audit/export?{query} HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n"
    );
    let mut answer = Vec::new();
    let asked = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.read_to_end(&mut answer).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("no end");
    let text = String::from_utf8(answer).unwrap();
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return Parts { status, body: rest.to_owned(), rows: None };
    }
    let mut body = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            rest = after;
            break;
        }
        body.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
    let rows = rest.strip_prefix("teleclaude-complete: ").and_then(|rest| rest.lines().next()?.parse().ok());
    Parts { status, body, rows }
}

async fn key(world: &World) -> VerifierKey {
    let answer = world.rest(ANN, "GET", "/audit/keys", None).await;
    VerifierKey::parse(answer.body["keys"][0]["key"].as_str().unwrap()).unwrap()
}

/// A world whose log has something to find.
async fn world(db: crate::postgres::Db) -> World {
    let world = World::everybody(db).start().await;
    for _ in 0..30 {
        world.rest(ANN, "GET", "/audit?limit=1", None).await;
    }
    assert_eq!(world.rest(BOB, "GET", "/audit", None).await.status, 404);
    world
}

fn read(bundle: &str, keys: Vec<VerifierKey>) -> BundleReport {
    let mut reader = Reader::new(keys);
    for line in bundle.split_inclusive('\n') {
        if !reader.line(line.as_bytes()) {
            break;
        }
    }
    reader.finish()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_form_has_every_row_and_says_how_many() {
    on_both(async |db| {
        let world = world(db).await;
        let jsonl = export(&world, ANN, "format=jsonl").await;
        let rows: Vec<Value> = jsonl.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((jsonl.status, jsonl.rows), (200, Some(rows.len() as u64)));
        let seqs: Vec<i64> = rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "in the order of the chain");
        assert_eq!(rows.last().unwrap()["action"], "audit.export", "this one too");
        let csv = export(&world, ANN, "format=csv&action=audit.read").await;
        assert_eq!(csv.rows, Some(30));
        assert_eq!(csv.body.lines().count(), 31);
        assert!(csv.body.starts_with("computer,seq,at,"), "{}", csv.body);
        let ocsf = export(&world, ANN, "format=ocsf&outcome=denied").await;
        let events: Vec<Value> = ocsf.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((ocsf.rows, events[0]["class_uid"].as_i64()), (Some(1), Some(6_003)));
        let none = export(&world, ANN, "actor=nobody").await;
        assert_eq!((none.status, none.rows, none.body.as_str()), (200, Some(0), ""));

        for (query, field) in [
            ("format=pdf", "format"),
            ("format=bundle&actor=ann", "format"),
            ("limit=5", "limit"),
            ("since=yesterday", "since"),
            ("outcome=perhaps", "outcome"),
            ("nonsense=1", "nonsense"),
        ] {
            let answer = export(&world, ANN, query).await;
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!((answer.status, &body["field"]), (422, &json!(field)), "{query}: {body}");
        }
        assert_eq!(export(&world, BOB, "format=jsonl").await.status, 404);
        let audited = world.audit().await;
        assert_eq!(audited.iter().filter(|row| row["action"] == "audit.export").count(), 4);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_proves_itself_with_the_public_key_alone() {
    on_both(async |db| {
        let world = world(db).await;
        let bundle = export(&world, ANN, "format=bundle").await.body;
        let keys = vec![key(&world).await];
        let report = read(&bundle, keys.clone());
        assert_eq!(report.problem, None, "{report:?}");
        assert!(report.chains[0].checkpoints >= 1 && report.sealed.is_some(), "{report:?}");
        assert_eq!(read(&bundle, Vec::new()).problem, None, "whole, whoever made it");

        let lines: Vec<&str> = bundle.split_inclusive('\n').collect();
        let without = |n: usize| [&lines[..n], &lines[n + 1..]].concat().concat();
        let swapped = {
            let mut lines = lines.clone();
            lines.swap(5, 6);
            lines.concat()
        };
        let last = lines.len() - 1;
        let cases = [
            ("cut in a line", bundle[..bundle.len() - 5].to_owned()),
            ("cut at the end", without(last)),
            ("cut in the middle", lines[..10].concat()),
            ("a row taken out", without(7)),
            ("rows swapped", swapped),
            ("a row changed", bundle.replacen("\"actor\":\"ann\"", "\"actor\":\"bob\"", 1)),
            ("a row twice", [&lines[..8], &lines[7..]].concat().concat()),
            ("the last rows and their checkpoint", [&lines[..last - 3], &lines[last..]].concat().concat()),
            ("something after it", format!("{bundle}{}", lines[1])),
            ("nothing", String::new()),
            ("something else", "{\"hello\":1}\n".to_owned()),
        ];
        for (what, text) in cases {
            let report = read(&text, keys.clone());
            assert!(report.problem.is_some(), "{what}: {report:?}");
        }
        let changed = read(&bundle.replacen("\"actor\":\"ann\"", "\"actor\":\"bob\"", 1), keys.clone());
        assert!(changed.chains[0].first_bad_seq.is_some(), "the row is named: {changed:?}");
        let stranger = SigningKey::from_seed("here", [3; 32]).unwrap().verifier();
        let report = read(&bundle, vec![stranger]);
        assert!(report.problem.as_deref().is_some_and(|why| why.contains("no trusted key")), "{report:?}");
        // The seal of another bundle of the same log.
        let other = export(&world, ANN, "format=bundle").await.body;
        let seal = other.split_inclusive('\n').next_back().unwrap();
        let report = read(&[&lines[..last], &[seal]].concat().concat(), keys.clone());
        assert!(report.problem.as_deref().is_some_and(|why| why.contains("seal")), "{report:?}");
        // Another log of a computer of the same name: whole, and not this one; nor do its rows go into this one.
        let elsewhere = self::world(crate::postgres::Db::sqlite()).await;
        let other = export(&elsewhere, ANN, "format=bundle").await.body;
        assert_eq!(read(&other, vec![key(&elsewhere).await]).problem, None);
        let report = read(&other, keys.clone());
        assert!(report.problem.as_deref().is_some_and(|why| why.contains("no trusted key")), "{report:?}");
        let rows: Vec<&str> = other.split_inclusive('\n').collect();
        let mixed = [&lines[..10], &rows[10..rows.len() - 1], &lines[last..]].concat().concat();
        let report = read(&mixed, keys);
        assert!(report.chains[0].first_bad_seq.is_some(), "{report:?}");
        elsewhere.end().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_found_by_what_they_say_and_how_they_came_out() {
    on_both(async |db| {
        let world = world(db).await;
        let reason = "Дело №12: 100% of it, see C:\\x_y";
        let body = json!({ "person": "bob", "reason": reason });
        assert_eq!(world.rest(ANN, "POST", "/audit/holds", Some(body)).await.status, 200);
        let found = async |query: &str| {
            let answer = world.rest(ANN, "GET", &format!("/audit?{query}"), None).await;
            assert_eq!(answer.status, 200, "{query}: {answer:?}");
            answer.body["rows"].as_array().unwrap().iter().filter(|row| row["action"] != "audit.read").count()
        };
        for (query, count) in [
            ("text=%D0%B4%D0%B5%D0%BB%D0%BE", 1),
            ("text=100%25%20of", 1),
            ("text=c:%5CX_Y", 1),
            ("text=100%25of", 0),
            ("text=%25", 1),
            ("outcome=denied", 1),
            ("outcome=failure", 0),
            ("outcome=success&action=audit.hold", 1),
            ("actor=bob", 1),
            ("actor=nobody", 0),
        ] {
            assert_eq!(found(query).await, count, "{query}");
        }
        for (query, field) in [("text=", "text"), ("outcome=fine", "outcome"), ("cursor=x", "cursor")] {
            let answer = world.rest(ANN, "GET", &format!("/audit?{query}"), None).await;
            assert_eq!((answer.status, &answer.body["field"]), (422, &json!(field)), "{answer:?}");
        }
        // Page by page, nothing twice and nothing left out.
        let mut seqs = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/audit?limit=7&action=audit.read&until=2100-01-01T00:00:00Z{cursor}");
            let page = world.rest(ANN, "GET", &path, None).await.body;
            seqs.extend(page["rows"].as_array().unwrap().iter().map(|row| row["seq"].as_i64().unwrap()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut sorted = seqs.clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        sorted.dedup();
        assert_eq!(seqs, sorted);
        assert!(seqs.len() >= 30, "{seqs:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_has_every_row_once_and_is_written_down_once() {
    on_both(async |db| {
        let world = world(db).await;
        let mut stream = BufReader::new(world.connect(ANN));
        let head = "GET /api/v1/audit/tail?limit=3 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.get_mut().write_all(head.as_bytes()).await.unwrap();
        let mut next = async || loop {
            let mut line = String::new();
            let read = tokio::time::timeout(Duration::from_secs(30), stream.read_line(&mut line)).await;
            assert!(read.expect("no row came").unwrap() > 0, "it ended");
            if let Ok(row) = serde_json::from_str::<Value>(&line)
                && row.is_object()
            {
                return row;
            }
        };
        let first = [next().await, next().await, next().await];
        assert_eq!(first[2]["action"], "audit.read");
        assert!(first[2]["detail"].as_str().unwrap().contains("follow"), "its own row: {first:?}");
        let body = json!({ "person": "bob", "reason": "case 12 of the district court" });
        assert_eq!(world.rest(ANN, "POST", "/audit/holds", Some(body)).await.status, 200);
        let row = next().await;
        assert_eq!(
            (&row["action"], row["seq"].as_i64()),
            (&json!("audit.hold"), first[2]["seq"].as_i64().map(|n| n + 1))
        );

        // One who has been away says what they have.
        let after = format!("%7B%22here%22:{}%7D", first[0]["seq"]);
        let mut again = BufReader::new(world.connect(ANN));
        let head = format!("GET /api/v1/audit/tail?after={after} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        again.get_mut().write_all(head.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            let mut line = String::new();
            let read = tokio::time::timeout(Duration::from_secs(30), again.read_line(&mut line)).await;
            assert!(read.expect("no row came").unwrap() > 0, "it ended");
            if let Ok(row) = serde_json::from_str::<Value>(&line)
                && row.is_object()
            {
                seen.push(row["seq"].as_i64().unwrap() - first[0]["seq"].as_i64().unwrap());
            }
        }
        assert_eq!(seen, [1, 2, 3]);
        drop((stream, again));
        world.end().await;
    })
    .await;
}
