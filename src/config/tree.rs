//! YAML as a tree that knows its lines and its duplicate keys. Bounded: bytes, nesting, number of nodes.
//! What the values mean is `decode`.
//!
//! The parser tells positions only in errors, but hands out plain and quoted scalars as slices of the
//! text, so where such a slice lies is where the scalar stands. Scalars that are no such slice (block
//! scalars, escapes) get the line of what they stand in.

use crate::config::problem::Problem;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// Bytes of one config file, at most.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Values in one file, at most. Stops aliases from multiplying.
const NODES_MAX: usize = 50_000;
/// Bytes of one key, at most: keys are repeated in front of everything inside them.
const KEY_BYTES_MAX: usize = 256;
const LONG_KEY: &str = "a key is too long";
/// Brackets, or block markers on one line, open at once, at most: the parser's time grows with their square.
const NESTING_MAX: usize = 128;

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Line, counted from 1; of a map's entry, the line of its key.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
    /// The text of a scalar (or of a whole environment variable) as it was written.
    pub raw: Option<String>,
    /// From the environment, where what is expected decides whether `8` is text or a number.
    pub loose: bool,
    /// Left out by `decode` because it is wrong.
    pub dropped: Cell<bool>,
    /// Taken as text by `decode` whatever it looks like.
    pub as_text: Cell<bool>,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// `~`, `null`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`.
    UInt(u64),
    /// A number with a point.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order of the file, duplicates included.
    Map(Vec<(String, Node)>),
}

impl Kind {
    /// What to call it in a message. Never the value itself.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::UInt(_) => "a whole number",
            Self::Float(_) => "a number with a point",
            Self::Text(_) => "text",
            Self::Seq(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Node {
    /// A value that stands on `line`.
    pub fn new(line: usize, kind: Kind) -> Self {
        Self { line, kind, raw: None, loose: false, dropped: Cell::new(false), as_text: Cell::new(false) }
    }

    /// The entries of a map, without those left out.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Self)> {
        let entries = if let Kind::Map(entries) = &self.kind { entries.as_slice() } else { &[] };
        entries.iter().filter(|(_, n)| !n.dropped.get()).map(|(k, n)| (k.as_str(), n))
    }

    /// The elements of a list, without those left out.
    pub fn elements(&self) -> impl Iterator<Item = &Self> {
        let elements = if let Kind::Seq(elements) = &self.kind { elements.as_slice() } else { &[] };
        elements.iter().filter(|n| !n.dropped.get())
    }

    /// Leaves out second occurrences of keys and reports each with both lines. `prefix` is this node's key.
    pub fn drop_duplicates(&self, prefix: &str, found: &mut Vec<Problem>) {
        if let Kind::Map(entries) = &self.kind {
            let mut first = std::collections::HashMap::new();
            for (key, node) in entries {
                let dotted = join(prefix, key);
                if let Some(before) = first.insert(key.as_str(), node.line) {
                    first.insert(key.as_str(), before);
                    node.dropped.set(true);
                    let mut problem =
                        Problem::new(format!("duplicate key, first on line {before}")).key(dotted);
                    problem.line = Some(node.line);
                    found.push(problem);
                } else {
                    node.drop_duplicates(&dotted, found);
                }
            }
        }
        for (i, node) in self.elements().enumerate() {
            node.drop_duplicates(&format!("{prefix}[{i}]"), found);
        }
    }
}

/// The dotted key of `key` inside `prefix`.
pub fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// Parses one document; an empty one is an empty map. The problem has the line, never a value.
pub fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Problem::new(format!("is larger than {} KiB", FILE_BYTES_MAX / 1024)));
    }
    if let Some(line) = too_deep(text) {
        return Err(Problem { line: Some(line), ..Problem::new("is nested too deeply") });
    }
    let lines = Lines::of(text);
    let budget = Cell::new(NODES_MAX);
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(document) = documents.next() else {
        return Ok(Node::new(1, Kind::Map(Vec::new())));
    };
    let shape = ShapeSeed { budget: &budget }.deserialize(document).map_err(|e| said(&e, &budget))?;
    if documents.next().is_some() {
        return Err(Problem::new("holds more than one document"));
    }
    if matches!(shape, Shape::Scalar(Kind::Null)) {
        return Ok(Node::new(1, Kind::Map(Vec::new())));
    }
    let again = serde_yaml::Deserializer::from_str(text);
    NodeSeed { shape, lines: &lines, line: 1 }.deserialize(again).map_err(|e| said(&e, &budget))
}

fn said(error: &serde_yaml::Error, budget: &Cell<usize>) -> Problem {
    let line = error.location().map(|l| l.line());
    let text = error.to_string();
    let message = if budget.get() == 0 {
        "holds too many values".to_owned()
    } else if text.contains(LONG_KEY) {
        format!("holds a key of more than {KEY_BYTES_MAX} bytes")
    } else if text.contains("recursion limit") {
        "is nested too deeply".to_owned()
    } else if text.contains("repetition limit") {
        "repeats aliases too often".to_owned()
    } else if text.contains("invalid type") {
        "holds a tag, or a key that is not text".to_owned()
    } else {
        // Only fixed texts of the parser come this far, with positions: no values.
        format!("is not valid YAML: {}", text.split(" at line ").next().unwrap_or_default())
    };
    Problem { line, ..Problem::new(message) }
}

/// The line on which the text nests deeper than it may, counted crudely (quotes and comments are not known
/// here), which is far more than a config needs.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (i, line) in text.lines().enumerate() {
        let mut markers = 0_usize;
        let mut before = b' ';
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                b' ' if matches!(before, b'-' | b'?' | b':') => markers += 1,
                _ => {}
            }
            before = byte;
            if open > NESTING_MAX || markers > 4 * NESTING_MAX {
                return Some(i + 1);
            }
        }
    }
    None
}

