//! A value as it is kept: encrypted, and bound to its name and version.
//!
//! ```text
//! 1 byte     the form: 1
//! 4 bytes    the key's fingerprint
//! 24 bytes   the nonce, random
//! the rest   the value in XChaCha20-Poly1305, with 16 bytes of tag
//! ```
//!
//! Authenticated with it, and not stored: `samovar secret`, the version (8 bytes, big-endian) and the name. So what is put under
//! another name, or under another version of its own, does not open. A nonce of 24 random bytes does not repeat in
//! practice (draft-irtf-cfrg-xchacha), however many values a key seals.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use samovar_model::SecretName;
use serde::{Deserialize, Serialize};

use super::keys::KeyId;

pub(super) const FORM: u8 = 1;
pub(super) const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + KeyId::BYTES + NONCE_BYTES;

/// A sealed value: as bytes, or as base64 in JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sealed(Vec<u8>);

/// A text that is no sealed value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a sealed value that this samovar can read")]
pub struct SealedError;

impl Sealed {
    pub(super) fn new(key: KeyId, nonce: [u8; NONCE_BYTES], ciphertext: &[u8]) -> Self {
        let head = [FORM].into_iter().chain(key.0).chain(nonce);
        Self(head.chain(ciphertext.iter().copied()).collect())
    }

    /// Which key it was sealed with.
    pub fn key(&self) -> KeyId {
        let (_, rest) = self.0.split_at(1);
        KeyId(*rest.first_chunk().expect("the length was checked"))
    }

    /// Its nonce and ciphertext.
    pub(super) fn parts(&self) -> ([u8; NONCE_BYTES], &[u8]) {
        let (head, ciphertext) = self.0.split_at(HEAD_BYTES);
        (*head.last_chunk().expect("the length was checked"), ciphertext)
    }
}

/// What a value is authenticated with.
pub(super) fn associated(name: &SecretName, version: u64) -> Vec<u8> {
    [b"samovar secret".as_slice(), &version.to_be_bytes(), name.as_str().as_bytes()].concat()
}

/// Without the bytes: they would fill a log.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes with key {})", self.0.len(), self.key())
    }
}

impl TryFrom<String> for Sealed {
    type Error = SealedError;

    fn try_from(text: String) -> Result<Self, SealedError> {
        let bytes = STANDARD.decode(text).map_err(|_| SealedError)?;
        let whole = bytes.first() == Some(&FORM) && bytes.len() >= HEAD_BYTES + TAG_BYTES;
        if whole { Ok(Self(bytes)) } else { Err(SealedError) }
    }
}

impl From<Sealed> for String {
    fn from(sealed: Sealed) -> Self {
        STANDARD.encode(sealed.0)
    }
}
