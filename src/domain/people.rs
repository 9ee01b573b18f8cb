//! The people map: from what the kernel and the OS say about a peer to a person, a role and a standing.
//! Pure: names and groups are looked up before, the directory is handed in. A reload makes a new map.

use crate::domain::caller::{PersonRef, Role, Rule};
use crate::domain::person::{PersonId, PersonStatus, Standing, fold};
use crate::domain::timestamp::Timestamp;
use std::collections::HashMap;

/// A peer with the names the OS has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsUser {
    /// User id.
    pub uid: u32,
    /// Name, if the system knows one.
    pub username: Option<String>,
    /// Primary and supplementary group ids, as the kernel holds them.
    pub gids: Vec<u32>,
    /// Whether the uid stands for "somebody from another user namespace": the overflow uid, or -1.
    pub foreign: bool,
}

/// Whom a list entry or mapping names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By OS user name.
    User(String),
    /// By uid.
    Uid(u32),
    /// By OS group; the gid is looked up when the map is made, `None` if there is no such group.
    Group(String, Option<u32>),
}

impl Selector {
    fn matches(&self, who: &OsUser) -> bool {
        match self {
            Self::User(name) => who.username.as_deref() == Some(name),
            Self::Uid(uid) => who.uid == *uid,
            Self::Group(_, gid) => gid.is_some_and(|gid| who.gids.contains(&gid)),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::User(name) => format!("os_username {name}"),
            Self::Uid(uid) => format!("os_uid {uid}"),
            Self::Group(name, _) => format!("os_group {name}"),
        }
    }
}

/// A selector, and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Whom it names.
    pub who: Selector,
    /// `file:line`.
    pub origin: Option<String>,
}

/// A person of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigPerson {
    /// The name; for a group mapping, the name of the mapping and not of a person.
    pub name: String,
    /// Whom it maps. Several are alternatives.
    pub who: Vec<Selector>,
    /// The role.
    pub role: Role,
    /// Projects open to them; empty for no restriction.
    pub projects: Vec<String>,
    /// `file:line`.
    pub origin: Option<String>,
}

impl ConfigPerson {
    /// Whether it stands for everybody of a group and is no person.
    fn is_group(&self) -> bool {
        self.who.iter().all(|who| matches!(who, Selector::Group(..)))
    }
}

/// What happens to somebody unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmapped {
    /// They are public: may ask who they are.
    Public,
    /// Their connection is closed.
    Refuse,
}

/// Somebody the directory names, as far as the mapping needs to know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The key.
    pub id: PersonId,
    /// The name.
    pub name: String,
    /// The OS user they were last seen as, or are expected as.
    pub os_username: Option<String>,
    /// The uid they were last seen as, or are expected as.
    pub uid: Option<u32>,
    /// Role of people added at run time.
    pub role: Option<Role>,
    /// Whether they are switched on.
    pub status: PersonStatus,
}

impl Known {
    /// Whose this name is, if it is not that of the OS user with this uid and the same name: who was added at run time is
    /// known by the account that was given.
    fn of_another(&self, uid: u32, username: &str) -> Option<String> {
        match (self.uid, self.os_username.as_deref()) {
            (Some(theirs), _) if theirs == uid => None,
            (Some(theirs), _) => Some(format!("uid {theirs}")),
            (None, Some(user)) if user != username => Some(format!("OS user `{user}`")),
            (None, None) if self.role.is_some() => Some("somebody whose account is not known".to_owned()),
            (None, _) => None,
        }
    }
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whom: a person …
    pub person: Option<PersonId>,
    /// … or a uid.
    pub uid: Option<u32>,
    /// Until when; `None` is for good.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
}

impl Ban {
    fn hits(&self, uid: Option<u32>, person: Option<PersonId>, now: Timestamp) -> bool {
        let theirs =
            (self.uid.is_some() && self.uid == uid) || (self.person.is_some() && self.person == person);
        theirs && self.until.is_none_or(|until| until > now)
    }
}

