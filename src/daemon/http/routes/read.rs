//! A request's arguments, read out of its path, its query and its body as its row says. What they mean is looked at in
//! `usecase::resolve`.

use crate::daemon::http::etag;
use crate::daemon::http::routes::row::{Kind, Make, Route, Whence, no_such};
use crate::daemon::mcp::tools::body as json_body;
use crate::wire::fault::{Fault, FaultCode};
use crate::wire::request::Request;
use axum::extract::Query;
use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde_json::{Map, Value};

impl Route {
    /// The request that is asked here.
    ///
    /// # Errors
    /// A fault `invalid` that names the argument at fault.
    pub fn request(
        &self,
        make: &Make,
        segments: &[String],
        parts: &Parts,
        body: &[u8],
    ) -> Result<Request, Fault> {
        let request = self.fields(segments, parts, body).and_then(make);
        match self.secret {
            Some(wanted) => request.map_err(|fault| self.discreet(fault, wanted)),
            None => request,
        }
    }

    fn fields(&self, segments: &[String], parts: &Parts, body: &[u8]) -> Result<Map<String, Value>, Fault> {
        let query = pairs(parts)?;
        if self.whence != Whence::Query
            && let Some((name, _)) = query.first()
        {
            return Err(no_such(name));
        }
        let mut fields = match self.whence {
            Whence::Query => self.in_query(query)?,
            // What a GET's body says means nothing, by HTTP.
            Whence::Path if self.method == Method::GET => Map::new(),
            Whence::Path | Whence::Body => object(body)?,
            Whence::Text(..) if is_json(parts) => object(body)?,
            // Nothing at all is a mistake rather than a text without a word.
            Whence::Text(name, _) if body.is_empty() => return Err(Fault::invalid(name, "must be given")),
            Whence::Text(name, _) => {
                let text = std::str::from_utf8(body).map_err(|_| Fault::invalid("body", "is not UTF-8"))?;
                Map::from_iter([(name.to_owned(), Value::from(text))])
            }
        };
        for (name, text) in self.in_path(segments) {
            if fields.contains_key(name) {
                return Err(Fault::invalid(name, "stands in the path"));
            }
            fields.insert(name.to_owned(), value(name, self.kind(name).unwrap_or(&Kind::Text), text)?);
        }
        if let (Some(argument), Some(version)) = (self.guard, etag::seen(self, &parts.headers)?) {
            if fields.get(argument).is_some_and(|said| !said.is_null()) {
                return Err(Fault::invalid("If-Match", format_args!("says what `{argument}` is to say")));
            }
            let kind = self.kind(argument).unwrap_or(&Kind::Text);
            // No version is so small: it is that of no row.
            let version = value(argument, kind, &version).unwrap_or_else(|_| Value::from(i64::MIN));
            fields.insert(argument.to_owned(), version);
        }
        match fields.keys().find(|name| self.without.contains(&name.as_str())) {
            Some(name) => Err(no_such(name)),
            None => Ok(fields),
        }
    }

    fn in_query(&self, pairs: Vec<(String, String)>) -> Result<Map<String, Value>, Fault> {
        let mut fields = Map::new();
        for (name, text) in pairs {
            match self.kind(&name) {
                None => return Err(no_such(&name)),
                Some(Kind::List(of)) => {
                    let item = value(&name, of, &text)?;
                    if let Value::Array(items) =
                        fields.entry(name).or_insert_with(|| Value::Array(Vec::new()))
                    {
                        items.push(item);
                    }
                }
                Some(_) if fields.contains_key(&name) => return Err(Fault::invalid(&name, "is given twice")),
                Some(kind) => {
                    let value = value(&name, kind, &text)?;
                    fields.insert(name, value);
                }
            }
        }
        Ok(fields)
    }

    /// The same complaint, without a word of what came.
    fn discreet(&self, fault: Fault, wanted: &str) -> Fault {
        if fault.field.as_deref() == Some("If-Match") {
            return fault;
        }
        let field = fault.field.as_deref().filter(|field| self.has_argument(field));
        match (fault.code, field) {
            (FaultCode::Invalid, Some(field)) if fault.message.ends_with("must be given") => {
                Fault::invalid(field, "must be given")
            }
            (FaultCode::Invalid, Some(field)) if fault.message.ends_with("stands in the path") => {
                Fault::invalid(field, "stands in the path")
            }
            (FaultCode::Invalid, field) => {
                Fault::invalid(field.unwrap_or("body"), format_args!("the body must be {wanted}"))
            }
            _ => fault,
        }
    }
}

