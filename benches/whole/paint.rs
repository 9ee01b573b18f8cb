//! Attaching: from the request to the end of the first paint, of a large screen full of colours with a long scrollback,
//! beside `whoami` on a new connection to the same socket.

use crate::daemon::{Home, PATIENCE};
use crate::report::{Cell, Goal, Report, quantile};
use crate::{Plan, progress};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use teleclaude::client::attach::{Receiver, Sender};
use teleclaude::client::{Client, Endpoint};
use teleclaude::wire::attach::{FromDaemon, TerminalSize};
use teleclaude::wire::request::{AttachSession, EndSession, StartSession};
use tokio::time::timeout;

const SIZE: TerminalSize = TerminalSize { cols: 200, rows: 50 };
/// Lines that are shown before.
const SCROLLBACK: u32 = 10_000;
/// Nothing more belongs to a paint after such a silence.
const SILENCE: Duration = Duration::from_millis(500);
/// What stands in the screen's corner when it is full.
const FULL: &str = "all-painted";

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    progress(&format!("sessions: {} first paints", plan.paints));
    let home = Home::new();
    std::fs::create_dir_all(home.path(".config/teleclaude")).unwrap();
    let config = "agents: { shell: { enabled: true, command: /bin/sh } }\n";
    std::fs::write(home.path(".config/teleclaude/config.yml"), config).unwrap();
    std::fs::create_dir_all(home.path("project")).unwrap();
    std::fs::write(home.path("project/screen"), screen()).unwrap();
    let mut daemon = home.daemon().await;
    let endpoint = Endpoint::new(home.socket(), false);
    let client = Client::new(endpoint.clone());
    let start = StartSession {
        project: home.path("project").display().to_string(),
        agent: Some("shell".to_owned()),
        ..StartSession::default()
    };
    let session_id = client.start_session(&start).await.unwrap().reply.session.session_id;
    let asked = AttachSession { session_id, input: true, size: Some(SIZE), reason: None };

    // Stays, so that the terminal keeps its size while others come and go.
    let (mut keys, mut shown) = client.attach(&asked).await.unwrap();
    keys.input(b"cat screen; read line\r").await.unwrap();
    let mut tail = String::new();
    while !tail.contains(FULL) {
        tail.push_str(&String::from_utf8_lossy(&output(&mut shown).await));
        let from = tail.char_indices().rev().nth(1_000).map_or(0, |(at, _)| at);
        tail.drain(..from);
    }
    let drained = tokio::spawn(async move { while let Ok(Some(_)) = shown.next().await {} });

    let (keys_of_first, mut first) = Client::new(endpoint.clone()).attach(&asked).await.unwrap();
    let mut whole = output(&mut first).await;
    while let Ok(more) = timeout(SILENCE, output(&mut first)).await {
        whole.extend(more);
    }
    assert!(String::from_utf8_lossy(&whole).contains(FULL), "the screen is painted");
    leave(keys_of_first, first).await;

    let (mut floor, mut painted) = (Vec::new(), Vec::new());
    for _ in 0..plan.paints {
        let began = Instant::now();
        Client::new(endpoint.clone()).whoami().await.unwrap();
        floor.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        let (keys, mut shown) = Client::new(endpoint.clone()).attach(&asked).await.unwrap();
        let mut seen = 0;
        while seen < whole.len() {
            seen += output(&mut shown).await.len();
        }
        painted.push(began.elapsed().as_secs_f64() * 1e3);
        leave(keys, shown).await;
    }
    let end = EndSession { session_id: asked.session_id.clone(), remove_worktree: None, reason: None };
    client.end_session(&end).await.unwrap();
    let _ = timeout(PATIENCE, drained).await;
    daemon.stop();

    let row = |what: &str, took: &mut Vec<f64>, bytes: usize| {
        took.sort_by(f64::total_cmp);
        vec![
            Cell::text(what),
            Cell::Number(quantile(took, 0.5), 2),
            Cell::Number(quantile(took, 0.99), 2),
            Cell::Number(bytes as f64, 0),
        ]
    };
    let rows = vec![
        row("whoami on a new connection", &mut floor, 0),
        row("attach, to the end of the first paint", &mut painted, whole.len()),
    ];
    report.table(
        format!("A screen of {} x {} in colours, {SCROLLBACK} lines above it", SIZE.cols, SIZE.rows),
        &["what", "p50 ms", "p99 ms", "bytes of paint"],
        rows,
    );
    report.goal("first paint after attach, p99", quantile(&painted, 0.99), "ms", Goal::AtMost(50.0));
}

/// The next output.
async fn output(shown: &mut Receiver) -> Vec<u8> {
    loop {
        match timeout(PATIENCE, shown.next()).await.expect("nothing comes").unwrap() {
            Some(FromDaemon::Output(bytes)) => return bytes,
            Some(FromDaemon::Resized(_) | FromDaemon::Presence(_)) => {}
            other => panic!("no screen: {other:?}"),
        }
    }
}

/// Detaches, and waits until the daemon has seen it.
async fn leave(keys: Sender, mut shown: Receiver) {
    keys.detach().await.unwrap();
    while timeout(PATIENCE, shown.next()).await.expect("the daemon closes").is_ok_and(|frame| frame.is_some())
    {
    }
}

/// Lines of words, each in a colour of its own, that fill the screen and all above it.
fn screen() -> String {
    let mut out = String::new();
    for line in 0..SCROLLBACK + u32::from(SIZE.rows) {
        for word in 0..u32::from(SIZE.cols) / 8 {
            let colour = (line * 25 + word) % 216 + 16;
            let _ = write!(out, "\x1b[38;5;{colour}mw{:06} ", (line * 25 + word) % 1_000_000);
        }
        // A line that fills its row goes on in the next by itself.
        out.push_str("\x1b[0m\r\n");
    }
    out.push_str(FULL);
    out
}
