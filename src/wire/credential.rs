//! What is said about credentials and encryption keys. Values go one way only: no reply holds one.

use crate::domain::credential::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose credentials to list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListCredentials {
    /// The system's instead of one's own (admins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<bool>,
}

/// A credential to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutCredential {
    /// The name of the variable it becomes.
    pub name: String,
    /// Its value.
    pub value: Secret,
    /// The system's instead of one's own (admins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<bool>,
    /// Its `updated_at` that was seen: if it was put or deleted since, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_updated_at: Option<String>,
}

/// A credential to delete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteCredential {
    /// Its name.
    pub name: String,
    /// The system's instead of one's own (admins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<bool>,
    /// Its `updated_at` that was seen: if it was put or deleted since, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_updated_at: Option<String>,
}

/// Many credentials to keep, all or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportCredentials {
    /// Names and values, each name once.
    pub credentials: Vec<NamedValue>,
    /// Whether earlier values of these names may go; without it such a name is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<bool>,
    /// The system's instead of one's own (admins).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<bool>,
}

/// One of many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedValue {
    /// The name of the variable it becomes.
    pub name: String,
    /// Its value.
    pub value: Secret,
}

/// A kept credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialRow {
    /// Its name.
    pub name: String,
    /// Whether it is the system's.
    pub system: bool,
    /// When it was first put.
    pub created_at: String,
    /// When its value was put.
    pub updated_at: String,
    /// The key it is encrypted with.
    pub key_id: String,
}

/// Names of credentials. At most 100 are kept, so there is no second page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialsReply {
    /// By name.
    pub credentials: Vec<CredentialRow>,
}

/// To a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialDeletedReply {
    /// The name.
    pub name: String,
    /// Whether it was the system's.
    pub system: bool,
    /// Always true: one that is not there is not found.
    pub deleted: bool,
}

/// To an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportedReply {
    /// Names that are new.
    pub added: Vec<String>,
    /// Names whose earlier values are gone.
    pub replaced: Vec<String>,
    /// The key they are encrypted with.
    pub key_id: String,
}

/// An encryption key, by its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRow {
    /// What it is called.
    pub key_id: String,
    /// Since when it is known; absent for one that only credentials name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// When nothing was encrypted with it any longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<String>,
    /// Whether new values are encrypted with it.
    pub in_use: bool,
    /// Whether the daemon has the key.
    pub here: bool,
    /// Credentials that are encrypted with it.
    #[schemars(range(min = 0))]
    pub credentials: i64,
}

/// How the encryption keys are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeysReply {
    /// The key in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why keys cannot be used, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Whether credentials are being encrypted anew.
    pub rotating: bool,
    /// Credentials that the last rotation could not decrypt.
    #[schemars(range(min = 0))]
    pub unreadable: i64,
    /// Every key, oldest first.
    pub keys: Vec<KeyRow>,
}
