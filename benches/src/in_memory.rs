//! A connection without a socket: so many copies of one request come in, and what is answered is looked at and dropped.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n";

/// The client's side of a connection. No read brings more than one request, as it is with a client that waits for its answer.
pub struct Conversation {
    /// What has not been read of the request that is being sent.
    unsent: &'static [u8],
    left: u64,
    times: u64,
    answered: Answered,
}

/// How many answers there were.
#[derive(Clone, Default)]
pub struct Answered(Arc<AtomicU64>);

impl Answered {
    /// Answers with status 200 so far.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Conversation {
    /// A client that sends the request so many times.
    pub fn new(times: u64) -> Self {
        Self { unsent: &[], left: times, times, answered: Answered::default() }
    }

    /// Counts the answers.
    pub fn answered(&self) -> Answered {
        self.answered.clone()
    }
}

impl AsyncRead for Conversation {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() && self.left > 0 {
            self.left -= 1;
            self.unsent = REQUEST;
        }
        let (now, later) = self.unsent.split_at(self.unsent.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.unsent = later;
        // A client that hung up before its last answer would not be sent it.
        if now.is_empty() && self.answered.count() < self.times {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Conversation {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.starts_with(b"HTTP/1.1 200 ") {
            self.answered.0.fetch_add(1, Relaxed);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
