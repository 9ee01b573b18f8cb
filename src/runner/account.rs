//! Whom a uid names, as the operating system has it at this moment, and where its ordinary users begin. Whether
//! somebody may be served is `judge`.

use crate::runner::trust;
use std::path::Path;
use users::os::unix::UserExt;

/// An account of the operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Name.
    pub name: String,
    /// Home folder.
    pub home: String,
    /// Login shell, absolute.
    pub shell: String,
    /// All groups, the primary one too.
    pub gids: Vec<u32>,
}

/// Seconds that the directory of users may take before the runner gives up, by ending.
const NSS_SECONDS: u32 = 30;
/// The first uid of people where the system does not say.
const UID_MIN: u32 = if cfg!(target_os = "macos") { 500 } else { 1_000 };

/// Looks an account up. Asks NSS, which may ask the network; a directory that hangs ends this process.
pub fn by_uid(uid: u32) -> Option<Account> {
    bounded(|| {
        let user = users::get_user_by_uid(uid)?;
        let gid = user.primary_group_id();
        let groups = users::get_user_groups(user.name(), gid).unwrap_or_default();
        let mut gids: Vec<u32> = std::iter::once(gid).chain(groups.iter().map(users::Group::gid)).collect();
        gids.sort_unstable();
        gids.dedup();
        let shell = user.shell().to_str().filter(|shell| shell.starts_with('/')).unwrap_or("/bin/sh");
        Some(Account {
            uid: user.uid(),
            gid,
            name: user.name().to_str()?.to_owned(),
            home: user.home_dir().to_str()?.to_owned(),
            shell: shell.to_owned(),
            gids,
        })
    })
}

/// The uid that a name or a number stands for.
pub fn uid_of(user: &str) -> Option<u32> {
    user.parse().ok().or_else(|| bounded(|| users::get_user_by_name(user).map(|user| user.uid())))
}

/// The gid of a group.
pub fn gid_of(group: &str) -> Option<u32> {
    bounded(|| users::get_group_by_name(group).map(|group| group.gid()))
}

fn bounded<T>(ask: impl FnOnce() -> T) -> T {
    nix::unistd::alarm::set(NSS_SECONDS);
    let answer = ask();
    nix::unistd::alarm::cancel();
    answer
}

/// The first uid that people have on this system.
pub fn uid_min() -> u32 {
    let file = Path::new("/etc/login.defs");
    let text = trust::only_roots(file).ok().and_then(|()| std::fs::read_to_string(file).ok());
    text.and_then(|text| in_login_defs(&text)).unwrap_or(UID_MIN)
}

fn in_login_defs(text: &str) -> Option<u32> {
    let mut words = text.lines().map(str::split_ascii_whitespace);
    words.find_map(|mut line| (line.next()? == "UID_MIN").then(|| line.next()?.parse().ok())?)
}

/// The uid that stands for everybody of another user namespace.
pub fn overflow_uid() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(65_534)
}

#[cfg(test)]
mod tests {
    use super::{by_uid, in_login_defs, uid_of};

    #[test]
    fn where_people_begin_is_read_from_login_defs() {
        for (text, expected) in [
            ("# UID_MIN 5\nUID_MIN\t\t 1000\nUID_MAX 60000\n", Some(1_000)),
            ("SYS_UID_MIN 100\n  UID_MIN 500", Some(500)),
            ("UID_MIN many\n", None),
            ("UID_MIN\n", None),
            ("", None),
        ] {
            assert_eq!(in_login_defs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_and_numbers_are_users() {
        assert_eq!((uid_of("root"), uid_of("12"), uid_of("nobody here")), (Some(0), Some(12), None));
        let root = by_uid(0).unwrap();
        assert_eq!((root.name.as_str(), root.gid), ("root", 0));
        assert!(root.gids.contains(&0) && root.home.starts_with('/'));
        assert_eq!(by_uid(4_000_000_001), None);
    }
}
