//! Settings from the manifest's `[function.NAME.env]`.

use std::fmt;

/// The value of an environment variable.
///
/// # Errors
/// It is not set, or not UTF-8. With `?` that is a 500, and the log says which variable is missing.
///
/// ```
/// use samovar_sdk::{Result, env, handler, testing::Host};
///
/// #[handler]
/// async fn greet() -> Result<String> {
///     let greeting = env("GREETING")?;
///     let name = env("NAME").unwrap_or_else(|_| "world".into());
///     Ok(format!("{greeting} {name}\n"))
/// }
///
/// assert_eq!(Host::new().env("GREETING", "hello").call(greet()).text(), "hello world\n");
/// ```
pub fn env(name: &str) -> Result<String, EnvError> {
    crate::guest::env(name).ok_or_else(|| EnvError { name: name.to_owned() })
}

/// An environment variable is not set, or not UTF-8.
///
/// ```
/// let error = samovar_sdk::env("NO_SUCH_THING").unwrap_err();
/// assert!(error.to_string().starts_with("environment variable `NO_SUCH_THING` is not set"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvError {
    name: String,
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "environment variable `{}` is not set, or not UTF-8: set it in [function.….env] of samovar.toml",
            self.name
        )
    }
}

impl std::error::Error for EnvError {}
