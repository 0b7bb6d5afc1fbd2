//! Requests of guests to other functions, `http://NAME.samovar.internal/…`: allowed by the manifest or refused, and answered
//! without a socket where the function is on this host.
//!
//! ```text
//! Outbound::send -> callee -> is it allowed? is it too deep? -> Functions::call -> the answer, within the function's limits
//! ```

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::BodyExt;
use samovar_model::{Fault, FunctionName, Lineage, MAX_CALL_DEPTH, OutboundLimits, RequestId, Settings, headers};
use tokio::time::timeout_at;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::outbound::answer::{Limited, Reader};
use super::outbound::exchange::{Late, place};
use super::outbound::{Outbound, Sent};
use crate::answer::drop_reserved;
use crate::reach::Functions;

/// What stands behind a function's name.
const DOMAIN: &str = ".samovar.internal";

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Which functions a revision may call, and by whom they are reached. Made once per revision.
#[derive(Default)]
pub(crate) struct Calls {
    allowed: BTreeSet<FunctionName>,
    /// Held by the host: it holds revisions, which hold this.
    functions: Option<Weak<dyn Functions>>,
}

impl Calls {
    pub(crate) fn new(settings: &Settings, functions: Option<&Arc<dyn Functions>>) -> Self {
        Self { allowed: settings.allow_functions.clone(), functions: functions.map(Arc::downgrade) }
    }

    /// Whether any function may be called. If not, nothing is kept of the invocations that might.
    pub(crate) fn may_call(&self) -> bool {
        !self.allowed.is_empty()
    }
}

/// What a call needs to know of the invocation that makes it.
#[derive(Clone)]
pub(crate) struct Caller {
    id: RequestId,
    lineage: Lineage,
    trace: Option<(HeaderValue, Option<HeaderValue>)>,
}

impl Caller {
    pub(crate) fn new<B>(request: &Request<B>, id: &RequestId, deadline: Instant) -> Self {
        let depth = request.extensions().get::<Lineage>().map_or(0, |lineage| lineage.depth);
        let map = request.headers();
        let trace = map.get(TRACEPARENT).map(|parent| (parent.clone(), map.get(TRACESTATE).cloned()));
        Self { id: id.clone(), lineage: Lineage { depth, deadline }, trace }
    }
}

/// The invocations that run in an instance, of which one makes a call.
#[derive(Default)]
pub(crate) enum Callers {
    /// None that is known.
    #[default]
    Nobody,
    /// It must be this one.
    One(Caller),
    /// It cannot be told which. The deepest and the last of them bound what they call.
    Several(Lineage),
}

impl Callers {
    /// Says that an invocation begins; `alone` when no other runs in the instance.
    pub(crate) fn begin(&mut self, alone: bool, caller: Caller) {
        let before = match self {
            Self::One(other) if !alone => other.lineage,
            Self::Several(lineage) if !alone => *lineage,
            _ => return *self = Self::One(caller),
        };
        let Lineage { depth, deadline } = caller.lineage;
        *self = Self::Several(Lineage { depth: depth.max(before.depth), deadline: deadline.max(before.deadline) });
    }

    fn lineage(&self) -> Option<Lineage> {
        match self {
            Self::Nobody => None,
            Self::One(caller) => Some(caller.lineage),
            Self::Several(lineage) => Some(*lineage),
        }
    }
}

/// The function that a request is for, if it is for one.
pub(crate) fn callee(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    let (name, domain) = host.split_at_checked(host.len().checked_sub(DOMAIN.len())?)?;
    domain.eq_ignore_ascii_case(DOMAIN).then_some(name)
}

/// A call that is about to be made.
pub(crate) struct Call {
    request: Request<WasiBody>,
    callee: FunctionName,
    id: RequestId,
    lineage: Lineage,
}

impl Call {
    /// Refuses what the manifest does not allow, and what is too deep.
    ///
    /// # Errors
    /// What the guest is told. Its log has the reason.
    pub(crate) fn new(
        outbound: &Outbound,
        instance: u64,
        callers: &Callers,
        request: Request<WasiBody>,
    ) -> Result<Self, Error> {
        let (function, name) = (outbound.function(), callee(request.uri()).unwrap_or_default());
        let Some(callee) = outbound.calls.allowed.iter().find(|function| function.as_str() == name).cloned() else {
            let line = format!("[function.{function}] allow_functions = [\"{name}\"]");
            outbound.tell(instance, format!("call of function `{name}` refused: add it to the manifest, {line}"));
            return Err(Error::HttpRequestDenied);
        };
        let Some(Lineage { depth, deadline }) = callers.lineage() else {
            outbound.tell(
                instance,
                format!("call of function `{callee}` refused: no invocation is under way that makes it"),
            );
            return Err(Error::HttpRequestDenied);
        };
        if depth >= MAX_CALL_DEPTH {
            let why = format!("{MAX_CALL_DEPTH} calls led here already; do functions call one another in a circle?");
            outbound.tell(instance, format!("call of function `{callee}` refused: {why}"));
            return Err(Error::LoopDetected);
        }
        let mut call =
            Self { request, callee, id: RequestId::from_number(0), lineage: Lineage { depth: depth + 1, deadline } };
        call.prepare(callers);
        Ok(call)
    }

