//! Who and what is refused: people, things that the config has not, the config itself, descriptors, bytes.

use crate::runner::machine::{
    ANN, BOB, EVE, Machine, SERVICE, Terminal, agent, as_user, can_be_made, ended, mount, own, shell, write,
};
use std::fs;
use std::fs::{File, Permissions};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use teleclaude::domain::session::Profile;
use teleclaude::runner::message::{
    Exited, FRAME_BYTES_MAX, Native, Open, Place, Reply, Request, Run, Which, frame_length,
};

#[test]
fn who_and_what_is_refused() {
    if !can_be_made("who_and_what_is_refused") {
        return;
    }
    let machine = Machine::new("");
    machine.reconfigure("people:", "access: { deny: [bob] }\npeople:");
    let of = |uid| Run { place: Place { uid, ..shell().place }, ..shell() };
    let table = [
        (of(0), "nothing is run as root"),
        (of(1), "uid 1 is a system user's: those of people begin at 1000"),
        (of(65_534), "uid 65534 is nobody"),
        (of(u32::MAX), "uid 4294967295 is nobody"),
        (of(SERVICE), "uid 4242900 is the service's own"),
        (of(EVE), "uid 4242003 is nobody's under `people`, nor of the group `runner.group`"),
        (of(4_242_004), "the system knows no user of uid 4242004"),
        (of(BOB), "uid 4242002 is on access.deny"),
        (agent("bash"), "there is no agent \"bash\" in the config"),
        (agent("off"), "the agent \"off\" is not enabled"),
        (Run { profile: Profile::Restricted, ..shell() }, "the agent \"sh\" has no profile `restricted`"),
        (
            Run { native: Native::Resume("x".to_owned()), ..shell() },
            "the agent \"sh\" cannot resume a session",
        ),
        (
            Run { values: vec![("LD_PRELOAD".to_owned(), "invented-value".to_owned())], ..shell() },
            "LD_PRELOAD is not among the names that the agent \"sh\" is given",
        ),
        (
            Run { place: Place { project: "other".to_owned(), ..shell().place }, ..shell() },
            "there is no project \"other\" in the config",
        ),
    ];
    for (run, expected) in table {
        let session = run.place.session;
        let uid = run.place.uid;
        let terminal = Terminal::open(SERVICE);
        let mut call = machine.ask(&Request::Run(run), terminal.slave.as_ref().map(AsFd::as_fd));
        assert_eq!(call.reply(), Reply::Refused(expected.to_owned()));
        assert_eq!(ended(&mut call.runner).code(), Some(0));
        let line = format!("run uid={uid} session={session}: refused: {expected}\n");
        assert!(machine.log().ends_with(&line), "{line}: {}", machine.log());
    }
    for secret in ["not-a-real-token", "invented-value"] {
        assert!(!machine.log().contains(secret));
    }
    machine.reconfigure("agents:", "runner: { group: eve }\nagents:");
    assert!(
        matches!(machine.no_run(of(EVE)), Reply::Failed(why) if why == "working directory /mnt/shop: EACCES: Permission denied")
    );
    write("/mnt/login.defs", 0, "UID_MIN 5000000\n");
    mount("/mnt/login.defs", "/etc/login.defs", "", libc::MS_BIND, "");
    let expected = "uid 4242001 is a system user's: those of people begin at 5000000";
    assert_eq!(machine.no_run(shell()), Reply::Refused(expected.to_owned()));
    machine.reconfigure("agents:", "sessions: { run_as: service }\nagents:");
    let expected = "sessions.run_as is not `owner` in the config";
    assert_eq!(machine.no_run(shell()), Reply::Refused(expected.to_owned()));
}

#[test]
fn only_the_service_user_is_heard() {
    if !can_be_made("only_the_service_user_is_heard") {
        return;
    }
    let machine = Machine::new("");
    for uid in [0, ANN, BOB] {
        let terminal = Terminal::open(uid);
        let request = Request::Run(shell());
        let mut call = machine.ask_as(uid, &request, terminal.slave.as_ref().map(AsFd::as_fd));
        let expected = format!("uid {uid} asks, who is not the service user");
        assert_eq!(call.reply(), Reply::Refused(expected.clone()));
        assert_eq!(ended(&mut call.runner).code(), Some(1));
        assert!(machine.log().ends_with(&format!("refused: {expected}\n")), "{}", machine.log());
    }
}

