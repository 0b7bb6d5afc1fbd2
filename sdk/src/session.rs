//! Sessions: what is known of a caller from one request to the next (feature `session`).
//!
//! A handler takes a [`Session`], and ends with [`Session::respond`], which writes what has changed and gives the caller the cookie:
//!
//! ```
//! use samovar_sdk::{Response, Result, handler, session::Session, testing::Host};
//!
//! #[handler]
//! async fn visits(mut session: Session) -> Result<Response> {
//!     let visits = session.get::<u32>("visits").unwrap_or(0) + 1;
//!     session.insert("visits", visits)?;
//!     session.respond(format!("visit {visits}\n")).await
//! }
//!
//! # use samovar_sdk::{Body, Request};
//! let host = Host::new().secret("SESSION_KEY", "0123456789abcdef0123456789abcdef");
//! let first = host.serve(visits, Request::get("/").body(Body::empty()).unwrap());
//! assert_eq!(first.text(), "visit 1\n");
//!
//! let again = Request::get("/").header("cookie", first.cookies()).body(Body::empty()).unwrap();
//! assert_eq!(host.serve(visits, again).text(), "visit 2\n");
//! ```
//! An error that leaves the handler before (with `?`) changes nothing.
//!
//! # Where it is kept
//! A plain [`Session`] is in the caller's cookie, encrypted and signed: nothing is stored, but what it holds is short (about 2.5 KB of
//! JSON), and one that was copied is good until it is over, whatever the function has done since. A `Session<`[`InBucket`]`>` is in the
//! bucket `sessions`, and the cookie only names it: [`destroy`](Session::destroy) ends it everywhere. Names, keys and times are those
//! of [`Sessions`], which a type of yours can change.
//! ```toml
//! [function.shop]
//! secrets = ["SESSION_KEY"]            # samovar secret set SESSION_KEY: the output of `openssl rand -hex 32`
//!
//! [function.shop.kv]
//! sessions = { ttl = "1d" }            # for Session<InBucket>; not shorter than Sessions::IDLE
//! ```
//! The secret may hold several keys, with spaces between them: the first one seals, all of them open. To change the key, put the new
//! one in front, and take the old one away when [`Sessions::LIFETIME`] has passed.
//!
//! # The cookie
//! `HttpOnly`, `SameSite=Lax`, `Secure`, `Path=/`, and its name begins with `__Host-`, so that no other site sets it. For a browser that
//! reaches a test by plain HTTP, the config `session_secure = "false"` leaves `Secure` and the prefix out: on no other machine than your
//! own. A cookie that was tampered with, is too old or was sealed with a key that is gone is no error: the session is empty.

mod kinds;
mod place;
mod record;
mod seal;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::request::Parts;
use http::{HeaderValue, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, FromRequestParts, IntoResponse, Reads, Response, Result};
pub use kinds::{InBucket, InCookie, Sessions};
pub use place::Place;
use place::{End, Keep, Visit};
use record::Record;
use seal::Keys;

/// A session that is in use is kept anew when it was last kept so long ago: not for each request, and often enough that it does not
/// run out in between.
const KEPT_ANEW_AFTER: Duration = Duration::from_secs(60);

/// What browsers take as one cookie, name and attributes included.
const MAX_COOKIE_BYTES: usize = 4096;

/// What is known of a caller, by name. Changes are kept by [`respond`](Self::respond), with which a handler ends.
///
/// ```
/// use samovar_sdk::{Response, Result, session::{InBucket, Session}};
///
/// async fn log_in(mut session: Session<InBucket>) -> Result<Response> {
///     // … after the password was right:
///     session.insert("user", "ann")?;
///     session.renew();
///     session.respond(Response::redirect("/")?).await
/// }
/// ```
pub struct Session<S: Sessions = InCookie> {
    keys: Keys,
    visit: Visit,
    kind: PhantomData<fn() -> S>,
}

impl<S: Sessions> FromRequestParts for Session<S> {
    const READS: Reads = Reads::HEADERS;

    async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
        let keys = Keys::read(S::SECRET)?;
        let (mut found, mut came_with) = (None, keys.open(&parts.headers, &cookie_name::<S>()));
        if let Some(cookie) = &came_with {
            found = S::Place::read(S::BUCKET, cookie).await?.filter(|record| !record.is_over(S::IDLE, S::LIFETIME));
        }
        if found.is_none() {
            came_with = None;
        }
        let visit = Visit { came_with, record: found.unwrap_or_else(Record::new), changes: Vec::new(), end: End::Keep };
        Ok(Self { keys, visit, kind: PhantomData })
    }
}

fn cookie_name<S: Sessions>() -> String {
    if S::is_secure() { format!("__Host-{}", S::COOKIE) } else { S::COOKIE.to_owned() }
}

