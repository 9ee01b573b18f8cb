//! Whatever a program writes: no stream of bytes, no size and no file brings host, screen or readers down, and what was
//! recorded shows the same screen again. Streams are made of what terminals act upon, cut and broken at random.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;
use teleclaude::agent::transcript::Reader as LogReader;
use teleclaude::config::schema::agents::TranscriptFormat;
use teleclaude::domain::timestamp::Timestamp;
use teleclaude::host::message::{Message, Typing};
use teleclaude::host::protocol::{FromHost, Known, ToHost};
use teleclaude::host::recording::{self, Code, Event, Header, Reader, Recorded, Writer};
use teleclaude::host::screen::{Decoder, Screen};
use teleclaude::host::spec::Size;
use teleclaude::host::text;

const BEGIN: Timestamp = Timestamp::from_micros(1_700_000_000_123_456);
const SCROLLBACK: usize = 200;

/// What happens to a terminal.
#[derive(Clone, Debug)]
enum Happens {
    Output(Vec<u8>),
    Resize(Size),
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0_u32..12).prop_map(|n| n.to_string()),
        2 => (0_u32..700).prop_map(|n| n.to_string()),
        1 => Just(String::new()),
        1 => prop_oneof![Just("65535"), Just("65536"), Just("4294967296"), Just("99999999999999999999")]
            .prop_map(str::to_owned),
    ]
}

/// A piece of what programs write: text of every width, and what moves, erases, scrolls, switches and asks.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let csi = (
        prop_oneof![5 => Just(""), 2 => Just("?"), 1 => Just(">"), 1 => Just("!"), 1 => Just("=")],
        vec(number(), 0..4),
        prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("$"), 1 => Just("'")],
        0x40_u8..0x7f,
    )
        .prop_map(|(private, numbers, between, last)| {
            format!("\x1b[{private}{}{between}{}", numbers.join(";"), char::from(last))
        });
    let known = prop_oneof![
        Just("\x1b[?1049h"),
        Just("\x1b[?1049l"),
        Just("\x1b[?47h"),
        Just("\x1b[?6h"),
        Just("\x1b[?7l"),
        Just("\x1b[4h"),
        Just("\x1b[?2004h"),
        Just("\x1b[2J"),
        Just("\x1b[3J"),
        Just("\x1b[r"),
        Just("\x1b[2;3r"),
        Just("\x1b[5;2r"),
        Just("\x1b7"),
        Just("\x1b8"),
        Just("\x1bc"),
        Just("\x1bM"),
        Just("\x1bD"),
        Just("\x1bE"),
        Just("\x1bH"),
        Just("\x1b#8"),
        Just("\x1b(0"),
        Just("\x1b(B"),
        Just("\x0e"),
        Just("\x0f"),
        Just("\x1b[6n"),
        Just("\x1b[c"),
        Just("\x1b]0;title\x07"),
        Just("\x1b]52;c;AAAA\x1b\\"),
        Just("\x1bP+q544e\x1b\\"),
        Just("\x1b]8;;http://x\x07"),
        Just("\u{9b}2J"),
        Just("\u{90}x"),
        Just("\x1b[38;2;1;2;3m"),
        Just("\x1b[38;5"),
        Just("\x1b[!p"),
        Just("漢字"),
        Just("e\u{301}\u{302}"),
        Just("👩\u{200d}👩\u{200d}👧"),
        Just("\u{202e}abc"),
        Just("\u{fe0f}"),
        Just("\r\n"),
        Just("\r"),
        Just("\n"),
        Just("\t"),
        Just("\x08"),
        Just("\x0b\x0c"),
        Just("\x7f\0\x05"),
    ]
    .prop_map(str::to_owned);
    prop_oneof![
        4 => "[ -~]{1,40}".prop_map(String::into_bytes),
        3 => csi.prop_map(String::into_bytes),
        4 => known.prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..12),
    ]
}

fn size() -> impl Strategy<Value = Size> {
    let side = || prop_oneof![6 => 1_u16..40, 1 => Just(0_u16), 1 => Just(1), 1 => Just(10_000), 1 => Just(u16::MAX)];
    (side(), side()).prop_map(|(cols, rows)| Size { cols, rows })
}

fn story() -> impl Strategy<Value = Vec<Happens>> {
    let output = vec(piece(), 1..12).prop_map(|pieces| Happens::Output(pieces.concat()));
    // Cut anywhere, in the middle of a character or of a sequence too.
    let cut = (vec(piece(), 1..12), any::<prop::sample::Index>()).prop_map(|(pieces, at)| {
        let mut bytes = pieces.concat();
        bytes.truncate(at.index(bytes.len() + 1));
        Happens::Output(bytes)
    });
    vec(prop_oneof![4 => output, 2 => cut, 1 => size().prop_map(Happens::Resize)], 0..14)
}

/// So many pieces at random, for a terminal that is a real one.
pub fn any_bytes(pieces: usize) -> Vec<u8> {
    let mut runner = TestRunner::default();
    vec(piece(), pieces).new_tree(&mut runner).unwrap().current().concat()
}

