//! Runs jobs that are due: a bounded number at once, so that they do not crowd out those whose callers wait.
//!
//! A job keeps its place until its outcome is stored: what a crash makes run twice is never more than the places.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use samovar_cluster::Jobs;
use samovar_cluster::jobs::{Attempt, Chosen, MAX_ANSWER_BYTES, StoredAnswer, StoredRequest, Taken};
use samovar_model::{Fault, FunctionName, Job, JobSettings, RequestId, headers};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Gateway;
use crate::dispatcher::Dispatcher;

/// How long a place stays empty that the store could not give a job for.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);
/// How often what was kept for long enough is forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(300);

/// How many jobs of each function are running here.
#[derive(Default)]
struct Busy {
    running: Mutex<BTreeMap<FunctionName, u32>>,
    freed: Notify,
}

/// A running job's place among its function's, given back when dropped.
struct Place {
    busy: Arc<Busy>,
    function: FunctionName,
}

impl Busy {
    fn running(&self) -> MutexGuard<'_, BTreeMap<FunctionName, u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, function: &FunctionName) -> Place {
        *self.running().entry(function.clone()).or_default() += 1;
        Place { busy: Arc::clone(self), function: function.clone() }
    }

    /// The functions that run as many jobs as they may.
    fn full(&self, limit: impl Fn(&FunctionName) -> u32) -> BTreeSet<FunctionName> {
        let running = self.running();
        running.iter().filter(|(function, count)| **count >= limit(function)).map(|(name, _)| name.clone()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.busy.running();
        if let Some(count) = running.get_mut(&self.function) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.function);
            }
        }
        drop(running);
        self.busy.freed.notify_one();
    }
}

impl<D: Dispatcher> Gateway<D> {
    /// Runs the jobs of the store, this many at once at most, until `stop`; then lets those finish that are running. Returns at
    /// once if the gateway has no store.
    ///
    /// # Cancel safety
    /// Dropping the future takes no more jobs; those that are running go on.
    pub async fn run_jobs(&self, at_once: usize, stop: CancellationToken) {
        let Some(store) = self.store() else { return };
        let (busy, tasks) = (Arc::new(Busy::default()), TaskTracker::new());
        let running = async {
            let places = Arc::new(Semaphore::new(at_once));
            loop {
                let permit = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
                let chosen = self.next_job(&*store, &busy).await;
                let (gateway, place) = (self.clone(), busy.enter(chosen.function()));
                tasks.spawn(async move {
                    match chosen.take().await {
                        Ok(Some(taken)) => gateway.run_job(taken).await,
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(%error, "a job that is due cannot be taken");
                            tokio::time::sleep(AFTER_TROUBLE).await;
                        }
                    }
                    drop((permit, place));
                });
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = running => {}
            () = sweep(&*store) => {}
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Waits for a job of a function that may run one more.
    async fn next_job(&self, store: &dyn Jobs, busy: &Busy) -> Box<dyn Chosen> {
        loop {
            let freed = busy.freed.notified();
            let full = busy.full(|function| self.job_settings(function).concurrency);
            tokio::select! {
                chosen = store.choose(&full) => return chosen,
                () = freed, if !full.is_empty() => {}
            }
        }
    }

    fn job_settings(&self, function: &FunctionName) -> JobSettings {
        self.callee(function).map_or_else(JobSettings::default, |(_, callee)| callee.revision.settings.jobs.clone())
    }

    async fn run_job(&self, taken: Taken) {
        let Taken { job, request, lease } = taken;
        let attempt = self.attempt(&job, request).await;
        match lease.finish(attempt).await {
            Ok(state) => {
                tracing::debug!(job = %job.id, function = %job.function, attempt = job.attempts, %state, "job run")
            }
            Err(error) => {
                tracing::error!(%error, job = %job.id, "a job's outcome is not stored: it will be run again");
            }
        }
    }

    /// Has a job's request answered, by the revision of its function that answers now.
    async fn attempt(&self, job: &Job, request: StoredRequest) -> Attempt {
        let Some((target, _)) = self.callee(&job.function) else { return Attempt::Failed(Fault::NoFunction) };
        let Some((request, id)) = prepare(job, request) else { return Attempt::Failed(Fault::InvalidResponse) };
        match self.inner().dispatcher.dispatch(target, request, id).await {
            Err(fault) => Attempt::Failed(fault),
            Ok(answer) => receive(answer).await.map_or_else(Attempt::Failed, Attempt::Answered),
        }
    }
}

/// The request, with what the function is told of the job. None if it was damaged where it was stored.
fn prepare(job: &Job, request: StoredRequest) -> Option<(Request<Full<Bytes>>, RequestId)> {
    let StoredRequest { method, target, headers: map, body } = request;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().ok()?;
    *request.headers_mut() = map;
    let map = request.headers_mut();
    let id = map.get(headers::REQUEST_ID).cloned().and_then(RequestId::new);
    let id = id.unwrap_or_else(|| RequestId::from_number(fastrand::u128(..)));
    map.insert(headers::REQUEST_ID, id.header().clone());
    map.insert(headers::JOB, HeaderValue::try_from(job.id.to_string()).ok()?);
    map.insert(headers::ATTEMPT, job.attempts.into());
    Some((request, id))
}

/// Reads an answer to its end. It counts only then.
async fn receive<B: Body<Data = Bytes, Error = Fault>>(answer: Response<B>) -> Result<StoredAnswer, Fault> {
    let (head, body) = answer.into_parts();
    let mut body = pin!(body);
    let (mut kept, mut body_bytes) = (Some(BytesMut::new()), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        body_bytes += data.len() as u64;
        kept = kept.filter(|_| body_bytes <= MAX_ANSWER_BYTES as u64);
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&data);
        }
    }
    let body = kept.map(BytesMut::freeze);
    Ok(StoredAnswer { status: head.status, headers: head.headers, body, body_bytes })
}

/// Has the store forget, now and then, what it kept for long enough.
async fn sweep(store: &dyn Jobs) {
    loop {
        if let Err(error) = store.sweep().await {
            tracing::warn!(%error, "jobs that have been kept for long enough are still there");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}
