//! Signed notes in the form of C2SP signed-note: a text, an empty line, and a line `— name base64` for each Ed25519
//! signature; and the keys in its form. No randomness here: the seed of a new key is an argument.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::fmt;

/// The algorithm's byte before an Ed25519 key.
const ALGORITHM: u8 = 1;
/// What a signature line begins with.
const DASH: &str = "\u{2014} ";
/// What a secret key's text begins with.
const SECRET: &str = "PRIVATE+KEY+";
/// Bytes of an Ed25519 signature; what else may sign beside it has longer ones.
const SIGNATURE_BYTES: usize = 64;
/// Bytes of one note that are read, at most.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Why something is no key or no note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is no key in the form `name+hash+base64`.
    #[error("this is no key in the form name+hash+base64")]
    NotAKey,
    /// The text is no signed note.
    #[error("this is no signed note")]
    NotANote,
    /// None of the keys that are trusted has signed it.
    #[error("no trusted key has signed it; it says it is signed by {0}")]
    UnknownKey(String),
    /// It bears the mark of a trusted key, but the signature is not right.
    #[error("the signature of {0} does not fit: the text was changed, or it was not signed with this key")]
    BadSignature(String),
}

/// Makes a key's name out of a computer's: neither spaces nor `+` may be in it.
pub fn key_name(computer: &str) -> String {
    let name: String = computer
        .chars()
        .map(|c| if c.is_whitespace() || c.is_control() || c == '+' { '-' } else { c })
        .collect();
    if name.is_empty() { "teleclaude".to_owned() } else { name }
}

/// A public key with the name it signs by.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// Reads `name+hash+base64`.
    ///
    /// # Errors
    /// [`NoteError::NotAKey`]; also if the hash is not that of the key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::NotAKey);
        };
        let public = key_bytes(key)?;
        let key = Self { name: name.to_owned(), public };
        if key_name(name) != name || name == "PRIVATE" || key.hash_hex() != hash {
            return Err(NoteError::NotAKey);
        }
        Ok(key)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the hash of name and key: what a signature says it is of.
    pub fn id(&self) -> [u8; 4] {
        let mut sha = Sha256::new();
        sha.update(self.name.as_bytes());
        sha.update([b'\n', ALGORITHM]);
        sha.update(self.public);
        let hash = sha.finalize();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    fn hash_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id()))
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, self.hash_hex(), key_text(&self.public))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// A secret key. Not shown by `Debug`; [`Self::to_secret_text`] is for its file only.
pub struct SigningKey {
    name: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The key of this seed, which has to be 32 random bytes.
    ///
    /// # Errors
    /// [`NoteError::NotAKey`] if the name cannot be one.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, NoteError> {
        if key_name(name) != name {
            return Err(NoteError::NotAKey);
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoteError::NotAKey)?;
        Ok(Self { name: name.to_owned(), seed, pair })
    }

    /// Reads what [`Self::to_secret_text`] wrote.
    ///
    /// # Errors
    /// [`NoteError::NotAKey`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text.trim().strip_prefix(SECRET).ok_or(NoteError::NotAKey)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::NotAKey);
        };
        let key = Self::from_seed(name, key_bytes(key)?)?;
        if key.verifier().hash_hex() != hash {
            return Err(NoteError::NotAKey);
        }
        Ok(key)
    }

    /// The text for the key's file: whoever reads it can sign.
    pub fn to_secret_text(&self) -> String {
        format!("{SECRET}{}+{}+{}", self.name, self.verifier().hash_hex(), key_text(&self.seed))
    }

    /// The public half.
    pub fn verifier(&self) -> VerifierKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        VerifierKey { name: self.name.clone(), public }
    }

    /// The note of `text`, which ends with a line end.
    pub fn sign(&self, text: &str) -> String {
        let mut signature = self.verifier().id().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{DASH}{} {}\n", self.name, BASE64.encode(signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The text of `note`, if one of `keys` has signed it.
///
/// # Errors
/// Why it is not proven.
pub fn open<'n>(note: &'n str, keys: &[VerifierKey]) -> Result<&'n str, NoteError> {
    let (text, signatures) = parts(note)?;
    let mut bad = None;
    for (name, id, signature) in &signatures {
        for key in keys.iter().filter(|key| key.name == *name && key.id() == *id) {
            if UnparsedPublicKey::new(&ED25519, &key.public).verify(text.as_bytes(), signature).is_ok() {
                return Ok(text);
            }
            bad = Some(NoteError::BadSignature((*name).to_owned()));
        }
    }
    let names: Vec<&str> = signatures.iter().map(|(name, _, _)| *name).collect();
    Err(bad.unwrap_or_else(|| NoteError::UnknownKey(names.join(", "))))
}

/// The text of `note`, whoever has signed it: proves nothing.
///
/// # Errors
/// [`NoteError::NotANote`].
pub fn unproven(note: &str) -> Result<&str, NoteError> {
    parts(note).map(|(text, _)| text)
}

/// Whether a note has its end, whoever has signed it: a signature that was cut off in the middle is none.
pub fn is_whole(note: &str) -> bool {
    parts(note)
        .is_ok_and(|(_, signatures)| signatures.iter().all(|(_, _, bytes)| bytes.len() >= SIGNATURE_BYTES))
}

