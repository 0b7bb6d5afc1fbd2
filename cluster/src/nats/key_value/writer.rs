//! Writes, bucket by bucket: what waits for a bucket is stored together, in one atomic batch, by one task.
//!
//! A bucket has a task for as long as something waits for it. A caller that goes away does not take back its write.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use samovar_model::{Bucket, BucketId, Durability};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::attempt::{Memory, Order, ROUND_KEYS, round};
use super::round::{Answered, Change};
use super::store::Store;
use crate::KeyValueError;

/// What the values of one batch may come to.
const ROUND_BYTES: usize = 8 << 20;
/// How much may wait for one bucket.
const WAITING: usize = 8192;
const WAITING_BYTES: usize = 64 << 20;
/// How long a round of batched writes waits for more.
const LINGER: Duration = Duration::from_millis(2);
/// How many keys are remembered between rounds, and of how many buckets.
const REMEMBERED_KEYS: usize = 1024;
const REMEMBERED_BUCKETS: usize = 1024;

/// A change that waits, and who waits for it.
struct Waiting {
    order: Order,
    answer: oneshot::Sender<Answered>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// Whether a task sees to it.
    attended: bool,
    memory: Memory,
}

/// The writers of all buckets.
#[derive(Default)]
pub(super) struct Writers {
    queues: Mutex<HashMap<BucketId, Queue>>,
}

impl Writers {
    fn queues(&self) -> MutexGuard<'_, HashMap<BucketId, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a change made, and waits until it is stored.
    pub(super) async fn submit(self: &Arc<Self>, store: &Store, bucket: &Bucket, change: Change) -> Answered {
        let (answer, answered) = oneshot::channel();
        let order = Order { bucket: bucket.clone(), change };
        if self.enqueue(Waiting { order, answer })? {
            tokio::spawn(Arc::clone(self).attend(store.clone(), bucket.id.clone()));
        }
        answered.await.unwrap_or_else(|_| Err(KeyValueError::Unknown("this process is stopping".to_owned())))
    }

    /// Whether a task is to be started.
    fn enqueue(&self, new: Waiting) -> Result<bool, KeyValueError> {
        let Order { bucket, change } = &new.order;
        let mut queues = self.queues();
        if queues.len() > REMEMBERED_BUCKETS {
            queues.retain(|_, queue| queue.attended);
        }
        let queue = queues.entry(bucket.id.clone()).or_default();
        let bytes = change.bytes();
        if queue.waiting.len() >= WAITING || queue.waiting_bytes + bytes > WAITING_BYTES {
            let (waiting, bucket) = (queue.waiting.len(), &bucket.id);
            let reason = format!("bucket `{bucket}`: {waiting} writes wait already");
            return Err(KeyValueError::Unavailable(reason));
        }
        queue.waiting_bytes += bytes;
        queue.waiting.push_back(new);
        Ok(!std::mem::replace(&mut queue.attended, true))
    }

    /// Takes what one batch may hold; nothing when nothing waits, and then nobody attends to the bucket.
    fn take(&self, bucket: &BucketId, memory: &mut Memory) -> Vec<Waiting> {
        let mut queues = self.queues();
        let queue = queues.entry(bucket.clone()).or_default();
        let (mut keys, mut bytes, mut taken) = (0, 0, Vec::new());
        while let Some(next) = queue.waiting.pop_front() {
            let change = &next.order.change;
            (keys, bytes) = (keys + change.keys().count(), bytes + change.bytes());
            if !taken.is_empty() && (keys > ROUND_KEYS || bytes > ROUND_BYTES) {
                queue.waiting.push_front(next);
                break;
            }
            queue.waiting_bytes = queue.waiting_bytes.saturating_sub(change.bytes());
            taken.push(next);
        }
        if taken.is_empty() {
            queue.attended = false;
            queue.memory = std::mem::take(memory);
        }
        taken
    }

    /// Whether all that waits may wait a little longer.
    fn lingers(&self, bucket: &BucketId) -> bool {
        let batched = |waiting: &Waiting| waiting.order.bucket.durability == Durability::Batched;
        self.queues().get(bucket).is_some_and(|queue| !queue.waiting.is_empty() && queue.waiting.iter().all(batched))
    }

    async fn attend(self: Arc<Self>, store: Store, bucket: BucketId) {
        let mut memory =
            self.queues().get_mut(&bucket).map(|queue| std::mem::take(&mut queue.memory)).unwrap_or_default();
        loop {
            if self.lingers(&bucket) {
                sleep(LINGER).await;
            }
            let (orders, answers): (Vec<_>, Vec<_>) =
                self.take(&bucket, &mut memory).into_iter().map(|Waiting { order, answer }| (order, answer)).unzip();
            if orders.is_empty() {
                return;
            }
            let answered = round(&store, &bucket, &mut memory, &orders).await;
            for (answer, answered) in answers.into_iter().zip(answered) {
                drop(answer.send(answered));
            }
            if memory.known.len() > REMEMBERED_KEYS {
                memory.known.clear();
            }
        }
    }
}
