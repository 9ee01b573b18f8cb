//! What a refusal or failure looks like: a code to branch on, a message to read, a hint what to do next.

use serde::{Deserialize, Serialize};

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// An argument is wrong; `field` names it.
    Invalid,
    /// The caller's role or standing does not allow it.
    Denied,
    /// There is no such thing, as far as this caller may know.
    NotFound,
    /// It cannot be done in the state things are in.
    Conflict,
    /// Too many requests; see `retry_after_ms`.
    RateLimited,
    /// A limit of the role is reached.
    LimitReached,
    /// The daemon has too much to do; try again.
    Busy,
    /// The database or another part cannot serve now.
    Unavailable,
    /// The audit row could not be written, so nothing was done.
    AuditUnavailable,
    /// `sessions.run_as: owner` needs teleclaude-runner, which is not there.
    NeedsRunner,
    /// It took too long; nothing was done.
    Timeout,
    /// It may or may not have been done.
    OutcomeUnknown,
    /// A defect of ours; the log has more under the request id.
    Internal,
}

impl FaultCode {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Invalid,
        Self::Denied,
        Self::NotFound,
        Self::Conflict,
        Self::RateLimited,
        Self::LimitReached,
        Self::Busy,
        Self::Unavailable,
        Self::AuditUnavailable,
        Self::NeedsRunner,
        Self::Timeout,
        Self::OutcomeUnknown,
        Self::Internal,
    ];

    /// The code as it is spelt on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::LimitReached => "limit_reached",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::AuditUnavailable => "audit_unavailable",
            Self::NeedsRunner => "needs_runner",
            Self::Timeout => "timeout",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that carries it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 422,
            Self::Denied => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::RateLimited | Self::LimitReached => 429,
            Self::Busy | Self::Unavailable | Self::AuditUnavailable | Self::NeedsRunner => 503,
            Self::Timeout => 504,
            Self::OutcomeUnknown => 502,
            Self::Internal => 500,
        }
    }

    /// The exit code of a command that ends with it: 1 failed, 2 usage, 3 denied, 4 not found.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Invalid => 2,
            Self::Denied => 3,
            Self::NotFound => 4,
            _ => 1,
        }
    }
}

/// A refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fault {
    /// To branch on.
    pub code: FaultCode,
    /// To read.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Which argument was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Milliseconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retry_after_ms: Option<i64>,
}

impl Fault {
    /// A fault with code and message.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, field: None, retry_after_ms: None }
    }

    /// An argument is wrong; `problem` completes "`field`: …".
    pub fn invalid(field: &str, problem: impl std::fmt::Display) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(FaultCode::Invalid, format!("{field}: {problem}")) }
    }

    /// There is no such thing, or the caller may not know of it: the same words for both.
    pub fn not_found(kind: &str, name: &str) -> Self {
        Self::new(FaultCode::NotFound, format!("no {kind} `{name}`"))
    }

    /// The same fault with what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
