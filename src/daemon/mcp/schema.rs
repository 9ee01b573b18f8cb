//! JSON Schemas for tools, in the subset that every client and model vendor understands: no `format`, no references,
//! no nullable arguments, and `null` only as a choice of its own. Pure.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::sync::Arc;

/// The schema of a tool's arguments.
pub fn input<T: JsonSchema>() -> Arc<JsonObject> {
    let mut schema = plain::<T>();
    for_each_object(&mut schema, &mut drop_null);
    object(schema)
}

/// The schema of a tool without arguments.
pub fn no_input() -> Arc<JsonObject> {
    object(serde_json::json!({ "type": "object", "properties": {}, "additionalProperties": false }))
}

/// The schema of a tool's structured content.
pub fn output<T: JsonSchema>() -> Arc<JsonObject> {
    let mut schema = plain::<T>();
    for_each_object(&mut schema, &mut part_null);
    object(schema)
}

fn object(schema: Value) -> Arc<JsonObject> {
    match schema {
        Value::Object(map) => Arc::new(map),
        _ => Arc::new(JsonObject::new()),
    }
}

fn plain<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        })
        .into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    for_each_object(&mut schema, &mut |map| {
        for keyword in ["format", "title"] {
            // It is a keyword only where it is text; a property may be called so too.
            if map.get(keyword).is_some_and(Value::is_string) {
                map.remove(keyword);
            }
        }
        words(map);
    });
    schema
}

/// A choice between documented words becomes an `enum`; the words' meanings go into the description.
pub fn words(map: &mut JsonObject) {
    let Some(choices) = map.get("oneOf").and_then(Value::as_array) else { return };
    let word = |choice: &Value| choice.get("const").and_then(Value::as_str).map(str::to_owned);
    let Some(names) = choices.iter().map(word).collect::<Option<Vec<String>>>() else { return };
    let meanings: Vec<String> = choices
        .iter()
        .zip(&names)
        .filter_map(|(choice, name)| Some(format!("{name}: {}", choice.get("description")?.as_str()?)))
        .collect();
    let about = map.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = [about, &meanings.join(" ")].join(" ").trim().to_owned();
    map.remove("oneOf");
    map.insert("type".to_owned(), "string".into());
    map.insert("enum".to_owned(), names.into());
    if !description.is_empty() {
        map.insert("description".to_owned(), description.into());
    }
}

/// An argument may be absent, so it need not be null too.
pub fn drop_null(map: &mut JsonObject) {
    if let Some(types) = map.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if let Some(values) = map.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    if let Some(choices) = map.get("anyOf").and_then(Value::as_array) {
        let rest: Vec<&Value> =
            choices.iter().filter(|c| c.get("type").is_none_or(|kind| kind != "null")).collect();
        if let [Value::Object(only)] = rest.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            for (key, value) in only {
                match map.get(&key).and_then(Value::as_str) {
                    Some(about) if key == "description" => {
                        let both = format!("{about} {}", value.as_str().unwrap_or_default());
                        map.insert(key, both.into());
                    }
                    _ => {
                        map.insert(key, value);
                    }
                }
            }
        }
    }
    if map.get("default").is_some_and(|value| !value.is_object()) {
        map.remove("default");
    }
}

/// A field that may be absent is never null; of one that is always there, `null` becomes a choice of its own, since
/// some clients take a `type` of one word only.
fn part_null(map: &mut JsonObject) {
    let required = map.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let Some(fields) = map.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, field) in fields {
        let Value::Object(field) = field else { continue };
        let is_nullable = field
            .get("type")
            .and_then(Value::as_array)
            .is_some_and(|kinds| kinds.iter().any(|k| k == "null"));
        if !is_required(name) {
            drop_null(field);
        } else if is_nullable {
            let about = field.remove("description");
            drop_null(field);
            let other = std::mem::take(field);
            field.insert("anyOf".to_owned(), serde_json::json!([other, { "type": "null" }]));
            field.extend(about.map(|about| ("description".to_owned(), about)));
        }
    }
}

/// Changes every object in a schema, the inner ones first.
pub fn for_each_object(value: &mut Value, change: &mut impl FnMut(&mut JsonObject)) {
    match value {
        Value::Object(map) => {
            for inner in map.values_mut() {
                for_each_object(inner, change);
            }
            change(map);
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| for_each_object(inner, change)),
        _ => {}
    }
}
