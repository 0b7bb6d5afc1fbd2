//! Secrets that the manifest grants by name, set with `samovar secret set`. A new value is seen without a deploy.
//!
//! ```toml
//! [function.pay]
//! secrets = ["STRIPE_KEY"]
//! ```
//! ```
//! use samovar_sdk::{Request, Response, Result, handler, secret, send, testing::Host};
//!
//! #[handler]
//! async fn pay() -> Result<Response> {
//!     let key = secret::get("STRIPE_KEY")?;
//!     let request = Request::post("https://api.stripe.com/v1/charges").header("authorization", key.bearer()?);
//!     send(request.body(())?).await.map_err(Into::into)
//! }
//!
//! let host = Host::new()
//!     .secret("STRIPE_KEY", "sk_1")
//!     .outbound(async |request| format!("{:?}", request.headers()["authorization"]));
//! assert_eq!(host.call(pay()).text(), "Sensitive");
//! ```

use std::fmt;

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use subtle::ConstantTimeEq;

use crate::guest;

/// A secret.
///
/// # Errors
/// [`SecretError`] where it is not granted or not set. With `?` that is a 500, and the log says what to do.
///
/// ```
/// use samovar_sdk::{secret, testing::Host};
///
/// let host = Host::new().secret("STRIPE_KEY", "sk_1");
/// let answer = host.call(async { format!("{:?}", secret::get("STRIPE_KEY").unwrap()) });
/// assert_eq!(answer.text(), "Secret(…)");
/// ```
pub fn get(name: &str) -> Result<Secret, SecretError> {
    match guest::secret(name) {
        Ok(Some(value)) => Ok(Secret(value)),
        Ok(None) => Err(SecretError::Missing { name: name.to_owned() }),
        Err(reason) => Err(SecretError::Unavailable { name: name.to_owned(), reason }),
    }
}

/// A secret's value. It shows itself to [`expose`](Self::expose) alone, and not to `{}` or `{:?}`, so that it gets into no log.
///
/// ```
/// let secret = samovar_sdk::secret::Secret::from("sk_1");
/// assert_eq!(format!("{secret} {secret:?}"), "… Secret(…)");
/// assert_eq!(secret.expose(), "sk_1");
/// ```
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The value.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::secret::Secret::from("sk_1").expose(), "sk_1");
    /// ```
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is this text, in a time that does not tell how much of it is right.
    ///
    /// ```
    /// let token = samovar_sdk::secret::Secret::from("let me in");
    /// assert!(token.matches("let me in") && !token.matches("let me"));
    /// ```
    pub fn matches(&self, text: impl AsRef<[u8]>) -> bool {
        self.0.as_bytes().ct_eq(text.as_ref()).into()
    }

    /// The value of an `authorization` header, `Bearer` and the secret, which headers do not show either.
    ///
    /// # Errors
    /// The secret has characters that no header can have, such as a line break at its end.
    ///
    /// ```
    /// let header = samovar_sdk::secret::Secret::from("sk_1").bearer().unwrap();
    /// assert_eq!(header, "Bearer sk_1");
    /// ```
    pub fn bearer(&self) -> Result<HeaderValue, InvalidHeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(value: T) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Why a secret could not be read. With `?` it is a 500, for the log alone.
///
/// ```
/// let error = samovar_sdk::secret::SecretError::Missing { name: "STRIPE_KEY".into() };
/// assert!(error.to_string().contains("`samovar secret set STRIPE_KEY`"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// The manifest does not grant it, or nobody has set it.
    Missing {
        /// Its name.
        name: String,
    },
    /// The platform cannot tell.
    Unavailable {
        /// Its name.
        name: String,
        /// What the platform says.
        reason: String,
    },
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { name } => write!(
                f,
                "secret `{name}` is not there: name it in `secrets = [\"{name}\"]` of samovar.toml, and set it with `samovar secret set {name}`"
            ),
            Self::Unavailable { name, reason } => write!(f, "secret `{name}` cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for SecretError {}
