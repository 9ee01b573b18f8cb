//! Reads every layer, each parsed and checked on its own, merges them, and checks the whole. Later wins:
//! defaults, config file, `config.d/*.yml` in name order, environment. Secrets never enter the merge.

use crate::config::decode;
use crate::config::env;
use crate::config::layer::{Layer, LayerKind};
use crate::config::origins::{Origin, Origins};
use crate::config::paths::{Environment, Mode, Os, Paths};
use crate::config::problem::{Problem, Problems};
use crate::config::rules;
use crate::config::schema::Config;
use crate::config::secrets::{self, Secrets};
use crate::config::show;
use crate::config::tree::{self, Node};
use figment::Figment;
use figment::value::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of one `config.d`, at most.
const CONFIG_D_MAX: usize = 256;
/// Top-level keys by which a file of the earlier single-user system is known.
const EARLIER: [&str; 9] =
    ["telegram", "discord", "redis", "stt", "tts", "whatsapp", "experiments", "git", "polling"];

/// A config that is in order.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config. No secrets in it.
    pub config: Arc<Config>,
    /// The secrets.
    pub secrets: Secrets,
    /// Where everything is.
    pub paths: Paths,
    /// Whose daemon it is.
    pub mode: Mode,
    /// Where each value came from.
    pub origins: Origins,
    /// What is odd but not wrong. Hold no secret.
    pub warnings: Vec<String>,
}

/// Reads everything. Blocks on the disk. The error holds all problems, of all files.
pub fn load(env: &Environment) -> Result<Loaded, Problems> {
    let mode = Mode::detect(env);
    let paths = Paths::of(env, mode);
    let mut files = vec![paths.config.clone()];
    let mut problems = Problems::default();
    match config_d(&paths.config_d) {
        Ok(more) => files.extend(more),
        Err(problem) => problems.push(problem),
    }
    read(env, mode, paths, &files, &[], problems)
}

/// The system's config from its file and `config.d` alone, for who believes neither variables nor secrets: the
/// privileged runner.
pub fn system_files(config: &Path) -> Result<Config, Problems> {
    let env = Environment {
        vars: BTreeMap::new(),
        home: PathBuf::from("/"),
        uid: 0,
        hostname: "localhost".to_owned(),
        os: Os::HERE,
        root: PathBuf::from("/"),
        socket: None,
    };
    let beside = config.parent().unwrap_or_else(|| Path::new("/")).join("config.d");
    let paths = Paths { config: config.to_owned(), config_d: beside, ..Paths::of(&env, Mode::System) };
    let mut files = vec![paths.config.clone()];
    files.extend(config_d(&paths.config_d)?);
    let (mut problems, mut warnings) = (Problems::default(), Vec::new());
    let merged = merge(&env, Mode::System, &paths, &files, &mut problems, &mut warnings);
    problems.into_result()?;
    merged.map(|(config, _)| config).ok_or_else(Problems::default)
}

/// Checks `files` in place of the installed config, or the installed config if there are none. A file whose
/// name begins with `secrets` is read as secrets. Gives the warnings.
pub fn check(env: &Environment, files: &[PathBuf]) -> Result<Vec<String>, Problems> {
    if files.is_empty() {
        return load(env).map(|loaded| loaded.warnings);
    }
    let is_secrets = |file: &PathBuf| {
        file.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.starts_with("secrets"))
    };
    let (secret, plain): (Vec<PathBuf>, Vec<PathBuf>) = files.iter().cloned().partition(is_secrets);
    let mode = Mode::detect(env);
    let mut problems = Problems::default();
    for file in files.iter().filter(|f| !f.exists()) {
        problems.push(Problem::new("does not exist").at(file, None));
    }
    read(env, mode, Paths::of(env, mode), &plain, &secret, problems).map(|loaded| loaded.warnings)
}

/// The `*.yml` of a folder in name order. No folder is no files.
fn config_d(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(Vec::new()) };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "yml"))
        .filter(|path| !path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".")))
        .collect();
    files.sort();
    if files.len() > CONFIG_D_MAX {
        return Err(Problem::new(format!("holds more than {CONFIG_D_MAX} files")).at(dir, None));
    }
    Ok(files)
}

fn read(
    env: &Environment,
    mode: Mode,
    paths: Paths,
    files: &[PathBuf],
    secret_files: &[PathBuf],
    mut problems: Problems,
) -> Result<Loaded, Problems> {
    let mut warnings = Vec::new();
    let Some((config, origins)) = merge(env, mode, &paths, files, &mut problems, &mut warnings) else {
        return Err(problems);
    };
    let mut agent_names: Vec<String> =
        config.agents.by_name.values().flat_map(|agent| agent.env.iter().cloned()).collect();
    agent_names.sort();
    agent_names.dedup();
    let strict = config.secrets.strict;
    let (secrets, found) = secrets::read(env, &paths, secret_files, mode, strict, &agent_names);
    problems.0.extend(found.problems);
    warnings.extend(found.warnings);
    problems.into_result()?;
    Ok(Loaded { config: Arc::new(config), secrets, paths, mode, origins, warnings })
}

