//! Passwords, kept as hashes that are dear to try: Argon2id, as the crate `argon2` has it.

use std::sync::LazyLock;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use samovar_sdk::{Error, Result};

/// 7 MiB and five passes, which OWASP's password storage cheat sheet has for where memory is dear: of a function there are many
/// instances, and each keeps the memory that it has once needed. A hash takes some 60 ms on a core.
static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    let params = Params::new(7 << 10, 5, 1, None).expect("within Argon2's own limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// A password's hash, with a salt of its own and the parameters, as text.
pub(crate) fn hash(password: &str) -> Result<String> {
    let hash: PasswordHash = ARGON2.hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

/// Whether the hash is this password's. Where there is none it takes as long, so that the time does not tell which names there are.
pub(crate) fn is_right(password: &str, hash: Option<&[u8]>) -> Result<bool> {
    let Some(hash) = hash else { return self::hash(password).map(|_| false) };
    match ARGON2.verify_password(password.as_bytes(), std::str::from_utf8(hash)?) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(Error::from(error)),
    }
}
