//! Requests on one connection to a host: h2 without a client between.
//!
//! hyper's client passes each request through a channel to a task, and spawns another for its answer. Here the caller's own task
//! does both, and only a body that does not come at once has a task of its own.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response};
use http_body::Body;
use tokio::sync::Notify;

use crate::merge::Merge;
use crate::received::Received;
use crate::sending::{BoxError, Sending};

/// Sends requests on one connection. Clones share it; it stays open until the last one is dropped and the requests have ended.
#[derive(Clone)]
pub struct Sender {
    h2: SendRequest<Bytes>,
    shared: Arc<Shared>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The host has not begun with it, and never will.
    #[error("not sent: {0}")]
    Unsent(#[source] h2::Error),
    /// It cannot be a request of HTTP/2, and was not sent.
    #[error("not a request that can be sent: {0}")]
    Unfit(#[source] h2::Error),
    /// The connection broke, or the host gave it up: it may have begun.
    #[error("lost: {0}")]
    Lost(#[source] h2::Error),
}

impl Sender {
    pub(crate) fn new(h2: SendRequest<Bytes>, shared: Arc<Shared>) -> Self {
        Self { h2, shared }
    }

    /// Whether no request can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.shared.ended.load(Relaxed)
    }

    /// Sends a request, whose URI must be absolute, and waits for the head of its answer.
    ///
    /// # Errors
    /// Whether it may have begun.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, tells the host that the caller is gone.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<Received>, SendError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let (head, body) = request.map(Merge::new).into_parts();
        let mut h2 = self.h2.clone();
        poll_fn(|cx| h2.poll_ready(cx)).await.map_err(|error| self.unsent(error))?;
        let is_end = body.is_end_stream();
        // Before the connection is woken for it.
        self.shared.sent.fetch_add(1, Relaxed);
        let sent = h2.send_request(Request::from_parts(head, ()), is_end);
        let (answer, stream) = sent.map_err(|error| self.unsent(error))?;
        let upload = if is_end { None } else { Sending::begin(body, stream).await };
        Self::answer(answer, upload).await
    }

    async fn answer(answer: ResponseFuture, upload: Option<Sending>) -> Result<Response<Received>, SendError> {
        let response = answer.await.map_err(|error| match was_refused(&error) {
            true => SendError::Unsent(error),
            false => SendError::Lost(error),
        })?;
        let (head, stream) = response.into_parts();
        let body = Received::new(stream, &head.headers, upload);
        Ok(Response::from_parts(head, body))
    }

    /// Why h2 does not take a request: itself, or a connection that is at its end or about to be.
    fn unsent(&self, error: h2::Error) -> SendError {
        if !(error.is_io() || error.is_go_away()) {
            return SendError::Unfit(error);
        }
        self.shared.end();
        SendError::Unsent(error)
    }

    /// Waits until no request can be sent any more.
    pub async fn closed(&self) {
        self.shared.wait().await;
    }
}

/// What the requests on a connection and what drives it tell each other.
#[derive(Default)]
pub(crate) struct Shared {
    /// Whether it takes no more requests.
    ended: AtomicBool,
    /// Called when it is so.
    told: Notify,
    /// How many requests have been made since the connection was last driven.
    sent: AtomicU32,
}

impl Shared {
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
        self.told.notify_waiters();
    }

    /// Whether a request has been made since they were last taken.
    pub(crate) fn has_sent(&self) -> bool {
        self.sent.load(Relaxed) > 0
    }

    /// Takes the number of requests that have been made since this was last called.
    pub(crate) fn take_sent(&self) -> u32 {
        self.sent.swap(0, Relaxed)
    }

    async fn wait(&self) {
        let mut told = std::pin::pin!(self.told.notified());
        // Before the flag is read, so that what is told in between is heard.
        told.as_mut().enable();
        if !self.ended.load(Relaxed) {
            told.await;
        }
    }
}

/// Whether the other end says that it has not begun with the request: it refused the stream, or was going away before it came
/// (RFC 9113, 8.7).
fn was_refused(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote())
}
