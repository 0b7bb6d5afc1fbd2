//! A host as gateways elsewhere reach it: [`Serving`] takes requests from members' connections to [`Host::invoke`].
//!
//! ```text
//! handle -> is it an invocation? -> resolve its target (`serving/functions.rs`) -> Host::invoke -> stream the answer
//!                  \-> no: a question about the host itself (`serving/calls.rs`)
//! ```

mod calls;
mod functions;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use samovar_cluster::{Artifacts, Registry};
use samovar_hop::Handler;
use samovar_hop::Received;
use samovar_hop::message::{ELAPSED, FAULT, LOAD, Since, TARGET, fault_header};
use samovar_model::{Fault, RequestId, headers};
use tokio_util::sync::CancellationToken;

use tokio::sync::watch;

use crate::{Host, ResponseBody};
use functions::Functions;

/// A host that members reach.
pub struct Serving {
    host: Host,
    artifacts: Arc<dyn Artifacts>,
    functions: Functions,
    in_flight: Arc<AtomicU32>,
    /// Ends what would go on for as long as its reader likes.
    stopping: CancellationToken,
}

impl Serving {
    /// Serves the functions of a registry. [`Serving::follow`] must run beside it.
    pub fn new(host: Host, registry: Arc<dyn Registry>, artifacts: Arc<dyn Artifacts>) -> Self {
        let functions = Functions::new(host.clone(), registry.watch());
        Self { host, artifacts, functions, in_flight: Arc::default(), stopping: CancellationToken::new() }
    }

    /// Takes over each new snapshot of the registry, until the registry is gone.
    pub async fn follow(&self) {
        self.functions.follow().await;
    }

    /// Ends the logs that are followed: their readers would keep connections open, and the host, which stops, waiting.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// The version of the registry that requests are answered by, and its successors.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.functions.versions()
    }

    /// Invocations whose answers have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    async fn invoke(&self, target: HeaderValue, mut request: Request<Received>) -> Response<ServedBody> {
        let counted = Counted::begin(&self.in_flight);
        let id = request.headers().get(headers::REQUEST_ID).cloned().and_then(RequestId::new);
        let id = id.unwrap_or_else(|| RequestId::from_number(fastrand::u128(..)));
        request.headers_mut().remove(TARGET);
        let now = Instant::now();
        let since = request.headers_mut().remove(ELAPSED).map(|since| Since::read(&since, now)).unwrap_or_default();
        if let Some(lineage) = since.lineage {
            request.extensions_mut().insert(lineage);
        }
        let started = since.elapsed.and_then(|elapsed| now.checked_sub(elapsed)).unwrap_or(now);
        let answer = match self.functions.resolve(&target).await {
            // Compiling takes up to seconds, and another host may have done it. A request that was elsewhere waits.
            Ok(revision) if since.elapsed.is_none() && !self.functions.is_prepared(&revision) => {
                Err(Fault::NotPrepared)
            }
            Ok(revision) => self.host.invoke_since(started, revision, request, id).await,
            Err(fault) => Err(fault),
        };
        let load = self.in_flight();
        let mut response = match answer {
            Ok(response) => response.map(|body| ServedBody::Function { body, _counted: counted }),
            Err(fault) => {
                let mut response = Response::new(ServedBody::empty());
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert(FAULT, fault_header(&fault));
                response
            }
        };
        response.headers_mut().insert(LOAD, load.into());
        response
    }
}

impl Handler for Serving {
    type Body = ServedBody;

    async fn handle(&self, request: Request<Received>) -> Response<ServedBody> {
        match target(request.headers()) {
            Some(target) => self.invoke(target, request).await,
            None => self.call(request).await,
        }
    }
}

fn target(map: &HeaderMap) -> Option<HeaderValue> {
    map.get(TARGET).cloned()
}

/// One invocation in flight.
pub(crate) struct Counted(Arc<AtomicU32>);

impl Counted {
    fn begin(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer to a member.
#[allow(private_interfaces, reason = "nobody else makes one")]
pub enum ServedBody {
    /// A function's.
    Function {
        /// What it writes.
        body: ResponseBody,
        #[doc(hidden)]
        _counted: Counted,
    },
    /// All there is.
    Whole(Full<Bytes>),
    /// Of any other kind.
    Stream(UnsyncBoxBody<Bytes, Fault>),
}

impl ServedBody {
    fn empty() -> Self {
        Self::Whole(Full::default())
    }
}

impl Body for ServedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Function { body, .. } => Pin::new(body).poll_frame(cx),
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Function { body, .. } => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Function { body, .. } => body.size_hint(),
            Self::Whole(body) => body.size_hint(),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
