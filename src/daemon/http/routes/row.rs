//! A row of the table of paths, and the words in which rows are written.

use crate::daemon::mcp::schema;
use crate::daemon::mcp::tools::arguments;
use crate::domain::verb::Verb;
use crate::wire::fault::Fault;
use crate::wire::request::Request;
use http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Arguments to request.
pub type Make = Box<dyn Fn(Map<String, Value>) -> Result<Request, Fault> + Send + Sync>;

/// One row: a method and a path, and what they stand for.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path below `/api/v1`, with the names of its parameters in braces.
    pub path: &'static str,
    /// The operation id.
    pub id: &'static str,
    /// What is done: whoever may not do it to anything does not learn that there is such a path.
    pub verb: Verb,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Where arguments are besides the path.
    pub whence: Whence,
    /// What arguments there are: the fields of these types.
    pub arguments: Vec<Shape>,
    /// Arguments of these types that are none here.
    pub without: &'static [&'static str],
    /// The status of the answer if it is done.
    pub status: StatusCode,
    /// What is answered: one of these.
    pub answers: Vec<Answer>,
    /// What to do.
    pub does: Does,
    /// What the body looks like, where it holds secrets: the usual complaint about a body would quote it.
    pub secret: Option<&'static str>,
    /// The answer's field that says which version it is of: such an answer has a tag.
    pub version: Option<&'static str>,
    /// The argument that says which version was seen: what `If-Match` becomes.
    pub guard: Option<&'static str>,
    kinds: BTreeMap<String, Kind>,
    parts: Vec<Part>,
    parameters: Vec<bool>,
}

/// Where arguments are besides the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// Nowhere.
    Path,
    /// In the query.
    Query,
    /// In a body: a JSON object. No body is an empty object.
    Body,
    /// In a body: text that is this one argument, of this media type; or a JSON object, if it says that it is one.
    Text(&'static str, &'static str),
}

/// What to do about a request.
pub enum Does {
    /// Ask the daemon this.
    Ask(Make),
    /// Tell of what happens from now on.
    Listen,
}

/// An answer there may be.
pub struct Answer {
    /// Its media type.
    pub media: &'static str,
    /// What it is, if it is JSON; of lines of JSON, what a line is.
    pub shape: Option<Shape>,
}

/// A type, as far as its schema goes.
pub struct Shape {
    /// What it is called.
    pub name: String,
    /// Its schema, whose parts go into the generator.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// A reference to its schema, which goes into the generator too.
    pub reference: fn(&mut SchemaGenerator) -> Schema,
}

impl Shape {
    /// That of `T`.
    pub fn of<T: JsonSchema>() -> Self {
        Self {
            name: T::schema_name().into_owned(),
            schema: |generator| T::json_schema(generator),
            reference: |generator| generator.subschema_for::<T>(),
        }
    }
}

/// How the text of a query or a path becomes a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Truth,
    /// Several of them, each given by the same name.
    List(Box<Kind>),
}

impl Kind {
    fn of(schema: &Value) -> Self {
        match schema["type"].as_str() {
            Some("integer") => Self::Integer,
            Some("boolean") => Self::Truth,
            Some("array") => Self::List(Box::new(Self::of(&schema["items"]))),
            _ => Self::Text,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Word(&'static str),
    Parameter(&'static str),
}

/// A row whose request is not said yet.
pub struct Draft {
    method: Method,
    path: &'static str,
    id: &'static str,
    verb: Verb,
    summary: &'static str,
}

/// A row for `GET`.
pub const fn get(path: &'static str, id: &'static str, verb: Verb, summary: &'static str) -> Draft {
    Draft { method: Method::GET, path, id, verb, summary }
}

/// A row for `POST`.
pub const fn post(path: &'static str, id: &'static str, verb: Verb, summary: &'static str) -> Draft {
    Draft { method: Method::POST, path, id, verb, summary }
}

/// A row for `PUT`.
pub const fn put(path: &'static str, id: &'static str, verb: Verb, summary: &'static str) -> Draft {
    Draft { method: Method::PUT, path, id, verb, summary }
}

/// A row for `PATCH`.
pub const fn patch(path: &'static str, id: &'static str, verb: Verb, summary: &'static str) -> Draft {
    Draft { method: Method::PATCH, path, id, verb, summary }
}

/// A row for `DELETE`.
pub const fn delete(path: &'static str, id: &'static str, verb: Verb, summary: &'static str) -> Draft {
    Draft { method: Method::DELETE, path, id, verb, summary }
}

impl Draft {
    /// A request without arguments.
    pub fn asks(self, request: Request) -> Route {
        let make: Make = Box::new(move |fields| match fields.keys().next() {
            None => Ok(request.clone()),
            Some(key) => Err(no_such(key)),
        });
        self.row(Whence::Path, BTreeMap::new(), Vec::new(), Does::Ask(make))
    }

    /// No request: events, as they happen.
    pub fn listens(self) -> Route {
        self.row(Whence::Path, BTreeMap::new(), Vec::new(), Does::Listen)
    }

    /// A request whose arguments are all in the path.
    pub fn path<T: JsonSchema + DeserializeOwned + 'static>(self, request: fn(T) -> Request) -> Route {
        self.reads::<T>(Whence::Path, move |fields| arguments(fields).map(request))
    }

    /// A request whose arguments are in the query, or the path.
    pub fn query<T: JsonSchema + DeserializeOwned + 'static>(self, request: fn(T) -> Request) -> Route {
        self.reads::<T>(Whence::Query, move |fields| arguments(fields).map(request))
    }

    /// A request whose arguments are in the body, or the path.
    pub fn body<T: JsonSchema + DeserializeOwned + 'static>(self, request: fn(T) -> Request) -> Route {
        self.reads::<T>(Whence::Body, move |fields| arguments(fields).map(request))
    }

    /// A request whose arguments are those of `T`, and how it is made of them.
    pub fn reads<T: JsonSchema>(
        self,
        whence: Whence,
        make: impl Fn(Map<String, Value>) -> Result<Request, Fault> + Send + Sync + 'static,
    ) -> Route {
        let row = self.row(whence, BTreeMap::new(), Vec::new(), Does::Ask(Box::new(make)));
        row.and::<T>()
    }

    fn row(self, whence: Whence, kinds: BTreeMap<String, Kind>, arguments: Vec<Shape>, does: Does) -> Route {
        let Self { method, path, id, verb, summary } = self;
        let parts: Vec<Part> = path
            .split('/')
            .skip(1)
            .map(|text| match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
                Some(name) => Part::Parameter(name),
                None => Part::Word(text),
            })
            .collect();
        Route {
            method,
            path,
            id,
            verb,
            summary,
            whence,
            arguments,
            without: &[],
            status: StatusCode::OK,
            answers: Vec::new(),
            does,
            secret: None,
            version: None,
            guard: None,
            kinds,
            parameters: parts.iter().map(|part| matches!(part, Part::Parameter(_))).collect(),
            parts,
        }
    }
}

