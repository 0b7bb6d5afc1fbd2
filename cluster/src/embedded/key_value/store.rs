//! The tables and the log together: a batch is decided, logged and synced, put into the tables, and shown, in this order.
//!
//! States: *open*; and *closed*, after an error that redb does not go on after. Then everything is opened again, from the last
//! checkpoint and the log, at once or with the next batch; what was acknowledged is there again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use redb::{Builder, Database, Durability, WriteTransaction};

use super::batch::{Batch, Fault};
use super::change::Change;
use super::log::{AppendError, Log};
use super::state::State;
use super::view::View;
use super::{Answer, Order, clock};
use crate::KeyValueError;

/// What readers find: the tables, or why there is nothing to read now.
pub(super) type Access = Result<View, String>;

/// Shared with readers; only the store changes it.
pub(super) type Shown = Arc<ArcSwap<Access>>;

/// redb keeps this much of the file in memory. What is not there is mostly in the system's page cache.
const CACHE_BYTES: usize = 64 << 20;

/// When the tables are synced. Later means fewer pages written for as many values, and more of the log to be read after a crash.
#[derive(Debug, Clone, Copy)]
pub struct KeyValueConfig {
    /// When the log is this long, in bytes. Default 16 MiB, which take a second or two to read.
    pub checkpoint_bytes: u64,
    /// When the log has had something that the tables' file has not for this long. Default 10 s.
    pub checkpoint_age: Duration,
}

impl Default for KeyValueConfig {
    fn default() -> Self {
        Self { checkpoint_bytes: 16 << 20, checkpoint_age: Duration::from_secs(10) }
    }
}

/// Where the tables cannot be synced, the log grows to this, and then writes are refused.
const MAX_LOG_BYTES: u64 = 64 << 20;

/// How long after a failure the next attempt is made.
const RETRY: Duration = Duration::from_secs(1);

/// How many entries one batch sweeps besides its own work: a few milliseconds.
const SWEEP: usize = 256;

/// How often it is looked whether something has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// See above.
pub(super) struct Store {
    path: PathBuf,
    config: KeyValueConfig,
    database: Option<Database>,
    log: Log,
    state: State,
    shown: Shown,
    /// Since when the log has something that the tables' file has not.
    behind: Option<Instant>,
    /// After a checkpoint that failed: when to try again.
    retry: Option<Instant>,
    /// When to sweep next.
    sweep: Option<Instant>,
}

/// What ended a batch.
enum Failure {
    /// Before anything was stored.
    Tables(redb::Error),
    Log(AppendError),
    /// When it was in the log already.
    Logged(redb::Error, Vec<Result<Answer, KeyValueError>>),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Tables(error.into())
    }
}

impl Store {
    /// Opens the tables in `path` and the log in `log`, and has everything in them that was acknowledged.
    pub(super) fn open(path: PathBuf, log: &Path, config: KeyValueConfig) -> Result<Self, redb::Error> {
        let log = Log::open(log)?;
        let shown = Arc::new(ArcSwap::from_pointee(Err("it is not open yet".to_owned())));
        let mut store = Self {
            path,
            config,
            database: None,
            log,
            state: State::default(),
            shown,
            behind: None,
            retry: None,
            sweep: None,
        };
        store.reopen()?;
        Ok(store)
    }

    /// What readers look at.
    pub(super) fn shown(&self) -> Shown {
        Arc::clone(&self.shown)
    }

    /// When something is to be done though nobody asks for it.
    pub(super) fn due(&self) -> Option<Instant> {
        let checkpoint = self.behind.map(|since| self.retry.unwrap_or(since + self.config.checkpoint_age));
        let reopen = self.database.is_none().then(|| Instant::now() + RETRY);
        [checkpoint, reopen, self.sweep].into_iter().flatten().min()
    }

