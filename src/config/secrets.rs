//! Secrets: where they come from and who may see the file. Values are never shown, quoted or compared in
//! messages; the names are no secret.

use crate::config::keys::{self, Key};
use crate::config::paths::{Environment, Mode, Paths};
use crate::config::problem::Problem;
use crate::config::tree::{self, FILE_BYTES_MAX, Kind, Node};
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Names taken from the environment though no file mentions them.
const WELL_KNOWN: [&str; 5] =
    ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"];
/// Names that are no variables.
const DOTTED: [&str; 4] = ["database.password", "database.url", keys::KEY, keys::PREVIOUS_KEY];

/// Every secret by its name: a variable's name such as `ANTHROPIC_API_KEY`, or `database.password`.
#[derive(Clone, Default)]
pub struct Secrets {
    by_name: BTreeMap<String, (SecretString, SecretOrigin)>,
    /// Whether a badly guarded file is an error (`secrets.strict`).
    pub strict: bool,
}

/// Where a secret came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrigin {
    /// A line of a file.
    File(PathBuf, usize),
    /// A file of the credentials directory.
    Credential(PathBuf),
    /// A variable.
    Environment(String),
}

impl fmt::Display for SecretOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, line) => write!(f, "secrets {}:{line}", file.display()),
            Self::Credential(file) => write!(f, "credential {}", file.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("names", &self.by_name.keys()).field("strict", &self.strict).finish()
    }
}

impl Secrets {
    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.by_name.get(name).map(|(value, _)| value)
    }

    /// The names there are, and where each came from.
    pub fn names(&self) -> impl Iterator<Item = (&str, &SecretOrigin)> {
        self.by_name.iter().map(|(name, (_, origin))| (name.as_str(), origin))
    }

    /// Names whose values differ, or that only one of the two has.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.by_name.keys().chain(other.by_name.keys());
        let mut changed: Vec<String> = names
            .filter(|name| {
                self.get(name).map(ExposeSecret::expose_secret)
                    != other.get(name).map(ExposeSecret::expose_secret)
            })
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        changed
    }

    fn set(&mut self, name: &str, value: &str, origin: SecretOrigin) {
        self.by_name.insert(name.to_owned(), (SecretString::from(value), origin));
    }
}

/// What reading the secrets layer gave besides the secrets.
#[derive(Default)]
pub(super) struct Found {
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

/// Reads the file, then the credentials directory, then the environment; later wins. `agent_names` are the
/// variables that agents of the config want.
pub(super) fn read(
    env: &Environment,
    paths: &Paths,
    files: &[PathBuf],
    mode: Mode,
    strict: bool,
    agent_names: &[String],
) -> (Secrets, Found) {
    let mut secrets = Secrets { strict, ..Secrets::default() };
    let mut found = Found::default();
    let handed_over = env.var("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let credential_file = handed_over.as_ref().map(|dir| dir.join("secrets.yml")).filter(|f| f.exists());
    let default_files = [paths.secrets.clone()];
    let files = if files.is_empty() { &default_files } else { files };
    for file in files {
        match read_file(file) {
            Ok(Some((text, guard))) => {
                for complaint in guard.complaints(mode, env.uid) {
                    if strict {
                        found.problems.push(
                            Problem::new(complaint)
                                .at(file, None)
                                .hint("secrets.strict is on; mode 0640 or 0600"),
                        );
                    } else {
                        found.warnings.push(format!("{}: {complaint}", file.display()));
                    }
                }
                take_file(&mut secrets, file, &text, &mut found.problems);
            }
            Ok(None) => {}
            Err(problem) if problem.message == UNREADABLE => {
                if credential_file.is_none() {
                    found.warnings.push(problem.to_string());
                }
            }
            Err(problem) => found.problems.push(problem),
        }
    }
    if let Some(file) = &credential_file {
        match read_file(file) {
            Ok(Some((text, _))) => take_file(&mut secrets, file, &text, &mut found.problems),
            Ok(None) => {}
            Err(problem) => found.problems.push(problem),
        }
    }
    if let Some(dir) = &handed_over {
        take_credentials(&mut secrets, dir, &mut found.problems);
    }
    take_environment(&mut secrets, env, agent_names);
    (secrets, found)
}

const UNREADABLE: &str = "cannot be read by this user";

/// Whether a name may stand in the secrets file.
fn is_name(name: &str) -> bool {
    let variable = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    (variable && name.len() <= 128) || DOTTED.contains(&name)
}

fn take_file(secrets: &mut Secrets, file: &Path, text: &str, problems: &mut Vec<Problem>) {
    let root = match tree::parse(text) {
        Ok(root) => root,
        Err(problem) => return problems.push(Problem { file: Some(file.to_owned()), ..problem }),
    };
    let mut found = Vec::new();
    root.drop_duplicates("", &mut found);
    if !matches!(root.kind, Kind::Map(_) | Kind::Null) {
        found.push(Problem { line: Some(root.line), ..Problem::new("expected a map of names and secrets") });
    }
    for (name, node) in root.entries() {
        if matches!(node.kind, Kind::Map(_)) {
            for (inner, node) in node.entries() {
                take_value(secrets, file, &tree::join(name, inner), node, &mut found);
            }
        } else {
            take_value(secrets, file, name, node, &mut found);
        }
    }
    problems.extend(found.into_iter().map(|p| Problem { file: Some(file.to_owned()), ..p }));
}

fn take_value(secrets: &mut Secrets, file: &Path, name: &str, node: &Node, found: &mut Vec<Problem>) {
    // A name that is not allowed might be a value in the wrong place, so it is not said.
    let wrong = if !is_name(name) {
        Some((
            None,
            "is not the name of a secret",
            Some(
                "VARIABLE_NAMES, database.password, database.url, encryption.key or encryption.previous_key",
            ),
        ))
    } else if node.raw.is_none() {
        Some((Some(name), "expected text", None))
    } else if matches!(node.kind, Kind::Null) || node.raw.as_deref().is_some_and(str::is_empty) {
        Some((Some(name), "is empty", Some("leave the line out")))
    } else if name == "database.url" && !node.raw.as_deref().is_some_and(is_database_url) {
        Some((Some(name), "must begin with sqlite:, postgres:// or postgresql://", None))
    } else if is_key(name) && node.raw.as_deref().is_none_or(|text| Key::parse(text).is_none()) {
        Some((
            Some(name),
            "must be 64 hexadecimal digits",
            Some("`teleclaude key generate --print` makes one"),
        ))
    } else {
        None
    };
    if let Some((key, message, hint)) = wrong {
        found.push(Problem {
            file: None,
            line: Some(node.line),
            key: key.map(str::to_owned),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        });
    } else if let Some(raw) = &node.raw {
        secrets.set(name, raw, SecretOrigin::File(file.to_owned(), node.line));
    }
}

/// Whether it is an encryption key.
fn is_key(name: &str) -> bool {
    [keys::KEY, keys::PREVIOUS_KEY].contains(&name)
}

fn is_database_url(text: &str) -> bool {
    crate::config::schema::database::DatabaseUrl::parse(text).is_ok()
}

fn take_credentials(secrets: &mut Secrets, dir: &Path, problems: &mut Vec<Problem>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| is_name(n)) else { continue };
        match read_file(&entry.path()) {
            Ok(Some((text, _))) => {
                let value = text.strip_suffix('\n').unwrap_or(&text);
                if is_key(name) && Key::parse(value).is_none() {
                    let wrong = Problem::new("must be 64 hexadecimal digits").at(&entry.path(), None);
                    problems.push(wrong.key(name));
                    continue;
                }
                secrets.set(name, value, SecretOrigin::Credential(entry.path()));
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem.key(name)),
        }
    }
}

