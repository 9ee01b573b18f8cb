//! The OpenAPI 3.1 document: assembled from the table of paths, the wire types' schemas and a list of examples, once.
//! Nothing about a path is written here.

mod examples;

use crate::daemon::http::problem::Problem;
use crate::daemon::http::routes::TABLE;
use crate::daemon::http::routes::row::{Answer, Route, Shape, Whence};
use crate::daemon::mcp::schema::{drop_null, for_each_object, words};
use crate::domain::policy;
use crate::wire::limits::TOKEN_HEADER;
use http::{Method, StatusCode};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The document.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| Assembler::new().document(&TABLE));

/// What the tag of a path is, where it is not its first word.
const NOUNS: &[(&str, &str)] = &[
    ("whoami", "daemon"),
    ("health", "daemon"),
    ("openapi.json", "daemon"),
    ("projects", "daemon"),
    ("agents", "daemon"),
    ("computers", "daemon"),
    ("events", "daemon"),
    ("reload", "config"),
    ("me", "config"),
    ("hook", "sessions"),
    ("search", "sessions"),
    ("keys", "credentials"),
];

/// Refusals and failures: status, name, and when it comes.
const FAULTS: &[(u16, &str, &str)] = &[
    (400, "Broken", "The body broke off, or the request cannot be read."),
    (403, "Denied", "Your role or standing does not allow it, or the request came from a web page."),
    (404, "NotFound", "There is no such thing, as far as you may know; or no such path for you."),
    (408, "Late", "The body did not come in time."),
    (409, "Conflict", "It cannot be done in the state things are in."),
    (412, "Outdated", "It was changed since you read it: read it again."),
    (413, "TooLarge", "The body is too large."),
    (422, "Invalid", "An argument is wrong; `field` names it."),
    (426, "UpgradeRequired", "This path takes `Upgrade`."),
    (429, "TooMany", "Too many requests, or a limit of your role is reached."),
    (500, "Internal", "A defect of ours; the daemon's log has more."),
    (502, "OutcomeUnknown", "It may or may not have been done: look before you repeat it."),
    (503, "Unavailable", "The daemon, its database or its audit log cannot serve now; nothing was done."),
    (504, "Timeout", "It took too long; nothing was done."),
];

/// What is assembled on the way.
struct Assembler {
    /// Schemas of what is sent to us …
    asked: SchemaGenerator,
    /// … and of what we answer: a field that we leave out is never null.
    answered: SchemaGenerator,
    bodies: BTreeMap<String, Value>,
}

