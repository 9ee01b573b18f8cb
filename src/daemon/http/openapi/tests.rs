//! The document is whole: every path and every verb is in it, what it refers to is there, and its examples are what
//! its schemas say. `tests/rest/run` holds it against the meta-schema of OpenAPI and against a running daemon.

use super::{DOCUMENT, examples};
use crate::daemon::http::routes::TABLE;
use crate::domain::verb::Verb;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

fn operations() -> impl Iterator<Item = (&'static str, &'static Value)> {
    DOCUMENT["paths"].as_object().unwrap().values().flat_map(|path| {
        path.as_object().unwrap().iter().map(|(method, operation)| (method.as_str(), operation))
    })
}

fn each(value: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            look(map);
            map.values().for_each(|inner| each(inner, look));
        }
        Value::Array(items) => items.iter().for_each(|inner| each(inner, look)),
        _ => {}
    }
}

fn referred(reference: &str) -> &'static Value {
    DOCUMENT
        .pointer(reference.strip_prefix('#').unwrap())
        .unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

#[test]
fn every_path_and_every_verb_is_in_it_once() {
    let mut ids = BTreeSet::new();
    for (method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is there twice");
        for part in ["summary", "description", "tags", "responses"] {
            assert!(operation.get(part).is_some(), "{id} has no {part}");
        }
        assert!(operation["summary"].as_str().unwrap().len() <= 120, "{id}: the summary is no line");
        let is_done =
            operation["responses"].as_object().unwrap().keys().any(|status| !status.starts_with(['4', '5']));
        assert!(is_done, "{id} never succeeds");
        assert!(method != "get" || operation.get("requestBody").is_none(), "{id}: a body of a GET");
    }
    assert_eq!(ids, TABLE.iter().map(|row| row.id).collect());
    // Whether attaching is typing says the body.
    let elsewhere = [Verb::Attach];
    for verb in Verb::ALL.iter().filter(|verb| !elsewhere.contains(verb)) {
        assert!(TABLE.iter().any(|row| row.verb == *verb), "{} has no path", verb.name());
    }
}

#[test]
fn what_it_refers_to_is_there_and_nothing_stands_idle() {
    let mut used = BTreeSet::new();
    each(&DOCUMENT, &mut |map| {
        if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
            referred(reference);
            used.insert(reference.to_owned());
        }
    });
    for kind in ["schemas", "responses"] {
        for name in DOCUMENT["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(used.contains(&reference), "{reference} is used by nobody");
        }
    }
}

#[test]
fn bodies_and_answers_have_examples_and_they_fit() {
    let mut wanted = BTreeSet::new();
    for (_, operation) in operations() {
        let answers = operation["responses"].as_object().unwrap().values();
        for said in answers.chain([&operation["requestBody"]]) {
            if let Some(reference) = said["content"]["application/json"]["schema"]["$ref"].as_str() {
                wanted.insert(reference.rsplit('/').next().unwrap());
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if let Some(example) = parameter.get("example") {
                let name = parameter["name"].as_str().unwrap();
                fits(&parameter["schema"], example).unwrap_or_else(|problem| panic!("{name}: {problem}"));
            }
        }
    }
    let missing: Vec<&&str> = wanted.iter().filter(|name| examples::of(name).is_none()).collect();
    assert!(missing.is_empty(), "examples.json has none of {missing:?}");
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        for example in schema["examples"].as_array().into_iter().flatten() {
            fits(schema, example).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        }
    }
}

#[test]
fn no_example_is_of_nothing() {
    let all: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(include_str!("examples.json")).unwrap();
    for name in all["schemas"].keys() {
        assert!(DOCUMENT["components"]["schemas"].get(name).is_some(), "there is no schema {name}");
    }
    let mut parameters: BTreeSet<String> = BTreeSet::new();
    for row in TABLE.iter() {
        let operation = &DOCUMENT["paths"][row.path][row.method.as_str().to_ascii_lowercase()];
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            parameters.extend([name.to_owned(), format!("{} {name}", row.path)]);
        }
    }
    for name in all["parameters"].keys() {
        assert!(parameters.contains(name), "there is no parameter {name}");
    }
}

#[test]
fn what_does_not_fit_is_seen() {
    let session = &DOCUMENT["components"]["schemas"]["SendMessage"];
    for (text, fit) in [
        (r#"{"message": "go on"}"#, true),
        (r#"{}"#, false),
        (r#"{"message": 1}"#, false),
        (r#"{"message": "go on", "more": 1}"#, false),
        (r#"{"message": "go on", "session_id": "x"}"#, false),
    ] {
        assert_eq!(fits(session, &serde_json::from_str(text).unwrap()).is_ok(), fit, "{text}");
    }
}

/// Whether `value` is what `schema` says, by the keywords that the document uses; another one is a panic.
fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let Value::Object(schema) = schema else {
        return if *schema == Value::Bool(true) { Ok(()) } else { Err(format!("nothing fits {schema}")) };
    };
    let no = |why: &str| Err(format!("{value}: {why}"));
    for (keyword, says) in schema {
        match keyword.as_str() {
            "$ref" => fits(referred(says.as_str().unwrap()), value)?,
            "type" => {
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("the type {other}"),
                };
                let is_one = says.as_array().map_or_else(|| is(says), |kinds| kinds.iter().any(is));
                if !is_one {
                    return no(&format!("is no {says}"));
                }
            }
            "enum" if !says.as_array().unwrap().contains(value) => return no("is none of the words"),
            "const" if says != value => return no("is another word"),
            "anyOf" | "oneOf" => {
                let fitting = says.as_array().unwrap().iter().filter(|one| fits(one, value).is_ok()).count();
                if fitting == 0 || (keyword == "oneOf" && fitting > 1) {
                    return no(&format!("fits {fitting} of {keyword}"));
                }
            }
            "minimum" if value.as_f64() < says.as_f64() => return no("is too small"),
            "maximum" if value.as_f64() > says.as_f64() => return no("is too large"),
            "required" => {
                let missing =
                    says.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                if let Some(name) = missing {
                    return no(&format!("has no {name}"));
                }
            }
            "properties" => {
                for (name, of) in says.as_object().unwrap() {
                    value.get(name).map_or(Ok(()), |value| fits(of, value))?;
                }
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if !known.is_some_and(|known| known.contains_key(name)) {
                        fits(says, value).map_err(|problem| format!("{name}: {problem}"))?;
                    }
                }
            }
            "items" => value.as_array().into_iter().flatten().try_for_each(|item| fits(says, item))?,
            "minLength" | "maxLength" | "pattern" | "minItems" | "maxItems" | "uniqueItems" => {}
            "enum" | "const" | "minimum" | "maximum" | "description" | "format" | "default" | "examples"
            | "title" | "writeOnly" | "x-line" | "maxProperties" => {}
            other => panic!("the keyword {other}"),
        }
    }
    Ok(())
}
