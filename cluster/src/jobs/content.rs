//! What a job asks and what it was answered, and how both are written down: the head as JSON, then the body as it is.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

/// A request that is sent later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// Its headers, as the function is to see them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An answer that is read later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; none if that was too large to be kept.
    pub body: Option<Bytes>,
    /// How large its body was.
    pub body_bytes: u64,
}

/// A head as JSON has it. A header's value is any bytes: each is a character.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    headers: Vec<(String, String)>,
    /// Where the body was not kept: how large it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
}

impl StoredRequest {
    /// As it is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = Head {
            method: Some(self.method.to_string()),
            target: Some(self.target.clone()),
            status: None,
            headers: texts(&self.headers),
            left_out: None,
        };
        framed(&head, &self.body)
    }

    /// What was stored; none if it was something else.
    pub(crate) fn decode(stored: &[u8]) -> Option<Self> {
        let (head, body) = unframed(stored)?;
        let method = Method::from_bytes(head.method?.as_bytes()).ok()?;
        let (target, headers) = (head.target?, values(&head.headers)?);
        Some(Self { method, target, headers, body: Bytes::copy_from_slice(body) })
    }
}

impl StoredAnswer {
    /// As it is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let left_out = self.body.is_none().then_some(self.body_bytes);
        let headers = texts(&self.headers);
        let head = Head { method: None, target: None, status: Some(self.status.as_u16()), headers, left_out };
        framed(&head, self.body.as_deref().unwrap_or_default())
    }

    /// What was stored; none if it was something else.
    pub(crate) fn decode(stored: &[u8]) -> Option<Self> {
        let (head, body) = unframed(stored)?;
        let status = StatusCode::from_u16(head.status?).ok()?;
        let headers = values(&head.headers)?;
        let (body, body_bytes) = match head.left_out {
            Some(bytes) => (None, bytes),
            None => (Some(Bytes::copy_from_slice(body)), body.len() as u64),
        };
        Some(Self { status, headers, body, body_bytes })
    }
}

fn framed(head: &Head, body: &[u8]) -> Vec<u8> {
    let json = serde_json::to_vec(head).expect("texts and numbers are JSON");
    let length = u32::try_from(json.len()).expect("a head is far smaller than 4 GiB");
    let mut stored = Vec::with_capacity(4 + json.len() + body.len());
    stored.extend_from_slice(&length.to_be_bytes());
    stored.extend_from_slice(&json);
    stored.extend_from_slice(body);
    stored
}

fn unframed(stored: &[u8]) -> Option<(Head, &[u8])> {
    let (length, rest) = stored.split_first_chunk::<4>()?;
    let (json, body) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((serde_json::from_slice(json).ok()?, body))
}

fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.as_bytes().iter().copied().map(char::from).collect();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn values(texts: &[(String, String)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(texts.len());
    for (name, text) in texts {
        let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>()?;
        headers.append(HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(&bytes).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers() -> impl Strategy<Value = HeaderMap> {
        let value = prop::collection::vec(prop_oneof![32..127_u8, 128..=255_u8], 0..8);
        let header = ("[a-z]{1,6}", value);
        prop::collection::vec(header, 0..5).prop_map(|pairs| {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_bytes(&value).unwrap());
            }
            map
        })
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back_byte_by_byte(
            headers in headers(),
            body in prop::collection::vec(any::<u8>(), 0..64),
            kept in any::<bool>(),
        ) {
            let body = Bytes::from(body);
            let request = StoredRequest {
                method: Method::PUT, target: "/a?b=c".to_owned(), headers: headers.clone(), body: body.clone(),
            };
            prop_assert_eq!(StoredRequest::decode(&request.encode()), Some(request));
            let body_bytes = body.len() as u64;
            let answer =
                StoredAnswer { status: StatusCode::CREATED, headers, body: kept.then_some(body), body_bytes };
            prop_assert_eq!(StoredAnswer::decode(&answer.encode()), Some(answer));
        }

        #[test]
        fn damaged_bytes_are_refused_not_fatal(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(StoredRequest::decode(&bytes).is_none());
            prop_assert!(StoredAnswer::decode(&bytes).is_none());
        }
    }
}
