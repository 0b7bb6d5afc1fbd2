//! An instance of WASI 0.3: runs in a task of its own, which takes several invocations at once.
//!
//! wasmtime's own `ProxyHandler` does the same for a whole set of instances, but chooses the instance itself, first come first
//! served, so that under light traffic none would ever become idle. Here the choice is the pool's, and this task only
//! drives one instance.
//!
//! ```text
//! running -> ended    every handle is dropped, no invocation runs, and the guest has no work left
//!         -> ended    the guest trapped: every invocation in it fails
//!         -> aborted  condemned (a time-out, a lost caller), and the last handle is dropped
//! ```

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Request, Response};
use samovar_model::{Fault, Settings};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, Store};
use wasmtime_wasi_http::handler::{Prepared, Proxy};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::{Blueprint, Holding, Identity, Place};
use crate::driven::Driven;
use crate::eager::{Activity, Eager};
use crate::guest::Guest;
use crate::interfaces::calls::Caller;
use samovar_model::RequestId;

type Reply = Result<Response<WasiBody>, wasmtime::Error>;

/// Waits for the head of an answer.
pub(crate) type Call03 = Pin<Box<dyn Future<Output = Result<Response<WasiBody>, CallError>> + Send>>;

/// Why there is no answer.
pub(crate) enum CallError {
    /// The guest's own error, for this call alone.
    Guest(wasmtime::Error),
    /// The instance has ended, which has been logged.
    Ended(Fault),
}

/// A request for the instance's task.
struct Job {
    request: Request<WasiBody>,
    /// Known only where the function may call others.
    caller: Option<Caller>,
    reply: oneshot::Sender<Reply>,
}

/// A handle to a running instance.
pub(crate) struct Wasi03 {
    pub(super) identity: Identity,
    jobs: mpsc::UnboundedSender<Job>,
    activity: Activity,
    task: AbortHandle,
    condemned: AtomicBool,
    may_call: bool,
    refused_memory: Arc<AtomicBool>,
    /// Why the instance ended, once it has.
    ended: watch::Receiver<Option<Fault>>,
    /// Given back by whichever goes later, this or the task.
    pub(super) holding: Arc<Holding>,
}

/// What the instance's task has of it.
struct Living {
    store: Store<Guest>,
    proxy: Proxy,
    _holding: Arc<Holding>,
}

impl Wasi03 {
    pub(super) async fn make(
        pre: &ServicePre<Guest>,
        blueprint: &Blueprint<'_>,
        place: Place,
    ) -> wasmtime::Result<Self> {
        let (id, holding) = (place.id, Arc::clone(&place.holding));
        let mut store = Guest::store(pre.engine(), blueprint.settings, blueprint.granted, place);
        let pre = pre.clone();
        let started = Driven::new(async move {
            let service = pre.instantiate_async(&mut store).await?;
            Ok::<_, wasmtime::Error>((store, Proxy::P3(service)))
        });
        let (store, proxy) = started.on(blueprint.lane).await?;
        let log = store.data().log.clone();
        let may_call = store.data().may_call();
        let refused_memory = store.data().memory.refused_flag();
        let (jobs, queue) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        let living = Living { store, proxy, _holding: Arc::clone(&holding) };
        let running = Eager::new(run(living, queue, end, blueprint.settings.clone()));
        let activity = running.activity();
        let task = tokio::spawn(Driven::new(running).on(blueprint.lane));
        Ok(Self {
            identity: Identity::new(id, log),
            jobs,
            activity,
            task: task.abort_handle(),
            condemned: AtomicBool::new(false),
            may_call,
            refused_memory,
            ended,
            holding,
        })
    }

    pub(super) fn was_refused_memory(&self) -> bool {
        self.refused_memory.load(Ordering::Relaxed)
    }

    pub(super) fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Whether it computes, or is about to.
    pub(super) fn is_at_work(&self) -> bool {
        self.activity.is_at_work()
    }

