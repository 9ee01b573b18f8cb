//! The config in force as rows: each value with where it came from, secrets masked.

use crate::config::load::Loaded;
use crate::config::personal::Personal;
use crate::config::schema::Config;
use crate::config::tree::join;
use serde_json::Value as Json;

/// Stands in for a secret.
const MASK: &str = "\"***\"";

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Dotted key.
    pub key: String,
    /// The value as JSON text; secrets are masked.
    pub value_json: String,
    /// `default`, `file:line`, or a variable; of secrets with the word for their layer.
    pub origin: String,
}

/// Every value in force, by key, then the secrets by name.
pub fn rows(loaded: &Loaded) -> Vec<Value> {
    let config = leaves(&loaded.config).into_iter().map(|(key, value_json)| {
        let origin = loaded.origins.of(&key).to_string();
        Value { key, value_json, origin }
    });
    let secrets = loaded.secrets.names().map(|(name, origin)| Value {
        key: format!("secrets:{name}"),
        value_json: MASK.to_owned(),
        origin: origin.to_string(),
    });
    config.chain(secrets).collect()
}

/// The values of a personal layer, by key.
pub fn personal_rows(personal: &Personal) -> Vec<Value> {
    let mut rows = Vec::new();
    flatten("", &serde_json::to_value(personal).unwrap_or(Json::Null), &mut rows);
    rows.into_iter()
        .map(|(key, value_json)| Value { key, value_json, origin: "personal".to_owned() })
        .collect()
}

/// Dotted keys and values as JSON text. Entries of lists of maps are taken apart, other lists are one value.
pub(super) fn leaves(config: &Config) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    // A config of plain maps, lists and scalars always becomes JSON.
    let json = serde_json::to_value(config).unwrap_or(Json::Null);
    flatten("", &json, &mut rows);
    rows
}

fn flatten(key: &str, value: &Json, rows: &mut Vec<(String, String)>) {
    match value {
        Json::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                flatten(&join(key, name), inner, rows);
            }
        }
        Json::Array(list) if list.iter().any(Json::is_object) => {
            for (i, inner) in list.iter().enumerate() {
                flatten(&format!("{key}[{i}]"), inner, rows);
            }
        }
        other => rows.push((key.to_owned(), other.to_string())),
    }
}
