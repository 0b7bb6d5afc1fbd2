//! The bodies that guests of WASI 0.2 write: `outgoing-body` of `wasi:http/types`, in place of wasmtime's.
//!
//! wasmtime's own is made of two channels and three boxes, which costs more than all the rest of a short answer. Guest and
//! reader are driven by the same task as a rule, so here a body is one small queue that both hold on to.
//!
//! ```text
//! Open      the guest may write
//! Finished  the guest said that it is complete, with or without trailers
//! Aborted   the guest dropped it before that: the reader gets an error
//! ```

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::p2::{DynOutputStream, OutputStream, Pollable, StreamError};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostOutgoingRequest, HostOutgoingResponse};
use wasmtime_wasi_http::{Error, FieldMap, WasiBody, WasiHttpCtxView, WasiHttpView};

use crate::guest::Guest;

/// Chunks that the guest may be ahead of the reader.
const MAX_CHUNKS: usize = 4;

/// A body as its writer and its reader see it.
#[derive(Default)]
struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    end: End,
    /// Bytes that the guest has written so far.
    written: u64,
    /// Whether the guest holds the stream that it writes to.
    has_stream: bool,
    reader_gone: bool,
    /// Whoever waits for chunks.
    reader: Option<Waker>,
    /// Whoever waits for room.
    writer: Option<Waker>,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    Finished(Option<HeaderMap>),
    Aborted,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        state.end = end;
        let waiting = state.reader.take();
        drop(state);
        if let Some(reader) = waiting {
            reader.wake();
        }
    }
}

/// What stands behind the resource `outgoing-body`.
pub(crate) struct OutgoingBody {
    pipe: Arc<Pipe>,
    /// How long the guest's own header says that it is.
    declared: Option<u64>,
    of: Message,
    /// The most that the guest may write at once.
    chunk_bytes: usize,
    stream_taken: bool,
}

#[derive(Clone, Copy)]
enum Message {
    Request,
    Response,
}

impl Message {
    fn wrong_size(self, written: u64) -> ErrorCode {
        match self {
            Self::Request => ErrorCode::HttpRequestBodySize(Some(written)),
            Self::Response => ErrorCode::HttpResponseBodySize(Some(written)),
        }
    }
}

impl OutgoingBody {
    /// A body and its reader; none when the headers declare a length that is no number.
    fn new(of: Message, headers: &FieldMap, chunk_bytes: usize) -> Option<(Self, WasiBody)> {
        let declared = match headers.get(header::CONTENT_LENGTH) {
            Some(length) => Some(length.to_str().ok()?.parse().ok()?),
            None => None,
        };
        let pipe = Arc::<Pipe>::default();
        let reader = Reader(Arc::clone(&pipe)).boxed_unsync();
        Some((Self { pipe, declared, of, chunk_bytes, stream_taken: false }, reader))
    }

    /// The stream to write to; none the second time.
    fn stream(&mut self) -> Option<DynOutputStream> {
        if std::mem::replace(&mut self.stream_taken, true) {
            return None;
        }
        self.pipe.lock().has_stream = true;
        let pipe = Arc::clone(&self.pipe);
        Some(Box::new(Writer { pipe, declared: self.declared, of: self.of, chunk_bytes: self.chunk_bytes }))
    }

    /// Says that the body is complete.
    ///
    /// # Errors
    /// When it is not as long as declared.
    fn finish(self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        let written = self.pipe.lock().written;
        if self.declared.is_some_and(|declared| declared != written) {
            // Dropping it aborts it.
            return Err(self.of.wrong_size(written));
        }
        self.pipe.end(End::Finished(trailers));
        Ok(())
    }

    /// A stream is a child of its body: it must go first.
    fn ensure_childless(&self) -> wasmtime::Result<()> {
        wasmtime::ensure!(!self.pipe.lock().has_stream, "the outgoing body still has its output stream");
        Ok(())
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        let is_open = matches!(self.pipe.lock().end, End::Open);
        if is_open {
            self.pipe.end(End::Aborted);
        }
    }
}

/// The guest's side.
struct Writer {
    pipe: Arc<Pipe>,
    declared: Option<u64>,
    of: Message,
    chunk_bytes: usize,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pipe.lock().has_stream = false;
    }
}

#[async_trait::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        let mut state = self.pipe.lock();
        if state.reader_gone {
            return Err(StreamError::Closed);
        }
        if bytes.len() > self.chunk_bytes || state.chunks.len() >= MAX_CHUNKS {
            return Err(StreamError::Trap(wasmtime::format_err!("wrote more than there was room for")));
        }
        let written = state.written + bytes.len() as u64;
        state.written = written;
        if !bytes.is_empty() {
            state.chunks.push_back(bytes);
        }
        let waiting = state.reader.take();
        drop(state);
        if let Some(reader) = waiting {
            reader.wake();
        }
        match self.declared {
            Some(declared) if written > declared => {
                Err(StreamError::LastOperationFailed(self.of.wrong_size(written).into()))
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        // What was written is with the reader already.
        if self.pipe.lock().reader_gone { Err(StreamError::Closed) } else { Ok(()) }
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        let state = self.pipe.lock();
        match state.chunks.len() {
            _ if state.reader_gone => Err(StreamError::Closed),
            MAX_CHUNKS.. => Ok(0),
            _ => Ok(self.chunk_bytes),
        }
    }

    async fn write_ready(&mut self) -> Result<usize, StreamError> {
        self.ready().await;
        self.check_write()
    }

    async fn blocking_write_and_flush(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        // It was flushed before, so there is room unless the reader is slow.
        if self.check_write()? == 0 {
            self.ready().await;
        }
        self.write(bytes)
    }
}

