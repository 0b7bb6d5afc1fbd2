//! Functions' logs: bounded, on disk, readable while they are written.
//!
//! One thread owns the files ([`writer`]). Guests send lines to it and never wait: a function that writes faster than the disk
//! loses lines, and the log says how many.

mod file;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use jiff::Timestamp;
use samovar_model::{FunctionName, LogLine, LogStream, RevisionNumber};
use tokio::sync::{mpsc, oneshot};

use samovar_model::RequestId;
use writer::{Message, Writer};

/// Lines of all functions that may wait for the disk.
const QUEUE_LINES: usize = 16 << 10;

/// Bytes of one revision's lines that may wait for the disk, so that one that floods loses its own lines, not others'.
const QUEUE_BYTES: usize = 1 << 20;

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
        LogSink(Arc::new(Sink {
            function: function.clone(),
            revision: revision.0,
            queue: self.queue.clone(),
            queued_bytes: Arc::default(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Where lines go that nobody will read: those of an instance that is only tried out.
    pub(crate) fn discard(&self) -> LogSink {
        let (queue, _) = sync_channel(1);
        let function = "discarded".parse().expect("a valid name");
        LogSink(Arc::new(Sink {
            function,
            revision: 0,
            queue,
            queued_bytes: Arc::default(),
            dropped: AtomicU64::new(0),
        }))
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

/// Where one revision's instances write their lines. Cheap to clone.
#[derive(Clone)]
pub struct LogSink(Arc<Sink>);

struct Sink {
    function: FunctionName,
    revision: u64,
    queue: SyncSender<Message>,
    queued_bytes: Arc<AtomicUsize>,
    dropped: AtomicU64,
}

impl LogSink {
    /// Logs a line, unless too much waits already.
    pub fn write(&self, instance: u64, request: Option<&RequestId>, stream: LogStream, text: String) {
        let dropped = self.0.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let notice = format!("{dropped} lines dropped: written faster than the log takes them");
            if !self.send(instance, None, LogStream::Stderr, notice) {
                self.0.dropped.fetch_add(dropped, Ordering::Relaxed);
            }
        }
        if !self.send(instance, request, stream, text) {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&self, instance: u64, request: Option<&RequestId>, stream: LogStream, text: String) -> bool {
        let bytes = text.len() + 64;
        if self.0.queued_bytes.fetch_add(bytes, Ordering::Relaxed) > QUEUE_BYTES {
            self.0.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        let line = LogLine {
            time: Timestamp::now(),
            revision: self.0.revision,
            instance,
            request_id: request.map(|id| id.as_str().to_owned()),
            stream,
            text,
        };
        let queued = Queued { bytes, total: Arc::clone(&self.0.queued_bytes) };
        self.0.queue.try_send(Message::Line { function: self.0.function.clone(), line, queued }).is_ok()
    }
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
