//! The people of the config against the accounts of the machine: who cannot be anybody, who is there twice, who can
//! administer. The mapping itself is `domain::people`.

use crate::config::load::Loaded;
use crate::config::schema::RunAs;
use crate::config::schema::access::{AccessEntry, PersonEntry};
use crate::domain::caller::Role;
use crate::install::doctor::Found;
use crate::install::doctor::facts::Facts;
use crate::install::doctor::system::Who;
use crate::platform::account::Account;
use std::collections::BTreeMap;

/// Accounts of people that are looked at, at most.
const PEOPLE_MAX: usize = 200;

/// The accounts of all mapped people, each once, with the name, role and projects of the person. Members of mapped
/// groups are those the group lists.
pub fn accounts(f: &Facts) -> Vec<(Account, PersonEntry)> {
    let Ok(loaded) = f.loaded() else { return Vec::new() };
    let mut by_uid: BTreeMap<u32, (Account, PersonEntry)> = BTreeMap::new();
    for person in &loaded.config.people {
        for account in people_of(f, person) {
            if by_uid.len() >= PEOPLE_MAX {
                break;
            }
            let name = if person.os_group.is_some() { account.name.clone() } else { person.name.clone() };
            by_uid.entry(account.uid).or_insert((account, PersonEntry { name, ..person.clone() }));
        }
    }
    by_uid.into_values().collect()
}

fn people_of(f: &Facts, person: &PersonEntry) -> Vec<Account> {
    let find = |who: Who<'_>| (f.system.account)(who);
    if let Some(group) = &person.os_group {
        let group = (f.system.group)(group);
        return group.into_iter().flat_map(|g| g.members).filter_map(|name| find(Who::Name(&name))).collect();
    }
    let by_uid = person.os_uid.and_then(|uid| find(Who::Uid(uid)));
    by_uid.into_iter().chain(person.os_username.as_deref().and_then(|name| find(Who::Name(name)))).collect()
}

/// Each person of the config.
pub fn people(f: &Facts) -> Vec<Found> {
    if !f.is_system() {
        return Vec::new();
    }
    let loaded = match f.loaded() {
        Ok(loaded) => loaded,
        Err(skipped) => return skipped,
    };
    let mut all = Vec::new();
    let mut seen: BTreeMap<u32, String> = BTreeMap::new();
    for (i, person) in loaded.config.people.iter().enumerate() {
        let at = Place { loaded, key: format!("people[{i}]") };
        all.extend(accounts_missing(f, person, &at));
        for uid in uids(f, person) {
            match seen.get(&uid) {
                Some(before) if *before != person.name => all.push(Found::error(
                    at.says(format!(
                        "{} and {before} are both uid {uid}: the first is who they are",
                        person.name
                    )),
                    "remove one of the two",
                )),
                _ => {
                    seen.insert(uid, person.name.clone());
                }
            }
            all.extend(odd_uid(f, uid, person, &at));
        }
    }
    if !has_admin(f, loaded) {
        let who = f.system.environment.var("SUDO_USER").unwrap_or("ann");
        all.push(Found::error(
            "nobody is admin: no person of the config with that role has an account here",
            format!(
                "add `- {{ name: {who}, os_username: {who}, role: admin }}` to people in {}, then `sudo systemctl reload teleclaude`",
                f.paths.config.display()
            ),
        ));
    }
    if all.is_empty() {
        let admins = loaded.config.people.iter().filter(|p| p.role == Role::Admin).count();
        all.push(Found::ok(format!("{} entries, {admins} of them admin", loaded.config.people.len())));
    }
    all
}

/// Where an entry is written.
struct Place<'a> {
    loaded: &'a Loaded,
    key: String,
}

impl Place<'_> {
    fn says(&self, what: String) -> String {
        match self.loaded.origins.file_line(&self.key) {
            Some(place) => format!("{place}: {what}"),
            None => format!("{}: {what}", self.key),
        }
    }
}

fn uids(f: &Facts, person: &PersonEntry) -> Vec<u32> {
    if person.os_group.is_some() {
        return Vec::new();
    }
    let by_name = person.os_username.as_deref().and_then(|name| (f.system.account)(Who::Name(name)));
    let mut uids: Vec<u32> = person.os_uid.into_iter().chain(by_name.map(|a| a.uid)).collect();
    uids.dedup();
    uids
}

