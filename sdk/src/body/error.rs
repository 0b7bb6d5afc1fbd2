//! What a body says when it breaks off.

use std::fmt;

use super::BoxError;

/// A body that broke off: the peer went away, or the stream behind it failed.
///
/// ```
/// use samovar_sdk::{Body, BodyError, Result};
///
/// async fn count(body: Body) -> Result<usize, BodyError> {
///     Ok(body.bytes().await?.len())
/// }
/// # assert_eq!(samovar_sdk::testing::block_on(count(Body::from("abc"))).unwrap(), 3);
/// ```
#[derive(Debug)]
pub struct BodyError(pub(crate) BoxError);

impl BodyError {
    /// Wraps what went wrong.
    ///
    /// ```
    /// let error = samovar_sdk::BodyError::new("disk full");
    /// assert_eq!(error.to_string(), "disk full");
    /// ```
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
