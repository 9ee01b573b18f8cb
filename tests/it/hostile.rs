//! What a program may show to harm who looks, or those beside it: sequences that a terminal obeys, a flood, characters of
//! every width. Against the built program, looked at through its own command line.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use crate::process::{Asker, World, said, until};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::time::Instant;
use teleclaude::host::recording::{self, Code};

fn send(me: &Asker, id: &str, line: &str) {
    let answer = me.post(&format!("/sessions/{id}/messages"), json!({ "message": line })).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn shown(world: &World, id: &str) -> String {
    let events = recording::read(&world.recording(id)).unwrap();
    events.filter(|event| event.code == Code::Output).map(|event| event.data).collect()
}

/// Whether a terminal would do something about it other than to show it.
fn obeyed(text: &str) -> bool {
    let marks = ['\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2028}'];
    text.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || marks.contains(&c))
}

/// An agent whose own log holds what a terminal obeys, as text, as a tool's name and as what a tool gave.
const SCRIBE: &str = r#"agents:
  scribe:
    enabled: true
    command: /bin/sh
    args:
      - -c
      - 'd=$HOME/.claude/projects/p; mkdir -p $d; cat "$(pwd)/log" >$d/$0.jsonl; echo there; exec sleep 600'
    profiles: { full: [] }
    native_id: ["{id}"]
    transcript: claude
"#;

#[test]
fn what_was_shown_or_said_moves_no_terminal_of_who_reads_it() {
    let bomb = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}31m\u{1b}]52;c;AAAA\u{1b}\\\u{202e}back\u{8}\r";
    let mut world = World::single(SCRIBE);
    let call =
        json!({ "type": "tool_use", "id": "c1", "name": format!("B{bomb}"), "input": { "command": bomb } });
    let lines = [
        json!({ "type": "user", "message": { "content": format!("text {bomb}") } }),
        json!({ "type": "assistant", "message": { "id": "m1", "model": bomb, "content": [call] } }),
        json!({ "type": "user", "message": { "content": [
            { "type": "tool_result", "tool_use_id": "c1", "content": bomb },
        ] } }),
        json!({ "type": "user", "message": { "content": "the last line" } }),
    ];
    let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(world.project().join("log"), log).unwrap();
    world.up();
    let me = world.me();

    // On a terminal.
    let shell = world.session(&me, "shell");
    let printed = r"printf '\033]0;pwned\007\033[2J\302\23331m\342\200\256back\010\rthe %s line\n' last";
    send(&me, &shell, printed);
    until("it is shown", || shown(&world, &shell).contains("the last line"));
    assert!(obeyed(&shown(&world, &shell)), "the recording keeps what was shown as it was");
    // In an agent's own log.
    let scribe = world.session(&me, "scribe");
    let read = |id: &str, more: &[&str]| {
        let output = world.run(None, &[&["transcript", id, "--all"], more].concat());
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    until("the log was copied", || read(&scribe, &[]).contains("the last line"));
    for id in [&shell, &scribe] {
        for more in [&[][..], &["--format", "json"], &["--json"]] {
            let text = read(id, more);
            assert!(
                text.contains("the last line") && text.contains("back") && !obeyed(&text),
                "{more:?}: {text:?}"
            );
        }
    }
    // It is spelt out, not gone.
    assert!(read(&scribe, &[]).contains(r"text \x1b]0;pwned\x07\x1b[2J\x9b31m"), "{}", read(&scribe, &[]));

    // A title with it is none; nor is one that somebody else's agent would give.
    let project = world.project().display().to_string();
    let start = ["sessions", "start", "shell", "--project", &project, "--title", bomb];
    let refused = world.run(None, &start);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("title") && !obeyed(&said), "{said:?}");
    for command in [&["sessions", "list"][..], &["sessions", "show", &scribe], &["audit", "list"]] {
        let output = world.run(None, command);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !obeyed(&text), "{command:?}: {text:?}");
    }
    for id in [&shell, &scribe] {
        world.run(None, &["sessions", "end", id]);
        me.until_status(id, "ended");
    }
}

