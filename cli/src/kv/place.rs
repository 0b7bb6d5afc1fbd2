//! Where a bucket and a key are in the control API.

use std::fmt::Write as _;

use samovar_model::BucketId;

/// The path of a bucket.
pub(super) fn bucket(id: &BucketId) -> String {
    format!("/v1/kv/{}", encoded(&id.to_string()))
}

/// The path of a value.
pub(super) fn value(id: &BucketId, key: &str) -> String {
    format!("{}/values/{}", bucket(id), encoded(key))
}

/// Percent-encoded, so that it is one segment of a path or one value of a query: all but letters and digits. Dots too, since a
/// segment of dots alone means something else on the way.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_is_one_segment() {
        let id: BucketId = "shop/sessions".parse().unwrap();
        assert_eq!(value(&id, "a/b ä.."), "/v1/kv/shop%2Fsessions/values/a%2Fb%20%C3%A4%2E%2E");
        assert_eq!(bucket(&"all".parse().unwrap()), "/v1/kv/all");
    }
}
