//! What is said about changing people and bans. Finding and listing people is not here.

use crate::domain::caller::Role;
use crate::domain::person::PersonStatus;
use crate::domain::verb::Verb;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A change of people or bans.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangePeople {
    /// Add somebody.
    Add(AddPerson),
    /// Change what is kept of somebody.
    Update(UpdatePerson),
    /// Give somebody another role.
    Role(SetPersonRole),
    /// Switch somebody on or off.
    Status(SetPersonStatus),
    /// Delete somebody; sessions and audit keep the name.
    Delete(PersonWords),
    /// Remove all that is kept of somebody.
    Purge(PersonWords),
    /// Make one person of two.
    Merge(MergePeople),
    /// Change many.
    Bulk(BulkPeople),
    /// Warn somebody.
    Warn(WarnPerson),
    /// Ban somebody.
    Ban(BanPerson),
    /// Lift a ban.
    Lift(LiftBan),
}

impl ChangePeople {
    /// The OS user, by name or uid, who is to be somebody's.
    pub fn os_user(&self) -> Option<String> {
        let (user, uid) = match self {
            Self::Add(args) => (&args.os_username, args.uid),
            Self::Update(args) => (&args.os_username, args.uid),
            _ => return None,
        };
        user.clone().filter(|user| !user.is_empty()).or_else(|| uid.map(|uid| uid.to_string()))
    }

    /// What it asks to do.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Add(_) => Verb::AddPerson,
            Self::Update(_) => Verb::UpdatePerson,
            Self::Role(_) => Verb::SetPersonRole,
            Self::Status(_) => Verb::SetPersonStatus,
            Self::Delete(_) => Verb::DeletePerson,
            Self::Purge(_) => Verb::PurgePerson,
            Self::Merge(_) => Verb::MergePeople,
            Self::Bulk(_) => Verb::BulkPeople,
            Self::Warn(_) => Verb::WarnPerson,
            Self::Ban(_) => Verb::BanPerson,
            Self::Lift(_) => Verb::LiftBan,
        }
    }
}

/// Somebody to add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddPerson {
    /// What everybody calls them: one line of at most 100 characters.
    pub name: String,
    /// What they may do; newcomer if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Their OS user. This or the uid must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_username: Option<String>,
    /// Their uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub uid: Option<i64>,
    /// How they are called in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// Their address; no two people share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// What admins note of them, at most 4,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// What to change of somebody. What is absent stays; an empty text takes away what was there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePerson {
    /// Their name, or uid.
    pub person: String,
    /// How they are called in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// Their address; no two people share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// What admins note of them, at most 4,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Their OS user; another one takes the uid away, if none is given with it. An empty text takes both away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_username: Option<String>,
    /// Their uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub uid: Option<i64>,
    /// Their `updated_at` as it was read: if they were changed since, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_updated_at: Option<String>,
}

/// A role for somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPersonRole {
    /// Their name, or uid.
    pub person: String,
    /// What they may do from now on.
    pub role: Role,
}

/// A status that somebody can be given; deleting is another thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GivenStatus {
    /// May act.
    Active,
    /// Switched off for now.
    Inactive,
    /// Switched off by an admin.
    Suspended,
}

impl From<GivenStatus> for PersonStatus {
    fn from(given: GivenStatus) -> Self {
        match given {
            GivenStatus::Active => Self::Active,
            GivenStatus::Inactive => Self::Inactive,
            GivenStatus::Suspended => Self::Suspended,
        }
    }
}

/// A status for somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPersonStatus {
    /// Their name, or uid.
    pub person: String,
    /// The status. To make somebody active who was deleted brings them back.
    pub status: GivenStatus,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonWords {
    /// Their name, or uid.
    pub person: String,
}

/// Two people who are one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MergePeople {
    /// Who goes: their tasks, messages and notes become the other's. Sessions, credentials and audit stay.
    pub person: String,
    /// Who stays.
    pub into: String,
}

/// What is done to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BulkDeed {
    /// Switched on.
    Activate,
    /// Switched off for now.
    Deactivate,
    /// Switched off by an admin.
    Suspend,
    /// Deleted; sessions and audit keep the names.
    Delete,
}

impl From<BulkDeed> for PersonStatus {
    fn from(deed: BulkDeed) -> Self {
        match deed {
            BulkDeed::Activate => Self::Active,
            BulkDeed::Deactivate => Self::Inactive,
            BulkDeed::Suspend => Self::Suspended,
            BulkDeed::Delete => Self::Deleted,
        }
    }
}

