//! Why the daemon cannot be spoken to, in words for the person (or model) who waits for it.

use nix::errno::Errno;
use std::path::Path;
use std::time::Duration;

/// The last reason why there is no daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The socket could not be connected to; the errno, if the system gave one.
    Refused(Option<i32>, String),
    /// It accepted and then said nothing for this long.
    Silent(Duration),
    /// It accepted and then closed the connection.
    Closed,
    /// Nobody tried yet.
    Untried,
}

impl Absence {
    /// The reason that an attempt to connect failed.
    pub fn from_error(error: &std::io::Error) -> Self {
        Self::Refused(error.raw_os_error(), error.to_string())
    }

    /// What is wrong, what it means for this user, and what to do.
    pub fn explain(&self, socket: &Path, start_hint: &str) -> String {
        let path = socket.display();
        match self {
            Self::Refused(Some(number), _) => {
                let errno = Errno::from_raw(*number);
                let meaning = match errno {
                    Errno::ENOENT => "It is not running, or it listens elsewhere.".to_owned(),
                    Errno::EACCES | Errno::EPERM => format!(
                        "It may be running, but user id {} has no permission to open this socket; \
                         ask whoever looks after this machine.",
                        nix::unistd::geteuid()
                    ),
                    Errno::ECONNREFUSED => {
                        "The socket is a leftover: nothing listens on it, so the daemon has stopped."
                            .to_owned()
                    }
                    Errno::EAGAIN => "It is running but too busy to take another connection.".to_owned(),
                    _ => "It cannot be reached from here.".to_owned(),
                };
                format!(
                    "cannot connect to the teleclaude daemon at {path}: {errno:?} ({}). {meaning} \
                     To start it: {start_hint}",
                    errno.desc()
                )
            }
            Self::Refused(None, text) => {
                format!(
                    "cannot connect to the teleclaude daemon at {path}: {text}. To start it: {start_hint}"
                )
            }
            Self::Silent(after) => format!(
                "the teleclaude daemon at {path} takes connections but has not answered for {} s: it is stuck \
                 or overloaded. To start it again: {start_hint}",
                after.as_secs_f32()
            ),
            Self::Closed => format!(
                "the teleclaude daemon at {path} closes every connection: it is stopping, or it refuses this \
                 user. To start it: {start_hint}"
            ),
            Self::Untried => format!("the teleclaude daemon at {path} has not answered yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_errno_path_meaning_and_command() {
        for (number, name, meaning) in [
            (libc::ENOENT, "ENOENT", "not running"),
            (libc::EACCES, "EACCES", "no permission"),
            (libc::ECONNREFUSED, "ECONNREFUSED", "leftover"),
            (libc::ENOSPC, "ENOSPC", "No space left"),
        ] {
            let why = Absence::from_error(&std::io::Error::from_raw_os_error(number));
            let text = why.explain(Path::new("/run/x.sock"), "systemctl start teleclaude");
            for part in [name, meaning, "/run/x.sock", "systemctl start teleclaude"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
}
