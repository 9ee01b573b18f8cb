//! Encryption keys: where they come from, and the key file, which is the one file here that is also written. The key of
//! `secrets.yml` (`encryption.key`) or of a systemd credential of that name goes before the key file's. Keys are never
//! shown, only their ids.

use crate::config::secrets::{self, Secrets};
use crate::domain::credential::KeyId;
use secrecy::zeroize::Zeroize;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The secret that is the key now.
pub const KEY: &str = "encryption.key";
/// The secret that was the key before.
pub const PREVIOUS_KEY: &str = "encryption.previous_key";
/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// The key file, in the state folder.
pub const FILE: &str = "encryption.keys";

const HEAD: &str = "\
# The keys that credentials in the database are encrypted with, oldest first; the last one is in use.
# Whoever reads this file and the database reads the credentials. Back it up, apart from the database: without it they
# are lost. A line may go once no database, and no backup of one, names its key (`teleclaude key list`).
";

/// One key.
pub struct Key {
    /// What it is called.
    pub id: KeyId,
    bytes: SecretBox<[u8; KEY_BYTES]>,
}

impl Key {
    /// The key of these bytes, which must be random.
    pub fn new(mut bytes: [u8; KEY_BYTES]) -> Self {
        let mut sha = Sha256::new();
        sha.update(b"teleclaude encryption key id\0");
        sha.update(bytes);
        let id = sha.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let kept = SecretBox::new(Box::new(bytes));
        bytes.zeroize();
        Self { id: KeyId(id), bytes: kept }
    }

    /// Reads a key as it is written: 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0u8; KEY_BYTES];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
            *byte = digit(digits[0])? * 16 + digit(digits[1])?;
        }
        Some(Self::new(bytes))
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.bytes.expose_secret()
    }

    /// The key as it is written.
    pub fn text(&self) -> SecretString {
        let mut text = String::with_capacity(2 * KEY_BYTES);
        for byte in self.bytes() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
            }
        }
        SecretString::from(text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Where the key in use comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The secrets layer: an operator changes it.
    Secrets(String),
    /// The key file: the daemon changes it.
    File(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secrets(origin) => f.write_str(origin),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The keys there are.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    in_use: Option<(KeyId, Source)>,
    by_id: BTreeMap<KeyId, Arc<Key>>,
    /// Why none can be used, or not all of them. Quotes nothing of a key.
    pub problem: Option<String>,
}

impl Keys {
    /// Those of the secrets and of the key file, which need not be there. Blocks on the disk.
    pub fn read(secrets: &Secrets, file: &Path) -> Self {
        let mut keys = Self::default();
        match read_file(file) {
            Ok(found) => {
                for key in found {
                    keys.in_use = Some((key.id.clone(), Source::File(file.to_owned())));
                    keys.by_id.insert(key.id.clone(), Arc::new(key));
                }
            }
            Err(problem) => keys.problem = Some(format!("the key file {} {problem}", file.display())),
        }
        for name in [PREVIOUS_KEY, KEY] {
            let Some(key) = secrets.get(name).and_then(|text| Key::parse(text.expose_secret())) else {
                continue;
            };
            if name == KEY {
                let origin = secrets.names().find(|(known, _)| *known == KEY);
                let origin = origin.map(|(_, origin)| origin.to_string()).unwrap_or_default();
                keys.in_use = Some((key.id.clone(), Source::Secrets(origin)));
            }
            keys.by_id.insert(key.id.clone(), Arc::new(key));
        }
        keys
    }

    /// The key that encrypts, if there is one.
    pub fn in_use(&self) -> Option<&Key> {
        self.in_use.as_ref().and_then(|(id, _)| self.get(id))
    }

    /// Where that one comes from.
    pub fn source(&self) -> Option<&Source> {
        self.in_use.as_ref().map(|(_, source)| source)
    }

    /// The key of this id.
    pub fn get(&self, id: &KeyId) -> Option<&Key> {
        self.by_id.get(id).map(|key| &**key)
    }
}

/// The keys of a key file, oldest first; none if there is no file. The problem completes "the key file PATH …".
fn read_file(path: &Path) -> Result<Vec<Key>, String> {
    let (mut text, guard) = match secrets::read_file(path) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Vec::new()),
        Err(problem) => return Err(problem.message),
    };
    if !guard.private() {
        text.zeroize();
        return Err("can be read or written by others: give it mode 0600".to_owned());
    }
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let keys = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(n, line)| Key::parse(line).ok_or_else(|| format!("has something on line {n} that is no key")))
        .collect();
    text.zeroize();
    keys
}