#[test]
fn a_config_that_others_could_have_written_is_not_believed() {
    if !can_be_made("a_config_that_others_could_have_written_is_not_believed") {
        return;
    }
    let machine = Machine::new("");
    let refused = |expected: &str| {
        let Reply::Refused(why) = machine.no_run(shell()) else { panic!("not refused: {expected}") };
        assert!(why.contains(expected), "{why}");
    };
    let mode = |path: &str, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode("/mnt/etc/config.yml", 0o664);
    refused("/mnt/etc/config.yml: can be written by others than root");
    mode("/mnt/etc/config.yml", 0o644);
    mode("/mnt/etc", 0o777);
    refused("/mnt/etc: can be written by others than root");
    mode("/mnt/etc", 0o755);
    own("/mnt/etc/config.yml", ANN);
    refused("/mnt/etc/config.yml: belongs to uid 4242001, not to root");
    own("/mnt/etc/config.yml", 0);
    fs::create_dir("/mnt/etc/config.d").unwrap();
    write("/mnt/etc/config.d/a.yml", ANN, "runner: { group: eve }\n");
    refused("/mnt/etc/config.d/a.yml: belongs to uid 4242001, not to root");
    fs::remove_file("/mnt/etc/config.d/a.yml").unwrap();
    std::os::unix::fs::symlink("/mnt/shop/x.yml", "/mnt/etc/config.d/a.yml").unwrap();
    refused("/mnt/etc/config.d/a.yml: is a symbolic link");
    fs::remove_file("/mnt/etc/config.d/a.yml").unwrap();
    write("/mnt/etc/config.d/a.yml", 0, "access: { deny: [ann] }\n");
    refused("uid 4242001 is on access.deny");
    write("/mnt/etc/config.d/a.yml", 0, "acces: {}\n");
    refused("/mnt/etc/config.d/a.yml:1: acces: ");
    fs::remove_file("/mnt/etc/config.d/a.yml").unwrap();
    // Secrets are not the runner's business, not even broken ones.
    write("/mnt/etc/secrets.yml", 0, "{ not: [valid");
    let (mut call, mut terminal, _) = machine.run(shell());
    terminal.enter("exit 0");
    assert_eq!(call.exited(), Exited::Code(0));
    fs::remove_file("/mnt/etc/config.yml").unwrap();
    refused("/mnt/etc/config.yml: No such file");
}

#[test]
fn only_a_terminal_of_the_asker_is_taken() {
    if !can_be_made("only_a_terminal_of_the_asker_is_taken") {
        return;
    }
    let machine = Machine::new("");
    let file = File::options().read(true).write(true).create(true).truncate(true).open("/mnt/file").unwrap();
    own("/mnt/file", SERVICE);
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let bobs = Terminal::open(BOB);
    let name = nix::unistd::ttyname(bobs.slave.as_ref().unwrap()).unwrap();
    // What anybody can do with anybody's terminal.
    let path_only =
        as_user(SERVICE, || File::options().read(true).custom_flags(libc::O_PATH).open(&name)).unwrap();
    let own_terminal = Terminal::open(SERVICE);
    let own_name = nix::unistd::ttyname(own_terminal.slave.as_ref().unwrap()).unwrap();
    let read_only = File::options().read(true).custom_flags(libc::O_NOCTTY).open(own_name).unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let no_terminal = "the descriptor is not the end of a pseudo-terminal";
    let table: [(OwnedFd, &str); 6] = [
        (file.into(), no_terminal),
        (null.into(), no_terminal),
        (path_only.into(), "the descriptor was opened without rights to the file"),
        (bobs.slave.unwrap(), "the terminal belongs to uid 4242002, not to who sent it"),
        (read_only.into(), "the descriptor is not open for reading and writing"),
        (socket.into(), no_terminal),
    ];
    for (descriptor, expected) in table {
        let mut call = machine.ask(&Request::Run(shell()), Some(descriptor.as_fd()));
        assert_eq!(call.reply(), Reply::Refused(expected.to_owned()));
    }
    let master = nix::pty::openpty(None, None).unwrap().master;
    let mut call = machine.ask(&Request::Run(shell()), Some(master.as_fd()));
    assert_eq!(call.reply(), Reply::Refused(no_terminal.to_owned()), "the other end");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&name).unwrap().uid(), BOB, "nothing changed hands");
    assert_eq!(fs::metadata("/mnt/file").unwrap().uid(), SERVICE);
}

