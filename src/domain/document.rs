//! One shared document: what it is called, what it is about, for whom it is, and what is to be read before it. How a
//! file becomes one is `config/front_matter`; how many of them hang together is `library`.

use crate::domain::caller::Role;
use std::fmt;

/// Bytes of a document's file, at most.
pub const FILE_BYTES_MAX: usize = 256 * 1024;
/// Characters of an id, at most.
pub const ID_CHARS_MAX: usize = 200;
/// Characters of a description, at most.
pub const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Characters of a type, at most.
pub const TYPE_CHARS_MAX: usize = 40;
/// Documents that one may require, at most.
pub const REQUIRES_MAX: usize = 64;

/// What a document is called: parts of `a`-`z`, `0`-`9`, `.`, `_` and `-`, with `/` between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocId(String);

impl DocId {
    /// Reads an id.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > ID_CHARS_MAX {
            return Err("must be 1 to 200 characters");
        }
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-' | b'/');
        if !text.bytes().all(plain) {
            return Err("must be of a-z, 0-9, `.`, `_`, `-` and `/`");
        }
        if text.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
            return Err("no part between `/` may be empty or begin with `.`");
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What kind of document it is: a word of `a`-`z`, `0`-`9`, `_` and `-` that its author chose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocType(String);

impl DocType {
    /// Reads a type.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        if text.is_empty() || text.len() > TYPE_CHARS_MAX || !text.bytes().all(plain) {
            return Err("must be 1 to 40 characters of a-z, 0-9, `_` and `-`");
        }
        Ok(Self(text.to_owned()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is said about a document before its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name among all.
    pub id: DocId,
    /// What it is about, in one line.
    pub description: String,
    /// What kind of document it is.
    pub kind: DocType,
    /// The least role that may know of it.
    pub role: Role,
    /// What is to be read before it, in this order.
    pub requires: Vec<DocId>,
}

impl Document {
    /// Whether somebody of this role may know of it.
    pub fn is_for(&self, role: Role) -> bool {
        role >= self.role
    }
}

/// Which documents are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocsQuery {
    /// The index.
    Index {
        /// Only of these types; none for all.
        types: Vec<DocType>,
        /// After this one.
        after: Option<DocId>,
        /// How many at most.
        limit: usize,
    },
    /// The texts of some.
    Texts {
        /// Which.
        ids: Vec<DocId>,
        /// Whether what they require comes before them.
        requirements: bool,
        /// From which document on, and from which byte of it.
        from: Option<(DocId, usize)>,
    },
    /// One, whole.
    One(DocId),
}

/// What is wrong with a file, or with what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocProblem {
    /// The file's path below the folder of documents, harmless to show.
    pub path: String,
    /// The line in it, counted from 1, where there is one.
    pub line: Option<usize>,
    /// The key, where it is about one.
    pub key: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for DocProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        match self.line {
            Some(line) => write!(f, "{line}: ")?,
            None => f.write_str(" ")?,
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::{DocId, DocType};

    #[test]
    fn ids_are_plain_and_lead_nowhere() {
        for good in ["a", "house-rules", "team/review.v2", "0", &"a".repeat(200)] {
            assert_eq!(DocId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "A",
            "a b",
            "a//b",
            "/a",
            "a/",
            ".",
            "a/../b",
            "a/.git",
            "ä",
            "a\n",
            "a%2f",
            &"a".repeat(201),
        ] {
            assert!(DocId::parse(bad).is_err(), "{bad:?}");
        }
        for (word, good) in
            [("policy", true), ("how-to_2", true), ("", false), ("a/b", false), ("Guide", false)]
        {
            assert_eq!(DocType::parse(word).is_ok(), good, "{word}");
        }
    }
}
