//! The folder of documents read, and read again: only what changed since is opened. Blocks; runs on a thread where it
//! may. Whatever lies in the folder, reading it ends, follows no link, and holds a bounded amount.

use crate::config::front_matter;
use crate::domain::document::{DocProblem, FILE_BYTES_MAX};
use crate::domain::library::Shelved;
use crate::platform::beneath::{Folder, Kind, Stamp};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Documents that are read, at most.
pub const FILES_MAX: usize = 10_000;
/// Names that are looked at, at most: documents, folders and whatever else lies there.
const NAMES_MAX: usize = 100_000;
/// Folders in each other, at most.
const DEPTH_MAX: usize = 16;
/// Bytes of a path below the folder, at most.
const PATH_BYTES_MAX: usize = 1_024;
/// Problems that are kept; the rest is counted.
pub const PROBLEMS_MAX: usize = 1_000;
/// A file that changed less than so many seconds before it was read is read once more: it may have changed twice
/// within one step of the file system's clock.
const SETTLED_SECONDS: i64 = 2;

/// What is known of the folder from the last time.
#[derive(Debug, Default)]
pub struct Tree {
    root: PathBuf,
    files: HashMap<String, Known>,
    /// What is wrong with the tree itself.
    problems: Problems,
}

/// One file.
#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    settled: bool,
    read: Result<Arc<Shelved>, Vec<DocProblem>>,
}

/// Problems, the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// Those that are kept.
    pub first: Vec<DocProblem>,
    /// How many more there were.
    pub more: usize,
}

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: DocProblem) {
        if self.first.len() < PROBLEMS_MAX {
            self.first.push(problem);
        } else {
            self.more += 1;
        }
    }
}

impl Extend<DocProblem> for Problems {
    fn extend<I: IntoIterator<Item = DocProblem>>(&mut self, problems: I) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl Tree {
    /// Reads the folder again. `true` if anything is otherwise than before.
    pub fn read(&mut self, root: &Path) -> bool {
        let moved = self.root != root;
        let before = if moved { HashMap::new() } else { std::mem::take(&mut self.files) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut walk = Walk {
            before: &before,
            files: HashMap::with_capacity(before.len()),
            problems: Problems::default(),
            names_left: NAMES_MAX,
            now: i64::try_from(now).unwrap_or(i64::MAX),
            changed: moved,
        };
        match Folder::open(root) {
            Ok(folder) => walk.folder(&folder, "", 1),
            // No folder, no documents: many have none.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                walk.wrong("", &format!("the folder {} cannot be read: {}", root.display(), words(&error)))
            }
        }
        let Walk { files, problems, changed, .. } = walk;
        let changed = changed || files.len() != before.len() || problems != self.problems;
        *self = Self { root: root.to_owned(), files, problems };
        changed
    }

    /// The documents, in no order, and what is wrong with files and folders.
    pub fn found(&self) -> (Vec<Arc<Shelved>>, Problems) {
        let mut problems = self.problems.clone();
        let mut found = Vec::with_capacity(self.files.len());
        let mut broken: Vec<&DocProblem> = Vec::new();
        for known in self.files.values() {
            match &known.read {
                Ok(shelved) => found.push(Arc::clone(shelved)),
                Err(wrong) => broken.extend(wrong),
            }
        }
        broken.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
        problems.extend(broken.into_iter().cloned());
        (found, problems)
    }
}

struct Walk<'b> {
    before: &'b HashMap<String, Known>,
    files: HashMap<String, Known>,
    problems: Problems,
    names_left: usize,
    /// Seconds since 1970.
    now: i64,
    changed: bool,
}

impl Walk<'_> {
    fn wrong(&mut self, path: &str, message: &str) {
        let path = if path.is_empty() { "." } else { path };
        self.problems.push(DocProblem {
            path: path.to_owned(),
            line: None,
            key: None,
            message: message.to_owned(),
        });
    }

    fn folder(&mut self, folder: &Folder, path: &str, depth: usize) {
        let (names, more) = match folder.names(self.names_left) {
            Ok(names) => names,
            Err(error) => return self.wrong(path, &format!("cannot be read: {}", words(&error))),
        };
        self.names_left -= names.len();
        for name in names {
            // What begins with a point is another program's: version control, editors, file managers.
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let shown = || below(&name.to_string_lossy().escape_debug().to_string());
            let kind = match folder.look(&name) {
                Ok(kind) => kind,
                // Gone meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    self.wrong(&shown(), &format!("cannot be looked at: {}", words(&error)));
                    continue;
                }
            };
            if matches!(kind, Kind::File(_) | Kind::Other) && !is_document(&name) {
                continue;
            }
            let Some(name_text) = name.to_str().filter(|name| !name.chars().any(char::is_control)) else {
                self.wrong(&shown(), "its name is not plain UTF-8; left out");
                continue;
            };
            let here = below(name_text);
            if here.len() > PATH_BYTES_MAX {
                let shown: String = shown().chars().take(200).collect();
                self.wrong(&shown, "its path is longer than 1,024 bytes; left out");
                continue;
            }
            match kind {
                Kind::Folder if depth == DEPTH_MAX => {
                    self.wrong(&here, &format!("lies deeper than {DEPTH_MAX} folders; left out"));
                }
                Kind::Folder => match folder.enter(&name) {
                    Ok(inner) => self.folder(&inner, &here, depth + 1),
                    // It was there a moment ago.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => self.wrong(&here, &format!("cannot be read: {}", words(&error))),
                },
                Kind::File(stamp) => self.file(folder, &name, here, stamp),
                Kind::Link => self.wrong(&here, "is a symbolic link; links are not followed"),
                Kind::Other => self.wrong(&here, "is not a regular file; left out"),
            }
        }
        if more {
            self.wrong(path, &format!("more than {NAMES_MAX} names were found; the rest is left out"));
        }
    }

    fn file(&mut self, folder: &Folder, name: &OsStr, path: String, stamp: Stamp) {
        if self.files.len() == FILES_MAX {
            return self.wrong(&path, &format!("is beyond the first {FILES_MAX} documents; left out"));
        }
        let before = self.before.get(&path);
        if let Some(known) = before.filter(|known| known.settled && known.stamp == stamp) {
            self.files.insert(path, known.clone());
            return;
        }
        let (bytes, stamp) = match folder.read(name, FILE_BYTES_MAX) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.wrong(&path, &format!("cannot be read: {}", words(&error))),
        };
        let read = front_matter::parse(&path, &bytes).map(|read| Arc::new(read.shelved));
        self.changed |= before.is_none_or(|known| known.read != read);
        let settled = self.now - stamp.changed() >= SETTLED_SECONDS;
        self.files.insert(path, Known { stamp, settled, read });
    }
}

