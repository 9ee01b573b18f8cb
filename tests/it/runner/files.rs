//! Worktrees, and files that agents wrote: as the owner, and nothing else.

use crate::runner::machine::{
    ANN, BOB, Call, Machine, can_be_made, ended, folder, own, run_as, shell, write,
};
use std::fs;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use teleclaude::runner::message::{Exited, Open, Place, Reply, Request, Run, Which};

fn with_repository(machine: &Machine) -> Place {
    run_as(
        ANN,
        "/mnt/shop",
        "git init -q -b main . && git config user.email ann@example.org && git config user.name Ann && echo one > file && git add . && git commit -qm one",
    );
    assert!(machine.log().is_empty());
    shell().place
}

fn reply_to(machine: &Machine, request: Request) -> Reply {
    let mut call = machine.ask(&request, None);
    let reply = call.reply();
    assert_eq!(ended(&mut call.runner).code(), Some(0));
    reply
}

#[test]
fn a_worktree_is_added_run_in_and_removed_as_the_owner() {
    if !can_be_made("a_worktree_is_added_run_in_and_removed_as_the_owner") {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let machine = Machine::new("");
    let place = with_repository(&machine);
    // A hook that leaves something running keeps nobody.
    write("/mnt/shop/.git/hooks/post-checkout", ANN, "#!/bin/sh\necho $$ > /mnt/shop/hook\nsleep 600 &\n");
    fs::set_permissions("/mnt/shop/.git/hooks/post-checkout", Permissions::from_mode(0o755)).unwrap();
    let add = || reply_to(&machine, Request::AddWorktree(place.clone()));
    let Reply::Worktree { path, branch } = add() else { panic!("not added: {}", machine.log()) };
    assert!(path.starts_with("/mnt/home/ann/.local/share/teleclaude/worktrees/shop/"), "{path}");
    assert_eq!(branch, format!("teleclaude/{}", path.rsplit_once('/').unwrap().1));
    assert_eq!(fs::metadata(format!("{path}/file")).unwrap().uid(), ANN);
    assert_eq!(fs::metadata("/mnt/home/ann/.local").unwrap().mode() & 0o7777, 0o700);
    assert_eq!(add(), Reply::Worktree { path: path.clone(), branch: branch.clone() }, "twice is once");
    let run = Run { place: place.clone(), worktree: true, ..shell() };
    let (mut call, mut terminal, _) = machine.run(run);
    terminal.enter("echo here=$(pwd) on=$(git branch --show-current)");
    terminal.until(&format!("here={path} on={branch}"));
    terminal.enter("echo two > unsaved; exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    let remove = || reply_to(&machine, Request::RemoveWorktree(place.clone()));
    let Reply::Failed(why) = remove() else { panic!("removed what was not saved") };
    assert!(why.contains("contains modified or untracked files"), "{why}");
    assert!(Path::new(&path).join("unsaved").exists());
    fs::remove_file(format!("{path}/unsaved")).unwrap();
    assert_eq!(remove(), Reply::Removed);
    assert!(!Path::new(&path).exists());
    assert_eq!(remove(), Reply::Removed, "what is not there is removed");
    // The branch is still there, and comes back.
    assert_eq!(add(), Reply::Worktree { path: path.clone(), branch });
    fs::remove_dir_all(&path).unwrap();
    assert!(matches!(add(), Reply::Worktree { .. }), "removed behind git's back");
    assert!(Path::new(&path).join("file").exists());
}

#[test]
fn worktrees_that_cannot_be_are_refused_or_told() {
    if !can_be_made("worktrees_that_cannot_be_are_refused_or_told") {
        return;
    }
    let machine = Machine::new("");
    let place = with_repository(&machine);
    let plain = Place { uid: BOB, project: "plain".to_owned(), ..place.clone() };
    let refused = Reply::Refused("the project \"plain\" has no worktrees".to_owned());
    assert_eq!(reply_to(&machine, Request::AddWorktree(plain)), refused);
    let of_bob = Place { uid: BOB, ..place };
    let Reply::Failed(why) = reply_to(&machine, Request::AddWorktree(of_bob.clone())) else { panic!() };
    assert!(why.starts_with("git in /mnt/shop: Permission denied"), "{why}");
    assert_eq!(reply_to(&machine, Request::RemoveWorktree(of_bob)), Reply::Removed);
    run_as(ANN, "/mnt/shop", "rm -rf .git");
    let place = shell().place;
    let Reply::Failed(why) = reply_to(&machine, Request::AddWorktree(place)) else { panic!() };
    assert!(why.contains("not a git repository"), "{why}");
}

fn open(which: Which) -> Request {
    Request::Open(Open { uid: ANN, agent: "claude".to_owned(), which })
}

fn path(path: &str) -> Which {
    Which::Path(path.to_owned())
}

fn opened(call: &mut Call) -> (String, u64, String) {
    match call.opened() {
        (Reply::Opened { path, size }, Some(file)) => {
            let mut text = String::new();
            let mut file = File::from(file);
            file.read_to_string(&mut text).unwrap();
            assert!(file.write_all(b"x").is_err(), "for reading only");
            (path, size, text)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_the_owners_is_opened_by_path_or_by_name() {
    if !can_be_made("a_file_of_the_owners_is_opened_by_path_or_by_name") {
        return;
    }
    let machine = Machine::new("");
    let root = "/mnt/home/ann/.claude/projects";
    folder(&format!("{root}/p/deep"), ANN);
    write(&format!("{root}/p/a-17.jsonl"), ANN, "older\n");
    write(&format!("{root}/p/deep/b-17.jsonl"), ANN, "newer\n");
    write(&format!("{root}/p/other.jsonl"), ANN, "newest\n");
    fs::set_permissions("/mnt/home/ann/.claude", Permissions::from_mode(0o700)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    File::options().write(true).open(format!("{root}/p/a-17.jsonl")).unwrap().set_modified(old).unwrap();
    let mut call = machine.ask(&open(path("p/a-17.jsonl")), None);
    assert_eq!(opened(&mut call), ("p/a-17.jsonl".to_owned(), 6, "older\n".to_owned()));
    assert_eq!(ended(&mut call.runner).code(), Some(0));
    assert!(machine.log().ends_with(&format!("open uid={ANN}: opened\n")), "{}", machine.log());
    let mut call = machine.ask(&open(Which::NameContains("17".to_owned())), None);
    assert_eq!(opened(&mut call), ("p/deep/b-17.jsonl".to_owned(), 6, "newer\n".to_owned()));
}

#[test]
fn nothing_else_is_opened() {
    if !can_be_made("nothing_else_is_opened") {
        return;
    }
    let machine = Machine::new("");
    let root = "/mnt/home/ann/.claude/projects";
    folder(&format!("{root}/p"), ANN);
    let link =
        |target: &str, name: &str| std::os::unix::fs::symlink(target, format!("{root}/{name}")).unwrap();
    write("/mnt/outside", ANN, "outside");
    link("/mnt/outside", "p/link-9");
    link("/mnt", "away");
    link("p", "inside");
    write(&format!("{root}/p/file"), ANN, "");
    write(&format!("{root}/p/bobs-8"), BOB, "bob's");
    nix::unistd::mkfifo(Path::new(&format!("{root}/p/pipe-7")), nix::sys::stat::Mode::S_IRUSR).unwrap();
    own(&format!("{root}/p/pipe-7"), ANN);
    write(&format!("{root}/p/large"), ANN, "");
    File::options().write(true).open(format!("{root}/p/large")).unwrap().set_len((1 << 30) + 1).unwrap();
    let name = |part: &str| Which::NameContains(part.to_owned());
    let table = [
        (path("p/none"), "p/none: ENOENT"),
        (path("p/link-9"), "p/link-9: a link, or no folder, is on the way"),
        (path("away/outside"), "away/outside: a link, or no folder, is on the way"),
        (path("inside/file"), "inside/file: a link, or no folder, is on the way"),
        (path("p/file/x"), "p/file/x: a link, or no folder, is on the way"),
        (path("p"), "p: is not a regular file"),
        (path("p/pipe-7"), "p/pipe-7: is not a regular file"),
        (path("p/bobs-8"), "p/bobs-8: belongs to somebody else"),
        (path("p/large"), "p/large: is larger than 1 GiB"),
        (name("k-9"), "no file with \"k-9\" in its name"),
        (name("pipe-7"), "no file with \"pipe-7\" in its name"),
        (name("none"), "no file with \"none\" in its name"),
    ];
    for (which, expected) in table {
        let mut call = machine.ask(&open(which), None);
        let (reply, file) = call.opened();
        let Reply::Failed(why) = reply else { panic!("{reply:?}: not {expected}") };
        assert!(why.starts_with(expected) && file.is_none(), "{why}: not {expected}");
    }
    let shells = Request::Open(Open { uid: ANN, agent: "sh".to_owned(), which: path("p/file") });
    let expected = "the agent \"sh\" has no transcript of its own";
    assert_eq!(machine.ask(&shells, None).reply(), Reply::Refused(expected.to_owned()));
    // Too many entries, and too deep.
    folder(&format!("{root}/1/2/3/4/5/6/7/8"), ANN);
    write(&format!("{root}/1/2/3/4/5/6/7/inmost-6"), ANN, "in");
    write(&format!("{root}/1/2/3/4/5/6/7/8/tooout-6"), ANN, "out");
    let mut call = machine.ask(&open(name("t-6")), None);
    assert_eq!(opened(&mut call).0, "1/2/3/4/5/6/7/inmost-6");
    let bobs = Request::Open(Open { uid: BOB, agent: "claude".to_owned(), which: path("p/file") });
    assert!(matches!(machine.ask(&bobs, None).reply(), Reply::Failed(why) if why.contains("ENOENT")));
}
