//! A component on its way to the control API: a body in pieces, with a progress bar where a person is watching.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use indicatif::{ProgressBar, ProgressStyle};

/// How much is sent at once: small enough for the bar to move, large enough to cost nothing.
const PIECE_BYTES: usize = 64 << 10;

/// The bytes, and the bar that follows them. Its length is known, so the request carries a `content-length`.
pub(crate) struct Upload {
    left: Bytes,
    bar: ProgressBar,
}

impl Upload {
    /// Sends `bytes`.
    pub(crate) fn new(bytes: Bytes, bar: ProgressBar) -> Self {
        Self { left: bytes, bar }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left.is_empty() {
            compiling(&self.bar);
            return Poll::Ready(None);
        }
        let length = self.left.len().min(PIECE_BYTES);
        let piece = self.left.split_to(length);
        self.bar.inc(length as u64);
        if self.left.is_empty() {
            compiling(&self.bar);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// A bar for uploading the component of `name`; hidden unless someone is watching.
pub(crate) fn bar(name: &str, bytes: u64, watched: bool) -> ProgressBar {
    if !watched {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix}: uploading [{bar:30}] {bytes}/{total_bytes}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    ProgressBar::new(bytes).with_style(style).with_prefix(name.to_owned())
}

/// From here on the control API is at work.
fn compiling(bar: &ProgressBar) {
    let style = ProgressStyle::with_template("{prefix}: compiling {spinner}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
}
