//! Whether the file of SQLite is still the one that was opened. A connection goes on writing to a file that was moved
//! away or removed, and what it acknowledges then is not there for the next one: so it is looked at before each batch.

use crate::store::connect::Engine;
use crate::store::error::StoreError;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The open file of a database, by its place and by what the file system calls it; nothing on a server.
pub(super) struct OpenFile(Option<(PathBuf, (u64, u64))>);

impl OpenFile {
    /// The file as it is now, just opened.
    pub fn of(engine: &Engine) -> Self {
        let Engine::Sqlite { path, .. } = engine else { return Self(None) };
        let about = std::fs::metadata(path).ok();
        Self(about.map(|about| (path.clone(), (about.dev(), about.ino()))))
    }

    /// Looks whether it is there. Does no more than ask the file system once.
    ///
    /// # Errors
    /// Another file, or none, is in its place.
    pub fn check(&self) -> Result<(), StoreError> {
        let Some((path, opened)) = &self.0 else { return Ok(()) };
        match std::fs::metadata(path) {
            Ok(about) if (about.dev(), about.ino()) == *opened => Ok(()),
            Ok(_) => Err(StoreError::Unreachable(
                "another file is in the place of the database: stop the daemon before it is replaced"
                    .to_owned(),
            )),
            Err(error) => Err(StoreError::Unreachable(format!("the database file: {}", error.kind()))),
        }
    }
}
