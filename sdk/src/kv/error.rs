//! Why a bucket could not be used, and which status that is.

use std::fmt;

use http::StatusCode;

use crate::guest::Fault;

/// Why a bucket could not be used. With `?` it becomes a response whose status says whose turn it is; what exactly happened is for
/// the log alone.
///
/// | variant | status |
/// | --- | --- |
/// | [`NotGranted`](Self::NotGranted), [`Invalid`](Self::Invalid), [`NotANumber`](Self::NotANumber), [`NotJson`](Self::NotJson), [`Failed`](Self::Failed) | 500: the function or its manifest is to be changed |
/// | [`Full`](Self::Full) | 507 |
/// | [`Unavailable`](Self::Unavailable), [`Unknown`](Self::Unknown), [`Contended`](Self::Contended) | 503: later it may work |
///
/// The standard interface tells most of these apart in words only. They are Samovar's; where another host has others, the error is
/// [`Failed`](Self::Failed).
///
/// ```
/// use samovar_sdk::{Error, kv};
///
/// let full = kv::Error::Full { reason: "bucket `logs`: full".into() };
/// assert_eq!(Error::from(full).status(), 507);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The manifest does not name the bucket.
    NotGranted {
        /// The bucket's name.
        bucket: String,
    },
    /// A key or a value is not allowed (too long, or empty), or they are too many for one call.
    Invalid {
        /// What the platform says of it.
        reason: String,
    },
    /// The bucket would hold more than its `max_bytes`. Nothing is written.
    Full {
        /// What the platform says of it: how much it holds, and how much it may.
        reason: String,
    },
    /// The value is no counter's.
    NotANumber {
        /// What the platform says of it.
        reason: String,
    },
    /// The value is not JSON of the shape that was asked for.
    NotJson {
        /// The bucket's name.
        bucket: String,
        /// The key.
        key: String,
        /// Where it does not fit.
        reason: String,
    },
    /// An update was tried again and again, and others were always quicker.
    Contended {
        /// The bucket's name.
        bucket: String,
        /// The key.
        key: String,
    },
    /// The store cannot be reached. Nothing is written.
    Unavailable {
        /// What the platform says of it.
        reason: String,
    },
    /// It cannot be told whether the write happened.
    Unknown {
        /// What the platform says of it.
        reason: String,
    },
    /// Something else.
    Failed {
        /// The bucket's name.
        bucket: String,
        /// What the platform says of it.
        reason: String,
    },
}

impl Error {
    pub(super) fn new(bucket: &str, fault: Fault) -> Self {
        match fault {
            Fault::NotGranted => Self::NotGranted { bucket: bucket.to_owned() },
            Fault::Other(reason) => Self::read(bucket, reason),
        }
    }

    /// Reads the platform's own words: those of `cluster/src/key_value.rs`.
    fn read(bucket: &str, reason: String) -> Self {
        let says = |words: &str| reason.contains(words);
        if says(": full (") {
            Self::Full { reason }
        } else if says("store is not available") {
            Self::Unavailable { reason }
        } else if says("is not known whether") {
            Self::Unknown { reason }
        } else if says("is not a whole number") {
            Self::NotANumber { reason }
        } else if says("a key of ") || says("a value of ") || says("a batch of ") {
            Self::Invalid { reason }
        } else {
            Self::Failed { bucket: bucket.to_owned(), reason }
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unavailable { .. } | Self::Unknown { .. } | Self::Contended { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted { bucket } => {
                write!(f, "bucket `{bucket}` is not granted: add `{bucket} = {{}}` to [function.….kv] of samovar.toml")
            }
            Self::NotJson { bucket, key, reason } => {
                write!(f, "bucket `{bucket}`: the value of `{key}` does not fit: {reason}")
            }
            Self::Contended { bucket, key } => {
                write!(f, "bucket `{bucket}`: `{key}` is written by too many at once to update it")
            }
            Self::Failed { bucket, reason } => write!(f, "bucket `{bucket}`: {reason}"),
            Self::Invalid { reason }
            | Self::Full { reason }
            | Self::NotANumber { reason }
            | Self::Unavailable { reason }
            | Self::Unknown { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for Error {}
