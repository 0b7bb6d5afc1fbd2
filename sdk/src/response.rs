//! Responses, and everything that becomes one.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{Body, Error, Json, Result};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A response: an [`http::Response`] with short ways to make one. It derefs to it, and converts both ways.
///
/// ```
/// use samovar_sdk::{Response, http::StatusCode};
///
/// let response = Response::text("made\n").with_status(StatusCode::CREATED);
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
/// ```
#[derive(Debug, Default)]
pub struct Response(http::Response<Body>);

impl Response {
    /// A 200 with this body, and no header that says what it is.
    ///
    /// ```
    /// let response = samovar_sdk::Response::new(vec![1, 2, 3]);
    /// assert_eq!(response.body().length(), Some(3));
    /// ```
    pub fn new(body: impl Into<Body>) -> Self {
        Self(http::Response::new(body.into()))
    }

    /// A 200 with plain text.
    ///
    /// ```
    /// let response = samovar_sdk::Response::text(format!("{} tasks\n", 3));
    /// assert_eq!(response.status(), 200);
    /// ```
    pub fn text(text: impl Into<Body>) -> Self {
        Self::new(text).with_content_type(TEXT)
    }

    /// A 200 with HTML.
    ///
    /// ```
    /// let response = samovar_sdk::Response::html("<h1>Hello</h1>");
    /// assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    /// ```
    pub fn html(html: impl Into<Body>) -> Self {
        Self::new(html).with_content_type(HTML)
    }

    /// A 200 with JSON.
    ///
    /// # Errors
    /// The value cannot be written as JSON (a map whose keys are not text, or its own `Serialize` failed).
    ///
    /// ```
    /// let response = samovar_sdk::Response::json(&["a", "b"]).unwrap();
    /// assert_eq!(response.headers()["content-type"], "application/json");
    /// ```
    pub fn json(value: &impl Serialize) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?).with_content_type(HeaderValue::from_static("application/json")))
    }

    /// A 303 that sends the caller's browser elsewhere.
    ///
    /// # Errors
    /// The location has characters that no header can have.
    ///
    /// ```
    /// let response = samovar_sdk::Response::redirect("/login").unwrap();
    /// assert_eq!(response.headers()["location"], "/login");
    /// ```
    pub fn redirect(location: &str) -> Result<Self> {
        Self::default().with_status(StatusCode::SEE_OTHER).with_header(header::LOCATION, location)
    }

    /// The same response with another status.
    ///
    /// ```
    /// use samovar_sdk::{Response, http::StatusCode};
    ///
    /// assert_eq!(Response::text("later").with_status(StatusCode::ACCEPTED).status(), 202);
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        *self.0.status_mut() = status;
        self
    }

    /// The same response with one more header; a header of the same name is replaced.
    ///
    /// # Errors
    /// The name or the value cannot stand in a header.
    ///
    /// ```
    /// use samovar_sdk::{Response, Result};
    ///
    /// fn image(png: Vec<u8>) -> Result<Response> {
    ///     Response::new(png).with_header("content-type", "image/png")
    /// }
    /// # assert_eq!(image(vec![]).unwrap().headers()["content-type"], "image/png");
    /// ```
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Result<Self>
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        let name = name.try_into().map_err(Into::<http::Error>::into)?;
        let value = value.try_into().map_err(Into::<http::Error>::into)?;
        self.0.headers_mut().insert(name, value);
        Ok(self)
    }

    /// Its body, alone.
    ///
    /// ```
    /// let body = samovar_sdk::Response::text("hello").into_body();
    /// assert_eq!(body.length(), Some(5));
    /// ```
    pub fn into_body(self) -> Body {
        self.0.into_body()
    }

    /// Its head and its body.
    ///
    /// ```
    /// let (head, _body) = samovar_sdk::Response::text("hello").into_parts();
    /// assert_eq!(head.status, 200);
    /// ```
    pub fn into_parts(self) -> (http::response::Parts, Body) {
        self.0.into_parts()
    }

    pub(crate) fn with_content_type(mut self, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(header::CONTENT_TYPE, value);
        self
    }
}

