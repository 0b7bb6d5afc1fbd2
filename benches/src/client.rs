//! A connection that takes any answer, for loads under which requests are turned away.

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A kept-alive HTTP/1.1 connection, opened when it is first used and again when the server has closed it.
pub struct Client {
    address: String,
    request: Vec<u8>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether it said when to try again.
    pub retry_after: bool,
}

impl Client {
    /// A client that sends `GET path` to this address.
    pub fn new(address: &str, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
        Self { address: address.to_owned(), request, stream: None, buffer: Vec::new() }
    }

    /// Opens the connection.
    ///
    /// # Errors
    /// When the server does not accept it.
    pub async fn open(&mut self) -> anyhow::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is not HTTP/1.1.
    pub async fn get(&mut self) -> anyhow::Result<Answer> {
        self.open().await?;
        let answer = self.exchange().await;
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self) -> anyhow::Result<Answer> {
        let stream = self.stream.as_mut().context("it was opened")?;
        stream.write_all(&self.request).await?;
        self.buffer.clear();
        loop {
            if let Some(answer) = whole(&self.buffer)? {
                return Ok(answer);
            }
            let read = stream.read_buf(&mut self.buffer).await?;
            anyhow::ensure!(read > 0, "{} closed a connection", self.address);
        }
    }
}

/// The answer, if all of it is there.
fn whole(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head.get(9..12).context("too short")?.parse()?;
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let value = |name: &str| headers.clone().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let retry_after = value("retry-after").is_some();
    let body = &bytes[end + 4..];
    let complete = match value("content-length") {
        Some(length) => body.len() >= length.parse()?,
        None => body.ends_with(b"0\r\n\r\n"),
    };
    Ok(complete.then_some(Answer { status, retry_after }))
}