/// Everything the mapping needs.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// In single-user mode: the one uid that is served, as admin.
    pub single_user: Option<(u32, String)>,
    /// `people` of the config.
    pub config: Vec<ConfigPerson>,
    /// `access.deny`.
    pub deny: Vec<Listed>,
    /// `access.allow`; empty means everybody who is mapped.
    pub allow: Vec<Listed>,
    /// `access.unmapped`.
    pub refuse_unmapped: bool,
    /// The directory: everybody the database has a name for.
    pub directory: Vec<Known>,
    /// Bans in force.
    pub bans: Vec<Ban>,
}

/// What the map says about a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The person, if mapped and bound to a key.
    pub person: Option<PersonRef>,
    /// The role.
    pub role: Role,
    /// The same, if it is that of a group mapping: nothing else remembers it.
    pub group_role: Option<Role>,
    /// Whether they may act.
    pub standing: Standing,
    /// Which rule matched.
    pub rule: Rule,
    /// Projects open to them; empty for no restriction.
    pub projects: Vec<String>,
    /// A name that must be bound to a key in the directory before the person can act.
    pub bind: Option<String>,
    /// Whether the connection is to be closed.
    pub refuse: bool,
}

/// The mapping in force.
#[derive(Debug, Default)]
pub struct PeopleMap {
    sources: Sources,
    by_name: HashMap<String, usize>,
    /// People added at run time, by uid and, as long as no uid of theirs is known, by OS user.
    added_by_uid: HashMap<u32, usize>,
    added_by_user: HashMap<String, usize>,
}

impl PeopleMap {
    /// Makes the map.
    pub fn new(sources: Sources) -> Self {
        let by_name = sources.directory.iter().enumerate().map(|(i, p)| (p.name.clone(), i)).collect();
        let mut added_by_uid = HashMap::new();
        let mut added_by_user = HashMap::new();
        for (i, person) in sources.directory.iter().enumerate().filter(|(_, p)| p.role.is_some()) {
            match (person.uid, &person.os_username) {
                (Some(uid), _) => _ = added_by_uid.entry(uid).or_insert(i),
                (None, Some(user)) => _ = added_by_user.entry(user.clone()).or_insert(i),
                (None, None) => {}
            }
        }
        Self { sources, by_name, added_by_uid, added_by_user }
    }

    /// The same config, with the directory and the bans as they are now.
    pub fn with(&self, directory: Vec<Known>, bans: Vec<Ban>) -> Self {
        let s = &self.sources;
        Self::new(Sources {
            single_user: s.single_user.clone(),
            config: s.config.clone(),
            deny: s.deny.clone(),
            allow: s.allow.clone(),
            refuse_unmapped: s.refuse_unmapped,
            directory,
            bans,
        })
    }

    /// The person of the config with this name, in any case.
    pub fn of_config(&self, name: &str) -> Option<&ConfigPerson> {
        let name = fold(name);
        self.sources.config.iter().filter(|p| !p.is_group()).find(|p| fold(&p.name) == name)
    }

    /// The person whom the config says this OS user is, by name or uid.
    pub fn claimed(&self, os_username: Option<&str>, uid: Option<u32>) -> Option<&ConfigPerson> {
        let claims = |who: &Selector| match who {
            Selector::User(user) => os_username == Some(user),
            Selector::Uid(theirs) => uid == Some(*theirs),
            Selector::Group(..) => false,
        };
        self.sources.config.iter().find(|p| p.who.iter().any(claims))
    }

    /// The uids by which the config knows the person of this name.
    pub fn config_uids(&self, name: &str) -> Vec<u32> {
        let uid = |who: &Selector| match who {
            Selector::Uid(uid) => Some(*uid),
            Selector::User(_) | Selector::Group(..) => None,
        };
        self.of_config(name).into_iter().flat_map(|p| p.who.iter().filter_map(uid)).collect()
    }

