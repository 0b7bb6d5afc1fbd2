//! A request's body that can be sent again, as long as little of it has been read.
//!
//! What is read is kept until it is more than [`KEPT_BYTES`]; from then on the body is only passed on. As in linkerd2-proxy's
//! replay body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::RequestBody;

/// How much of a body is kept.
const KEPT_BYTES: usize = 64 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is sent once or more.
pub(super) enum Replay<B> {
    Empty,
    Read(Arc<Mutex<Read<B>>>),
}

/// What has been read of a body, and the rest.
pub(super) struct Read<B> {
    rest: B,
    /// Absent once it would be too much.
    kept: Option<Kept>,
    /// Counts attempts: only the last one may read on.
    attempt: u32,
    /// Whether the caller's connection broke, or what it sent is not HTTP.
    broken: bool,
}

#[derive(Default)]
struct Kept {
    pieces: Vec<Bytes>,
    bytes: usize,
    /// The body's last frame, and that it has ended.
    trailers: Option<HeaderMap>,
    ended: bool,
}

/// The body of one attempt.
pub(super) enum HopBody<B> {
    Empty,
    Reading { read: Arc<Mutex<Read<B>>>, attempt: u32, next: usize },
}

impl<B: RequestBody> Replay<B> {
    pub(super) fn new(body: B) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let read = Read { rest: body, kept: Some(Kept::default()), attempt: 0, broken: false };
        Self::Read(Arc::new(Mutex::new(read)))
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether it is short enough to be kept whole, as far as that is known before it is read.
    pub(super) fn is_short(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Read(read) => lock(read).rest.size_hint().exact().is_some_and(|bytes| bytes <= KEPT_BYTES as u64),
        }
    }

    /// Whether the caller has failed to send it.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Read(read) => lock(read).broken,
        }
    }

    /// Takes the body back from the attempt that has it, for another one. False when it cannot be given all of it.
    pub(super) fn take_back(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Read(read) => {
                let mut read = lock(read);
                // In one step: the attempt that has it may be reading on.
                read.attempt += 1;
                read.kept.is_some() && !read.broken
            }
        }
    }

    /// The body for an attempt.
    pub(super) fn begin(&self) -> HopBody<B> {
        match self {
            Self::Empty => HopBody::Empty,
            Self::Read(read) => HopBody::Reading { read: Arc::clone(read), attempt: lock(read).attempt, next: 0 },
        }
    }
}

fn lock<B>(read: &Mutex<Read<B>>) -> MutexGuard<'_, Read<B>> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: RequestBody> Read<B> {
    fn poll_next(
        &mut self,
        attempt: u32,
        next: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if attempt != self.attempt {
            return Poll::Ready(Some(Err("the request is being sent to another host".into())));
        }
        if let Some(kept) = &self.kept {
            if let Some(piece) = kept.pieces.get(*next) {
                *next += 1;
                return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
            }
            if kept.ended {
                let trailers = kept.trailers.clone().filter(|_| *next == kept.pieces.len());
                *next += 1;
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
        }
        let frame = ready!(Pin::new(&mut self.rest).poll_frame(cx));
        self.broken |= matches!(frame, Some(Err(_)));
        if let Some(kept) = &mut self.kept {
            *next += 1;
            if !kept.take(&frame) {
                self.kept = None;
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

impl Kept {
    /// Keeps a frame; false when it cannot be.
    fn take<E>(&mut self, frame: &Option<Result<Frame<Bytes>, E>>) -> bool {
        match frame {
            None => self.ended = true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    self.bytes += piece.len();
                    self.pieces.push(piece.clone());
                } else if let Some(trailers) = frame.trailers_ref() {
                    self.trailers = Some(trailers.clone());
                    self.ended = true;
                }
            }
        }
        self.bytes <= KEPT_BYTES
    }
}

impl<B: RequestBody> Body for HopBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Reading { read, attempt, next } => lock(read).poll_next(*attempt, next, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Reading { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            // What is kept is a part of what was declared: the head says how long all of it is.
            Self::Reading { .. } => SizeHint::default(),
        }
    }
}
