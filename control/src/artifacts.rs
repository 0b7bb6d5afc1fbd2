//! Uploading a component: streamed to disk, checked and compiled there, and stored only if it can run.

use axum::body::Body;
use axum::extract::{Request, State};
use http::StatusCode;
use http_body_util::BodyExt;

use samovar_cluster::Upload;
use samovar_model::api::{Artifact, Problem as Document};

use crate::Control;
use crate::problem::{Kind, Problem};

/// Uploads a component, checks it and compiles it.
///
/// What is not a component that can run is refused, and nothing of it is kept. When the caller goes away before the
/// answer, the upload is forgotten. An artifact that no revision refers to is removed later: on one machine at
/// the next start, in a cluster when it is an hour old.
#[utoipa::path(post, path = "/v1/artifacts", operation_id = "upload_artifact", tag = "deploy",
    request_body(content_type = "application/wasm", description = "the component's bytes"),
    responses(
        (status = 201, description = "stored", body = Artifact),
        (status = 413, description = "too large", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "cannot run", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "try again", body = Document, content_type = "application/problem+json"),
    ))]
pub(crate) async fn upload(
    State(control): State<Control>,
    request: Request,
) -> Result<(StatusCode, axum::Json<Artifact>), Problem> {
    let limit = control.0.config.max_artifact_bytes;
    let body = request.into_body();
    // A body that says how long it is can be refused before any of it is read.
    if http_body::Body::size_hint(&body).lower() > limit {
        return Err(too_large(limit));
    }
    let mut upload = control.0.stores.artifacts.begin().await?;
    receive(body, &mut *upload, limit).await?;
    let (file, digest) = upload.peek().await?;
    let checked = control.0.platform.check(digest, &file).await?;
    let digest = upload.finish().await?;
    tracing::info!(%digest, bytes = checked.component.size_bytes, "artifact stored");
    let artifact = Artifact { digest, component: checked.component, compile_millis: checked.compile_millis };
    Ok((StatusCode::CREATED, axum::Json(artifact)))
}

async fn receive(mut body: Body, upload: &mut dyn Upload, limit: u64) -> Result<(), Problem> {
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::new(Kind::BadRequest, format!("the upload broke off: {error}")))?;
        let Ok(chunk) = frame.into_data() else { continue };
        received += chunk.len() as u64;
        if received > limit {
            return Err(too_large(limit));
        }
        upload.write(chunk).await?;
    }
    Ok(())
}

fn too_large(limit: u64) -> Problem {
    Problem::new(Kind::TooLarge, format!("the component is larger than {limit} bytes, the most that can be uploaded"))
}
