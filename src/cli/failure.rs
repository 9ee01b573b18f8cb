//! How a command fails: which exit code, which words. What the daemon refused comes with its own words.

use crate::client::ClientError;
use crate::wire::fault::{Fault, FaultCode};
use std::io;

/// The command failed.
pub const FAILED: u8 = 1;
/// The command line or the config is wrong.
pub const USAGE: u8 = 2;
/// The daemon could not be reached, or did not answer.
pub const UNREACHABLE: u8 = 5;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// The daemon refused, failed, or is not there.
    Client(ClientError),
    /// The command line is wrong.
    Usage(String),
    /// The config is wrong: every problem there is.
    Config(Vec<String>),
    /// Something on this side failed.
    Local(String),
    /// The command did its work and has told the bad news already.
    Told,
    /// The reply could not be written.
    Output(io::Error),
    /// What was to be looked at could not be: not the same as having found something wrong.
    NotSeen(Box<Self>),
}

impl Failure {
    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// The exit code: 0 quiet, 1 failed, 2 usage or config, 3 denied, 4 not found, 5 unreachable.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Unreachable { .. } | ClientError::NoAnswer { .. }) => UNREACHABLE,
            Self::Client(ClientError::Fault(fault)) => fault.code.exit_code(),
            Self::Client(ClientError::Protocol(_)) | Self::Local(_) | Self::Told => FAILED,
            Self::Usage(_) | Self::Config(_) | Self::NotSeen(_) => USAGE,
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => FAILED,
        }
    }

    /// What went wrong, a line each. A reader that has gone away is no news.
    pub fn messages(&self) -> Vec<String> {
        match self {
            Self::Client(e) => match e {
                ClientError::Fault(fault) => vec![fault.message.clone()],
                other => vec![other.to_string()],
            },
            Self::Usage(message) | Self::Local(message) => vec![message.clone()],
            Self::Config(problems) => problems.clone(),
            Self::NotSeen(why) => why.messages(),
            Self::Told => Vec::new(),
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
            Self::Output(e) => vec![format!("cannot write: {e}")],
        }
    }

    /// What to do about it, a line each.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Client(ClientError::Unreachable { hint, .. }) => vec![hint.clone()],
            Self::Client(ClientError::NoAnswer { change: true, .. }) => {
                vec!["nobody knows whether it was done; look before you try again".to_owned()]
            }
            Self::Client(ClientError::Fault(fault)) => fault_hints(fault),
            Self::NotSeen(why) => why.hints(),
            _ => Vec::new(),
        }
    }
}

fn fault_hints(fault: &Fault) -> Vec<String> {
    let again =
        fault.retry_after_ms.map(|ms| format!("try again in {} s", ms.max(0).saturating_add(999) / 1_000));
    let usual = match fault.code {
        FaultCode::Denied if fault.hint.is_none() => {
            Some("`teleclaude whoami --explain` says what you may do")
        }
        FaultCode::NotFound if fault.hint.is_none() => {
            Some("`teleclaude sessions`, `projects` and `agents` list what there is")
        }
        _ => None,
    };
    fault.hint.clone().into_iter().chain(usual.map(str::to_owned)).chain(again).collect()
}

impl From<ClientError> for Failure {
    fn from(e: ClientError) -> Self {
        Self::Client(e)
    }
}