/// Everything but the secrets. None if nothing can be made of it; what is wrong is then among the problems.
fn merge(
    env: &Environment,
    mode: Mode,
    paths: &Paths,
    files: &[PathBuf],
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Option<(Config, Origins)> {
    let defaults = Config::defaults(mode, paths, &env.hostname);
    let Ok(Value::Dict(_, values)) = Value::serialize(&defaults) else {
        problems.push(Problem::new("the defaults cannot be written down"));
        return None;
    };
    let known: Vec<String> = values.keys().cloned().collect();
    let mut layers = vec![Layer { index: 0, kind: LayerKind::Defaults, values, lines: BTreeMap::new() }];
    for file in files {
        let (root, found, odd) = read_layer(file, mode);
        problems.0.extend(found);
        warnings.extend(odd);
        if let Some(root) = root {
            layers.push(Layer::of_tree(layers.len(), LayerKind::File(file.clone()), &root));
        }
    }
    let (root, mut found) = env::tree(env, &known, warnings);
    decode::check::<Config>(&root, &mut found);
    problems.0.extend(found.into_iter().map(|problem| Problem {
        line: None,
        key: problem.key.map(|k| if k.starts_with("TELECLAUDE_") { k } else { env::variable(&k) }),
        ..problem
    }));
    layers.push(Layer::of_tree(layers.len(), LayerKind::Environment, &root));

    let figment = layers.iter().fold(Figment::new(), |merged, layer| merged.merge(layer));
    // Each layer was checked, so what is left can only be the merge's own fault. Its text may quote values.
    let mut config: Config = match figment.extract() {
        Ok(config) => config,
        Err(error) => {
            let key = error.path.join(".");
            problems.push(Problem::new("the layers do not fit together").key(key));
            return None;
        }
    };
    if let Some(socket) = &env.socket {
        config.socket.clone_from(socket);
    }
    let mut origins = Origins::default();
    for (key, _) in show::leaves(&config) {
        let outside = key.split('[').next().unwrap_or(&key).to_owned();
        let layer = figment.find_metadata(&outside).and_then(|m| m.name.parse().ok()).unwrap_or(0);
        origins.winner.insert(outside, layer);
    }
    origins.layers = layers.into_iter().map(|layer| (layer.kind, layer.lines)).collect();

    let (found, odd) = rules::check(&config, mode, &origins);
    warnings.extend(odd);
    problems.0.extend(found.into_iter().map(|problem| placed(problem, &origins)));
    Some((config, origins))
}

/// One config file: what is left of it after checking, what is wrong, what is odd.
fn read_layer(file: &Path, mode: Mode) -> (Option<Node>, Vec<Problem>, Vec<String>) {
    let mut odd = Vec::new();
    let text = match secrets::read_file(file) {
        Ok(Some((text, guard))) => {
            if mode == Mode::System && guard.world_writable() {
                odd.push(format!("{}: can be written by everybody", file.display()));
            }
            text
        }
        Ok(None) => return (None, Vec::new(), odd),
        Err(problem) => return (None, vec![problem], odd),
    };
    let root = match tree::parse(&text) {
        Ok(root) => root,
        Err(problem) => return (None, vec![Problem { file: Some(file.to_owned()), ..problem }], odd),
    };
    let mut found = Vec::new();
    root.drop_duplicates("", &mut found);
    let earlier = root.entries().any(|(key, _)| EARLIER.contains(&key));
    if earlier && mode == Mode::SingleUser {
        drop_earlier_database(&root, file, &mut odd);
    }
    decode::check::<Config>(&root, &mut found);
    if earlier && mode == Mode::SingleUser {
        let (unknown, wrong): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|p| p.message == decode::UNKNOWN_KEY);
        found = wrong;
        odd.extend(unknown.into_iter().map(|p| {
            let problem =
                Problem { hint: None, message: "not a key of this version; passed over".to_owned(), ..p };
            Problem { file: Some(file.to_owned()), ..problem }.to_string()
        }));
    } else if earlier {
        let hint = "this looks like a file of the earlier system: see `teleclaude config split`";
        for problem in found.iter_mut().filter(|p| p.message == decode::UNKNOWN_KEY) {
            problem.hint = Some(hint.to_owned());
        }
    }
    let found = found.into_iter().map(|p| Problem { file: Some(file.to_owned()), ..p }).collect();
    (Some(root), found, odd)
}

/// The earlier system's database is its own: ours must not be opened there.
fn drop_earlier_database(root: &Node, file: &Path, odd: &mut Vec<String>) {
    for (_, node) in root.entries().filter(|(key, _)| *key == "database") {
        node.dropped.set(true);
        odd.push(format!("{}:{}: database: is the earlier system's; not opened", file.display(), node.line));
    }
}

/// Adds where the key was set.
fn placed(problem: Problem, origins: &Origins) -> Problem {
    let Some(key) = problem.key.clone() else { return problem };
    match origins.of(&key) {
        Origin::File(file, line) => problem.at(&file, Some(line)),
        Origin::Environment(name) => problem.key(name),
        Origin::Default => match origins.around(&key) {
            Some((file, line)) => problem.at(&file, Some(line)),
            None => problem,
        },
    }
}

/// Keys that a running daemon cannot change.
fn needs_restart(key: &str) -> bool {
    ["socket", "socket_mode", "socket_group", "computer.name"].contains(&key)
        || key == "database"
        || key.starts_with("database.")
}

impl Loaded {
    /// Keys whose values differ between two configs, and those of them that need a restart. Secrets by name.
    pub fn differences(old: &Self, new: &Self) -> (Vec<String>, Vec<String>) {
        let before: BTreeMap<_, _> = show::leaves(&old.config).into_iter().collect();
        let after: BTreeMap<_, _> = show::leaves(&new.config).into_iter().collect();
        let mut changed: Vec<String> = before
            .keys()
            .chain(after.keys())
            .filter(|key| before.get(*key) != after.get(*key))
            .cloned()
            .chain(old.secrets.differences(&new.secrets))
            .collect();
        // Shown masked, so compared here.
        if old.config.database.url != new.config.database.url {
            changed.push("database.url".to_owned());
        }
        changed.sort();
        changed.dedup();
        let restart = changed.iter().filter(|key| needs_restart(key)).cloned().collect();
        (changed, restart)
    }
}
