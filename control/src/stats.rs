//! How functions have fared, as JSON.

use axum::extract::State;

use samovar_model::FunctionName;
use samovar_model::api::{NamedStats, Problem as Document, StatsList};

use crate::Control;
use crate::extract::Name;
use crate::problem::Problem;

/// A function's statistics since the host's start; all zero before its first invocation.
#[utoipa::path(get, path = "/v1/functions/{name}/stats", operation_id = "function_stats", tag = "functions",
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, body = NamedStats),
        (status = 404, description = "no such function", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(State(control): State<Control>, Name(name): Name) -> Result<axum::Json<NamedStats>, Problem> {
    control.function(&name)?;
    Ok(axum::Json(named(&control, &name).await))
}

/// Statistics of all functions.
#[utoipa::path(get, path = "/v1/stats", operation_id = "all_stats", tag = "functions", responses((status = 200, body = StatsList)))]
pub(crate) async fn list(State(control): State<Control>) -> axum::Json<StatsList> {
    axum::Json(StatsList { functions: of_all(&control).await, host: control.0.platform.host() })
}

/// The statistics of every function in the registry, by name.
pub(crate) async fn of_all(control: &Control) -> Vec<NamedStats> {
    let mut all = control.0.platform.all_stats().await;
    let mut named =
        |name: &FunctionName| NamedStats { name: name.clone(), stats: all.remove(name).unwrap_or_default() };
    control.snapshot().functions.keys().map(&mut named).collect()
}

async fn named(control: &Control, name: &FunctionName) -> NamedStats {
    NamedStats { name: name.clone(), stats: control.0.platform.stats(name).await.unwrap_or_default() }
}
