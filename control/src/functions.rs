//! Looking at functions, and deleting one.

use axum::extract::State;
use http::StatusCode;

use samovar_model::api::{FunctionDetail, FunctionList, Problem as Document, RevisionList};

use crate::Control;
use crate::extract::Name;
use crate::problem::Problem;
use crate::summary::{revisions as summaries, summary};

/// All functions.
#[utoipa::path(get, path = "/v1/functions", operation_id = "list_functions", tag = "functions", responses((status = 200, body = FunctionList)))]
pub(crate) async fn list(State(control): State<Control>) -> axum::Json<FunctionList> {
    let gateway = control.0.platform.gateway_url();
    let functions = control.snapshot().functions.values().map(|function| summary(function, &gateway)).collect();
    axum::Json(FunctionList { functions })
}

/// A function with the settings of the revision that answers.
#[utoipa::path(get, path = "/v1/functions/{name}", operation_id = "show_function", tag = "functions",
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, body = FunctionDetail),
        (status = 404, description = "no such function", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn show(
    State(control): State<Control>,
    Name(name): Name,
) -> Result<axum::Json<FunctionDetail>, Problem> {
    let function = control.function(&name)?;
    let settings = function.current().settings.clone();
    Ok(axum::Json(FunctionDetail { summary: summary(&function, &control.0.platform.gateway_url()), settings }))
}

/// Forgets a function and its revisions. Answers when no request is routed to it any more.
#[utoipa::path(delete, path = "/v1/functions/{name}", operation_id = "delete_function", tag = "functions",
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 204, description = "deleted"),
        (status = 404, description = "no such function", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn delete(State(control): State<Control>, Name(name): Name) -> Result<StatusCode, Problem> {
    let version = control.0.stores.registry.delete(&name).await?;
    control.0.platform.routed(version, false).await;
    tracing::info!(function = %name, "deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// A function's revisions, newest first.
#[utoipa::path(get, path = "/v1/functions/{name}/revisions", operation_id = "list_revisions", tag = "functions",
    params(("name" = String, Path, description = "the function's name")),
    responses(
        (status = 200, body = RevisionList),
        (status = 404, description = "no such function", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn revisions(
    State(control): State<Control>,
    Name(name): Name,
) -> Result<axum::Json<RevisionList>, Problem> {
    Ok(axum::Json(RevisionList { revisions: summaries(&*control.function(&name)?) }))
}