impl Assembler {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            asked: settings().into_generator(),
            answered: settings().for_serialize().into_generator(),
            bodies: BTreeMap::new(),
        }
    }

    fn document(mut self, table: &[Route]) -> Value {
        let mut paths: Map<String, Value> = Map::new();
        for row in table {
            let operation = self.operation(row);
            let path = paths.entry(row.path).or_insert_with(|| json!({}));
            path[row.method.as_str().to_ascii_lowercase()] = operation;
        }
        let problem = self.answered.subschema_for::<Problem<'_>>().to_value();
        let responses: Map<String, Value> = FAULTS
            .iter()
            .map(|(status, name, when)| ((*name).to_owned(), fault(*status, when, &problem)))
            .collect();
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "teleclaude",
                "summary": "AI coding agents as a shared, accountable service for the people of one machine",
                "description": ABOUT,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            },
            "servers": [{
                "url": "http://localhost/api/v1",
                "description": "On the daemon's Unix socket: `/var/run/teleclaude.sock` in system mode, \
                    `$XDG_RUNTIME_DIR/teleclaude.sock` or `~/.teleclaude/run/teleclaude.sock` in single-user mode. \
                    There is no TCP port, and the name of the host means nothing.",
            }],
            "security": [{}, { "session_token": [] }],
            "tags": tags(table),
            "paths": paths,
            "components": {
                "schemas": self.schemas(),
                "responses": responses,
                "securitySchemes": { "session_token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": TOKEN_HEADER,
                    "description": "Who asks is known from the socket: the kernel says whose process connected. A process \
                        inside a session that teleclaude started may show its session's token, and is that session's \
                        agent then, with fewer rights than its owner.",
                } },
            },
        })
    }

    fn operation(&mut self, row: &Route) -> Value {
        let mut operation = json!({
            "operationId": row.id,
            "summary": row.summary.trim_end_matches('.'),
            "description": format!("{}\n\n{}", row.summary, who_may(row)),
            "tags": [noun(row)],
        });
        let properties = self.properties(row);
        let parameters: Vec<Value> = row
            .names_in_path()
            .map(|name| (name, "path"))
            .chain(
                properties
                    .iter()
                    .filter(|_| row.whence == Whence::Query)
                    .map(|(name, _)| (name.as_str(), "query")),
            )
            .filter(|(name, place)| *place == "path" || row.names_in_path().all(|other| other != *name))
            .map(|(name, place)| {
                let (schema, required) = properties.get(name).cloned().unwrap_or_default();
                parameter(row.path, (name, place), schema, required || place == "path")
            })
            .chain(conditions(row))
            .collect();
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = self.body(row) {
            operation["requestBody"] = body;
        }
        operation["responses"] = self.responses(row);
        operation
    }

    /// The arguments of a row, by name, and whether they must be there.
    fn properties(&mut self, row: &Route) -> BTreeMap<String, (Value, bool)> {
        let mut all: BTreeMap<String, (Value, bool)> = BTreeMap::new();
        let schemas: Vec<Value> =
            row.arguments.iter().map(|shape| (shape.schema)(&mut self.asked).to_value()).collect();
        for schema in &schemas {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if row.has_argument(name) && !all.contains_key(name) {
                    let required = schemas.iter().all(|schema| requires(schema, name));
                    let mut property = property.clone();
                    if let Value::Object(property) = &mut property {
                        drop_null(property);
                    }
                    all.insert(name.clone(), (property, required));
                }
            }
        }
        all
    }

    fn body(&mut self, row: &Route) -> Option<Value> {
        let text = match row.whence {
            Whence::Path | Whence::Query => return None,
            Whence::Body => None,
            Whence::Text(_, media) => Some(media),
        };
        let shape: &Shape = row.arguments.first()?;
        let mut schema = (shape.schema)(&mut self.asked).to_value();
        let left_out: Vec<&str> = row.names_in_path().chain(row.without.iter().copied()).collect();
        let properties = schema["properties"].as_object_mut()?;
        properties.retain(|name, _| !left_out.contains(&name.as_str()));
        if properties.is_empty() {
            return None;
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name.as_str().is_none_or(|name| !left_out.contains(&name)));
        }
        let is_required = schema["required"].as_array().is_some_and(|required| !required.is_empty());
        // One type may be the body of several paths, and its name in each.
        let name = match self.bodies.get(&shape.name) {
            Some(other) if *other != schema => format!("{}_{}", shape.name, row.id),
            _ => shape.name.clone(),
        };
        let mut content = json!({ "application/json": { "schema": reference(&name) } });
        if let Some(media) = text {
            content[media] = json!({ "schema": {} });
        }
        self.bodies.insert(name, schema);
        Some(json!({ "required": is_required, "content": content }))
    }

    fn responses(&mut self, row: &Route) -> Value {
        let mut all = Map::new();
        let mut content = Map::new();
        let mut described = vec!["It is done.".to_owned()];
        if row.status == StatusCode::SWITCHING_PROTOCOLS {
            let protocol = row.answers.first().map_or("", |answer| answer.media);
            described = vec![format!("From here on the connection speaks `{protocol}`.")];
        } else {
            for Answer { media, shape } in &row.answers {
                let media_type = media.split(';').next().unwrap_or(media);
                let schema = match shape {
                    Some(shape) if *media == "application/json" => {
                        (shape.reference)(&mut self.answered).to_value()
                    }
                    Some(shape) => {
                        let line = (shape.reference)(&mut self.answered).to_value();
                        described.push(format!("As `{media_type}` each line is a `{}`.", shape.name));
                        json!({ "type": "string", "x-line": line })
                    }
                    None if *media == "application/json" => json!({ "type": "object" }),
                    None => json!({ "type": "string" }),
                };
                content.insert(media_type.to_owned(), json!({ "schema": schema }));
            }
        }
        let mut done = json!({ "description": described.join(" ") });
        if !content.is_empty() {
            done["content"] = content.into();
        }
        if row.version.is_some() {
            done["headers"] = json!({ "ETag": {
                "description": "For `If-Match` of a change, and `If-None-Match`.",
                "schema": { "type": "string" },
            } });
            if row.method == Method::GET {
                all.insert("304".to_owned(), json!({ "description": "It is as you have it." }));
            }
        }
        all.insert(row.status.as_u16().to_string(), done);
        for (status, name, _) in FAULTS.iter().filter(|(status, ..)| can_happen(row, *status)) {
            all.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
        }
        all.into()
    }

    /// Every schema that something refers to.
    fn schemas(mut self) -> Value {
        let mut all: BTreeMap<String, Value> = BTreeMap::new();
        for (name, mut schema) in self.answered.take_definitions(true) {
            for_each_object(&mut schema, &mut never_null);
            all.insert(name, schema);
        }
        for (name, schema) in self.asked.take_definitions(true) {
            all.entry(name).or_insert(schema);
        }
        all.extend(self.bodies);
        for (name, schema) in &mut all {
            for_each_object(schema, &mut words);
            if let Some(example) = examples::of(name) {
                schema["examples"] = json!([example]);
            }
        }
        json!(all)
    }
}

