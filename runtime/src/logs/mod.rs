//! Functions' logs: bounded, on disk, readable while they are written.
//!
//! One thread owns the files ([`writer`]). Guests send lines to it and never wait: a function that writes more than its share
//! ([`rate`]), or faster than the disk, loses lines, and the log says how many.

mod file;
mod rate;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use samovar_model::{FunctionName, LogLevel, LogLine, LogStream, RevisionNumber};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use rate::Rate;
use samovar_model::RequestId;
use writer::{Message, Writer};

/// Lines of all functions that may wait for the disk.
const QUEUE_LINES: usize = 16 << 10;

/// Bytes of one revision's lines that may wait for the disk, so that one that floods loses its own lines, not others'.
const QUEUE_BYTES: usize = 1 << 20;

/// What a line takes besides its text, in memory and on disk: an empty line is not free.
const LINE_BYTES: usize = 256;

/// The logs of all functions on a host. Cheap to clone.
#[derive(Clone)]
pub struct LogStore {
    queue: SyncSender<Message>,
}

/// What was asked of a log: lines that are there, and lines to come.
pub struct LogReader {
    /// The lines that are there, oldest first.
    pub past: Vec<LogLine>,
    /// Lines as they are written, when following.
    pub future: Option<mpsc::Receiver<LogLine>>,
}

impl LogStore {
    /// Opens the logs in `dir` and starts the thread that writes them. `bytes_per_function` bounds what is kept of each.
    pub fn open(dir: PathBuf, bytes_per_function: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let (queue, messages) = sync_channel(QUEUE_LINES);
        let writer = Writer::new(dir, bytes_per_function);
        std::thread::Builder::new().name("samovar-logs".into()).spawn(move || writer.run(&messages))?;
        Ok(Self { queue })
    }

    /// Where a revision's instances write.
    pub fn sink(&self, function: &FunctionName, revision: RevisionNumber) -> LogSink {
        LogSink::new(function.clone(), revision.0, self.queue.clone())
    }

    /// Where lines go that nobody will read: those of an instance that is only tried out.
    pub(crate) fn discard(&self) -> LogSink {
        let (queue, _) = sync_channel(1);
        let function = "discarded".parse().expect("a valid name");
        LogSink::new(function, 0, queue)
    }

    /// Reads a function's log from `since` on; with `follow`, no line is missed or repeated between past and future. A reader
    /// that falls 1,000 lines behind is cut off.
    pub async fn read(&self, function: &FunctionName, since: Option<Timestamp>, follow: bool) -> LogReader {
        let (reply, answer) = oneshot::channel();
        let message = Message::Read { function: function.clone(), since, follow, reply };
        let queue = self.queue.clone();
        // Sending waits when the queue is full, which must not hold up a thread that serves.
        let sent = tokio::task::spawn_blocking(move || queue.send(message).is_ok()).await;
        match (sent, answer.await) {
            (Ok(true), Ok(reader)) => reader,
            _ => LogReader { past: Vec::new(), future: None },
        }
    }

    /// Forgets a function's log.
    pub fn remove(&self, function: &FunctionName) {
        // A full queue means that a line of the log may outlive its function, to be removed by the next delete.
        if self.queue.try_send(Message::Remove { function: function.clone() }).is_err() {
            tracing::warn!(%function, "log not removed: too much waits to be written");
        }
    }
}

/// A line, apart from who said it and when.
pub(crate) struct Said {
    pub(crate) stream: LogStream,
    pub(crate) level: Option<LogLevel>,
    pub(crate) context: Option<String>,
    pub(crate) fields: Option<Map<String, Value>>,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn plain(stream: LogStream, text: String) -> Self {
        Self { stream, level: None, context: None, fields: None, text }
    }
}

/// Where one revision's instances write their lines. Cheap to clone.
#[derive(Clone)]
pub struct LogSink(Arc<Sink>);

