//! `sessions export` against a made-up daemon: where a file goes, what is left of one that broke off, what a terminal is
//! shown.

use super::fake::{FakeDaemon, Terminal};
use super::{ID, problem, session, whoami};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

/// A daemon with bob's session, which is this text in every form.
fn daemon(text: &'static str) -> FakeDaemon {
    FakeDaemon::start(move |line, _| {
        if line.contains("/whoami") {
            // Closed after it: the made-up daemon serves one connection at a time, and an export has its own.
            (201, whoami(1000, "ann").to_string())
        } else if line.contains("/export") {
            if line.contains("reason=") {
                return (200, text.to_owned());
            }
            (422, problem("invalid", Some("reason")))
        } else {
            (201, session().to_string())
        }
    })
}

#[test]
fn a_file_is_whole_private_and_not_written_over() {
    let daemon = daemon("what it is");
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::at(&daemon.socket()).types("an incident, ticket 7\n");
    terminal.cwd = dir.path().to_owned();
    let ran = terminal.run(&["sessions", "export", "019a5d2e", "-o", "it.HTML"]);
    assert_eq!((ran.code, ran.err.contains("Viewing bob's session")), (0, true), "{}", ran.err);
    let path = dir.path().join("it.HTML");
    assert_eq!(ran.out, format!("Wrote {} (html, 10 B).\n", path.display()));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "what it is");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let seen = daemon.requests();
    let last = &seen.last().unwrap().line;
    assert!(last.starts_with(&format!("GET /api/v1/sessions/{ID}/export?format=html&reason=")), "{last}");

    let again =
        terminal.run(&["sessions", "export", "019a5d2e", "-o", "it.HTML", "--reason", "ticket 7 again"]);
    assert_eq!((again.code, again.err.contains("--force")), (1, true), "{}", again.err);
    assert!(daemon.requests().is_empty(), "nothing was asked");
    let forced = terminal.run(&[
        "sessions",
        "export",
        ID,
        "-o",
        "it.HTML",
        "--reason",
        "ticket 7 again",
        "--force",
        "--json",
    ]);
    assert_eq!(forced.code, 0, "{}", forced.err);
    let told: Value = serde_json::from_str(&forced.out).unwrap();
    assert_eq!((&told["bytes"], &told["format"]), (&json!(10), &json!("html")));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn where_it_cannot_go_nothing_is_asked() {
    let daemon = daemon("what it is");
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.path().join("link.txt")).unwrap();
    let mut terminal = Terminal::at(&daemon.socket());
    terminal.cwd = dir.path().to_owned();
    for (words, code, part) in [
        (vec!["-o", "it.pdf"], 2, "as what?"),
        (vec!["-o", "it"], 2, "as what?"),
        (vec![], 2, "--format"),
        (vec!["--format", "pdf"], 2, "possible values"),
        (vec!["-o", ".", "--format", "txt", "--force"], 2, "no regular file"),
        (vec!["-o", "/dev/null", "--format", "txt", "--force"], 2, "no regular file"),
        (vec!["-o", "link.txt", "--force"], 2, "no regular file"),
        (vec!["-o", "no/such/folder/it.txt"], 1, "cannot write"),
    ] {
        let words = [vec!["sessions", "export", "019a5d2e"], words].concat();
        let ran = terminal.run(&words);
        assert_eq!((ran.code, ran.err.contains(part)), (code, true), "{words:?}: {}", ran.err);
    }
    assert!(daemon.requests().is_empty());
}

#[test]
fn a_terminal_is_shown_nothing_that_it_obeys() {
    let why = ["--reason", "an incident, ticket 7"];
    for (form, said, shown) in [
        ("txt", "a\u{9b}2J\u{202e}b\x1b[2J\n", "a\\x9b2J\\u{202e}b\\x1b[2J\n"),
        ("md", "a\x07\n", "a\\x07\n"),
        ("cast", "[0.1, \"o\", \"\u{9b}2J\"]\n", "[0.1, \"o\", \"\\u009b2J\"]\n"),
        ("jsonl", "{\"text\":\"\u{2028}\"}\n", "{\"text\":\"\\u2028\"}\n"),
    ] {
        for to in [&["-o", "-"][..], &[]] {
            let words = [&["sessions", "export", "019a5d2e", "--format", form][..], to, &why].concat();
            let ran = daemon(said).run(&words);
            assert_eq!((ran.code, ran.out.as_str()), (0, shown), "{form}: {}", ran.err);
        }
    }
}

/// A daemon that ends the connection in the middle of a file, and then says about the session what it is told to.
fn cutting(after: (u16, String)) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let mut is_cut = false;
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut first, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if first.is_empty() {
                    first.clone_from(&line);
                }
                line.clear();
            }
            let (status, body) = if first.contains("/whoami") {
                (200, whoami(1001, "bob").to_string())
            } else if first.contains("/export") {
                is_cut = true;
                let head = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
                let _ = reader.get_mut().write_all(head.as_bytes());
                continue;
            } else if is_cut {
                after.clone()
            } else {
                (200, session().to_string())
            };
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = reader.get_mut().write_all(format!("{head}{body}").as_bytes());
            let _ = reader.get_mut().shutdown(std::net::Shutdown::Write);
            let _ = reader.read_to_end(&mut Vec::new());
        }
    });
    (dir, path)
}

#[test]
fn what_is_cut_off_leaves_nothing_and_says_why() {
    for (after, code, part) in [
        ((200, session().to_string()), 1, "the connection was cut off; nothing was written"),
        ((403, problem("denied", None)), 3, "it is denied"),
    ] {
        let (_dir, socket) = cutting(after);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("it.txt"), "as before").unwrap();
        let mut terminal = Terminal::at(&socket);
        terminal.cwd = dir.path().to_owned();
        let ran = terminal.run(&["sessions", "export", "019a5d2e", "-o", "it.txt", "--force"]);
        assert_eq!((ran.code, ran.err.contains(part)), (code, true), "{}", ran.err);
        assert_eq!(std::fs::read_to_string(dir.path().join("it.txt")).unwrap(), "as before");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing half done is left");
    }
}
