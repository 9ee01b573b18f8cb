//! Finding one of many people by some words, on both engines, beside a floor: the row of one person by their key.

use crate::postgres::Db;
use crate::report::{Cell, Goal, Report, quantile};
use crate::rows::open;
use crate::{Plan, progress};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};
use secrecy::ExposeSecret as _;
use std::fmt::Write as _;
use std::time::Instant;
use teleclaude::domain::directory::Words;
use teleclaude::domain::person::{PersonId, fold};
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::store::connect::Engine;
use teleclaude::store::person;
use teleclaude::usecase::people::Roster;
use uuid::Uuid;

/// People who are written down together.
const TOGETHER: u32 = 500;
/// How often each is looked for.
const TIMES: u32 = 200;
/// When the people were added: long before they are looked for.
const ADDED: i64 = 1_795_000_000_000_000;
const FIRST: [&str; 12] = [
    "Anna",
    "Boris",
    "Chandra",
    "Dimitri",
    "Elif",
    "Fatima",
    "Иван",
    "Жанна",
    "Jürgen",
    "Kwame",
    "Linh",
    "Mateo",
];
const LAST: [&str; 10] = ["Al", "Bran", "Cor", "Del", "Esk", "Fron", "Gal", "Hav", "Ing", "Jor"];
const ENDS: [&str; 10] = ["son", "ova", "ides", "mann", "ez", "ini", "sen", "ko", "ton", "ski"];

fn first(n: u32) -> &'static str {
    FIRST[(n % 12) as usize]
}

fn last(n: u32) -> String {
    let part = |all: &'static [&'static str; 10], n: u32| all[(n % 10) as usize];
    let (a, b, c) = (part(&LAST, n / 7), part(&LAST, n / 70), part(&ENDS, n / 11));
    format!("{a}{}{c}", b.to_lowercase())
}

/// By what one is looked for, and the words for each person.
type Kind = (&'static str, fn(u32) -> String);

/// Writes so many people down.
async fn fill(engine: &Engine, people: u32) {
    let (sqlite, url) = match engine {
        Engine::Sqlite { path, .. } => (true, format!("sqlite://{}", path.display())),
        Engine::Postgres { url } => (false, url.expose_secret().to_owned()),
    };
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let raw = Database::connect(options).await.unwrap();
    for piece in 0..people.div_ceil(TOGETHER) {
        let mut sql = "INSERT INTO people (id, name, os_username, uid, role, status, first_seen, last_seen, \
                       full_name, phone, created, updated, name_folded, os_username_folded, full_name_folded) VALUES "
            .to_owned();
        for n in piece * TOGETHER..(piece + 1) * TOGETHER {
            let key = Uuid::from_u128(u128::from(n) + 1);
            let key = if sqlite { format!("x'{}'", key.simple()) } else { format!("'{key}'") };
            let (full_name, name) =
                (format!("{} {}", first(n), last(n)), format!("{}{n}", last(n).to_lowercase()));
            let (folded, uid, at) = (fold(&full_name), 100_000 + n, ADDED + i64::from(n));
            let comma = if n % TOGETHER == 0 { "" } else { ", " };
            let _ = write!(
                sql,
                "{comma}({key}, '{name}', '{name}', {uid}, 'member', 'active', {at}, {at}, '{full_name}', \
                 '+49 30 {n:07}', {at}, {at}, '{name}', '{name}', '{folded}')"
            );
        }
        raw.execute_unprepared(&sql).await.unwrap();
    }
    raw.execute_unprepared("ANALYZE").await.unwrap();
    raw.close().await.unwrap();
}

/// This process's resident memory, in bytes.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    status.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4_096.0
}

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let people = plan.people;
    let now = Timestamp::from_micros(ADDED + 3_600 * 1_000_000);
    let mut table = Vec::new();
    for engine in ["sqlite", "postgresql"] {
        let db = if engine == "sqlite" { Db::sqlite() } else { Db::postgres() };
        let store = open(&db.engine).await;
        progress(&format!("people: {engine}, {people} of them"));
        fill(&db.engine, people).await;
        let mut floor = Vec::new();
        for n in 0..TIMES {
            let id = PersonId(Uuid::from_u128(u128::from(n * (people / TIMES)) + 1));
            let asked = Instant::now();
            person::by_id(store.reader(), id).await.unwrap().unwrap();
            floor.push(asked.elapsed().as_secs_f64() * 1e3);
        }
        floor.sort_by(f64::total_cmp);
        table.push(vec![
            Cell::text(engine),
            Cell::text("the row of one by key (floor)"),
            Cell::Number(1.0, 0),
            Cell::Number(quantile(&floor, 0.5), 2),
            Cell::Number(quantile(&floor, 0.99), 2),
        ]);
        let (roster, before, began) = (Roster::default(), resident(), Instant::now());
        let anybody = Words::parse("anybody").unwrap();
        roster.meant(store.reader(), now, &anybody, false).await.unwrap();
        let read = began.elapsed().as_secs_f64();
        let each = (resident() - before) / f64::from(people);
        let kinds: [Kind; 6] = [
            ("a name", |n| format!("@{}{n}", last(n).to_uppercase())),
            ("a uid", |n| (100_000 + n).to_string()),
            ("a part of a name", |n| last(n)[..5].to_owned()),
            ("a part of a number", |n| format!("{n:07}")),
            ("a full name", |n| format!("{} {}", first(n), last(n))),
            ("a name with a slip", |n| format!("{}{n}", last(n).replacen('o', "u", 1)).replacen('a', "e", 1)),
        ];
        for (what, words) in kinds {
            let (mut took, mut found) = (Vec::new(), 0_u32);
            for turn in 0..TIMES {
                let words = Words::parse(&words(turn * (people / TIMES) + 3)).unwrap();
                let asked = Instant::now();
                let meant = roster.meant(store.reader(), now, &words, false).await.unwrap();
                took.push(asked.elapsed().as_secs_f64() * 1e3);
                found += u32::from(meant.is_some());
            }
            took.sort_by(f64::total_cmp);
            let goal = format!("{engine}: find one among {people} people by {what}, p50");
            report.goal(goal, quantile(&took, 0.5), "ms", Goal::AtMost(5.0));
            table.push(vec![
                Cell::text(engine),
                Cell::text(what),
                Cell::Number(f64::from(found) / f64::from(TIMES), 2),
                Cell::Number(quantile(&took, 0.5), 2),
                Cell::Number(quantile(&took, 0.99), 2),
            ]);
        }
        table.push(vec![
            Cell::text(engine),
            Cell::text(format!("names read in {read:.2} s, {each:.0} bytes each")),
            Cell::text(""),
            Cell::text(""),
            Cell::text(""),
        ]);
        store.close().await;
    }
    report.table(
        format!("Finding one of {people} people"),
        &["engine", "by", "found", "p50 ms", "p99 ms"],
        table,
    );
}
