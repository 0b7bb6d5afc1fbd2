//! Values of one process: tables in redb, a log in front of them, and one thread that writes.
//!
//! A write's way: [`EmbeddedKeyValue`] checks it and hands it to the writer (`writer`), which makes batches; the store (`store`)
//! decides each order of a batch against the tables (`batch`), appends what they change to the log (`log`), syncs that, and then
//! shows the tables as they are now to readers (`view`), and answers. A read looks at what is shown, and waits for nobody.

mod batch;
mod change;
mod clock;
mod log;
mod state;
mod store;
mod tables;
mod view;
mod writer;

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use samovar_model::{Bucket, BucketId};
use tokio::sync::{Semaphore, oneshot};

pub use self::store::KeyValueConfig;
use self::store::{Shown, Store};
use self::view::View;
use self::writer::Job;
use super::DataDir;
use crate::durable::sync_dir;
use crate::key_value::{BucketUsage, Entry, Page, Range, Swapped, Write, check};
use crate::{KeyValue, KeyValueError};

/// How much may wait to be written, in KiB: whoever comes then waits for room.
const MAX_WAITING_KIB: u32 = 32 << 10;

/// So many values are read where the caller runs; more of them elsewhere.
const MAX_READ_HERE: usize = 32;

/// What the writer is asked for.
enum Order {
    Write(Bucket, Vec<Write>),
    Swap {
        bucket: Bucket,
        key: String,
        version: u64,
        value: Bytes,
    },
    Increment {
        bucket: Bucket,
        key: String,
        by: i64,
    },
    Clear(BucketId),
    /// Nothing: the writer meets what a reader has met.
    Look,
}

impl Order {
    /// What it takes of the room for orders that wait.
    fn size_kib(&self) -> u32 {
        let values = match self {
            Self::Write(_, writes) => writes.iter().map(|write| write.value.as_ref().map_or(0, Bytes::len)).sum(),
            Self::Swap { value, .. } => value.len(),
            Self::Increment { .. } | Self::Clear(_) | Self::Look => 0,
        };
        u32::try_from(values / 1024 + 1).unwrap_or(u32::MAX).min(MAX_WAITING_KIB)
    }
}

/// What the writer answers.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Written,
    Swapped(Swapped),
    Counted(i64),
}

/// The values of one process.
pub struct EmbeddedKeyValue {
    shown: Shown,
    /// Taken when the store is dropped.
    orders: Option<mpsc::Sender<Job>>,
    room: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
    /// Keeps the directory locked while the files are open.
    _dir: DataDir,
}

impl EmbeddedKeyValue {
    /// Opens the data directory's values, or begins with none. Blocks on the disk, after a crash for a second or two at most.
    ///
    /// # Errors
    /// [`KeyValueError::Unavailable`] when the files cannot be opened or read.
    pub fn open(dir: &DataDir) -> Result<Self, KeyValueError> {
        Self::open_with(dir, KeyValueConfig::default())
    }

    /// The same, with checkpoints as told.
    ///
    /// # Errors
    /// As [`EmbeddedKeyValue::open`].
    pub fn open_with(dir: &DataDir, config: KeyValueConfig) -> Result<Self, KeyValueError> {
        let path = dir.key_value();
        let failed = |error: &dyn std::fmt::Display| KeyValueError::Unavailable(format!("{}: {error}", path.display()));
        let store = Store::open(path.clone(), &dir.key_value_log(), config).map_err(|error| failed(&error))?;
        sync_dir(dir.path()).map_err(|error| failed(&error))?;
        let shown = store.shown();
        let (orders, waiting) = mpsc::channel();
        let writer = std::thread::Builder::new().name("key-value".to_owned());
        let writer = writer.spawn(move || writer::run(store, &waiting)).map_err(|error| failed(&error))?;
        let room = Arc::new(Semaphore::new(MAX_WAITING_KIB as usize));
        Ok(Self { shown, orders: Some(orders), room, writer: Some(writer), _dir: dir.clone() })
    }

    /// Has an order carried out. It is, from the moment it has room, even if the caller goes away.
    async fn order(&self, order: Order) -> Result<Answer, KeyValueError> {
        let closed = || KeyValueError::Unavailable("it was closed".to_owned());
        let room = Arc::clone(&self.room).acquire_many_owned(order.size_kib()).await.map_err(|_| closed())?;
        let (reply, outcome) = oneshot::channel();
        let orders = self.orders.as_ref().ok_or_else(closed)?;
        orders.send(Job { order, reply, _room: room }).map_err(|_| closed())?;
        outcome.await.map_err(|_| KeyValueError::Unknown("the thread that writes is gone".to_owned()))?
    }

