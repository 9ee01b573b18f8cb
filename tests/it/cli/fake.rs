//! A made-up daemon and somebody's terminal, for the tests of the command line.

#![expect(clippy::unwrap_used, reason = "helpers of tests, too, may stop where they cannot go on")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use teleclaude::cli::console::Console;
use teleclaude::cli::render::Look;
use teleclaude::domain::timestamp::Timestamp;

/// A request as the daemon saw it.
#[derive(Debug)]
pub struct Seen {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Answers each request with what `answer` makes of its first line and body: status and body. Ends with the test's
/// process; a status of 0 closes the connection instead of answering, 201 after it.
pub struct FakeDaemon {
    pub dir: tempfile::TempDir,
    pub seen: Receiver<Seen>,
}

impl FakeDaemon {
    pub fn start(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("d.sock")).unwrap();
        let (tell, seen) = channel();
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().flatten().enumerate() {
                let mut reader = BufReader::new(stream);
                while let Some(request) = read_request(&mut reader, connection) {
                    let (status, body) = answer(&request.line, &request.body);
                    let _ = tell.send(request);
                    if status == 0 {
                        break;
                    }
                    let kind = if status == 200 { "application/json" } else { "application/problem+json" };
                    let last = if status == 201 { "close" } else { "keep-alive" };
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: {last}\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ = reader.get_mut().write_all(format!("{head}{body}").as_bytes());
                    if status == 201 {
                        break;
                    }
                }
            }
        });
        Self { dir, seen }
    }

    pub fn always(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        Self::start(move |_, _| (status, body.clone()))
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("d.sock")
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Terminal::at(&self.socket()).run(words)
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }
}

fn read_request(reader: &mut BufReader<UnixStream>, connection: usize) -> Option<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
    Some(Seen { line, headers, body: String::from_utf8(body).unwrap(), connection })
}

/// Somebody's terminal: variables, what they type, whether they are there.
pub struct Terminal {
    pub vars: BTreeMap<String, String>,
    pub typed: String,
    pub interactive: bool,
    pub cwd: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl Terminal {
    pub fn at(socket: &Path) -> Self {
        let vars = BTreeMap::from([("TELECLAUDE_SOCKET".to_owned(), socket.display().to_string())]);
        Self { vars, typed: String::new(), interactive: false, cwd: PathBuf::from("/") }
    }

    pub fn var(mut self, name: &str, value: impl ToString) -> Self {
        self.vars.insert(name.to_owned(), value.to_string());
        self
    }

    pub fn types(mut self, text: &str) -> Self {
        self.typed = text.to_owned();
        self.interactive = true;
        self
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        let mut out = Vec::new();
        let (code, err) = self.run_into(words, &mut out);
        Ran { code, out: String::from_utf8(out).unwrap(), err }
    }

    pub fn run_into(&self, words: &[&str], out: &mut dyn Write) -> (u8, String) {
        let mut err = Vec::new();
        let mut input = Cursor::new(self.typed.clone().into_bytes());
        let words = std::iter::once("teleclaude").chain(words.iter().copied()).map(Into::into);
        let code = teleclaude::cli::run(
            words,
            &mut Console {
                out_is_terminal: false,
                out,
                err: &mut err,
                input: &mut input,
                interactive: self.interactive,
                look: Look { now: Timestamp::from_micros(1_795_262_400_000_000), width: 100, colour: false },
                colour_errors: false,
                vars: self.vars.clone(),
                cwd: self.cwd.clone(),
                root: PathBuf::from("/nonexistent"),
            },
        );
        (code, String::from_utf8(err).unwrap())
    }
}
