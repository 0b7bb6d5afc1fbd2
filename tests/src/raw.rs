//! A connection for bytes as they are: what no well-behaved client would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::wait::within;

/// A connection.
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct RawAnswer {
    /// Status line and headers.
    pub head: String,
    /// The body, with chunks put together.
    pub body: String,
}

impl RawAnswer {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{}", self.head))
    }
}

impl Raw {
    /// Connects to any address.
    pub async fn open(to: SocketAddr) -> Self {
        let stream = within("the connection", TcpStream::connect(to)).await.expect("the gateway accepts");
        stream.set_nodelay(true).expect("a socket that is open");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the connection is open");
    }

    /// Sends these bytes; false when the other side has closed.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads some more; false at the end.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        // A reset is an end, too.
        let read = within("more bytes", self.stream.read(&mut chunk)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..read]);
        read > 0
    }

    /// Reads up to and including `mark`.
    pub async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self.buffer.windows(mark.len()).position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                return self.take(at + mark.len());
            }
            let more = self.fill().await;
            assert!(more, "the connection ended before {mark:?}: {}", String::from_utf8_lossy(&self.buffer));
        }
    }

    async fn exactly(&mut self, count: usize) -> String {
        while self.buffer.len() < count {
            let more = self.fill().await;
            assert!(more, "the connection ended before {count} bytes");
        }
        self.take(count)
    }

    fn take(&mut self, count: usize) -> String {
        let rest = self.buffer.split_off(count);
        let taken = std::mem::replace(&mut self.buffer, rest);
        String::from_utf8(taken).expect("text")
    }

    /// Reads one answer, with a body as its head says.
    pub async fn answer(&mut self) -> RawAnswer {
        let head = self.until("\r\n\r\n").await;
        let mut answer = RawAnswer { head, body: String::new() };
        let length = answer.header("content-length").map(|length| length.parse().expect("a length"));
        if let Some(length) = length {
            answer.body = self.exactly(length).await;
        } else if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.until("\r\n").await;
                let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
                if size == 0 {
                    // Trailers, if any, and the empty line.
                    while self.until("\r\n").await != "\r\n" {}
                    break;
                }
                answer.body += &self.exactly(size).await;
                self.until("\r\n").await;
            }
        }
        answer
    }

    /// Reads an answer to HEAD: a head and nothing else.
    pub async fn head(&mut self) -> RawAnswer {
        RawAnswer { head: self.until("\r\n\r\n").await, body: String::new() }
    }

    /// Reads until the other side closes, and gives what came.
    pub async fn rest(&mut self) -> String {
        while self.fill().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// The same, but for no longer than this: what came, and whether the other side closed.
    pub async fn rest_within(&mut self, span: Duration) -> (String, bool) {
        let closed = tokio::time::timeout(span, async { while self.fill().await {} }).await.is_ok();
        (String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned(), closed)
    }

    /// Closes the connection so that the other side sees it at once.
    pub fn close(self) {
        drop(self.stream);
    }
}
