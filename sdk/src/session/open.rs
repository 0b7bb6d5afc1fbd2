//! The sessions that a request has opened: kept when its handler has answered, with nothing to be done by the handler.
//!
//! An extractor sees a request's head and nothing of its answer. So a session is entered in a list, which is the thread's as long as
//! the request's handler is polled, and no longer: several requests may take turns on a thread. The same kind of session is entered
//! once, however many arguments and extractors look at it, so that none of them writes back what another has changed.

use std::any::TypeId;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cookie::Cookie;
use http::{HeaderValue, header};

use super::place::Visit;
use super::seal::Keys;
use crate::{Error, IntoResponse, Response, Result};

thread_local! {
    /// Of the request whose handler is being polled; none in between.
    static OPEN: RefCell<Option<Vec<Open>>> = const { RefCell::new(None) };
}

/// What the handler's [`Session`](super::Session)s and the list share.
pub(super) type Shared = Arc<Mutex<State>>;

/// `Open => Answered`: then changes come too late.
pub(super) struct State {
    pub(super) visit: Visit,
    /// What seals the cookie.
    pub(super) keys: Keys,
    pub(super) is_answered: bool,
}

/// Keeps a session. The cookie that the answer needs for that; none where it needs none.
type Keep = fn(Shared) -> Pin<Box<dyn Future<Output = Result<Option<Cookie<'static>>>>>>;

struct Open {
    kind: TypeId,
    session: Shared,
    keep: Keep,
}

/// Marks an answer that was made of a handler's error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed;

pub(super) fn lock(session: &Shared) -> MutexGuard<'_, State> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The session of this kind that the request has opened already.
pub(super) fn find(kind: TypeId) -> Option<Shared> {
    OPEN.with_borrow(|open| {
        let found = open.as_ref()?.iter().find(|open| open.kind == kind)?;
        Some(Arc::clone(&found.session))
    })
}

/// Enters a session, so that it is kept.
pub(super) fn enter(kind: TypeId, visit: Visit, keys: Keys, keep: Keep) -> Result<Shared> {
    let session = Arc::new(Mutex::new(State { visit, keys, is_answered: false }));
    OPEN.with_borrow_mut(|open| {
        let nobody = || Error::internal("session: no handler is at work here whose answer could take its cookie");
        open.as_mut().ok_or_else(nobody)?.push(Open { kind, session: Arc::clone(&session), keep });
        Ok(session)
    })
}

/// A handler's answer, with the cookies of the sessions that it has opened. Without any it costs two stores for each poll.
pub(crate) async fn keeping(answer: impl Future<Output = Response>) -> Response {
    let (mut answer, mut open) = (pin!(answer), Vec::new());
    let response = poll_fn(|cx| {
        let _entered = Entered::new(&mut open);
        answer.as_mut().poll(cx)
    });
    let response = response.await;
    if open.is_empty() { response } else { keep(open, response).await.unwrap_or_else(Error::into_response) }
}

/// The list is the thread's until this is dropped; then the one that was there before.
struct Entered<'l> {
    open: &'l mut Vec<Open>,
    outer: Option<Vec<Open>>,
}

impl<'l> Entered<'l> {
    fn new(open: &'l mut Vec<Open>) -> Self {
        let outer = OPEN.replace(Some(std::mem::take(open)));
        Self { open, outer }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        *self.open = OPEN.replace(self.outer.take()).unwrap_or_default();
    }
}

async fn keep(open: Vec<Open>, mut response: Response) -> Result<Response> {
    let has_failed = response.extensions_mut().remove::<Failed>().is_some();
    for Open { session, keep, .. } in open {
        if has_failed {
            lock(&session).is_answered = true;
        } else if let Some(cookie) = keep(session).await? {
            response.headers_mut().append(header::SET_COOKIE, HeaderValue::try_from(cookie.to_string())?);
            // What was made for one caller is for no cache to give to the next.
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
        }
    }
    Ok(response)
}
