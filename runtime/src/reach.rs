//! What guests can reach beyond themselves: the platform's services that a host is started with. Which of them a function may
//! use, and which part of them, is for its manifest to say (`interfaces/mod.rs`).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use samovar_cluster::{KeyValue, Vault};
use samovar_model::{Fault, FunctionName, RequestId};

/// The services behind the interfaces. What a host has not got is refused to guests, in words that say so.
#[derive(Clone, Default)]
pub struct Reach {
    /// Where buckets are.
    pub key_value: Option<Arc<dyn KeyValue>>,
    /// What secrets are read from.
    pub secrets: Option<Arc<Vault>>,
    /// Other functions.
    pub functions: Option<Arc<dyn Functions>>,
}

/// The body of a call that a guest makes.
pub type CallBody = UnsyncBoxBody<Bytes, wasmtime_wasi_http::Error>;

/// The answer to one, which is a problem document where the function gave none.
pub type Calling = Pin<Box<dyn Future<Output = Response<UnsyncBoxBody<Bytes, Fault>>> + Send>>;

/// Other functions, as guests call them: by name, whether they run on this host or elsewhere.
pub trait Functions: Send + Sync {
    /// Calls the current revision of a function; `None` when there is none of this name. The request bears its caller's
    /// [`samovar_model::Lineage`] among its extensions.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, means that the caller is gone.
    fn call(&self, function: &FunctionName, request: Request<CallBody>, id: RequestId) -> Option<Calling>;
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key_value, secrets, functions } = self;
        f.debug_struct("Reach")
            .field("key_value", &key_value.is_some())
            .field("secrets", &secrets.is_some())
            .field("functions", &functions.is_some())
            .finish()
    }
}
