//! Shared documents: how long a daemon takes to know many, what a page of the index and a text cost, and what it costs to
//! look again and again whether something changed.

use crate::daemon::{Home, cpu, resident};
use crate::report::{Cell, Goal, Report, quantile};
use crate::{Plan, progress};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use teleclaude::client::{Client, Endpoint};
use teleclaude::wire::docs::GetContext;

/// Texts that are asked for.
const GETS: u32 = 1_000;
/// Before it is given up that the daemon sees what there is.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the daemon is watched while nobody asks.
const IDLE: Duration = Duration::from_secs(20);

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    let many = plan.documents;
    progress(&format!("docs: {many} documents"));
    let home = Home::new();
    let folder = home.path(".local/share/teleclaude/docs");
    for n in 0..many {
        let folder = folder.join(format!("{:02}", n % 100));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{n:05}.md")), document(n)).unwrap();
    }
    let began = Instant::now();
    let daemon = home.daemon().await;
    let serves = began.elapsed();
    let client = Client::new(Endpoint::new(home.socket(), false));
    let known = loop {
        let known = client.doc_problems().await.unwrap().reply;
        if known.documents == i64::from(many) {
            break began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{} of {many} documents are known", known.documents);
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    report.goal(
        format!("{many} documents known, from the daemon's start"),
        ms(known),
        "ms",
        Goal::AtMost(1_000.0),
    );
    let mut rows = vec![vec![
        Cell::text("the daemon serves, from its start"),
        Cell::Number(ms(serves), 0),
        Cell::text("ms"),
    ]];
    let mut asked = GetContext { limit: Some(100), ..GetContext::default() };
    let mut pages = Vec::new();
    loop {
        let began = Instant::now();
        let page = client.context(&asked).await.unwrap().reply;
        pages.push(ms(began.elapsed()));
        asked.cursor = page.next_cursor;
        if asked.cursor.is_none() {
            break;
        }
    }
    pages.sort_by(f64::total_cmp);
    report.goal("a page of 100 of the index, p50", quantile(&pages, 0.5), "ms", Goal::AtMost(5.0));
    for (what, requirements) in [("alone", false), ("with the three it requires", true)] {
        let mut took = Vec::new();
        for turn in 0..GETS + 50 {
            let n = turn.wrapping_mul(7_919) % many;
            let ids = Some(vec![format!("team/d{n:05}")]);
            let asked = GetContext { ids, include_requirements: Some(requirements), ..GetContext::default() };
            let began = Instant::now();
            let reply = client.context(&asked).await.unwrap().reply;
            assert!(!reply.documents.is_empty());
            if turn >= 50 {
                took.push(ms(began.elapsed()));
            }
        }
        took.sort_by(f64::total_cmp);
        report.goal(format!("a document, {what}, p50"), quantile(&took, 0.5), "ms", Goal::AtMost(5.0));
        report.goal(format!("a document, {what}, p99"), quantile(&took, 0.99), "ms", Goal::AtMost(5.0));
    }
    let before = cpu(daemon.id());
    tokio::time::sleep(IDLE).await;
    let share = (cpu(daemon.id()) - before).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    report.goal(format!("of a processor, looking at {many} again and again"), share, "%", Goal::AtMost(3.0));
    // In the place of another, which nothing requires: there may be no more of them than there are.
    let place = folder.join(format!("{:02}/{:05}.md", (many - 1) % 100, many - 1));
    let began = Instant::now();
    std::fs::write(place, "---\nid: new\ndescription: d\ntype: t\n---\n").unwrap();
    while client.document("new").await.is_err() {
        assert!(began.elapsed() < PATIENCE, "a changed document is not seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    report.goal("a changed document is seen after", ms(began.elapsed()), "ms", Goal::AtMost(6_000.0));
    let memory = resident(daemon.id()) / 1_024.0;
    rows.push(vec![
        Cell::text("the daemon's memory, all of them known"),
        Cell::Number(memory, 1),
        Cell::text("MiB"),
    ]);
    report.table(format!("{many} shared documents"), &["what", "", ""], rows);
}

/// Some 4 KiB, which require three others.
fn document(n: u32) -> String {
    let requires = if n < 100 { "" } else { "requires:\n" };
    let mut text = format!(
        "---\nid: team/d{n:05}\ndescription: How the thing with the number {n} is done\ntype: guide\n{requires}"
    );
    for step in 0..if n < 100 { 0 } else { 3 } {
        let _ = writeln!(text, "  - team/d{:05}", (n + step * 31) % 100);
    }
    text.push_str("---\n");
    for line in 0..60 {
        let _ = writeln!(text, "{line}. A sentence of the kind that such documents are full of, number {n}.");
    }
    text
}
