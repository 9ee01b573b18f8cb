//! Logs in the shapes that the real programs write, and logs that nobody should write.

use super::{LINE_BYTES_MAX, Read, Reader, Skipped};
use crate::config::schema::agents::TranscriptFormat;
use crate::domain::transcript::{EntryKind, Speaker, TEXT_BYTES_MAX};
use proptest::prelude::{any, prop_assert_eq, proptest};

const CLAUDE: &str = include_str!("../../../tests/fixtures/transcripts/claude.jsonl");
const CODEX: &str = include_str!("../../../tests/fixtures/transcripts/codex.jsonl");
const GEMINI: &str = include_str!("../../../tests/fixtures/transcripts/gemini.jsonl");
const ALL: [(TranscriptFormat, &str); 3] = [
    (TranscriptFormat::Claude, CLAUDE),
    (TranscriptFormat::Codex, CODEX),
    (TranscriptFormat::Gemini, GEMINI),
];

fn read(format: TranscriptFormat, text: &str) -> (Read, Skipped) {
    let mut reader = Reader::new(format).unwrap();
    let read = reader.feed(text.as_bytes());
    (read, reader.skipped())
}

/// One line an entry, one a usage.
fn shown(read: &Read) -> String {
    let mut out = String::new();
    for entry in &read.entries {
        let at = entry.at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let failed = if entry.failed { " failed" } else { "" };
        let side = if entry.sub_agent { " sub-agent" } else { "" };
        let tool = entry.tool.as_ref().map_or_else(String::new, |tool| format!(" ({tool})"));
        out.push_str(&format!(
            "{at} {} {}{tool}{failed}{side}: {:?}\n",
            entry.speaker.name(),
            entry.kind.name(),
            entry.text
        ));
    }
    for usage in &read.usage {
        let model = usage.model.as_deref().unwrap_or("-");
        out.push_str(&format!(
            "usage {model}: {} + {} cached + {} to the cache, {}\n",
            usage.input, usage.cached, usage.cache_write, usage.output
        ));
    }
    out
}

#[test]
fn a_log_that_an_agent_names_lies_where_it_keeps_its_logs() {
    use TranscriptFormat::{Claude, Codex, None as Nothing};
    for (format, path, expected) in [
        (Claude, "/home/ann/.claude/projects/-srv-work/a.jsonl", Some("-srv-work/a.jsonl")),
        (Codex, "/home/ann/.codex/sessions/2026/11/21/rollout.jsonl", Some("2026/11/21/rollout.jsonl")),
        (Claude, "/etc/shadow", None),
        (Claude, "/home/ann/.claude/projects/../../.ssh/id", None),
        (Claude, "/home/ann/.claude/projects/", None),
        (Claude, ".claude/projects/a.jsonl", None),
        (Codex, "/home/ann/.claude/projects/a.jsonl", None),
        (Nothing, "/home/ann//x", None),
    ] {
        assert_eq!(super::below(format, path), expected, "{path}");
    }
}

#[test]
fn what_the_real_programs_write_is_read_whole() {
    for (format, text) in ALL {
        let (read, skipped) = read(format, text);
        assert_eq!(skipped, Skipped::default(), "{format:?}");
        insta::assert_snapshot!(format!("{format:?}").to_lowercase(), shown(&read));
    }
}

#[test]
fn it_does_not_matter_where_the_pieces_end() {
    for (format, text) in ALL {
        let (whole, _) = read(format, text);
        for size in [1, 7, 100, 4_096] {
            let mut reader = Reader::new(format).unwrap();
            let mut together = Read::default();
            for piece in text.as_bytes().chunks(size) {
                let read = reader.feed(piece);
                together.entries.extend(read.entries);
                together.usage.extend(read.usage);
            }
            assert_eq!(together, whole, "{format:?} in pieces of {size}");
            assert_eq!(reader.waiting(), 0);
        }
    }
}

#[test]
fn a_half_line_waits_and_a_replaced_file_goes_on() {
    let (first, rest) = CLAUDE.split_at(CLAUDE.find("\"alpha").unwrap_or(3_000));
    let mut reader = Reader::new(TranscriptFormat::Claude).unwrap();
    let before = reader.feed(first.as_bytes()).entries.len();
    assert!(reader.waiting() > 0);
    assert_eq!(
        before + reader.feed(rest.as_bytes()).entries.len(),
        read(TranscriptFormat::Claude, CLAUDE).0.entries.len()
    );
    reader.feed(b"{\"type\":\"user\"");
    reader.begin_again();
    let again = reader.feed(CLAUDE.as_bytes());
    assert!(!again.entries.is_empty());
    assert_eq!(reader.skipped().malformed, 1);
}

#[test]
fn a_resumed_gemini_session_tells_nothing_twice() {
    let mut reader = Reader::new(TranscriptFormat::Gemini).unwrap();
    let first = reader.feed(GEMINI.as_bytes());
    assert!(!first.entries.is_empty());
    assert_eq!(reader.feed(GEMINI.as_bytes()), Read::default());
}

#[test]
fn what_is_not_understood_is_counted_and_passed_over() {
    let text = "not json\n[1]\n{\"type\":\"of the future\"}\n\u{feff}\n\n{\"type\":\"user\",\"message\":{\"content\":\"hello\"}}\n";
    let (read, skipped) = read(TranscriptFormat::Claude, text);
    assert_eq!(read.entries.len(), 1);
    assert_eq!(read.entries[0].text, "hello");
    assert_eq!(skipped, Skipped { malformed: 3, unknown: 1, too_long: 0 });
}

