//! Requests that a function makes itself.
//!
//! [`send`] is all that is needed as a rule; a [`Client`] bounds how long each part of an exchange may take, and speaks JSON:
//!
//! ```
//! use std::time::Duration;
//!
//! use samovar_sdk::{Result, handler, outbound::Client, testing::Host};
//!
//! const PRICES: Client = Client::new().connect_timeout(Duration::from_secs(1)).first_byte_timeout(Duration::from_secs(3));
//!
//! #[handler]
//! async fn price() -> Result<String> {
//!     let cents: u32 = PRICES.get_json("http://prices.internal/tea").await?;
//!     Ok(format!("tea is {cents} cents\n"))
//! }
//!
//! assert_eq!(Host::new().outbound(async |_| "300").call(price()).text(), "tea is 300 cents\n");
//! ```

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Body, Error, Request, Response, Result, guest};

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
    Client::new().send(request).await
}

/// How long the parts of an exchange may take; the platform's own limits where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) between_bytes: Option<Duration>,
}

/// Sends requests with time-outs of your own. It holds no connections: the platform keeps those, for all instances.
///
/// ```
/// use std::time::Duration;
/// use samovar_sdk::outbound::Client;
///
/// const QUICK: Client = Client::new().first_byte_timeout(Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Client {
    timeouts: Timeouts,
}

impl Client {
    /// A client with the platform's limits: what [`send`] uses.
    ///
    /// ```
    /// let client = samovar_sdk::outbound::Client::new();
    /// ```
    pub const fn new() -> Self {
        Self { timeouts: Timeouts { connect: None, first_byte: None, between_bytes: None } }
    }

    /// The longest that it may take to find and reach the other side.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let client = samovar_sdk::outbound::Client::new().connect_timeout(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn connect_timeout(mut self, longest: Duration) -> Self {
        self.timeouts.connect = Some(longest);
        self
    }

    /// The longest wait for the head of the answer, once connected.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let client = samovar_sdk::outbound::Client::new().first_byte_timeout(Duration::from_secs(3));
    /// ```
    #[must_use]
    pub const fn first_byte_timeout(mut self, longest: Duration) -> Self {
        self.timeouts.first_byte = Some(longest);
        self
    }

    /// The longest pause within the answer's body.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let client = samovar_sdk::outbound::Client::new().between_bytes_timeout(Duration::from_secs(3));
    /// ```
    #[must_use]
    pub const fn between_bytes_timeout(mut self, longest: Duration) -> Self {
        self.timeouts.between_bytes = Some(longest);
        self
    }

    /// Sends a request: as [`send`](fn@send), with this client's time-outs.
    ///
    /// # Errors
    /// As [`send`](fn@send); [`SendError::TimedOut`] where a time-out has passed.
    ///
    /// # Cancel safety
    /// Dropping the future drops the request.
    ///
    /// ```
    /// use std::time::Duration;
    /// use samovar_sdk::{Request, SendError, outbound::Client, sleep, testing::Host};
    ///
    /// let host = Host::new().outbound(async |_| sleep(Duration::from_secs(60)).await);
    /// let answer = host.call(async {
    ///     let client = Client::new().first_byte_timeout(Duration::from_millis(5));
    ///     client.send(Request::get("http://prices.internal").body(())?).await.map_err(samovar_sdk::Error::from)
    /// });
    /// assert_eq!(answer.status, 504);
    /// ```
    pub async fn send<B: Into<Body>>(&self, request: http::Request<B>) -> Result<Response, SendError> {
        let request = request.map(Into::into);
        if request.uri().authority().is_none() {
            let url = request.uri();
            return Err(SendError::Invalid(format!(
                "`{url}` is not an absolute URL, as in `https://example.com{url}`"
            )));
        }
        guest::send(request, self.timeouts).await
    }

    /// Gets a URL, and reads the answer as JSON.
    ///
    /// # Errors
    /// A 502, or a 504 when it took too long, where there is no answer, its status is not of success, or it is not JSON of this
    /// shape. The log says which.
    ///
    /// ```
    /// use samovar_sdk::{Error, outbound::Client, testing::Host};
    ///
    /// let host = Host::new().outbound(async |_| "[300, 400]");
    /// let answer = host.call(async {
    ///     let prices: Vec<u32> = Client::new().get_json("http://prices.internal").await?;
    ///     Ok::<_, Error>(prices.len().to_string())
    /// });
    /// assert_eq!(answer.text(), "2");
    /// ```
    pub async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        self.exchange_json(Request::get(url).body(Body::empty())?).await
    }

    /// Posts a value as JSON, and reads the answer as JSON.
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json), and a 500 where the value cannot be written as JSON.
    ///
    /// ```
    /// use samovar_sdk::{Error, Json, outbound::Client, testing::Host};
    ///
    /// let host = Host::new().outbound(async |request| request.into_body());
    /// let answer = host.call(async {
    ///     let echoed: Vec<u32> = Client::new().post_json("http://echo.internal", &[1, 2]).await?;
    ///     Ok::<_, Error>(Json(echoed))
    /// });
    /// assert_eq!(answer.text(), "[1,2]");
    /// ```
    pub async fn post_json<T: DeserializeOwned>(&self, url: &str, value: &(impl Serialize + ?Sized)) -> Result<T> {
        let request = Request::post(url).header(header::CONTENT_TYPE, "application/json");
        self.exchange_json(request.body(serde_json::to_vec(value)?.into())?).await
    }

    async fn exchange_json<T: DeserializeOwned>(&self, mut request: Request) -> Result<T> {
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let url = request.uri().clone();
        let failed = |reason: String| Error::internal(format!("{url}: {reason}")).with_status(StatusCode::BAD_GATEWAY);
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            return Err(failed(format!("answered {}", answer.status())));
        }
        let whole = answer.into_body().bytes().await.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&whole).map_err(|error| failed(format!("the answer does not fit: {error}")))
    }
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
    /// Functions that call functions have come to the end of what may stand behind one another.
    TooDeep(String),
    /// The other side accepted, and then the exchange failed.
    Failed(String),
}

impl SendError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
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
            Self::TooDeep(reason) => write!(f, "outbound request goes round in a circle: {reason}"),
            Self::Failed(reason) => write!(f, "outbound request failed: {reason}"),
        }
    }
}

impl std::error::Error for SendError {}
