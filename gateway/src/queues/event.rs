//! A message as a request: CloudEvents 1.0 in the HTTP binding's binary mode.
//!
//! What the publisher said in `ce-` headers is passed on, and what is missing is made up from the message: NATS' own binding of
//! CloudEvents has the same headers, encoded the same way. A message that is a whole event in its structured mode, told by its
//! content type `application/cloudevents…`, stays one.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use samovar_cluster::queues::Message;
use samovar_model::{FunctionName, RequestId, headers};

/// What a message's headers are called that are an event's attributes.
const ATTRIBUTE: &str = "ce-";
/// An attribute that HTTP has a header of its own for.
const CONTENT_TYPE_ATTRIBUTE: &str = "ce-datacontenttype";
/// Headers that go on besides.
const PASSED: [&str; 6] =
    ["content-encoding", "content-language", "traceparent", "tracestate", "baggage", "x-request-id"];

/// Where the request goes.
pub(super) struct To<'a> {
    pub(super) function: &'a FunctionName,
    pub(super) path: &'a str,
    /// Names and values of its headers together, at most.
    pub(super) max_header_bytes: usize,
}

/// The request for a delivery of a message.
///
/// # Errors
/// Why none can be made of this message.
pub(super) fn request(
    message: &Message,
    attempt: u32,
    to: &To<'_>,
) -> Result<(Request<Full<Bytes>>, RequestId), String> {
    let mut map = attributes(message);
    let bytes: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > to.max_header_bytes {
        return Err(format!("its headers have {bytes} bytes, and a request can have {}", to.max_header_bytes));
    }
    let id = map.get(headers::REQUEST_ID).cloned().and_then(RequestId::new);
    let id = id.unwrap_or_else(|| RequestId::from_number(fastrand::u128(..)));
    map.insert(headers::REQUEST_ID, id.header().clone());
    map.insert(headers::SUBJECT, encoded(&message.subject, Percent::Encode));
    map.insert(headers::ATTEMPT, attempt.into());
    map.insert(header::CONTENT_LENGTH, message.data.len().into());
    map.insert(header::HOST, encoded(&format!("{}.samovar.internal", to.function), Percent::Keep));
    let mut request = Request::new(Full::new(message.data.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = to.path.parse().map_err(|error| format!("path {}: {error}", to.path))?;
    *request.headers_mut() = map;
    Ok((request, id))
}

/// The headers that are about the event.
fn attributes(message: &Message) -> HeaderMap {
    let mut map = HeaderMap::new();
    let mut content_type = None;
    for (name, value) in &message.headers {
        let name = name.to_ascii_lowercase();
        if name == header::CONTENT_TYPE.as_str() {
            content_type = Some(value);
        } else if name == CONTENT_TYPE_ATTRIBUTE {
            content_type = content_type.or(Some(value));
        } else if (name.starts_with(ATTRIBUTE) || PASSED.contains(&name.as_str()))
            && let Ok(name) = HeaderName::try_from(name)
        {
            let value = if is_attribute(&name) { encoded(value, Percent::Keep) } else { plain(value) };
            map.insert(name, value);
        }
    }
    let is_structured =
        content_type.is_some_and(|text| text.to_ascii_lowercase().starts_with("application/cloudevents"));
    map.insert(header::CONTENT_TYPE, content_type.map_or_else(octets, |text| plain(text)));
    if is_structured {
        // The event is in the body.
        let attributes: Vec<HeaderName> = map.keys().filter(|name| is_attribute(name)).cloned().collect();
        for name in attributes {
            map.remove(name);
        }
        return map;
    }
    let time = message.time.to_string();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", &message.id),
        ("ce-source", &message.source),
        ("ce-type", message.kind),
        ("ce-subject", &message.subject),
        ("ce-time", &time),
    ] {
        map.entry(HeaderName::from_static(name)).or_insert_with(|| encoded(value, Percent::Encode));
    }
    map
}

fn is_attribute(name: &HeaderName) -> bool {
    name.as_str().starts_with(ATTRIBUTE)
}

fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

/// A value as it is, as far as HTTP can have it.
fn plain(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| encoded(text, Percent::Keep))
}

/// What becomes of a percent sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Percent {
    /// It is encoded: the text is not encoded yet.
    Encode,
    /// It stays: the text is encoded already, where whoever wrote it kept to the rules.
    Keep,
}

