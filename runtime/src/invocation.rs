//! One invocation from the moment it has an instance to the moment it gives it back.
//!
//! ```text
//! Waiting    the guest runs and has not answered
//! Answering  its answer's head is out; the guest and the body are driven together
//! Ended      the guest is done, the instance given back or retired
//! ```
//! Whoever holds an invocation drives it; dropped before its end, it takes its instance with it: what a guest that is stopped
//! half-way leaves behind cannot be known.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use samovar_model::Fault;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::WasiBody;

use crate::instance::wasi02::Call02;
use crate::instance::wasi03::{Call03, CallError, Wasi03};
use crate::instance::{Instance, describe, fault, reason};
use crate::interfaces::stdio::InstanceLog;
use crate::pool::Permit;
use crate::record::Record;
use samovar_model::RequestId;

/// An invocation that has its instance.
pub(crate) struct Invocation {
    pub(crate) record: Record,
    pub(crate) request: RequestId,
    pub(crate) log: Arc<InstanceLog>,
    pub(crate) work: Work,
    pub(crate) permit: Option<Permit<Instance>>,
    pub(crate) deadline: Deadline,
    /// Set once more of the request's body has come than the function accepts.
    pub(crate) body_exceeded: Option<Arc<AtomicBool>>,
}

/// What the guest is doing.
pub(crate) enum Work {
    /// An instance of WASI 0.2 that runs when it is polled here.
    Wasi02(Call02),
    /// An instance of WASI 0.3, which runs by itself.
    Wasi03 { instance: Arc<Wasi03>, head: Call03 },
    /// Nothing any more.
    Ended,
}

