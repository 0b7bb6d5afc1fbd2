//! HTTP/1.1 by hand: a request is one write, an answer mostly one read, and little is done in between.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Call;

/// A kept-alive connection.
pub struct Client {
    stream: TcpStream,
    address: String,
    /// What was read of the answer under way.
    buffer: Vec<u8>,
}

/// An answer, whole.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body, out of its chunks.
    pub body: Vec<u8>,
}

/// How the end of a body is told.
#[derive(Clone, Copy)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// What the head of an answer says.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: Framing,
    /// Where the body begins.
    pub(super) end: usize,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Client {
    /// Connects to `127.0.0.1:PORT`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address: address.to_owned(), buffer: Vec::with_capacity(32 << 10) })
    }

    /// Sends a request, and waits for the answer, whatever it is.
    ///
    /// # Errors
    /// When the connection breaks or what comes is not HTTP.
    pub async fn call(&mut self, call: &Call) -> anyhow::Result<Answer> {
        let request = request(&self.address, call);
        self.send(&request).await
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let head = self.exchange(request).await?;
        let body = match head.framing {
            Framing::Length(length) => self.buffer[head.end..head.end + length].to_vec(),
            Framing::Chunked => dechunk(&self.buffer[head.end..])?.context("a whole body was read")?,
        };
        let text = String::from_utf8_lossy(&self.buffer[..head.end]).into_owned();
        Ok(Answer { status: head.status, head: text, body })
    }

    /// `GET path`, and the answer, whatever it is.
    ///
    /// # Errors
    /// When the connection breaks or what comes is not HTTP.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.send(request.as_bytes()).await
    }

    /// Sends a request, and reads until the answer is whole in the buffer.
    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Head> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            self.read().await?;
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
        };
        while !self.is_whole(&head)? {
            self.read().await?;
        }
        Ok(head)
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        anyhow::ensure!(
            read > 0,
            "{} closed a connection after {} bytes of an answer",
            self.address,
            self.buffer.len()
        );
        Ok(())
    }

    fn is_whole(&self, head: &Head) -> anyhow::Result<bool> {
        let body = &self.buffer[head.end..];
        Ok(match head.framing {
            Framing::Length(length) => body.len() >= length,
            // What does not end like the last chunk need not be looked at.
            Framing::Chunked => body.ends_with(b"0\r\n\r\n") && dechunk(body)?.is_some(),
        })
    }
}

/// Repeats a call on one connection; how long each took.
pub(super) async fn repeat(address: &str, call: &Call, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut client = Client::connect(address).await?;
    let request = request(address, call);
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        let head = client.exchange(&request).await?;
        latencies.push(started.elapsed());
        let body = &client.buffer[head.end..];
        match head.framing {
            Framing::Length(length) => call.check(head.status, &body[..length])?,
            Framing::Chunked => call.check(head.status, &dechunk(body)?.context("a whole body was read")?)?,
        }
    }
    Ok(latencies)
}

/// A request's bytes: a `Host` header, and no other that it does not need.
pub(super) fn request(address: &str, call: &Call) -> Vec<u8> {
    let path = call.path;
    match &call.body {
        None => format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes(),
        Some((body, kind)) => {
            let length = body.len();
            let mut bytes = format!(
                "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
            )
            .into_bytes();
            bytes.extend_from_slice(body);
            bytes
        }
    }
}

/// The head, if it is all there.
pub(super) fn parse_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).context("the head is not text")?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("not an HTTP answer: {text:?}"))?;
    let mut framing = None;
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line:?}"))?;
        if name.eq_ignore_ascii_case("content-length") {
            framing = Some(Framing::Length(value.trim().parse()?));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            framing = Some(Framing::Chunked);
        }
    }
    let framing = framing.with_context(|| format!("an answer that ends with its connection: {text:?}"))?;
    Ok(Some(Head { status, framing, end: end + 4 }))
}

/// The body that these chunks hold; `None` when the last one is not there.
pub(super) fn dechunk(mut bytes: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = bytes.windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&bytes[..line])?;
        let size = usize::from_str_radix(size.trim(), 16).with_context(|| format!("not a chunk's size: {size:?}"))?;
        if size == 0 {
            return Ok(Some(body));
        }
        let Some(chunk) = bytes.get(line + 2..line + 2 + size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        let Some(rest) = bytes.get(line + 4 + size..) else { return Ok(None) };
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_a_missing_last_one_is_noticed() {
        assert_eq!(dechunk(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap().unwrap(), b"abcde");
        assert!(dechunk(b"3\r\nabc\r\n").unwrap().is_none());
        assert!(dechunk(b"5\r\nabc").unwrap().is_none());
        assert!(dechunk(b"no\r\n").is_err());
    }

    #[test]
    fn a_head_says_status_and_where_the_body_ends() {
        let head = parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap().unwrap();
        assert_eq!(head.status, 200);
        assert!(matches!(head.framing, Framing::Length(5)));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nContent-").unwrap().is_none());
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ndate: now\r\n\r\n").is_err());
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let head = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n".to_owned();
        let answer = Answer { status: 503, head, body: Vec::new() };
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("date"), None);
    }
}
