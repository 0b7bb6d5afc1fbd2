//! Extractors: what a handler's arguments can be, and how each is taken from the request.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Uri, Version, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{Body, BodyError, Error, Reads, Request, Result};

/// An argument that is taken from the request's head: [`Query`], [`Path`](crate::Path), `Method`, `Uri`, `HeaderMap`, `Parts`,
/// and `Result<T>` of any of them.
///
/// Your own, for what many handlers ask:
///
/// ```
/// use samovar_sdk::{Error, FromRequestParts, Reads, Result, http::request::Parts};
///
/// struct User(String);
///
/// impl FromRequestParts for User {
///     const READS: Reads = Reads::HEADERS;
///
///     async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
///         let name = parts.headers.get("x-user").and_then(|value| value.to_str().ok());
///         name.map(|name| Self(name.to_owned())).ok_or_else(|| Error::unauthorized("no x-user header"))
///     }
/// }
///
/// async fn greet(User(name): User) -> String {
///     format!("hello {name}")
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler's argument here",
    label = "not taken from the request's head",
    note = "`Query<T>`, `Path<T>`, `Method`, `Uri`, `HeaderMap` and `Parts` can stand anywhere",
    note = "what reads the body (`Request`, `Body`, `Json<T>`, `String`, `Bytes`) can only be the last argument"
)]
pub trait FromRequestParts: Sized {
    /// What of the request it looks at; other parts may be missing. All of it, unless an extractor says otherwise.
    const READS: Reads = Reads::ALL;

    /// Takes it, or says with which status the request is refused.
    fn from_request_parts(parts: &mut Parts) -> impl Future<Output = Result<Self>>;
}

/// An argument that takes the whole request, and so can only be the last: [`Request`], [`Body`], [`Json`], `String`, `Bytes`.
/// Whatever is [`FromRequestParts`] may be last as well; `Via` tells the two apart, and is never written out.
///
/// ```
/// use samovar_sdk::{FromRequest, Request, Result};
///
/// struct Lines(Vec<String>);
///
/// impl FromRequest for Lines {
///     async fn from_request(request: Request) -> Result<Self> {
///         let text = String::from_request(request).await?;
///         Ok(Self(text.lines().map(str::to_owned).collect()))
///     }
/// }
///
/// async fn count(Lines(lines): Lines) -> String {
///     lines.len().to_string()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a handler's argument",
    label = "not an extractor",
    note = "an argument is `Request`, `Body`, `Json<T>`, `String`, `Bytes` (the last one only), `Query<T>`, `Path<T>`, `Method`, `Uri`, `HeaderMap` or `Parts`",
    note = "for your own type, implement `FromRequestParts` or `FromRequest`; to read it from the body or the query, wrap it: `Json<T>`, `Query<T>`"
)]
pub trait FromRequest<Via = ViaRequest>: Sized {
    /// What of the request it looks at, as in [`FromRequestParts::READS`].
    const READS: Reads = Reads::ALL;

    /// Whether it is the request itself, so that what is read is what the handler reads.
    #[doc(hidden)]
    const IS_REQUEST: bool = false;

    /// Takes it, or says with which status the request is refused.
    fn from_request(request: Request) -> impl Future<Output = Result<Self>>;
}

/// Marks an extractor that takes the whole request.
#[doc(hidden)]
#[derive(Debug)]
pub enum ViaRequest {}

/// Marks an extractor that needs the head alone.
#[doc(hidden)]
#[derive(Debug)]
pub enum ViaParts {}

impl<T: FromRequestParts> FromRequest<ViaParts> for T {
    const READS: Reads = T::READS;

    async fn from_request(request: Request) -> Result<Self> {
        T::from_request_parts(&mut request.into_parts().0).await
    }
}

macro_rules! from_parts {
    ($($type:ty => $field:ident, $reads:ident;)*) => {$(
        impl FromRequestParts for $type {
            const READS: Reads = Reads::$reads;

            async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
                Ok(parts.$field.clone())
            }
        }
    )*};
}