/// Takes the fields of these names out, for a type of their own.
pub fn take(fields: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|name| fields.remove_entry(*name)).collect()
}

fn is_json(parts: &Parts) -> bool {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json")
}

fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, Fault> {
    Query::try_from_uri(&parts.uri)
        .map(|Query(pairs)| pairs)
        .map_err(|_| Fault::invalid("query", "is not well-formed"))
}

/// A JSON object; nothing is an empty one.
fn object(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    if body.is_empty() { Ok(Map::new()) } else { json_body(body) }
}

fn value(name: &str, kind: &Kind, text: &str) -> Result<Value, Fault> {
    match kind {
        Kind::Text | Kind::List(_) => Ok(Value::from(text)),
        Kind::Integer => {
            text.parse::<i64>().map(Value::from).map_err(|_| Fault::invalid(name, "must be a whole number"))
        }
        Kind::Truth => {
            text.parse::<bool>().map(Value::from).map_err(|_| Fault::invalid(name, "must be true or false"))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::daemon::http::routes::row::{Does, Route};
    use crate::daemon::http::routes::{at, segments};
    use crate::wire::fault::Fault;
    use crate::wire::request::Request;
    use http::Method;

    /// What `method` and `uri` with `body` are read as.
    fn read(method: &Method, uri: &str, body: &[u8]) -> Result<Request, Fault> {
        let (parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
        let segments = segments(parts.uri.path()).unwrap();
        let row: &Route = at(&segments).into_iter().find(|row| row.method == *method).unwrap();
        let Does::Ask(make) = &row.does else { panic!("{uri} asks nothing") };
        row.request(make, &segments, &parts, body)
    }

    #[test]
    fn texts_become_what_the_schema_says() {
        let Ok(Request::ListSessions(asked)) =
            read(&Method::GET, "/api/v1/sessions?limit=5&all_computers=true&agent=1", b"")
        else {
            panic!()
        };
        assert_eq!(
            (asked.limit, asked.all_computers, asked.agent.as_deref()),
            (Some(5), Some(true), Some("1"))
        );
        for (uri, field) in [
            ("/api/v1/sessions?limit=5.0", "limit"),
            ("/api/v1/sessions?all_computers=1", "all_computers"),
            ("/api/v1/sessions?agent=a&agent=b", "agent"),
            ("/api/v1/sessions?all=true", "all"),
            ("/api/v1/whoami?x", "x"),
            ("/api/v1/inbox?mark_all=true", "mark_all"),
            ("/api/v1/sessions/x/transcript?session_id=y", "session_id"),
            ("/api/v1/sessions/x/transcript?follow=yes", "follow"),
            ("/api/v1/audit/export?format=docx", "format"),
            ("/api/v1/audit/export?cursor=1", "cursor"),
            ("/api/v1/audit/tail?after=3", "after"),
        ] {
            let fault = read(&Method::GET, uri, b"").unwrap_err();
            assert_eq!(fault.field.as_deref(), Some(field), "{uri}: {fault}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_a_word_of_it() {
        let put = |body: &str| read(&Method::PUT, "/api/v1/credentials/A_KEY", body.as_bytes());
        let Ok(Request::PutCredential(asked)) = put(r#"{"value": "invented"}"#) else { panic!() };
        assert_eq!((asked.name.as_str(), asked.value.expose()), ("A_KEY", "invented"));
        for (body, field) in [
            (r#"{}"#, "value"),
            (r#"{"value": ["sk-invented"]}"#, "value"),
            (r#"{"value": "x", "system": "sk-invented"}"#, "system"),
            (r#"{"value": "x", "sk-invented": 1}"#, "body"),
            (r#"{"value": "x", "name": "sk-invented"}"#, "name"),
            (r#""sk-invented""#, "body"),
            (r#"sk-invented"#, "body"),
        ] {
            let fault = put(body).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some(field), "{body}");
            assert!(!format!("{fault:?}").contains("invented"), "{fault}");
        }
        for body in [
            r#"{"credentials": "sk-invented"}"#,
            r#"{"credentials": [{"name": "A", "value": 5, "more": "sk-invented"}]}"#,
        ] {
            let fault = read(&Method::POST, "/api/v1/credentials/import", body.as_bytes()).unwrap_err();
            assert!(!format!("{fault:?}").contains("invented"), "{fault}");
        }
    }
}
