//! Requests as a host takes them from a connection: h2 without a server between.
//!
//! hyper's server spawns a task for each request, which another thread wakes up for. Most functions answer at once, so here a
//! request is looked at once where its connection is read; what then waits, or what has come when much has been done already,
//! gets a task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::Full;

use crate::Handler;
use crate::greeter::Greeter;
use crate::merge::Merge;
use crate::received::Received;
use crate::sending::{self, BoxError};
use crate::stream::Stream;

/// How long a connection may go on with requests by itself before the rest of those that have come is left to other threads.
const TURN: Duration = Duration::from_micros(200);

type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// What becomes of the requests of one connection.
pub(crate) struct Requests<H> {
    greeter: Arc<Greeter>,
    handler: Arc<H>,
    /// What has come and is not begun: empty between polls, and kept for its room.
    accepted: Vec<Accepted>,
}

impl<H: Handler> Requests<H> {
    pub(crate) fn new(greeter: Arc<Greeter>, handler: Arc<H>) -> Self {
        Self { greeter, handler, accepted: Vec::new() }
    }

    /// Whether the caller has not proven itself.
    pub(crate) fn is_stranger(&self) -> bool {
        !self.greeter.is_member()
    }

    /// Drives the connection, and begins with what comes. Ready when the connection has ended.
    pub(crate) fn poll(
        &mut self,
        connection: &mut Connection<Stream, Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), h2::Error>> {
        loop {
            // All that is there, before any of it is answered: each call also writes what waits to be written, and answers are
            // to be written together.
            while let Poll::Ready(accepted) = connection.poll_accept(cx) {
                match accepted {
                    Some(accepted) => self.accepted.push(accepted?),
                    None => return Poll::Ready(Ok(())),
                }
            }
            if self.accepted.is_empty() {
                return Poll::Pending;
            }
            self.begin_all(cx);
        }
    }

    fn begin_all(&mut self, cx: &mut Context<'_>) {
        let begun = Instant::now();
        let mut is_turn = true;
        let mut accepted = std::mem::take(&mut self.accepted);
        for (request, respond) in accepted.drain(..) {
            let mut answering = self.answering(request, respond);
            if is_turn && answering.as_mut().poll(cx).is_ready() {
                is_turn = begun.elapsed() < TURN;
            } else {
                tokio::spawn(answering);
            }
        }
        self.accepted = accepted;
    }

    fn answering(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (head, stream) = request.into_parts();
        let body = Received::new(stream, &head.headers, None);
        let request = Request::from_parts(head, body);
        if self.is_stranger() {
            let greeter = Arc::clone(&self.greeter);
            return Box::pin(
                async move { answer(async { greeter.greet(request).await.map(Full::new) }, respond).await },
            );
        }
        let handler = Arc::clone(&self.handler);
        Box::pin(async move { answer(handler.handle(request), respond).await })
    }
}

/// Waits for an answer, and sends it, for as long as the caller wants it.
async fn answer<B>(answer: impl Future<Output = Response<B>>, mut respond: SendResponse<Bytes>)
where
    B: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin,
{
    let mut answer = std::pin::pin!(answer);
    let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    });
    let Some(response) = answered.await else { return };
    let (mut head, body) = response.map(Merge::new).into_parts();
    // A guest may have set it, and h2 takes no other.
    if head.headers.get(header::TE).is_some_and(|te| te != "trailers") {
        head.headers.remove(header::TE);
    }
    if let Some(bytes) = body.size_hint().exact()
        && !head.headers.contains_key(header::CONTENT_LENGTH)
    {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    let is_end = body.is_end_stream();
    match respond.send_response(Response::from_parts(head, ()), is_end) {
        Ok(_) if is_end => {}
        Ok(stream) => sending::send(body, stream).await,
        Err(error) => {
            tracing::debug!(%error, "an answer cannot be sent");
            respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}
