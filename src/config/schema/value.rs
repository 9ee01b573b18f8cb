//! Small values that are more than text: mode bits, spans of time.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::time::Duration;

/// Mode bits of a file, written in octal: `"0666"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(pub u32);

impl TryFrom<String> for FileMode {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = if octal { u32::from_str_radix(&text, 8).ok() } else { None };
        bits.filter(|bits| *bits <= 0o777).map(Self).ok_or("must be mode bits in octal, such as \"0666\"")
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        format!("{:04o}", mode.0)
    }
}

impl JsonSchema for FileMode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FileMode".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^0?[0-7]{3}$"})
    }
}

/// A span of time, written as a number and `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// The units, largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl TryFrom<String> for Span {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let read = || {
            let (_, seconds) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
            let digits = &text[..text.len() - 1];
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let count: u64 = if plain { digits.parse().ok()? } else { return None };
            count.checked_mul(seconds).filter(|s| *s > 0).map(|s| Self(Duration::from_secs(s)))
        };
        read().ok_or("must be a span of time such as 90s, 30m, 1h or 7d")
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (unit, size) =
            UNITS.into_iter().find(|(_, size)| seconds.is_multiple_of(*size)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", seconds / size)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9]+[smhd]$"})
    }
}

/// Time between two of what happens again and again, written as a span of time; 0 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Every(pub Option<Duration>);

/// A span of time, or the number 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl TryFrom<Written> for Every {
    type Error = &'static str;
    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match written {
            Written::Number(0) => Ok(Self(None)),
            Written::Text(text) if text == "0" => Ok(Self(None)),
            Written::Text(text) => Span::try_from(text).map(|span| Self(Some(span.0))),
            Written::Number(_) => Err("must be 0, or a span of time such as 90s, 30m, 1h or 7d"),
        }
    }
}

impl From<Every> for Written {
    fn from(every: Every) -> Self {
        every.0.map_or(Self::Number(0), |span| Self::Text(Span(span).to_string()))
    }
}

impl JsonSchema for Every {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Every".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [
            {"type": "string", "pattern": "^([0-9]+[smhd]|0)$"}, {"type": "integer", "const": 0}
        ]})
    }
}

/// A group's name, where `none` says that there is none.
pub(super) fn group_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|name| name != "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_spans_are_read_and_shown() {
        for (text, bits) in [("0666", 0o666), ("660", 0o660)] {
            assert_eq!(FileMode::try_from(text.to_owned()), Ok(FileMode(bits)));
        }
        assert_eq!(String::from(FileMode(0o600)), "0600");
        for bad in ["", "6", "0888", "4755", "0o66", "-666", "06666"] {
            assert!(FileMode::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for (text, seconds) in [("90s", 90), ("30m", 1_800), ("1h", 3_600), ("7d", 604_800)] {
            let span = Span::try_from(text.to_owned()).unwrap();
            assert_eq!(span.0.as_secs(), seconds);
            assert_eq!(span.to_string(), text);
        }
        for bad in ["", "h", "0s", "-1h", "+1h", "1", "1.5h", "99999999999999999999d", "1 h", "1é"] {
            assert!(Span::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_happens_again_and_again_may_happen_never() {
        for (text, seconds) in [("0", None), ("'0'", None), ("30m", Some(1_800)), ("1h", Some(3_600))] {
            let every: Every = serde_yaml::from_str(text).unwrap();
            assert_eq!(every.0.map(|span| span.as_secs()), seconds, "{text}");
            let again: Every = serde_yaml::from_str(&serde_yaml::to_string(&every).unwrap()).unwrap();
            assert_eq!(again, every);
        }
        for bad in ["5", "-1", "0s", "true", "[]", "never"] {
            assert!(serde_yaml::from_str::<Every>(bad).is_err(), "{bad}");
        }
    }
}
