//! Who may do what with a file, and with the folders on the way to it. Only metadata is read, never content.

use crate::install::doctor::Found;
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Looks at a path, without following a link at its end; `None` if there is nothing.
///
/// # Errors
/// This user may not look, or the system refuses: as a finding.
pub fn look(path: &Path) -> Result<Option<Metadata>, Found> {
    found(path, fs::symlink_metadata(path))
}

/// The same, following links.
///
/// # Errors
/// As [`look`].
pub fn follow(path: &Path) -> Result<Option<Metadata>, Found> {
    found(path, fs::metadata(path))
}

fn found(path: &Path, looked: io::Result<Metadata>) -> Result<Option<Metadata>, Found> {
    match looked {
        Ok(about) => Ok(Some(about)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Err(Found::needs_root()),
        Err(e) => Err(Found::error(
            format!("{}: {e}", path.display()),
            format!("look at the disk it is on: `df {}`, `dmesg`", quoted(path)),
        )),
    }
}

/// The permission bits alone.
pub fn bits(about: &Metadata) -> u32 {
    about.mode() & 0o7777
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Whether somebody who is not trusted may change what a file or folder holds: what is wrong, and the commands that
/// mend it. In a sticky folder only the owner of a file may replace it, so that one is safe.
fn exposure(path: &Path, about: &Metadata, trusted: &[u32]) -> Option<(String, String)> {
    let owner = match trusted.first() {
        Some(uid) if *uid != 0 => uid.to_string(),
        _ => "root".to_owned(),
    };
    if !trusted.contains(&about.uid()) {
        let seen = format!("{} belongs to uid {}", path.display(), about.uid());
        return Some((seen, format!("sudo chown {owner} {}", quoted(path))));
    }
    let sticky = about.is_dir() && about.mode() & 0o1000 != 0;
    // Many systems give each user a group of the same number, which holds nobody else.
    let private_group = about.uid() != 0 && about.gid() == about.uid();
    let who = match (about.mode() & 0o002 != 0, about.mode() & 0o020 != 0 && !private_group) {
        (true, _) => "everybody",
        (false, true) => "its group",
        (false, false) => return None,
    };
    if sticky {
        return None;
    }
    let seen = format!("{} can be written by {who}", path.display());
    Some((seen, format!("sudo chmod go-w {}", quoted(path))))
}

/// Everything on the way to `path`, and itself, that somebody not in `trusted` could change. Links are followed, and
/// where they lead is looked at too. Begins below `root`.
///
/// # Errors
/// Something on the way cannot be looked at.
pub fn exposed(root: &Path, path: &Path, trusted: &[u32]) -> Result<Vec<Found>, Found> {
    let mut ways = vec![path.to_owned()];
    if let Ok(real) = fs::canonicalize(path)
        && real != path
    {
        ways.push(real);
    }
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let mut seen = BTreeSet::new();
    let mut exposed = Vec::new();
    for way in ways {
        let mut steps: Vec<PathBuf> = way.ancestors().map(Path::to_owned).collect();
        steps.reverse();
        for step in steps {
            if step.as_os_str().is_empty() || !step.starts_with(&root) || !seen.insert(step.clone()) {
                continue;
            }
            let Some(about) = follow(&step)? else { continue };
            if let Some((what, mend)) = exposure(&step, &about, trusted) {
                exposed.push(Found::error(what, mend));
            }
        }
    }
    Ok(exposed)
}

#[cfg(test)]
mod tests {
    use super::{exposed, quoted};
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, word) in [("/etc/a.yml", "/etc/a.yml"), ("/a b", "'/a b'"), ("/a'b;c", "'/a'\\''b;c'")] {
            assert_eq!(quoted(Path::new(path)), word);
        }
    }

    #[test]
    fn each_step_of_the_way_counts_also_behind_a_link() {
        let temp = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(temp.path()).unwrap();
        let own = fs::metadata(&root).unwrap().uid();
        for folder in ["a/b", "c"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for folder in ["a", "a/b", "c"] {
            fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(root.join("a/b/f"), "").unwrap();
        fs::set_permissions(root.join("a/b/f"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink(root.join("a/b/f"), root.join("c/f")).unwrap();
        let seen = |path: &str| {
            let found = exposed(&root, &root.join(path), &[own]).unwrap();
            found.into_iter().map(|f| f.seen.replace(&root.display().to_string(), "")).collect::<Vec<_>>()
        };
        assert_eq!(seen("c/f"), Vec::<String>::new());
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(root.join("c"), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(seen("c/f"), ["/c can be written by everybody", "/a can be written by everybody"]);
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(seen("a/b/f"), Vec::<String>::new());
        let others = exposed(&root, &root.join("a"), &[own + 1]).unwrap();
        assert!(others.iter().any(|f| f.seen.ends_with(&format!("belongs to uid {own}"))));
    }
}
