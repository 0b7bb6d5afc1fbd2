//! A secret's value in the open: erased when dropped, and never printed.

use std::fmt;

use samovar_model::MAX_SECRET_BYTES;
use zeroize::{Zeroize as _, Zeroizing};

/// A value. It is text, since `wasi:config` hands it to guests as text.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

/// Why bytes cannot be a secret's value. The message tells nothing of them but their number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretValueError {
    /// Nothing.
    #[error("the value is empty; `samovar secret remove` removes a secret")]
    Empty,
    /// Too much.
    #[error("the value has {0} bytes or more, {MAX_SECRET_BYTES} at most")]
    TooLarge(usize),
    /// Not text.
    #[error(
        "the value is not text in UTF-8, as which functions read it: encode what is not text, for instance as base64"
    )]
    NotText,
}

impl SecretValue {
    /// Takes the bytes over; they are erased also where they cannot be a value.
    ///
    /// # Errors
    /// When they are none, too many, or not UTF-8.
    pub fn new(mut bytes: Vec<u8>) -> Result<Self, SecretValueError> {
        let refused = match std::str::from_utf8(&bytes) {
            _ if bytes.is_empty() => SecretValueError::Empty,
            _ if bytes.len() > MAX_SECRET_BYTES => SecretValueError::TooLarge(bytes.len()),
            Ok(text) => {
                let value = Self(Zeroizing::new(text.to_owned()));
                bytes.zeroize();
                return Ok(value);
            }
            Err(_) => SecretValueError::NotText,
        };
        bytes.zeroize();
        Err(refused)
    }

    /// The value itself. Whoever asks for it answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_neither_printed_nor_repeated_when_it_is_refused() {
        let value = SecretValue::new(b"sk_live_51".to_vec()).unwrap();
        assert_eq!((value.expose(), format!("{value:?}").as_str()), ("sk_live_51", "SecretValue(…)"));
        let refusals = [
            (vec![], "the value is empty; `samovar secret remove` removes a secret"),
            (vec![b'x'; MAX_SECRET_BYTES + 1], "the value has 65537 bytes or more, 65536 at most"),
            (b"sk_live_\xff".to_vec(), "the value is not text in UTF-8"),
        ];
        for (bytes, expected) in refusals {
            let refusal = SecretValue::new(bytes).unwrap_err().to_string();
            assert!(refusal.starts_with(expected) && !refusal.contains("sk_live"), "{refusal}");
        }
        assert!(SecretValue::new(vec![b'x'; MAX_SECRET_BYTES]).is_ok());
    }
}