    /// Names and roles of those whose role the config decides.
    pub fn config_roles(&self) -> Vec<(String, Role)> {
        let single = self.sources.single_user.iter().map(|(_, name)| (name.clone(), Role::Admin));
        let people = self.sources.config.iter().filter(|p| !p.is_group());
        people.map(|p| (p.name.clone(), p.role)).chain(single).collect()
    }

    /// Those of the directory who may act as admins now: the config's and those added at run time, counted together. Who
    /// would be one by an OS group is not known before they come, so none of these is among them.
    pub fn admins(&self, now: Timestamp) -> Vec<PersonId> {
        let s = &self.sources;
        let config = self.config_roles();
        let is_admin = |one: &&Known| {
            let theirs = config.iter().find(|(name, _)| *name == one.name).map(|(_, role)| *role);
            let added = one.role.filter(|_| one.uid.is_some() || one.os_username.is_some());
            let role = if s.single_user.is_some() { theirs } else { theirs.or(added) };
            role == Some(Role::Admin) && self.let_in(one, now)
        };
        s.directory.iter().filter(is_admin).map(|one| one.id).collect()
    }

    /// Whether the person of this name in the directory is neither switched off nor kept out by a ban or a list now.
    pub fn lets_in(&self, name: &str, now: Timestamp) -> bool {
        self.by_name.get(name).is_some_and(|at| self.let_in(&self.sources.directory[*at], now))
    }

    fn let_in(&self, one: &Known, now: Timestamp) -> bool {
        let s = &self.sources;
        let by_config = self.config_uids(&one.name);
        let is_banned = s.bans.iter().any(|ban| {
            let mut uids = by_config.iter().copied().chain(one.uid);
            ban.hits(None, Some(one.id), now) || uids.any(|uid| ban.hits(Some(uid), None, now))
        });
        let user = OsUser {
            uid: one.uid.unwrap_or(u32::MAX),
            username: one.os_username.clone(),
            gids: Vec::new(),
            foreign: false,
        };
        let is_denied = s.deny.iter().any(|listed| listed.who.matches(&user));
        one.status == PersonStatus::Active && !is_banned && !is_denied
    }

    /// Names of the config that must be bound to keys.
    pub fn config_names(sources: &Sources) -> Vec<String> {
        let single = sources.single_user.iter().map(|(_, name)| name.clone());
        sources.config.iter().filter(|p| !p.is_group()).map(|p| p.name.clone()).chain(single).collect()
    }

    /// Who this is. First hit wins: deny, uid, user name, group, directory, unmapped. A ban of a uid is for whoever comes
    /// as it, mapped or not.
    pub fn resolve(&self, who: &OsUser, now: Timestamp) -> Resolved {
        let mut resolved = self.mapped(who, now);
        if resolved.standing == Standing::Active
            && !who.foreign
            && let Some(ban) = self.sources.bans.iter().find(|ban| ban.hits(Some(who.uid), None, now))
        {
            resolved.standing = Standing::Banned { until: ban.until, reason: ban.reason.clone() };
        }
        resolved
    }