/// A text as the HTTP binding writes an attribute's value (section 3.1.3.2): all but visible ASCII, quotes and percent signs are
/// percent-encoded.
fn encoded(text: &str, percent: Percent) -> HeaderValue {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' if percent == Percent::Keep => value.push('%'),
            b'"' | b'%' | ..=0x20 | 0x7f.. => write!(value, "%{byte:02X}").expect("writing to a string cannot fail"),
            visible => value.push(char::from(visible)),
        }
    }
    HeaderValue::try_from(value).expect("visible ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(headers: &[(&str, &str)]) -> Message {
        Message {
            subject: "orders.created".to_owned(),
            id: "ORDERS:7".to_owned(),
            source: "/nats/ORDERS".to_owned(),
            kind: "io.nats.message",
            time: "2026-05-01T12:00:00.25Z".parse().unwrap(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            data: Bytes::from_static(b"the order"),
        }
    }

    fn sent(message: &Message) -> Request<Full<Bytes>> {
        let function = "mailer".parse().unwrap();
        request(message, 3, &To { function: &function, path: "/new?a=b", max_header_bytes: 1000 }).unwrap().0
    }

    fn header<'r>(request: &'r Request<Full<Bytes>>, name: &str) -> Option<&'r str> {
        request.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_plain_message_is_an_event_in_binary_mode() {
        let request = sent(&message(&[]));
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, "/new?a=b"));
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "ORDERS:7"),
            ("ce-source", "/nats/ORDERS"),
            ("ce-type", "io.nats.message"),
            ("ce-subject", "orders.created"),
            ("ce-time", "2026-05-01T12:00:00.25Z"),
            ("content-type", "application/octet-stream"),
            ("content-length", "9"),
            ("host", "mailer.samovar.internal"),
            ("x-samovar-attempt", "3"),
            ("x-samovar-subject", "orders.created"),
        ] {
            assert_eq!(header(&request, name), Some(value), "{name}");
        }
        assert!(header(&request, "x-request-id").is_some());
    }

    #[test]
    fn what_the_publisher_says_of_the_event_counts() {
        let request = sent(&message(&[
            ("Ce-Id", "A-1"),
            ("ce-type", "com.example.order.created"),
            ("CE-Source", "/shop"),
            ("ce-subject", "order%201"),
            ("ce-tenant", "größe \"x\""),
            ("Content-Type", "application/json; charset=utf-8"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-request-id", "req-1"),
        ]));
        for (name, value) in [
            ("ce-id", "A-1"),
            ("ce-type", "com.example.order.created"),
            ("ce-source", "/shop"),
            // It is encoded already.
            ("ce-subject", "order%201"),
            ("ce-tenant", "gr%C3%B6%C3%9Fe%20%22x%22"),
            ("ce-specversion", "1.0"),
            ("content-type", "application/json; charset=utf-8"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-request-id", "req-1"),
            ("x-samovar-subject", "orders.created"),
        ] {
            assert_eq!(header(&request, name), Some(value), "{name}");
        }
    }

    #[test]
    fn nothing_that_http_or_samovar_uses_itself_is_passed_on() {
        let request = sent(&message(&[
            ("Host", "evil"),
            ("Content-Length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("Authorization", "Bearer x"),
            ("Forwarded", "for=1.2.3.4"),
            ("x-samovar-job", "forged"),
            ("X-Samovar-Subject", "forged"),
            ("Nats-Msg-Id", "A"),
            ("x-other", "y"),
            ("ce-bad name", "z"),
        ]));
        let names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        for gone in
            ["transfer-encoding", "connection", "authorization", "forwarded", "x-samovar-job", "nats-msg-id", "x-other"]
        {
            assert!(!names.contains(&gone), "{gone}: {names:?}");
        }
        assert_eq!(header(&request, "host"), Some("mailer.samovar.internal"));
        assert_eq!(header(&request, "content-length"), Some("9"));
        assert_eq!(header(&request, "x-samovar-subject"), Some("orders.created"));
    }

    #[test]
    fn the_content_type_is_where_http_has_it() {
        let request = sent(&message(&[("ce-datacontenttype", "text/plain")]));
        assert_eq!(
            (header(&request, "content-type"), header(&request, "ce-datacontenttype")),
            (Some("text/plain"), None)
        );
    }

    #[test]
    fn an_event_in_structured_mode_stays_one() {
        let request = sent(&message(&[
            ("content-type", "application/CloudEvents+json"),
            ("ce-id", "x"),
            ("traceparent", "00-0-0-0"),
        ]));
        assert_eq!(header(&request, "content-type"), Some("application/CloudEvents+json"));
        assert!(!request.headers().keys().any(is_attribute), "{:?}", request.headers());
        assert_eq!(
            (header(&request, "traceparent"), header(&request, "x-samovar-attempt")),
            (Some("00-0-0-0"), Some("3"))
        );
    }

    #[test]
    fn headers_that_no_request_can_have_are_told() {
        let function = "mailer".parse().unwrap();
        let to = To { function: &function, path: "/", max_header_bytes: 1000 };
        let error = request(&message(&[("ce-long", &"x".repeat(1000))]), 1, &to).unwrap_err();
        assert!(error.starts_with("its headers have 1") && error.ends_with("a request can have 1000"), "{error}");
    }

    proptest! {
        #[test]
        fn whatever_a_message_says_can_be_sent(name in "\\PC{0,12}", value in ".{0,40}", subject in ".{1,20}") {
            let odd = Message { subject, ..message(&[(&name, &value), (&format!("ce-{name}"), &value), ("content-type", &value)]) };
            let request = sent(&odd);
            for value in request.headers().values() {
                prop_assert!(!value.is_empty() || !odd.headers.is_empty());
            }
            let seen = header(&request, "x-samovar-subject").unwrap();
            let bytes = seen.bytes();
            prop_assert!(bytes.into_iter().all(|b| (0x21..0x7f).contains(&b)));
        }
    }
}
