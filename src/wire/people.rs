//! What is said about people: lists of them, one of them, who is meant by some words, and how many there are.
//! Changing them is not here.

use crate::domain::caller::Role;
use crate::domain::person::PersonStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListPeople {
    /// Only people in whose name, OS user, full name or address this stands, in any case; those with it in the name
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Only people in this status; without it everybody who is not deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PersonStatus>,
    /// Only people with this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Visitors instead: OS users who were here and are nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitors: Option<bool>,
    /// Also how many open sessions each has, and when there last was activity in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<bool>,
    /// Whether it is written down as an export, at its first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<bool>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// Who is meant by some words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindPerson {
    /// A name, an OS user, a uid, an address, a part of a name or phone number, or what is like a name.
    pub query: String,
    /// Deleted people, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<bool>,
}

/// Somebody, or oneself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShowPerson {
    /// Who, as for finding one; yourself if absent. Only admins see others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
}

/// Where somebody's role comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleFrom {
    /// The config names them.
    Config,
    /// A group that the config maps, when they were last seen.
    Group,
    /// An admin gave it at run time.
    Directory,
    /// Nothing gives them one, so they are public.
    Nothing,
}

impl RoleFrom {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Group => "group",
            Self::Directory => "directory",
            Self::Nothing => "nothing",
        }
    }
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonRow {
    /// The key: stays whatever else changes.
    pub person_id: String,
    /// The name; of a visitor the OS user, else the uid.
    pub name: String,
    /// How they are called in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Where that comes from.
    pub role_from: RoleFrom,
    /// Whether they may act.
    pub status: PersonStatus,
    /// Whether they are a visitor: an OS user who was here and is nobody's.
    pub visitor: bool,
    /// The OS user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_username: Option<String>,
    /// The uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub uid: Option<i64>,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The phone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// When they were first seen, or added.
    pub first_seen_at: String,
    /// When they were last seen, to the hour, or added.
    pub last_seen_at: String,
    /// Sessions of theirs that are open, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub open_sessions: Option<i64>,
    /// When there last was activity in a session of theirs, if that was asked for and there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_session_at: Option<String>,
}

/// A page of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeopleReply {
    /// The people; with a query those with it in the name first, then the newest first.
    pub people: Vec<PersonRow>,
    /// Where the next page begins, if there may be one.
    pub next_cursor: Option<String>,
}

/// Which step found somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// It is exactly their key, name, OS user, full name or address.
    Exact,
    /// It is their uid.
    Uid,
    /// It stands in their name.
    NamePart,
    /// It stands in their phone number.
    PhonePart,
    /// It is like their name.
    Similar,
}

/// Somebody who may be meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateRow {
    /// How well the words fit: 1 is exactly, 0.5 the least that counts.
    pub score: f64,
    /// Who.
    #[serde(flatten)]
    pub person: PersonRow,
}

/// Who is meant by some words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundPersonReply {
    /// Who is meant without a doubt; absent if it is nobody or may be several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonRow>,
    /// Which step found them; absent for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<FoundBy>,
    /// Whoever may be meant, the best first, at most 20.
    pub candidates: Vec<CandidateRow>,
    /// Whether there are still others.
    pub more: bool,
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BanInForce {
    /// When it ends by itself; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub created_at: String,
    /// Who banned; for admins only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What somebody has done here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonActivity {
    /// Sessions of theirs, open or not.
    #[schemars(range(min = 0))]
    pub sessions: i64,
    /// Messages to those sessions.
    #[schemars(range(min = 0))]
    pub messages: i64,
    /// Tasks that were given to them.
    #[schemars(range(min = 0))]
    pub tasks: i64,
    /// Those of them that are not completed.
    #[schemars(range(min = 0))]
    pub open_tasks: i64,
}

/// Somebody, and what is known of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonReply {
    /// Who, with their sessions.
    #[serde(flatten)]
    pub person: PersonRow,
    /// What they have done here.
    pub activity: PersonActivity,
    /// The bans that keep them out now.
    pub bans: Vec<BanInForce>,
    /// When they were added, or first seen.
    pub created_at: String,
    /// When they last changed: the version of what is shown here. Give it to a change, and nothing is done if somebody
    /// else was quicker.
    pub updated_at: String,
    /// What admins note of them; for admins only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// How often they were warned since they were last banned or forgiven; for admins only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub warnings: Option<i64>,
}

/// A person and a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonSince {
    /// The name.
    pub name: String,
    /// When they were added, or first seen.
    pub created_at: String,
}

/// How many people there are. Deleted people count only in `by_status`, visitors only in `visitors`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeopleStatsReply {
    /// All.
    #[schemars(range(min = 0))]
    pub total: i64,
    /// Those who may act, but for bans.
    #[schemars(range(min = 0))]
    pub active: i64,
    /// Those whom an admin suspended.
    #[schemars(range(min = 0))]
    pub suspended: i64,
    /// Those who are admins.
    #[schemars(range(min = 0))]
    pub admins: i64,
    /// Added, or first seen, within 24 hours.
    #[schemars(range(min = 0))]
    pub new_24h: i64,
    /// Within 7 days.
    #[schemars(range(min = 0))]
    pub new_7d: i64,
    /// Within 30 days.
    #[schemars(range(min = 0))]
    pub new_30d: i64,
    /// How many of each status, deleted people too.
    pub by_status: BTreeMap<String, i64>,
    /// How many of each role.
    pub by_role: BTreeMap<String, i64>,
    /// OS users who were here and are nobody's.
    #[schemars(range(min = 0))]
    pub visitors: i64,
    /// Who has been here the longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<PersonSince>,
    /// Who came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<PersonSince>,
}