    fn mapped(&self, who: &OsUser, now: Timestamp) -> Resolved {
        let s = &self.sources;
        if who.foreign {
            return self.unmapped("somebody from another user namespace", None);
        }
        if let Some((uid, name)) = &s.single_user {
            return if who.uid == *uid {
                self.person(
                    name,
                    Role::Admin,
                    "single-user mode: the daemon's own user".to_owned(),
                    None,
                    &[],
                    who,
                    now,
                )
            } else {
                Resolved {
                    refuse: true,
                    ..self.unmapped("single-user mode serves the daemon's own user only", None)
                }
            };
        }
        if let Some(hit) = s.deny.iter().find(|d| d.who.matches(who)) {
            let rule =
                Rule { text: format!("access.deny: {}", hit.who.describe()), origin: hit.origin.clone() };
            return Resolved { standing: Standing::Denied, rule, ..self.unmapped("", None) };
        }
        let by_kind: [fn(&Selector) -> bool; 3] = [
            |w| matches!(w, Selector::Uid(_)),
            |w| matches!(w, Selector::User(_)),
            |w| matches!(w, Selector::Group(..)),
        ];
        let mapped = by_kind.iter().find_map(|kind| {
            s.config.iter().find_map(|p| p.who.iter().find(|w| kind(w) && w.matches(who)).map(|w| (p, w)))
        });
        let allowed = s.allow.is_empty() || s.allow.iter().any(|a| a.who.matches(who));
        match mapped {
            _ if !allowed => self.unmapped("not on access.allow", None),
            Some((person, Selector::Group(..))) => {
                let Some(name) = &who.username else {
                    return self.unmapped("mapped by a group, but the system has no name for this uid", None);
                };
                let text = format!("group mapping `{}`", person.name);
                if s.config.iter().any(|p| p.name == *name && p.name != person.name) {
                    let text = format!("{text}: the name `{name}` belongs to another person of the config");
                    return self.unmapped(&text, person.origin.clone());
                }
                let holder = self.by_name.get(name).map(|&i| &s.directory[i]);
                if let Some(whose) = holder.and_then(|holder| holder.of_another(who.uid, name)) {
                    let text = format!(
                        "{text}: the name `{name}` belongs to {whose}; map this one by os_uid to another name"
                    );
                    return self.unmapped(&text, person.origin.clone());
                }
                let origin = person.origin.clone();
                Resolved {
                    group_role: Some(person.role),
                    ..self.person(name, person.role, text, origin, &person.projects, who, now)
                }
            }
            Some((person, by)) => {
                let text = format!("person `{}` by {}", person.name, by.describe());
                self.person(
                    &person.name,
                    person.role,
                    text,
                    person.origin.clone(),
                    &person.projects,
                    who,
                    now,
                )
            }
            None => match self.added_at_run_time(who) {
                Some((person, role)) => {
                    let text = format!("person `{}` added at run time", person.name);
                    self.person(&person.name, role, text, None, &[], who, now)
                }
                None => self.unmapped("no rule matches", None),
            },
        }
    }

    fn added_at_run_time(&self, who: &OsUser) -> Option<(&Known, Role)> {
        // The uid decides; a name only as long as no uid is known. The first by name, should there be two.
        let by_uid = self.added_by_uid.get(&who.uid);
        let by_user = who.username.as_ref().and_then(|user| self.added_by_user.get(user));
        let first = by_uid.into_iter().chain(by_user).min()?;
        let person = &self.sources.directory[*first];
        Some((person, person.role?))
    }

    #[expect(clippy::too_many_arguments, reason = "one private constructor, named at each call")]
    fn person(
        &self,
        name: &str,
        role: Role,
        text: String,
        origin: Option<String>,
        projects: &[String],
        who: &OsUser,
        now: Timestamp,
    ) -> Resolved {
        let known = self.by_name.get(name).map(|&i| &self.sources.directory[i]);
        let ban = self.sources.bans.iter().find(|b| b.hits(Some(who.uid), known.map(|p| p.id), now));
        let standing = match (ban, known) {
            (Some(ban), _) => Standing::Banned { until: ban.until, reason: ban.reason.clone() },
            (None, Some(person)) => person.status.standing(),
            (None, None) => Standing::Active,
        };
        Resolved {
            person: known.map(PersonRef::from),
            role: if known.is_some() { role } else { Role::Public },
            group_role: None,
            standing,
            rule: Rule { text, origin },
            projects: projects.to_vec(),
            bind: known.is_none().then(|| name.to_owned()),
            refuse: false,
        }
    }

