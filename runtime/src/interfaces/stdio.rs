//! A guest's standard output and error: lines in its function's log, each with the request that it belongs to.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use samovar_model::LogStream;
use tokio::io::AsyncWrite;
use wasmtime::format_err;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::logs::{LogSink, Said};
use samovar_model::RequestId;

/// The longest line; what is longer is broken.
const MAX_LINE_BYTES: usize = 8 << 10;

/// The longest text of a crash, most of which is the guest's own words; what is longer is cut.
const MAX_CRASH_BYTES: usize = 32 << 10;

/// What a guest may hand over in one call, during which nobody else gets the thread.
const MAX_WRITE_BYTES: usize = 64 << 10;

/// Where an instance's output goes. Shared by its two streams and by whoever starts an invocation in it.
pub(crate) struct InstanceLog {
    sink: LogSink,
    instance: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Running,
    stdout: Line,
    stderr: Line,
}

/// A line that has been begun.
#[derive(Default)]
struct Line {
    begun: Vec<u8>,
    /// Whether its beginning was dropped, and so its end is to be, too.
    is_dropped: bool,
}

impl Line {
    fn is_open(&self) -> bool {
        self.is_dropped || !self.begun.is_empty()
    }
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

impl Running {
    /// The request that what is said now belongs to, if it is just one.
    fn request(&self) -> Option<&RequestId> {
        match self {
            Self::One(request) => Some(request),
            Self::Nothing | Self::Several(_) => None,
        }
    }
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
        if state.stdout.is_open() || state.stderr.is_open() {
            self.flush(&mut state);
        }
        self.sink.tell_dropped(self.instance);
        state.running = match std::mem::take(&mut state.running) {
            // Which of them is left is not kept: its further lines have no request.
            Running::Several(count) if count > 1 => Running::Several(count - 1),
            Running::Nothing | Running::One(_) | Running::Several(_) => Running::Nothing,
        };
    }

    /// Logs a crash: of this request, or else of the one that runs in the instance if it is only one.
    pub(crate) fn crash(&self, request: Option<&RequestId>, text: &str) {
        let mut state = self.lock();
        self.flush(&mut state);
        let running = state.running.request();
        self.sink.crash(self.instance, request.or(running), cut(text, MAX_CRASH_BYTES));
    }

    /// Logs what the guest said through an interface of its own: `said` is made only where so many bytes may be logged now.
    pub(crate) fn say(&self, bytes: usize, said: impl FnOnce() -> Said) {
        if !self.sink.admits(1, bytes) {
            self.sink.drop_lines(1);
            return;
        }
        let said = said();
        self.sink.say(self.instance, self.lock().running.request(), said, bytes);
    }

    /// Tells the function's owner something, such as why the guest was refused.
    pub(crate) fn notice(&self, text: String) {
        self.say(text.len(), || Said::plain(LogStream::Stderr, text));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, state: &mut State) {
        for (stream, line) in [
            (LogStream::Stdout, std::mem::take(&mut state.stdout)),
            (LogStream::Stderr, std::mem::take(&mut state.stderr)),
        ] {
            if !line.begun.is_empty() {
                self.line(&state.running, stream, &line.begun);
            }
            self.sink.drop_lines(usize::from(line.is_dropped));
        }
    }

    fn line(&self, running: &Running, stream: LogStream, bytes: &[u8]) {
        let request = running.request();
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        self.sink.write(self.instance, request, stream, String::from_utf8_lossy(bytes).into_owned());
    }

    fn write(&self, stream: LogStream, mut bytes: &[u8]) {
        let ends = memchr::memchr_iter(b'\n', bytes).count();
        let is_admitted = self.sink.admits(ends, bytes.len());
        let mut state = self.lock();
        let state = &mut *state;
        let line = if stream == LogStream::Stdout { &mut state.stdout } else { &mut state.stderr };
        if !is_admitted {
            // A line whose end is not here yet is counted when that comes.
            self.sink.drop_lines(ends);
            line.is_dropped = bytes.last() != Some(&b'\n');
            line.begun = Vec::new();
            return;
        }
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.extend(&state.running, stream, line, &bytes[..end]);
            if std::mem::take(&mut line.is_dropped) {
                self.sink.drop_lines(1);
            } else {
                self.line(&state.running, stream, &line.begun);
            }
            line.begun.clear();
            bytes = &bytes[end + 1..];
        }
        self.extend(&state.running, stream, line, bytes);
    }

    /// Adds to a line, which is broken where it gets too long.
    fn extend(&self, running: &Running, stream: LogStream, line: &mut Line, bytes: &[u8]) {
        if line.is_dropped {
            return;
        }
        for piece in bytes.chunks(MAX_LINE_BYTES) {
            line.begun.extend_from_slice(piece);
            if line.begun.len() > MAX_LINE_BYTES {
                let rest = line.begun.split_off(MAX_LINE_BYTES);
                self.line(running, stream, &line.begun);
                line.begun = rest;
            }
        }
    }
}

/// The text, or its beginning and how much more there was.
pub(super) fn cut(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes);
    format!("{}… and {} bytes more", &text[..end], text.len() - end)
}

impl Drop for InstanceLog {
    /// An instance that is stopped leaves the line that it had begun.
    fn drop(&mut self) {
        self.flush(&mut self.lock());
        self.sink.tell_dropped(self.instance);
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
        let taken = &bytes[..bytes.len().min(MAX_WRITE_BYTES)];
        self.log.write(self.stream, taken);
        Poll::Ready(Ok(taken.len()))
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
        if bytes.len() > MAX_WRITE_BYTES {
            let (given, most) = (bytes.len(), MAX_WRITE_BYTES);
            return Err(StreamError::Trap(format_err!("wrote {given} bytes at once where {most} were allowed")));
        }
        self.log.write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(MAX_WRITE_BYTES)
    }
}
