//! Secrets: set, listed and removed. There is no way to read one back.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use samovar_cluster::SecretError;
use samovar_cluster::secrets::{SecretValue, SecretValueError};
use samovar_model::api::{Problem as Document, Resealed, SecretList, SecretSummary};
use samovar_model::{FunctionName, MAX_SECRET_BYTES, SecretName, SecretNameError, Settings};
use zeroize::Zeroizing;

use crate::Control;
use crate::problem::{Kind, Problem};

/// All secrets: their names, and what else may be told of them.
#[utoipa::path(get, path = "/v1/secrets", operation_id = "list_secrets", tag = "secrets", responses(
    (status = 200, body = SecretList),
))]
pub(crate) async fn list(State(control): State<Control>) -> axum::Json<SecretList> {
    axum::Json(SecretList { secrets: summaries(&control) })
}

/// Sets a secret. It is stored encrypted, and functions that are granted it read the new value at their next read.
#[utoipa::path(put, path = "/v1/secrets/{name}", operation_id = "set_secret", tag = "secrets",
    params(("name" = String, Path, description = "the secret's name")),
    request_body(content_type = "text/plain", description = "the value as it is: text in UTF-8, 64 KiB at most"),
    responses(
        (status = 200, description = "stored", body = SecretSummary),
        (status = 400, description = "not a name, or not a value", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "the platform has no key to encrypt it with", body = Document,
            content_type = "application/problem+json"),
        (status = 413, description = "too large", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn set(
    State(control): State<Control>,
    Path(name): Path<String>,
    request: Request,
) -> Result<axum::Json<SecretSummary>, Problem> {
    let name = parse(&name)?;
    let value = receive(request).await?;
    let version = control.0.stores.secrets.set(&name, &value).await?;
    tracing::info!(secret = %name, version, "secret set");
    let summary = summaries(&control).into_iter().find(|secret| secret.name == name);
    // It can only be gone because somebody has removed it since.
    summary.map(axum::Json).ok_or_else(|| SecretError::NotSet(name).into())
}

/// Removes a secret. Functions that are granted it are told that it is not set.
#[utoipa::path(delete, path = "/v1/secrets/{name}", operation_id = "remove_secret", tag = "secrets",
    params(("name" = String, Path, description = "the secret's name")),
    responses(
        (status = 204, description = "removed"),
        (status = 404, description = "no such secret", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn remove(State(control): State<Control>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let name = parse(&name)?;
    control.0.stores.secrets.remove(&name).await.map_err(|error| match error {
        // Whoever removes it does not want to hear how to set it.
        SecretError::NotSet(name) => Problem::new(Kind::NoSecret, format!("no secret `{name}`")),
        error => error.into(),
    })?;
    tracing::info!(secret = %name, "secret removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Encrypts every secret with the first key that is not encrypted with it. Values stay as they are.
#[utoipa::path(post, path = "/v1/reseal", operation_id = "reseal_secrets", tag = "secrets", responses(
    (status = 200, body = Resealed),
    (status = 409, description = "the platform has not got a key that is needed", body = Document,
        content_type = "application/problem+json"),
    (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
))]
pub(crate) async fn reseal(State(control): State<Control>) -> Result<axum::Json<Resealed>, Problem> {
    let resealed = control.0.stores.secrets.reseal().await?;
    tracing::info!(secrets = resealed.len(), "secrets encrypted with the first key");
    Ok(axum::Json(Resealed { resealed }))
}

/// What a function will miss of the secrets that it is granted.
pub(crate) fn missing(control: &Control, settings: &Settings) -> Vec<String> {
    let secrets = &control.0.stores.secrets;
    let no_key = secrets.keys().err().filter(|_| !settings.secrets.is_empty()).map(|error| error.to_string());
    let not_set = settings.secrets.iter().filter(|name| !secrets.is_set(name));
    no_key.into_iter().chain(not_set.map(|name| SecretError::NotSet(name.clone()).to_string())).collect()
}

fn summaries(control: &Control) -> Vec<SecretSummary> {
    let snapshot = control.snapshot();
    let mut granted: BTreeMap<&SecretName, Vec<FunctionName>> = BTreeMap::new();
    for function in snapshot.functions.values() {
        for name in &function.current().settings.secrets {
            granted.entry(name).or_default().push(function.name.clone());
        }
    }
    let mut secrets = control.0.stores.secrets.list();
    for secret in &mut secrets {
        secret.granted_to = granted.remove(&secret.name).unwrap_or_default();
    }
    secrets
}

/// The name is not repeated when it is none: it may be the secret.
fn parse(name: &str) -> Result<SecretName, Problem> {
    name.parse().map_err(|error: SecretNameError| Problem::new(Kind::BadSecretName, error.to_string()))
}

/// Reads a value, and erases what this process has of it besides.
async fn receive(request: Request) -> Result<SecretValue, Problem> {
    let mut body = request.into_body();
    let too_large = |bytes: usize| Problem::from(SecretValueError::TooLarge(bytes));
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_SECRET_BYTES {
        return Err(too_large(announced));
    }
    // At its full size at once: a buffer that grows leaves copies behind.
    let mut value = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES));
    while let Some(frame) = body.frame().await {
        let broken = |error| Problem::new(Kind::BadRequest, format!("the value broke off: {error}"));
        let Ok(chunk) = frame.map_err(broken)?.into_data() else { continue };
        if value.len() + chunk.len() > MAX_SECRET_BYTES {
            return Err(too_large(value.len() + chunk.len()));
        }
        value.extend_from_slice(&chunk);
    }
    Ok(SecretValue::new(std::mem::take(&mut *value))?)
}