    fn unmapped(&self, why: &str, origin: Option<String>) -> Resolved {
        Resolved {
            person: None,
            role: Role::Public,
            group_role: None,
            standing: Standing::Active,
            rule: Rule { text: format!("unmapped: {why}"), origin },
            projects: Vec::new(),
            bind: None,
            refuse: self.sources.refuse_unmapped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn user(uid: u32, name: &str, gids: &[u32]) -> OsUser {
        OsUser { uid, username: Some(name.to_owned()), gids: gids.to_vec(), foreign: false }
    }

    fn person(name: &str, who: Selector, role: Role) -> ConfigPerson {
        ConfigPerson {
            name: name.to_owned(),
            who: vec![who],
            role,
            projects: vec![],
            origin: Some("config.yml:3".to_owned()),
        }
    }

    fn known(n: u128, name: &str, role: Option<Role>, uid: Option<u32>) -> Known {
        Known {
            id: PersonId(Uuid::from_u128(n)),
            name: name.to_owned(),
            os_username: None,
            uid,
            role,
            status: PersonStatus::Active,
        }
    }

    fn sources() -> Sources {
        Sources {
            config: vec![
                person("Ann", Selector::User("ann".into()), Role::Admin),
                person("Bob", Selector::Uid(1001), Role::Member),
                person("devs", Selector::Group("dev".into(), Some(500)), Role::Contributor),
            ],
            directory: vec![
                known(1, "Ann", None, None),
                known(2, "Bob", None, None),
                known(3, "cid", None, None),
                known(4, "Dora", Some(Role::Newcomer), Some(1004)),
            ],
            ..Sources::default()
        }
    }

    #[test]
    fn a_member_of_a_group_is_nobody_who_was_added_under_their_name() {
        let sam = user(4_001, "sam", &[500]);
        let known = |os_username: Option<&str>, role, uid| Known {
            os_username: os_username.map(str::to_owned),
            ..known(9, "sam", role, uid)
        };
        for (row, theirs) in [
            (known(Some("ssmith"), Some(Role::Admin), None), false),
            (known(Some("ssmith"), Some(Role::Admin), Some(4_002)), false),
            (known(None, Some(Role::Admin), None), false),
            (known(Some("ssmith"), None, None), false),
            (known(Some("sam"), Some(Role::Member), None), true),
            (known(Some("ssmith"), Some(Role::Member), Some(4_001)), true),
            (known(Some("sam"), None, Some(4_001)), true),
            (known(None, None, None), true),
        ] {
            let mut sources = sources();
            sources.directory.push(row.clone());
            let (person, role, _) = role_of(sources, &sam);
            let expected = if theirs { (Some("sam"), Role::Contributor) } else { (None, Role::Public) };
            assert_eq!((person.as_deref(), role), expected, "{row:?}");
        }
    }

    const NOW: Timestamp = Timestamp::from_micros(1_000);

    fn role_of(sources: Sources, who: &OsUser) -> (Option<String>, Role, bool) {
        let r = PeopleMap::new(sources).resolve(who, NOW);
        (r.person.map(|p| p.name), r.role, r.standing.refusal().is_none())
    }

    #[test]
    fn first_hit_wins() {
        let cases = [
            (user(1000, "ann", &[]), Some("Ann"), Role::Admin),
            (user(1001, "ann", &[]), Some("Bob"), Role::Member), // the uid beats the name
            (user(1002, "cid", &[500]), Some("cid"), Role::Contributor),
            (user(1004, "dora", &[]), Some("Dora"), Role::Newcomer),
            (user(0, "root", &[0]), None, Role::Public),
            (user(1009, "eve", &[]), None, Role::Public),
        ];
        for (who, name, role) in cases {
            assert_eq!(role_of(sources(), &who), (name.map(str::to_owned), role, true), "{who:?}");
        }
    }

    #[test]
    fn deny_beats_everything() {
        for who in [Selector::User("ann".into()), Selector::Uid(1000), Selector::Group("g".into(), Some(7))] {
            let deny = vec![Listed { who, origin: None }];
            let (name, role, active) = role_of(Sources { deny, ..sources() }, &user(1000, "ann", &[7]));
            assert_eq!((name, role, active), (None, Role::Public, false));
        }
    }

    #[test]
    fn an_allow_list_makes_everybody_else_unmapped_and_grants_no_role() {
        let allow = vec![
            Listed { who: Selector::User("bob".into()), origin: None },
            Listed { who: Selector::User("eve".into()), origin: None },
        ];
        let with = || Sources { allow: allow.clone(), ..sources() };
        assert_eq!(role_of(with(), &user(1000, "ann", &[])).1, Role::Public);
        assert_eq!(role_of(with(), &user(1001, "bob", &[])).1, Role::Member);
        assert_eq!(role_of(with(), &user(1009, "eve", &[])).1, Role::Public);
    }

    #[test]
    fn the_overflow_uid_is_nobody_even_if_mapped() {
        let mut with = sources();
        with.config.push(person("Nobody", Selector::Uid(65_534), Role::Admin));
        with.directory.push(known(9, "Nobody", Some(Role::Admin), Some(65_534)));
        let who = OsUser { foreign: true, ..user(65_534, "nobody", &[]) };
        let r = PeopleMap::new(with).resolve(&who, NOW);
        assert_eq!((r.person, r.role), (None, Role::Public));
        assert!(r.rule.text.contains("another user namespace"));
    }

    #[test]
    fn bans_and_statuses_reach_people_however_they_are_known() {
        let ban = |person, uid, until| Ban { person, uid, until, reason: Some("noise".into()) };
        let ann = Some(PersonId(Uuid::from_u128(1)));
        let later = Some(Timestamp::from_micros(2_000));
        let past = Some(Timestamp::from_micros(500));
        for (bans, active) in [
            (vec![ban(ann, None, None)], false),
            (vec![ban(None, Some(1000), later)], false),
            (vec![ban(None, Some(1000), past)], true),
            (vec![ban(None, Some(7), None)], true),
        ] {
            assert_eq!(role_of(Sources { bans, ..sources() }, &user(1000, "ann", &[])).2, active);
        }
        let mut off = sources();
        off.directory[0].status = PersonStatus::Suspended;
        assert!(!role_of(off, &user(1000, "ann", &[])).2);
    }

    #[test]
    fn a_group_name_that_collides_with_a_person_is_nobody() {
        let r = PeopleMap::new(sources()).resolve(&user(1010, "Bob", &[500]), NOW);
        assert_eq!((r.person, r.role), (None, Role::Public));
        assert!(r.rule.text.contains("belongs to another person"));
    }

    #[test]
    fn a_group_member_does_not_become_a_person_of_the_directory_with_another_uid() {
        // `Dora` is known at uid 1004; the OS user of that name who comes by a group is somebody else.
        let r = PeopleMap::new(sources()).resolve(&user(1012, "Dora", &[500]), NOW);
        assert_eq!((r.person, r.role, r.bind), (None, Role::Public, None));
        assert!(r.rule.text.contains("belongs to uid 1004"), "{}", r.rule.text);
        // And by name alone nobody becomes a person whose uid is known.
        let mut with = sources();
        with.directory[3].os_username = Some("dora".into());
        let r = PeopleMap::new(with).resolve(&user(1013, "dora", &[]), NOW);
        assert_eq!((r.person, r.role), (None, Role::Public));
    }

    #[test]
    fn an_unbound_person_may_do_nothing_until_bound() {
        let r = PeopleMap::new(sources()).resolve(&user(1011, "new", &[500]), NOW);
        assert_eq!((r.person, r.role, r.bind.as_deref()), (None, Role::Public, Some("new")));
    }

    #[test]
    fn single_user_mode_serves_one_uid() {
        let with = || Sources {
            single_user: Some((1000, "ann".into())),
            directory: vec![known(1, "ann", None, None)],
            ..Sources::default()
        };
        let map = PeopleMap::new(with());
        assert_eq!(map.resolve(&user(1000, "ann", &[]), NOW).role, Role::Admin);
        assert!(map.resolve(&user(0, "root", &[]), NOW).refuse);
    }
}
