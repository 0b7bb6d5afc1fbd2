//! Settings from the manifest's `[function.NAME.config]` (`wasi:config`), which `samovar config set` changes without a build.
//!
//! ```toml
//! [function.shop.config]
//! currency = "EUR"
//! free_from = "5000"
//! ```
//! ```
//! use samovar_sdk::{Result, config, handler, testing::Host};
//!
//! #[handler]
//! async fn shipping() -> Result<String> {
//!     let cents: u32 = config::parse("free_from")?;
//!     let currency = config::get("currency").unwrap_or_else(|_| "EUR".into());
//!     Ok(format!("free from {} {currency}\n", cents / 100))
//! }
//!
//! assert_eq!(Host::new().config("free_from", "5000").call(shipping()).text(), "free from 50 EUR\n");
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::guest;

/// The value of a key.
///
/// # Errors
/// [`ConfigError`] where it is not set. With `?` that is a 500, and the log says which key is missing.
///
/// ```
/// use samovar_sdk::{config, testing::Host};
///
/// let host = Host::new().config("currency", "EUR");
/// assert_eq!(host.call(async { config::get("currency").unwrap() }).text(), "EUR");
/// ```
pub fn get(key: &str) -> Result<String, ConfigError> {
    match guest::config(key) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(ConfigError::Missing { key: key.to_owned() }),
        Err(reason) => Err(ConfigError::Unavailable { reason }),
    }
}

/// The value of a key, parsed.
///
/// # Errors
/// As [`get`], and [`ConfigError::Invalid`] where the text cannot be parsed.
///
/// ```
/// use samovar_sdk::{config, testing::Host};
///
/// let host = Host::new().config("limit", "many");
/// let answer = host.call(async { config::parse::<u32>("limit").unwrap_err().to_string() });
/// assert_eq!(answer.text(), "config `limit` is `many`: invalid digit found in string");
/// ```
pub fn parse<T: FromStr<Err: fmt::Display>>(key: &str) -> Result<T, ConfigError> {
    let value = get(key)?;
    value.parse().map_err(|error: T::Err| {
        let reason = error.to_string();
        ConfigError::Invalid { key: key.to_owned(), value, reason }
    })
}

/// All keys with their values.
///
/// # Errors
/// [`ConfigError::Unavailable`].
///
/// ```
/// use samovar_sdk::{Json, config, testing::Host};
///
/// let host = Host::new().config("currency", "EUR");
/// assert_eq!(host.call(async { Json(config::all().unwrap()) }).text(), r#"{"currency":"EUR"}"#);
/// ```
pub fn all() -> Result<BTreeMap<String, String>, ConfigError> {
    let all = guest::all_config().map_err(|reason| ConfigError::Unavailable { reason })?;
    Ok(all.into_iter().collect())
}

/// Why a setting could not be read. With `?` it is a 500, for the log alone.
///
/// ```
/// let error = samovar_sdk::config::ConfigError::Missing { key: "currency".into() };
/// assert!(error.to_string().contains("[function.….config] of samovar.toml"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// It is not set.
    Missing {
        /// The key.
        key: String,
    },
    /// It is set to what cannot be parsed.
    Invalid {
        /// The key.
        key: String,
        /// What it is set to.
        value: String,
        /// Why that is not right.
        reason: String,
    },
    /// The platform cannot tell.
    Unavailable {
        /// What it says.
        reason: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => {
                write!(f, "config `{key}` is not set: set it in [function.….config] of samovar.toml")
            }
            Self::Invalid { key, value, reason } => write!(f, "config `{key}` is `{value}`: {reason}"),
            Self::Unavailable { reason } => write!(f, "config cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for ConfigError {}
