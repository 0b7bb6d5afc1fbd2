//! A body that an async block writes. The block is polled by the body itself, so nothing has to be spawned, and a caller who
//! goes away drops the block.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use crate::body::BodyError;
use crate::{Error, Result};

/// The writing end of [`Body::from_writer`](crate::Body::from_writer).
///
/// ```
/// use samovar_sdk::{Body, Error};
///
/// let body = Body::from_writer(|mut writer| async move {
///     writer.write("begun\n").await;
///     let number: u32 = "12".parse()?; // an error breaks the body off
///     writer.write(format!("{number}\n")).await;
///     Ok::<_, Error>(())
/// });
/// # assert_eq!(samovar_sdk::testing::block_on(body.text()).unwrap(), "begun\n12\n");
/// ```
#[derive(Debug)]
pub struct Writer {
    slot: Arc<Mutex<Slot>>,
}

/// The one frame between the block and the body.
#[derive(Debug, Default)]
struct Slot {
    frame: Option<Frame<Bytes>>,
    writer: Option<Waker>,
}

impl Writer {
    /// Sends the next piece, and waits until it has been taken. Nothing is sent for an empty piece.
    ///
    /// # Backpressure
    /// One piece is in flight at a time: the writer goes as fast as the peer reads.
    ///
    /// ```
    /// use samovar_sdk::Body;
    ///
    /// let body = Body::from_writer(|mut writer| async move { writer.write("once").await });
    /// # assert_eq!(samovar_sdk::testing::block_on(body.text()).unwrap(), "once");
    /// ```
    pub async fn write(&mut self, data: impl Into<Bytes>) {
        let data = data.into();
        if !data.is_empty() {
            self.send(Frame::data(data)).await;
        }
    }

    /// Ends the body with trailers.
    ///
    /// ```
    /// use samovar_sdk::Body;
    /// use samovar_sdk::http::HeaderMap;
    ///
    /// let body = Body::from_writer(|mut writer| async move {
    ///     writer.write("data").await;
    ///     writer.trailers(HeaderMap::from_iter([("x-rows".parse().unwrap(), 1.into())])).await;
    /// });
    /// # assert_eq!(samovar_sdk::testing::block_on(body.text()).unwrap(), "data");
    /// ```
    pub async fn trailers(mut self, trailers: HeaderMap) {
        self.send(Frame::trailers(trailers)).await;
    }

    async fn send(&mut self, frame: Frame<Bytes>) {
        let mut frame = Some(frame);
        std::future::poll_fn(|cx| {
            let mut slot = lock(&self.slot);
            if slot.frame.is_none() {
                match frame.take() {
                    Some(frame) => slot.frame = Some(frame),
                    None => return Poll::Ready(()),
                }
            }
            slot.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// What the block of [`Body::from_writer`](crate::Body::from_writer) may end with: nothing, or a `Result` whose error breaks
/// the body off.
///
/// ```
/// use samovar_sdk::Body;
///
/// let plain = Body::from_writer(|mut writer| async move { writer.write("a").await });
/// let fallible = Body::from_writer(|mut writer| async move {
///     writer.write("b").await;
///     Err::<(), _>(std::io::Error::other("the source failed"))
/// });
/// # samovar_sdk::testing::block_on(async { assert!(plain.text().await.is_ok() && fallible.text().await.is_err()) });
/// ```
#[diagnostic::on_unimplemented(
    message = "a body's writer cannot end with `{Self}`",
    label = "must end with `()`, or with a `Result<(), E>` whose error is `samovar_sdk::Error` or a `std::error::Error`"
)]
pub trait Outcome {
    /// The error, if it is one.
    fn into_error(self) -> Option<Error>;
}

impl Outcome for () {
    fn into_error(self) -> Option<Error> {
        None
    }
}

impl<E: Into<Error>> Outcome for Result<(), E> {
    fn into_error(self) -> Option<Error> {
        self.err().map(Into::into)
    }
}

/// The reading end: an `http_body::Body` that drives the block.
pub(crate) struct WriterBody<Fut> {
    slot: Arc<Mutex<Slot>>,
    /// Gone when the block has ended.
    block: Option<Pin<Box<Fut>>>,
}

impl<Fut> WriterBody<Fut> {
    pub(crate) fn new(write: impl FnOnce(Writer) -> Fut) -> Self {
        let slot = Arc::<Mutex<Slot>>::default();
        let block = Some(Box::pin(write(Writer { slot: Arc::clone(&slot) })));
        Self { slot, block }
    }

    fn take(&self) -> Option<Frame<Bytes>> {
        let mut slot = lock(&self.slot);
        let frame = slot.frame.take()?;
        if let Some(writer) = slot.writer.take() {
            writer.wake();
        }
        Some(frame)
    }
}

impl<Fut> http_body::Body for WriterBody<Fut>
where
    Fut: Future,
    Fut::Output: Outcome,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(block) = &mut self.block else { return Poll::Ready(self.take().map(Ok)) };
        let Poll::Ready(outcome) = block.as_mut().poll(cx) else {
            return match self.take() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => Poll::Pending,
            };
        };
        self.block = None;
        match outcome.into_error() {
            Some(error) => Poll::Ready(Some(Err(error.into_body_error()))),
            None => Poll::Ready(self.take().map(Ok)),
        }
    }
}

/// A block that panicked while it held the lock has left one whole frame or none.
fn lock(slot: &Mutex<Slot>) -> std::sync::MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