/// Lets it happen to a screen and a recording as a host does: recorded first, then shown.
fn live(path: &Path, first: Size, story: &[Happens]) -> Screen {
    let mut screen = Screen::new(first, SCROLLBACK);
    let mut writer = Writer::open(path, &Header::new(first.clamped(), BEGIN, None), BEGIN, 1 << 30).unwrap();
    let (mut decoder, mut at) = (Decoder::default(), BEGIN);
    for happens in story {
        at = at.plus(Duration::from_millis(7));
        match happens {
            Happens::Output(bytes) => {
                let text = decoder.push(bytes);
                assert_eq!(writer.output(&text, at), Recorded::Kept);
                screen.feed(&text);
            }
            Happens::Resize(size) => {
                let size = size.clamped();
                screen.resize(size);
                assert_eq!(writer.resize(size, at), Recorded::Kept);
            }
        }
    }
    let rest = decoder.finish();
    assert_eq!(writer.output(rest, at), Recorded::Kept);
    screen.feed(rest);
    writer.finish(0, None, at).unwrap();
    screen
}

/// The screen that a recording leads to.
pub fn replayed(path: &Path, scrollback: usize) -> Screen {
    let reader = Reader::open(path).unwrap();
    let mut screen = Screen::new(reader.header().size(), scrollback);
    for Event { code, data, .. } in reader {
        match code {
            Code::Output => drop(screen.feed(&data)),
            Code::Resize => {
                let (cols, rows) = data.split_once('x').unwrap();
                screen.resize(Size { cols: cols.parse().unwrap(), rows: rows.parse().unwrap() });
            }
            Code::Input | Code::Marker | Code::Exit => {}
        }
    }
    screen
}

proptest! {
    #[test]
    fn a_recording_replays_to_the_same_screen(first in size(), story in story()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        let screen = live(&path, first, &story);
        let again = replayed(&path, SCROLLBACK);
        prop_assert_eq!(screen.dump(), again.dump());
        prop_assert_eq!(screen.text(SCROLLBACK), again.text(SCROLLBACK));
        prop_assert_eq!(screen.size(), again.size());
        // And its text can be had, whatever it is.
        text::render(&path, None, None, text::Limits::default()).unwrap();
        text::render(&path, Some(BEGIN), Some(BEGIN), text::Limits { bytes: 50, lines: 3 }).unwrap();
    }

    #[test]
    fn what_a_screen_dumps_paints_the_same_screen(first in size(), story in story()) {
        let dir = tempfile::tempdir().unwrap();
        let screen = live(&dir.path().join("a.cast"), first, &story);
        let mut painted = Screen::new(screen.size(), 0);
        painted.feed(&screen.dump());
        prop_assert_eq!(painted.text(0), screen.text(0));
        prop_assert_eq!(painted.wants_bracketed_paste(), screen.wants_bracketed_paste());
    }

    #[test]
    fn any_file_is_a_recording_or_none(
        header in any::<bool>(),
        lines in vec(prop_oneof![
            vec(any::<u8>(), 0..40),
            (any::<f64>(), "[a-z]{0,2}", ".{0,20}").prop_map(|event| serde_json::to_vec(&event).unwrap()),
            (any::<f64>(), Just("r"), "[0-9]{0,6}x?[0-9]{0,6}").prop_map(|event| serde_json::to_vec(&event).unwrap()),
            Just(b"[1e308,\"o\",\"x\"]".to_vec()),
            Just(b"[-1,\"o\",\"x\"]".to_vec()),
        ], 0..12),
        torn in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.cast");
        let mut bytes = Vec::new();
        if header {
            bytes.extend_from_slice(b"{\"version\":3,\"term\":{\"cols\":9,\"rows\":0},\"timestamp\":9223372036854775807}\n");
        }
        bytes.extend(lines.join(&b'\n'));
        if !torn {
            bytes.push(b'\n');
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(reader) = Reader::open(&path) {
            let times: Vec<Timestamp> = reader.map(|event| event.at).collect();
            prop_assert!(times.is_sorted());
            text::render(&path, None, None, text::Limits::default()).unwrap();
        }
        // A host that died there is cleared up after, and a new one goes on.
        recording::repair(&path, "lost", BEGIN).unwrap();
        let ended = Reader::open(&path).unwrap().last().unwrap();
        prop_assert_eq!(ended.code, Code::Exit);
        let size = Size { cols: 10, rows: 3 };
        let mut writer = Writer::open(&path, &Header::new(size, BEGIN, None), BEGIN, 1 << 20).unwrap();
        prop_assert_eq!(writer.output("more", BEGIN), Recorded::Kept);
        let last = Reader::open(&path).unwrap().last().unwrap();
        prop_assert_eq!((last.code, last.data.as_str()), (Code::Output, "more"));
    }

    #[test]
    fn no_frame_brings_either_end_down(kind in any::<u8>(), payload in vec(any::<u8>(), 0..200), json in ".{0,60}") {
        for payload in [payload.as_slice(), json.as_bytes()] {
            // What is understood is what would have been said.
            if let Ok(Known::Frame(frame)) = ToHost::decode(kind, payload) {
                let said = frame.encode();
                prop_assert_eq!(ToHost::decode(said[4], &said[5..]), Ok(Known::Frame(frame)));
            }
            if let Ok(Known::Frame(frame)) = FromHost::decode(kind, payload) {
                let said = frame.encode();
                prop_assert_eq!(FromHost::decode(said[4], &said[5..]), Ok(Known::Frame(frame)));
            }
        }
    }

    #[test]
    fn no_message_presses_keys(text in prop_oneof![any::<String>(), vec(piece(), 0..8).prop_map(|p| String::from_utf8_lossy(&p.concat()).into_owned())], bracketed in any::<bool>()) {
        for typing in [Typing::Paste, Typing::Bare, Typing::Line] {
            let keys = Message { id: "m".to_owned(), text: text.clone(), typing }.keystrokes(bracketed);
            let inner = keys.strip_prefix("\x1b[200~").and_then(|k| k.strip_suffix("\x1b[201~")).unwrap_or(&keys);
            prop_assert!(inner.chars().all(|c| !c.is_control() || c == '\r' || c == '\t'), "{keys:?}");
        }
    }

    #[test]
    fn a_log_with_anything_anywhere_is_read_on(
        which in 0_usize..3,
        at in any::<prop::sample::Index>(),
        depth in 0_usize..6,
        strange in prop_oneof![
            Just(Value::Null), Just(Value::Bool(true)), any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from),
            ".{0,30}".prop_map(Value::from), Just(Value::Array(vec![Value::Array(Vec::new())])), Just(serde_json::json!({})),
            Just(serde_json::json!({ "type": ["x"], "content": { "text": 7 }, "$set": { "messages": "no" } })),
        ],
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let (format, text) = LOGS[which];
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = at.index(lines.len());
        let mut line: Value = serde_json::from_str(&lines[at]).unwrap();
        put(&mut line, depth, at, strange);
        lines[at] = line.to_string();
        let bytes = (lines.join("\n") + "\n").into_bytes();
        let mut whole = LogReader::new(format).unwrap();
        let read = whole.feed(&bytes);
        // It does not matter in how many pieces it comes.
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let mut pieces = LogReader::new(format).unwrap();
        let mut entries = Vec::new();
        for pair in places.windows(2) {
            entries.extend(pieces.feed(&bytes[pair[0]..pair[1]]).entries);
        }
        prop_assert_eq!(read.entries, entries);
        prop_assert_eq!(whole.skipped(), pieces.skipped());
    }
}

