//! `teleclaude credentials` and `teleclaude key` as people type them, against a real daemon; and that no value and no
//! key is in an argv, an answer, an error or a log.

use super::VALUE;
use crate::process::{World, ends, said};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

const EXE: &str = env!("CARGO_BIN_EXE_teleclaude");

/// Runs a command that reads this.
fn typed(world: &World, input: &[u8], args: &[&str]) -> Output {
    let mut command = world.command(Path::new(EXE));
    command.arg("--socket").arg(world.socket()).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that does not read closes it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let all = said(&output);
    assert!(!all.contains("invented"), "{args:?} shows a value: {all}");
    output
}

#[test]
fn keys_and_credentials_from_the_command_line() {
    let mut world = World::single("").with("TELECLAUDE_LOG", "trace");
    world.up();
    let run = |input: &str, args: &[&str]| typed(&world, input.as_bytes(), args);
    ends(&run("", &["key", "list"]), 0, "teleclaude key generate");
    ends(&run("", &["key", "rotate"]), 1, "there is no encryption key yet");
    ends(&run(VALUE, &["credentials", "put", "A_KEY"]), 1, "teleclaude key generate");
    let made = run("", &["key", "generate"]);
    ends(&made, 0, "(mode 0600)");
    ends(&run("", &["key", "generate"]), 1, "key rotate");
    let secret = std::fs::read_to_string(world.state().join("encryption.keys")).unwrap();
    let secret = secret.lines().last().unwrap().to_owned();
    assert!(!said(&made).contains(&secret));

    ends(&run(&format!("{VALUE}\n"), &["credentials", "put", "A_KEY"]), 0, "A_KEY is kept");
    ends(&run(VALUE, &["credentials", "put", "a_key"]), 2, "name: must be");
    ends(&run("", &["credentials", "put", "A_KEY"]), 2, "value: must not be empty");
    ends(&run("invented\0", &["credentials", "put", "A_KEY"]), 2, "value: must not contain NUL");
    let large = "invented".repeat(125_000);
    ends(&run(&large, &["credentials", "put", "A_KEY"]), 2, "more than");
    ends(&typed(&world, b"invented\xff", &["credentials", "put", "A_KEY"]), 2, "not text");

    let file = world.path("keys.env");
    let file_name = file.to_str().unwrap().to_owned();
    std::fs::write(&file, format!("# mine\nexport B_KEY='{VALUE}'\nb=invented\nC_KEY=\n")).unwrap();
    let wrong = run("", &["credentials", "import-env", &file_name]);
    ends(&wrong, 2, "line 3: the name");
    ends(&wrong, 2, "line 4: the value");
    std::fs::write(&file, format!("# mine\nexport B_KEY='{VALUE}'\nC_KEY=\"invented\\nlines\"\n")).unwrap();
    let imported = run("", &["credentials", "import-env", &file_name]);
    ends(&imported, 0, "2 kept, each read back and decrypted");
    ends(&imported, 0, "To undo: teleclaude credentials delete B_KEY C_KEY");
    ends(&run("", &["credentials", "import-env", &file_name]), 1, "there already: B_KEY, C_KEY");
    ends(&run("", &["credentials", "import-env", "--replace", &file_name]), 0, "Replaced");
    ends(&run("D_KEY=invented\n", &["credentials", "import-env", "-"]), 0, "1 kept");
    ends(&run("", &["credentials", "import-env", "/nonexistent"]), 2, "No such file");
    ends(&run("", &["credentials", "import-env", "/dev/null"]), 2, "not a regular file");

    let listed = run("", &["credentials", "list"]);
    for name in ["A_KEY", "B_KEY", "C_KEY", "D_KEY"] {
        ends(&listed, 0, name);
    }
    ends(&run("", &["credentials", "delete", "B_KEY", "C_KEY"]), 0, "C_KEY deleted");
    ends(&run("", &["credentials", "delete", "B_KEY"]), 4, "no credential `B_KEY`");
    ends(&run("", &["key", "rotate"]), 0, "every credential is encrypted with it");
    ends(&run("", &["key", "list"]), 0, "retired");
    ends(&run("", &["--json", "key", "list"]), 0, "\"rotating\":false");

    ends(&run("", &["key", "generate", "--print"]), 2, "only at a terminal");
    let to = world.path("a.key");
    ends(&run("", &["key", "generate", "--to", to.to_str().unwrap()]), 0, "mode 0600");
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&to).unwrap().trim().len(), 64);
    ends(&run("", &["key", "generate", "--to", to.to_str().unwrap()]), 1, "cannot be written");

    let log = world.log();
    assert!(log.contains("credential.put"), "the log is there");
    let now = std::fs::read_to_string(world.state().join("encryption.keys")).unwrap();
    for key in now.lines().filter(|line| !line.starts_with('#')) {
        assert!(!log.contains(key), "a key is in the log");
    }
    assert!(!log.contains("invented"), "a value is in the log");
    let argv = std::fs::read(format!("/proc/{}/cmdline", world.pid())).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&argv).contains(&secret));
}

/// What a terminal shows of a command in which this is typed once it has asked for something.
fn at_a_terminal(world: &World, args: &[&str], typing: &str) -> String {
    let pty = nix::pty::openpty(None, None).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = world.command(Path::new(EXE));
    command.arg("--socket").arg(world.socket()).args(args).stdin(end()).stdout(end()).stderr(end());
    let mut child = command.spawn().unwrap();
    drop(command);
    drop(pty.slave);
    let mut terminal = std::fs::File::from(pty.master);
    let (mut shown, mut chunk, mut typed) = (String::new(), [0u8; 1024], typing.is_empty());
    // Its end is an error, once nobody has the other end any longer.
    while let Ok(bytes @ 1..) = terminal.read(&mut chunk) {
        shown.push_str(&String::from_utf8_lossy(&chunk[..bytes]));
        if !typed && shown.contains("(it is not shown): ") {
            terminal.write_all(format!("{typing}\n").as_bytes()).unwrap();
            typed = true;
        }
    }
    assert!(child.wait().unwrap().success(), "{shown}");
    shown
}

#[test]
fn what_is_typed_at_a_terminal_is_not_shown_there() {
    let mut world = World::single("");
    world.up();
    assert_eq!(world.me().post("/keys", serde_json::json!({})).unwrap().status, 200);
    let shown = at_a_terminal(&world, &["credentials", "put", "A_KEY"], VALUE);
    assert!(shown.contains("A_KEY is kept") && !shown.contains("invented"), "{shown}");
    let printed = at_a_terminal(&world, &["key", "generate", "--print"], "");
    let key = printed.lines().find_map(|line| line.trim().strip_prefix("key: ")).unwrap().trim().to_owned();
    assert!(teleclaude::config::keys::Key::parse(&key).is_some(), "{printed}");
}
