//! Signs of life: either end of a connection asks for them, since one that vanished says nothing.

use std::future::pending;
use std::time::Duration;

use h2::{Ping, PingPong};

/// Asks for a sign of life after each `interval`; resolves when one stays out for `timeout`.
pub(crate) async fn unanswered(pings: Option<PingPong>, interval: Duration, timeout: Duration) {
    // Taken by nobody before.
    let Some(mut pings) = pings else { return pending().await };
    loop {
        tokio::time::sleep(interval).await;
        match tokio::time::timeout(timeout, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection tells itself.
            Ok(Err(_)) => return pending().await,
            Err(_) => return,
        }
    }
}
