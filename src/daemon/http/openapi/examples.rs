//! Examples in the document: of schemas and of parameters, by name. They stand in a file of JSON; a test checks each
//! against its schema, and that none is missing.

use serde_json::Value;
use std::sync::LazyLock;

static EXAMPLES: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default());

/// That of a schema.
pub fn of(schema: &str) -> Option<Value> {
    EXAMPLES["schemas"].get(schema).cloned()
}

/// That of a parameter: of this path, else of any.
pub fn of_parameter(path: &str, name: &str) -> Option<Value> {
    let all = &EXAMPLES["parameters"];
    all.get(format!("{path} {name}")).or_else(|| all.get(name)).cloned()
}