impl Invocation {
    /// Drives the guest until its answer's head is there.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<WasiBody>, Fault>> {
        let head = match &mut self.work {
            Work::Wasi02(_) => self.poll_head02(cx),
            Work::Wasi03 { .. } => self.poll_head03(cx),
            Work::Ended => Poll::Ready(Err(Fault::InvalidResponse)),
        };
        // A guest that does not survive the end of a body that was cut off is not to blame.
        let exceeded = self.body_exceeded.as_ref().is_some_and(|exceeded| exceeded.load(Ordering::Relaxed));
        if exceeded && !matches!(head, Poll::Ready(Ok(_))) {
            let fault = Fault::BodyTooLarge(self.record.revision().settings().limits.request_body);
            return Poll::Ready(Err(self.abandon(fault)));
        }
        if head.is_ready() {
            return head.map(|result| result.map_err(|fault| self.abandon(fault)));
        }
        ready!(self.poll_deadline(cx));
        Poll::Ready(Err(self.overdue()))
    }

    fn poll_head02(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<WasiBody>, Fault>> {
        let Work::Wasi02(call) = &mut self.work else { return Poll::Pending };
        let revision = self.record.revision();
        let ended = call.guest.poll(cx, &revision.lane, &revision.habit);
        let head = call.head.take();
        let fault = match ended {
            Poll::Ready((instance, Ok(()))) => {
                // One that returns without an answer has gone wrong, whatever it says.
                if !matches!(head, Some(Ok(_))) {
                    self.permit = None;
                }
                self.finish(Instance::Wasi02(instance));
                None
            }
            Poll::Ready((instance, Err(error))) => {
                let refused = !Instance::Wasi02(instance).may_serve();
                Some(self.crash(&error, refused))
            }
            Poll::Pending => None,
        };
        match (head, fault) {
            (_, Some(fault)) => Poll::Ready(Err(fault)),
            (Some(Ok(response)), None) => Poll::Ready(Ok(response)),
            (Some(Err(code)), None) => Poll::Ready(Err(self.invalid(&format!("answered with the error {code:?}")))),
            (None, None) if self.is_ended() => Poll::Ready(Err(self.invalid("returned without setting a response"))),
            (None, None) => Poll::Pending,
        }
    }

    fn poll_head03(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<WasiBody>, Fault>> {
        let Work::Wasi03 { instance, head } = &mut self.work else { return Poll::Pending };
        Poll::Ready(match ready!(head.as_mut().poll(cx)) {
            Ok(response) => Ok(response),
            Err(CallError::Ended(fault)) => Err(fault),
            Err(CallError::Guest(error)) if error.is::<wasmtime::Trap>() || error.is::<wasmtime_wasi::I32Exit>() => {
                let refused = !Instance::Wasi03(Arc::clone(instance)).may_serve();
                Err(self.crash(&error, refused))
            }
            Err(CallError::Guest(error)) => Err(self.invalid(&format!("answered with an error: {}", describe(&error)))),
        })
    }

    /// Drives a guest that has answered. Ready when nothing is left to drive; for a guest that runs by itself that is at once.
    pub(crate) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Work::Wasi02(call) = &mut self.work else { return Poll::Ready(Ok(())) };
        let revision = self.record.revision();
        let Poll::Ready((instance, result)) = call.guest.poll(cx, &revision.lane, &revision.habit) else {
            ready!(self.poll_deadline(cx));
            return Poll::Ready(Err(self.overdue()));
        };
        Poll::Ready(match result {
            Ok(()) => {
                self.finish(Instance::Wasi02(instance));
                Ok(())
            }
            Err(error) => {
                let refused = !Instance::Wasi02(instance).may_serve();
                Err(self.crash(&error, refused))
            }
        })
    }

    /// Ready when the deadline has passed. The timer is armed only by the first call.
    pub(crate) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll(cx)
    }

    /// Says that the answer's body has been read to its end, which ends an invocation of a guest that runs by itself.
    ///
    /// # Errors
    /// The reason, when the body ended because the guest did.
    pub(crate) fn body_read(&mut self) -> Result<(), Fault> {
        let Work::Wasi03 { instance, .. } = &self.work else { return Ok(()) };
        if let Some(fault) = instance.fault() {
            return Err(self.abandon(fault));
        }
        let instance = Instance::Wasi03(Arc::clone(instance));
        self.finish(instance);
        Ok(())
    }

    /// Whether the guest has ended, well or not.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.work, Work::Ended)
    }

    /// Lets the guest work on after its answer is complete, up to its deadline.
    pub(crate) async fn run_out(mut self) {
        // A fault is in the function's log by now; the caller has a complete answer.
        drop(std::future::poll_fn(|cx| self.poll_rest(cx)).await);
    }

    /// Ends well: the instance is given back if it may serve again.
    fn finish(&mut self, instance: Instance) {
        self.work = Work::Ended;
        self.log.end();
        if let Some(permit) = self.permit.take()
            && instance.may_serve()
        {
            permit.give_back(instance);
        }
    }

    fn crash(&mut self, error: &wasmtime::Error, refused_memory: bool) -> Fault {
        let fault = fault(error, self.record.revision().settings(), refused_memory);
        self.log.crash(Some(&self.request), &reason(&fault, error));
        self.abandon(fault)
    }

    /// Ends with an answer that cannot be sent.
    pub(crate) fn invalid(&mut self, what: &str) -> Fault {
        self.log.crash(Some(&self.request), what);
        self.abandon(Fault::InvalidResponse)
    }

    pub(crate) fn overdue(&mut self) -> Fault {
        let fault = Fault::Deadline(self.deadline.limit());
        self.log.crash(Some(&self.request), &fault.to_string());
        self.abandon(fault)
    }

    /// Ends badly: the guest is stopped, and its instance is gone.
    pub(crate) fn abandon(&mut self, fault: Fault) -> Fault {
        if let Work::Wasi03 { instance, .. } = &self.work {
            instance.condemn();
            self.log.end();
        }
        self.work = Work::Ended;
        self.permit = None;
        fault
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        if !self.is_ended() {
            self.abandon(Fault::CallerGone);
        }
    }
}

/// A moment by which something must be done. Costs a timer only when it is waited for.
pub(crate) struct Deadline {
    limit: Duration,
    at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// This long after a moment.
    pub(crate) fn after(started: std::time::Instant, limit: Duration) -> Self {
        Self { limit, at: Instant::from_std(started) + limit, timer: None }
    }

    /// How long it was at first.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// When it is.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().poll(cx)
    }
}