    /// Sends a request into the instance, whose answer must be complete by `deadline`; the future waits for its head.
    pub(crate) fn call(&self, request: Request<WasiBody>, id: &RequestId, deadline: Instant) -> Call03 {
        self.identity.used();
        self.identity.log.begin(id);
        let (reply, answer) = oneshot::channel();
        // An instance that has just ended drops the job, and with it the sender: the caller sees that it ended.
        let caller = self.may_call.then(|| Caller::new(&request, id, deadline));
        drop(self.jobs.send(Job { request, caller, reply }));
        let mut ended = self.ended.clone();
        Box::pin(async move {
            match answer.await {
                Ok(reply) => reply.map_err(CallError::Guest),
                // The instance has ended, or is about to: the reason is there in a moment.
                Err(_) => {
                    let fault = ended.wait_for(Option::is_some).await.ok().and_then(|fault| fault.clone());
                    Err(CallError::Ended(fault.unwrap_or(Fault::Trap)))
                }
            }
        })
    }

    /// Why the instance ended, if it has.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.ended.borrow().clone()
    }

    /// Sees to it that the instance is stopped, whatever it does, as soon as the last invocation has left it.
    pub(crate) fn condemn(&self) {
        self.condemned.store(true, Ordering::Relaxed);
    }
}

impl Drop for Wasi03 {
    fn drop(&mut self) {
        if self.condemned.load(Ordering::Relaxed) {
            self.task.abort();
        }
    }
}

/// Drives an instance to its end.
async fn run(
    mut living: Living,
    jobs: mpsc::UnboundedReceiver<Job>,
    end: watch::Sender<Option<Fault>>,
    settings: Settings,
) {
    let grace = settings.limits.timeout.as_duration();
    let Living { store, proxy, .. } = &mut living;
    let result = store.run_concurrent(async |accessor| drive(accessor, proxy, jobs, grace).await).await;
    let Err(error) = result else { return };
    let fault = super::fault(&error, &settings, store.data().memory.refused());
    store.data().log.crash(None, &super::reason(&fault, &error));
    // Before the store goes, and the answers' bodies with it: whoever reads one must find the reason.
    end.send_replace(Some(fault));
}

/// Takes jobs until every handle is dropped, and then lets the guest finish what it has begun, for `grace` at the most.
async fn drive(accessor: &Accessor<Guest>, proxy: &Proxy, mut jobs: mpsc::UnboundedReceiver<Job>, grace: Duration) {
    let Proxy::P3(service) = proxy else { return };
    let function = *service.wasi_http_handler().func_handle().func();
    let mut calls = FuturesUnordered::new();
    let mut closing = pin!(None::<tokio::time::Sleep>);
    poll_fn(|cx| {
        loop {
            while let Poll::Ready(Some(())) = calls.poll_next_unpin(cx) {}
            if closing.is_none()
                && accessor.poll_ready_for_concurrent_call(function, cx).is_ready()
                && let Poll::Ready(job) = jobs.poll_recv(cx)
            {
                match job {
                    Some(job) => {
                        let alone = calls.is_empty();
                        calls.push(call(accessor, proxy, job, alone));
                    }
                    None => closing.set(Some(tokio::time::sleep(grace))),
                }
                continue;
            }
            let Some(timer) = closing.as_mut().as_pin_mut() else { return Poll::Pending };
            let idle = calls.is_empty() && accessor.poll_no_interesting_tasks(cx).is_ready();
            return if idle || timer.poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending };
        }
    })
    .await;
}

/// Runs one call up to its answer's head; the body goes on by itself.
async fn call(accessor: &Accessor<Guest>, proxy: &Proxy, job: Job, alone: bool) {
    let prepared = accessor.with(|mut access| {
        let mut store = access.as_context_mut();
        store.set_epoch_deadline(1);
        store.data_mut().begin(alone);
        if let Some(caller) = job.caller {
            store.data_mut().called_by(alone, caller);
        }
        Prepared::new(store, proxy, job.request, Guest::http, job.reply)
    });
    // Whatever goes wrong reaches the caller through `reply`; a trap also ends the whole instance.
    if let Ok(prepared) = prepared
        && let Err(error) = prepared.run(accessor, std::future::pending()).await
    {
        tracing::debug!(%error, "call ended without an answer");
    }
}
