//! Whether the process is alive, whether it can take requests, and what a client needs to know of it.

use axum::extract::State;

use samovar_model::api::{Info, Problem as Document};

use crate::Control;
use crate::problem::{Kind, Problem};

/// Alive: the process answers.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, description = "alive")))]
pub(crate) async fn alive() -> &'static str {
    "alive\n"
}

/// Ready: the registry is open and the listeners are bound.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, description = "ready for requests"),
    (status = 503, description = "not ready, with the reason", body = Document, content_type = "application/problem+json"),
))]
pub(crate) async fn ready(State(control): State<Control>) -> Result<&'static str, Problem> {
    let ready = control.0.platform.ready();
    ready.map(|()| "ready\n").map_err(|reason| Problem::new(Kind::Unavailable, format!("not ready: {reason}")))
}

/// What a client needs to know of the platform.
#[utoipa::path(get, path = "/v1/info", tag = "health", responses((status = 200, body = Info)))]
pub(crate) async fn info(State(control): State<Control>) -> axum::Json<Info> {
    let gateway = control.0.platform.gateway_url();
    axum::Json(Info { version: env!("CARGO_PKG_VERSION").to_owned(), gateway })
}
