//! Numbers for a monitoring system: text that Prometheus reads, for admins only, in which nobody is named.

use crate::postgres::on_both;
use crate::world::{ANN, BOB, SHELL, STRANGER, World};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use teleclaude::domain::verb::Verb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Head and body of what is at this path.
async fn get(world: &World, uid: u32, path: &str) -> (String, String) {
    let mut stream = world.connect(uid);
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// A series: its name and its labels.
type Series = (String, BTreeMap<String, String>);

/// Reads the exposition as its format has it, and complains about whatever is not.
fn parsed(text: &str) -> BTreeMap<Series, f64> {
    assert!(text.ends_with('\n'), "the last line has an end");
    let mut series = BTreeMap::new();
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut family = String::new();
    let mut helped = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect(line);
            assert!(!words.is_empty(), "{line}");
            helped = Some(name.to_owned());
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(helped.take().as_deref(), Some(name), "help first: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            name.clone_into(&mut family);
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let (of, value) = line.rsplit_once(' ').expect(line);
        let value: f64 = value.parse().expect(line);
        let (name, labels) = match of.split_once('{') {
            None => (of, BTreeMap::new()),
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').expect(line);
                let labels = labels.split(',').map(|label| {
                    let (name, value) = label.split_once('=').expect(line);
                    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).expect(line);
                    (name.to_owned(), value.to_owned())
                });
                (name, labels.collect())
            }
        };
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let kind = &families[&family];
        let rest = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} is of no family"));
        match kind.as_str() {
            "histogram" => assert!(["_sum", "_count", "_bucket"].contains(&rest), "{line}"),
            _ => assert_eq!(rest, "", "{line}"),
        }
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        assert!(series.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }
    for ((name, labels), value) in &series {
        // Buckets grow, and the last one is the count.
        if let Some(family) = name.strip_suffix("_bucket").filter(|_| labels["le"] == "+Inf") {
            let mut of = labels.clone();
            of.remove("le");
            assert_eq!(series[&(format!("{family}_count"), of.clone())], *value, "{name}");
            let mut buckets: Vec<(f64, f64)> = series
                .iter()
                .filter(|((n, l), _)| n == name && of.iter().all(|(k, v)| l.get(k) == Some(v)))
                .map(|((_, l), n)| (l["le"].parse().unwrap_or(f64::INFINITY), *n))
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{buckets:?}");
        }
    }
    series
}

fn of(series: &BTreeMap<Series, f64>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    series.get(&(name.to_owned(), labels)).copied()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_read_by_admins_move_and_name_nobody() {
    on_both(async |db| {
        let world =
            World::everybody(db).config("roles: { member: { profile: full } }").config(SHELL).start().await;
        let id = world.shell(BOB).await;
        let missing = world.rest(BOB, "GET", "/sessions/0193b2a0-0000-7000-8000-00000000dead", None).await;
        assert_eq!(missing.status, 404);
        assert_eq!(world.rest(BOB, "GET", "/audit", None).await.status, 404);
        let (head, text) = get(&world, ANN, "/metrics").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let first = parsed(&text);
        for (name, labels, least) in [
            ("teleclaude_requests_total", &[("action", "session.start"), ("outcome", "ok")][..], 1.0),
            ("teleclaude_requests_total", &[("action", "session.show"), ("outcome", "not_found")], 1.0),
            ("teleclaude_request_duration_seconds_count", &[("action", "session.start")], 1.0),
            ("teleclaude_denials_total", &[("action", "audit.list")], 1.0),
            ("teleclaude_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
            ("teleclaude_database_up", &[("engine", world.app.store().engine())], 1.0),
            ("teleclaude_writer_queue_max", &[], 1024.0),
            ("teleclaude_writer_writes_total", &[], 3.0),
            ("teleclaude_writer_commit_seconds_count", &[], 3.0),
            ("teleclaude_audit_rows_total", &[], 1.0),
            ("teleclaude_sessions", &[("agent", "shell"), ("status", "running")], 1.0),
            ("teleclaude_sessions", &[("agent", "claude"), ("status", "running")], 0.0),
            ("teleclaude_hosts_adopted_total", &[], 0.0),
            ("teleclaude_sessions_lost_total", &[], 0.0),
            ("process_resident_memory_bytes", &[], 1e6),
            ("process_cpu_seconds_total", &[], 0.0),
            ("process_start_time_seconds", &[], 1.7e9),
        ] {
            let n = of(&first, name, labels);
            assert!(n.is_some_and(|n| n >= least), "{name} {labels:?}: {n:?}\n{text}");
        }
        // Labels are a few known words: nothing of a person, a session or a project.
        let known: BTreeSet<&str> =
            ["action", "outcome", "le", "engine", "status", "agent", "version", "job"].into();
        for (name, labels) in first.keys() {
            assert!(labels.keys().all(|label| known.contains(label.as_str())), "{name} {labels:?}");
            if let Some(action) = labels.get("action") {
                assert!(Verb::ALL.iter().any(|verb| verb.name() == action), "{action}");
            }
        }
        for word in ["bob", "ann\"", "work", id.as_str(), &BOB.to_string()] {
            assert!(!text.contains(word), "{word}: {text}");
        }

        let ended = world.rest(BOB, "POST", &format!("/sessions/{id}/end"), Some(json!({}))).await;
        assert_eq!(ended.status, 200);
        world.until(BOB, &id, |row| row["status"] == "ended").await;
        let second = parsed(&get(&world, ANN, "/api/v1/metrics").await.1);
        assert_eq!(
            of(&second, "teleclaude_sessions", &[("agent", "shell"), ("status", "running")]),
            Some(0.0)
        );
        for ((name, labels), before) in &first {
            if name.ends_with("_total") || name.ends_with("_count") || name.ends_with("_bucket") {
                let after = second[&(name.clone(), labels.clone())];
                assert!(after >= *before, "{name} {labels:?} went from {before} to {after}");
            }
        }
        let asked = [("action", "metrics.read"), ("outcome", "ok")];
        assert_eq!(of(&second, "teleclaude_requests_total", &asked), Some(1.0));

        for uid in [BOB, STRANGER] {
            let (head, text) = get(&world, uid, "/metrics").await;
            assert!(head.starts_with("http/1.1 404"), "{head}");
            assert!(!text.contains("teleclaude_"), "{text}");
        }
        world.end().await;
    })
    .await;
}
