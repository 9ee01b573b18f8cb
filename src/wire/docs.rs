//! What is said about shared documents.

use crate::domain::caller::Role;
use crate::domain::document::{DocProblem, Document};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Arguments of `get_context`: without `ids` the index, with them these documents.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetContext {
    /// Ids of documents whose text is wanted, 1 to 100. Without it the index is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Of the index only documents of these types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// Whether what a document requires is given too, before it; yes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_requirements: Option<bool>,
    /// Where the previous page ended; the other arguments stay as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Rows of the index at most, 1 to 100; 50 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
}

/// One document, by its id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocRef {
    /// The document's id.
    pub id: String,
}

/// A document in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocRow {
    /// What it is called.
    pub id: String,
    /// What it is about.
    pub description: String,
    /// What kind of document it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The least role that may read it.
    pub role: Role,
    /// What is to be read before it, as far as you may.
    pub requires: Vec<String>,
}

impl DocRow {
    /// The row of a document, with what it requires of it.
    pub fn of(document: &Document, requires: Vec<String>) -> Self {
        Self {
            id: document.id.to_string(),
            description: document.description.clone(),
            kind: document.kind.as_str().to_owned(),
            role: document.role,
            requires,
        }
    }
}

/// A document's text, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocText {
    /// What it is called.
    pub id: String,
    /// What it is about.
    pub description: String,
    /// What kind of document it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Markdown.
    pub content: String,
    /// Where in the document it begins, in bytes.
    #[schemars(range(min = 0))]
    pub offset: i64,
    /// Whether it goes to the document's end.
    pub complete: bool,
}

impl DocText {
    /// This text of a document, from here.
    pub fn of(document: &Document, content: String, offset: usize, complete: bool) -> Self {
        Self {
            id: document.id.to_string(),
            description: document.description.clone(),
            kind: document.kind.as_str().to_owned(),
            content,
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
            complete,
        }
    }
}

/// The index, or documents; a page of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContextReply {
    /// Documents there are, by id; empty if documents were asked for.
    pub index: Vec<DocRow>,
    /// The documents asked for, what is required before what requires it; at most 48,000 characters of them.
    pub documents: Vec<DocText>,
    /// How many required documents are not given: they do not exist, or are not for you.
    #[schemars(range(min = 0))]
    pub requirements_left_out: i64,
    /// Where the next page begins; null when this is the last.
    #[schemars(required, extend("type" = ["string", "null"]))]
    pub next_cursor: Option<String>,
}

/// Something that is wrong with the documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocProblemRow {
    /// The file or folder, below the folder of documents.
    pub path: String,
    /// The line in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub line: Option<i64>,
    /// The key in its front matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl From<&DocProblem> for DocProblemRow {
    fn from(problem: &DocProblem) -> Self {
        Self {
            path: problem.path.clone(),
            line: problem.line.and_then(|line| i64::try_from(line).ok()),
            key: problem.key.clone(),
            message: problem.message.clone(),
        }
    }
}

/// How the documents are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocProblemsReply {
    /// Their folder.
    pub path: String,
    /// How many documents there are.
    #[schemars(range(min = 0))]
    pub documents: i64,
    /// What is wrong, by path; at most 1,000.
    pub problems: Vec<DocProblemRow>,
    /// How many more there are.
    #[schemars(range(min = 0))]
    pub more: i64,
}