/// Where each line begins.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { text, starts }
    }

    /// The line of a slice of the text, if it is one.
    fn of_slice(&self, slice: &str) -> Option<usize> {
        let offset = (slice.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        (offset < self.text.len()).then(|| self.starts.partition_point(|&start| start <= offset))
    }
}

/// What a value is, before its lines are known.
enum Shape {
    Scalar(Kind),
    Seq(Vec<Shape>),
    Map(Vec<Shape>),
}

struct ShapeSeed<'b> {
    budget: &'b Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for ShapeSeed<'_> {
    type Value = Shape;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Shape, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed<'_> {
    type Value = Shape;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Null))
    }
    fn visit_none<E: Error>(self) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Null))
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Bool(v)))
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Int(v)))
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar(i64::try_from(v).map_or(Kind::UInt(v), Kind::Int)))
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Float(v)))
    }
    fn visit_i128<E: Error>(self, v: i128) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Text(v.to_string())))
    }
    fn visit_u128<E: Error>(self, v: u128) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Text(v.to_string())))
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<Shape, E> {
        Ok(Shape::Scalar(Kind::Text(v.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut shapes = Vec::new();
        loop {
            spend(self.budget)?;
            match seq.next_element_seed(ShapeSeed { budget: self.budget })? {
                Some(shape) => shapes.push(shape),
                None => return Ok(Shape::Seq(shapes)),
            }
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut shapes = Vec::new();
        while let Some((key, _)) = map.next_key_seed(Slice)? {
            spend(self.budget)?;
            if key.len() > KEY_BYTES_MAX {
                return Err(A::Error::custom(LONG_KEY));
            }
            shapes.push(map.next_value_seed(ShapeSeed { budget: self.budget })?);
        }
        Ok(Shape::Map(shapes))
    }
}

fn spend<E: Error>(budget: &Cell<usize>) -> Result<(), E> {
    match budget.get().checked_sub(1) {
        Some(left) if left > 0 => {
            budget.set(left);
            Ok(())
        }
        _ => {
            budget.set(0);
            Err(E::custom("too many values"))
        }
    }
}

struct NodeSeed<'l, 't> {
    shape: Shape,
    lines: &'l Lines<'t>,
    line: usize,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_, '_> {
    type Value = Node;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        match self.shape {
            Shape::Scalar(kind) => {
                let (text, slice) = Slice.deserialize(from)?;
                let line = slice.and_then(|s| self.lines.of_slice(s)).unwrap_or(self.line);
                Ok(Node { raw: Some(text), ..Node::new(line, kind) })
            }
            Shape::Seq(shapes) => {
                from.deserialize_seq(NodesVisitor { shapes, lines: self.lines, line: self.line })
            }
            Shape::Map(shapes) => {
                from.deserialize_map(NodesVisitor { shapes, lines: self.lines, line: self.line })
            }
        }
    }
}

struct NodesVisitor<'l, 't> {
    shapes: Vec<Shape>,
    lines: &'l Lines<'t>,
    line: usize,
}

impl<'de> Visitor<'de> for NodesVisitor<'_, '_> {
    type Value = Node;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what it was before")
    }
    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::new(self.line, Kind::Null))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        for shape in self.shapes {
            let seed = NodeSeed { shape, lines: self.lines, line: self.line };
            nodes.push(seq.next_element_seed(seed)?.ok_or_else(|| A::Error::custom("too short"))?);
        }
        // The list is drained to its end so that the parser can go on behind it.
        seq.next_element::<serde::de::IgnoredAny>()?;
        let line = nodes.first().map_or(self.line, |n: &Node| n.line);
        Ok(Node::new(line, Kind::Seq(nodes)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut shapes = self.shapes.into_iter();
        let mut first = None;
        while let Some((key, slice)) = map.next_key_seed(Slice)? {
            let shape = shapes.next().ok_or_else(|| A::Error::custom("too long"))?;
            let line = slice.and_then(|s| self.lines.of_slice(s)).unwrap_or(self.line);
            first.get_or_insert(line);
            let mut node = map.next_value_seed(NodeSeed { shape, lines: self.lines, line })?;
            node.line = line;
            entries.push((key, node));
        }
        Ok(Node::new(first.unwrap_or(self.line), Kind::Map(entries)))
    }
}

/// A scalar's text, and the slice of the input where it is one.
struct Slice;

impl<'de> DeserializeSeed<'de> for Slice {
    type Value = (String, Option<&'de str>);
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Slice {
    type Value = (String, Option<&'de str>);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
        Ok((v.to_owned(), None))
    }
    fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Self::Value, E> {
        Ok((v.to_owned(), Some(v)))
    }
}

/// Parses a value that is not a whole file, such as an environment variable: what is no YAML is text.
pub fn parse_loose(text: &str) -> Node {
    let parsed = if text.trim().is_empty() { None } else { parse(text).ok() };
    let mut node = parsed.unwrap_or_else(|| Node::new(1, Kind::Text(text.to_owned())));
    node.raw = Some(text.to_owned());
    loosen(&mut node);
    node
}

fn loosen(node: &mut Node) {
    node.loose = true;
    match &mut node.kind {
        Kind::Seq(nodes) => nodes.iter_mut().for_each(loosen),
        Kind::Map(entries) => entries.iter_mut().for_each(|(_, n)| loosen(n)),
        _ => {}
    }
}