#[test]
fn a_flood_leaves_its_session_alive_and_its_neighbour_undisturbed() {
    let mut world = World::single("sessions: { recording: { max_bytes: 2000000 } }\n");
    world.up();
    let me = world.me();
    let (flood, calm) = (world.session(&me, "shell"), world.session(&me, "shell"));
    let run = world.host(&flood).unwrap();
    let path = |name: &str| world.project().join(name);
    // As fast as it can, until it is told to stop: more than any terminal takes.
    send(
        &me,
        &flood,
        "while [ ! -e stop ]; do yes flood | head -c 1000000; echo x >>count; done; echo x >over",
    );
    until("the flood has come", || path("count").exists());
    let began = Instant::now();
    for n in 0..10 {
        send(&me, &calm, &format!("echo calm-{n}-$(({n} + 1000))"));
        until("the neighbour answers", || shown(&world, &calm).contains(&format!("calm-{n}-{}", n + 1000)));
    }
    // Reading what the flood left goes on, too; it is what fits in.
    let read = me.get(&format!("/sessions/{flood}/transcript?tail_chars=200")).unwrap();
    assert_eq!(read.status, 200, "{read:?}");
    until("it was left out", || fs::metadata(path("count")).unwrap().len() >= 2 * 3);
    assert!(!path("over").exists(), "it floods still");
    let floods = fs::read_to_string(path("count")).unwrap().lines().count();
    let rate = floods as f64 / began.elapsed().as_secs_f64();
    let _ =
        writeln!(std::io::stderr(), "{rate:.0} MB a second came in beside ten answers of the neighbour's");
    fs::write(path("stop"), "").unwrap();
    until("the flood is over", || path("over").exists());
    // The same host, the same shell, and it does what it is told.
    assert_eq!(world.host(&flood).unwrap(), run);
    send(&me, &flood, "echo x >after");
    until("it lives", || path("after").exists());
    for id in [&flood, &calm] {
        me.post(&format!("/sessions/{id}/end"), json!({})).unwrap();
        me.until_status(id, "ended");
        assert_eq!(world.living(id, None), [0; 0]);
    }
    let markers = |id: &str| -> String {
        let events = recording::read(&world.recording(id)).unwrap();
        events.filter(|event| event.code == Code::Marker).map(|event| event.data + "\n").collect()
    };
    let left = markers(&flood);
    assert!(
        left.contains("recording stops here: the limit of 2000000 bytes") && left.contains("were left out"),
        "{left}"
    );
    assert!(fs::metadata(world.recording(&flood)).unwrap().len() <= 2_000_000);
    let of_calm = markers(&calm);
    assert!(!of_calm.contains("left out") && !of_calm.contains("stops"), "{of_calm}");
    // The hole is in the audit log, of that session alone.
    let gaps = me.all("/audit?action=recording.gap", "rows");
    assert!(!gaps.is_empty() && gaps.iter().all(|row| row["session_id"] == flood.as_str()), "{gaps:?}");
}

#[test]
fn wide_and_combining_characters_are_kept_as_they_were() {
    let mut world = World::single("");
    world.up();
    let me = world.me();
    let id = world.session(&me, "shell");
    let words = "漢字かな 한국어 e\u{301}\u{302} 👩\u{200d}👩\u{200d}👧 🇵🇱 ż\u{fe0f} العربية";
    // Longer than a line, so that wide characters meet its end.
    let long = "漢e\u{301}".repeat(70);
    send(&me, &id, &format!("echo 'begin {words}'; echo '{long} end'"));
    let text = || {
        let output = world.run(None, &["transcript", &id, "--all"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let wanted = [format!("\nbegin {words}\n"), format!("\n{long} end\n")];
    until("it is in the transcript", || wanted.iter().all(|line| text().contains(line)));
    me.post(&format!("/sessions/{id}/end"), json!({})).unwrap();
    me.until_status(&id, "ended");
}