impl<S: Sessions> Session<S> {
    /// A value; none where it is not there, or no `T`.
    ///
    /// ```
    /// use samovar_sdk::session::Session;
    ///
    /// fn name(session: &Session) -> String {
    ///     session.get("user").unwrap_or_else(|| "stranger".into())
    /// }
    /// ```
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.visit.record.data.get(name)?).ok()
    }

    /// Whether it holds nothing.
    ///
    /// ```
    /// use samovar_sdk::{Error, Result, session::Session};
    ///
    /// fn expect_known(session: &Session) -> Result<()> {
    ///     if session.is_empty() { Err(Error::unauthorized("log in first")) } else { Ok(()) }
    /// }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.visit.record.data.is_empty()
    }

    /// Sets a value.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    ///
    /// ```
    /// use samovar_sdk::{Result, session::Session};
    ///
    /// fn choose(session: &mut Session, language: &str) -> Result<()> {
    ///     session.insert("language", language)
    /// }
    /// ```
    pub fn insert(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        self.change(name, Some(serde_json::to_value(value)?));
        Ok(())
    }

    /// Removes a value, which need not be there.
    ///
    /// ```
    /// use samovar_sdk::session::Session;
    ///
    /// fn empty_cart(session: &mut Session) {
    ///     session.remove("cart");
    /// }
    /// ```
    pub fn remove(&mut self, name: &str) {
        self.change(name, None);
    }

    /// Gives it a new name in its bucket, and its whole lifetime again: to be called where somebody logs in, so that who knew the
    /// session before does not share it then.
    ///
    /// ```
    /// use samovar_sdk::{Result, session::{InBucket, Session}};
    ///
    /// fn logged_in(session: &mut Session<InBucket>, user: &str) -> Result<()> {
    ///     session.renew();
    ///     session.insert("user", user)
    /// }
    /// ```
    pub fn renew(&mut self) {
        self.visit.end = End::Renew;
    }

    /// Ends it: what it holds is gone, and so is the cookie. One that is kept in the cookie ends for this caller alone: a copy of it is
    /// good until it is over.
    ///
    /// ```
    /// use samovar_sdk::{Response, Result, session::Session};
    ///
    /// async fn log_out(mut session: Session) -> Result<Response> {
    ///     session.destroy();
    ///     session.respond(Response::redirect("/")?).await
    /// }
    /// ```
    pub fn destroy(&mut self) {
        self.visit.record.data.clear();
        self.visit.changes.clear();
        self.visit.end = End::Destroy;
    }

    fn change(&mut self, name: &str, value: Option<serde_json::Value>) {
        if self.visit.end == End::Destroy {
            self.visit.end = End::Renew;
        }
        let change = (name.to_owned(), value);
        self.visit.record.apply(change.clone());
        self.visit.changes.push(change);
    }

    /// Keeps what has changed, and gives the answer the cookie that it needs. A session that has not changed is kept anew once a
    /// minute, so that it lasts while it is used.
    ///
    /// # Errors
    /// The bucket cannot be used ([`kv::Error`](crate::kv::Error)); or a session in a cookie has become too long for it, a 500.
    ///
    /// ```
    /// use samovar_sdk::{Response, Result, session::Session};
    ///
    /// async fn hello(session: Session) -> Result<Response> {
    ///     let name: String = session.get("user").unwrap_or_else(|| "stranger".into());
    ///     session.respond(format!("hello {name}\n")).await
    /// }
    /// ```
    pub async fn respond(mut self, answer: impl IntoResponse) -> Result<Response> {
        let mut answer = answer.into_response();
        let is_due = self.visit.came_with.is_some() && self.visit.record.age() >= KEPT_ANEW_AFTER;
        let cookie = match self.visit.end {
            End::Destroy => self.forget().await?,
            End::Keep if self.visit.changes.is_empty() && !is_due => None,
            End::Keep | End::Renew => Some(self.keep().await?),
        };
        // Dropped without complaint from here on.
        self.visit.changes.clear();
        if let Some(cookie) = cookie {
            let value = HeaderValue::try_from(cookie.to_string())?;
            answer.headers_mut().append(header::SET_COOKIE, value);
            // What was made for one caller is for no cache to give to the next.
            let no_store = HeaderValue::from_static("no-store");
            answer.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
        }
        Ok(answer)
    }

    async fn forget(&mut self) -> Result<Option<Cookie<'static>>> {
        let Some(cookie) = &self.visit.came_with else { return Ok(None) };
        S::Place::forget(S::BUCKET, cookie).await?;
        Ok(Some(removal::<S>()))
    }

    async fn keep(&mut self) -> Result<Cookie<'static>> {
        if self.visit.end == End::Renew {
            self.visit.record.start_again();
        }
        self.visit.record.keep();
        let lasts = self.visit.record.left(S::IDLE, S::LIFETIME);
        let Some(value) = S::Place::keep(S::BUCKET, &self.visit).await? else { return Ok(removal::<S>()) };
        let cookie = self.keys.seal(cookie::<S>(value, lasts));
        let length = cookie.to_string().len();
        if length > MAX_COOKIE_BYTES {
            return Err(Error::internal(format!(
                "session: {length} bytes as a cookie, {MAX_COOKIE_BYTES} at most: keep it in a bucket, as Session<InBucket>"
            )));
        }
        Ok(cookie)
    }
}

fn cookie<S: Sessions>(value: String, lasts: Duration) -> Cookie<'static> {
    let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
    Cookie::build((cookie_name::<S>(), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(S::is_secure())
        .max_age(cookie::time::Duration::seconds(seconds))
        .build()
}

/// A cookie that takes the place of the caller's, and is over.
fn removal<S: Sessions>() -> Cookie<'static> {
    cookie::<S>(String::new(), Duration::ZERO)
}

/// Says what a handler has forgotten. After an error it is as it should be, so this is no more than a hint.
impl<S: Sessions> Drop for Session<S> {
    fn drop(&mut self) {
        if !self.visit.changes.is_empty() {
            eprintln!("a session has changed and is not kept: a handler ends with `session.respond(answer).await`");
        }
    }
}

/// Its values are left out: a session's are nobody else's affair.
impl<S: Sessions> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("names", &self.visit.record.data.keys()).finish_non_exhaustive()
    }
}