#[async_trait::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| {
            let mut state = self.pipe.lock();
            if state.reader_gone || state.chunks.len() < MAX_CHUNKS {
                return Poll::Ready(());
            }
            state.writer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The side of whoever the body is for.
struct Reader(Arc<Pipe>);

impl Body for Reader {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut state = self.0.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            let waiting = state.writer.take();
            drop(state);
            if let Some(writer) = waiting {
                writer.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        Poll::Ready(match &mut state.end {
            End::Finished(trailers) => trailers.take().map(|trailers| Ok(Frame::trailers(trailers))),
            End::Aborted => {
                state.end = End::Finished(None);
                Some(Err(Error::HttpProtocolError))
            }
            End::Open => {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reader_gone = true;
        state.chunks.clear();
        let waiting = state.writer.take();
        drop(state);
        if let Some(writer) = waiting {
            writer.wake();
        }
    }
}

/// Puts the resource and its functions in the place of wasmtime's. `types` is the instance `wasi:http/types`.
pub(super) fn add_to_linker(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.resource("outgoing-body", ResourceType::host::<OutgoingBody>(), |mut store, rep| {
        drop_body(store.data_mut(), Resource::new_own(rep))
    })?;
    types.func_wrap("[method]outgoing-response.body", |mut store: Context02<'_>, (id,): (Resource<_>,)| {
        Ok((of_response(store.data_mut(), &id)?,))
    })?;
    types.func_wrap("[method]outgoing-request.body", |mut store: Context02<'_>, (id,): (Resource<_>,)| {
        Ok((of_request(store.data_mut(), &id)?,))
    })?;
    types.func_wrap("[method]outgoing-body.write", |mut store: Context02<'_>, (id,): (Resource<_>,)| {
        Ok((write(store.data_mut(), &id)?,))
    })?;
    types.func_wrap("[static]outgoing-body.finish", |mut store: Context02<'_>, (id, trailers): (Resource<_>, _)| {
        Ok((finish(store.data_mut(), id, trailers)?,))
    })
}

type Context02<'a> = StoreContextMut<'a, Guest>;
type NewBody = Result<Resource<OutgoingBody>, ()>;

/// The body of an answer; none the second time.
pub(crate) fn of_response(guest: &mut Guest, id: &Resource<HostOutgoingResponse>) -> wasmtime::Result<NewBody> {
    let WasiHttpCtxView { table, hooks, .. } = guest.http();
    let response = table.get_mut(id)?;
    let made = match response.body {
        None => OutgoingBody::new(Message::Response, &response.headers, hooks.p2_outgoing_body_chunk_size()),
        Some(_) => None,
    };
    let Some((body, reader)) = made else { return Ok(Err(())) };
    response.body = Some(reader);
    Ok(Ok(table.push(body)?))
}

/// The body of a request; none the second time.
pub(crate) fn of_request(guest: &mut Guest, id: &Resource<HostOutgoingRequest>) -> wasmtime::Result<NewBody> {
    let WasiHttpCtxView { table, hooks, .. } = guest.http();
    let request = table.get_mut(id)?;
    let made = match request.body {
        None => OutgoingBody::new(Message::Request, &request.headers, hooks.p2_outgoing_body_chunk_size()),
        Some(_) => None,
    };
    let Some((body, reader)) = made else { return Ok(Err(())) };
    request.body = Some(reader);
    Ok(Ok(table.push(body)?))
}

/// The stream of a body; none the second time.
pub(crate) fn write(
    guest: &mut Guest,
    id: &Resource<OutgoingBody>,
) -> wasmtime::Result<Result<Resource<DynOutputStream>, ()>> {
    let table = guest.table();
    let Some(stream) = table.get_mut(id)?.stream() else { return Ok(Err(())) };
    Ok(Ok(table.push(stream)?))
}

/// Says that a body is complete.
pub(crate) fn finish(
    guest: &mut Guest,
    id: Resource<OutgoingBody>,
    trailers: Option<Resource<FieldMap>>,
) -> wasmtime::Result<Result<(), ErrorCode>> {
    let table = guest.table();
    table.get(&id)?.ensure_childless()?;
    let body = table.delete(id)?;
    let trailers = trailers.map(|trailers| table.delete(trailers)).transpose()?;
    Ok(body.finish(trailers.map(HeaderMap::from)))
}

/// Drops a body: whoever reads it gets an error, if it was not complete.
pub(crate) fn drop_body(guest: &mut Guest, id: Resource<OutgoingBody>) -> wasmtime::Result<()> {
    let table = guest.table();
    table.get(&id)?.ensure_childless()?;
    table.delete(id)?;
    Ok(())
}
