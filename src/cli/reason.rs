//! Asking for a reason, once, where the daemon wants one and somebody sits at the terminal.

use crate::cli::console::Console;
use crate::client::ClientError;

/// The reason to try again with; `None` if none is wanted, one was given already, or nobody answers.
pub fn ask_for(
    console: &mut Console<'_>,
    problem: Option<&ClientError>,
    given: Option<&str>,
) -> Option<String> {
    match problem {
        Some(ClientError::Fault(fault)) if given.is_none() && fault.field.as_deref() == Some("reason") => {
            console.ask(
                "This session is somebody else's. Your reason (it is written down and shown to the owner):",
            )
        }
        _ => None,
    }
}
