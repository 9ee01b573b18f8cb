//! Credentials: names, values, and whose they are. A value shows itself to nobody: no Debug, and zeroed when dropped.
//! Encrypting is `store/seal.rs`.

use crate::domain::caller::Caller;
use crate::domain::person::PersonId;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Bytes of a name, at most.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of a value, at most. All that one agent gets must go through one message of the runner's.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Credentials of one person, or of the system, at most.
pub const HELD_MAX: usize = 100;

/// Names by which a program loads code, and ours.
const RESERVED_PREFIXES: [&str; 3] = ["LD_", "DYLD_", "TELECLAUDE_"];
/// What ties an agent to its owner, its session and its terminal.
const RESERVED: [&str; 10] =
    ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "TERM", "TMPDIR", "BASH_ENV", "ENV", "IFS"];

/// Whether an agent is never given a variable of this name.
pub fn is_reserved(name: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || RESERVED.contains(&name)
}

/// The name of a credential: that of the variable it becomes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName(String);

impl CredentialName {
    /// Reads a name. The problem does not quote what is no name: it might be a value in the wrong place.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(format!("may have at most {NAME_BYTES_MAX} bytes"));
        }
        if text.starts_with(|c: char| c.is_ascii_digit())
            || !text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        {
            return Err(
                "must be a variable's name: capital letters, digits and `_`, not beginning with a digit"
                    .to_owned(),
            );
        }
        if is_reserved(text) || matches!(text, "LANG" | "COLORTERM") {
            return Err(format!("`{text}` ties an agent to its session and cannot be a credential"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that nobody is shown. Serializing it writes it: only a client does, on its way to the daemon.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "password", "writeOnly": true })
    }
}

/// A value that may be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CredentialValue(Secret);

impl CredentialValue {
    /// Checks a value. The problem quotes nothing of it.
    pub fn parse(text: Secret) -> Result<Self, String> {
        if text.expose().is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.expose().len() > VALUE_BYTES_MAX {
            return Err(format!("may have at most {VALUE_BYTES_MAX} bytes"));
        }
        if text.expose().contains('\0') {
            return Err("must not contain NUL".to_owned());
        }
        Ok(Self(text))
    }

    /// The value.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Whose a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Everybody's whose agent's config says `share_system_keys`; an admin keeps it.
    System,
    /// One person's, as one OS user: both must be the asker's. Renaming or merging people moves none.
    Person {
        /// The person.
        person: PersonId,
        /// Their uid.
        uid: u32,
    },
}

impl Holder {
    /// The caller, if they are anybody.
    pub fn of(caller: &Caller) -> Option<Self> {
        caller.person.as_ref().map(|person| Self::Person { person: person.id, uid: caller.uid })
    }

    /// The same in one text, by which rows are found.
    pub fn key(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Person { person, uid } => format!("{person}/{uid}"),
        }
    }
}

/// What an encryption key is called. It is worked out from the key and says nothing about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is done with credentials, once names and values are checked.
#[derive(Clone, Debug)]
pub enum CredentialChange {
    /// One is put; an earlier value is gone.
    Put {
        /// Its name.
        name: CredentialName,
        /// Its value.
        value: CredentialValue,
        /// When the value was put that was seen.
        seen: Option<String>,
    },
    /// One is deleted.
    Delete {
        /// Its name.
        name: CredentialName,
        /// When the value was put that was seen.
        seen: Option<String>,
    },
    /// Many are put, all or none.
    Import {
        /// Names and values, each name once.
        all: Vec<(CredentialName, CredentialValue)>,
        /// Whether earlier values may go.
        replace: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::{CredentialName, CredentialValue, Holder, Secret, VALUE_BYTES_MAX};
    use crate::domain::person::PersonId;
    use uuid::Uuid;

    #[test]
    fn names_are_those_of_variables_an_agent_may_be_given() {
        for good in ["ANTHROPIC_API_KEY", "_X", "A", "K9", &"A".repeat(128)] {
            assert!(CredentialName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "9A",
            "a",
            "Aa",
            "A-B",
            "A B",
            "A=B",
            "Ä",
            "A\0",
            "A\n",
            "PATH",
            "HOME",
            "LANG",
            "TERM",
            "IFS",
            "LD_PRELOAD",
            "DYLD_INSERT_LIBRARIES",
            "TELECLAUDE_TOKEN",
            &"A".repeat(129),
        ] {
            assert!(CredentialName::parse(bad).is_err(), "{bad:?}");
        }
        let mistaken = CredentialName::parse("sk-invented-value").unwrap_err();
        assert!(!mistaken.contains("invented"), "{mistaken}");
    }

    #[test]
    fn values_are_bounded_and_show_themselves_to_nobody() {
        let parse = |text: &str| CredentialValue::parse(Secret::from(text.to_owned()));
        assert_eq!(parse("").unwrap_err(), "must not be empty");
        assert_eq!(parse("a\0b").unwrap_err(), "must not contain NUL");
        assert!(parse(&"x".repeat(VALUE_BYTES_MAX)).is_ok());
        assert!(parse(&"x".repeat(VALUE_BYTES_MAX + 1)).is_err());
        let value = parse("invented\nlines").unwrap();
        assert_eq!(format!("{value:?}"), "CredentialValue([secret])");
    }

    #[test]
    fn whose_it_is_takes_person_and_uid() {
        let held = |person, uid| Holder::Person { person: PersonId(Uuid::from_u128(person)), uid }.key();
        assert_eq!(held(1, 2), "00000000-0000-0000-0000-000000000001/2");
        assert_ne!(held(1, 2), held(1, 3));
        assert_ne!(held(1, 2), held(2, 2));
        assert_eq!(Holder::System.key(), "system");
    }
}
