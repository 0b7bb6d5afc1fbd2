//! The bearer token: looked at before anything else of a request is.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use crate::Control;
use crate::problem::{Kind, Problem};

const HELP: &str = "give it as a header `Authorization: Bearer TOKEN`; on the machine of `samovar up` it stands in \
                    <data-dir>/token";

/// Passes the request on if it has the right token.
pub(crate) async fn require_token(
    State(control): State<Control>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let unauthorized = |what| Err(Problem::new(Kind::Unauthorized, format!("{what}: {HELP}")));
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return unauthorized("the request has no token");
    };
    match bearer(header.as_bytes()) {
        // In constant time, so that the time of a refusal tells nothing of how much was right.
        Some(token) if token.ct_eq(control.0.config.token.as_bytes()).into() => Ok(next.run(request).await),
        Some(_) => unauthorized("the token is not the right one"),
        None => unauthorized("the `Authorization` header has no bearer token"),
    }
}

/// The token in the header's value. The scheme's name is case-insensitive (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}
