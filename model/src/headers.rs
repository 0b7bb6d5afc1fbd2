//! The names of the headers that Samovar itself reads and writes.

use http::HeaderName;

/// Every header whose name begins with this is Samovar's own: a client's are dropped.
pub const PREFIX: &str = "x-samovar-";

/// Whose fault an error is: `platform` or `function`.
pub const ORIGIN: HeaderName = HeaderName::from_static("x-samovar-origin");

/// Whether the invocation found an instance waiting: `warm` or `cold`.
pub const INSTANCE: HeaderName = HeaderName::from_static("x-samovar-instance");

/// Which instance answered: a number unique within its host.
pub const INSTANCE_ID: HeaderName = HeaderName::from_static("x-samovar-instance-id");

/// Which revision answered.
pub const REVISION: HeaderName = HeaderName::from_static("x-samovar-revision");

/// The request's id, made by the gateway or passed on from the caller.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
