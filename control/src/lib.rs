//! The control API: what people and tools use to deploy functions and look after them. It has a listener of its own.
//!
//! A request's way: [`Control::router`] finds the handler, `auth` looks at the token, `extract` reads name and body, a
//! handler (`amend`, `artifacts`, `deploy`, `functions`, `hosts`, `jobs`, `key_value`, `logs`, `secrets`, `stats`) does the work through the [`Stores`] and the
//! [`Platform`], and whatever is refused on the way becomes a problem document in `problem`.
//!
//! Open to everyone who reaches the listener are `/healthz`, `/readyz` and `/v1/openapi.json`. Everything else, `/metrics`
//! included, needs the token.

mod amend;
mod artifacts;
mod auth;
mod deploy;
mod extract;
mod functions;
mod grants;
mod health;
mod hosts;
mod jobs;
mod key_value;
mod logs;
mod metrics;
mod openapi;
pub mod platform;
mod problem;
mod secrets;
mod stats;
pub mod status;
mod subscriptions;
mod summary;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, patch, post, put};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use samovar_cluster::{Artifacts, KeyValue, Registry, Snapshot, Vault};
use samovar_model::api::MAX_ARTIFACT_BYTES;
use samovar_model::{FunctionName, FunctionState};

pub use platform::Platform;

use metrics::Metrics;
use problem::Problem;

/// What the control API can be told.
#[derive(Clone)]
pub struct ControlConfig {
    /// The bearer token that callers must present.
    pub token: String,
    /// The largest component that can be uploaded, in bytes. Default 256 MiB.
    pub max_artifact_bytes: u64,
}

impl ControlConfig {
    /// The defaults, with this token.
    pub fn new(token: impl Into<String>) -> Self {
        Self { token: token.into(), max_artifact_bytes: MAX_ARTIFACT_BYTES }
    }
}

/// What the control API looks after.
#[derive(Clone)]
pub struct Stores {
    /// The functions.
    pub registry: Arc<dyn Registry>,
    /// Their components.
    pub artifacts: Arc<dyn Artifacts>,
    /// Their values, where the platform keeps any.
    pub key_value: Option<Arc<dyn KeyValue>>,
    /// Their secrets.
    pub secrets: Arc<Vault>,
}

/// The control API. Clones are the same one.
#[derive(Clone)]
pub struct Control(Arc<Parts>);

struct Parts {
    config: ControlConfig,
    stores: Stores,
    platform: Arc<dyn Platform>,
    metrics: Metrics,
    /// Cancelled at shutdown: answers without an end, such as followed logs, end then.
    closing: CancellationToken,
}

impl Control {
    /// A control API over these.
    pub fn new(config: ControlConfig, stores: Stores, platform: Arc<dyn Platform>) -> Self {
        let (metrics, closing) = (Metrics::new(), CancellationToken::new());
        Self(Arc::new(Parts { config, stores, platform, metrics, closing }))
    }

    /// Every path, with its handler.
    pub fn router(&self) -> Router {
        let guarded = Router::new()
            .route("/metrics", get(metrics::show))
            .route("/v1/info", get(health::info))
            .route("/v1/artifacts", post(artifacts::upload))
            .route("/v1/functions", get(functions::list))
            .route("/v1/functions/{name}", get(functions::show).delete(functions::delete))
            .route("/v1/functions/{name}/revisions", get(functions::revisions).post(deploy::deploy))
            .route("/v1/functions/{name}/settings", patch(amend::amend))
            .route("/v1/functions/{name}/rollback", post(deploy::rollback))
            .route("/v1/functions/{name}/logs", get(logs::show))
            .route("/v1/functions/{name}/stats", get(stats::show))
            .route("/v1/stats", get(stats::list))
            .route("/v1/kv", get(key_value::list))
            .route("/v1/kv/{bucket}", delete(key_value::clear))
            .route("/v1/kv/{bucket}/keys", get(key_value::keys))
            .route("/v1/kv/{bucket}/export", get(key_value::export))
            .route("/v1/kv/{bucket}/import", post(key_value::import))
            .route("/v1/kv/{bucket}/values/{key}", get(key_value::get).put(key_value::put).delete(key_value::delete))
            .route("/v1/secrets", get(secrets::list))
            .route("/v1/secrets/{name}", put(secrets::set).delete(secrets::remove))
            .route("/v1/reseal", post(secrets::reseal))
            .route("/v1/jobs", get(jobs::list))
            .route("/v1/jobs/purge", post(jobs::purge))
            .route("/v1/jobs/{id}", get(jobs::show))
            .route("/v1/jobs/{id}/retry", post(jobs::retry))
            .route("/v1/schedules", get(jobs::schedules))
            .route("/v1/hosts", get(hosts::list))
            .route("/v1/hosts/{name}/drain", post(hosts::drain))
            .route("/v1/hosts/{name}/undrain", post(hosts::undrain))
            .route_layer(from_fn_with_state(self.clone(), auth::require_token));
        Router::new()
            .route("/healthz", get(health::alive))
            .route("/readyz", get(health::ready))
            .route("/v1/openapi.json", get(openapi::show))
            .merge(guarded)
            .fallback(problem::no_such_path)
            .method_not_allowed_fallback(problem::no_such_method)
            .with_state(self.clone())
    }

    /// Serves the API until `shutdown` resolves; then takes no new connection, ends followed logs, and returns when the
    /// requests in flight have been answered.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let closing = self.0.closing.clone();
        let shutdown = async move {
            shutdown.await;
            closing.cancel();
        };
        axum::serve(listener, self.router()).with_graceful_shutdown(shutdown).await
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.stores.registry.watch().borrow().clone()
    }

    fn function(&self, name: &FunctionName) -> Result<Arc<FunctionState>, Problem> {
        self.snapshot().functions.get(name).cloned().ok_or_else(|| Problem::no_function(name))
    }
}
