//! Which files the runner believes: those that nobody but root can have written. The config is read here, from such
//! files alone; what it means is `config`.

use crate::config::load;
use crate::config::schema::Config;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Who owns a file and who may write it.
#[derive(Clone, Copy, Debug)]
struct Guard {
    uid: u32,
    mode: u32,
    link: bool,
}

/// Reads the config: the file, and `config.d` beside it.
///
/// # Errors
/// The text names the file and what is wrong: it is not there, others than root could have written it, or it is no
/// valid config.
pub fn config(path: &Path) -> Result<Config, String> {
    only_roots(path)?;
    let folder = path.parent().unwrap_or(path).join("config.d");
    if fs::symlink_metadata(&folder).is_ok() {
        only_roots(&folder)?;
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|e| format!("{}: {e}", folder.display()))?;
            only_roots(&entry.path())?;
        }
    }
    load::system_files(path).map_err(|problems| problems.to_string())
}

/// Whether root alone can have written a file or folder, or moved another into its place: every component of the path
/// belongs to root, nobody else may write it, and none is a symbolic link.
///
/// # Errors
/// The text names the first component that is otherwise.
pub fn only_roots(path: &Path) -> Result<(), String> {
    if !path.is_absolute() {
        return Err(format!("{}: is not an absolute path", path.display()));
    }
    let mut above: Vec<PathBuf> = path.ancestors().map(Path::to_owned).collect();
    above.reverse();
    for part in above {
        let found = fs::symlink_metadata(&part).map_err(|e| format!("{}: {e}", part.display()))?;
        let guard = Guard { uid: found.uid(), mode: found.mode(), link: found.is_symlink() };
        complaint(guard).map_or(Ok(()), |what| Err(format!("{}: {what}", part.display())))?;
    }
    Ok(())
}

fn complaint(guard: Guard) -> Option<String> {
    match guard {
        Guard { link: true, .. } => {
            Some("is a symbolic link; the runner follows none to its config".to_owned())
        }
        Guard { uid, .. } if uid != 0 => Some(format!("belongs to uid {uid}, not to root")),
        Guard { mode, .. } if mode & 0o022 != 0 => Some("can be written by others than root".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Guard, complaint, only_roots};
    use std::path::Path;

    #[test]
    fn only_what_root_alone_can_write_is_believed() {
        for (uid, mode, link, expected) in [
            (0, 0o100_644, false, None),
            (0, 0o040_755, false, None),
            (0, 0o100_664, false, Some("can be written by others than root")),
            (0, 0o100_646, false, Some("can be written by others than root")),
            (0, 0o041_777, false, Some("can be written by others than root")),
            (7, 0o100_600, false, Some("belongs to uid 7, not to root")),
            (0, 0o120_777, true, Some("is a symbolic link; the runner follows none to its config")),
        ] {
            assert_eq!(complaint(Guard { uid, mode, link }).as_deref(), expected, "{uid} {mode:o}");
        }
    }

    #[test]
    fn a_folder_above_counts_too() {
        assert_eq!(only_roots(Path::new("etc")).unwrap_err(), "etc: is not an absolute path");
        // Everybody may write /tmp (on macOS it is a link).
        assert!(only_roots(Path::new("/tmp/x")).unwrap_err().starts_with("/tmp: "));
    }
}