fn accounts_missing(f: &Facts, person: &PersonEntry, at: &Place<'_>) -> Vec<Found> {
    let mut all = Vec::new();
    let name = &person.name;
    if let Some(user) = &person.os_username {
        let account = (f.system.account)(Who::Name(user));
        match (&account, person.os_uid) {
            (None, _) => all.push(Found::warning(
                at.says(format!("{name}: there is no account {user}")),
                format!("correct os_username, or `sudo useradd --create-home {user}`"),
            )),
            (Some(account), Some(uid)) if account.uid != uid => all.push(Found::warning(
                at.says(format!(
                    "{name}: the account {user} has uid {}, os_uid says {uid}; both are {name}",
                    account.uid
                )),
                "remove the one that is wrong",
            )),
            _ => {}
        }
    }
    // In a container people are often known by uid alone, and agents run as the service user.
    let needs_account = at.loaded.config.sessions.run_as == RunAs::Owner;
    if let Some(uid) = person.os_uid
        && needs_account
        && (f.system.account)(Who::Uid(uid)).is_none()
    {
        all.push(Found::warning(
            at.says(format!("{name}: no account has uid {uid}: agents cannot run as it")),
            "correct os_uid, or create the account",
        ));
    }
    if let Some(group) = &person.os_group {
        match (f.system.group)(group) {
            None => all.push(Found::warning(
                at.says(format!("{name}: there is no group {group}")),
                format!("correct os_group, or `sudo groupadd {group}`"),
            )),
            Some(group) if group.members.is_empty() => {
                all.push(Found::note(at.says(format!("{name}: the group lists no members"))));
            }
            Some(_) => {}
        }
    }
    all
}

/// Uids that are no person's.
fn odd_uid(f: &Facts, uid: u32, person: &PersonEntry, at: &Place<'_>) -> Option<Found> {
    let name = &person.name;
    let least = least_uid(f);
    let overflow = std::fs::read_to_string(f.system.at("proc/sys/kernel/overflowuid")).ok();
    let overflow = overflow.and_then(|text| text.trim().parse().ok()).unwrap_or(65_534);
    if uid == overflow {
        return Some(Found::error(
            at.says(format!(
                "{name}: uid {uid} stands for everybody of other user namespaces, and is never a person"
            )),
            "remove the entry",
        ));
    }
    if f.service.as_ref().is_some_and(|s| s.uid == uid) {
        let seen = at.says(format!("{name}: uid {uid} is the service user"));
        return Some(Found::error(seen, "remove the entry"));
    }
    if uid == 0 {
        return Some(Found::note(at.says(format!("{name} is uid 0: agents are never run as root"))));
    }
    (uid < least).then(|| {
        Found::warning(
            at.says(format!(
                "{name}: uid {uid} is a system account (below {least}): agents are not run as it"
            )),
            "map a person's own account",
        )
    })
}

/// The first uid that is a person's.
fn least_uid(f: &Facts) -> u32 {
    let defs = std::fs::read_to_string(f.system.at("etc/login.defs")).unwrap_or_default();
    let set = defs.lines().find_map(|line| line.trim().strip_prefix("UID_MIN")?.trim().parse().ok());
    set.unwrap_or(if f.is_macos() { 500 } else { 1_000 })
}

/// Whether somebody can administer: the role, an account, and not denied.
fn has_admin(f: &Facts, loaded: &Loaded) -> bool {
    let config = &loaded.config;
    let denied = |name: &str, uid: u32| {
        config.access.deny.iter().any(|entry| match entry {
            AccessEntry::User(user) => user == name,
            AccessEntry::Uid(denied) => *denied == uid,
            AccessEntry::Group(_) => false,
        })
    };
    config.people.iter().filter(|p| p.role == Role::Admin).any(|person| {
        let without_account = config.sessions.run_as == RunAs::Service && person.os_uid.is_some();
        without_account || people_of(f, person).iter().any(|a| !denied(&a.name, a.uid))
    })
}

/// Names of the access lists that nobody has: a deny that denies nobody.
pub fn access(f: &Facts) -> Vec<Found> {
    if !f.is_system() {
        return Vec::new();
    }
    let loaded = match f.loaded() {
        Ok(loaded) => loaded,
        Err(skipped) => return skipped,
    };
    let access = &loaded.config.access;
    let mut all = Vec::new();
    for (list, entries) in [("allow", &access.allow), ("deny", &access.deny)] {
        for (i, entry) in entries.iter().enumerate() {
            let there = match entry {
                AccessEntry::User(name) => (f.system.account)(Who::Name(name)).is_some(),
                AccessEntry::Group(name) => (f.system.group)(name).is_some(),
                AccessEntry::Uid(_) => true,
            };
            if !there {
                let at = Place { loaded, key: format!("access.{list}[{i}]") };
                let seen = at.says(format!("access.{list}: there is no {entry}"));
                all.push(Found::warning(seen, "correct the name, or remove it"));
            }
        }
    }
    if all.is_empty() {
        all.push(Found::ok(format!("{} allowed, {} denied by name", access.allow.len(), access.deny.len())));
    }
    all
}
