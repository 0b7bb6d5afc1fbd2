//! [`Jobs`] in NATS: one stream for all jobs of a cluster, which any gateway runs.
//!
//! A consumer for each function would leave it to the server which job goes to whom. It would be dear where there are thousands of
//! functions, and one for all would stand still behind a function that is full. So every process that runs jobs knows from watching
//! which are open, and takes one by compare-and-set.
//!
//! - `subjects.rs`: where everything is; `stored.rs`: a job's message
//! - `store.rs`: what is asked of the stream; `change.rs`: what is written, under conditions; `together.rs`: several of
//!   these at once; `scan.rs`: reading many
//! - `index.rs`, `watch.rs`: what is known of open jobs; `usage.rs`: how much there is altogether
//! - `submit.rs`, `lease.rs`, `ended.rs`, `sweep.rs`: a job's life, from its beginning to its end
//!
//! When a job is due is compared with the clock of whoever takes it, and was decided by that of whoever ran it last: where clocks
//! differ, a retry is early or late by as much. Nothing else compares the clocks of two machines.

mod change;
mod ended;
mod index;
mod lease;
mod scan;
mod store;
mod stored;
mod subjects;
mod submit;
mod sweep;
mod together;
mod usage;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use samovar_model::{FunctionName, GatewayId, Job, JobId, JobState};
use tokio::task::JoinSet;

use self::index::Next;
use self::lease::InHand;
use self::scan::{Depth, scan};
use self::store::Store;
use self::stored::Found;
use self::subjects::{Blob, Kind};
use self::watch::Watch;
use super::Nats;
use super::connection::Link;
use crate::Gateways;
use crate::jobs::{Chosen, JobCounts, Jobs, JobsError, LastTick, NewJob, Selection, StoredAnswer, Submitted};

/// How long it is waited at most before the clock is looked at again: it may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The jobs of a cluster, as one of its processes sees them.
pub struct NatsJobs {
    store: Arc<Store>,
    /// The watch.
    _tasks: JoinSet<()>,
}

impl NatsJobs {
    /// The cluster's jobs, through this connection. Where a `runner` is given this process takes jobs as that gateway, from when its
    /// lease is shown among `gateways` on; and others take what it runs when that lease is over. The stream may take `max_bytes`,
    /// about: what others store is heard of after some seconds.
    pub fn open(nats: &Nats, gateways: &dyn Gateways, runner: Option<GatewayId>, max_bytes: u64) -> Self {
        let store = Arc::new(Store::new(nats, runner, max_bytes));
        let mut tasks = JoinSet::new();
        tasks.spawn(Watch { store: Arc::clone(&store), gateways: gateways.watch() }.run());
        tasks.spawn(usage::follow(Arc::downgrade(&store)));
        Self { store, _tasks: tasks }
    }

    /// Waits for a job that may be taken, and for a connection to take it by.
    async fn next(&self, full: &BTreeSet<FunctionName>) -> InHand {
        let mut link = self.store.messages.nats.link();
        loop {
            let connected = link.wait_for(|link| matches!(link, Link::Connected(_))).await.is_ok();
            if !connected {
                // The client is gone, and so is this process.
                return std::future::pending().await;
            }
            let changed = self.store.changed.notified();
            let next = self.store.index().next(Timestamp::now(), full);
            let sleep = match next {
                Next::Try(id, function) => return InHand::new(&self.store, id, function),
                Next::At(at) => Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default(),
                Next::Nothing => LONGEST_SLEEP,
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(sleep.min(LONGEST_SLEEP)) => {}
            }
        }
    }

    fn shown(&self, found: Found) -> Job {
        found.stored.shown(&self.store.index())
    }
}

#[async_trait]
impl Jobs for NatsJobs {
    async fn submit(&self, job: NewJob) -> Result<Submitted, JobsError> {
        let store = Arc::clone(&self.store);
        // It goes on if the caller goes away: a job that is stored is in the index.
        let submitted = tokio::spawn(async move { submit::submit(&store, job).await }).await;
        submitted.unwrap_or_else(|error| Err(JobsError::Unknown(error.to_string())))
    }

    async fn choose(&self, full: &BTreeSet<FunctionName>) -> Box<dyn Chosen> {
        Box::new(self.next(full).await)
    }

    async fn show(&self, id: JobId) -> Result<Option<Job>, JobsError> {
        Ok(self.store.find(id).await?.map(|(_, found)| self.shown(found)))
    }

    async fn answer(&self, id: JobId) -> Result<Option<StoredAnswer>, JobsError> {
        let Some((_, found)) = self.store.find(id).await? else { return Ok(None) };
        let whole = self.store.whole(Blob::Answer, id, found.stored.answer, found.answer).await?;
        Ok(whole.and_then(|bytes| StoredAnswer::decode(&bytes)))
    }

    async fn list(&self, which: &Selection, limit: usize) -> Result<Vec<Job>, JobsError> {
        let mut found = Vec::new();
        for kind in Kind::ALL {
            if which.state.is_some_and(|state| Kind::of(state) != kind) {
                continue;
            }
            scan(&self.store, &self.store.subjects.jobs(kind), Depth::Whole, |read| {
                let Ok(job) = Found::read(read.sequence, read.payload).map(|found| self.shown(found)) else { return };
                if which.includes(&job) {
                    found.push(job);
                }
                // Twice as many at most are held at once.
                if found.len() >= limit.saturating_mul(2).max(64) {
                    newest(&mut found, limit);
                }
            })
            .await?;
        }
        newest(&mut found, limit);
        Ok(found)
    }

    async fn retry(&self, id: JobId) -> Result<(), JobsError> {
        ended::retry(&self.store, id).await
    }

    async fn purge(&self, which: &Selection, before: Timestamp) -> Result<u64, JobsError> {
        ended::purge(&self.store, which, before).await
    }

    async fn sweep(&self) -> Result<(), JobsError> {
        sweep::sweep(&self.store).await
    }

    async fn last_ticks(&self) -> Result<BTreeMap<String, LastTick>, JobsError> {
        let mut ticks = BTreeMap::new();
        scan(&self.store, &self.store.subjects.ticks(), Depth::Whole, |read| {
            let schedule = self.store.subjects.schedule(read.subject);
            if let (Some(schedule), Some(last)) = (schedule, LastTick::read(read.payload)) {
                ticks.insert(schedule.to_owned(), last);
            }
        })
        .await?;
        Ok(ticks)
    }

    fn counts(&self) -> JobCounts {
        let (mut states, oldest_due) = self.store.index().counts();
        let known = self.store.usage.look();
        states.extend([(JobState::Done, known.done), (JobState::Dead, known.dead)]);
        for state in JobState::ALL {
            states.entry(state).or_default();
        }
        JobCounts { states, oldest_due, bytes: known.bytes }
    }
}

fn newest(jobs: &mut Vec<Job>, limit: usize) {
    // One that was being moved may have been seen twice.
    jobs.sort_by_key(|job| (std::cmp::Reverse(job.created), job.id, job.state.is_final()));
    jobs.dedup_by_key(|job| job.id);
    jobs.truncate(limit);
}
