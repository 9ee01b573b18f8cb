//! Encrypting one credential: AES-256-GCM, a random nonce each time; computer, holder, name and key id are bound to it as
//! associated data, so that no row can stand in for another. Nothing here speaks to a database.

use crate::config::keys::Key;
use crate::domain::credential::{CredentialName, CredentialValue, KeyId, Secret};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::zeroize::Zeroize;

/// A credential as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub key_id: KeyId,
    /// The nonce.
    pub nonce: Vec<u8>,
    /// The value, encrypted, and its tag.
    pub sealed: Vec<u8>,
}

/// Why a credential could not be encrypted or decrypted. Says nothing about why: whoever attacks would learn from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There are no random numbers.
    #[error("there are no random numbers")]
    Random,
    /// It was not encrypted with this key, as this credential.
    #[error("it was changed, or not encrypted with this key")]
    Unreadable,
}

/// Which credential it is.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    /// Of which machine.
    pub computer: &'a str,
    /// Whose.
    pub holder: &'a str,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Which<'a> {
    /// The credential of this name.
    pub fn of(computer: &'a str, holder: &'a str, name: &'a CredentialName) -> Self {
        Self { computer, holder, name: name.as_str() }
    }

    /// Every part with its length before it: no two credentials have the same.
    fn bound(&self, key: &KeyId) -> Vec<u8> {
        let mut bytes = b"teleclaude credential 1\0".to_vec();
        for part in [self.computer, self.holder, self.name, &key.0] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

/// Encrypts a value.
///
/// # Errors
/// No random numbers.
pub fn seal(key: &Key, which: Which<'_>, value: &CredentialValue) -> Result<Sealed, SealError> {
    let mut nonce = [0u8; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
    let text = value.expose().as_bytes();
    // As long as it will be, so that it is encrypted where it stands and never moved in the clear.
    let mut bytes = Vec::with_capacity(text.len() + AES_256_GCM.tag_len());
    bytes.extend_from_slice(text);
    cipher(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(which.bound(&key.id)),
            &mut bytes,
        )
        .map_err(|_| SealError::Unreadable)?;
    Ok(Sealed { key_id: key.id.clone(), nonce: nonce.to_vec(), sealed: bytes })
}

/// Decrypts a value.
///
/// # Errors
/// [`SealError::Unreadable`].
pub fn open(key: &Key, which: Which<'_>, sealed: &Sealed) -> Result<CredentialValue, SealError> {
    let wrong = SealError::Unreadable;
    let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| wrong)?;
    let mut bytes = sealed.sealed.clone();
    let text = cipher(key)?
        .open_in_place(nonce, Aad::from(which.bound(&key.id)), &mut bytes)
        .map_err(|_| wrong)
        .and_then(|text| std::str::from_utf8(text).map_err(|_| wrong))
        .map(|text| Secret::from(text.to_owned()));
    bytes.zeroize();
    CredentialValue::parse(text?).map_err(|_| wrong)
}

fn cipher(key: &Key) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key.bytes()).map(LessSafeKey::new).map_err(|_| SealError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::{SealError, Which, open, seal};
    use crate::config::keys::Key;
    use crate::domain::credential::{CredentialValue, Secret};
    use proptest::prelude::{prop_assert_eq, prop_assert_ne, proptest};

    const WHICH: Which<'_> = Which { computer: "here", holder: "ann/1", name: "API_KEY" };

    fn value(text: &str) -> CredentialValue {
        CredentialValue::parse(Secret::from(text.to_owned())).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(text in "[^\0]{1,200}", key in proptest::array::uniform32(0u8..)) {
            let key = Key::new(key);
            let sealed = seal(&key, WHICH, &value(&text)).unwrap();
            prop_assert_eq!(open(&key, WHICH, &sealed).unwrap(), value(&text));
            prop_assert_ne!(seal(&key, WHICH, &value(&text)).unwrap().nonce, sealed.nonce);
        }
    }

    #[test]
    fn no_row_stands_in_for_another() {
        let key = Key::new([7; 32]);
        let sealed = seal(&key, WHICH, &value("invented")).unwrap();
        for other in [
            Which { computer: "there", ..WHICH },
            Which { holder: "bob/2", ..WHICH },
            Which { name: "API_KEX", ..WHICH },
            Which { holder: "ann/1A", name: "PI_KEY", ..WHICH },
        ] {
            assert_eq!(open(&key, other, &sealed), Err(SealError::Unreadable), "{other:?}");
        }
        assert!(open(&Key::new([8; 32]), WHICH, &sealed).is_err());
        for i in 0..sealed.sealed.len() {
            let mut changed = sealed.clone();
            changed.sealed[i] ^= 1;
            assert!(open(&key, WHICH, &changed).is_err());
        }
        for nonce in [vec![], vec![0; 11], vec![0; 13]] {
            let mut changed = sealed.clone();
            changed.nonce = nonce;
            assert!(open(&key, WHICH, &changed).is_err());
        }
        assert!(!sealed.sealed.windows(8).any(|bytes| bytes == b"invented"));
    }
}
