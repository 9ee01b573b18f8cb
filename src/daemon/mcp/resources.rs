//! The URIs of resources: `teleclaude://sessions/{id}`, `teleclaude://sessions/{id}/transcript`,
//! `teleclaude://docs/{id}` and `teleclaude://inbox`. Pure.

use crate::domain::document::DocId;
use crate::domain::session::SessionId;
use crate::domain::verb::Verb;

/// Begins the URI of a document.
const DOCS: &str = "teleclaude://docs/";
/// Begins the URIs of a session.
const SESSIONS: &str = "teleclaude://sessions/";
/// Ends the URI of a transcript.
const TRANSCRIPT: &str = "/transcript";

/// The URI of the inbox of whoever asks.
pub const INBOX: &str = "teleclaude://inbox";

/// What a URI means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A session's metadata.
    Session(String),
    /// What a session showed.
    Transcript(String),
    /// A shared document.
    Document(DocId),
    /// The asker's inbox.
    Inbox,
}

impl Resource {
    /// What is done by reading it.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Session(_) => Verb::ShowSession,
            Self::Transcript(_) => Verb::ReadSession,
            Self::Document(_) => Verb::ReadDocs,
            Self::Inbox => Verb::ReadInbox,
        }
    }

    /// Reads a URI. The id is as the client wrote it: whole or a prefix.
    pub fn parse(uri: &str) -> Option<Self> {
        if uri == INBOX {
            return Some(Self::Inbox);
        }
        if let Some(id) = uri.strip_prefix(DOCS) {
            // Templates are filled in by some with the `/` of an id encoded, by some without.
            return DocId::parse(&id.replace("%2F", "/").replace("%2f", "/")).ok().map(Self::Document);
        }
        let rest = uri.strip_prefix(SESSIONS)?;
        let (id, transcript) = match rest.strip_suffix(TRANSCRIPT) {
            Some(id) => (id, true),
            None => (rest, false),
        };
        let is_id = (8..=36).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        is_id.then(|| if transcript { Self::Transcript(id.to_owned()) } else { Self::Session(id.to_owned()) })
    }

    /// The session's id or prefix; `None` if it is about no session.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Session(id) | Self::Transcript(id) => Some(id),
            Self::Document(_) | Self::Inbox => None,
        }
    }

    /// Whether it is about `session`: the same whole id.
    pub fn is_about(&self, session: SessionId) -> bool {
        self.id().is_some_and(|id| id.eq_ignore_ascii_case(&session.to_string()))
    }
}

/// The URI of a document.
pub fn document_uri(id: &str) -> String {
    format!("{DOCS}{id}")
}

/// The URI of a session's metadata.
pub fn session_uri(id: &str) -> String {
    format!("{SESSIONS}{id}")
}

/// The URI of a session's transcript.
pub fn transcript_uri(id: &str) -> String {
    format!("{SESSIONS}{id}{TRANSCRIPT}")
}

#[cfg(test)]
mod tests {
    use super::{INBOX, Resource, document_uri, session_uri, transcript_uri};
    use crate::domain::document::DocId;

    #[test]
    fn uris_are_read_back_and_nothing_else_is() {
        let id = "0193b2a0-0000-7000-8000-000000000001";
        assert_eq!(Resource::parse(&session_uri(id)), Some(Resource::Session(id.to_owned())));
        assert_eq!(Resource::parse(&transcript_uri(id)), Some(Resource::Transcript(id.to_owned())));
        assert_eq!(Resource::parse(INBOX), Some(Resource::Inbox));
        let doc = DocId::parse("team/review").unwrap();
        assert_eq!(Resource::parse(&document_uri("team/review")), Some(Resource::Document(doc.clone())));
        assert_eq!(Resource::parse("teleclaude://docs/team%2Freview"), Some(Resource::Document(doc)));
        assert!(Resource::parse("teleclaude://sessions/0193b2a0").is_some());
        for uri in [
            "",
            "teleclaude://sessions/",
            "teleclaude://sessions/0193",
            "teleclaude://sessions/../../etc/passwd",
            "teleclaude://sessions/0193b2a0/transcript/x",
            "teleclaude://inbox/",
            "teleclaude://docs/",
            "teleclaude://docs/../etc/passwd",
            "teleclaude://docs/..%2fetc%2fpasswd",
            "teleclaude://docs/a%00",
            "file:///etc/passwd",
        ] {
            assert_eq!(Resource::parse(uri), None, "{uri}");
        }
    }
}
