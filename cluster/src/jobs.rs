//! Jobs: requests that are stored first and answered later, at least once.
//!
//! A job is stored durably before [`Jobs::submit`] answers. Whoever runs jobs takes one that is due under a [`JobLease`], has it
//! answered, and says how that ended; the store decides by [`rules`] what comes next. A lease that is dropped, by a crash too,
//! makes the job due again: a function may see a job twice, and never not at all.
//!
//! What has come to its end is kept for a while: done for [`DONE_KEPT`], dead letters for [`DEAD_KEPT`].

mod content;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samovar_model::{Fault, FunctionName, Job, JobId, JobSettings, JobState, ScheduleKey};
use sha2::{Digest as _, Sha256};

pub use content::{StoredAnswer, StoredRequest};

/// How long a job is kept that was answered, and how long an idempotency key stands for the first job with it.
pub const DONE_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a dead letter is kept.
pub const DEAD_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// The largest body of an answer that is kept.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A job that is to be stored.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The function.
    pub function: FunctionName,
    /// What it is asked.
    pub request: StoredRequest,
    /// By which a second submission of the same is known.
    pub key: Option<IdempotencyKey>,
    /// How it is run.
    pub settings: JobSettings,
    /// The tick of a schedule that it is for.
    pub tick: Option<Tick>,
}

/// By which a second submission of the same is known, within its function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key.
    pub key: String,
    /// What the request was: the same key with another one is a mistake.
    pub fingerprint: [u8; 32],
}

impl IdempotencyKey {
    /// A key for this request.
    pub fn new(key: impl Into<String>, request: &StoredRequest) -> Self {
        let mut hash = Sha256::new();
        for part in [request.method.as_str().as_bytes(), b"\n", request.target.as_bytes(), b"\n", &request.body] {
            hash.update(part);
        }
        Self { key: key.into(), fingerprint: hash.finalize().into() }
    }
}

/// One time that a schedule was due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// Which schedule.
    pub schedule: ScheduleKey,
    /// The schedule as people read it.
    pub shown: String,
    /// The time.
    pub at: Timestamp,
}

/// The last tick for which a job was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastTick {
    /// Its time.
    pub at: Timestamp,
    /// Its job, which may be gone.
    pub job: JobId,
}

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is stored.
    New(JobId),
    /// It was stored before, under the same key.
    Known(JobId),
}

impl Submitted {
    /// The job's id, whichever submission made it.
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Known(id) => id,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub enum Attempt {
    /// The function answered, to the last byte.
    Answered(StoredAnswer),
    /// It did not.
    Failed(Fault),
}

/// Which jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this function's.
    pub function: Option<FunctionName>,
    /// Only those in this state.
    pub state: Option<JobState>,
}

impl Selection {
    /// Whether a job is one of those.
    pub fn includes(&self, job: &Job) -> bool {
        let function = self.function.as_ref().is_none_or(|function| *function == job.function);
        function && self.state.is_none_or(|state| state == job.state)
    }
}

/// How many jobs there are, and how long they wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Jobs by state.
    pub states: BTreeMap<JobState, u64>,
    /// When the job was due that is due for the longest time, and is not running.
    pub oldest_due: Option<Timestamp>,
    /// What requests and answers take.
    pub bytes: u64,
}

/// Why something could not be done. Nothing has changed, except after [`JobsError::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobsError {
    /// There is no such job, or it is gone.
    #[error("no job {0}: it never was, or was purged (done jobs are kept for 24 h, dead letters for 7 d)")]
    NoJob(JobId),
    /// The job is not in a state in which this makes sense.
    #[error("job {id} is {state}: only one that is dead or waiting can be retried")]
    NotToRetry {
        /// The job.
        id: JobId,
        /// Its state.
        state: JobState,
    },
    /// The key stands for another request.
    #[error("the idempotency key stands for another request, stored as job {0}: use a new key for a new request")]
    KeyTaken(JobId),
    /// The request is larger than what the store takes.
    #[error("the request has {actual} bytes with its headers, and a job can have {limit}")]
    TooLarge {
        /// What a job can have.
        limit: u64,
        /// What it has.
        actual: u64,
    },
    /// The store holds as much as it may.
    #[error(
        "the store of jobs is full ({used} of {limit} bytes used, {more} more wanted): `samovar jobs purge` makes room, and \
         --jobs-max-bytes says how much there is"
    )]
    Full {
        /// What it holds.
        used: u64,
        /// What it may hold.
        limit: u64,
        /// What the job takes.
        more: u64,
    },
    /// The store cannot be reached or written: try again later.
    #[error("the store of jobs is not available: {0}")]
    Unavailable(String),
    /// It cannot be told whether the change happened.
    #[error("it is not known whether the store of jobs has stored the change: {0}")]
    Unknown(String),
}

