//! What members ask a host about itself: see [`HostCall`].

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Frame;
use jiff::Timestamp;
use samovar_cluster::ArtifactError;
use samovar_hop::Received;
use samovar_hop::message::{Checked, HostCall};
use samovar_model::api::MAX_ARTIFACT_BYTES;
use samovar_model::{Digest, Fault, FunctionName, LogLine, Settings};
use serde::Serialize;
use tokio::io::AsyncReadExt as _;

use super::{ServedBody, Serving};
use crate::{CodeError, Compiled};

/// More than any function's settings have.
const MAX_SETTINGS_BYTES: usize = 4 << 20;
/// A piece of a component that another host asked for.
const PIECE_BYTES: usize = 64 << 10;

/// A refusal: its status, and why in words for the person who deploys.
type Refused = (StatusCode, String);

impl Serving {
    pub(super) async fn call(&self, request: Request<Received>) -> Response<ServedBody> {
        let (head, body) = request.into_parts();
        let answer = match (&head.method, HostCall::of(head.uri.path())) {
            (&Method::POST, Some(HostCall::Check(digest))) => self.check(digest, body).await,
            (&Method::POST, Some(HostCall::Rehearse(digest))) => self.rehearse(digest, body).await,
            (&Method::GET, Some(HostCall::Artifact(digest))) => self.artifact(digest).await,
            (&Method::GET, Some(HostCall::Usage)) => Ok(json(&self.host.usage())),
            (&Method::GET, Some(HostCall::AllStats)) => Ok(json(&self.host.stats_parts())),
            (&Method::GET, Some(HostCall::Stats(function))) => match self.host.stats_part(&function) {
                Some(part) => Ok(json(&part)),
                None => Err((StatusCode::NOT_FOUND, format!("function `{function}` was never called here"))),
            },
            (&Method::GET, Some(HostCall::Logs(function))) => Ok(self.logs(&function, head.uri.query()).await),
            _ => Err((StatusCode::NOT_FOUND, "no such call".to_owned())),
        };
        answer.unwrap_or_else(|(status, why)| {
            let mut response = Response::new(ServedBody::Whole(why.into()));
            *response.status_mut() = status;
            response
        })
    }

    async fn check(&self, digest: Digest, body: Received) -> Result<Response<ServedBody>, Refused> {
        let compiled = if hyper::body::Body::is_end_stream(&body) {
            let file = self.artifacts.file(&digest).await.map_err(|error| absent(&error))?;
            self.host.compile(digest, &file).await
        } else {
            self.check_sent(digest, body).await?
        };
        let compiled = compiled.map_err(|error| match error {
            CodeError::Refused(reason) => (StatusCode::UNPROCESSABLE_ENTITY, reason),
            CodeError::Io { .. } => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        })?;
        Ok(json(&Checked { component: compiled.component, compile_millis: compiled.compile_millis }))
    }

    /// Compiles a component that came with the call. It is not kept: it may turn out not to be deployed.
    async fn check_sent(&self, digest: Digest, body: Received) -> Result<Result<Compiled, CodeError>, Refused> {
        let failed = |error: ArtifactError| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        let mut upload = self.artifacts.begin().await.map_err(failed)?;
        let limit = usize::try_from(MAX_ARTIFACT_BYTES).unwrap_or(usize::MAX);
        let mut body = Limited::new(body, limit);
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| (StatusCode::BAD_REQUEST, format!("the component broke off: {error}")))?;
            if let Ok(piece) = frame.into_data() {
                upload.write(piece).await.map_err(failed)?;
            }
        }
        let (file, found) = upload.peek().await.map_err(failed)?;
        if found != digest {
            return Err((StatusCode::BAD_REQUEST, format!("the component that was sent is {found}, not {digest}")));
        }
        Ok(self.host.compile(digest, &file).await)
    }

    async fn rehearse(&self, digest: Digest, body: Received) -> Result<Response<ServedBody>, Refused> {
        let bad = |error: &dyn std::fmt::Display| (StatusCode::BAD_REQUEST, format!("settings: {error}"));
        let body = Limited::new(body, MAX_SETTINGS_BYTES).collect().await.map_err(|error| bad(&error))?;
        let settings: Settings = serde_json::from_slice(&body.to_bytes()).map_err(|error| bad(&error))?;
        let outcome = self.host.rehearse(digest, &settings).await;
        outcome.map(|()| json(&())).map_err(|why| (StatusCode::UNPROCESSABLE_ENTITY, why))
    }

    async fn artifact(&self, digest: Digest) -> Result<Response<ServedBody>, Refused> {
        let path = self.artifacts.local(&digest).await.map_err(|error| absent(&error))?;
        let file = tokio::fs::File::open(&path).await;
        let file = file.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        let pieces = stream::try_unfold(file, |mut file| async move {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            let read = file.read_buf(&mut piece).await.map_err(|error| {
                tracing::warn!(%error, "an artifact cannot be read");
                Fault::NotAvailable
            })?;
            Ok((read > 0).then(|| (Frame::data(piece.freeze()), file)))
        });
        Ok(Response::new(ServedBody::Stream(StreamBody::new(pieces).boxed_unsync())))
    }

    pub(super) async fn logs(&self, function: &FunctionName, query: Option<&str>) -> Response<ServedBody> {
        let value = |key: &str| query?.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let since = value("since").and_then(|text| text.parse::<Timestamp>().ok());
        let reader = self.host.logs().read(function, since, value("follow") == Some("true")).await;
        let future = stream::unfold(reader.future, |future| async {
            let mut future = future?;
            Some((future.recv().await?, Some(future)))
        });
        let future = future.take_until(self.stopping.clone().cancelled_owned());
        let lines = stream::iter(reader.past).chain(future);
        let body = StreamBody::new(lines.map(|line| Ok(Frame::data(json_line(&line)))));
        Response::new(ServedBody::Stream(body.boxed_unsync()))
    }
}

fn absent(error: &ArtifactError) -> Refused {
    let status = match error {
        ArtifactError::Missing(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

fn json(value: &impl Serialize) -> Response<ServedBody> {
    let json = serde_json::to_vec(value).expect("what hosts tell has only string keys");
    Response::new(ServedBody::Whole(Full::new(json.into())))
}

fn json_line(line: &LogLine) -> Bytes {
    let mut json = serde_json::to_vec(line).expect("a log line has only string keys and numbers that JSON can hold");
    json.push(b'\n');
    json.into()
}