impl Deref for Response {
    type Target = http::Response<Body>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Response {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<B: Into<Body>> From<http::Response<B>> for Response {
    fn from(response: http::Response<B>) -> Self {
        Self(response.map(Into::into))
    }
}

impl From<Response> for http::Response<Body> {
    fn from(response: Response) -> Self {
        response.0
    }
}

/// What a handler may return.
///
/// Text (`&'static str`, `String`), bytes (`Bytes`, `Vec<u8>`, [`Body`]), [`Json`], [`Html`], `()`, a [`StatusCode`], the pairs
/// `(StatusCode, T)` and `(StatusCode, HeaderMap, T)`, a [`Response`] or any [`http::Response`], an [`Error`],
/// [`Sse`](crate::Sse), and `Result`s of two of them. Your own types can join:
///
/// ```
/// use samovar_sdk::{IntoResponse, Response};
///
/// struct Csv(String);
///
/// impl IntoResponse for Csv {
///     fn into_response(self) -> Response {
///         let mut response = Response::text(self.0);
///         response.headers_mut().insert("content-type", "text/csv".parse().unwrap());
///         response
///     }
/// }
/// # assert_eq!(Csv("a,b".into()).into_response().headers()["content-type"], "text/csv");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a response",
    label = "this is not `IntoResponse`",
    note = "a handler returns text, bytes, `Json<T>`, `Html<T>`, `StatusCode`, `(StatusCode, T)`, `Response`, `Sse`, or a `Result` of two of them",
    note = "as the error of a `Result`, take `samovar_sdk::Error`: `?` makes it of any `std::error::Error`",
    note = "to send a value as JSON, wrap it: `Json(value)`; for your own type, implement `IntoResponse`"
)]
pub trait IntoResponse {
    /// The response that says this.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        self.into()
    }
}

macro_rules! into_response {
    ($($type:ty => |$value:pat_param| $make:expr),* $(,)?) => {$(
        impl IntoResponse for $type {
            fn into_response(self) -> Response {
                let $value = self;
                $make
            }
        }
    )*};
}

into_response! {
    () => |()| Response::default(),
    &'static str => |text| Response::text(text),
    String => |text| Response::text(text),
    Cow<'static, str> => |text| match text {
        Cow::Borrowed(text) => Response::text(text),
        Cow::Owned(text) => Response::text(text),
    },
    Bytes => |bytes| Response::new(bytes).with_content_type(BYTES),
    Vec<u8> => |bytes| Response::new(bytes).with_content_type(BYTES),
    &'static [u8] => |bytes| Response::new(bytes).with_content_type(BYTES),
    Body => |body| Response::new(body),
    StatusCode => |status| Response::default().with_status(status),
    std::convert::Infallible => |never| match never {},
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, HeaderMap, T) {
    /// These headers replace those of the same names that `T` would have sent.
    fn into_response(self) -> Response {
        let mut response = self.2.into_response().with_status(self.0);
        for name in self.1.keys() {
            response.headers_mut().remove(name);
        }
        for (name, value) in &self.1 {
            response.headers_mut().append(name, value.clone());
        }
        response
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => failed(error.into_response()),
        }
    }
}

/// A handler that ends with an error leaves sessions as they were.
#[cfg(feature = "session")]
fn failed(mut response: Response) -> Response {
    response.extensions_mut().insert(crate::session::Failed);
    response
}

#[cfg(not(feature = "session"))]
fn failed(response: Response) -> Response {
    response
}

/// HTML, as a response.
///
/// ```
/// use samovar_sdk::Html;
///
/// async fn page() -> Html<&'static str> {
///     Html("<h1>Hello</h1>")
/// }
/// # let answer = samovar_sdk::testing::call(page());
/// # assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Html<T>(pub T);

impl<T: Into<Body>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0).unwrap_or_else(Error::into_response)
    }
}