/// Many people. One of the filters must be given; those who are as they would become are left out, and so is the asker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkPeople {
    /// What is done to them.
    pub deed: BulkDeed,
    /// Only people of this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Only people in this status; without it nobody who is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PersonStatus>,
    /// Only people who were last seen before this RFC 3339 time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_before: Option<String>,
    /// Only say who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// Somebody to warn. The second warning bans for `bans.auto_days`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarnPerson {
    /// Their name, or uid.
    pub person: String,
    /// Why: 10 characters or more. They are told.
    pub reason: String,
}

/// Whom to ban, or whose ban to replace: a person or a uid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BanPerson {
    /// A person's name, or uid: whichever OS user they come as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// A uid: whoever comes as it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub uid: Option<i64>,
    /// When it ends: 2h, 7d, an RFC 3339 time, or permanent.
    pub until: String,
    /// Why: 10 characters or more. They are told.
    pub reason: String,
}

/// Whose ban to lift: a person's or a uid's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftBan {
    /// A person's name, or uid; a ban of their uid goes, too, and their warnings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// A uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub uid: Option<i64>,
}

/// Which bans.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListBans {
    /// Also those that have ended or were lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// Where the previous page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// Somebody as they are after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonChangedReply {
    /// Their key.
    pub person_id: String,
    /// Their name.
    pub name: String,
    /// The role they were given at run time; the config's people have theirs from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether they may act.
    pub status: PersonStatus,
    /// Their OS user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_username: Option<String>,
    /// Their uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub uid: Option<i64>,
    /// How they are called in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// Their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// What admins note of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// How often they were warned.
    #[schemars(range(min = 0))]
    pub warnings: i64,
    /// When an admin last changed them: the version of what is shown here.
    pub updated_at: String,
    /// Whether this request changed anything.
    pub changed: bool,
    /// What one should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// Somebody of whom nothing is kept any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersonPurgedReply {
    /// The key they had.
    pub person_id: String,
    /// The name they had.
    pub name: String,
    /// Always true: who is not there is not found.
    pub purged: bool,
}

/// Two people who are one now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MergedReply {
    /// Who is gone.
    pub merged: String,
    /// Who stays.
    pub into: String,
    /// Tasks that became theirs, given to or by them.
    #[schemars(range(min = 0))]
    pub tasks: i64,
    /// Messages that became theirs.
    #[schemars(range(min = 0))]
    pub messages: i64,
    /// Whether who is gone was removed: they had no session. Otherwise they are deleted, and their sessions keep the name.
    pub purged: bool,
    /// What one should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// Many who were changed, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BulkReply {
    /// Whether this is only what would be.
    pub dry_run: bool,
    /// Who was changed, or would be, by name: at most 100.
    pub people: Vec<String>,
    /// How many more the filter leaves: ask again for them.
    #[schemars(range(min = 0))]
    pub remaining: i64,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BanRow {
    /// Its id.
    pub id: String,
    /// Whose, by name …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// … or by uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub uid: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it ends by itself; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Whether it is in force.
    pub active: bool,
    /// `admin`, or `warnings` for one that the last warning brought.
    pub source: String,
    /// How often they were banned while it was in force: 1, if once.
    #[schemars(range(min = 1))]
    pub count: i64,
    /// Who banned.
    pub by: String,
    /// When first.
    pub created_at: String,
    /// When last.
    pub updated_at: String,
    /// When it was lifted, or was seen to have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<String>,
    /// Who lifted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
}

/// To a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BannedReply {
    /// The ban.
    pub ban: BanRow,
    /// What one should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// To a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WarnedReply {
    /// Who was warned.
    pub person: String,
    /// How often by now.
    #[schemars(range(min = 0))]
    pub warnings: i64,
    /// The ban that this warning brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban: Option<BanRow>,
}

/// To lifting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiftedReply {
    /// Bans that were lifted.
    #[schemars(range(min = 0))]
    pub lifted: i64,
    /// Warnings that were forgotten.
    #[schemars(range(min = 0))]
    pub warnings: i64,
    /// What one should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A page of bans, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BansReply {
    /// The bans.
    pub bans: Vec<BanRow>,
    /// Where the next page begins, if there is one.
    pub next_cursor: Option<String>,
}
