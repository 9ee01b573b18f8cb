//! The environment as a layer: `TELECLAUDE_LIMITS__CONNECTIONS=10` is `limits.connections: 10`. Names of the
//! secrets are `secrets`; where files are is `paths`.

use crate::config::paths::Environment;
use crate::config::problem::Problem;
use crate::config::tree::{self, Kind, Node};

/// Variables of ours that are no config. `TELECLAUDE_SOCKET` is for clients.
const NOT_CONFIG: [&str; 8] = [
    "TELECLAUDE_SESSION",
    "TELECLAUDE_TOKEN",
    "TELECLAUDE_SOCKET",
    "TELECLAUDE_CONFIG_PATH",
    "TELECLAUDE_SECRETS_PATH",
    "TELECLAUDE_SYSTEM_MODE",
    "TELECLAUDE_RUNNER_SOCKET",
    "TELECLAUDE_LOG",
];
/// Secrets, taken as raw text by `secrets`.
const SECRET: [&str; 2] = ["TELECLAUDE_DATABASE__PASSWORD", "TELECLAUDE_DATABASE__URL"];

/// The variable that sets a dotted key.
pub(super) fn variable(key: &str) -> String {
    format!("TELECLAUDE_{}", key.to_uppercase().replace('.', "__"))
}

/// The variables as a tree, each value placed by its name. Single words that are no key are passed over
/// with a warning, since not every `TELECLAUDE_…` is ours.
pub(super) fn tree(env: &Environment, known: &[String], warnings: &mut Vec<String>) -> (Node, Vec<Problem>) {
    let mut root = Node::new(0, Kind::Map(Vec::new()));
    let mut problems = Vec::new();
    for (name, value) in &env.vars {
        let Some(rest) = name.strip_prefix("TELECLAUDE_") else { continue };
        let passed = NOT_CONFIG.contains(&name.as_str()) || SECRET.contains(&name.as_str());
        if passed || rest.starts_with("TEST_") {
            continue;
        }
        let keys: Vec<String> = rest.to_lowercase().split("__").map(str::to_owned).collect();
        if keys.len() == 1 && !known.contains(&keys[0]) {
            warnings.push(format!("{name}: is no config key; passed over"));
            continue;
        }
        if keys.iter().any(String::is_empty) || !place(&mut root, &keys, tree::parse_loose(value)) {
            problems.push(Problem::new("is set by another variable too, or is no key").key(name));
        }
    }
    (root, problems)
}

fn place(at: &mut Node, keys: &[String], value: Node) -> bool {
    let (Some((first, rest)), Kind::Map(entries)) = (keys.split_first(), &mut at.kind) else { return false };
    let found = entries.iter().position(|(key, _)| key == first);
    if rest.is_empty() {
        if found.is_some() {
            return false;
        }
        entries.push((first.clone(), value));
        return true;
    }
    let index = found.unwrap_or_else(|| {
        entries.push((first.clone(), Node::new(0, Kind::Map(Vec::new()))));
        entries.len() - 1
    });
    place(&mut entries[index].1, rest, value)
}
