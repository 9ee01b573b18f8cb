//! A tree (`tree`) read as a type, all that is wrong with it reported: what is wrong is left out and the
//! rest is read again. Messages say what was expected and what kind of thing stands there, never the value.

use crate::config::problem::Problem;
use crate::config::tree::{Kind, Node, join};
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// The message of a key that is not one.
pub(super) const UNKNOWN_KEY: &str = "unknown key";
/// Problems reported of one file, at most.
const PROBLEMS_MAX: usize = 100;

/// Checks that `node` reads as a `T`, appends what is wrong, and marks the wrong parts as left out.
pub fn check<T: DeserializeOwned>(node: &Node, found: &mut Vec<Problem>) {
    for _ in 0..PROBLEMS_MAX {
        match T::deserialize(At { node, path: String::new() }) {
            Ok(_) => return,
            Err(error) => {
                found.push(Problem {
                    file: None,
                    line: error.at.as_ref().map(|(_, line)| *line),
                    key: error.at.map(|(key, _)| key).filter(|k| !k.is_empty()),
                    message: error.message,
                    hint: error.hint,
                });
                if node.dropped.get() {
                    return;
                }
            }
        }
    }
}

/// Reads `node` as a `T` if nothing is wrong with it, or appends all that is.
pub fn read<T: DeserializeOwned>(node: &Node, found: &mut Vec<Problem>) -> Option<T> {
    let before = found.len();
    check::<T>(node, found);
    if found.len() > before { None } else { T::deserialize(At { node, path: String::new() }).ok() }
}

/// What went wrong, and once known where.
#[derive(Debug)]
pub struct Error {
    message: String,
    hint: Option<String>,
    at: Option<(String, usize)>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), hint: None, at: None }
    }
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Bool(_) => "true or false",
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
            Unexpected::Float(_) => "a number with a point",
            Unexpected::Str(_) | Unexpected::Char(_) => "text",
            Unexpected::Seq => "a list",
            Unexpected::Map => "a map",
            Unexpected::Unit | Unexpected::Option => "nothing",
            _ => "something else",
        };
        let expected = plain(expected);
        let hint = (expected == "text" && found != "a list" && found != "a map" && found != "nothing")
            .then(|| "put it in quotes".to_owned());
        Self { hint, ..Self::custom(format!("expected {expected}, found {found}")) }
    }
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = plain(expected);
        match found {
            // A number out of range may be said; text may not.
            Unexpected::Unsigned(n) => Self::custom(format!("expected {expected}, found {n}")),
            Unexpected::Signed(n) => Self::custom(format!("expected {expected}, found {n}")),
            _ => Self::custom(format!("expected {expected}")),
        }
    }
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let near = expected
            .iter()
            .map(|known| (distance(field, known), *known))
            .filter(|(far, known)| *far * 2 < known.len().max(4))
            .min();
        let hint = near.map(|(_, known)| format!("did you mean `{known}`?"));
        let hint = hint.unwrap_or_else(|| format!("known here: {}", expected.join(", ")));
        Self { hint: Some(hint), ..Self::custom(UNKNOWN_KEY) }
    }
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format!("must be one of {}", expected.join(", ")))
    }
    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("`{field}` is missing"))
    }
}

/// What serde expects, in the words of the file.
fn plain(expected: &dyn Expected) -> String {
    let words = expected.to_string();
    match words.as_str() {
        "a string" | "path string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u8" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        other if other.starts_with("struct ") => "a map".to_owned(),
        _ => words,
    }
}

/// Edit distance; keys are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = if x == *y { diagonal } else { diagonal + 1 };
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A node and its dotted key.
struct At<'n> {
    node: &'n Node,
    path: String,
}

impl At<'_> {
    /// Places an error that has no place yet here, and leaves this node out.
    fn place<T>(node: &Node, path: &str, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|mut error| {
            if error.at.is_none() {
                error.at = Some((path.to_owned(), node.line));
                node.dropped.set(true);
            }
            error
        })
    }
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (node, path) = (self.node, self.path);
        let result = match &node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(v) => visitor.visit_bool(*v),
            Kind::Int(v) if *v >= 0 => visitor.visit_u64(v.unsigned_abs()),
            Kind::Int(v) => visitor.visit_i64(*v),
            Kind::UInt(v) => visitor.visit_u64(*v),
            Kind::Float(v) => visitor.visit_f64(*v),
            Kind::Text(v) => visitor.visit_str(v),
            Kind::Seq(_) => {
                visitor.visit_seq(Elements { nodes: node.elements().collect(), next: 0, path: &path })
            }
            Kind::Map(_) => {
                let mut entries: Vec<_> = node.entries().collect();
                entries.reverse();
                visitor.visit_map(Entries { entries, value: None, path: &path })
            }
        };
        Self::place(node, &path, result)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.raw {
            Some(raw) if self.node.loose => {
                self.node.as_text.set(true);
                Self::place(self.node, &self.path, visitor.visit_str(raw))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match (&self.node.kind, &self.node.raw) {
            (Kind::Text(word), _) => visitor.visit_enum(Word(word)),
            (Kind::Seq(_) | Kind::Map(_), _) | (_, None) => Err(Error::custom(format!(
                "must be one of {}, found {}",
                variants.join(", "),
                self.node.kind.word()
            ))),
            (_, Some(raw)) => {
                self.node.as_text.set(true);
                visitor.visit_enum(Word(raw))
            }
        };
        Self::place(self.node, &self.path, result)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if matches!(self.node.kind, Kind::Null) {
            // A section all of whose keys are commented out is one that nobody wrote.
            self.node.dropped.set(true);
            let nothing = Entries { entries: Vec::new(), value: None, path: &self.path };
            return Self::place(self.node, &self.path, visitor.visit_map(nothing));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // Derived types would take a list as their fields in order.
        if let Kind::Seq(_) = self.node.kind {
            let error = Error::invalid_type(Unexpected::Seq, &"a map");
            return Self::place(self.node, &self.path, Err(error));
        }
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct identifier ignored_any
    }
}

struct Elements<'n, 'p> {
    nodes: Vec<&'n Node>,
    next: usize,
    path: &'p str,
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.nodes.get(self.next) else { return Ok(None) };
        let path = format!("{}[{}]", self.path, self.next);
        self.next += 1;
        let result = seed.deserialize(At { node, path: path.clone() });
        At::place(node, &path, result).map(Some)
    }
}

struct Entries<'n, 'p> {
    /// Last first.
    entries: Vec<(&'n str, &'n Node)>,
    value: Option<(&'n str, &'n Node)>,
    path: &'p str,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, node)) = self.entries.pop() else { return Ok(None) };
        self.value = Some((key, node));
        let result = seed.deserialize(StrDeserializer::<Error>::new(key));
        At::place(node, &join(self.path, key), result).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, node) = self.value.take().ok_or_else(|| Error::custom("value before key"))?;
        let path = join(self.path, key);
        let result = seed.deserialize(At { node, path: path.clone() });
        At::place(node, &path, result)
    }
}

/// A word of a closed list.
struct Word<'w>(&'w str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Error;
    type Variant = Self;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let word = seed.deserialize(StrDeserializer::<Error>::new(self.0))?;
        Ok((word, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = Error;
    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error::custom("must be a word"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("must be a word"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::custom("must be a word"))
    }
}