/// Each note in a text of several, one after the other, as `audit.checkpoint.file` holds them. One that was torn off is
/// one for itself: their texts have no empty lines.
pub fn split(text: &str) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = String::new();
    let mut signed = false;
    for line in text.lines() {
        if (signed || note.ends_with("\n\n")) && !line.starts_with(DASH) {
            notes.push(std::mem::take(&mut note));
            signed = false;
        }
        if note.is_empty() && line.is_empty() {
            continue;
        }
        signed = line.starts_with(DASH);
        note.push_str(line);
        note.push('\n');
    }
    if !note.is_empty() {
        notes.push(note);
    }
    notes
}

type Signature<'n> = (&'n str, [u8; 4], Vec<u8>);

fn parts(note: &str) -> Result<(&str, Vec<Signature<'_>>), NoteError> {
    let bad_text = note.chars().any(|c| c.is_control() && c != '\n');
    if note.len() > NOTE_BYTES_MAX || !note.ends_with('\n') || bad_text {
        return Err(NoteError::NotANote);
    }
    let at = note.rfind("\n\n").ok_or(NoteError::NotANote)?;
    let (text, lines) = (&note[..=at], &note[at + 2..]);
    let signatures = lines
        .lines()
        .map(|line| {
            let (name, signature) = line.strip_prefix(DASH)?.split_once(' ')?;
            let bytes = BASE64.decode(signature).ok()?;
            let (id, signature) = bytes.split_first_chunk::<4>()?;
            Some((name, *id, signature.to_vec()))
        })
        .collect::<Option<Vec<_>>>()
        .filter(|all| !all.is_empty())
        .ok_or(NoteError::NotANote)?;
    Ok((text, signatures))
}

fn key_text(key: &[u8; 32]) -> String {
    let mut bytes = vec![ALGORITHM];
    bytes.extend_from_slice(key);
    BASE64.encode(bytes)
}

fn key_bytes(text: &str) -> Result<[u8; 32], NoteError> {
    let bytes = BASE64.decode(text).map_err(|_| NoteError::NotAKey)?;
    match bytes.split_first() {
        Some((&ALGORITHM, key)) => key.try_into().map_err(|_| NoteError::NotAKey),
        _ => Err(NoteError::NotAKey),
    }
}

#[cfg(test)]
mod tests {
    use super::{NoteError, SigningKey, VerifierKey, is_whole, key_name, open, split, unproven};
    use proptest::prelude::{any, proptest};

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed("build-1", [byte; 32]).unwrap()
    }

    #[test]
    fn the_form_is_that_of_the_published_example() {
        // RFC 8032, test 1: seed and public key; the note's form around them.
        let seed = [
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
            0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ];
        let key = SigningKey::from_seed("example.com/log", seed).unwrap();
        let public = key.verifier().to_string();
        assert!(public.starts_with("example.com/log+"), "{public}");
        assert!(public.ends_with("+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"), "{public}");
        let note = key.sign("one\ntwo\n");
        assert!(note.starts_with("one\ntwo\n\n\u{2014} example.com/log "), "{note}");
        assert_eq!(open(&note, &[key.verifier()]), Ok("one\ntwo\n"));
    }

    #[test]
    fn keys_are_read_back_and_never_shown() {
        let secret = key(7);
        let text = secret.to_secret_text();
        assert_eq!(SigningKey::parse(&text).unwrap().to_secret_text(), text);
        let public = secret.verifier();
        assert_eq!(VerifierKey::parse(&public.to_string()), Ok(public.clone()));
        assert!(!format!("{secret:?}").contains(&text[20..]), "{secret:?}");
        for wrong in
            ["", "a+b", "build-1+00000000+AQ==", &text, &public.to_string().replace("build", "built")]
        {
            assert_eq!(VerifierKey::parse(wrong), Err(NoteError::NotAKey), "{wrong}");
        }
        assert_eq!(key_name("my +box"), "my--box");
    }

    #[test]
    fn who_signed_it_is_told() {
        let note = key(1).sign("text\n");
        let trusted = [key(2).verifier(), key(1).verifier()];
        assert_eq!(open(&note, &trusted), Ok("text\n"));
        assert_eq!(open(&note, &trusted[..1]), Err(NoteError::UnknownKey("build-1".to_owned())));
        let changed = note.replace("text", "test");
        assert_eq!(open(&changed, &trusted), Err(NoteError::BadSignature("build-1".to_owned())));
        for broken in ["", "text\n", "text\n\n", &note[..note.len() - 1], &note.replace("\u{2014}", "-")] {
            assert_eq!(open(broken, &trusted), Err(NoteError::NotANote), "{broken}");
        }
        assert_eq!(unproven(&note), Ok("text\n"));
    }

    #[test]
    fn several_notes_in_one_file() {
        let (one, two) = (key(1).sign("a\nb\n"), key(1).sign("c\n"));
        assert_eq!(split(&format!("{one}{two}")), [one.clone(), two.clone()]);
        assert_eq!(split(&format!("\n{one}\n\n{two}\n")), [one.clone(), two.clone()]);
        assert!(split("").is_empty());
        // Wherever one was torn off, those around it are whole.
        for at in (1..one.len()).filter(|at| one.is_char_boundary(*at)) {
            let found = split(&format!("{two}\n{}\n\n{two}\n", &one[..at]));
            let whole = found.iter().filter(|note| **note == two).count();
            let torn = found.iter().filter(|note| !is_whole(note)).count();
            // All but its last line end is all of it.
            assert_eq!((whole, torn > 0), (2, at + 1 < one.len()), "{at}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_an_error(text in any::<String>()) {
            let _ = open(&text, &[key(1).verifier()]);
            let _ = VerifierKey::parse(&text);
            let _ = split(&text);
        }
    }
}
