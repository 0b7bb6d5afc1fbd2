//! A body whose small pieces go together.
//!
//! A connection charges each frame that is not read yet as 256 bytes at least, and empty ones for as long as it lives; one that
//! has too many of them is given up, with all requests on it. A guest that writes byte by byte must not do that to others.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// As much as a frame has: larger pieces pass as they are.
const FRAME_BYTES: usize = 16 << 10;
/// How many pieces are looked at in one go.
const MAX_PIECES: usize = FRAME_BYTES;

/// Merges pieces that are there at once into pieces of up to 16 KiB, and leaves out empty ones. Never waits for more.
pub(crate) struct Merge<B: Body> {
    body: B,
    /// What came after the last piece, and did not fit into it.
    kept: Option<Result<Frame<Bytes>, B::Error>>,
    ended: bool,
}

impl<B: Body<Data = Bytes>> Merge<B> {
    pub(crate) fn new(body: B) -> Self {
        Self { body, kept: None, ended: false }
    }

    fn kept_bytes(&self) -> u64 {
        let data = self.kept.as_ref().and_then(|kept| kept.as_ref().ok()?.data_ref());
        data.map_or(0, |data| data.len() as u64)
    }
}

// Nothing in it is pinned but the body, which need not be.
impl<B: Body + Unpin> Unpin for Merge<B> {}

impl<B: Body<Data = Bytes> + Unpin> Body for Merge<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let merge = self.get_mut();
        if let Some(kept) = merge.kept.take() {
            return Poll::Ready(Some(kept));
        }
        let mut piece = Piece::default();
        for _ in 0..MAX_PIECES {
            if merge.ended {
                return Poll::Ready(piece.frame());
            }
            let frame = match Pin::new(&mut merge.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending if piece.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(piece.frame()),
            };
            merge.ended = frame.is_none() || merge.body.is_end_stream();
            let data = match frame.map(|frame| frame.map(Frame::into_data)) {
                None => continue,
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(other))) => return Poll::Ready(merge.then(piece, Ok(other))),
                Some(Err(error)) => return Poll::Ready(merge.then(piece, Err(error))),
            };
            if piece.len() + data.len() > FRAME_BYTES {
                return Poll::Ready(merge.then(piece, Ok(Frame::data(data))));
            }
            piece.push(data);
        }
        if piece.is_empty() {
            // Nothing but empty ones: others' turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(piece.frame())
    }

    fn is_end_stream(&self) -> bool {
        self.kept.is_none() && (self.ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, kept) = (self.body.size_hint(), self.kept_bytes());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(kept));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }
}

impl<B: Body<Data = Bytes>> Merge<B> {
    /// The piece, if there is one, and what came after it.
    fn then(&mut self, piece: Piece, next: Result<Frame<Bytes>, B::Error>) -> Option<Result<Frame<Bytes>, B::Error>> {
        match piece.frame() {
            None => Some(next),
            piece => {
                self.kept = Some(next);
                piece
            }
        }
    }
}

/// What is merged. The first part is not copied unless there is a second.
#[derive(Default)]
struct Piece {
    first: Bytes,
    all: BytesMut,
}

impl Piece {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, data: Bytes) {
        if self.is_empty() {
            self.first = data;
        } else if !data.is_empty() {
            let first = std::mem::take(&mut self.first);
            self.all.extend_from_slice(&first);
            self.all.extend_from_slice(&data);
        }
    }

    fn frame<E>(self) -> Option<Result<Frame<Bytes>, E>> {
        let data = if self.all.is_empty() { self.first } else { self.all.freeze() };
        (!data.is_empty()).then(|| Ok(Frame::data(data)))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::FutureExt as _;
    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    type Piece = Poll<Result<Frame<Bytes>, io::Error>>;

    fn data(length: usize) -> Piece {
        Poll::Ready(Ok(Frame::data(Bytes::from(vec![b'x'; length]))))
    }

    /// The lengths of what comes of some pieces, one list for each time that more had to be waited for.
    fn merged(pieces: Vec<Piece>) -> Vec<Vec<Result<usize, &'static str>>> {
        let mut pieces = pieces.into_iter();
        let frames = stream::poll_fn(move |_| match pieces.next() {
            None => Poll::Ready(None),
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(frame)) => Poll::Ready(Some(frame)),
        });
        let mut body = Merge::new(StreamBody::new(frames));
        let mut lists = vec![Vec::new()];
        loop {
            let told = match body.frame().now_or_never() {
                None => {
                    lists.push(Vec::new());
                    continue;
                }
                Some(None) => {
                    assert!(body.is_end_stream());
                    return lists;
                }
                Some(Some(Ok(frame))) => frame.into_data().map(|data| data.len()).map_err(|_| "trailers"),
                Some(Some(Err(_))) => Err("error"),
            };
            lists.last_mut().unwrap().push(told);
        }
    }

    #[test]
    fn small_pieces_go_together_and_large_ones_as_they_are() {
        assert_eq!(merged((0..40_000).map(|_| data(1)).collect()), [[Ok(16_384), Ok(16_384), Ok(7_232)]]);
        assert_eq!(merged(vec![data(1), data(2), data(70_000), data(3)]), [[Ok(3), Ok(70_000), Ok(3)]]);
        assert_eq!(merged(vec![data(10_000), data(10_000)]), [[Ok(10_000), Ok(10_000)]]);
    }

    #[test]
    fn a_piece_does_not_wait_for_the_next() {
        // A pause after a piece ends the piece.
        assert_eq!(merged(vec![data(1), data(2), Poll::Pending, data(4)]), [[Ok(3), Ok(4)]]);
        assert_eq!(merged(vec![Poll::Pending, data(4)]), [vec![], vec![Ok(4)]]);
    }

    #[test]
    fn empty_pieces_are_left_out_and_do_not_keep_others_waiting() {
        assert_eq!(merged(vec![data(0), data(1), data(0), data(2), data(0)]), [[Ok(3)]]);
        let turns = merged((0..MAX_PIECES + 1).map(|_| data(0)).collect());
        assert_eq!(turns, [[], []] as [[Result<usize, &str>; 0]; 2]);
    }

    #[test]
    fn trailers_and_errors_come_after_what_was_before_them() {
        let trailers = || Poll::Ready(Ok(Frame::trailers(HeaderMap::new())));
        assert_eq!(merged(vec![data(1), data(1), trailers()]), [[Ok(2), Err("trailers")]]);
        assert_eq!(merged(vec![trailers()]), [[Err("trailers")]]);
        let error = Poll::Ready(Err(io::Error::other("broken")));
        assert_eq!(merged(vec![data(1), data(1), error]), [[Ok(2), Err("error")]]);
    }

    #[test]
    fn the_length_and_the_end_are_told() {
        let mut body = Merge::new(Full::new(Bytes::from_static(b"whole")));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
        let frame = body.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "whole");
        assert!(body.is_end_stream());
        assert!(Merge::new(Full::new(Bytes::new())).is_end_stream());
    }
}
