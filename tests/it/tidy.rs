//! The architecture as data: which folder may import which, and which crate stays in which room.
//! A module-level `use` graph read from the text; milliseconds, no tool. Change it on purpose or not at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folder of `src/` -> the folders it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("wire", &["domain"]),
    ("config", &["domain"]),
    ("agent", &["domain", "config"]),
    ("platform", &[]),
    ("store", &["domain", "config"]),
    ("runner", &["domain", "config", "agent", "platform"]),
    ("host", &["domain", "platform", "runner"]),
    ("usecase", &["domain", "wire", "store", "agent", "config", "host"]),
    ("daemon", &["domain", "wire", "config", "agent", "platform", "store", "runner", "host", "usecase"]),
    ("client", &["domain", "wire", "config"]),
    ("bridge", &["domain", "wire", "config", "client"]),
    ("install", &["domain", "wire", "config", "agent", "platform", "store", "host", "client"]),
    // The commands are the outermost layer: besides the client they start the daemon and the host.
    (
        "cli",
        &["domain", "wire", "config", "client", "bridge", "install", "daemon", "host", "store", "platform"],
    ),
    ("lib", &[]),
    ("main", &["cli"]),
    ("bin", &["runner"]),
];

/// Crate -> the folders that may name it.
const ROOMS: &[(&str, &[&str])] = &[
    ("sea_orm", &["store"]),
    ("migrations", &["store"]),
    (
        "nix",
        &["platform", "daemon/peer.rs", "daemon/listen.rs", "host", "runner", "config/paths.rs", "bridge"],
    ),
    ("libc", &["platform", "daemon/peer.rs", "daemon/listen.rs", "host", "runner", "bridge"]),
    ("rmcp", &["daemon/mcp"]),
    ("prometheus_client", &["daemon/metrics.rs"]),
    ("axum", &["daemon/http"]),
    ("figment", &["config"]),
    ("serde_yaml", &["config"]),
    ("users", &["daemon/peer.rs", "platform", "runner"]),
    ("clap", &["cli", "bridge/clients.rs"]),
    ("avt", &["host"]),
    ("jiff", &["domain/deadline.rs", "config/zone.rs"]),
];

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn each_source(mut check: impl FnMut(&str, &str)) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    found.sort();
    assert!(found.len() > 20, "the sources were not found");
    for path in found {
        let name = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        check(&name, &std::fs::read_to_string(&path).unwrap());
    }
}

fn folder_of(name: &str) -> &str {
    name.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Lines of code: comments and what stands behind `#[cfg(test)]` at the end of a file are left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| *line != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(i, line)| (i + 1, line))
}

#[test]
fn folders_import_only_what_they_may() {
    let mut wrong = BTreeSet::new();
    each_source(|name, text| {
        let folder = folder_of(name);
        let allowed = MAY_IMPORT.iter().find(|(f, _)| *f == folder).map(|(_, a)| *a);
        let Some(allowed) = allowed else {
            wrong.insert(format!("{name}: the folder `{folder}` is not in the table"));
            return;
        };
        for (line, code) in code(text) {
            for (at, _) in code.match_indices("crate::") {
                let target: String =
                    code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = MAY_IMPORT.iter().any(|(f, _)| *f == target);
                if known && target != folder && !allowed.contains(&target.as_str()) {
                    wrong.insert(format!("{name}:{line}: `{folder}` may not import `{target}`"));
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crates_stay_in_their_rooms() {
    let mut wrong = BTreeSet::new();
    each_source(|name, text| {
        for (line, code) in code(text) {
            for (krate, rooms) in ROOMS {
                let names = code.match_indices(&format!("{krate}::")).any(|(at, _)| {
                    let before = code[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if names && !rooms.iter().any(|room| name == *room || name.starts_with(&format!("{room}/"))) {
                    wrong.insert(format!("{name}:{line}: `{krate}` is not for this room"));
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a fuzz target takes by path it must have the crates for; that it is built is seen late.
#[test]
fn the_domain_can_be_fuzzed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = |file: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name.to_owned()));
        lines
            .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || "_-0123456789".contains(c)))
            .collect()
    };
    let (crates, fuzzed) = (named("Cargo.toml"), named("fuzz/Cargo.toml"));
    let mut wrong = BTreeSet::new();
    each_source(|name, text| {
        if folder_of(name) != "domain" || name.ends_with("/tests.rs") {
            return;
        }
        for krate in crates.iter().filter(|krate| !fuzzed.contains(*krate)) {
            let word = format!("{}::", krate.replace('-', "_"));
            if code(text).any(|(_, line)| {
                line.split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)))
                    .any(|path| path.starts_with(&word))
            }) {
                wrong.insert(format!("{name}: `{krate}` is not in fuzz/Cargo.toml"));
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is() {
    let mut wrong = BTreeSet::new();
    each_source(|name, text| {
        if !text.starts_with("//! ") {
            wrong.insert(name.to_owned());
        }
        if text.contains("To be written.") {
            wrong.insert(format!("{name}: is a stub"));
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_ignored_or_left_open() {
    let mut wrong = BTreeSet::new();
    each_source(|name, text| {
        for word in ["todo!(", "unimplemented!(", "#[ignore", "#[allow("] {
            if text.contains(word) {
                wrong.insert(format!("{name}: {word}"));
            }
        }
        for (line, code) in code(text) {
            let glob = code.trim_start().starts_with("use ") && code.trim_end().ends_with("::*;");
            if glob {
                wrong.insert(format!("{name}:{line}: a glob import"));
            }
        }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}