impl Route {
    /// Further arguments: those of `T`.
    pub fn and<T: JsonSchema>(mut self) -> Self {
        let plain = Value::Object((*schema::input::<T>()).clone());
        for (name, schema) in plain["properties"].as_object().into_iter().flatten() {
            self.kinds.insert(name.clone(), Kind::of(schema));
        }
        self.arguments.push(Shape::of::<T>());
        self
    }

    /// Arguments of the type that are none here.
    pub fn without(mut self, names: &'static [&'static str]) -> Self {
        self.without = names;
        self
    }

    /// The body holds secrets, and looks like this.
    pub fn secret(mut self, wanted: &'static str) -> Self {
        self.secret = Some(wanted);
        self
    }

    /// This field of the answer is its version: it gets an `ETag`, and `If-None-Match` may spare reading it again.
    pub fn versioned(mut self, field: &'static str) -> Self {
        self.version = Some(field);
        self
    }

    /// This argument is the version that was seen, and `If-Match` says the same. A fault `conflict` that names it is
    /// 412 then.
    pub fn guarded(mut self, argument: &'static str) -> Self {
        self.guard = Some(argument);
        self
    }

    /// What is answered.
    pub fn gives<T: JsonSchema>(mut self) -> Self {
        self.answers.push(Answer { media: "application/json", shape: Some(Shape::of::<T>()) });
        self
    }

    /// What is answered, with the status that says that something is new.
    pub fn created<T: JsonSchema>(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self.gives::<T>()
    }

    /// What is answered is a stream or a file of this media type.
    pub fn sends(mut self, media: &'static str) -> Self {
        self.answers.push(Answer { media, shape: None });
        self
    }

    /// What is answered is lines of JSON.
    pub fn sends_lines<T: JsonSchema>(mut self, media: &'static str) -> Self {
        self.answers.push(Answer { media, shape: Some(Shape::of::<T>()) });
        self
    }

    /// What is answered is a connection of another protocol.
    pub fn switches(mut self, protocol: &'static str) -> Self {
        self.status = StatusCode::SWITCHING_PROTOCOLS;
        self.sends(protocol)
    }

    /// Whether a path of these segments is this one.
    pub fn is_at(&self, segments: &[String]) -> bool {
        self.parts.len() == segments.len()
            && self.parts.iter().zip(segments).all(|(part, segment)| match part {
                Part::Word(word) => word == segment,
                Part::Parameter(_) => true,
            })
    }

    /// Of each segment, whether it is a parameter.
    pub fn parameters(&self) -> &[bool] {
        &self.parameters
    }

    /// The parameters in a path of these segments.
    pub fn in_path<'a>(&self, segments: &'a [String]) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.parts.iter().zip(segments).filter_map(|(part, segment)| match part {
            Part::Word(_) => None,
            Part::Parameter(name) => Some((*name, segment.as_str())),
        })
    }

    /// The names of the parameters in the path.
    pub fn names_in_path(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Word(_) => None,
            Part::Parameter(name) => Some(*name),
        })
    }

    /// How the text of an argument becomes a value; `None` if there is none of that name.
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.get(name).filter(|_| !self.without.contains(&name))
    }

    /// Whether there is an argument of that name.
    pub fn has_argument(&self, name: &str) -> bool {
        self.kind(name).is_some()
    }
}

/// What is said about an argument that there is not.
pub fn no_such(name: &str) -> Fault {
    let name: String = name.chars().take(64).collect();
    Fault::invalid(&name, "there is no such argument")
}