struct Sink {
    function: FunctionName,
    revision: u64,
    queue: SyncSender<Message>,
    queued_bytes: Arc<AtomicUsize>,
    rate: Mutex<Rate>,
    /// Crashes have a share of their own: a flood must not hide its reason.
    crash_rate: Mutex<Rate>,
    dropped: AtomicU64,
}

impl LogSink {
    fn new(function: FunctionName, revision: u64, queue: SyncSender<Message>) -> Self {
        let rate = || Mutex::new(Rate::new(Instant::now()));
        Self(Arc::new(Sink {
            function,
            revision,
            queue,
            queued_bytes: Arc::default(),
            rate: rate(),
            crash_rate: rate(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Whose lines they are.
    pub(crate) fn function(&self) -> &FunctionName {
        &self.0.function
    }

    /// Whether this much of the guest's output may be logged now, which then counts. What may not is to be given to
    /// [`LogSink::drop_lines`].
    pub(crate) fn admits(&self, lines: usize, bytes: usize) -> bool {
        admits(&self.0.rate, bytes.saturating_add(lines.saturating_mul(LINE_BYTES)))
    }

    /// Counts lines that are not logged.
    pub(crate) fn drop_lines(&self, lines: usize) {
        self.0.dropped.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// Logs a line, unless too much waits already.
    pub fn write(&self, instance: u64, request: Option<&RequestId>, stream: LogStream, text: String) {
        let bytes = text.len();
        self.say(instance, request, Said::plain(stream, text), bytes);
    }

    /// The same for a line of any kind, all parts of which have so many bytes.
    pub(crate) fn say(&self, instance: u64, request: Option<&RequestId>, said: Said, bytes: usize) {
        self.tell_dropped(instance);
        if !self.send(instance, request, said, bytes) {
            self.drop_lines(1);
        }
    }

    /// Logs a crash, unless there are too many.
    pub(crate) fn crash(&self, instance: u64, request: Option<&RequestId>, text: String) {
        if admits(&self.0.crash_rate, text.len() + LINE_BYTES) {
            self.write(instance, request, LogStream::Crash, text);
        } else {
            self.drop_lines(1);
        }
    }

    /// Says in the log how many lines are missing, if any are.
    pub(crate) fn tell_dropped(&self, instance: u64) {
        if self.0.dropped.load(Ordering::Relaxed) == 0 {
            return;
        }
        let dropped = self.0.dropped.swap(0, Ordering::Relaxed);
        let notice = format!("{dropped} lines dropped: written faster than the log takes them");
        let bytes = notice.len();
        if dropped > 0 && !self.send(instance, None, Said::plain(LogStream::Stderr, notice), bytes) {
            self.0.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    fn send(&self, instance: u64, request: Option<&RequestId>, said: Said, bytes: usize) -> bool {
        let Said { stream, level, context, fields, text } = said;
        let bytes = bytes + LINE_BYTES;
        // A crash must be found in the log even where the guest flooded it before.
        let room = if stream == LogStream::Crash { 2 * QUEUE_BYTES } else { QUEUE_BYTES };
        if self.0.queued_bytes.fetch_add(bytes, Ordering::Relaxed) > room {
            self.0.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        let line = LogLine {
            time: Timestamp::now(),
            revision: self.0.revision,
            instance,
            request_id: request.map(|id| id.as_str().to_owned()),
            stream,
            level,
            context,
            fields,
            text,
        };
        let queued = Queued { bytes, total: Arc::clone(&self.0.queued_bytes) };
        self.0.queue.try_send(Message::Line { function: self.0.function.clone(), line, queued }).is_ok()
    }
}

fn admits(rate: &Mutex<Rate>, bytes: usize) -> bool {
    rate.lock().unwrap_or_else(PoisonError::into_inner).admits(bytes, Instant::now())
}

/// A line's share of what waits; given back when dropped.
struct Queued {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
