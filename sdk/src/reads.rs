//! What of a request a handler reads. The rest is not asked of the platform.

/// Parts of a request: those that an extractor looks at.
///
/// Each part costs calls between the function and the platform, the headers the most. `#[handler]` adds up what the arguments
/// read ([`FromRequestParts::READS`](crate::FromRequestParts::READS)), and only that is fetched; the other parts of the request
/// are those of a new, empty one. For an argument of type [`Request`](crate::Request) it looks at what the function does with
/// it: one that only ever calls `uri()` and `method()` on it gets no headers and no body. What the function's text does not show
/// (macros other than the standard library's, attributes that may add code) is taken to read everything.
///
/// ```
/// use samovar_sdk::Reads;
///
/// const LINK: Reads = Reads::METHOD.and(Reads::PATH);
/// assert_ne!(LINK, Reads::ALL);
/// assert_eq!(LINK.and(Reads::URI).and(Reads::HEADERS), Reads::ALL);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    pub(crate) method: bool,
    pub(crate) path: bool,
    pub(crate) origin: bool,
    pub(crate) headers: bool,
}

impl Reads {
    /// None of it.
    pub const NOTHING: Self = Self { method: false, path: false, origin: false, headers: false };
    /// The method.
    pub const METHOD: Self = Self { method: true, ..Self::NOTHING };
    /// Path and query of the URI; scheme and authority may be missing.
    pub const PATH: Self = Self { path: true, ..Self::NOTHING };
    /// The whole URI. Scheme and authority are those of the header `forwarded`, where headers are read and that tells; else the
    /// platform's. With Samovar's gateway they are the same.
    pub const URI: Self = Self { origin: true, ..Self::PATH };
    /// The headers and the body.
    pub const HEADERS: Self = Self { headers: true, ..Self::NOTHING };
    /// All of it.
    pub const ALL: Self = Self { method: true, path: true, origin: true, headers: true };

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            method: self.method || other.method,
            path: self.path || other.path,
            origin: self.origin || other.origin,
            headers: self.headers || other.headers,
        }
    }
}
