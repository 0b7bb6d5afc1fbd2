//! One request to a destination and its answer's head, with the times that they may take.
//!
//! ```text
//! a place among the function's requests -> a connection, pooled or new -> the answer's first byte -> its body (`answer.rs`)
//! \____________________ connect ______________________________________/  \__ first byte ___/        \_ between bytes _/
//! \___________________________________ [function.NAME.outbound] timeout ___________________/
//! ```

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::answer::{Limited, Reader};
use super::connect::{Asked, Progress};
use super::failure::Failure;
use super::{Outbound, Place, Sent, destination};

/// How long an answer's body may say nothing where the guest does not say: WASI leaves it to the host. The invocation's own
/// deadline is usually shorter.
const BETWEEN_BYTES: Duration = Duration::from_secs(60);

/// Which time has run out.
pub(in crate::interfaces) enum Late {
    /// What the guest gave its request.
    FirstByte,
    /// What the manifest gives each.
    Whole,
}

/// Sends a request that the manifest allows.
pub(super) async fn exchange(
    outbound: Arc<Outbound>,
    instance: u64,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Sent {
    // Which version it becomes is the server's choice.
    *request.version_mut() = http::Version::HTTP_11;
    let (begun, whole) = (Instant::now(), outbound.limits.timeout.as_duration());
    let connect = options.connect_timeout.unwrap_or(whole).min(whole);
    let first_byte = options.first_byte_timeout.unwrap_or(whole).min(whole);
    let reader = Reader { outbound: Arc::clone(&outbound), instance, destination: destination(request.uri()) };
    let place = place(&reader, begun + connect).await?;
    let waited = begun.elapsed();
    let client = outbound.client.pool(outbound.allow_private);
    let (progress, request) =
        Asked::scope(connect.saturating_sub(waited), Arc::clone(&outbound.lookups), client.request(request));
    let times = Times { asked: begun + waited, connect, first_byte, whole: begun + whole };
    let answer = times.keep(&progress, request).await.map_err(|late| reader.late(&late))?;
    let response = answer.map_err(|error| reader.failed(&error))?;
    let (head, body) = response.into_parts();
    let between_bytes = options.between_bytes_timeout.unwrap_or(BETWEEN_BYTES);
    let body = Limited::new(body, Some(between_bytes), reader, place)?;
    Ok((Response::from_parts(head, body.boxed_unsync()), Box::new(async { Ok(()) })))
}

/// A place among the function's requests, at once or by this moment.
pub(in crate::interfaces) async fn place(reader: &Reader, by: Instant) -> Result<Place, Error> {
    let places = &reader.outbound.places;
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Ok(place);
    }
    match timeout_at(by, Arc::clone(places).acquire_owned()).await {
        Ok(place) => Ok(place.expect("the semaphore is never closed")),
        Err(_) => Err(reader.no_place()),
    }
}

impl Reader {
    fn no_place(&self) -> Error {
        let Self { outbound, instance, destination } = self;
        let (limit, function) = (outbound.limits.concurrency, &outbound.function);
        outbound.tell(
            *instance,
            format!(
                "outbound request to {destination} gave up waiting: {limit} are under way; raise it in the manifest, \
                 [function.{function}.outbound] concurrency"
            ),
        );
        Error::ConnectionLimitReached
    }

    pub(in crate::interfaces) fn late(&self, late: &Late) -> Error {
        if let Late::Whole = late {
            let Self { outbound, instance, destination } = self;
            let (limit, function) = (outbound.limits.timeout, &outbound.function);
            outbound.tell(
                *instance,
                format!(
                    "outbound request to {destination} was given up: no answer in {limit}; raise it in the manifest, \
                     [function.{function}.outbound] timeout"
                ),
            );
        }
        Error::ConnectionReadTimeout
    }

    fn failed(&self, error: &hyper_util::client::legacy::Error) -> Error {
        match Failure::from(error) {
            Failure::Other(error) => error,
            Failure::Private(address) => {
                let Self { outbound, instance, destination } = self;
                outbound.tell(
                    *instance,
                    format!(
                        "outbound request to {destination} refused: {address} is not a public address; if it is meant, add \
                         to the manifest, [function.{}] allow_private = true",
                        outbound.function
                    ),
                );
                Error::DestinationIpProhibited
            }
        }
    }
}

/// When what must have happened.
struct Times {
    asked: Instant,
    connect: Duration,
    first_byte: Duration,
    whole: Instant,
}

impl Times {
    /// Waits for an answer's head as long as that may take. The first byte's time counts from when there is a connection.
    async fn keep<F: Future>(&self, progress: &Progress, answer: F) -> Result<F::Output, Late> {
        let mut answer = pin!(answer);
        let mut timer = pin!(sleep_until(self.whole));
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            let first_byte = self.first_byte(progress);
            let by = first_byte.min(self.whole);
            if timer.deadline() != by {
                timer.as_mut().reset(by);
            }
            ready!(timer.as_mut().poll(cx));
            Poll::Ready(Err(if by == self.whole { Late::Whole } else { Late::FirstByte }))
        })
        .await
    }

    fn first_byte(&self, progress: &Progress) -> Instant {
        match progress.connected() {
            Some(connected) => connected + self.first_byte,
            // The connector keeps its own time. Where another connection came free meanwhile, this is how long it goes on.
            None if progress.is_connecting() => self.asked + self.connect + self.first_byte,
            None => self.asked + self.first_byte,
        }
    }
}
