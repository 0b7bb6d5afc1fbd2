//! The right to work on a message: what JetStream is told of it.
//!
//! What becomes of a message is told until the server has said that it knows: an acknowledgement that is lost on the way would
//! make the message come again.

use std::time::Duration;

use async_nats::client::Request;
use async_nats::{RequestErrorKind, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::unavailable;
use crate::nats::Nats;
use crate::queues::{Fate, MessageLease, QueueError};

/// The pause before it is told again.
const PAUSE: Duration = Duration::from_millis(100);

/// A message that was given to this process.
pub(super) struct Lease {
    pub(super) nats: Nats,
    /// Where the server is told.
    pub(super) reply: Subject,
    /// Where the message is kept.
    pub(super) place: String,
}

#[async_trait]
impl MessageLease for Lease {
    async fn extend(&self) {
        // One that is lost is followed by others.
        if let Err(error) = self.nats.client().publish(self.reply.clone(), Bytes::from_static(b"+WPI")).await {
            tracing::debug!(%error, place = self.place, "a message is not extended");
        }
    }

    async fn settle(self: Box<Self>, fate: Fate) -> Result<(), QueueError> {
        let said = said(&fate);
        let deadline = Instant::now() + self.nats.config().commit_timeout;
        loop {
            let request = Request::new().payload(said.clone()).timeout(Some(self.nats.config().answer_timeout));
            let error = match self.nats.client().send_request(self.reply.clone(), request).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if error.kind() == RequestErrorKind::NoResponders && self.nats.is_usable() {
                return Err(unavailable("the consumer is gone"));
            }
            if Instant::now() >= deadline {
                return Err(unavailable(error));
            }
            sleep(PAUSE).await;
        }
    }
}

/// What JetStream is told.
fn said(fate: &Fate) -> Bytes {
    match fate {
        Fate::Done => Bytes::from_static(b"+ACK"),
        Fate::Again(after) if after.is_zero() => Bytes::from_static(b"-NAK"),
        Fate::Again(after) => format!("-NAK {{\"delay\":{}}}", after.as_nanos()).into(),
        Fate::Dead(reason) => format!("+TERM {reason}").into(),
    }
}
