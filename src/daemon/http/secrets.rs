//! Bodies that hold secrets. What is wrong with one is said without a word of it: the usual complaint would quote.

use crate::daemon::mcp::tools;
use crate::domain::credential::Secret;
use crate::wire::credential::{ImportCredentials, PutCredential};
use crate::wire::fault::{Fault, FaultCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A credential: its name stands in the path.
pub fn put(segments: &[&str], bytes: &[u8]) -> Result<PutCredential, Fault> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields {
        value: Secret,
        system: Option<bool>,
    }
    let Fields { value, system } = read(bytes, "{\"value\": TEXT, \"system\": true|false}")?;
    Ok(PutCredential { name: segments.get(1).copied().unwrap_or_default().to_owned(), value, system })
}

/// Many credentials.
pub fn import(bytes: &[u8]) -> Result<ImportCredentials, Fault> {
    read(
        bytes,
        "{\"credentials\": [{\"name\": NAME, \"value\": TEXT}, …], \"replace\": true|false, \"system\": true|false}",
    )
}

fn read<T: DeserializeOwned>(bytes: &[u8], wanted: &str) -> Result<T, Fault> {
    tools::body(bytes).map_err(|fault| {
        let known = ["value", "system", "credentials", "replace"];
        let field = fault.field.as_deref().and_then(|field| known.into_iter().find(|known| *known == field));
        match (fault.code, field) {
            (FaultCode::Invalid, Some(field)) if fault.message.ends_with("must be given") => {
                Fault::invalid(field, "must be given")
            }
            (FaultCode::Invalid, field) => {
                Fault::invalid(field.unwrap_or("body"), format_args!("the body must be {wanted}"))
            }
            _ => fault,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{import, put};

    #[test]
    fn what_is_wrong_is_said_without_a_word_of_it() {
        let name = &["credentials", "A_KEY"];
        assert_eq!(put(name, br#"{"value": "invented"}"#).unwrap().value.expose(), "invented");
        for (body, field) in [
            (r#"{}"#, "value"),
            (r#"{"value": ["sk-invented"]}"#, "value"),
            (r#"{"value": "x", "system": "sk-invented"}"#, "system"),
            (r#"{"value": "x", "sk-invented": 1}"#, "body"),
            (r#""sk-invented""#, "body"),
            (r#"sk-invented"#, "body"),
        ] {
            let fault = put(name, body.as_bytes()).unwrap_err();
            assert_eq!(fault.field.as_deref(), Some(field), "{body}");
            assert!(!format!("{fault:?}").contains("invented"), "{fault}");
        }
        for body in [
            r#"{"credentials": "sk-invented"}"#,
            r#"{"credentials": [{"name": "A", "value": 5, "more": "sk-invented"}]}"#,
        ] {
            let fault = import(body.as_bytes()).unwrap_err();
            assert!(!format!("{fault:?}").contains("invented"), "{fault}");
        }
    }
}
