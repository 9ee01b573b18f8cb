//! What a person may say for themselves (`~/.teleclaude/config.yml`): a handful of keys that weaken nothing.
//! The daemon reads no homes; it gets the text from the person's own client and checks it here.

use crate::config::decode;
use crate::config::problem::{Problem, Problems};
use crate::config::tree::{self, Kind, Node};
use crate::domain::session::ThinkingMode;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

/// The keys a personal file may set.
pub const ALLOWED: [&str; 7] =
    ["ui", "terminal", "thinking_mode", "default_agent", "notifications", "interests", "tts"];
/// Bytes of a personal file, at most: it comes from anybody.
pub const BYTES_MAX: usize = 64 * 1024;

/// Problems reported, at most.
const PROBLEMS_MAX: usize = 100;
const REFUSED: &str = "secrets do not belong in a personal file";

/// A personal file that was checked. What `ui`, `terminal`, `notifications` and `tts` hold is the clients'.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Personal {
    /// How the terminal interface looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui: Option<BTreeMap<String, Json>>,
    /// How terminals are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<BTreeMap<String, Json>>,
    /// The thinking mode when nobody says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking_mode: Option<ThinkingMode>,
    /// The agent when nobody says which; whether it may be used is decided as ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_agent: Option<String>,
    /// What to be told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<BTreeMap<String, Json>>,
    /// What they care about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interests: Option<Vec<String>>,
    /// How text is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tts: Option<BTreeMap<String, Json>>,
}

impl Personal {
    /// The keys it sets, in the order of [`ALLOWED`].
    pub fn keys(&self) -> Vec<String> {
        let set = [
            self.ui.is_some(),
            self.terminal.is_some(),
            self.thinking_mode.is_some(),
            self.default_agent.is_some(),
            self.notifications.is_some(),
            self.interests.is_some(),
            self.tts.is_some(),
        ];
        ALLOWED.into_iter().zip(set).filter(|(_, set)| *set).map(|(key, _)| key.to_owned()).collect()
    }
}

/// Checks a personal file; `path` is only for the messages, which never quote a value.
pub fn parse(text: &str, path: &Path) -> Result<Personal, Problems> {
    if text.len() > BYTES_MAX {
        return Err(Problem::new(format!("is larger than {} KiB", BYTES_MAX / 1024)).at(path, None).into());
    }
    let root = match tree::parse(text) {
        Ok(root) => root,
        Err(problem) => return Err(Problem { file: Some(path.to_owned()), ..problem }.into()),
    };
    let mut found = Vec::new();
    root.drop_duplicates("", &mut found);
    for (key, node) in root.entries() {
        if !ALLOWED.contains(&key) {
            let mut problem = Problem::new("may not be set in a personal file")
                .key(if looks_secret(key) { "?" } else { key })
                .hint(format!("allowed: {}", ALLOWED.join(", ")));
            problem.line = Some(node.line);
            found.push(problem);
            if names_secret(key) {
                refuse(key, node, &mut found);
            }
            node.dropped.set(true);
        }
    }
    refuse_secrets(&root, "", &mut found);
    decode::check::<Personal>(&root, &mut found);
    if !found.is_empty() {
        found.sort_by_key(|p| p.line);
        found.truncate(PROBLEMS_MAX);
        return Err(Problems(
            found.into_iter().map(|p| Problem { file: Some(path.to_owned()), ..p }).collect(),
        ));
    }
    let value =
        if matches!(root.kind, Kind::Null) { Json::Object(serde_json::Map::new()) } else { json(&root) };
    serde_json::from_value(value).map_err(|_| Problem::new("does not fit together").at(path, None).into())
}

fn refuse(key: &str, node: &Node, found: &mut Vec<Problem>) {
    let key = if looks_secret(key) { "?" } else { key };
    let mut problem = Problem::new(REFUSED).key(key).hint("use `teleclaude credentials put`");
    problem.line = Some(node.line);
    found.push(problem);
    node.dropped.set(true);
}

fn refuse_secrets(node: &Node, path: &str, found: &mut Vec<Problem>) {
    for (key, inner) in node.entries() {
        let path = tree::join(path, if looks_secret(key) { "?" } else { key });
        if names_secret(key) || looks_secret(key) || inner.raw.as_deref().is_some_and(looks_secret) {
            refuse(&path, inner, found);
        } else {
            refuse_secrets(inner, &path, found);
        }
    }
    for (i, inner) in node.elements().enumerate() {
        let path = format!("{path}[{i}]");
        if inner.raw.as_deref().is_some_and(looks_secret) {
            refuse(&path, inner, found);
        } else {
            refuse_secrets(inner, &path, found);
        }
    }
}

/// Whether a key says that a secret follows.
fn names_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    ["key", "token", "secret", "password"].iter().any(|word| {
        key.strip_suffix(word)
            .is_some_and(|before| before.ends_with('_') || (before.is_empty() && *word != "key"))
    })
}

/// Whether a text has the shape of a known kind of credential.
fn looks_secret(text: &str) -> bool {
    const BEGIN: [&str; 14] = [
        "sk-",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "xapp-",
        "ghp_",
        "gho_",
        "ghs_",
        "ghu_",
        "github_pat_",
        "glpat-",
        "AKIA",
        "ASIA",
        "AIza",
    ];
    let words =
        text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ':' | ',' | '/' | '@'));
    text.contains("-----BEGIN ")
        || ["sk-", "xoxb-", "ghp_", "AKIA"].iter().any(|begin| text.starts_with(begin))
        || words
            .into_iter()
            .any(|word| BEGIN.iter().any(|b| word.starts_with(b) && word.len() >= b.len() + 8))
}

fn json(node: &Node) -> Json {
    match &node.kind {
        Kind::Null => Json::Null,
        Kind::Bool(v) => Json::from(*v),
        Kind::Int(v) => Json::from(*v),
        Kind::UInt(v) => Json::from(*v),
        Kind::Float(v) => Json::from(*v),
        Kind::Text(v) => Json::from(v.as_str()),
        Kind::Seq(_) => node.elements().map(json).collect(),
        Kind::Map(_) => {
            Json::Object(node.entries().map(|(key, value)| (key.to_owned(), json(value))).collect())
        }
    }
}
