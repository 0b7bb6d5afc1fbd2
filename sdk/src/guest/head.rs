//! Heads of messages, between the `http` crate's types and the plain lists that every WASI version speaks.
#![cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "natively only the tests here call it"))]

use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::{Body, Error, Reads, Result};

/// The one header that each request has and the `http` crate has no constant for.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A header as WASI has it.
pub(crate) type Field = (String, Vec<u8>);

/// A request's head on the other side of the boundary: each of these is a call or several.
pub(crate) trait RequestHead {
    fn method(&self) -> Result<Method>;
    fn path(&self) -> Option<String>;
    fn origin(&self) -> Result<Origin>;
    fn fields(&self) -> Vec<Field>;
}

/// Under which scheme and authority a request was sent.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<Authority>,
}

/// What is read of a head, in the `http` crate's types.
pub(crate) fn parts(head: &impl RequestHead, reads: Reads) -> Result<Parts> {
    let mut parts = http::Request::new(()).into_parts().0;
    if reads.method {
        parts.method = head.method()?;
    }
    if reads.headers {
        parts.headers = headers(head.fields())?;
    }
    if reads.path {
        // Asking the platform for the origin costs two calls: the headers tell it as a rule.
        let origin = match forwarded(&parts.headers) {
            Some(origin) => origin,
            None if reads.origin => head.origin()?,
            None => Origin::default(),
        };
        parts.uri = uri(origin, head.path()).map_err(bad_url)?;
    }
    Ok(parts)
}

/// A span of time as WASI has it.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The authority that the platform tells.
pub(crate) fn authority(text: String) -> Result<Authority> {
    Authority::from_maybe_shared(Bytes::from(text)).map_err(bad_url)
}

fn bad_url(error: impl std::fmt::Display) -> Error {
    Error::bad_request(format!("URL: {error}"))
}

/// The origin that the last proxy before the function saw (RFC 7239), which is Samovar's gateway or what stands in for it.
fn forwarded(headers: &HeaderMap) -> Option<Origin> {
    let value = headers.get_all(header::FORWARDED).iter().next_back()?.as_bytes();
    let text = without_client(value);
    LAST_TOLD.with_borrow_mut(|last| match last {
        Some(told) if *told.text == *text => told.origin.clone(),
        _ => {
            let origin = told_origin(text);
            *last = Some(Told { text: text.into(), origin: origin.clone() });
            origin
        }
    })
}

thread_local! {
    /// What was told last: an instance is called for the same host as a rule, though by one client or another.
    static LAST_TOLD: RefCell<Option<Told>> = const { RefCell::new(None) };
}

struct Told {
    text: Box<[u8]>,
    origin: Option<Origin>,
}

/// What of a `forwarded` header tells the origin: all but the client, where that stands first.
fn without_client(value: &[u8]) -> &[u8] {
    let first_end = value.iter().position(|b| matches!(b, b';' | b','));
    match first_end {
        Some(end) if value.starts_with(b"for=") && value[end] == b';' => &value[end..],
        _ => value,
    }
}

fn told_origin(text: &[u8]) -> Option<Origin> {
    let text = std::str::from_utf8(text).ok()?;
    let element = text.rsplit_once(',').map_or(text, |(_, last)| last);
    let (mut scheme, mut authority) = (None, None);
    for (name, value) in element.split(';').filter_map(|pair| pair.trim().split_once('=')) {
        match name {
            "host" => authority = value.trim_matches('"').parse().ok(),
            "proto" if value == "http" => scheme = Some(Scheme::HTTP),
            "proto" if value == "https" => scheme = Some(Scheme::HTTPS),
            _ => {}
        }
    }
    Some(Origin { scheme: Some(scheme?), authority: Some(authority?) })
}

/// Absolute where the host says under which authority it was called; else a path alone.
fn uri(origin: Origin, path: Option<String>) -> Result<Uri, http::Error> {
    let path = PathAndQuery::from_maybe_shared(Bytes::from(path.unwrap_or_else(|| "/".into())))?;
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path);
    if let Some(authority) = origin.authority {
        parts.authority = Some(authority);
        parts.scheme = Some(origin.scheme.unwrap_or(Scheme::HTTP));
    }
    Ok(Uri::from_parts(parts)?)
}

