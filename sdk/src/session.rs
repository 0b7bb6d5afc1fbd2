//! Sessions: what is known of a caller from one request to the next (feature `session`).
//!
//! A handler takes a [`Session`] and changes it. When the handler has answered, what has changed is kept, and the answer gets the
//! cookie:
//!
//! ```
//! use samovar_sdk::{Result, handler, session::Session, testing::Host};
//!
//! #[handler]
//! async fn visits(mut session: Session) -> Result<String> {
//!     let visits = session.get::<u32>("visits").unwrap_or(0) + 1;
//!     session.insert("visits", visits)?;
//!     Ok(format!("visit {visits}\n"))
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
//! A handler that ends with an `Err` changes nothing; an answer with a status like 403 that is no `Err` does. Where a session cannot be
//! kept, since its bucket is away or it is too long for a cookie, the caller gets that error in the answer's place. A session that has
//! not changed is kept anew once a minute, so that it lasts while it is used. What changes it after the answer's head, while a body
//! streams, comes too late and is refused.
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
mod open;
mod place;
mod record;
mod seal;

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use cookie::{Cookie, SameSite};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, FromRequestParts, Reads, Result};
pub use kinds::{InBucket, InCookie, Sessions};
pub(crate) use open::{Failed, keeping};
use open::{Shared, State, lock};
pub use place::Place;
use place::{End, Keep, Visit};
use record::Record;
use seal::Keys;

/// A session that is in use is kept anew when it was last kept so long ago: not for each request, and often enough that it does not
/// run out in between.
const KEPT_ANEW_AFTER: Duration = Duration::from_secs(60);

/// What browsers take as one cookie, name and attributes included.
const MAX_COOKIE_BYTES: usize = 4096;

/// What is known of a caller, by name. What changes it is kept when the handler has answered.
///
/// ```
/// use samovar_sdk::{Response, Result, session::{InBucket, Session}};
///
/// async fn log_in(mut session: Session<InBucket>) -> Result<Response> {
///     // … after the password was right:
///     session.renew();
///     session.insert("user", "ann")?;
///     Response::redirect("/")
/// }
/// ```
pub struct Session<S: Sessions = InCookie> {
    open: Shared,
    kind: PhantomData<fn() -> S>,
}

impl<S: Sessions> FromRequestParts for Session<S> {
    const READS: Reads = Reads::HEADERS;

    /// Several of a kind, of an extractor and of the handler itself, are one session.
    async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
        let kind = TypeId::of::<S>();
        if let Some(open) = open::find(kind) {
            return Ok(Self { open, kind: PhantomData });
        }
        let keys = Keys::read(S::SECRET)?;
        let (mut found, mut came_with) = (None, keys.open(&parts.headers, &cookie_name::<S>()));
        if let Some(cookie) = &came_with {
            found = S::Place::read(S::BUCKET, cookie).await?.filter(|record| !record.is_over(S::IDLE, S::LIFETIME));
        }
        if found.is_none() {
            came_with = None;
        }
        let visit = Visit { came_with, record: found.unwrap_or_else(Record::new), changes: Vec::new(), end: End::Keep };
        let open = open::enter(kind, visit, keys, |session| Box::pin(keep::<S>(session)))?;
        Ok(Self { open, kind: PhantomData })
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
        T::deserialize(lock(&self.open).visit.record.data.get(name)?).ok()
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
        lock(&self.open).visit.record.data.is_empty()
    }

    /// Sets a value.
    ///
    /// # Errors
    /// It cannot be written as JSON; or the handler has answered already, so that it would be lost.
    ///
    /// ```
    /// use samovar_sdk::{Result, session::Session};
    ///
    /// fn choose(session: &mut Session, language: &str) -> Result<()> {
    ///     session.insert("language", language)
    /// }
    /// ```
    pub fn insert(&mut self, name: &str, value: impl Serialize) -> Result<()> {
        let value = serde_json::to_value(value)?;
        if self.change(name, Some(value)) {
            return Ok(());
        }
        Err(Error::internal(format!("session: {TOO_LATE}, and `{name}` would be lost: set it before")))
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
        if !self.change(name, None) {
            too_late();
        }
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
        self.end(End::Renew);
    }

    /// Ends it: what it holds is gone, and so is the cookie. One that is kept in the cookie ends for this caller alone: a copy of it is
    /// good until it is over.
    ///
    /// ```
    /// use samovar_sdk::{Response, Result, session::Session};
    ///
    /// async fn log_out(mut session: Session) -> Result<Response> {
    ///     session.destroy();
    ///     Response::redirect("/")
    /// }
    /// ```
    pub fn destroy(&mut self) {
        self.end(End::Destroy);
    }

    /// Whether it comes in time.
    fn change(&mut self, name: &str, value: Option<serde_json::Value>) -> bool {
        let State { visit, is_answered, .. } = &mut *lock(&self.open);
        if *is_answered {
            return false;
        }
        if visit.end == End::Destroy {
            visit.end = End::Renew;
        }
        let change = (name.to_owned(), value);
        visit.record.apply(change.clone());
        visit.changes.push(change);
        true
    }

    fn end(&mut self, end: End) {
        let State { visit, is_answered, .. } = &mut *lock(&self.open);
        if *is_answered {
            return too_late();
        }
        if end == End::Destroy {
            visit.record.data.clear();
            visit.changes.clear();
        }
        visit.end = end;
    }
}

const TOO_LATE: &str = "the handler has answered";

fn too_late() {
    eprintln!("a session stays as it was: {TOO_LATE}, and it is changed before that or not at all");
}

/// Keeps what has changed, once there is an answer. The cookie that the answer needs for it.
async fn keep<S: Sessions>(session: Shared) -> Result<Option<Cookie<'static>>> {
    let (mut visit, keys) = {
        let State { visit, keys, is_answered } = &mut *lock(&session);
        *is_answered = true;
        let is_due = visit.came_with.is_some() && visit.record.age() >= KEPT_ANEW_AFTER;
        if visit.end == End::Keep && visit.changes.is_empty() && !is_due {
            return Ok(None);
        }
        (visit.clone(), std::mem::take(keys))
    };
    if visit.end == End::Destroy {
        let Some(cookie) = &visit.came_with else { return Ok(None) };
        S::Place::forget(S::BUCKET, cookie).await?;
        return Ok(Some(removal::<S>()));
    }
    if visit.end == End::Renew {
        visit.record.start_again();
    }
    visit.record.keep();
    let lasts = visit.record.left(S::IDLE, S::LIFETIME);
    let Some(value) = S::Place::keep(S::BUCKET, &visit).await? else { return Ok(Some(removal::<S>())) };
    let cookie = keys.seal(cookie::<S>(value, lasts));
    let length = cookie.to_string().len();
    if length > MAX_COOKIE_BYTES {
        return Err(Error::internal(format!(
            "session: {length} bytes as a cookie, {MAX_COOKIE_BYTES} at most: keep it in a bucket, as Session<InBucket>"
        )));
    }
    Ok(Some(cookie))
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

/// Its values are left out: a session's are nobody else's affair.
impl<S: Sessions> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("names", &lock(&self.open).visit.record.data.keys()).finish_non_exhaustive()
    }
}
