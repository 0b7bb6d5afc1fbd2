//! What moves the caller's end of a connection: writes requests, reads answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::Connection;

use crate::client::Shared;
use crate::stream::Stream;

/// Drives a connection to its end, which comes when the host, or this process, wants no more of it, or when a ping stays
/// unanswered.
pub(crate) async fn drive(
    mut connection: Connection<Stream, Bytes>,
    shared: &Shared,
    silent: impl Future<Output = ()>,
) {
    let mut patience = Patience::default();
    let driven = async {
        let mut has_waited = false;
        loop {
            let driven = poll_fn(|cx| {
                if !has_waited && shared.has_sent() && patience.is_worth_it() {
                    return Poll::Ready(None);
                }
                let requests = shared.take_sent();
                if std::mem::take(&mut has_waited) {
                    patience.came_of_it(requests);
                }
                Pin::new(&mut connection).poll(cx).map(Some)
            });
            if let Some(result) = driven.await {
                return result;
            }
            tokio::task::yield_now().await;
            has_waited = true;
        }
    };
    tokio::select! {
        biased;
        result = driven => if let Err(error) = result {
            tracing::debug!(%error, "a connection to a host ended");
        },
        () = silent => tracing::debug!("a host gives no sign of life: its connection is given up"),
    }
}

/// Whether to let other tasks have their turn before requests are written.
///
/// A task that is woken by a request runs right after the one that made it. To write one request costs more than to make it, so
/// those that wait to be made on this thread should be written with it; where none do, waiting costs as much as writing does.
#[derive(Default)]
struct Patience {
    /// How many times not to wait before it is tried again: more each time that it was for nothing.
    pause: u32,
    left: u32,
}

impl Patience {
    const LONGEST_PAUSE: u32 = 63;

    /// Whether to wait now.
    fn is_worth_it(&mut self) -> bool {
        if self.left == 0 {
            return true;
        }
        self.left -= 1;
        false
    }

    /// Learns how many requests there were after it has waited.
    fn came_of_it(&mut self, requests: u32) {
        self.pause = if requests > 1 { 0 } else { (2 * self.pause + 1).min(Self::LONGEST_PAUSE) };
        self.left = self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it waits when it is asked so often, and so many requests have come each time.
    fn waits(patience: &mut Patience, asked: u32, requests: u32) -> u32 {
        let mut waits = 0;
        for _ in 0..asked {
            if patience.is_worth_it() {
                waits += 1;
                patience.came_of_it(requests);
            }
        }
        waits
    }

    #[test]
    fn waiting_goes_on_while_it_brings_requests_together() {
        assert_eq!(waits(&mut Patience::default(), 1000, 2), 1000);
    }

    #[test]
    fn waiting_for_nothing_is_rare_and_does_not_end() {
        let mut patience = Patience::default();
        assert_eq!(waits(&mut patience, 1000, 1), 20);
        assert_eq!(waits(&mut patience, 64_000, 1), 1000);
        // As soon as it is worth it, it is done again, each time.
        let found = (0..64).position(|_| waits(&mut patience, 1, 8) == 1);
        assert!(found.is_some());
        assert_eq!(waits(&mut patience, 1000, 8), 1000);
    }
}