/// What the runner answers to these bytes, and its exit status.
fn answer_to(machine: &Machine, bytes: &[u8], descriptors: &[OwnedFd], close: bool) -> (Reply, Option<i32>) {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::os::fd::AsRawFd;
    let (mut stream, mut runner) = machine.connect();
    let raw: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    let parts = [std::io::IoSlice::new(bytes)];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &parts, control, MsgFlags::empty(), None).unwrap();
    assert_eq!(sent, bytes.len());
    if close {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; frame_length(&head).unwrap().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (Reply::decode(&body).unwrap(), ended(&mut runner).code())
}

#[test]
fn bytes_that_are_no_request_are_refused_and_logged() {
    if !can_be_made("bytes_that_are_no_request_are_refused_and_logged") {
        return;
    }
    let machine = Machine::new("");
    let good = Request::Run(shell()).encode().unwrap();
    let place = shell().place;
    let without = Request::AddWorktree(place).encode().unwrap();
    let terminals = |count: usize| -> Vec<OwnedFd> {
        (0..count).map(|_| Terminal::open(SERVICE).slave.unwrap()).collect()
    };
    let mut relative = good.clone();
    // The project's name, which comes behind version, verb, uid and session id, with a slash in it.
    relative[4 + 2 + 4 + 16 + 2] = b'/';
    let too_long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
    let mut other_version = good.clone();
    other_version[4] = 9;
    let table: [(&[u8], Vec<OwnedFd>, bool, &str); 10] = [
        (&good[..20], terminals(1), true, "the request: it is cut off"),
        (&good[..2], vec![], true, "the request: it is cut off"),
        (&too_long, vec![], false, "the request: a frame of 65537 bytes; 1 to 65536 are possible"),
        (&[0; 4], vec![], false, "the request: a frame of 0 bytes; 1 to 65536 are possible"),
        (&relative, terminals(1), false, "the request: project: must not contain `/` or control characters"),
        (&other_version, terminals(1), false, "the request: version 9 is not known; 1 is"),
        (&[0, 0, 0, 2, 1, 99], vec![], false, "the request: verb: not a known value"),
        (&good, terminals(0), false, "the request came with 0 descriptors, not with 1"),
        (&good, terminals(2), false, "the request came with 2 descriptors, not with 1"),
        (&without, terminals(1), false, "the request came with 1 descriptors, not with 0"),
    ];
    for (bytes, descriptors, close, expected) in table {
        let (reply, code) = answer_to(&machine, bytes, &descriptors, close);
        assert_eq!(reply, Reply::Refused(expected.to_owned()));
        assert_eq!(code, Some(1), "{expected}");
        assert!(machine.log().ends_with(&format!("refused: {expected}\n")), "{}", machine.log());
    }
    let many: Vec<OwnedFd> =
        terminals(1).into_iter().chain((0..200).map(|_| File::open("/").unwrap().into())).collect();
    assert!(
        matches!(answer_to(&machine, &good, &many, false).0, Reply::Refused(why) if why.contains("201 descriptors"))
    );
    let which = Which::Path("aa/file".to_owned());
    let escaping = Request::Open(Open { uid: ANN, agent: "claude".to_owned(), which }).encode().unwrap();
    let at = escaping.windows(7).position(|bytes| bytes == b"aa/file").unwrap();
    let escaping = [&escaping[..at], b"../file"].concat();
    let (reply, _) = answer_to(&machine, &escaping, &[], false);
    let expected = "the request: path: must not have an empty part, `.` or `..`";
    assert_eq!(reply, Reply::Refused(expected.to_owned()));
    // A request of the largest size is one.
    let mut large = shell();
    large.values[0].1 = "x".repeat(FRAME_BYTES_MAX + 4 - good.len() + large.values[0].1.len());
    assert_eq!(Request::Run(large.clone()).encode().unwrap().len(), 4 + FRAME_BYTES_MAX);
    let length = large.values[0].1.len();
    let (mut call, mut terminal, _) = machine.run(large);
    terminal.enter("echo length=${#API_KEY}; exit 0");
    terminal.until(&format!("length={length}"));
    assert_eq!(call.exited(), Exited::Code(0));
}

#[test]
fn a_slow_sender_is_not_waited_for() {
    if !can_be_made("a_slow_sender_is_not_waited_for") {
        return;
    }
    let machine = Machine::new("");
    let good = Request::Run(shell()).encode().unwrap();
    let (reply, code) = answer_to(&machine, &good[..30], &[], false);
    assert_eq!(reply, Reply::Refused("the request did not come in time".to_owned()));
    assert_eq!(code, Some(1));
}
