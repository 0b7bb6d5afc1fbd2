//! The keys that secrets are sealed with, and the file that they are read from.
//!
//! One key a line, 64 hexadecimal digits. The first seals; all of them open, so that a key can be replaced while the platform
//! runs: add the new one as the last line everywhere, make it the first everywhere, seal all secrets anew, remove the old line.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use samovar_model::SecretName;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::sealed::{Sealed, associated};
use super::{SecretError, SecretValue};
use crate::{durable, random};

const KEY_BYTES: usize = 32;
/// More than any list of keys has.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Why keys cannot be used. No message has a key, or a part of one, in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No line.
    #[error("there is no key in it: make one with `openssl rand -hex 32`")]
    Empty,
    /// A line is no key.
    #[error(
        "line {line} has {characters} characters and is no key: a key is 64 hexadecimal digits, as `openssl rand -hex 32` \
         makes them"
    )]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// How long it is.
        characters: usize,
    },
    /// Others can read the file.
    #[error("others can read {} (mode {mode:04o}): chmod 600 {}", .path.display(), .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in the file cannot be used.
    #[error("{}: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<KeyError>,
    },
    /// The system said no.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A key's fingerprint: 8 hexadecimal digits that tell keys apart, and nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(super) [u8; Self::BYTES]);

impl KeyId {
    pub(super) const BYTES: usize = 4;

    fn of(key: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(b"samovar secrets key\n").chain_update(key).finalize();
        Self(*digest.first_chunk().expect("a digest has 32 bytes"))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// One or more keys; never none. Cheap to clone.
#[derive(Clone)]
pub struct SecretKeys(Arc<[SecretKey]>);

/// Erased when dropped, by the cipher that holds it.
struct SecretKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKeys({})", self.fingerprints())
    }
}

impl SecretKeys {
    /// From their text.
    ///
    /// # Errors
    /// When there is none, or a line is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        let keys: Arc<[_]> = lines.map(|(index, line)| SecretKey::parse(index + 1, line)).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// From a file that only its owner can read. Blocks on the disk.
    ///
    /// # Errors
    /// When others can read it, it cannot be read, or there are no keys in it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |error| KeyError::Io { path: path.to_owned(), error };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let mode = metadata.mode() & 0o777;
        // A file that is another's, as root's in a container, may be meant to be read through its group.
        let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
        if mode & if is_own { 0o077 } else { 0o027 } != 0 {
            return Err(KeyError::Open { path: path.to_owned(), mode });
        }
        if metadata.len() > MAX_FILE_BYTES {
            return Err(failed(io::Error::other(format!("{} bytes are no list of keys", metadata.len()))));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
        Self::parse(&text).map_err(|error| KeyError::File { path: path.to_owned(), error: Box::new(error) })
    }

    /// Makes a file with a new key in it, for its owner only and durable. Blocks on the disk.
    pub(crate) fn make(dir: &Path, name: &str) -> Result<Self, KeyError> {
        let path = dir.join(name);
        let failed = |error| KeyError::Io { path: path.clone(), error };
        let key = Zeroizing::new(random::bytes::<KEY_BYTES>().map_err(failed)?);
        let text = Zeroizing::new(format!("{}\n", hex::encode(*key)));
        durable::write_private(dir, name, text.as_bytes()).map_err(failed)?;
        Self::parse(&text)
    }

    /// The key that seals.
    pub fn current(&self) -> KeyId {
        self.0[0].id
    }

    /// Whether one of the keys is this one.
    pub fn has(&self, id: KeyId) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    fn fingerprints(&self) -> String {
        self.0.iter().map(|key| key.id.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Seals a value under this name and version.
    pub(super) fn seal(&self, name: &SecretName, version: u64, value: &SecretValue) -> io::Result<Sealed> {
        let nonce = random::bytes()?;
        let SecretKey { id, cipher } = &self.0[0];
        let payload = Payload { msg: value.expose().as_bytes(), aad: &associated(name, version) };
        let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload);
        Ok(Sealed::new(*id, nonce, &ciphertext.expect("a value is far below 256 GiB")))
    }

    /// Opens a value that was sealed under this name and version.
    ///
    /// # Errors
    /// [`SecretError::OtherKey`] and [`SecretError::Damaged`].
    pub(super) fn open(&self, name: &SecretName, version: u64, sealed: &Sealed) -> Result<SecretValue, SecretError> {
        let id = sealed.key();
        // Fingerprints are short: two keys may share one.
        let mut candidates = self.0.iter().filter(|key| key.id == id).peekable();
        if candidates.peek().is_none() {
            return Err(SecretError::OtherKey { name: name.clone(), key: id, own: self.fingerprints() });
        }
        let (nonce, ciphertext) = sealed.parts();
        let associated = associated(name, version);
        let open = |key: &SecretKey| {
            let payload = Payload { msg: ciphertext, aad: &associated };
            key.cipher.decrypt(&XNonce::from(nonce), payload).ok()
        };
        let damaged = || SecretError::Damaged(name.clone());
        let bytes = candidates.find_map(open).ok_or_else(damaged)?;
        SecretValue::new(bytes).map_err(|_| damaged())
    }
}

impl SecretKey {
    fn parse(line: usize, text: &str) -> Result<Self, KeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let malformed = |_| KeyError::Malformed { line, characters: text.chars().count() };
        hex::decode_to_slice(text, &mut *key).map_err(malformed)?;
        Ok(Self { id: KeyId::of(&key), cipher: XChaCha20Poly1305::new((&*key).into()) })
    }
}

#[cfg(test)]
mod tests;