#[test]
fn a_line_without_end_needs_no_memory_and_leaves_a_notice() {
    let mut reader = Reader::new(TranscriptFormat::Codex).unwrap();
    let piece = vec![b'x'; 1 << 20];
    let mut said = 0;
    for _ in 0..200 {
        said += reader.feed(&piece).entries.len();
        assert!(reader.line.capacity() <= 2 * LINE_BYTES_MAX);
    }
    assert_eq!((said, reader.waiting()), (0, 200 << 20));
    let read = reader.feed(b"\n{\"type\":\"compacted\",\"payload\":{}}\n");
    assert_eq!(read.entries[0].text, format!("a line of {} bytes was left out", 200_u64 << 20));
    assert_eq!(read.entries.len(), 2);
    assert_eq!(reader.skipped().too_long, 1);
}

#[test]
fn a_text_that_is_too_long_says_what_is_missing() {
    let line =
        format!("{{\"type\":\"user\",\"message\":{{\"content\":\"{}\"}}}}\n", "ä".repeat(TEXT_BYTES_MAX));
    let (read, _) = read(TranscriptFormat::Claude, &line);
    assert!(read.entries[0].text.len() <= TEXT_BYTES_MAX);
    assert!(read.entries[0].text.ends_with("bytes left out]"));
}

#[test]
fn results_know_their_calls_and_an_answer_is_counted_once() {
    let block = |content: &str| {
        format!(
            "{{\"type\":\"assistant\",\"message\":{{\"id\":\"m1\",\"model\":\"made-up\",\"usage\":{{\"input_tokens\":1,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,\"output_tokens\":4}},\"content\":[{content}]}}}}\n"
        )
    };
    let text = block("{\"type\":\"thinking\",\"thinking\":\"hm\"}")
        + &block("{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"Read\",\"input\":{\"file_path\":\"a\"}}")
        + "{\"type\":\"user\",\"isSidechain\":true,\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"c1\",\"is_error\":true,\"content\":[{\"type\":\"text\",\"text\":\"no\"},{\"type\":\"image\"}]}]}}\n";
    let (read, _) = read(TranscriptFormat::Claude, &text);
    let result = read.entries.last().unwrap();
    assert_eq!((result.speaker, result.kind), (Speaker::Tool, EntryKind::ToolResult));
    assert_eq!((result.tool.as_deref(), result.failed, result.sub_agent), (Some("Read"), true, true));
    assert_eq!(result.text, "no\n[image]");
    assert_eq!(read.usage.len(), 1);
    let usage = &read.usage[0];
    assert_eq!((usage.input, usage.cached, usage.cache_write, usage.output), (1, 3, 2, 4));
}

/// The whole of what a log says was used: input, cached, to the cache, output.
fn used(format: TranscriptFormat, text: &str) -> [u64; 4] {
    read(format, text).0.usage.iter().fold([0; 4], |sum, usage| {
        let one = [usage.input, usage.cached, usage.cache_write, usage.output];
        std::array::from_fn(|i| sum[i] + one[i])
    })
}

#[test]
fn the_last_line_of_an_answer_says_what_it_cost() {
    let line = |id: &str, output: u64| {
        format!(
            "{{\"type\":\"assistant\",\"message\":{{\"id\":\"{id}\",\"model\":\"made-up\",\"usage\":{{\"input_tokens\":9,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":300,\"output_tokens\":{output}}},\"content\":[]}}}}\n"
        )
    };
    // A sub-agent's answer comes in between.
    let text = [line("a", 1), line("a", 1), line("b", 5), line("a", 170), line("b", 5), line("a", 170)];
    assert_eq!(used(TranscriptFormat::Claude, &text.concat()), [18, 600, 40, 175]);
    let (read, _) = read(TranscriptFormat::Claude, &text.concat());
    assert_eq!(read.usage.len(), 3, "what adds nothing is no row");
}

#[test]
fn a_count_that_codex_tells_again_is_counted_once() {
    let count = |total: u64, last: u64| {
        format!(
            "{{\"type\":\"event_msg\",\"payload\":{{\"type\":\"token_count\",\"info\":{{\"total_token_usage\":{{\"total_tokens\":{total}}},\"last_token_usage\":{{\"input_tokens\":{last},\"cached_input_tokens\":40,\"cache_write_input_tokens\":8,\"output_tokens\":7}}}}}}}}\n"
        )
    };
    let text = [count(107, 100), count(107, 100), count(164, 50)].concat();
    assert_eq!(used(TranscriptFormat::Codex, &text), [54, 80, 16, 14]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), which in 0_usize..3) {
        Reader::new(ALL[which].0).unwrap().feed(&bytes);
    }

    #[test]
    fn a_changed_byte_changes_little(at in 0_usize..6_000, byte in any::<u8>(), which in 0_usize..3) {
        let (format, text) = ALL[which];
        let mut bytes = text.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let mut reader = Reader::new(format).unwrap();
        reader.feed(&bytes);
        // A broken line costs that line; a line break in the middle of one, two.
        let skipped = reader.skipped();
        prop_assert_eq!(skipped.malformed + skipped.unknown <= 2, true);
    }
}
