//! Errors that become responses: a status, what the caller may know, and what only the logs may.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::body::{BodyError, BoxError};
use crate::functions::CallError;
use crate::outbound::SendError;
use crate::{IntoResponse, Response, kv};

/// What handlers return: anything that is [`IntoResponse`], or an [`Error`].
///
/// ```
/// use samovar_sdk::{Error, Result};
///
/// fn half(number: u32) -> Result<u32> {
///     if number % 2 == 0 { Ok(number / 2) } else { Err(Error::bad_request(format!("{number} is odd"))) }
/// }
/// # assert!(half(3).is_err());
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with a status code. As a response it is a problem document (`application/problem+json`, RFC 9457).
///
/// Two audiences: the **detail** goes to the caller; a **source** goes to the function's log (stderr) and never to the caller.
/// Every `std::error::Error` becomes one with `?`: status 500, all of it for the log alone. A failed outbound request
/// ([`SendError`]) or call ([`CallError`](crate::functions::CallError)) becomes a 502, or a 504 when it took too long; a bucket that
/// is full or away ([`kv::Error`](crate::kv::Error)) a 507 or a 503.
///
/// ```
/// use samovar_sdk::{Error, Result};
///
/// fn price(text: &str) -> Result<u32> {
///     let cents: u32 = text.parse()?; // a ParseIntError: 500, and the log says why
///     if cents == 0 {
///         return Err(Error::not_found("no such price")); // 404, and the caller reads why
///     }
///     Ok(cents)
/// }
///
/// assert_eq!(price("x").unwrap_err().status(), 500);
/// assert_eq!(price("0").unwrap_err().status(), 404);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    status: StatusCode,
    detail: Option<String>,
    headers: HeaderMap,
    source: Option<BoxError>,
}

impl Error {
    /// An error with any status; the detail is for the caller.
    ///
    /// ```
    /// use samovar_sdk::{Error, http::StatusCode};
    ///
    /// let error = Error::new(StatusCode::IM_A_TEAPOT, "no coffee here");
    /// assert_eq!(error.to_string(), "418 I'm a teapot: no coffee here");
    /// ```
    pub fn new(status: StatusCode, detail: impl fmt::Display) -> Self {
        Self::from_parts(status, Some(detail.to_string()), None)
    }

    /// A 500 whose reason goes to the log, for errors that are not a `std::error::Error`.
    ///
    /// ```
    /// let error = samovar_sdk::Error::internal("the table of prices is empty");
    /// assert_eq!(error.status(), 500);
    /// ```
    pub fn internal(reason: impl fmt::Display) -> Self {
        Self::from_parts(StatusCode::INTERNAL_SERVER_ERROR, None, Some(reason.to_string().into()))
    }

    /// The same error with another status.
    ///
    /// ```
    /// use samovar_sdk::{Error, http::StatusCode};
    ///
    /// let error = Error::from("x".parse::<u32>().unwrap_err()).with_status(StatusCode::BAD_GATEWAY);
    /// assert_eq!(error.status(), 502);
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same error with a header on its response.
    ///
    /// ```
    /// use samovar_sdk::{Error, http::{HeaderValue, StatusCode, header::RETRY_AFTER}};
    ///
    /// let error = Error::new(StatusCode::SERVICE_UNAVAILABLE, "warming up").with_header(RETRY_AFTER, HeaderValue::from(5));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// The status its response has.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::Error::conflict("version 3 is newer").status(), 409);
    /// ```
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the caller reads of it.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::Error::gone("closed in 2019").detail(), Some("closed in 2019"));
    /// ```
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    fn from_parts(status: StatusCode, detail: Option<String>, source: Option<BoxError>) -> Self {
        Self(Box::new(Inner { status, detail, headers: HeaderMap::new(), source }))
    }

    pub(crate) fn into_body_error(mut self) -> BodyError {
        BodyError(self.0.source.take().unwrap_or_else(|| self.to_string().into()))
    }
}

macro_rules! statuses {
    ($($name:ident $status:ident $detail:literal),* $(,)?) => {
        impl Error {$(
            #[doc = concat!("A ", stringify!($status), "; the detail is for the caller.")]
            ///
            /// ```
            /// use samovar_sdk::{Error, http::StatusCode};
            ///
            #[doc = concat!("let error = Error::", stringify!($name), "(\"", $detail, "\");")]
            #[doc = concat!("assert_eq!(error.status(), StatusCode::", stringify!($status), ");")]
            /// ```
            pub fn $name(detail: impl fmt::Display) -> Self {
                Self::new(StatusCode::$status, detail)
            }
        )*}
    };
}

statuses! {
    bad_request BAD_REQUEST "`from` is after `to`",
    unauthorized UNAUTHORIZED "no token",
    forbidden FORBIDDEN "not your cart",
    not_found NOT_FOUND "no such cart",
    conflict CONFLICT "changed by someone else",
    gone GONE "deleted",
    unsupported_media_type UNSUPPORTED_MEDIA_TYPE "send a PNG",
    unprocessable UNPROCESSABLE_ENTITY "`amount` is negative",
    bad_gateway BAD_GATEWAY "the price service answered nonsense",
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let source: BoxError = Box::new(error);
        let status = status_of(&*source).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::from_parts(status, None, Some(source))
    }
}

/// The status that an error of this crate stands for.
fn status_of(error: &(dyn std::error::Error + 'static)) -> Option<StatusCode> {
    let of_send = error.downcast_ref().map(SendError::status);
    let of_call = || error.downcast_ref().map(CallError::status);
    let of_bucket = || error.downcast_ref().map(kv::Error::status);
    of_send.or_else(of_call).or_else(of_bucket)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let Inner { status, detail, headers, source } = *self.0;
        if let Some(source) = source {
            eprintln!("{status}: {}", Chain(&*source));
        }
        let mut problem = serde_json::Map::new();
        problem.insert("type".into(), "about:blank".into());
        problem.insert("title".into(), status.canonical_reason().unwrap_or("Error").into());
        problem.insert("status".into(), status.as_u16().into());
        if let Some(detail) = detail {
            problem.insert("detail".into(), detail.into());
        }
        let mut response = Response::new(serde_json::Value::Object(problem).to_string());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.status)?;
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        match &self.0.source {
            Some(source) => write!(f, ": {}", Chain(&**source)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

/// An error and what it came from, on one line.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