const ABOUT: &str = "\
The REST interface of the daemon's Unix socket. What it does is what the MCP tools and the commands do, judged by the same \
policy and written down in the same audit log.\n\n\
- **Who asks** is known from the socket; there is no login. A path that you may not use is answered like one that does not \
exist. A known path with another method answers 405 with `Allow`.\n\
- **Arguments** that a path does not know are refused.\n\
- **Errors** are `application/problem+json` with `code` to branch on, `detail` to read, `hint`, `field` and \
`retry_after_ms` where they are known.\n\
- **Lists** are pages: `next_cursor` of one is `cursor` of the next.\n\
- Beside this there are `GET /healthz` (a word, for probes) and `POST /mcp`. The socket and its limits are described in \
docs/transport.md, this interface in docs/rest.md.";

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn requires(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|one| one == name))
}

/// The tag of a row.
fn noun(row: &Route) -> &'static str {
    let first = row.path.split('/').nth(1).unwrap_or_default();
    NOUNS.iter().find(|(word, _)| *word == first).map_or(first, |(_, noun)| *noun)
}

fn tags(table: &[Route]) -> Value {
    let mut names: Vec<&str> = Vec::new();
    for row in table {
        if !names.contains(&noun(row)) {
            names.push(noun(row));
        }
    }
    names.into_iter().map(|name| json!({ "name": name })).collect()
}

fn who_may(row: &Route) -> String {
    let verb = row.verb;
    let who = match (policy::only_for_agents(verb), policy::least_role(verb)) {
        (true, _) => "a session's agent".to_owned(),
        (false, role) => format!("{role} and up"),
    };
    let agents = if policy::open_to_agents(verb) { "" } else { ", but no agent" };
    format!("Action `{}`: {who}{agents}.", verb.name())
}

fn parameter(path: &str, (name, place): (&str, &str), mut schema: Value, required: bool) -> Value {
    let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    for_each_object(&mut schema, &mut words);
    let mut parameter = json!({ "name": name, "in": place, "required": required, "schema": schema });
    if let Some(about) = about {
        parameter["description"] = about;
    }
    if let Some(example) = examples::of_parameter(path, name) {
        parameter["example"] = example;
    }
    parameter
}

/// Headers that make an answer depend on what the asker has already.
fn conditions(row: &Route) -> Vec<Value> {
    let header = |name: &str, about: &str| json!({ "name": name, "in": "header", "required": false, "description": about, "schema": { "type": "string" } });
    let mut all = Vec::new();
    if row.guard.is_some() {
        all.push(header(
            "If-Match",
            "An `ETag`: change it only if it is of that version still, or else say 412. `*` is any.",
        ));
    }
    if row.version.is_some() && row.method == Method::GET {
        all.push(header("If-None-Match", "An `ETag`: say 304 if nothing has changed since."));
    }
    all
}

/// Whether a request for this row may end with that status.
fn can_happen(row: &Route, status: u16) -> bool {
    let takes_body = matches!(row.whence, Whence::Body | Whence::Text(..));
    match status {
        400 | 408 | 413 => takes_body,
        412 => row.guard.is_some(),
        409 | 502 => row.method != Method::GET,
        426 => row.status == StatusCode::SWITCHING_PROTOCOLS,
        _ => true,
    }
}

fn fault(status: u16, when: &str, problem: &Value) -> Value {
    let mut response =
        json!({ "description": when, "content": { "application/problem+json": { "schema": problem } } });
    if matches!(status, 429 | 503) {
        response["headers"] = json!({ "Retry-After": {
            "description": "Whole seconds after which trying again makes sense.",
            "schema": { "type": "integer", "minimum": 0 },
        } });
    }
    response
}

/// What we leave out when it is not there is never null.
fn never_null(map: &mut Map<String, Value>) {
    let required = map.get("required").cloned().unwrap_or_default();
    let Some(fields) = map.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, field) in fields {
        let is_required = required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
        if let Value::Object(field) = field
            && !is_required
        {
            drop_null(field);
        }
    }
}

#[cfg(test)]
mod tests;
