//! A guest's standard output and error: lines in its function's log, each with the request that it belongs to.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use samovar_model::LogStream;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::logs::LogSink;
use samovar_model::RequestId;

/// The longest line; what is longer is broken.
const MAX_LINE_BYTES: usize = 8 << 10;

/// Where an instance's output goes. Shared by its two streams and by whoever starts an invocation in it.
pub(crate) struct InstanceLog {
    sink: LogSink,
    instance: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Running,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// What runs in the instance.
#[derive(Default)]
enum Running {
    #[default]
    Nothing,
    /// One invocation: what is written belongs to it.
    One(RequestId),
    /// Several at once: it cannot be told which of them writes.
    Several(usize),
}

impl InstanceLog {
    pub(crate) fn new(sink: LogSink, instance: u64) -> Arc<Self> {
        Arc::new(Self { sink, instance, state: Mutex::default() })
    }

    /// Says that an invocation begins: lines belong to it from now on.
    pub(crate) fn begin(&self, request: &RequestId) {
        let mut state = self.lock();
        state.running = match std::mem::take(&mut state.running) {
            Running::Nothing => Running::One(request.clone()),
            Running::One(_) => Running::Several(2),
            Running::Several(count) => Running::Several(count + 1),
        };
    }

    /// Says that an invocation has ended: a line that was begun is written as it is.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        if !state.stdout.is_empty() || !state.stderr.is_empty() {
            self.flush(&mut state);
        }
        state.running = match std::mem::take(&mut state.running) {
            // Which of them is left is not kept: its further lines have no request.
            Running::Several(count) if count > 1 => Running::Several(count - 1),
            Running::Nothing | Running::One(_) | Running::Several(_) => Running::Nothing,
        };
    }

    /// Logs a crash.
    pub(crate) fn crash(&self, request: Option<&RequestId>, text: &str) {
        self.flush(&mut self.lock());
        self.sink.write(self.instance, request, LogStream::Crash, text.to_owned());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, state: &mut State) {
        for (stream, buffer) in [
            (LogStream::Stdout, std::mem::take(&mut state.stdout)),
            (LogStream::Stderr, std::mem::take(&mut state.stderr)),
        ] {
            if !buffer.is_empty() {
                self.line(&state.running, stream, &buffer);
            }
        }
    }

    fn line(&self, running: &Running, stream: LogStream, bytes: &[u8]) {
        let request = match running {
            Running::One(request) => Some(request),
            Running::Nothing | Running::Several(_) => None,
        };
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        self.sink.write(self.instance, request, stream, String::from_utf8_lossy(bytes).into_owned());
    }

    fn write(&self, stream: LogStream, mut bytes: &[u8]) {
        let mut state = self.lock();
        let state = &mut *state;
        let buffer = if stream == LogStream::Stdout { &mut state.stdout } else { &mut state.stderr };
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            buffer.extend_from_slice(&bytes[..end]);
            self.line(&state.running, stream, buffer);
            buffer.clear();
            bytes = &bytes[end + 1..];
        }
        buffer.extend_from_slice(bytes);
        while buffer.len() > MAX_LINE_BYTES {
            let rest = buffer.split_off(MAX_LINE_BYTES);
            self.line(&state.running, stream, buffer);
            *buffer = rest;
        }
    }
}

impl Drop for InstanceLog {
    /// An instance that is stopped leaves the line that it had begun.
    fn drop(&mut self) {
        self.flush(&mut self.lock());
    }
}

/// One of an instance's two output streams.
#[derive(Clone)]
pub(crate) struct GuestOutput {
    log: Arc<InstanceLog>,
    stream: LogStream,
}

impl GuestOutput {
    pub(crate) fn new(log: Arc<InstanceLog>, stream: LogStream) -> Self {
        Self { log, stream }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

// Writing never waits: the log drops lines rather than hold a guest up, and says how many.

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.log.write(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.log.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}
