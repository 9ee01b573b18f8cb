//! One layer of the config as figment takes it: a checked tree (`tree`), and the line of each of its keys.

use crate::config::tree::{Kind, Node, join};
use figment::value::{Dict, Empty, Map, Num, Tag, Value};
use figment::{Error, Metadata, Profile, Provider};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// In code.
    Defaults,
    /// A file.
    File(PathBuf),
    /// Variables.
    Environment,
}

/// A layer whose values are checked.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its place among the layers, by which provenance finds it again.
    pub index: usize,
    /// What it is.
    pub kind: LayerKind,
    /// Its values.
    pub values: Dict,
    /// The line of each dotted key it sets.
    pub lines: BTreeMap<String, usize>,
}

impl Layer {
    /// What is left of a tree after checking.
    pub fn of_tree(index: usize, kind: LayerKind, root: &Node) -> Self {
        let mut lines = BTreeMap::new();
        gather(root, "", &mut lines);
        Self { index, kind, values: dict(root), lines }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.index.to_string())
    }
    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn dict(node: &Node) -> Dict {
    node.entries().map(|(key, value)| (key.to_owned(), value_of(value))).collect()
}

fn value_of(node: &Node) -> Value {
    let tag = Tag::Default;
    if let (true, Some(raw)) = (node.as_text.get(), &node.raw) {
        return Value::String(tag, raw.clone());
    }
    match &node.kind {
        Kind::Null => Value::Empty(tag, Empty::None),
        Kind::Bool(v) => Value::Bool(tag, *v),
        Kind::Int(v) if *v >= 0 => Value::Num(tag, Num::U64(v.unsigned_abs())),
        Kind::Int(v) => Value::Num(tag, Num::I64(*v)),
        Kind::UInt(v) => Value::Num(tag, Num::U64(*v)),
        Kind::Float(v) => Value::Num(tag, Num::F64(*v)),
        Kind::Text(v) => Value::String(tag, v.clone()),
        Kind::Seq(_) => Value::Array(tag, node.elements().map(value_of).collect()),
        Kind::Map(_) => Value::Dict(tag, dict(node)),
    }
}

fn gather(node: &Node, path: &str, lines: &mut BTreeMap<String, usize>) {
    if !path.is_empty() {
        lines.insert(path.to_owned(), node.line);
    }
    for (key, value) in node.entries() {
        gather(value, &join(path, key), lines);
    }
    for (i, value) in node.elements().enumerate() {
        gather(value, &format!("{path}[{i}]"), lines);
    }
}
