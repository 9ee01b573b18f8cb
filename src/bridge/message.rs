//! The little the bridge reads of a JSON-RPC line, the few places where it changes one (by splicing, never by
//! writing it anew), and the lines it says itself.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A JSON-RPC id as something to compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    /// A number, as it was spelt.
    Number(String),
    /// A string, unescaped.
    Text(String),
}

impl Id {
    /// The id spelt by raw JSON; `None` when it is neither a number nor a string, or too long.
    pub fn parse(raw: &str) -> Option<Self> {
        if raw.len() > super::line::ID_BYTES_MAX {
            return None;
        }
        match serde_json::from_str::<serde_json::Value>(raw).ok()? {
            serde_json::Value::String(text) => Some(Self::Text(text)),
            serde_json::Value::Number(_) => Some(Self::Number(raw.to_owned())),
            _ => None,
        }
    }
}

/// What is read of every line.
#[derive(Deserialize)]
pub struct Head<'a> {
    /// Present in requests and answers.
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    /// Present in requests and notifications.
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    /// Looked into for very few methods.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// Present in good answers.
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
    /// Present in bad answers.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
}

/// What is read of the params of a request.
#[derive(Default, Deserialize)]
pub struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    pub meta: Option<&'a RawValue>,
    /// The tool of `tools/call`.
    #[serde(borrow, default)]
    pub name: Option<&'a RawValue>,
    /// What the tool is given.
    #[serde(borrow, default)]
    pub arguments: Option<&'a RawValue>,
    /// The resource of `resources/subscribe`.
    #[serde(borrow, default)]
    pub uri: Option<&'a RawValue>,
    /// Which request `notifications/cancelled` means.
    #[serde(borrow, default, rename = "requestId")]
    pub request_id: Option<&'a RawValue>,
    /// What `initialize` asks for.
    #[serde(borrow, default, rename = "protocolVersion")]
    pub protocol_version: Option<&'a RawValue>,
    /// What `subscriptions/listen` asks for.
    #[serde(borrow, default)]
    pub notifications: Option<&'a RawValue>,
}

/// What is read of `_meta`.
#[derive(Default, Deserialize)]
pub struct Meta<'a> {
    /// Present in every request of the stateless era.
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    pub protocol_version: Option<&'a RawValue>,
    /// Which `subscriptions/listen` a notification belongs to.
    #[serde(borrow, default, rename = "io.modelcontextprotocol/subscriptionId")]
    pub subscription_id: Option<&'a RawValue>,
}

impl<'a> Params<'a> {
    /// The params of a line; empty when absent or of another shape (the daemon says what is wrong).
    pub fn of(head: &Head<'a>) -> Self {
        head.params.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// Its `_meta`; empty when absent or of another shape.
    pub fn meta(&self) -> Meta<'a> {
        self.meta.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}

/// The string that raw JSON spells.
pub fn string_of(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

/// `whole` with `part`, which must be a slice of it, replaced.
pub fn splice(whole: &str, part: &str, with: &str) -> String {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    let mut out = String::with_capacity(whole.len() - part.len() + with.len());
    out.push_str(&whole[..start]);
    out.push_str(with);
    out.push_str(&whole[start + part.len()..]);
    out
}

/// The entries of a JSON object in their order, as slices of it; `None` when it is not an object.
pub fn entries(object: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Entries;
    impl<'de> serde::de::Visitor<'de> for Entries {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(entry) = map.next_entry()? {
                all.push(entry);
            }
            Ok(all)
        }
    }
    let mut from = serde_json::Deserializer::from_str(object);
    let all = serde::Deserializer::deserialize_map(&mut from, Entries).ok()?;
    from.end().ok()?;
    Some(all)
}

/// A JSON object with `key` set to `value` (raw JSON), everything else as it was; `None` when it is no object.
pub fn with_entry(object: &str, key: &str, value: &str) -> Option<String> {
    let all = entries(object)?;
    if let Some((_, old)) = all.iter().rev().find(|(name, _)| name == key) {
        return Some(splice(object, old.get(), value));
    }
    let open = object.find('{')?;
    let comma = if all.is_empty() { "" } else { "," };
    let mut out = object.to_owned();
    out.insert_str(open + 1, &format!("{}:{value}{comma}", quoted(key)));
    Some(out)
}

/// `line` with `_meta[key]` of its params set to the string `value`; `None` when the params have no place for it.
pub fn with_meta(line: &str, key: &str, value: &str) -> Option<String> {
    let value = quoted(value);
    let head: Head<'_> = serde_json::from_str(line).ok()?;
    let Some(params) = head.params else {
        return with_entry(line, "params", &format!("{{\"_meta\":{{{}:{value}}}}}", quoted(key)));
    };
    let meta = match Params::of(&head).meta {
        Some(meta) => with_entry(meta.get(), key, &value)?,
        None => format!("{{{}:{value}}}", quoted(key)),
    };
    Some(splice(line, params.get(), &with_entry(params.get(), "_meta", &meta)?))
}

/// Text as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A request or notification of the bridge's own; `params` is raw JSON.
pub fn request(id: Option<&str>, method: &str, params: &str) -> Vec<u8> {
    let id = id.map(|id| format!("\"id\":{},", quoted(id))).unwrap_or_default();
    format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":{},\"params\":{params}}}", quoted(method)).into_bytes()
}