/// A job that is to be run now.
pub struct Taken {
    /// The job, which is running; this attempt is counted.
    pub job: Job,
    /// What the function is asked.
    pub request: StoredRequest,
    /// The right to run it.
    pub lease: Box<dyn JobLease>,
}

/// A job that was chosen to be run, and that nobody else in this process chooses meanwhile. Dropped, it is left to whoever comes.
#[async_trait]
pub trait Chosen: Send + 'static {
    /// The job's function.
    fn function(&self) -> &FunctionName;

    /// Takes the job; nothing where it is gone, or another process was faster.
    ///
    /// # Errors
    /// When the store does not say; the job will be due again, after a moment.
    async fn take(self: Box<Self>) -> Result<Option<Taken>, JobsError>;
}

/// The right to run a job. Nobody else has it while this is held by a process that lives. Dropped, the job is due again.
#[async_trait]
pub trait JobLease: Send + Sync + 'static {
    /// Says how the attempt ended, and answers where the job stands now.
    ///
    /// # Errors
    /// When this could not be stored. The job will be due again, after a moment.
    async fn finish(self: Box<Self>, attempt: Attempt) -> Result<JobState, JobsError>;
}

/// A store of jobs.
#[async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Stores a job. It is on disk when this answers.
    ///
    /// # Errors
    /// Everything but [`JobsError::NoJob`] and [`JobsError::NotToRetry`]. After [`JobsError::Unknown`] the job may be run.
    async fn submit(&self, job: NewJob) -> Result<Submitted, JobsError>;

    /// Waits for a job that is due, the longest first, of a function that is not `full`. To take it may need another machine, so
    /// that several are best taken at once.
    ///
    /// # Cancel safety
    /// Nothing is chosen by a call that is dropped.
    async fn choose(&self, full: &BTreeSet<FunctionName>) -> Box<dyn Chosen>;

    /// Chooses a job and takes it, until that succeeds.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`]; trying again at once does not help.
    ///
    /// # Cancel safety
    /// Nothing is taken by a call that is dropped.
    async fn take(&self, full: &BTreeSet<FunctionName>) -> Result<Taken, JobsError> {
        loop {
            if let Some(taken) = self.choose(full).await.take().await? {
                return Ok(taken);
            }
        }
    }

    /// Looks at a job.
    async fn show(&self, id: JobId) -> Result<Option<Job>, JobsError>;

    /// The last answer that was kept of a job.
    async fn answer(&self, id: JobId) -> Result<Option<StoredAnswer>, JobsError>;

    /// Jobs, newest first, at most `limit`.
    async fn list(&self, which: &Selection, limit: usize) -> Result<Vec<Job>, JobsError>;

    /// Makes a dead or waiting job due now, with all its attempts and all its time before it.
    ///
    /// # Errors
    /// [`JobsError::NoJob`], [`JobsError::NotToRetry`].
    async fn retry(&self, id: JobId) -> Result<(), JobsError>;

    /// Forgets jobs that came to their end before this, with their idempotency keys. Answers how many.
    async fn purge(&self, which: &Selection, before: Timestamp) -> Result<u64, JobsError>;

    /// Forgets what was kept for long enough. Whoever runs jobs calls it now and then.
    async fn sweep(&self) -> Result<(), JobsError>;

    /// The last tick of each schedule that ever had one.
    async fn last_ticks(&self) -> Result<BTreeMap<String, LastTick>, JobsError>;

    /// How many jobs there are. Quick, and may be a little old.
    fn counts(&self) -> JobCounts;
}