    /// Carries out orders as one batch, with one sync; the outcome of each. Sweeps a little if it is time.
    pub(super) fn commit(&mut self, orders: &[Order]) -> Vec<Result<Answer, KeyValueError>> {
        let all = |error: KeyValueError| orders.iter().map(|_| Err(error.clone())).collect();
        if self.database.is_none()
            && let Err(error) = self.reopen()
        {
            return all(KeyValueError::Unavailable(self.words(&error)));
        }
        if self.log.len() > MAX_LOG_BYTES {
            let words = self.words(&"no room to store what has been written already");
            return all(KeyValueError::Unavailable(words));
        }
        let outcome = self.attempt(orders);
        self.log.forget();
        match outcome {
            Ok(answers) => answers,
            Err(Failure::Log(error)) => {
                // What the batch did in memory is gone with its transaction.
                self.reload();
                match error {
                    AppendError::Refused(error) => all(KeyValueError::Unavailable(self.words(&error))),
                    AppendError::Unknown(error) => all(KeyValueError::Unknown(self.words(&error))),
                }
            }
            Err(Failure::Tables(error)) => {
                let words = self.words(&error);
                self.mend(&error);
                all(KeyValueError::Unavailable(words))
            }
            Err(Failure::Logged(error, answers)) => {
                let words = self.words(&error);
                self.mend(&error);
                // Read from the log, it is in the tables as if nothing had happened.
                if self.database.is_some() { answers } else { all(KeyValueError::Unknown(words)) }
            }
        }
    }

    fn attempt(&mut self, orders: &[Order]) -> Result<Vec<Result<Answer, KeyValueError>>, Failure> {
        let Some(database) = &self.database else { return Err(redb::Error::DatabaseClosed.into()) };
        let mut txn = database.begin_write()?;
        // On disk is what the log has: redb syncs at checkpoints.
        txn.set_durability(Durability::None)?;
        let mut batch = Batch::begin(&txn, &mut self.state, clock::now())?;
        let mut answers = Vec::with_capacity(orders.len());
        for order in orders {
            match batch.perform(order, self.log.batch()) {
                Ok(answer) => answers.push(Ok(answer)),
                Err(Fault::Refused(error)) => answers.push(Err(error)),
                Err(Fault::Storage(error)) => return Err(error.into()),
            }
        }
        self.sweep = sweep(&mut batch, self.sweep, !orders.is_empty())?;
        drop(batch);
        if !self.log.is_empty() {
            let sequence = self.state.applied + 1;
            self.log.append(sequence).map_err(Failure::Log)?;
            self.state.applied = sequence;
            self.behind.get_or_insert_with(Instant::now);
        }
        match finish(database, txn, &mut self.state) {
            Ok(view) => self.shown.store(Arc::new(Ok(view))),
            Err(error) => return Err(Failure::Logged(error, answers)),
        }
        Ok(answers)
    }

