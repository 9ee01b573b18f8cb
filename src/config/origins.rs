//! Where each value came from: layer, file and line.

use crate::config::env;
use crate::config::layer::LayerKind;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// A variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// Where each value came from, by dotted key; elements of lists are `people[0]`, their parts `people[0].role`.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    pub(super) layers: Vec<(LayerKind, BTreeMap<String, usize>)>,
    /// The layer that won, of each key outside lists.
    pub(super) winner: BTreeMap<String, usize>,
}

impl Origins {
    /// Of this key: `limits.connections`, `people[2]`, `access.deny[0]`.
    pub fn of(&self, key: &str) -> Origin {
        // The nearest key outside lists that a layer was asked about decides the layer.
        let mut outside = key.split('[').next().unwrap_or(key);
        let index = loop {
            if let Some(index) = self.winner.get(outside) {
                break *index;
            }
            match outside.rsplit_once('.') {
                Some((parent, _)) => outside = parent,
                None => return Origin::Default,
            }
        };
        let Some((kind, lines)) = self.layers.get(index) else { return Origin::Default };
        match kind {
            LayerKind::Defaults => Origin::Default,
            LayerKind::File(file) => Origin::File(file.clone(), line_of(lines, key).unwrap_or(1)),
            LayerKind::Environment => {
                let mut set = outside;
                while let Some((parent, _)) = set.rsplit_once('.').filter(|_| lines.get(set).is_none()) {
                    set = parent;
                }
                Origin::Environment(env::variable(set))
            }
        }
    }

    /// The nearest thing around a key that a file wrote, for what is missing there.
    pub(super) fn around(&self, key: &str) -> Option<(PathBuf, usize)> {
        let mut key = key;
        while let Some(end) = key.rfind(['.', '[']) {
            key = &key[..end];
            for (kind, lines) in self.layers.iter().rev() {
                if let (LayerKind::File(file), Some(line)) = (kind, lines.get(key)) {
                    return Some((file.clone(), *line));
                }
            }
        }
        None
    }

    /// `file:line` of a key, where a file set it.
    pub fn file_line(&self, key: &str) -> Option<String> {
        match self.of(key) {
            origin @ Origin::File(..) => Some(origin.to_string()),
            _ => None,
        }
    }
}

/// The line of a key, or of the nearest thing around it.
fn line_of(lines: &BTreeMap<String, usize>, key: &str) -> Option<usize> {
    let mut key = key;
    loop {
        if let Some(line) = lines.get(key) {
            return Some(*line);
        }
        key = &key[..key.rfind(['.', '['])?];
    }
}
