//! One line a call: verb, uid, session, outcome. To standard error, which the service manager gives to the journal;
//! to the system's log where standard error is the connection itself. No token, no value, nothing of what an
//! unknown peer sent.

use crate::runner::message::Request;
use crate::runner::sys;
use nix::sys::stat::fstat;
use std::io::Write;

/// Where lines go, and what they are about.
#[derive(Debug)]
pub struct Log {
    to_syslog: bool,
    about: String,
}

impl Log {
    /// The log of this process; to be made before anything is moved from its place.
    pub fn here() -> Self {
        let place = |number| fstat(sys::standard(number)).ok().map(|found| (found.st_dev, found.st_ino));
        let (connection, error) = (place(sys::Standard::Input), place(sys::Standard::Error));
        let to_syslog = cfg!(target_os = "macos") || error.is_none() || error == connection;
        Self { to_syslog, about: String::new() }
    }

    /// From now on lines are about this request.
    pub fn about(&mut self, request: &Request) {
        let uid = request.uid();
        self.about = match request.session() {
            Some(session) => format!("{} uid={uid} session={session}: ", request.verb()),
            None => format!("{} uid={uid}: ", request.verb()),
        };
    }

    /// Writes one line. What cannot be logged is not done differently for that.
    pub fn line(&self, what: &str, warning: bool) {
        let line = format!("{}{}", self.about, visible(what));
        if self.to_syslog {
            sys::syslog(&line, warning);
        } else {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// A text on one line, without what could move a terminal: paths and complaints of programs may hold anything.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (i, line) in text.lines().enumerate() {
        shown.push_str(if i == 0 { "" } else { "; " });
        for c in line.trim().chars() {
            if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn nothing_breaks_out_of_its_line() {
        for (text, shown) in [
            ("plain: text", "plain: text"),
            ("two\nlines\r\n", "two; lines"),
            ("\u{1b}[31m\u{7}\u{9b}", "\\u{1b}[31m\\u{7}\\u{9b}"),
            ("", ""),
        ] {
            assert_eq!(visible(text), shown);
        }
    }
}
