//! Requests that a function makes itself.

use std::fmt;

use crate::{Body, Response, guest};

/// Sends a request to another server, and waits for the head of its answer; the body streams.
///
/// The URL is absolute. The manifest's `allow_outbound` must name its host: nothing is allowed by default. Several requests at
/// once are several futures joined, with any crate that joins futures.
///
/// # Errors
/// [`SendError`] says whether it was refused, did not reach the other side, or took too long. With `?` that is a 502 or a 504. An
/// answer with an error status is an answer, not an error.
///
/// # Cancel safety
/// Dropping the future drops the request.
///
/// ```
/// use samovar_sdk::{Request, Response, Result, handler, send, testing::Host};
///
/// #[handler]
/// async fn forward() -> Result<Response> {
///     send(Request::get("http://prices.internal/tea").body(())?).await.map_err(Into::into)
/// }
///
/// async fn both() -> Result<String> {
///     let request = |path| Request::get(format!("http://prices.internal{path}")).body(());
///     let (tea, milk) = futures_util::try_join!(send(request("/tea")?), send(request("/milk")?))?;
///     Ok(format!("{} {}", tea.into_body().text().await?, milk.into_body().text().await?))
/// }
/// # let host = Host::new().outbound(async |request| format!("price of {}", request.uri().path()));
/// # assert_eq!(host.call(forward()).text(), "price of /tea");
/// # assert_eq!(host.call(both()).text(), "price of /tea price of /milk");
/// ```
pub async fn send<B: Into<Body>>(request: http::Request<B>) -> Result<Response, SendError> {
    let request = request.map(Into::into);
    if request.uri().authority().is_none() {
        let url = request.uri();
        return Err(SendError::Invalid(format!("`{url}` is not an absolute URL, as in `https://example.com{url}`")));
    }
    guest::send(request).await
}

/// Why [`send`] got no answer. Each says what the platform knows of it.
///
/// ```
/// use samovar_sdk::{Error, SendError};
///
/// fn explain(error: SendError) -> Error {
///     match error {
///         SendError::TimedOut(_) => Error::bad_gateway("the price service is slow today"),
///         error => error.into(), // 502, and the log says why
///     }
/// }
/// # assert_eq!(explain(SendError::Unreachable("refused".into())).status(), 502);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The request itself cannot be sent.
    Invalid(String),
    /// The function may not call this host.
    Denied(String),
    /// The other side cannot be found, or does not accept.
    Unreachable(String),
    /// The other side took too long.
    TimedOut(String),
    /// The other side accepted, and then the exchange failed.
    Failed(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason) => write!(f, "outbound request is invalid: {reason}"),
            Self::Denied(reason) => write!(
                f,
                "outbound request is not allowed ({reason}): name its host in `allow_outbound` of samovar.toml"
            ),
            Self::Unreachable(reason) => write!(f, "outbound request reached nobody: {reason}"),
            Self::TimedOut(reason) => write!(f, "outbound request timed out: {reason}"),
            Self::Failed(reason) => write!(f, "outbound request failed: {reason}"),
        }
    }
}

impl std::error::Error for SendError {}
