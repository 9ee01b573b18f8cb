//! What tells an agent from its human: the session's token, of which only the hash is kept, or the runner's control group
//! that its process lies in. Either narrows what the owner may do; a token that another uid shows is refused.

use crate::domain::session::SessionId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// The SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// Tokens of open sessions by hash, and the control groups of their agents.
#[derive(Debug, Default)]
pub struct Tokens {
    by_hash: RwLock<HashMap<TokenHash, (SessionId, u32)>>,
    by_group: RwLock<HashMap<String, (SessionId, u32)>>,
}

impl Tokens {
    /// Makes a token out of 32 random bytes: what the agent gets, and what is kept.
    pub fn make(random: [u8; 32]) -> (SecretString, TokenHash) {
        let text: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let hash = Self::hash(&text);
        (SecretString::from(text), hash)
    }

    fn hash(text: &str) -> TokenHash {
        Sha256::digest(text.as_bytes()).into()
    }

    /// Remembers a token of an open session.
    pub fn keep(&self, hash: TokenHash, session: SessionId, uid: u32) {
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).insert(hash, (session, uid));
    }

    /// Remembers the runner's control group in which an open session's agent runs.
    pub fn runs_in(&self, session: SessionId, uid: u32, group: String) {
        self.by_group.write().unwrap_or_else(PoisonError::into_inner).insert(group, (session, uid));
    }

    /// Forgets a session's tokens and where its agent runs.
    pub fn revoke(&self, session: SessionId) {
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).retain(|_, (s, _)| *s != session);
        self.by_group.write().unwrap_or_else(PoisonError::into_inner).retain(|_, (s, _)| *s != session);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose agent a process of this uid in this control group is. Unknown is no agent: a group never refuses anybody.
    pub fn agent_in(&self, group: &str, uid: u32) -> Option<SessionId> {
        let groups = self.by_group.read().unwrap_or_else(PoisonError::into_inner);
        groups.get(group).filter(|(_, owner)| *owner == uid).map(|(session, _)| *session)
    }

    /// Whose session this token stands for.
    ///
    /// # Errors
    /// Says why not, without the token.
    pub fn find(&self, token: &SecretString, uid: u32) -> Result<SessionId, &'static str> {
        let hash = Self::hash(token.expose_secret());
        match self.by_hash.read().unwrap_or_else(PoisonError::into_inner).get(&hash) {
            Some((session, owner)) if *owner == uid => Ok(*session),
            Some(_) => Err("the session token is another user's"),
            None => Err("the session token is not known: its session has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tokens;
    use crate::domain::session::SessionId;
    use uuid::Uuid;

    #[test]
    fn a_token_is_for_one_user_and_one_session() {
        let tokens = Tokens::default();
        let (token, hash) = Tokens::make([7; 32]);
        let session = SessionId(Uuid::from_u128(1));
        assert!(tokens.find(&token, 1000).is_err());
        tokens.keep(hash, session, 1000);
        assert_eq!(tokens.find(&token, 1000), Ok(session));
        assert_eq!(tokens.find(&token, 1001), Err("the session token is another user's"));
        tokens.revoke(session);
        assert!(tokens.find(&token, 1000).is_err());
    }

    #[test]
    fn a_group_is_one_sessions_until_its_end_and_nobody_elses() {
        let tokens = Tokens::default();
        let session = SessionId(Uuid::from_u128(1));
        tokens.runs_in(session, 1000, "/a".to_owned());
        let agents = || [("/a", 1000), ("/a", 1001), ("/b", 1000)].map(|(g, uid)| tokens.agent_in(g, uid));
        assert_eq!(agents(), [Some(session), None, None]);
        tokens.revoke(session);
        assert_eq!(agents(), [None, None, None]);
    }
}
