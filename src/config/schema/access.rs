//! The keys `people`, `access`, `roles` and `projects`: who is who and what is open to whom. Finding the
//! person of a uid is `daemon/people.rs`.

use crate::domain::caller::Role;
use crate::domain::project::Project;
use crate::domain::session::Profile;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::path::PathBuf;

/// A person, or with `os_group` a template for everybody of that group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonEntry {
    /// The name everybody sees.
    pub name: String,
    /// For people to reach them.
    #[serde(default)]
    pub email: Option<String>,
    /// Their OS user's name.
    #[serde(default)]
    pub os_username: Option<String>,
    /// Their OS user's uid.
    #[serde(default)]
    pub os_uid: Option<u32>,
    /// An OS group: each member is a person of this role, named after the OS user.
    #[serde(default)]
    pub os_group: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Projects they are held to, by name; empty for no such bound.
    #[serde(default)]
    pub projects: Vec<String>,
}

/// What becomes of uids that nobody maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unmapped {
    /// They are public: may ask who they are.
    #[default]
    Public,
    /// Their connections are closed.
    Refuse,
}

/// Who may come in at all. Deny beats allow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// If not empty, everybody else counts as unmapped. Grants no role.
    pub allow: Vec<AccessEntry>,
    /// Refused whoever they are.
    pub deny: Vec<AccessEntry>,
    /// What becomes of uids that nobody maps.
    pub unmapped: Unmapped,
}

/// One entry of a list: a user's name, `@group`, or a uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccessEntry {
    /// An OS user by name.
    User(String),
    /// Everybody of an OS group.
    Group(String),
    /// An OS user by uid.
    Uid(u32),
}

impl AccessEntry {
    /// Reads what somebody wrote. The error completes "access.deny[0]: …".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be a user name, @group or a uid";
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::Uid).map_err(|_| WRONG);
        }
        let name = text.strip_prefix('@').unwrap_or(text);
        if !is_os_name(name) {
            return Err(WRONG);
        }
        Ok(if text.starts_with('@') { Self::Group(name.to_owned()) } else { Self::User(name.to_owned()) })
    }
}

/// Whether an OS could have a user or group of this name.
pub(in crate::config) fn is_os_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && !name.starts_with(['-', '@', '+'])
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/' | ','))
}

impl fmt::Display for AccessEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => f.write_str(name),
            Self::Group(name) => write!(f, "@{name}"),
            Self::Uid(uid) => write!(f, "{uid}"),
        }
    }
}

impl Serialize for AccessEntry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Uid(uid) => to.serialize_u32(*uid),
            other => to.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for AccessEntry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl Visitor<'_> for EntryVisitor {
            type Value = AccessEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user name, @group or a uid")
            }
            fn visit_u64<E: Error>(self, uid: u64) -> Result<AccessEntry, E> {
                let uid = u32::try_from(uid).map_err(|_| E::custom("must be a uid below 4294967296"))?;
                Ok(AccessEntry::Uid(uid))
            }
            fn visit_u32<E: Error>(self, uid: u32) -> Result<AccessEntry, E> {
                Ok(AccessEntry::Uid(uid))
            }
            fn visit_i64<E: Error>(self, uid: i64) -> Result<AccessEntry, E> {
                u64::try_from(uid)
                    .map_err(|_| E::custom("must not be negative"))
                    .and_then(|u| self.visit_u64(u))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<AccessEntry, E> {
                AccessEntry::parse(text).map_err(E::custom)
            }
        }
        from.deserialize_any(EntryVisitor)
    }
}

impl JsonSchema for AccessEntry {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AccessEntry".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "integer"], "minLength": 1, "minimum": 0})
    }
}

/// Limits of one role. `Default` is a member's; each role has its own in [`Roles`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoleLimits {
    /// Open sessions at once.
    pub max_sessions: u32,
    /// Requests a minute in the long run.
    pub requests_per_minute: u32,
    /// Requests at once before that counts.
    pub burst: u32,
    /// How far their agents may go without asking.
    pub profile: Profile,
    /// Admins may type into sessions of others, with a reason. Means nothing for other roles.
    pub steer_others: bool,
}

impl Default for RoleLimits {
    fn default() -> Self {
        Roles::default().member
    }
}

/// Limits of each role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// Of admins.
    pub admin: RoleLimits,
    /// Of members.
    pub member: RoleLimits,
    /// Of contributors.
    pub contributor: RoleLimits,
    /// Of newcomers.
    pub newcomer: RoleLimits,
    /// Of everybody else together.
    pub public: RoleLimits,
}

impl Default for Roles {
    fn default() -> Self {
        let limits = |max_sessions, requests_per_minute, burst, profile| RoleLimits {
            max_sessions,
            requests_per_minute,
            burst,
            profile,
            steer_others: false,
        };
        Self {
            admin: limits(16, 1_200, 200, Profile::Full),
            member: limits(8, 600, 100, Profile::Restricted),
            contributor: limits(4, 300, 50, Profile::Restricted),
            newcomer: limits(0, 120, 30, Profile::Restricted),
            public: limits(0, 60, 20, Profile::Restricted),
        }
    }
}

impl Roles {
    /// Those of one role.
    pub const fn of(&self, role: Role) -> &RoleLimits {
        match role {
            Role::Admin => &self.admin,
            Role::Member => &self.member,
            Role::Contributor => &self.contributor,
            Role::Newcomer => &self.newcomer,
            Role::Public => &self.public,
        }
    }
}

/// A folder in which sessions may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectEntry {
    /// The name people use.
    pub name: String,
    /// Absolute path of the folder.
    pub path: PathBuf,
    /// What it is, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// Roles it is open to; empty for every role that may start sessions.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// People it is open to by name; empty for everybody of those roles.
    #[serde(default)]
    pub people: Vec<String>,
    /// Whether sessions may ask for a worktree of their own.
    #[serde(default = "yes")]
    pub worktrees: bool,
}

const fn yes() -> bool {
    true
}

impl ProjectEntry {
    /// As the domain knows it.
    pub fn project(&self) -> Project {
        Project {
            name: self.name.clone(),
            path: self.path.clone(),
            description: self.description.clone(),
            roles: self.roles.clone(),
            people: self.people.clone(),
            worktrees: self.worktrees,
        }
    }
}
