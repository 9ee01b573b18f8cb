//! One line to one JSON-RPC message, or to the error that says what is wrong with it. Pure.

use rmcp::model::{ClientJsonRpcMessage, ErrorCode, RequestId};
use serde_json::Value;
use std::sync::Arc;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Flaw {
    /// The request's id, where it can be read.
    pub id: Option<RequestId>,
    /// JSON-RPC code.
    pub code: ErrorCode,
    /// In words.
    pub message: &'static str,
}

/// Reads one line.
///
/// # Errors
/// [`Flaw`] with -32700 if it is not JSON (or nested deeper than 128), -32600 if it is JSON but no message.
pub fn parse(line: &[u8]) -> Result<ClientJsonRpcMessage, Flaw> {
    serde_json::from_slice(line).map_err(|_| diagnose(line))
}

/// Reads the line a second time to say what is wrong. Only lines that are refused pay for it.
fn diagnose(line: &[u8]) -> Flaw {
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return Flaw { id: None, code: ErrorCode::PARSE_ERROR, message: "not valid JSON" };
    };
    let id = match value.get("id") {
        Some(Value::String(text)) => Some(RequestId::String(Arc::from(text.as_str()))),
        Some(Value::Number(number)) => number.as_i64().map(RequestId::Number),
        _ => None,
    };
    let message = match &value {
        Value::Array(_) => "batches are not part of MCP: send one message a line",
        Value::Object(fields) if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") => {
            "jsonrpc must be \"2.0\""
        }
        Value::Object(fields) if fields.contains_key("id") && id.is_none() => {
            "id must be a string or an integer of 64 bits"
        }
        Value::Object(_) => "not a JSON-RPC request, notification or response",
        _ => "a JSON-RPC message is an object",
    };
    Flaw { id, code: ErrorCode::INVALID_REQUEST, message }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn each_flaw_is_named_and_carries_the_id_where_there_is_one() {
        let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
        let cases: &[(&[u8], i32, Option<&str>, &str)] = &[
            (b"{", -32700, None, "not valid JSON"),
            (b"\xff\xfe", -32700, None, "not valid JSON"),
            (b"\0", -32700, None, "not valid JSON"),
            (deep.as_bytes(), -32700, None, "not valid JSON"),
            (b"42", -32600, None, "object"),
            (b"[]", -32600, None, "batches"),
            (br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, None, "batches"),
            (br#"{"id":7,"method":"ping"}"#, -32600, Some("7"), "jsonrpc"),
            (br#"{"jsonrpc":"1.0","id":"x","method":"ping"}"#, -32600, Some("x"), "jsonrpc"),
            (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, None, "id must"),
            (br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600, None, "id must"),
            (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, None, "id must"),
            (br#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}"#, -32600, None, "id must"),
            (br#"{"jsonrpc":"2.0","id":3}"#, -32600, Some("3"), "not a JSON-RPC"),
            (br#"{"jsonrpc":"2.0","id":4,"method":5}"#, -32600, Some("4"), "not a JSON-RPC"),
        ];
        for (line, code, id, words) in cases {
            let flaw = parse(line).unwrap_err();
            let seen = String::from_utf8_lossy(line);
            assert_eq!(flaw.code.0, *code, "{seen}");
            assert_eq!(flaw.id.map(|id| id.to_string()).as_deref(), *id, "{seen}");
            assert!(flaw.message.contains(words), "{seen}: {}", flaw.message);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_comes_in_breaks_it(line in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Err(flaw) = parse(&line) {
                proptest::prop_assert!(flaw.code.0 == -32_700 || flaw.code.0 == -32_600);
            }
        }

        #[test]
        fn no_object_breaks_it_and_readable_ids_are_kept(
            id in proptest::num::i64::ANY,
            key in "jsonrpc|method|params|result|error|x",
            value in "null|1|\"2[.]0\"|\"ping\"|\\[\\]|\\{\\}",
        ) {
            let line = format!("{{\"id\":{id},\"{key}\":{value}}}");
            let flaw = parse(line.as_bytes()).unwrap_err();
            proptest::prop_assert_eq!(flaw.code.0, -32_600);
            proptest::prop_assert_eq!(flaw.id, Some(rmcp::model::RequestId::Number(id)));
        }
    }
}