const LOGS: [(TranscriptFormat, &str); 3] = [
    (TranscriptFormat::Claude, include_str!("../fixtures/transcripts/claude.jsonl")),
    (TranscriptFormat::Codex, include_str!("../fixtures/transcripts/codex.jsonl")),
    (TranscriptFormat::Gemini, include_str!("../fixtures/transcripts/gemini.jsonl")),
];

/// Puts `strange` in the place of something so deep inside.
fn put(value: &mut Value, depth: usize, choice: usize, strange: Value) {
    let inside = match value {
        Value::Object(map) if depth > 0 && !map.is_empty() => {
            let which = choice % map.len();
            map.values_mut().nth(which)
        }
        Value::Array(all) if depth > 0 && !all.is_empty() => {
            let which = choice % all.len();
            all.get_mut(which)
        }
        _ => None,
    };
    match inside {
        Some(inside) => put(inside, depth - 1, choice / 2 + depth, strange),
        None => *value = strange,
    }
}

/// Sequences that ask for a lot with a few bytes, and characters that take no place or two.
const BOMBS: [&str; 12] = [
    "x\x1b[4294967295b",
    "\x1b[65535L\x1b[65535M",
    "\x1b[65535@\x1b[65535P",
    "\x1b[65535S\x1b[65535T",
    "\x1b[65535I\x1b[65535Z",
    "\x1b#8\x1b[2J",
    "\x1b[8;65535;65535t",
    "\x1b[?1049h\x1b[?1049l",
    "\x1b]0;\u{7}\x1b]2;",
    "e\u{301}\u{302}\u{303}\u{304}\u{305}",
    "漢👩\u{200d}👩\u{200d}👧\u{fe0f}",
    "\x1b[6n\x1b[c\x1b[5n",
];

#[test]
fn few_bytes_do_not_ask_for_much() {
    for bomb in BOMBS {
        let mut screen = Screen::new(Size { cols: 500, rows: 300 }, SCROLLBACK);
        for _ in 0..20 {
            screen.feed(bomb);
        }
        assert_eq!(screen.size(), Size { cols: 500, rows: 300 });
        assert!(screen.dump().len() < 4 << 20, "{bomb:?}: {} bytes of screen", screen.dump().len());
    }
}
