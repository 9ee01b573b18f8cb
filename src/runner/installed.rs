//! What is installed beside this program for agents to use, and the files that they are given of it. Paths come from where
//! this program itself lies, never from a request.

use crate::agent::wiring::Installed;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What lies beside this program; nothing if `teleclaude` does not.
pub fn beside_this() -> Option<Installed> {
    beside(&std::env::current_exe().ok()?)
}

/// What lies beside this program at `exe`.
pub fn beside(exe: &Path) -> Option<Installed> {
    let folder = exe.parent()?;
    let binary = folder.join("teleclaude");
    if !binary.is_file() {
        return None;
    }
    let shared = folder.parent()?.join("share/teleclaude/gemini.json");
    // Gemini would complain of another's on its screen, and not read it.
    let roots = std::fs::metadata(&shared).is_ok_and(|found| found.is_file() && found.uid() == 0);
    Some(Installed { binary, gemini: roots.then_some(shared) })
}

/// Makes a file (0600) that is not there yet, or makes it anew.
///
/// # Errors
/// The system's; also if something that is no file of ours is in its place.
pub fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