/// The values are not copied: they stay in the buffers that the host wrote them to.
pub(crate) fn headers(fields: Vec<Field>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = header_name(&name)?;
        let value = HeaderValue::from_maybe_shared(Bytes::from(value))
            .map_err(|error| Error::bad_request(format!("header `{name}`: {error}")))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName> {
    if name == X_REQUEST_ID.as_str() {
        return Ok(X_REQUEST_ID);
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|error| Error::bad_request(format!("header `{name}`: {error}")))
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

    #[derive(Default)]
    struct Head {
        authority: Option<&'static str>,
        path: Option<&'static str>,
        fields: Vec<(&'static str, &'static str)>,
    }

    impl RequestHead for Head {
        fn method(&self) -> Result<Method> {
            Ok(Method::PUT)
        }

        fn path(&self) -> Option<String> {
            self.path.map(Into::into)
        }

        fn origin(&self) -> Result<Origin> {
            let authority = self.authority.map(|text| authority(text.into())).transpose()?;
            Ok(Origin { scheme: None, authority })
        }

        fn fields(&self) -> Vec<Field> {
            self.fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        }
    }

    fn head(authority: Option<&'static str>, path: Option<&'static str>) -> Result<Parts> {
        parts(&Head { authority, path, fields: vec![("x-a", "1"), ("x-a", "2")] }, Reads::ALL)
    }

    fn forwarded_uri(values: &[&'static str]) -> String {
        let fields = values.iter().map(|value| ("forwarded", *value)).collect();
        parts(&Head { authority: Some("asked"), path: Some("/"), fields }, Reads::ALL).unwrap().uri.to_string()
    }

    #[test]
    fn what_is_not_read_is_left_out() {
        let head = Head { authority: Some("a"), path: Some("/p?q"), fields: vec![("x-a", "1")] };
        let read = |reads| {
            let parts = parts(&head, reads).unwrap();
            (parts.method, parts.uri.to_string(), parts.headers.len())
        };
        assert_eq!(read(Reads::NOTHING), (Method::GET, "/".to_owned(), 0));
        assert_eq!(read(Reads::METHOD), (Method::PUT, "/".to_owned(), 0));
        assert_eq!(read(Reads::PATH), (Method::GET, "/p?q".to_owned(), 0));
        assert_eq!(read(Reads::URI), (Method::GET, "http://a/p?q".to_owned(), 0));
        assert_eq!(read(Reads::HEADERS), (Method::GET, "/".to_owned(), 1));
        assert_eq!(read(Reads::ALL), (Method::PUT, "http://a/p?q".to_owned(), 1));
    }

    #[test]
    fn the_last_proxy_tells_the_origin() {
        assert_eq!(forwarded_uri(&["for=10.0.0.1;host=\"a.example:80\";proto=http"]), "http://a.example:80/");
        assert_eq!(forwarded_uri(&["for=1;host=b;proto=http", "for=2; host=a ;proto=https"]), "https://a/");
        assert_eq!(forwarded_uri(&["for=1;host=b;proto=http, for=2;host=a;proto=https"]), "https://a/");
    }

    #[test]
    fn what_was_told_last_is_not_taken_for_what_is_told_now() {
        let told = "for=1;host=a;proto=https";
        let others = [
            ("for=2;host=a;proto=https", "https://a/"),
            ("for=1;host=b;proto=https", "https://b/"),
            ("for=1;host=a;proto=http", "http://a/"),
            ("for=1,host=b;host=a;proto=https", "https://a/"),
            ("for=1,host=b;proto=https", "https://b/"),
            ("for=1;xhost=a;proto=https", "http://asked/"),
            ("host=a;proto=https", "https://a/"),
            ("for=1;proto=https", "http://asked/"),
        ];
        for (other, uri) in others {
            assert_eq!(forwarded_uri(&[told]), "https://a/");
            assert_eq!(forwarded_uri(&[other]), uri, "{other}");
            assert_eq!(forwarded_uri(&[other]), uri, "{other}, again");
        }
    }

    #[test]
    fn where_the_headers_do_not_tell_the_origin_the_platform_is_asked() {
        for value in ["for=10.0.0.1", "host=a", "proto=http", "host=a;proto=gopher", "for=1;host=b;proto=http,for=2"] {
            assert_eq!(forwarded_uri(&[value]), "http://asked/", "{value}");
        }
        assert_eq!(forwarded_uri(&[]), "http://asked/");
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
