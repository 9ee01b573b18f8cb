//! Bounds that clients can rely on. Those an operator may change are in `config` (`limits`).

/// Rows a list gives when `limit` is absent.
pub const PAGE_DEFAULT: u64 = 50;
/// Rows a list gives at most.
pub const PAGE_MAX: u64 = 100;
/// Characters of session content in one answer, at most.
pub const CONTENT_CHARS_MAX: usize = 48_000;
/// Characters of session content when `tail_chars` is absent.
pub const CONTENT_CHARS_DEFAULT: usize = 2_000;
/// Bytes of one message to an agent, at most.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Characters of a reason, at least and at most.
pub const REASON_CHARS: std::ops::RangeInclusive<usize> = 10..=1_000;
/// Bytes of a path, at most.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Groups of what was used on one page: at most, and where nothing is said.
pub const GROUPS_MAX: u64 = 1_000;
/// The latter.
pub const GROUPS_DEFAULT: u64 = 100;
/// Bytes of a `client_id`, at most.
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// Characters of a session id prefix, at least.
pub const SESSION_PREFIX_MIN: usize = 8;
/// Bytes of one answer, at most; beyond it there is a cursor.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Trailer that says how many rows an answer had that was sent in parts; without it the answer was cut off.
pub const COMPLETE_TRAILER: &str = "teleclaude-complete";
/// Header that says, as JSON, after which row of each chain those come that are followed.
pub const PLACES_HEADER: &str = "teleclaude-places";
/// Header of an answer that is no JSON, with where the next page begins.
pub const NEXT_CURSOR_HEADER: &str = "teleclaude-next-cursor";
/// Header in which an agent shows its session's token.
pub const TOKEN_HEADER: &str = "teleclaude-session-token";
/// Key of `_meta` in which an agent's MCP client shows its session's token.
pub const TOKEN_META: &str = "teleclaude/token";