/// A good answer; `id` and `result` are raw JSON.
pub fn result(id: &str, result: &str) -> Vec<u8> {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}").into_bytes()
}

/// A JSON-RPC error; `id` is raw JSON, absent when it could not be read.
pub fn error(id: Option<&str>, code: i64, text: &str) -> Vec<u8> {
    let id = id.map(|id| format!("\"id\":{id},")).unwrap_or_default();
    format!("{{\"jsonrpc\":\"2.0\",{id}\"error\":{{\"code\":{code},\"message\":{}}}}}", quoted(text))
        .into_bytes()
}

/// A tool result with `isError`, which unlike an error is shown to the model.
pub fn tool_error(id: &str, modern: bool, text: &str) -> Vec<u8> {
    let kind = if modern { "\"resultType\":\"complete\"," } else { "" };
    let body =
        format!("{{{kind}\"content\":[{{\"type\":\"text\",\"text\":{}}}],\"isError\":true}}", quoted(text));
    result(id, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_into_meta_and_nothing_else_changes() {
        for (before, after) in [
            (r#"{"id":1,"method":"ping"}"#, r#"{"params":{"_meta":{"k":"v\""}},"id":1,"method":"ping"}"#),
            (r#"{"params": { } }"#, r#"{"params": {"_meta":{"k":"v\""} } }"#),
            (
                r#"{"params":{"a":[1, 2],"_meta":{ "b":1}}}"#,
                r#"{"params":{"a":[1, 2],"_meta":{"k":"v\"", "b":1}}}"#,
            ),
            (r#"{"params":{"_meta":{"k":null,"b":1.0}}}"#, r#"{"params":{"_meta":{"k":"v\"","b":1.0}}}"#),
        ] {
            assert_eq!(with_meta(before, "k", "v\"").as_deref(), Some(after));
        }
        assert_eq!(with_meta(r#"{"params":[]}"#, "k", "v"), None);
    }

    #[test]
    fn ids_compare_by_meaning() {
        assert_eq!(Id::parse(r#""a\/b""#), Id::parse(r#""a/b""#));
        assert_ne!(Id::parse("1"), Id::parse("\"1\""));
        assert_eq!(Id::parse("null"), None);
        assert_eq!(Id::parse(&"1".repeat(300)), None);
    }

    proptest::proptest! {
        #[test]
        fn an_entry_set_is_an_entry_read(keys in proptest::collection::vec("[a-z\"]{0,3}", 0..4), key in "[a-z\"]{0,3}") {
            let mut object = serde_json::Map::new();
            for name in keys {
                object.insert(name, serde_json::json!({"x": [1, "}"]}));
            }
            let text = serde_json::to_string_pretty(&object).unwrap();
            object.insert(key.clone(), 5.into());
            let got: serde_json::Value = serde_json::from_str(&with_entry(&text, &key, "5").unwrap()).unwrap();
            assert_eq!(got, serde_json::Value::Object(object));
        }
    }
}
