//! Layers, schema, provenance, paths. `load` reads every layer and is the place to start; nothing here
//! knows who a uid is (`daemon/people.rs`) or speaks to anybody.

pub mod decode;
pub mod env;
pub mod front_matter;
pub mod keys;
pub mod layer;
pub mod load;
pub mod origins;
pub mod paths;
pub mod personal;
pub mod problem;
pub mod rules;
pub mod schema;
pub mod secrets;
pub mod show;
pub mod tree;
pub mod zone;

use serde_json::Value;

/// The JSON schema of `config.yml`, for editors.
pub fn json_schema() -> Value {
    schemars::schema_for!(schema::Config).to_value()
}
