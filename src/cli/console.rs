//! What a command sees of the outside: where it writes, whom it may ask, the clock, the variables. The process's own
//! in `main`, a test's in tests; no command reaches past it.

use crate::cli::failure::Failure;
use crate::cli::render::{Look, visible};
use crate::config::paths::Environment;
use crate::domain::credential::Secret;
use crate::domain::timestamp::Timestamp;
use crate::platform::terminal::Quiet;
use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::time::SystemTime;

/// Columns where nobody says how many there are.
const WIDTH_DEFAULT: usize = 100;
/// Bytes of one line somebody types, at most.
const LINE_BYTES_MAX: u64 = 8 * 1024;

/// The outside of one command.
pub struct Console<'a> {
    /// For replies.
    pub out: &'a mut dyn Write,
    /// For errors, warnings, banners and questions.
    pub err: &'a mut dyn Write,
    /// For answers, and for text given as `-`.
    pub input: &'a mut dyn BufRead,
    /// Whether somebody sits there who can be asked.
    pub interactive: bool,
    /// Whether replies go to a terminal.
    pub out_is_terminal: bool,
    /// How replies are shown.
    pub look: Look,
    /// Whether errors may be coloured.
    pub colour_errors: bool,
    /// Environment variables that are text.
    pub vars: BTreeMap<String, String>,
    /// The folder the command was given in.
    pub cwd: PathBuf,
    /// Where the system's folders begin: `/`, elsewhere only in tests.
    pub root: PathBuf,
}

impl Console<'_> {
    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The same outside as the config wants it.
    pub fn environment(&self) -> Environment {
        let mut environment =
            Environment { vars: self.vars.clone(), root: self.root.clone(), ..Environment::of_process() };
        if let Some(home) = self.var("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) {
            environment.home = home;
        }
        environment
    }

    /// Writes a reply.
    pub fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).map_err(Failure::Output)
    }

    /// Writes JSON as it came, on a line of its own. What a terminal could obey is written as `\uXXXX`, which means the
    /// same to whoever parses it.
    pub fn say_json(&mut self, text: &str) -> Result<(), Failure> {
        let text = crate::cli::render::json_visible(text.trim_end());
        self.say(&format!("{text}\n"))
    }

    /// Writes a line to the other stream. A closed one is nobody's concern.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
        let _ = self.err.flush();
    }

    /// Says that something went wrong that does not matter to the command.
    pub fn warn(&mut self, text: &str) {
        let label = paint(self.colour_errors, "33", "warning:");
        self.note(&labelled(&label, "warning:", text));
    }

    /// Says why the command failed and what to do about it.
    pub fn complain(&mut self, failure: &Failure) {
        let label = paint(self.colour_errors, "31", "error:");
        for message in failure.messages() {
            self.note(&labelled(&label, "error:", &message));
        }
        let label = paint(self.colour_errors, "36", "hint:");
        for hint in failure.hints() {
            self.note(&labelled(&label, "hint:", &hint));
        }
    }

    /// Asks once, if somebody is there. Nothing typed is no answer.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        if !self.interactive {
            return None;
        }
        let _ = write!(self.err, "{question} ");
        let _ = self.err.flush();
        let mut line = String::new();
        self.input.take(LINE_BYTES_MAX).read_line(&mut line).ok()?;
        let line = line.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// Asks for what is not to be shown, if somebody is there. Nothing typed is no answer.
    pub fn ask_secret(&mut self, question: &str, max: usize) -> Result<Option<Secret>, Failure> {
        if !self.interactive {
            return Ok(None);
        }
        let quiet = Quiet::new()
            .map_err(|e| Failure::Local(format!("the terminal cannot be kept from showing it: {e}")))?;
        let _ = write!(self.err, "{question} ");
        let _ = self.err.flush();
        let mut line = String::new();
        let read = self.input.take(max as u64 + 2).read_line(&mut line);
        drop(quiet);
        self.note("");
        read.map_err(|e| Failure::usage(format!("the input is not text: {e}")))?;
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok((!line.is_empty()).then(|| Secret::from(line)))
    }

    /// All of the input as text, `max` bytes at most.
    pub fn read_input(&mut self, max: usize) -> Result<String, Failure> {
        let mut text = String::new();
        let bytes = self.input.take(max as u64 + 1).read_to_string(&mut text);
        match bytes {
            Ok(bytes) if bytes > max => Err(Failure::usage(format!("the input has more than {max} bytes"))),
            Ok(_) => Ok(text),
            Err(e) => Err(Failure::usage(format!("the input is not text: {e}"))),
        }
    }
}

/// Text made harmless behind its label; lines after the first stand under the first.
fn labelled(label: &str, plain: &str, text: &str) -> String {
    let indent = format!("\n{}", " ".repeat(plain.len() + 1));
    let lines: Vec<String> = text.lines().map(visible).collect();
    format!("{label} {}", lines.join(&indent))
}

/// `text` in a colour (an SGR parameter), or as it is.
pub fn paint(on: bool, sgr: &str, text: &str) -> String {
    if on { format!("\x1b[{sgr}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Runs `command` with this process's own console.
pub fn with_own<T>(command: impl FnOnce(&mut Console<'_>) -> T) -> T {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut input = io::BufReader::new(io::stdin());
    let vars: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let plain = vars.get("NO_COLOR").is_some_and(|v| !v.is_empty())
        || vars.get("TERM").is_some_and(|term| term == "dumb");
    let width = vars
        .get("COLUMNS")
        .and_then(|columns| columns.parse().ok())
        .or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
        .unwrap_or(WIDTH_DEFAULT);
    let look = Look { now: Timestamp::from(SystemTime::now()), width, colour: out.is_terminal() && !plain };
    let interactive = io::stdin().is_terminal() && err.is_terminal();
    let colour_errors = err.is_terminal() && !plain;
    command(&mut Console {
        interactive,
        out_is_terminal: out.is_terminal(),
        look,
        colour_errors,
        cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        root: PathBuf::from("/"),
        vars,
        out: &mut out,
        err: &mut err,
        input: &mut input,
    })
}
