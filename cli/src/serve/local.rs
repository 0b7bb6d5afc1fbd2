//! The host in this process, as the gateway sees it.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{Request, Response};
use samovar_cluster::Snapshot;
use samovar_gateway::{Dispatcher, RequestBody};
use samovar_model::{Fault, FunctionName, RequestId};
use samovar_runtime::{Host, ResponseBody, Revision};
use tokio::sync::watch;

/// Passes requests to the host in this process, without a hop.
pub(crate) struct LocalHost(pub(crate) Host);

impl Dispatcher for LocalHost {
    type Target = Arc<Revision>;
    type Body = ResponseBody;

    fn target(&self, function: &FunctionName, revision: &Arc<samovar_model::Revision>, _version: u64) -> Self::Target {
        self.0.revision(function, revision)
    }

    fn dispatch<B: RequestBody>(
        &self,
        target: Self::Target,
        request: Request<B>,
        id: RequestId,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Fault>> + Send + use<B> {
        self.0.invoke(target, request, id)
    }
}

/// Drops counters and logs of functions that are deleted.
pub(crate) async fn forget_deleted(host: Host, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let names = |snapshot: &Snapshot| snapshot.functions.keys().cloned().collect::<BTreeSet<_>>();
    let mut known = names(&snapshots.borrow_and_update());
    while snapshots.changed().await.is_ok() {
        let now = names(&snapshots.borrow_and_update());
        for gone in known.difference(&now) {
            host.forget(gone);
        }
        known = now;
    }
}
