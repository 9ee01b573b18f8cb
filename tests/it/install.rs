//! `bin/install-system.sh` in a staged tree (`--root`), on a Linux and on a macOS that a stand-in for `uname` claims to
//! be: twice is once, half is mended, nothing happens where it must not. What needs a booted systemd is in
//! tests/system. Below are the units, and the roles on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

mod plist;
mod postgres;
mod unit;

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use teleclaude::config::load::{self, Loaded};
use teleclaude::config::paths::{Environment, Os};
use teleclaude::domain::caller::Role;

/// A uid that no system gives to anybody.
const SOMEBODY: u32 = 61_021;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Stands in for both programs: the script only asks for help texts.
const PROGRAM: &str = "#!/bin/sh
case $1 in
--version) echo 1 ;;
completions) echo \"completions for $2\" ;;
man) for page in teleclaude teleclaude-runner; do echo \"page of $page\" >\"$2/$page.1\"; done ;;
*) exit 2 ;;
esac
";

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    sha256: String,
}

type Tree = BTreeMap<String, Entry>;

/// A copy of the sources, programs to install, and a staged machine.
struct Stage {
    dir: tempfile::TempDir,
    uid: Option<u32>,
}

impl Stage {
    fn linux() -> Self {
        let stage = Self::empty("Linux");
        stage.write("root/etc/os-release", "NAME=\"Some Linux\"\nID=somelinux\nID_LIKE=\"ubuntu debian\"\n");
        stage
    }

    fn macos() -> Self {
        Self::empty("Darwin")
    }

