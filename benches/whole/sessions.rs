//! Sessions: how long a keystroke takes to come back through host and recorder, how much output they take, how fast
//! transcripts are kept, and how soon somebody who attaches sees the screen.

use crate::daemon::Home;
use crate::host::{Bare, Host};
use crate::report::{Cell, Goal, Report, median, quantile};
use crate::{Plan, ingest, paint, progress};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use teleclaude::host::protocol::ToHost;

/// Between two keystrokes: what one leaves to be done is not the next one's.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two questions how much was recorded.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A flood that takes longer is stuck.
const FLOODED_WITHIN: Duration = Duration::from_secs(300);
/// Gives back what is typed, byte by byte, and says when it is ready to.
const ECHO: &str = "stty raw -echo && printf R && exec cat";

/// Measures.
pub async fn measure(plan: &Plan, report: &mut Report) {
    echo(plan, report);
    flood(plan, report);
    paint::measure(plan, report).await;
    ingest::measure(plan, report).await;
}

/// Keystrokes through a bare terminal and through a host, in turns.
fn echo(plan: &Plan, report: &mut Report) {
    progress(&format!("sessions: {} keystrokes", plan.keystrokes));
    let home = Home::new();
    let host = Host::start(&home, ECHO, 64 << 20);
    let mut line = host.connect();
    line.say(&ToHost::Subscribe { from: 0 });
    assert_eq!(line.output(), b"R");
    let mut bare = Bare::start(ECHO);
    let mut buffer = [0; 64];
    assert_eq!(bare.read(&mut buffer), 1);
    let (mut floor, mut hosted) = (Vec::new(), Vec::new());
    for turn in 0..plan.keystrokes + 50 {
        std::thread::sleep(PAUSE);
        let typed = Instant::now();
        bare.write(b"x");
        let read = bare.read(&mut buffer);
        let alone = typed.elapsed();
        assert_eq!(&buffer[..read], b"x");
        std::thread::sleep(PAUSE);
        let typed = Instant::now();
        line.say(&ToHost::Write(b"x".to_vec()));
        let read = line.output();
        let through = typed.elapsed();
        assert_eq!(read, b"x");
        if turn >= 50 {
            floor.push(alone.as_secs_f64() * 1e6);
            hosted.push(through.as_secs_f64() * 1e6);
        }
    }
    floor.sort_by(f64::total_cmp);
    hosted.sort_by(f64::total_cmp);
    let adds = |share: f64| quantile(&hosted, share) - quantile(&floor, share);
    let row = |what: &str, of: &dyn Fn(f64) -> f64| {
        let shares = [0.5, 0.99, 1.0].map(|share| Cell::Number(of(share), 0));
        std::iter::once(Cell::text(what)).chain(shares).collect()
    };
    report.table(
        format!("A keystroke and its echo, {} of them", plan.keystrokes),
        &["through", "p50 µs", "p99 µs", "longest µs"],
        vec![
            row("a bare terminal", &|share| quantile(&floor, share)),
            row("host and recorder", &|share| quantile(&hosted, share)),
            row("difference", &adds),
        ],
    );
    report.goal("an echo through host and recorder adds, p99", adds(0.99) / 1e3, "ms", Goal::AtMost(1.0));
}

/// A flood of lines: read and thrown away, written by script(1), and through a host.
fn flood(plan: &Plan, report: &mut Report) {
    let bytes = plan.flood;
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for turn in 0..plan.rounds {
        progress(&format!("sessions: a flood of {} MB, round {} of {}", bytes >> 20, turn + 1, plan.rounds));
        let home = Home::new();
        rounds[0].push(through_bare(bytes));
        rounds[1].push(through_script(&home.path("typescript"), bytes));
        rounds[2].push(through_host(&home, bytes));
    }
    let [bare, script, host] = rounds.map(median);
    let row =
        |what: &str, rate: f64| vec![Cell::text(what), Cell::Number(rate, 1), Cell::Number(rate / script, 2)];
    report.table(
        format!("A flood of {} MB of lines", bytes >> 20),
        &["through", "MB/s", "script = 1"],
        vec![
            row("a bare terminal, thrown away", bare),
            row("script(1), to a file", script),
            row("host and recorder", host),
        ],
    );
    report.goal("a flood through host and recorder beside script(1)", host / script, "x", Goal::AtLeast(0.1));
}

/// The flood, from a terminal that changes nothing of it.
fn lines(bytes: u64) -> String {
    // The carriage return stays: only line feeds at the end are taken away.
    format!(
        "yes \"$(printf 'error[E0308]: mismatched types in src/module/file.rs:1234:56 \\r')\" | head -c {bytes}"
    )
}

/// The same, once a key was pressed.
fn lines_at_a_key(bytes: u64) -> String {
    format!("stty raw -echo && printf R && head -c 1 > /dev/null && {}", lines(bytes))
}

fn rate(bytes: u64, began: Instant) -> f64 {
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}

fn through_bare(bytes: u64) -> f64 {
    let mut bare = Bare::start(&lines_at_a_key(bytes));
    let mut buffer = [0; 16 * 1024];
    assert_eq!(bare.read(&mut buffer), 1);
    let began = Instant::now();
    bare.write(b"x");
    let mut left = bytes;
    while left > 0 {
        left = left.saturating_sub(bare.read(&mut buffer) as u64);
    }
    rate(bytes, began)
}

fn through_script(file: &Path, bytes: u64) -> f64 {
    let mut command = Command::new("/usr/bin/script");
    command.arg("-q").arg("-c").arg(format!("stty raw -echo; {}", lines(bytes))).arg(file);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh");
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("script(1) is installed");
    let rate = rate(bytes, began);
    assert!(status.success() && std::fs::metadata(file).unwrap().len() >= bytes, "{status}");
    rate
}

fn through_host(home: &Home, bytes: u64) -> f64 {
    let host = Host::start(home, &lines_at_a_key(bytes), bytes * 4);
    let mut line = host.connect();
    let until = |line: &mut crate::host::Line, seq: u64| {
        let asked = Instant::now();
        while line.status().seq < seq {
            assert!(asked.elapsed() < FLOODED_WITHIN, "the flood does not get through");
            std::thread::sleep(LOOK_EVERY);
        }
    };
    until(&mut line, 1);
    let began = Instant::now();
    line.say(&ToHost::Write(b"x".to_vec()));
    until(&mut line, bytes + 1);
    let rate = rate(bytes, began);
    assert!(std::fs::metadata(host.recording()).unwrap().len() > bytes, "all of it is recorded");
    rate
}