fn is_document(name: &OsStr) -> bool {
    name.as_encoded_bytes().ends_with(b".md")
}

/// What the system says, without its number.
fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => "the daemon's user may not".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FILES_MAX, Tree};
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn write(root: &Path, path: &str, id: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("---\nid: {id}\ndescription: about\ntype: guide\n---\n# {id}\n")).unwrap();
    }

    fn ids(tree: &Tree) -> Vec<String> {
        let mut ids: Vec<String> = tree.found().0.iter().map(|one| one.document.id.to_string()).collect();
        ids.sort();
        ids
    }

    fn problems(tree: &Tree) -> Vec<String> {
        tree.found().1.first.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whatever_lies_there_the_good_ones_stay() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("docs");
        write(temp.path(), "outside.md", "outside");
        write(&root, "good.md", "good");
        write(&root, "sub/folder/too.md", "too");
        write(&root, ".git/x.md", "git");
        write(&root, "picture.png", "png");
        fs::write(root.join("broken.md"), "---\nid: [\n---\n").unwrap();
        fs::write(root.join("large.md"), vec![b'x'; 300 * 1024]).unwrap();
        fs::write(root.join("binary.md"), [0xff, 0xfe]).unwrap();
        symlink(temp.path().join("outside.md"), root.join("link.md")).unwrap();
        symlink(&root, root.join("circle")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe.md"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        write(&root, "new\nline.md", "newline");
        fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff.md")), "x").unwrap();
        let deep = "d/".repeat(20);
        write(&root, &format!("{deep}deep.md"), "deep");
        let mut tree = Tree::default();
        assert!(tree.read(&root));
        assert_eq!(ids(&tree), ["good", "too"]);
        let said = problems(&tree);
        let has = |part: &str| assert!(said.iter().any(|one| one.contains(part)), "{part}: {said:#?}");
        has("circle: is a symbolic link");
        has("link.md: is a symbolic link");
        has("pipe.md: is not a regular file");
        has("new\\nline.md: its name is not plain UTF-8");
        has("\u{fffd}.md: its name is not plain UTF-8");
        has("d/d/d/d: lies deeper than 16 folders");
        has("broken.md:3: is not valid YAML");
        has("large.md: is larger than 256 KiB");
        has("binary.md:1: is not UTF-8");
        assert_eq!(said.len(), 9, "{said:#?}");
        assert!(said.iter().all(|one| !one.chars().any(char::is_control)));
    }

    #[test]
    fn each_kind_of_change_is_seen_and_nothing_else_is_one() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let mut tree = Tree::default();
        assert!(tree.read(root), "the first time");
        write(root, "a.md", "a");
        assert!(tree.read(root));
        assert!(!tree.read(root), "nothing happened");
        write(root, "a.md", "b");
        assert!(tree.read(root), "written in place, as long as before, a moment later");
        assert_eq!(ids(&tree), ["b"]);
        write(root, "next", "c");
        fs::rename(root.join("next"), root.join("a.md")).unwrap();
        assert!(tree.read(root), "replaced at once");
        assert_eq!(ids(&tree), ["c"]);
        fs::rename(root.join("a.md"), root.join("z.md")).unwrap();
        assert!(tree.read(root), "another name");
        assert_eq!((ids(&tree), tree.found().0[0].path.as_str()), (vec!["c".to_owned()], "z.md"));
        fs::write(root.join("z.md"), "broken").unwrap();
        assert!(tree.read(root));
        assert_eq!((ids(&tree).len(), problems(&tree).len()), (0, 1));
        fs::remove_file(root.join("z.md")).unwrap();
        assert!(tree.read(root), "gone");
        assert_eq!(problems(&tree), Vec::<String>::new());
        assert!(tree.read(&root.join("none")), "another folder, and it is not there");
        fs::write(root.join("file"), "").unwrap();
        assert!(tree.read(&root.join("file")));
        assert_eq!(problems(&tree).len(), 1, "a file is no folder");
    }

    #[test]
    fn too_many_are_named_and_the_first_stay() {
        let temp = tempfile::tempdir().unwrap();
        for n in 0..FILES_MAX + 3 {
            fs::write(
                temp.path().join(format!("{n:05}.md")),
                format!("---\nid: d{n}\ndescription: d\ntype: t\n---\n"),
            )
            .unwrap();
        }
        let mut tree = Tree::default();
        tree.read(temp.path());
        assert_eq!(tree.found().0.len(), FILES_MAX);
        let said = problems(&tree);
        assert_eq!(said[0], "10000.md: is beyond the first 10000 documents; left out");
        assert_eq!(said.len(), 3);
    }
}