fn take_environment(secrets: &mut Secrets, env: &Environment, agent_names: &[String]) {
    let mut names: Vec<String> = WELL_KNOWN.iter().map(|n| (*n).to_owned()).collect();
    names.extend(agent_names.iter().cloned());
    names.extend(secrets.by_name.keys().filter(|n| !n.contains('.')).cloned());
    let pairs = names.iter().map(|name| (name.as_str(), name.as_str())).chain([
        ("DATABASE_URL", "database.url"),
        ("TELECLAUDE_DATABASE__URL", "database.url"),
        ("TELECLAUDE_DATABASE__PASSWORD", "database.password"),
    ]);
    let taken: Vec<(String, String, String)> = pairs
        .filter_map(|(variable, name)| {
            let value = env.var(variable).filter(|v| !v.is_empty())?;
            Some((variable.to_owned(), name.to_owned(), value.to_owned()))
        })
        .collect();
    for (variable, name, value) in taken {
        secrets.set(&name, &value, SecretOrigin::Environment(variable));
    }
}

/// Who owns a file and who may do what with it.
pub(super) struct Guard {
    uid: u32,
    mode: u32,
}

impl Guard {
    fn complaints(&self, mode: Mode, own_uid: u32) -> Vec<&'static str> {
        let mut complaints = Vec::new();
        if self.mode & 0o007 != 0 {
            complaints.push("can be read or written by everybody");
        }
        match mode {
            Mode::System => {
                let owned = self.uid == own_uid && own_uid != 0 && self.mode & 0o200 != 0;
                if self.mode & 0o020 != 0 || owned {
                    complaints.push("can be written by the service user");
                }
            }
            Mode::SingleUser => {
                if self.mode & 0o070 != 0 {
                    complaints.push("can be read or written by its group");
                }
                if self.uid != own_uid {
                    complaints.push("belongs to another user");
                }
            }
        }
        complaints
    }

    /// Whether its owner alone may read and write it.
    pub(super) const fn private(&self) -> bool {
        self.mode & 0o077 == 0
    }

    /// Whether everybody may write it.
    pub(super) const fn world_writable(&self) -> bool {
        self.mode & 0o002 != 0
    }
}

/// Reads a regular file within the cap; `None` if there is none.
pub(super) fn read_file(path: &Path) -> Result<Option<(String, Guard)>, Problem> {
    let wrong = |message: String| Problem::new(message).at(path, None);
    // Asked before opening, since opening a pipe waits.
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Err(wrong("is not a regular file".to_owned())),
        _ => {}
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Err(wrong(UNREADABLE.to_owned())),
        Err(e) => return Err(wrong(format!("cannot be opened: {e}"))),
    };
    let meta = file.metadata().map_err(|e| wrong(format!("cannot be read: {e}")))?;
    let mut bytes = Vec::new();
    let cap = FILE_BYTES_MAX as u64 + 1;
    file.take(cap).read_to_end(&mut bytes).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(wrong(format!("is larger than {} KiB", FILE_BYTES_MAX / 1024)));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        Problem::new("is not UTF-8").at(path, Some(line))
    })?;
    Ok(Some((text, Guard { uid: meta.uid(), mode: meta.mode() & 0o777 })))
}
