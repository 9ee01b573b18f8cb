//! Which texts may stand in a message: names, words of a command line, variables, paths. What they name is not looked at.

use crate::runner::message::MessageError;

/// A name as configs have them: 1 to 64 bytes without control characters or `/`.
pub(super) fn name(field: &'static str, text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field, problem });
    if text.is_empty() || text.len() > 64 {
        return problem("must have 1 to 64 bytes");
    }
    if text.contains('/') || text.chars().any(char::is_control) {
        return problem("must not contain `/` or control characters");
    }
    Ok(text.to_owned())
}

/// Letters, digits, `-` and `_`, not beginning with `-`: it may stand in a command line or a file's name.
pub(super) fn plain(field: &'static str, text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field, problem });
    if text.is_empty() || text.len() > 256 {
        return problem("must have 1 to 256 bytes");
    }
    if text.starts_with('-') || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return problem("must be letters, digits, `-` and `_`, and not begin with `-`");
    }
    Ok(text.to_owned())
}

/// The name of an environment variable.
pub(super) fn variable(text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field: "name of a value", problem });
    if text.is_empty() || text.len() > 128 {
        return problem("must have 1 to 128 bytes");
    }
    if text.as_bytes()[0].is_ascii_digit() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return problem("must be letters, digits and `_`");
    }
    Ok(text.to_owned())
}

/// A path that stays below where it begins, as far as its text says: relative, no empty part, no `.`, no `..`.
pub(super) fn relative(field: &'static str, text: &str) -> Result<String, MessageError> {
    let problem = |problem| Err(MessageError::Text { field, problem });
    if text.is_empty() || text.len() > 4_096 {
        return problem("must have 1 to 4,096 bytes");
    }
    if text.contains('\0') {
        return problem("must not contain NUL");
    }
    if text.starts_with('/') {
        return problem("must be relative");
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return problem("must not have an empty part, `.` or `..`");
    }
    Ok(text.to_owned())
}

pub(super) fn without_nul(field: &'static str, text: &str) -> Result<String, MessageError> {
    if text.contains('\0') {
        return Err(MessageError::Text { field, problem: "must not contain NUL" });
    }
    Ok(text.to_owned())
}
