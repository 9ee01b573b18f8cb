//! Accounts and groups as the OS knows them (NSS, Open Directory). Every lookup may block on a directory server: the
//! callers put a bound on it. Who a person is to us is not here.

use std::path::PathBuf;
use users::os::unix::{GroupExt as _, UserExt as _};

/// One account of the OS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: u32,
    /// Every group it is in, the primary one first.
    pub groups: Vec<u32>,
    /// Its home folder, whether it exists or not.
    pub home: PathBuf,
    /// Its login shell; empty where none is set.
    pub shell: PathBuf,
}

/// One group of the OS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its gid.
    pub gid: u32,
    /// Names of the accounts that are listed as its members; whose primary group it is are not.
    pub members: Vec<String>,
}

/// The account of this name, if there is one.
pub fn by_name(name: &str) -> Option<Account> {
    account(&users::get_user_by_name(name)?)
}

/// The account of this uid, if there is one.
pub fn by_uid(uid: u32) -> Option<Account> {
    account(&users::get_user_by_uid(uid)?)
}

/// The group of this name, if there is one.
pub fn group(name: &str) -> Option<Group> {
    let group = users::get_group_by_name(name)?;
    let members = group.members().iter().filter_map(|m| m.to_str().map(str::to_owned)).collect();
    Some(Group { gid: group.gid(), members })
}

fn account(user: &users::User) -> Option<Account> {
    let primary = user.primary_group_id();
    let others = users::get_user_groups(user.name(), primary).unwrap_or_default();
    let others = others.iter().map(users::Group::gid).filter(|gid| *gid != primary);
    Some(Account {
        name: user.name().to_str()?.to_owned(),
        uid: user.uid(),
        groups: std::iter::once(primary).chain(others).collect(),
        home: user.home_dir().to_owned(),
        shell: user.shell().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{by_name, by_uid, group};

    #[test]
    fn root_is_known_by_both_and_nobody_by_an_impossible_name() {
        let root = by_uid(0).unwrap();
        assert_eq!(by_name("root"), Some(root.clone()));
        assert_eq!((root.uid, root.groups[0]), (0, 0));
        assert_eq!((by_name("no such user"), group("no such group")), (None, None));
    }
}
