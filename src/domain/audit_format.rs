//! The forms in which the audit log is written out.

use serde::{Deserialize, Serialize};

/// How rows are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditFormat {
    /// One JSON object a line, with the fields of `audit list --json`.
    Jsonl,
    /// Comma-separated values with a head, safe to open in a spreadsheet.
    Csv,
    /// One event of the OCSF class API Activity (6003) a line.
    Ocsf,
    /// Rows, checkpoints and public keys, sealed: what `audit verify --bundle` proves.
    Bundle,
}

impl AuditFormat {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Jsonl, Self::Csv, Self::Ocsf, Self::Bundle];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
            Self::Bundle => "bundle",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == word)
    }

    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Jsonl | Self::Ocsf | Self::Bundle => "application/x-ndjson",
        }
    }
}
