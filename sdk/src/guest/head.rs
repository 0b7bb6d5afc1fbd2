//! Heads of messages, between the `http` crate's types and the plain lists that every WASI version speaks.
#![cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "natively only the tests here call it"))]

use bytes::Bytes;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::{Body, Error, Result};

/// A header as WASI has it.
pub(crate) type Field = (String, Vec<u8>);

/// A request's head as it came over the boundary.
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) fields: Vec<Field>,
}

impl RequestHead {
    pub(crate) fn into_parts(self) -> Result<Parts> {
        let mut parts = http::Request::new(()).into_parts().0;
        parts.method = self.method;
        parts.uri =
            uri(self.scheme, self.authority, self.path).map_err(|error| Error::bad_request(format!("URL: {error}")))?;
        parts.headers = headers(self.fields)?;
        Ok(parts)
    }
}

/// Absolute where the host says under which authority it was called; else a path alone.
fn uri(scheme: Option<Scheme>, authority: Option<String>, path: Option<String>) -> Result<Uri, http::Error> {
    let path = PathAndQuery::from_maybe_shared(Bytes::from(path.unwrap_or_else(|| "/".into())))?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    if let Some(authority) = authority {
        parts.authority = Some(Authority::from_maybe_shared(Bytes::from(authority))?);
        parts.scheme = Some(scheme.unwrap_or(Scheme::HTTP));
    }
    Ok(Uri::from_parts(parts)?)
}

/// The values are not copied: they stay in the buffers that the host wrote them to.
pub(crate) fn headers(fields: Vec<Field>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| Error::bad_request(format!("header `{name}`: {error}")))?;
        let value = HeaderValue::from_maybe_shared(Bytes::from(value))
            .map_err(|error| Error::bad_request(format!("header `{name}`: {error}")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// The headers as WASI wants them. Those that belong to a connection are the platform's to set, and are left out.
pub(crate) fn fields(headers: &HeaderMap) -> Vec<Field> {
    let own = headers.iter().filter(|(name, _)| !is_of_connection(name));
    own.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

fn is_of_connection(name: &HeaderName) -> bool {
    let named =
        [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::HOST, header::PROXY_AUTHENTICATE];
    named.contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "proxy-authorization" | "http2-settings")
}

/// Says how long a body is whose length is known, so that it goes out as it is, without chunks around it.
pub(crate) fn set_content_length(headers: &mut HeaderMap, body: &Body) {
    if let Some(length) = body.length()
        && !headers.contains_key(header::CONTENT_LENGTH)
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Whether a response of this status may say how long its body is (RFC 9110, 8.6).
pub(crate) fn may_have_length(status: StatusCode) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// The body's length as the peer gives it.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(authority: Option<&str>, path: Option<&str>) -> Result<Parts> {
        let fields = vec![("x-a".into(), b"1".to_vec()), ("x-a".into(), b"2".to_vec())];
        let (authority, path) = (authority.map(Into::into), path.map(Into::into));
        RequestHead { method: Method::GET, scheme: None, authority, path, fields }.into_parts()
    }

    #[test]
    fn a_head_comes_over_whole() {
        let parts = head(Some("example.com:8080"), Some("/a?b=c")).unwrap();
        assert_eq!(parts.uri, "http://example.com:8080/a?b=c");
        assert_eq!(parts.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(head(None, None).unwrap().uri, "/");
    }

    #[test]
    fn a_head_that_is_not_http_is_a_400() {
        assert_eq!(head(Some("a b"), None).unwrap_err().status(), 400);
        assert_eq!(headers(vec![("a b".into(), vec![])]).unwrap_err().status(), 400);
        assert_eq!(headers(vec![("a".into(), b"\n".to_vec())]).unwrap_err().status(), 400);
    }

    #[test]
    fn what_belongs_to_a_connection_stays_behind() {
        let headers = [(header::CONNECTION, "close"), (header::HOST, "x"), (header::ETAG, "7")];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        assert_eq!(fields(&HeaderMap::from_iter(headers)), [("etag".to_owned(), b"7".to_vec())]);
    }

    #[test]
    fn a_known_length_is_said_unless_the_function_said_it() {
        let mut headers = HeaderMap::new();
        set_content_length(&mut headers, &Body::from("four"));
        assert_eq!(content_length(&headers), Some(4));
        set_content_length(&mut headers, &Body::from("longer"));
        assert_eq!(content_length(&headers), Some(4));
        let mut headers = HeaderMap::new();
        set_content_length(&mut headers, &Body::from_writer(async |_| ()));
        assert!(headers.is_empty());
    }
}
