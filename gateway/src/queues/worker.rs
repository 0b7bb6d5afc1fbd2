//! Has a function work on one message, and decides what becomes of it: by the same rules as for jobs.
//!
//! | the attempt ended with | then |
//! | --- | --- |
//! | a 2xx | done |
//! | a 4xx other than 408 and 429, a message that cannot be sent | dead |
//! | a fault before the function ran (no capacity, queue full, not deployed) | tried again here, while the message is kept |
//! | anything else | delivered again, after a while; dead once its attempts are used up |
//!
//! A message whose function cannot run keeps its place: so no further ones are taken that could not run either.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::BodyExt as _;
use samovar_cluster::jobs::rules::{Progress, Verdict, outcome, verdict};
use samovar_cluster::jobs::{Attempt, StoredAnswer};
use samovar_cluster::queues::{Delivered, EXTEND_EVERY, Fate};
use samovar_model::{Fault, SubscriptionKey};
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::event::{To, request};
use super::seldom::Seldom;
use super::taker::Source;
use crate::Gateway;
use crate::dispatcher::Dispatcher;

/// The longest that it is waited before a function is tried again that could not run.
const LONGEST_HOLD: Duration = Duration::from_secs(30);
/// The longest that a message is left alone whose function has failed, whatever its answer asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Messages of a subscription that are given up, of which a line is written in a minute.
const DEAD_LINES: u32 = 10;

/// Works on the messages of one subscription.
pub(super) struct Worker<D: Dispatcher> {
    gateway: Gateway<D>,
    source: Arc<Source>,
    stop: CancellationToken,
    failing: Seldom,
    dead: Seldom,
    unsettled: Seldom,
}

impl<D: Dispatcher> Worker<D> {
    pub(super) fn new(gateway: Gateway<D>, source: Arc<Source>, stop: CancellationToken) -> Self {
        let (failing, dead, unsettled) = (Seldom::new(1), Seldom::new(DEAD_LINES), Seldom::new(1));
        Self { gateway, source, stop, failing, dead, unsettled }
    }

    /// Works on a message until it is known what becomes of it, and tells the server.
    pub(super) async fn work(&self, delivered: Delivered) {
        let _running = self.source.counts.begin();
        let fate = {
            let mut deciding = pin!(self.decide(&delivered));
            let mut extend = interval_at(Instant::now() + EXTEND_EVERY, EXTEND_EVERY);
            loop {
                tokio::select! {
                    fate = &mut deciding => break fate,
                    _ = extend.tick() => delivered.lease.extend().await,
                }
            }
        };
        self.source.counts.add(&fate);
        let Delivered { place, lease, .. } = delivered;
        if let Err(error) = lease.settle(fate).await
            && let Some(left_out) = self.unsettled.now()
        {
            let SubscriptionKey { function, subject } = &self.source.key;
            tracing::warn!(%error, %function, %subject, place, left_out, "what became of a message is not stored: it comes again");
        }
    }

    async fn decide(&self, delivered: &Delivered) -> Fate {
        let mut deferred = 0;
        loop {
            let attempt = match self.attempt(delivered).await {
                Ok(attempt) => attempt,
                Err(reason) => return self.give_up(delivered, reason),
            };
            // How long a message is kept is its stream's to say.
            let progress = Progress { counted: delivered.attempt, deferred, age: None };
            match verdict(&attempt, progress, &self.source.terms, fastrand::f64()) {
                Verdict::Done => return Fate::Done,
                Verdict::Dead(why) => return self.give_up(delivered, outcome(&attempt, why)),
                Verdict::Again { after, counts: true } => {
                    self.tell_failing(delivered, &attempt);
                    return Fate::Again(after.min(LONGEST_PAUSE));
                }
                Verdict::Again { after, counts: false } => {
                    self.tell_failing(delivered, &attempt);
                    deferred += 1;
                    let held = tokio::time::timeout(after.min(LONGEST_HOLD), self.stop.cancelled()).await;
                    if held.is_ok() {
                        return Fate::Again(Duration::ZERO);
                    }
                }
            }
        }
    }

    /// Has the message answered, by the revision of its function that answers now.
    ///
    /// # Errors
    /// Why no request can be made of it.
    async fn attempt(&self, delivered: &Delivered) -> Result<Attempt, String> {
        let Source { key, path, .. } = &*self.source;
        let max_header_bytes = self.gateway.inner().config.max_header_bytes;
        let to = To { function: &key.function, path, max_header_bytes };
        let (request, id) = request(&delivered.message, delivered.attempt, &to)?;
        let Some((target, _)) = self.gateway.callee(&key.function) else {
            return Ok(Attempt::Failed(Fault::NoFunction));
        };
        Ok(match self.gateway.inner().dispatcher.dispatch(target, request, id).await {
            Err(fault) => Attempt::Failed(fault),
            Ok(answer) => receive(answer).await.map_or_else(Attempt::Failed, Attempt::Answered),
        })
    }

    fn tell_failing(&self, delivered: &Delivered, attempt: &Attempt) {
        let Some(left_out) = self.failing.now() else { return };
        let SubscriptionKey { function, subject } = &self.source.key;
        let (outcome, place, attempt) = (outcome(attempt, None), &delivered.place, delivered.attempt);
        tracing::warn!(%function, %subject, place, attempt, outcome, left_out, "a message is not done, and tried again");
    }

    fn give_up(&self, delivered: &Delivered, reason: String) -> Fate {
        if let Some(left_out) = self.dead.now() {
            let SubscriptionKey { function, subject } = &self.source.key;
            let (place, attempt, to) = (&delivered.place, delivered.attempt, &delivered.message.subject);
            tracing::warn!(%function, %subject, to, place, attempt, reason, left_out, "a message is given up");
        }
        Fate::Dead(reason)
    }
}

/// Reads an answer to its end. It counts only then; what it says beside its head is nobody's.
async fn receive<B: Body<Data = Bytes, Error = Fault>>(answer: Response<B>) -> Result<StoredAnswer, Fault> {
    let (head, body) = answer.into_parts();
    let mut body = pin!(body);
    let mut body_bytes = 0;
    while let Some(frame) = body.frame().await {
        body_bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(StoredAnswer { status: head.status, headers: head.headers, body: None, body_bytes })
}