    /// Takes out what only Samovar may say, and adds what comes with the caller.
    fn prepare(&mut self, callers: &Callers) {
        let map = self.request.headers_mut();
        drop_reserved(map);
        // What the guest made up would be another request's.
        let (id, trace) = match callers {
            Callers::One(caller) => (caller.id.clone(), caller.trace.clone()),
            Callers::Nobody | Callers::Several(_) => (RequestId::from_number(fastrand::u128(..)), None),
        };
        map.insert(headers::REQUEST_ID, id.header().clone());
        if let Some((parent, state)) = trace
            && !map.contains_key(TRACEPARENT)
        {
            map.insert(TRACEPARENT, parent);
            if let Some(state) = state {
                map.entry(TRACESTATE).or_insert(state);
            }
        }
        self.id = id;
        self.request.extensions_mut().insert(self.lineage);
    }

    /// Calls the function. The caller's deadline bounds it: it ends with whoever waits for it.
    pub(crate) async fn send(self, outbound: Arc<Outbound>, instance: u64, options: RequestOptions) -> Sent {
        let Self { request, callee, id, lineage } = self;
        let reader = Reader { outbound, instance, destination: format!("function `{callee}`") };
        let (times, begun) = (Times::new(&options, reader.outbound.limits()), tokio::time::Instant::now());
        let place = place(&reader, begun + times.connect).await?;
        let functions = reader.outbound.calls.functions.as_ref().and_then(Weak::upgrade);
        let Some(answer) = functions.and_then(|functions| functions.call(&callee, request, id)) else {
            let why = format!("call of function `{callee}` failed: no function of that name is deployed");
            reader.outbound.tell(instance, why);
            return Err(Error::DestinationNotFound);
        };
        // No timer is armed where the caller's own deadline comes first.
        let response = match begun + times.head {
            by if by.into_std() >= lineage.deadline => answer.await,
            by => timeout_at(by, answer).await.map_err(|_| reader.late(&times.late))?,
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body.map_err(broken), options.between_bytes_timeout, reader, place)?;
        Ok((http::Response::from_parts(head, body.boxed_unsync()), Box::new(async { Ok(()) })))
    }
}

/// How long a call may take.
struct Times {
    connect: Duration,
    head: Duration,
    /// What is to be said when that has passed.
    late: Late,
}

impl Times {
    fn new(options: &RequestOptions, limits: &OutboundLimits) -> Self {
        let whole = limits.timeout.as_duration();
        let connect = options.connect_timeout.unwrap_or(whole).min(whole);
        match options.first_byte_timeout.filter(|first_byte| *first_byte < whole) {
            Some(head) => Self { connect, head, late: Late::FirstByte },
            None => Self { connect, head: whole, late: Late::Whole },
        }
    }
}

/// Why an answer broke off, in the words of WASI.
fn broken(fault: Fault) -> Error {
    match fault {
        Fault::Deadline(_) | Fault::CpuBudget(_) => Error::HttpResponseTimeout,
        _ => Error::HttpResponseIncomplete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_by_its_host() {
        let callee = |uri: &str| callee(&uri.parse().expect(uri)).map(str::to_owned);
        assert_eq!(callee("http://b.samovar.internal/x").as_deref(), Some("b"));
        assert_eq!(callee("https://b.Samovar.INTERNAL:80/").as_deref(), Some("b"));
        assert_eq!(callee("http://a.b.samovar.internal/").as_deref(), Some("a.b"));
        for other in ["http://samovar.internal/", "http://b.samovar.internal.example/", "http://bsamovar.internal/"] {
            assert_eq!(callee(other), None, "{other}");
        }
    }

    #[test]
    fn of_several_callers_the_deepest_and_the_last_bound_a_call() {
        let now = Instant::now();
        let caller = |depth, seconds| {
            let mut request = Request::new(());
            let deadline = now + Duration::from_secs(1);
            request.extensions_mut().insert(Lineage { depth, deadline });
            Caller::new(&request, &RequestId::from_number(1), now + Duration::from_secs(seconds))
        };
        let mut callers = Callers::default();
        assert_eq!(callers.lineage(), None);
        callers.begin(true, caller(3, 5));
        callers.begin(false, caller(1, 9));
        assert_eq!(callers.lineage(), Some(Lineage { depth: 3, deadline: now + Duration::from_secs(9) }));
        callers.begin(true, caller(0, 2));
        assert_eq!(callers.lineage(), Some(Lineage { depth: 0, deadline: now + Duration::from_secs(2) }));
    }
}