    /// Reads where the caller runs. A page that redb has in memory takes a microsecond, one that the system has two or three:
    /// far less than going to another thread and back. What neither has is read from the disk here, like code that is mapped.
    fn read<T>(&self, read: impl FnOnce(&View) -> Result<T, redb::Error>) -> Result<T, KeyValueError> {
        read_from(&self.shown, read).inspect_err(|_| self.look_after())
    }

    /// Reads where it may take long.
    async fn read_elsewhere<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, KeyValueError> {
        let shown = Arc::clone(&self.shown);
        let done = tokio::task::spawn_blocking(move || read_from(&shown, read)).await;
        let done = done.map_err(|error| KeyValueError::Unavailable(format!("the read was broken off: {error}")))?;
        done.inspect_err(|_| self.look_after())
    }

    /// After a read that failed: the writer meets what is wrong, and mends what it can.
    fn look_after(&self) {
        let (Some(orders), Ok(room)) = (&self.orders, Arc::clone(&self.room).try_acquire_owned()) else { return };
        orders.send(Job { order: Order::Look, reply: oneshot::channel().0, _room: room }).ok();
    }
}

fn read_from<T>(shown: &Shown, read: impl FnOnce(&View) -> Result<T, redb::Error>) -> Result<T, KeyValueError> {
    match &**shown.load() {
        Ok(view) => read(view).map_err(|error| KeyValueError::Unavailable(error.to_string())),
        Err(why) => Err(KeyValueError::Unavailable(why.clone())),
    }
}

/// Waits for the last batch, so that whoever opens the directory next finds it free: milliseconds, when a process ends.
impl Drop for EmbeddedKeyValue {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes values has panicked");
        }
    }
}

#[async_trait]
impl KeyValue for EmbeddedKeyValue {
    async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Entry>, KeyValueError> {
        check(key, None)?;
        self.read(|view| view.get(&bucket.id, key))
    }

    async fn get_many(&self, bucket: &Bucket, keys: &[String]) -> Result<Vec<Option<Entry>>, KeyValueError> {
        for key in keys {
            check(key, None)?;
        }
        if keys.len() <= MAX_READ_HERE {
            return self.read(|view| keys.iter().map(|key| view.get(&bucket.id, key)).collect());
        }
        let (bucket, keys) = (bucket.id.clone(), keys.to_vec());
        self.read_elsewhere(move |view| keys.iter().map(|key| view.get(&bucket, key)).collect()).await
    }

    async fn write(&self, bucket: &Bucket, writes: Vec<Write>) -> Result<(), KeyValueError> {
        for write in &writes {
            check(&write.key, write.value.as_ref())?;
        }
        self.order(Order::Write(bucket.clone(), writes)).await.map(drop)
    }

    async fn swap(&self, bucket: &Bucket, key: &str, version: u64, value: Bytes) -> Result<Swapped, KeyValueError> {
        check(key, Some(&value))?;
        let order = Order::Swap { bucket: bucket.clone(), key: key.to_owned(), version, value };
        match self.order(order).await? {
            Answer::Swapped(swapped) => Ok(swapped),
            other => Err(KeyValueError::Unknown(format!("a swap was answered with {other:?}"))),
        }
    }

    async fn increment(&self, bucket: &Bucket, key: &str, by: i64) -> Result<i64, KeyValueError> {
        check(key, None)?;
        match self.order(Order::Increment { bucket: bucket.clone(), key: key.to_owned(), by }).await? {
            Answer::Counted(count) => Ok(count),
            other => Err(KeyValueError::Unknown(format!("an increment was answered with {other:?}"))),
        }
    }

    async fn list(&self, bucket: &Bucket, range: Range) -> Result<Page, KeyValueError> {
        let bucket = bucket.id.clone();
        self.read_elsewhere(move |view| view.list(&bucket, &range)).await
    }

    async fn buckets(&self) -> Result<Vec<BucketUsage>, KeyValueError> {
        self.read_elsewhere(View::usage).await
    }

    async fn clear(&self, bucket: &BucketId) -> Result<(), KeyValueError> {
        self.order(Order::Clear(bucket.clone())).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
