//! One large body sent and read back at once.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http1::{Framing, parse_head};

/// What is written at once.
const PIECE_BYTES: usize = 64 << 10;

/// How long a transfer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A body that came back.
#[derive(Debug, Clone, Copy)]
pub struct Transferred {
    /// Bytes of body, the same in both directions.
    pub bytes: u64,
    /// From connecting to the last byte.
    pub elapsed: Duration,
}

impl Transferred {
    /// MiB a second, in one direction.
    pub fn mebibytes_per_second(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.elapsed.as_secs_f64()
    }
}

/// Posts so many bytes to `path`, and reads as many back while it sends.
///
/// # Errors
/// When fewer or other bytes come back, with another status than 200, or not within 20 s.
pub fn transfer(address: &str, path: &str, bytes: u64) -> anyhow::Result<Transferred> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async { tokio::time::timeout(LIMIT, exchange(address, path, bytes)).await });
    done.with_context(|| format!("{address}{path} did not echo {bytes} bytes within {LIMIT:?}"))?
}

async fn exchange(address: &str, path: &str, bytes: u64) -> anyhow::Result<Transferred> {
    let started = Instant::now();
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {bytes}\r\n\r\n");
    let sending = async {
        writer.write_all(head.as_bytes()).await?;
        let piece: Vec<u8> = (0..PIECE_BYTES as u64).map(byte_at).collect();
        let mut left = bytes;
        while left > 0 {
            let part = left.min(piece.len() as u64);
            writer.write_all(&piece[..part as usize]).await?;
            left -= part;
        }
        anyhow::Ok(())
    };
    let receiving = async {
        let mut buffer = Vec::with_capacity(2 * PIECE_BYTES);
        let head = loop {
            anyhow::ensure!(reader.read_buf(&mut buffer).await? > 0, "closed before it answered");
            if let Some(head) = parse_head(&buffer)? {
                break head;
            }
        };
        anyhow::ensure!(head.status == 200, "answered with status {}", head.status);
        let mut body = Body::new(head.framing);
        body.take(&buffer[head.end..])?;
        while !body.ended() {
            buffer.clear();
            anyhow::ensure!(reader.read_buf(&mut buffer).await? > 0, "closed after {} of {bytes} bytes", body.bytes);
            body.take(&buffer)?;
        }
        anyhow::Ok(body.bytes)
    };
    let ((), received) = tokio::try_join!(sending, receiving)?;
    anyhow::ensure!(received == bytes, "{received} bytes came back for {bytes}");
    Ok(Transferred { bytes, elapsed: started.elapsed() })
}

/// What the body holds at this offset: the same in each piece that is sent.
fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8 ^ (offset >> 8) as u8
}

/// A body as it comes.
struct Body {
    state: State,
    /// Bytes of content so far.
    bytes: u64,
}

enum State {
    /// So many bytes of content are left.
    Length(u64),
    /// In the line with a chunk's size; what was read of it.
    Size(Vec<u8>),
    /// So many bytes are left of a chunk.
    Chunk(u64),
    /// So many bytes are left of a line end after a chunk.
    LineEnd(u8),
    /// All of it was read.
    Ended,
}

impl Body {
    fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(length) => State::Length(length as u64),
            Framing::Chunked => State::Size(Vec::new()),
        };
        Self { state, bytes: 0 }
    }

    fn ended(&self) -> bool {
        matches!(self.state, State::Ended | State::Length(0))
    }

    fn take(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Ended => return Ok(()),
                State::Length(left) | State::Chunk(left) => {
                    let part = (*left).min(bytes.len() as u64) as usize;
                    *left -= part as u64;
                    let chunk_ended = matches!(self.state, State::Chunk(0));
                    self.content(&bytes[..part])?;
                    if chunk_ended {
                        self.state = State::LineEnd(2);
                    }
                    if part == 0 {
                        return Ok(());
                    }
                    bytes = &bytes[part..];
                }
                State::LineEnd(left) => {
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Size(Vec::new());
                    }
                    bytes = rest;
                }
                State::Size(line) => {
                    if *first == b'\n' {
                        let size = u64::from_str_radix(std::str::from_utf8(line)?.trim(), 16)?;
                        self.state = if size == 0 { State::Ended } else { State::Chunk(size) };
                    } else {
                        line.push(*first);
                    }
                    bytes = rest;
                }
            }
        }
        Ok(())
    }

    /// Looks at one byte in each piece: that costs nothing, and finds what is lost or mixed up.
    fn content(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if let Some(first) = bytes.first() {
            let expected = byte_at(self.bytes % PIECE_BYTES as u64);
            anyhow::ensure!(*first == expected, "byte {} is {first} instead of {expected}", self.bytes);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_read_in_any_pieces() {
        let content: Vec<u8> = (0..7).map(byte_at).collect();
        let mut wire = b"3\r\n".to_vec();
        wire.extend_from_slice(&content[..3]);
        wire.extend_from_slice(b"\r\n4\r\n");
        wire.extend_from_slice(&content[3..]);
        wire.extend_from_slice(b"\r\n0\r\n\r\n");
        for size in 1..wire.len() {
            let mut body = Body::new(Framing::Chunked);
            for piece in wire.chunks(size) {
                body.take(piece).unwrap();
            }
            assert!(body.ended());
            assert_eq!(body.bytes, 7);
        }
    }

    #[test]
    fn other_bytes_are_noticed() {
        assert!(Body::new(Framing::Length(3)).take(b"abc").is_err());
    }
}
