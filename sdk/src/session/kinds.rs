//! The kinds of sessions: where each is kept, under which names, and how long.

use std::time::Duration;

use super::Place;
use crate::config;

/// Where a kind of sessions is kept, and how long. A kind of yours says what is different:
///
/// ```
/// use std::time::Duration;
/// use samovar_sdk::session::{InBucket, Session, Sessions};
///
/// struct Staff;
///
/// impl Sessions for Staff {
///     type Place = InBucket;
///     const BUCKET: &'static str = "staff";
///     const IDLE: Duration = Duration::from_secs(15 * 60);
/// }
///
/// async fn door(session: Session<Staff>) -> &'static str {
///     if session.get::<String>("name").is_some() { "come in\n" } else { "who is there?\n" }
/// }
/// ```
pub trait Sessions: 'static {
    /// Where they are: [`InCookie`] or [`InBucket`].
    type Place: Place;

    /// The bucket that holds those that are in one. Default: `sessions`.
    const BUCKET: &'static str = "sessions";

    /// The cookie's name, without `__Host-`. Default: `session`.
    const COOKIE: &'static str = "session";

    /// The secret that holds the keys. Default: `SESSION_KEY`.
    const SECRET: &'static str = "SESSION_KEY";

    /// How long one lasts that is not used; a minute or more. Default: a day.
    const IDLE: Duration = Duration::from_secs(24 * 60 * 60);

    /// How long one lasts that is used, from its beginning or [`Session::renew`](super::Session::renew). Default: 30 days.
    const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// Whether the cookie is for HTTPS alone. Default: yes, unless the config has `session_secure = "false"`.
    fn is_secure() -> bool {
        config::get("session_secure").map_or(true, |value| value != "false")
    }
}

/// Sessions in the caller's cookie: what a plain [`Session`](super::Session) is.
///
/// ```
/// use samovar_sdk::session::{InCookie, Sessions};
///
/// assert_eq!(InCookie::COOKIE, "session");
/// ```
#[derive(Debug)]
pub enum InCookie {}

impl Sessions for InCookie {
    type Place = Self;
}

/// Sessions in the bucket `sessions`.
///
/// ```
/// use samovar_sdk::session::{InBucket, Sessions};
///
/// assert_eq!(InBucket::BUCKET, "sessions");
/// ```
#[derive(Debug)]
pub enum InBucket {}

impl Sessions for InBucket {
    type Place = Self;
}
