//! The thread that writes: it takes whatever waits, has it stored as one batch, and answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use samovar_model::Durability;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::store::Store;
use super::{Answer, Order};
use crate::KeyValueError;

/// The most orders of one batch.
const MAX_ORDERS: usize = 1024;

/// How long a batch in which nobody is in a hurry waits for company, and for how long nobody may have come before it does not.
/// It waits for as many as were there a moment ago: those of the last batch, who come again all at once when they have their
/// answers, and those who came while it was stored. When they are here, or nobody else comes, it waits no longer; so one writer
/// alone does not wait at all.
const COMPANY: Duration = Duration::from_millis(3);
const QUIET: Duration = Duration::from_micros(300);

/// An order, and who waits for its outcome.
pub(super) struct Job {
    pub(super) order: Order,
    pub(super) reply: oneshot::Sender<Result<Answer, KeyValueError>>,
    /// A part of what may wait.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Runs until nobody can send an order any more.
pub(super) fn run(mut store: Store, orders: &Receiver<Job>) {
    let (mut waiting, mut expected) = (Vec::new(), 1);
    while let Some(jobs) = gather(orders, store.due(), waiting, expected) {
        let (batch, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.order, (job.reply, job._room))).unzip();
        let outcomes = store.commit(&batch);
        waiting = orders.try_iter().take(MAX_ORDERS).collect();
        expected = batch.len() + waiting.len();
        for ((reply, _room), outcome) in replies.into_iter().zip(outcomes) {
            // Whoever asked may have gone away; the order is carried out all the same.
            reply.send(outcome).ok();
        }
        store.keep_up();
    }
    store.end();
}

/// The orders of the next batch, those that are `waiting` first: none when something else is `due`; `None` at the end.
fn gather(orders: &Receiver<Job>, due: Option<Instant>, waiting: Vec<Job>, expected: usize) -> Option<Vec<Job>> {
    let mut jobs = waiting;
    if jobs.is_empty() {
        let first = match due {
            None => orders.recv().map_err(RecvTimeoutError::from),
            Some(due) => orders.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match first {
            Ok(job) => jobs.push(job),
            Err(RecvTimeoutError::Timeout) => return Some(jobs),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    let until = Instant::now() + COMPANY;
    let mut hurry = jobs.iter().any(in_a_hurry);
    while jobs.len() < MAX_ORDERS {
        let wait = match hurry || jobs.len() >= expected {
            true => Duration::ZERO,
            false => QUIET.min(until.saturating_duration_since(Instant::now())),
        };
        match orders.try_recv().or_else(|_| orders.recv_timeout(wait)) {
            Ok(job) => {
                hurry |= in_a_hurry(&job);
                jobs.push(job);
            }
            Err(_) => break,
        }
    }
    Some(jobs)
}

fn in_a_hurry(job: &Job) -> bool {
    match &job.order {
        Order::Write(bucket, _) | Order::Swap { bucket, .. } | Order::Increment { bucket, .. } => {
            bucket.durability == Durability::Sync
        }
        Order::Clear(_) | Order::Look => true,
    }
}