/// Writes a key, and nothing else, into a new file of mode 0600: what a credential of systemd's is made of.
///
/// # Errors
/// Also that the file exists.
pub fn create_bare(path: &Path, key: &Key) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", key.text().expose_secret())?;
    file.sync_all()?;
    sync_folder(path)
}

/// Keys in a key file, at most: well below what is read of one.
const KEYS_MAX: usize = 1_000;

/// Puts a key behind those of the key file. The file is replaced whole: a crash leaves the old one or the new one.
///
/// # Errors
/// The file is not one, or cannot be written.
pub fn append(path: &Path, key: &Key) -> io::Result<()> {
    let mut keys = read_file(path).map_err(io::Error::other)?;
    keys.retain(|known| known.id != key.id);
    if keys.len() >= KEYS_MAX {
        let full = format!(
            "has {KEYS_MAX} keys: take out old ones that no credential names (`teleclaude key list`)"
        );
        return Err(io::Error::other(full));
    }
    replace(path, keys.iter().chain([key]))
}

/// Takes a key out of the key file that nothing has been encrypted with.
///
/// # Errors
/// The same.
pub fn take_out(path: &Path, id: &KeyId) -> io::Result<()> {
    let keys = read_file(path).map_err(io::Error::other)?;
    replace(path, keys.iter().filter(|key| key.id != *id))
}

fn replace<'a>(path: &Path, keys: impl Iterator<Item = &'a Key>) -> io::Result<()> {
    replace_file(path, |file| {
        file.write_all(HEAD.as_bytes())?;
        for key in keys {
            file.write_all(key.text().expose_secret().as_bytes())?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Replaces a file by one that its owner alone may read and write, durably: at any moment there is the old one or the
/// new one.
///
/// # Errors
/// The disk; the old one is there then.
pub fn replace_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // What a crash left: its mode may be another.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    write(&mut file)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{Key, Keys, Source, append, create_bare, take_out};
    use crate::config::secrets::Secrets;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_written_and_read_and_shows_only_its_id() {
        let key = Key::new([0xa5; 32]);
        let text = key.text();
        let again = Key::parse(text.expose_secret()).unwrap();
        assert_eq!(again.bytes(), key.bytes());
        assert_eq!(again.id, key.id);
        assert_eq!(key.id.0.len(), 16);
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id));
        for bad in ["", "a5", &"g5".repeat(32), &"a5".repeat(33), &"ä".repeat(32)] {
            assert!(Key::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_full_file_takes_no_more_keys_and_stays_readable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("encryption.keys");
        let all: Vec<Key> =
            (0..super::KEYS_MAX).map(|n| Key::new(core::array::from_fn(|at| (n >> at) as u8))).collect();
        super::replace(&file, all.iter()).unwrap();
        let refused = append(&file, &Key::new([0xee; 32])).unwrap_err().to_string();
        assert!(refused.contains("1000 keys"), "{refused}");
        let keys = Keys::read(&Secrets::default(), &file);
        assert!(keys.problem.is_none() && keys.in_use().unwrap().id == all[all.len() - 1].id, "{keys:?}");
    }

    #[test]
    fn the_file_grows_by_a_key_and_its_last_one_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("encryption.keys");
        let read = || Keys::read(&Secrets::default(), &file);
        assert!(read().in_use().is_none() && read().problem.is_none());
        let (old, new) = (Key::new([1; 32]), Key::new([2; 32]));
        append(&file, &old).unwrap();
        append(&file, &new).unwrap();
        append(&file, &new).unwrap();
        let keys = read();
        assert_eq!(keys.in_use().unwrap().id, new.id);
        assert_eq!(keys.source(), Some(&Source::File(file.clone())));
        assert_eq!(keys.get(&old.id).unwrap().bytes(), old.bytes());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{keys:?}").contains("0202"), "{keys:?}");
        take_out(&file, &new.id).unwrap();
        assert_eq!(read().in_use().unwrap().id, old.id);
        assert!(create_bare(&file, &new).is_err(), "it exists");
    }

    #[test]
    fn a_file_that_others_read_or_that_is_damaged_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("encryption.keys");
        append(&file, &Key::new([1; 32])).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let keys = Keys::read(&Secrets::default(), &file);
        assert!(keys.in_use().is_none());
        assert!(keys.problem.unwrap().contains("mode 0600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, "# keys\ninvented nonsense\n").unwrap();
        let problem = Keys::read(&Secrets::default(), &file).problem.unwrap();
        assert!(problem.contains("line 2") && !problem.contains("nonsense"), "{problem}");
        assert!(append(&file, &Key::new([1; 32])).is_err(), "nothing of it is thrown away");
    }
}
