//! Functions that call other functions: by name, without a route and without a connection, to hosts that are chosen as for any
//! request.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use samovar_cluster::Snapshot;
use samovar_model::{Fault, FunctionName, RequestId};
use tokio::sync::watch;

use crate::dispatcher::{Dispatcher, RequestBody};
use crate::problem::Problem;

/// Gets calls by name answered by the current revision of a function.
pub struct Calls<D: Dispatcher> {
    dispatcher: D,
    targets: ArcSwap<HashMap<FunctionName, D::Target>>,
    /// The version of the snapshot that they are of.
    version: watch::Sender<u64>,
}

impl<D: Dispatcher> Calls<D> {
    /// Knows no function, until [`Calls::follow`] runs.
    pub fn new(dispatcher: D) -> Self {
        Self { dispatcher, targets: ArcSwap::default(), version: watch::Sender::default() }
    }

    /// Calls what is current in this snapshot from now on.
    pub fn apply(&self, snapshot: &Snapshot) {
        let target = |function: &Arc<samovar_model::FunctionState>| {
            let target = self.dispatcher.target(&function.name, function.current(), snapshot.version);
            (function.name.clone(), target)
        };
        self.targets.store(Arc::new(snapshot.functions.values().map(target).collect()));
        self.version.send_replace(snapshot.version);
    }

    /// The version of the snapshot whose functions are called, and its successors.
    pub fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Applies each new snapshot, until the registry is gone.
    pub async fn follow(&self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if snapshot.version != *self.version.borrow() {
                self.apply(&snapshot);
            }
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    /// Calls a function; `None` when there is none of this name. What keeps it from answering is told as a gateway tells its
    /// callers: as a problem document, with the status that goes with it.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, means that the caller is gone.
    pub fn call<B: RequestBody>(
        &self,
        function: &FunctionName,
        request: Request<B>,
        id: RequestId,
    ) -> Option<impl Future<Output = Response<CallBody<D::Body>>> + Send + use<B, D>> {
        let target = self.targets.load().get(function)?.clone();
        let answer = self.dispatcher.dispatch(target, request, id.clone());
        Some(async move {
            match answer.await {
                Ok(response) => response.map(CallBody::Function),
                Err(fault) => Problem::from(fault).respond(&id),
            }
        })
    }
}

/// The body of an answer to a call: a function's, or a problem document.
pub enum CallBody<B> {
    /// What the function writes.
    Function(B),
    /// Why it does not.
    Problem(Full<Bytes>),
}

impl<B> From<Bytes> for CallBody<B> {
    fn from(bytes: Bytes) -> Self {
        Self::Problem(Full::new(bytes))
    }
}

impl<B: Body<Data = Bytes, Error = Fault> + Unpin> Body for CallBody<B> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self.get_mut() {
            Self::Function(body) => Pin::new(body).poll_frame(cx),
            Self::Problem(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Function(body) => body.is_end_stream(),
            Self::Problem(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Function(body) => body.size_hint(),
            Self::Problem(body) => body.size_hint(),
        }
    }
}
