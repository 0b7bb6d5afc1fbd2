//! Changing which revision answers: a deploy, a rollback. On one machine
//! both answer only when requests go to that revision; in a cluster a deploy does so if it is asked to.

use std::time::{Duration, Instant};

use axum::extract::State;
use http::StatusCode;

use samovar_cluster::NewRevision;
use samovar_model::api::{ComponentInfo, Deploy, Deployed, FunctionSummary, Problem as Document, Rollback};
use samovar_model::{ByteSize, ComponentKind, Digest, FunctionName, Settings};

use crate::Control;
use crate::extract::{Json, Name};
use crate::grants;
use crate::problem::{Kind, Problem};
use crate::secrets;
use crate::subscriptions;
use crate::summary::summary;

/// Makes a revision out of an uploaded component, and makes it the one that answers.
///
/// Atomic: until this is acknowledged the old revision answers, after it the new one does. When the caller goes away
/// early, the revision is either complete or not there.
#[utoipa::path(post, path = "/v1/functions/{name}/revisions", tag = "deploy",
    params(("name" = String, Path, description = "the function's name")),
    request_body = Deploy,
    responses(
        (status = 201, description = "a new revision answers", body = Deployed),
        (status = 200, description = "the revision that answers already has this content", body = Deployed),
        (status = 400, description = "malformed, with the key", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "another function has a route", body = Document,
            content_type = "application/problem+json"),
        (status = 422, description = "no such artifact, or it cannot run like this", body = Document,
            content_type = "application/problem+json"),
        (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn deploy(
    State(control): State<Control>,
    Name(name): Name,
    Json(deploy): Json<Deploy>,
) -> Result<(StatusCode, axum::Json<Deployed>), Problem> {
    let outcome = activate(&control, &name, &deploy).await;
    control.0.metrics.count_deploy(&outcome);
    let deployed = outcome?;
    let status = if deployed.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(deployed)))
}

async fn activate(control: &Control, name: &FunctionName, deploy: &Deploy) -> Result<Deployed, Problem> {
    let settings = deploy.settings.settings(name)?;
    if !settings.schedules.is_empty() && control.0.platform.jobs().is_none() {
        let detail =
            format!("function.{name}.schedule: this platform has no store of jobs, so that no schedule is kept");
        return Err(Problem::new(Kind::Refused, detail));
    }
    subscriptions::check(control, name, &settings).await?;
    let new = prepare(control, name, deploy.artifact, settings).await?;
    commit(control, name, new, deploy.wait).await
}

/// Makes a revision that was prepared the one that answers.
pub(crate) async fn commit(
    control: &Control,
    name: &FunctionName,
    new: NewRevision,
    wait: bool,
) -> Result<Deployed, Problem> {
    let mut warnings = secrets::missing(control, &new.settings);
    let begun = Instant::now();
    let deployment = control.0.stores.registry.deploy(name, new).await?;
    warnings.extend(subscriptions::begin(control, &deployment.function, deployment.version).await);
    let unrouted = control.0.platform.routed(deployment.version, wait).await;
    let function = summary(&deployment.function, &control.0.platform.gateway_url());
    tracing::info!(function = %name, revision = %function.revision, changed = deployment.changed, "deployed");
    let activate_millis = millis(begun.elapsed());
    Ok(Deployed { function, changed: deployment.changed, activate_millis, unrouted, warnings })
}

/// Sees that the component is there and starts under these settings.
pub(crate) async fn prepare(
    control: &Control,
    name: &FunctionName,
    artifact: Digest,
    settings: Settings,
) -> Result<NewRevision, Problem> {
    let file = control.0.stores.artifacts.file(&artifact).await?;
    let component = control.0.platform.check(artifact, &file).await?.component;
    grants::check(name, &component.imports, &settings).map_err(|detail| Problem::new(Kind::Refused, detail))?;
    let ComponentInfo { kind, size_bytes, .. } = component;
    if kind == ComponentKind::Wasi02 && settings.scale.concurrency > 1 {
        let concurrency = settings.scale.concurrency;
        let detail = format!(
            "function.{name}.scale.concurrency = {concurrency}: the component is {kind}, whose instances take one request \
             at a time; set it to 1, or build the component for {}",
            ComponentKind::Wasi03
        );
        return Err(Problem::new(Kind::Refused, detail));
    }
    control.0.platform.rehearse(artifact, &settings).await?;
    Ok(NewRevision { artifact, size: ByteSize::bytes(size_bytes), kind, settings, instead_of: None })
}

/// Makes an older revision the one that answers; the one before the current one when the body names none.
#[utoipa::path(post, path = "/v1/functions/{name}/rollback", tag = "deploy",
    params(("name" = String, Path, description = "the function's name")),
    request_body = Rollback,
    responses(
        (status = 200, description = "the revision answers", body = FunctionSummary),
        (status = 404, description = "no such function or revision", body = Document,
            content_type = "application/problem+json"),
        (status = 409, description = "another function has one of its routes by now", body = Document,
            content_type = "application/problem+json"),
    ))]
pub(crate) async fn rollback(
    State(control): State<Control>,
    Name(name): Name,
    Json(rollback): Json<Rollback>,
) -> Result<axum::Json<FunctionSummary>, Problem> {
    let deployment = control.0.stores.registry.rollback(&name, rollback.revision).await?;
    subscriptions::begin(&control, &deployment.function, deployment.version).await;
    control.0.platform.routed(deployment.version, false).await;
    let function = summary(&deployment.function, &control.0.platform.gateway_url());
    tracing::info!(function = %name, revision = %function.revision, changed = deployment.changed, "rolled back");
    Ok(axum::Json(function))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
