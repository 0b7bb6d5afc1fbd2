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
    pub(crate) path: Option<String>,
    pub(crate) fields: Vec<Field>,
}

/// Under which scheme and authority a request was sent.
#[derive(Default)]
pub(crate) struct Origin {
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<Bytes>,
}

impl RequestHead {
    /// The head in the `http` crate's types. `ask` is called where the headers do not tell the origin: asking the platform
    /// costs two calls over the boundary.
    pub(crate) fn into_parts(self, ask: impl FnOnce() -> Origin) -> Result<Parts> {
        let mut parts = http::Request::new(()).into_parts().0;
        parts.method = self.method;
        parts.headers = headers(self.fields)?;
        let origin = forwarded(&parts.headers).unwrap_or_else(ask);
        parts.uri = uri(origin, self.path).map_err(|error| Error::bad_request(format!("URL: {error}")))?;
        Ok(parts)
    }
}

/// The origin that the last proxy before the function saw (RFC 7239), which is Samovar's gateway or what stands in for it.
fn forwarded(headers: &HeaderMap) -> Option<Origin> {
    let value = headers.get_all(header::FORWARDED).iter().next_back()?.to_str().ok()?;
    let element = value.rsplit_once(',').map_or(value, |(_, last)| last);
    let mut origin = Origin::default();
    for (name, value) in element.split(';').filter_map(|pair| pair.trim().split_once('=')) {
        match name {
            "host" => origin.authority = Some(Bytes::copy_from_slice(value.trim_matches('"').as_bytes())),
            "proto" if value == "http" => origin.scheme = Some(Scheme::HTTP),
            "proto" if value == "https" => origin.scheme = Some(Scheme::HTTPS),
            _ => {}
        }
    }
    (origin.scheme.is_some() && origin.authority.is_some()).then_some(origin)
}

/// Absolute where the host says under which authority it was called; else a path alone.
fn uri(origin: Origin, path: Option<String>) -> Result<Uri, http::Error> {
    let path = PathAndQuery::from_maybe_shared(Bytes::from(path.unwrap_or_else(|| "/".into())))?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    if let Some(authority) = origin.authority {
        parts.authority = Some(Authority::from_maybe_shared(authority)?);
        parts.scheme = Some(origin.scheme.unwrap_or(Scheme::HTTP));
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

    fn head(authority: Option<&'static str>, path: Option<&str>) -> Result<Parts> {
        let fields = vec![("x-a".into(), b"1".to_vec()), ("x-a".into(), b"2".to_vec())];
        let origin = Origin { scheme: None, authority: authority.map(Bytes::from) };
        RequestHead { method: Method::GET, path: path.map(Into::into), fields }.into_parts(|| origin)
    }

    fn forwarded_uri(values: &[&str]) -> String {
        let fields = values.iter().map(|value| ("forwarded".to_owned(), value.as_bytes().to_vec())).collect();
        let asked = || Origin { scheme: Some(Scheme::HTTPS), authority: Some("asked".into()) };
        let head = RequestHead { method: Method::GET, path: Some("/".into()), fields };
        head.into_parts(asked).unwrap().uri.to_string()
    }

    #[test]
    fn the_last_proxy_tells_the_origin() {
        assert_eq!(forwarded_uri(&["for=10.0.0.1;host=\"a.example:80\";proto=http"]), "http://a.example:80/");
        assert_eq!(forwarded_uri(&["for=1;host=b;proto=http", "for=2; host=a ;proto=https"]), "https://a/");
        assert_eq!(forwarded_uri(&["for=1;host=b;proto=http, for=2;host=a;proto=https"]), "https://a/");
    }

    #[test]
    fn where_the_headers_do_not_tell_the_origin_the_platform_is_asked() {
        for value in ["for=10.0.0.1", "host=a", "proto=http", "host=a;proto=gopher", "for=1;host=b;proto=http,for=2"] {
            assert_eq!(forwarded_uri(&[value]), "https://asked/", "{value}");
        }
        assert_eq!(forwarded_uri(&[]), "https://asked/");
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
