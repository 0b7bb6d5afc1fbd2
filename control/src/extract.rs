//! What handlers take out of a request: a function's name, a JSON body, a query. What cannot be read is told by its key.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use samovar_model::FunctionName;

use crate::problem::{Kind, Problem};

/// The largest JSON body: a function's table with a large environment is far below.
const MAX_JSON_BYTES: usize = 1 << 20;

/// The function's name in the path.
pub(crate) struct Name(pub(crate) FunctionName);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|error| Problem::new(Kind::BadName, format!("the path: {error}")))?;
        Ok(Self(text.parse()?))
    }
}

/// A JSON body, whatever its content type says. An empty one is an empty object.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = Limited::new(request.into_body(), MAX_JSON_BYTES).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Problem::new(Kind::TooLarge, format!("the body is larger than {MAX_JSON_BYTES} bytes")),
            false => Problem::new(Kind::BadRequest, format!("the body broke off: {error}")),
        })?;
        let bytes = body.to_bytes();
        let text = if bytes.is_empty() { b"{}" } else { &*bytes };
        let mut json = serde_json::Deserializer::from_slice(text);
        let malformed =
            |error| Problem::new(Kind::BadRequest, format!("the body is not what is expected here: {error}"));
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| malformed(error.to_string()))?;
        json.end().map_err(|error| malformed(error.to_string()))?;
        Ok(Self(value))
    }
}

/// The query's parameters.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(value)| Self(value)).map_err(|rejection| {
            let cause =
                std::error::Error::source(&rejection).map_or_else(|| rejection.to_string(), ToString::to_string);
            Problem::new(Kind::BadRequest, format!("the query: {cause}"))
        })
    }
}
