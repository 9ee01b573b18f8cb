//! Session tokens: what tells an agent from its human. Only hashes are kept. A token narrows what its owner may do;
//! shown by another uid it is refused.

use crate::domain::session::SessionId;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// The SHA-256 of a token.
pub type TokenHash = [u8; 32];

/// Tokens of open sessions, by hash.
#[derive(Debug, Default)]
pub struct Tokens {
    by_hash: RwLock<HashMap<TokenHash, (SessionId, u32)>>,
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

    /// Forgets a session's tokens.
    pub fn revoke(&self, session: SessionId) {
        self.by_hash.write().unwrap_or_else(PoisonError::into_inner).retain(|_, (s, _)| *s != session);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_hash.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
}