    /// Syncs the tables, if it is time.
    pub(super) fn keep_up(&mut self) {
        let old = self.behind.is_some_and(|since| since.elapsed() >= self.config.checkpoint_age);
        if self.database.is_none() {
            // Said where it was closed, and again with each write.
            self.reopen().ok();
        } else if (old || self.log.len() >= self.config.checkpoint_bytes)
            && self.retry.is_none_or(|at| at <= Instant::now())
        {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let Some(database) = &self.database else { return };
        let done = self.room().and_then(|()| sync(database));
        match done {
            Ok(()) => {
                self.log.begin_again();
                (self.behind, self.retry) = (None, None);
            }
            Err(error) => {
                tracing::error!(error = %self.words(&error), "values are in the log only, until this can be mended");
                self.retry = Some(Instant::now() + RETRY);
                if !matches!(error, redb::Error::Io(_)) || sync_failed(database) {
                    self.mend(&error);
                }
            }
        }
    }

    /// Whether a checkpoint has room, by a rough guess: one that fails half-way makes it necessary to open everything again.
    fn room(&self) -> Result<(), redb::Error> {
        let stat = rustix::fs::statvfs(&self.path).map_err(std::io::Error::from)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let wanted = 2 * self.log.len() + (4 << 20);
        if free >= wanted {
            return Ok(());
        }
        let words = format!("{free} bytes are free on the disk, and up to {wanted} may be needed");
        Err(std::io::Error::new(std::io::ErrorKind::StorageFull, words).into())
    }

    /// After a batch that was not logged: the state is again what the tables say.
    fn reload(&mut self) {
        let loaded = self.database.as_ref().ok_or(redb::Error::DatabaseClosed).and_then(|database| {
            let txn = database.begin_write()?;
            let state = State::load(&txn)?;
            txn.abort()?;
            Ok(state)
        });
        match loaded {
            Ok(state) => self.state = state,
            Err(error) => self.mend(&error),
        }
    }

    /// Opens everything again after an error.
    fn mend(&mut self, error: &redb::Error) {
        tracing::error!(error = %self.words(error), "opening the key-value store again");
        self.close(&self.words(error));
        if let Err(error) = self.reopen() {
            tracing::error!(error = %self.words(&error), "the key-value store is closed until it can be opened again");
            self.close(&self.words(&error));
        }
    }

    /// Closes the tables, once nobody reads them any more.
    fn close(&mut self, why: &str) {
        let shown = self.shown.swap(Arc::new(Err(why.to_owned())));
        let readers = Arc::downgrade(&shown);
        drop(shown);
        while readers.strong_count() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.database = None;
    }

    /// Everything is synced, and nobody reads any more.
    pub(super) fn end(&mut self) {
        if self.behind.is_some() {
            self.checkpoint();
        }
        self.close("it was closed");
    }

    fn reopen(&mut self) -> Result<(), redb::Error> {
        let database = Builder::new().set_cache_size(CACHE_BYTES).create(&self.path)?;
        let mut txn = database.begin_write()?;
        txn.set_durability(Durability::None)?;
        let mut state = State::load(&txn)?;
        let applied = state.applied;
        let mut batch = Batch::begin(&txn, &mut state, clock::now())?;
        self.log.replay(applied, |sequence, changes| replay(&mut batch, sequence, changes))?;
        drop(batch);
        let view = finish(&database, txn, &mut state)?;
        if state.applied > applied {
            tracing::info!(batches = state.applied - applied, "values read from the log");
            self.behind = Some(Instant::now());
        } else {
            self.log.begin_again();
        }
        (self.state, self.sweep) = (state, Some(Instant::now()));
        self.database = Some(database);
        self.shown.store(Arc::new(Ok(view)));
        Ok(())
    }

    /// For guests too, whom the directory does not concern.
    fn words(&self, error: &dyn std::fmt::Display) -> String {
        let file = self.path.file_name().unwrap_or_default();
        format!("{}: {error}", file.display())
    }
}

fn replay(batch: &mut Batch<'_, '_>, sequence: u64, mut changes: &[u8]) -> Result<(), redb::Error> {
    while !changes.is_empty() {
        let change = Change::decode(&mut changes)
            .ok_or_else(|| redb::Error::Corrupted(format!("batch {sequence} of the log")))?;
        batch.apply(&change)?;
    }
    batch.applied(sequence);
    Ok(())
}

/// Sweeps if it is time to; when to do so next.
fn sweep(batch: &mut Batch<'_, '_>, due: Option<Instant>, written: bool) -> Result<Option<Instant>, redb::Error> {
    let now = Instant::now();
    if due.is_none_or(|due| due > now) {
        return Ok(due.or_else(|| (written && batch.sweeps_later()).then(|| now + SWEEP_EVERY)));
    }
    if batch.sweep(SWEEP)? >= SWEEP {
        return Ok(Some(now));
    }
    let next = batch.next_sweep()?.map(|at| Duration::from_millis(at.saturating_sub(clock::now())));
    Ok(next.map(|wait| now + wait.clamp(SWEEP_EVERY, Duration::from_secs(3600))))
}

/// Commits in memory, and looks at the outcome.
fn finish(database: &Database, txn: WriteTransaction, state: &mut State) -> Result<View, redb::Error> {
    state.store(&txn)?;
    txn.commit()?;
    View::open(database, Arc::clone(&state.numbers))
}

/// A commit that takes all that came before with it.
fn sync(database: &Database) -> Result<(), redb::Error> {
    let mut txn = database.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    // Two syncs instead of one: nothing among so many batches, and after a crash the file is not read through.
    txn.set_quick_repair(true);
    Ok(txn.commit()?)
}

/// Whether redb has met an error that it does not go on after.
fn sync_failed(database: &Database) -> bool {
    database.begin_write().is_err()
}
