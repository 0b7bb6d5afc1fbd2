//! The names of secrets. Their values are never plain data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest value of a secret: 64 KiB.
pub const MAX_SECRET_BYTES: usize = 64 << 10;

/// The name of a secret, as in `STRIPE_KEY`: 1 to 63 of `a-z`, `A-Z`, `0-9`, `-` and `_`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

/// A text that is not the name of a secret. It may be the secret itself, so the message does not repeat it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a secret's name: use 1 to 63 of a-z, A-Z, 0-9, `-` and `_`, beginning with a letter")]
pub struct SecretNameError;

impl SecretName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let valid = (1..=63).contains(&text.len())
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && text.bytes().all(allowed);
        if valid { Ok(Self(text.to_owned())) } else { Err(SecretNameError) }
    }
}

impl TryFrom<String> for SecretName {
    type Error = SecretNameError;

    fn try_from(text: String) -> Result<Self, SecretNameError> {
        text.parse()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_name_is_not_repeated() {
        let error = "sk_live/4eC39HqLyjWDarjtT1".parse::<SecretName>().expect_err("a slash").to_string();
        assert!(!error.contains("sk_live"), "{error}");
        assert!("STRIPE_KEY".parse::<SecretName>().is_ok());
        assert!("1KEY".parse::<SecretName>().is_err());
    }
}