    /// One where `uname -s` says this.
    fn empty(system: &str) -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap(), uid: None };
        fs::set_permissions(stage.dir.path(), Permissions::from_mode(0o755)).unwrap();
        for folder in ["root", "bins", "fakes", "source/bin"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        for (path, text) in [
            ("bins/teleclaude", PROGRAM.to_owned()),
            ("bins/teleclaude-runner", PROGRAM.to_owned()),
            ("fakes/uname", format!("#!/bin/sh\necho {system}\n")),
        ] {
            stage.write(path, &text);
            fs::set_permissions(stage.path(path), Permissions::from_mode(0o755)).unwrap();
        }
        let script = stage.path("source/bin/install-system.sh");
        fs::copy(repository().join("bin/install-system.sh"), script).unwrap();
        let copied =
            Command::new("cp").arg("-R").arg(repository().join("etc")).arg(stage.path("source")).status();
        assert!(copied.unwrap().success());
        stage
    }

    /// The same for a user who is not root. Whoever runs the tests, if that is not root.
    fn without_root(mut self) -> Self {
        if nix::unistd::geteuid().is_root() {
            self.uid = Some(SOMEBODY);
            for folder in ["", "root", "root/etc"] {
                let path = self.path(folder);
                if path.exists() {
                    std::os::unix::fs::chown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
                }
            }
        }
        self
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// A path of the staged machine.
    fn at(&self, path: &str) -> PathBuf {
        self.path("root").join(path.trim_start_matches('/'))
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The script with these arguments alone.
    fn bare(&self, args: &[&str], input: &str) -> Output {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("fakes").display());
        let mut command = Command::new("/bin/sh");
        command.arg(self.path("source/bin/install-system.sh")).args(args);
        command.env_clear().env("PATH", path).env("TMPDIR", "/tmp").current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().unwrap();
        // It may end without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// The script in the staged machine, told also where the programs are.
    fn script(&self, args: &[&str]) -> Output {
        self.script_with(args, "")
    }

    fn script_with(&self, args: &[&str], input: &str) -> Output {
        let (root, bins) = (self.path("root"), self.path("bins"));
        let mut all = vec!["--root", root.to_str().unwrap(), "--bin-dir", bins.to_str().unwrap()];
        all.extend(args);
        self.bare(&all, input)
    }

    #[track_caller]
    fn install(&self, args: &[&str]) -> String {
        let output = self.script(args);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Everything in the staged machine.
    fn tree(&self) -> Tree {
        let root = self.path("root");
        let mut tree = Tree::new();
        walk(&root, &root, &mut tree);
        tree
    }

    /// The config as the daemon on that machine would read it.
    fn load(&self, os: Os) -> Loaded {
        let env = Environment {
            vars: BTreeMap::new(),
            home: "/nonexistent".into(),
            uid: SOMEBODY,
            hostname: "box".to_owned(),
            os,
            root: self.path("root"),
            socket: None,
        };
        load::load(&env).unwrap()
    }
}

fn walk(root: &Path, folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let (kind, bytes) = if meta.is_dir() {
            ("folder", Vec::new())
        } else if meta.is_symlink() {
            ("link", fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
        } else {
            ("file", fs::read(&path).unwrap())
        };
        let entry = Entry {
            kind,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            sha256: format!("{:x?}", Sha256::digest(&bytes)),
        };
        tree.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned(), entry);
        if meta.is_dir() {
            walk(root, &path, tree);
        }
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What was refused changed nothing and says so.
#[track_caller]
fn refused(stage: &Stage, args: &[&str], why: &str) {
    let before = stage.tree();
    let output = stage.script(args);
    let said = said(&output);
    assert!(
        !output.status.success() && said.contains(why) && said.contains("Nothing was changed."),
        "{args:?}: {said}"
    );
    assert_eq!(stage.tree(), before, "{args:?}");
}

fn ours(tree: &Tree) -> Vec<&String> {
    tree.keys().filter(|path| path.contains("teleclaude")).collect()
}

#[test]
fn the_whole_of_it_on_linux() {
    let stage = Stage::linux();
    let said = stage.install(&["--admin", "ann"]);
    assert!(said.contains("systemctl enable --now teleclaude.socket"), "{said}");
    let tree = stage.tree();
    let files: Vec<String> = tree
        .iter()
        .filter(|(path, entry)| entry.kind == "file" || path.ends_with("teleclaude") || path.ends_with(".d"))
        .map(|(path, entry)| format!("{:o} {path}", entry.mode))
        .collect();
    assert_eq!(
        files,
        [
            "644 etc/os-release",
            "755 etc/teleclaude",
            "755 etc/teleclaude/config.d",
            "644 etc/teleclaude/config.yml",
            "600 etc/teleclaude/secrets.yml",
            "755 usr/local/bin/teleclaude",
            "755 usr/local/bin/teleclaude-runner",
            "644 usr/local/lib/systemd/system/teleclaude-runner.socket",
            "644 usr/local/lib/systemd/system/teleclaude-runner@.service",
            "644 usr/local/lib/systemd/system/teleclaude.service",
            "644 usr/local/lib/systemd/system/teleclaude.socket",
            "755 usr/local/lib/sysusers.d",
            "644 usr/local/lib/sysusers.d/teleclaude.conf",
            "755 usr/local/lib/tmpfiles.d",
            "644 usr/local/lib/tmpfiles.d/teleclaude.conf",
            "644 usr/local/share/bash-completion/completions/teleclaude",
            "755 usr/local/share/fish/vendor_completions.d",
            "644 usr/local/share/fish/vendor_completions.d/teleclaude.fish",
            "644 usr/local/share/man/man1/teleclaude-runner.1",
            "644 usr/local/share/man/man1/teleclaude.1",
            "755 usr/local/share/teleclaude",
            "644 usr/local/share/teleclaude/examples/run-as-service.conf",
            "644 usr/local/share/teleclaude/examples/teleclaude.sql",
            "644 usr/local/share/teleclaude/gemini.json",
            "644 usr/local/share/zsh/site-functions/_teleclaude",
            "700 var/lib/teleclaude",
            "750 var/log/teleclaude",
        ]
    );
    let unit = fs::read_to_string(stage.at("usr/local/lib/systemd/system/teleclaude.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/teleclaude daemon\n"), "{unit}");
    let loaded = stage.load(Os::Linux);
    let people = &loaded.config.people;
    assert_eq!(people.len(), 1);
    assert_eq!((people[0].os_username.as_deref(), people[0].role), (Some("ann"), Role::Admin));
    // Otherwise it is the example, every key at its default.
    assert_eq!(loaded.config.docs.path, Path::new("/usr/local/share/teleclaude/docs"));
    assert_eq!(loaded.config.database.path, Path::new("/var/lib/teleclaude/teleclaude.db"));
}

#[test]
fn the_whole_of_it_on_macos() {
    let stage = Stage::macos();
    let said = stage.install(&["--admin", "ann"]);
    assert!(said.contains("launchctl bootstrap system"), "{said}");
    for (path, mode) in [
        ("Library/LaunchDaemons/ai.instrukt.teleclaude.plist", 0o644),
        ("Library/LaunchDaemons/ai.instrukt.teleclaude-runner.plist", 0o644),
        ("usr/local/etc/teleclaude/config.yml", 0o644),
        // launchd hands no secrets over: the service's group reads them.
        ("usr/local/etc/teleclaude/secrets.yml", 0o640),
        ("usr/local/var/lib/teleclaude", 0o700),
        ("usr/local/var/log/teleclaude", 0o750),
        ("usr/local/var/run/teleclaude", 0o750),
    ] {
        assert_eq!(stage.tree().get(path).map(|entry| entry.mode), Some(mode), "{path}");
    }
    assert!(!stage.at("etc/teleclaude").exists());
    let config = stage.load(Os::MacOs).config;
    assert_eq!(config.database.path, Path::new("/usr/local/var/lib/teleclaude/teleclaude.db"));
    assert_eq!(config.people[0].name, "ann");
    let text = fs::read_to_string(stage.at("usr/local/etc/teleclaude/config.yml")).unwrap();
    assert!(text.contains("target: stderr") && text.contains("/usr/local/var/lib/"), "{text}");
    assert!(!text.contains("/usr/local/usr/local"), "{text}");
    let before = stage.tree();
    stage.install(&["--admin", "ann"]);
    assert_eq!(stage.tree(), before);
    let output = stage.script(&["--purge", "--yes"]);
    assert!(output.status.success(), "{}", self::said(&output));
    assert_eq!(ours(&stage.tree()), [""; 0]);
}

#[test]
fn twice_is_once_and_root_is_not_needed_for_it() {
    let mut contents = Vec::new();
    for stage in [Stage::linux(), Stage::linux().without_root()] {
        stage.install(&[]);
        let first = stage.tree();
        let changed =
            |stage: &Stage| fs::metadata(stage.at("usr/local/bin/teleclaude")).unwrap().mtime_nsec();
        let installed = changed(&stage);
        let said = stage.install(&[]);
        assert!(said.contains("nothing was changed"), "{said}");
        assert_eq!(stage.tree(), first);
        assert_eq!(changed(&stage), installed, "not even written again");
        contents.push(
            first.into_iter().map(|(path, entry)| (path, entry.mode, entry.sha256)).collect::<Vec<_>>(),
        );
    }
    assert_eq!(contents[0], contents[1]);
}

#[test]
fn a_dry_run_only_talks() {
    let stage = Stage::linux();
    let before = stage.tree();
    let said = stage.install(&["--dry-run", "--admin", "ann"]);
    assert!(said.contains("would install") && !said.contains("\n  install"), "{said}");
    assert_eq!(stage.tree(), before);
    stage.install(&["--admin", "ann"]);
    let installed = stage.tree();
    assert!(stage.install(&["--dry-run"]).contains("nothing was changed"));
    for action in ["--uninstall", "--purge"] {
        assert!(stage.install(&["--dry-run", action]).contains("would remove"), "{action}");
        assert_eq!(stage.tree(), installed, "{action}");
    }
}

#[test]
fn without_anything_staged_it_asks_for_root() {
    let stage = Stage::linux().without_root();
    // On a machine that it knows and on one that it does not: either way it stops before the first change.
    let bins = stage.path("bins");
    for args in [&["--bin-dir", bins.to_str().unwrap()][..], &["--uninstall"], &["--purge", "--yes"]] {
        let output = stage.bare(args, "");
        assert!(
            !output.status.success() && said(&output).contains("Nothing was changed."),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn an_unknown_system_is_left_alone() {
    let plan9 = Stage::empty("Plan9");
    refused(&plan9, &[], "this system is not known: Plan9");
    let other = Stage::empty("Linux");
    other.write("root/etc/os-release", "ID=arch\nNAME=\"debian it is not\"\n");
    for args in [&[][..], &["--dry-run"], &["--uninstall"], &["--purge", "--yes"]] {
        refused(&other, args, "this system is not known: arch");
    }
    for known in ["ID=debian", "ID='ubuntu'", "ID=fedora", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\""] {
        let stage = Stage::empty("Linux");
        stage.write("root/etc/os-release", known);
        stage.install(&[]);
    }
}

#[test]
fn wrong_words_change_nothing() {
    let stage = Stage::linux();
    for (args, why) in [
        (&["--frobnicate"][..], "what is --frobnicate?"),
        (&["--admin"], "--admin wants a value"),
        (&["--admin", ""], "--admin wants a value"),
        (&["--admin", "ann\" , role: admin }"], "no user name"),
        (&["--admin", "-rf"], "no user name"),
        (&["--prefix", "opt"], "absolute path"),
        (&["--prefix", "/usr"], "is for packages"),
        (&["--prefix", "/opt/a|b"], "letters, digits"),
        (&["--bin-dir", "/nonexistent"], "is not there"),
    ] {
        refused(&stage, args, why);
    }
    // A program that does not run, and a tree that is not whole.
    stage.write("bins/teleclaude", "#!/bin/sh\nexit 1\n");
    refused(&stage, &[], "does not run here");
    stage.write("bins/teleclaude", PROGRAM);
    fs::remove_file(stage.path("source/etc/secrets.yml")).unwrap();
    refused(&stage, &[], "is not there");
}

#[test]
fn what_is_missing_or_wrong_is_mended() {
    let stage = Stage::linux();
    stage.install(&["--admin", "ann"]);
    let whole = stage.tree();
    // One by one.
    for (path, entry) in whole.iter().filter(|(path, _)| path.contains("teleclaude")) {
        let at = stage.at(path);
        if entry.kind == "file" {
            fs::remove_file(at).unwrap()
        } else {
            fs::remove_dir_all(at).unwrap()
        }
        stage.install(&["--admin", "ann"]);
        assert_eq!(stage.tree(), whole, "{path}");
    }
    // All at once, and in other ways.
    let chmod = |path: &str, mode| fs::set_permissions(stage.at(path), Permissions::from_mode(mode)).unwrap();
    chmod("etc/teleclaude", 0o777);
    chmod("etc/teleclaude/config.yml", 0o666);
    chmod("etc/teleclaude/secrets.yml", 0o644);
    chmod("var/lib/teleclaude", 0o755);
    chmod("usr/local/bin/teleclaude", 0o644);
    stage.write("root/usr/local/lib/systemd/system/teleclaude.service", "half a u");
    stage.write("root/usr/local/lib/systemd/system/teleclaude.socket.teleclaude-new", "half a u");
    fs::remove_file(stage.at("usr/local/bin/teleclaude-runner")).unwrap();
    symlink("/bin/sh", stage.at("usr/local/bin/teleclaude-runner")).unwrap();
    // It says what would be, first, and is right.
    let planned = stage.install(&["--dry-run"]);
    let done = stage.install(&[]);
    let steps = |text: &str, mark: &str| {
        text.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut planned = steps(&planned, "would ");
    // The modes of what is written anew come with it.
    planned.retain(|step| !step.starts_with("set the mode of") || !step.contains("/bin/teleclaude-runner"));
    let done: Vec<String> =
        steps(&done, "  ").into_iter().filter(|step| !step.starts_with(['1', '2', '3', '-', ' '])).collect();
    assert_eq!(planned, done);
    let mut expected = whole;
    // What others may do is taken away, and a group that may read may go on.
    expected.get_mut("etc/teleclaude/secrets.yml").unwrap().mode = 0o640;
    assert_eq!(stage.tree(), expected);
}

#[test]
fn one_that_stopped_half_way_goes_on() {
    let stage = Stage::linux();
    stage.write("root/usr/local/lib/systemd", "in the way");
    let output = stage.script(&["--admin", "ann"]);
    assert!(!output.status.success() && said(&output).contains("stopped half-way"), "{}", said(&output));
    assert!(!said(&output).contains("Nothing was changed"), "{}", said(&output));
    fs::remove_file(stage.at("usr/local/lib/systemd")).unwrap();
    stage.install(&["--admin", "ann"]);
    let at_once = Stage::linux();
    at_once.install(&["--admin", "ann"]);
    assert_eq!(stage.tree(), at_once.tree());
}

#[test]
fn what_people_wrote_is_kept() {
    let stage = Stage::linux();
    stage.write("root/etc/teleclaude/config.yml", "log: { level: debug }\n");
    stage.write("root/etc/teleclaude/secrets.yml", "OPENAI_API_KEY: invented-example\n");
    stage.write("root/etc/teleclaude/config.d/50-more.yml", "{}\n");
    let mode = |path: &str, mode| fs::set_permissions(stage.at(path), Permissions::from_mode(mode)).unwrap();
    mode("etc/teleclaude/config.yml", 0o640);
    mode("etc/teleclaude/secrets.yml", 0o640);
    let said = stage.install(&["--admin", "ann"]);
    assert!(said.contains("--admin has no effect"), "{said}");
    stage.write("root/usr/local/share/teleclaude/docs/house-rules.md", "# Be kind\n");
    stage.write("root/var/lib/teleclaude/teleclaude.db", "rows\n");
    let before = stage.tree();
    assert_eq!(before["etc/teleclaude/config.yml"].mode, 0o640, "who narrowed it meant it");
    assert_eq!(before["etc/teleclaude/secrets.yml"].mode, 0o640, "the group of the service may read");
    let said = stage.install(&["--uninstall"]);
    assert!(said.contains("kept:"), "{said}");
    let mut left = stage.tree();
    let kept = [
        "etc/teleclaude/config.yml",
        "etc/teleclaude/config.d/50-more.yml",
        "etc/teleclaude/secrets.yml",
        "usr/local/share/teleclaude/docs/house-rules.md",
        "var/lib/teleclaude/teleclaude.db",
    ];
    for path in kept {
        assert_eq!(left.remove(path).as_ref(), before.get(path), "{path}");
    }
    left.retain(|path, entry| entry.kind == "file" && path.contains("teleclaude"));
    assert!(left.is_empty(), "{left:?}");
    // And comes to life again.
    stage.install(&[]);
    assert_eq!(stage.tree(), before);
}

#[test]
fn a_purge_asks_and_then_leaves_nothing() {
    let stage = Stage::linux();
    stage.install(&["--admin", "ann"]);
    stage.write("root/var/lib/teleclaude/recordings/a.cast", "{}\n");
    stage.write("root/usr/local/share/teleclaude/docs/house-rules.md", "# Be kind\n");
    stage.write("root/etc/systemd/system/teleclaude.service.d/override.conf", "[Service]\n");
    let before = stage.tree();
    for answer in ["", "no\n", "y\n", "yes please\n"] {
        let output = stage.script_with(&["--purge"], answer);
        assert!(
            !output.status.success() && said(&output).contains("Nothing was changed."),
            "{}",
            said(&output)
        );
        assert_eq!(stage.tree(), before, "{answer}");
    }
    let output = stage.script_with(&["--purge"], "yes\n");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(ours(&stage.tree()), [""; 0]);
    let again = stage.install(&["--purge", "--yes"]);
    assert!(again.contains("There was nothing to remove."), "{again}");
}

#[test]
fn another_prefix_is_used_throughout() {
    let stage = Stage::linux();
    stage.install(&["--prefix", "/opt/tools/teleclaude"]);
    for (unit, start) in [
        ("teleclaude.service", "ExecStart=/opt/tools/teleclaude/bin/teleclaude daemon\n"),
        ("teleclaude-runner@.service", "ExecStart=/opt/tools/teleclaude/bin/teleclaude-runner\n"),
    ] {
        let text = fs::read_to_string(stage.at("usr/local/lib/systemd/system").join(unit)).unwrap();
        assert!(text.contains(start), "{text}");
    }
    assert!(stage.at("opt/tools/teleclaude/share/teleclaude/docs").is_dir());
    assert!(!stage.at("usr/local/bin").exists() && !stage.at("usr/local/share").exists());
    let docs = &stage.load(Os::Linux).config.docs.path;
    assert_eq!(docs, Path::new("/opt/tools/teleclaude/share/teleclaude/docs"));
    stage.install(&["--prefix", "/opt/tools/teleclaude", "--purge", "--yes"]);
    let left = stage.tree();
    let files: Vec<_> =
        left.iter().filter(|(_, entry)| entry.kind != "folder").map(|(path, _)| path).collect();
    assert_eq!(files, ["etc/os-release"]);
}

#[test]
fn postgres_is_written_into_a_new_config_and_a_staged_tree_touches_no_server() {
    let stage = Stage::linux();
    let output = stage.script(&["--with-postgres"]);
    assert!(!output.status.success() && said(&output).contains("Not done:"), "{}", said(&output));
    let database = &stage.load(Os::Linux).config.database;
    assert!(format!("{:?}", database.engine).to_lowercase().contains("postgres"), "{:?}", database.engine);
    assert!(!database.auto_migrate, "the owner's role migrates");
}

#[test]
fn the_scripts_pass_shellcheck() {
    let scripts = ["bin/install-system.sh", "bin/test", "bin/check-macos"];
    match Command::new("shellcheck").args(scripts).current_dir(repository()).output() {
        Ok(output) => assert!(output.status.success(), "{}", said(&output)),
        Err(_) => eprintln!("the_scripts_pass_shellcheck: skipped, there is no shellcheck here"),
    }
}
