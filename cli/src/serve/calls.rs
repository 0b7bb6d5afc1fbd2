//! Functions that call functions, put together: what a host offers its guests is what a gateway has for its callers.

use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt as _;
use samovar_cluster::Snapshot;
use samovar_gateway::{Calls, Dispatcher};
use samovar_model::{FunctionName, RequestId};
use samovar_runtime::{CallBody, Calling, Functions};
use tokio::sync::{OnceCell, watch};

/// The other functions of a host's guests. It knows none before [`OtherFunctions::follow`]: a host is started with it, and what
/// passes calls on may be that host.
pub(crate) struct OtherFunctions<D: Dispatcher>(OnceCell<Calls<D>>);

impl<D: Dispatcher> OtherFunctions<D> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(OnceCell::new()))
    }

    /// Passes calls on to the current revisions of these functions from now on. Answers with the versions of the snapshots that they
    /// are current in.
    pub(crate) fn follow(
        self: &Arc<Self>,
        dispatcher: D,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> watch::Receiver<u64> {
        let calls = Calls::new(dispatcher);
        calls.apply(&Arc::clone(&snapshots.borrow()));
        let versions = calls.versions();
        // Once, when the host has been started.
        drop(self.0.set(calls));
        let functions = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(calls) = functions.0.get() {
                calls.follow(snapshots).await;
            }
        });
        versions
    }
}

impl<D: Dispatcher<Body: Unpin>> Functions for OtherFunctions<D> {
    fn call(&self, function: &FunctionName, request: Request<CallBody>, id: RequestId) -> Option<Calling> {
        let answer = self.0.get()?.call(function, request, id)?;
        Some(Box::pin(async move { answer.await.map(|body| body.boxed_unsync()) }))
    }
}
