//! What a gateway needs of hosts.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use samovar_model::{Fault, FunctionName, RequestId, Revision};

/// A request's body: a caller's, or one made here.
pub trait RequestBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static> RequestBody for B {}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Gets requests answered: by the host in the same process, or by hosts elsewhere.
pub trait Dispatcher: Send + Sync + 'static {
    /// What a route points at: whatever makes sending a request there quick. Held for as long as the route is.
    type Target: Clone + Send + Sync + 'static;

    /// An answer's body.
    type Body: Body<Data = Bytes, Error = Fault> + Send + 'static;

    /// Makes ready for requests to a revision, which the registry's snapshot of this version has answer.
    fn target(&self, function: &FunctionName, revision: &Arc<Revision>, version: u64) -> Self::Target;

    /// The same target, for routes on which a caller is to come back to the host it had. Where there is one host, that is so.
    fn sticky(&self, target: Self::Target) -> Self::Target {
        target
    }

    /// Gets one request answered. The call itself takes nothing from a host: HTTP/2 makes many at once before it polls the first.
    /// The future is moved often, and should be small.
    ///
    /// # Errors
    /// Why there is no answer.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, means that the caller is gone.
    fn dispatch<B: RequestBody>(
        &self,
        target: Self::Target,
        request: Request<B>,
        id: RequestId,
    ) -> impl Future<Output = Result<Response<Self::Body>, Fault>> + Send + use<Self, B>;
}
