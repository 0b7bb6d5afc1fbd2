//! Changing what a function reads, without a build: a revision with the same component and other settings.
//!
//! Two people may change one function at the same time. Each change is made to the revision that answers, and committed only
//! if that one still does; else it is made anew to what does by then. So both changes are there in the end, and neither is
//! undone unseen.

use axum::extract::State;
use http::StatusCode;

use samovar_model::FunctionName;
use samovar_model::api::{Amend, Deployed, Problem as Document};

use crate::Control;
use crate::deploy::{commit, prepare};
use crate::extract::{Json, Name};
use crate::problem::{Kind, Problem};

/// How often a change is made anew when others came first.
const ATTEMPTS: usize = 10;

/// Changes a function's configuration and environment, and makes a revision of it that answers.
///
/// The component stays the same. The next deploy brings settings of its own, which replace all of these.
#[utoipa::path(patch, path = "/v1/functions/{name}/settings", tag = "deploy",
    params(("name" = String, Path, description = "the function's name")),
    request_body = Amend,
    responses(
        (status = 201, description = "a new revision answers", body = Deployed),
        (status = 200, description = "the revision that answers has all of it already", body = Deployed),
        (status = 400, description = "malformed, with the key", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "no such function", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "others were first, again and again", body = Document,
            content_type = "application/problem+json"),
        (status = 422, description = "it does not start with these settings", body = Document,
            content_type = "application/problem+json"),
        (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn amend(
    State(control): State<Control>,
    Name(name): Name,
    Json(change): Json<Amend>,
) -> Result<(StatusCode, axum::Json<Deployed>), Problem> {
    let outcome = change_settings(&control, &name, &change).await;
    control.0.metrics.count_deploy(&outcome);
    let deployed = outcome?;
    let status = if deployed.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(deployed)))
}

async fn change_settings(control: &Control, name: &FunctionName, change: &Amend) -> Result<Deployed, Problem> {
    let mut overtaken = None;
    for _ in 0..ATTEMPTS {
        let current = control.function(name)?.current().clone();
        let settings = change.apply(name, current.settings.clone())?;
        let mut new = prepare(control, name, current.artifact, settings).await?;
        new.instead_of = Some(current.number);
        match commit(control, name, new, change.wait).await {
            Err(problem) if problem.is(Kind::Overtaken) => overtaken = Some(problem),
            outcome => return outcome,
        }
    }
    Err(overtaken.unwrap_or_else(|| Problem::no_function(name)))
}
