//! Calling other functions of the platform by name: without a socket, and with what is left of the caller's own time.
//!
//! ```toml
//! [function.shop]
//! allow_functions = ["cart"]
//! ```
//! ```
//! use samovar_sdk::{Request, Result, functions, handler, testing::Host};
//!
//! #[handler]
//! async fn shop() -> Result<String> {
//!     let answer = functions::call("cart", Request::get("/cart/7").body(())?).await?;
//!     Ok(format!("cart 7 is {}\n", answer.into_body().text().await?))
//! }
//!
//! let host = Host::new().function("cart", async |_request| "empty");
//! assert_eq!(host.call(shop()).text(), "cart 7 is empty\n");
//! ```

use std::fmt;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{StatusCode, Uri};

use crate::outbound::{SendError, send};
use crate::{Body, Response};

/// Under which functions have their names.
pub(crate) const DOMAIN: &str = "samovar.internal";

/// Calls another function, and waits for the head of its answer; the body streams. The request's URI is the path that the function
/// sees, `/cart/7`; a host in it is replaced.
///
/// It is a request to `http://NAME.samovar.internal/…`, which [`send`](crate::send) would take as well.
///
/// # Errors
/// [`CallError`] says whether it was refused, is not there, or took too long. With `?` that is a 502, 503 or 504. An answer with an
/// error status is an answer, not an error.
///
/// # Cancel safety
/// Dropping the future drops the call.
///
/// ```
/// use samovar_sdk::{Request, functions, testing::Host};
///
/// let answer = Host::new().call(async {
///     let request = Request::get("/cart/7").body(()).unwrap();
///     functions::call("cart", request).await.unwrap_err().to_string()
/// });
/// assert!(answer.text().contains("add it to `allow_functions = [\"cart\"]` of samovar.toml"));
/// ```
pub async fn call<B: Into<Body>>(function: &str, request: http::Request<B>) -> Result<Response, CallError> {
    let (mut parts, body) = request.into_parts();
    parts.uri = uri(function, &parts.uri).map_err(|reason| CallError::Invalid { function: function.into(), reason })?;
    let answer = send(http::Request::from_parts(parts, body)).await;
    answer.map_err(|error| CallError::new(function, error))
}

fn uri(function: &str, called: &Uri) -> Result<Uri, String> {
    if function.is_empty() || !function.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Err("not a function's name".into());
    }
    let authority = Authority::try_from(format!("{function}.{DOMAIN}")).map_err(|error| error.to_string())?;
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(called.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

/// Why [`call`] got no answer.
///
/// ```
/// use samovar_sdk::{Error, functions::CallError};
///
/// let denied = CallError::Denied { function: "cart".into() };
/// assert_eq!(Error::from(denied).status(), 500);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The request cannot be sent. As a response a 500.
    Invalid {
        /// Whom it was for.
        function: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest does not name the function. As a response a 500.
    Denied {
        /// Which one.
        function: String,
    },
    /// Functions that call functions have come to the end of what may stand behind one another. As a response a 508.
    TooDeep {
        /// Who was called last.
        function: String,
    },
    /// Nobody has deployed it, or there is no room for the call. As a response a 503.
    Unavailable {
        /// Which one.
        function: String,
        /// What the platform says.
        reason: String,
    },
    /// It took too long. As a response a 504.
    TimedOut {
        /// Which one.
        function: String,
        /// What the platform says.
        reason: String,
    },
    /// It broke off. As a response a 502.
    Failed {
        /// Which one.
        function: String,
        /// What the platform says.
        reason: String,
    },
}

impl CallError {
    fn new(function: &str, error: SendError) -> Self {
        let function = function.to_owned();
        match error {
            SendError::Invalid(reason) => Self::Invalid { function, reason },
            SendError::Denied(_) => Self::Denied { function },
            SendError::TooDeep(_) => Self::TooDeep { function },
            SendError::Unreachable(reason) => Self::Unavailable { function, reason },
            SendError::TimedOut(reason) => Self::TimedOut { function, reason },
            SendError::Failed(reason) => Self::Failed { function, reason },
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::Denied { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooDeep { .. } => StatusCode::LOOP_DETECTED,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed { .. } => StatusCode::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { function, reason } => write!(f, "function `{function}` cannot be called: {reason}"),
            Self::Denied { function } => write!(
                f,
                "function `{function}` may not be called: add it to `allow_functions = [\"{function}\"]` of samovar.toml"
            ),
            Self::TooDeep { function } => {
                write!(f, "function `{function}` is not called: functions call one another in a circle, or too deep")
            }
            Self::Unavailable { function, reason } => write!(f, "function `{function}` cannot be reached: {reason}"),
            Self::TimedOut { function, reason } => write!(f, "function `{function}` took too long: {reason}"),
            Self::Failed { function, reason } => write!(f, "function `{function}` broke off: {reason}"),
        }
    }
}

impl std::error::Error for CallError {}