from_parts! {
    Method => method, METHOD;
    Uri => uri, URI;
    Version => version, NOTHING;
    HeaderMap => headers, HEADERS;
}

impl FromRequestParts for Parts {
    async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
        Ok(parts.clone())
    }
}

/// The handler deals with the refusal itself.
impl<T: FromRequestParts> FromRequestParts for Result<T> {
    const READS: Reads = T::READS;

    async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
        Ok(T::from_request_parts(parts).await)
    }
}

impl FromRequest for Request {
    const IS_REQUEST: bool = true;

    async fn from_request(request: Request) -> Result<Self> {
        Ok(request)
    }
}

impl FromRequest for Body {
    const READS: Reads = Reads::HEADERS;

    async fn from_request(request: Request) -> Result<Self> {
        Ok(request.into_body())
    }
}

impl FromRequest for Bytes {
    const READS: Reads = Reads::HEADERS;

    async fn from_request(request: Request) -> Result<Self> {
        request.into_body().bytes().await.map_err(broken_off)
    }
}

impl FromRequest for Vec<u8> {
    const READS: Reads = Reads::HEADERS;

    async fn from_request(request: Request) -> Result<Self> {
        Ok(Bytes::from_request(request).await?.into())
    }
}

impl FromRequest for String {
    const READS: Reads = Reads::HEADERS;

    async fn from_request(request: Request) -> Result<Self> {
        let bytes = Vec::from_request(request).await?;
        Self::from_utf8(bytes)
            .map_err(|error| Error::bad_request(format!("the body is not UTF-8: {}", error.utf8_error())))
    }
}

fn broken_off(error: BodyError) -> Error {
    Error::bad_request(format!("the body broke off: {error}"))
}

/// JSON, in and out.
///
/// As an argument: a body with `content-type: application/json` (or `…+json`), else 415; 400 when it is not JSON, 422 when it is
/// JSON of another shape, and the caller reads where.
///
/// ```
/// use samovar_sdk::{Json, handler};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize)]
/// struct Order {
///     amount: u32,
/// }
///
/// #[derive(Serialize)]
/// struct Receipt {
///     total: u32,
/// }
///
/// #[handler]
/// async fn order(Json(order): Json<Order>) -> Json<Receipt> {
///     Json(Receipt { total: order.amount * 3 })
/// }
///
/// # let answer = samovar_sdk::testing::call(order(Json(Order { amount: 2 })));
/// # assert_eq!(answer.text(), r#"{"total":6}"#);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Json<T> {
    const READS: Reads = Reads::HEADERS;

    async fn from_request(request: Request) -> Result<Self> {
        expect_json(request.headers())?;
        let bytes = Bytes::from_request(request).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| match error.classify() {
            Category::Data => Error::unprocessable(format!("the body does not fit: {error}")),
            Category::Syntax | Category::Eof | Category::Io => {
                Error::bad_request(format!("the body is not JSON: {error}"))
            }
        })
    }
}

fn expect_json(headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Error::unsupported_media_type("no content-type: send `application/json`"));
    };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Error::unsupported_media_type(format!("content-type `{text}`: send `application/json`")))
}

/// The query string, read into a type of yours; 400 says what does not fit.
///
/// ```
/// use samovar_sdk::{Query, handler};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Page {
///     #[serde(default)]
///     from: u32,
/// }
///
/// #[handler]
/// async fn list(Query(page): Query<Page>) -> String {
///     format!("from {}\n", page.from)
/// }
///
/// # assert_eq!(samovar_sdk::testing::call(list(Query(Page { from: 3 }))).text(), "from 3\n");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts for Query<T> {
    const READS: Reads = Reads::PATH;

    async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        serde_urlencoded::from_str(query).map(Self).map_err(|error| Error::bad_request(format!("query: {error}")))
    }
}
