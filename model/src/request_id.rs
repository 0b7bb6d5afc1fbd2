//! The id of a request, as the caller gave it or the gateway made it.

use http::HeaderValue;

/// A request's id: visible ASCII. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes a header's value: 1 to 128 characters of visible ASCII.
    pub fn new(value: HeaderValue) -> Option<Self> {
        let valid = (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
        valid.then_some(Self(value))
    }

    /// Writes a number as 32 hexadecimal digits.
    pub fn from_number(number: u128) -> Self {
        let mut digits = [0_u8; 32];
        for (index, digit) in digits.iter_mut().enumerate() {
            let nibble = (number >> (124 - 4 * index)) & 0xf;
            *digit = b"0123456789abcdef"[nibble as usize];
        }
        Self(HeaderValue::from_bytes(&digits).expect("hexadecimal digits are a header's value"))
    }

    /// As a header's value.
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("checked when it was made")
    }
}
