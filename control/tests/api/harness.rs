//! A control API in a temporary data directory, and the requests that tests send to it.

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt;

use samovar_cluster::embedded::{
    DataDir, EmbeddedArtifacts, EmbeddedJobs, EmbeddedKeyValue, EmbeddedRegistry, EmbeddedSecrets,
};
use samovar_cluster::secrets::SecretKeys;
use samovar_cluster::{Jobs, Vault};
use samovar_control::{Control, ControlConfig, Stores};
use samovar_model::api::{Artifact, Deployed, Problem};

use crate::platform::FakePlatform;

pub(crate) const TOKEN: &str = "let-me-in";

pub(crate) struct Api {
    pub(crate) control: Control,
    pub(crate) platform: Arc<FakePlatform>,
    dir: DataDir,
    _temp: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The problem's status, type and words.
    pub(crate) fn problem(&self) -> (u16, String, String) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status.as_u16());
        assert!(!problem.title.is_empty());
        (problem.status, problem.kind.strip_prefix("/problems/").unwrap().to_owned(), problem.detail)
    }
}

/// What a problem is compared with.
pub(crate) fn problem(status: u16, kind: &str, detail: &str) -> (u16, String, String) {
    (status, kind.to_owned(), detail.to_owned())
}

impl Api {
    pub(crate) fn start() -> Self {
        Self::with(ControlConfig::new(TOKEN))
    }

    pub(crate) fn with(config: ControlConfig) -> Self {
        Self::with_keys(config, Ok(SecretKeys::parse(&"1".repeat(64)).unwrap()))
    }

    pub(crate) fn with_keys(config: ControlConfig, keys: Result<SecretKeys, String>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let platform = Arc::new(FakePlatform::new());
        let registry = Arc::new(EmbeddedRegistry::open(&dir).unwrap());
        let artifacts = Arc::new(EmbeddedArtifacts::open(&dir).unwrap());
        let secrets = Vault::new(Arc::new(EmbeddedSecrets::open(&dir).unwrap()), keys);
        let key_value = Arc::new(EmbeddedKeyValue::open(&dir).unwrap());
        let stores = Stores { registry, artifacts, key_value: Some(key_value), secrets };
        let control = Control::new(config, stores, platform.clone());
        Self { control, platform, dir, _temp: temp }
    }

    /// Gives the platform a store of jobs.
    pub(crate) fn with_jobs(&self) -> Arc<dyn Jobs> {
        let jobs: Arc<dyn Jobs> = Arc::new(EmbeddedJobs::open(&self.dir, 1 << 20).unwrap());
        *self.platform.jobs.lock().unwrap() = Some(Arc::clone(&jobs));
        jobs
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.control.router().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {TOKEN}"));
        request.body(body.into()).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Self::request(Method::GET, path, Body::empty())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Self::request(Method::DELETE, path, Body::empty())).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Self::request(Method::POST, path, body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(Self::request(Method::PATCH, path, body)).await
    }

    pub(crate) async fn upload(&self, component: &'static str) -> Artifact {
        let answer = self.post("/v1/artifacts", component).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()
    }

    /// Uploads a component and asks for a deploy with these settings.
    pub(crate) async fn try_deploy(&self, name: &str, component: &'static str, settings: Value) -> Answer {
        let artifact = self.upload(component).await.digest;
        let body = json!({ "artifact": artifact, "settings": settings }).to_string();
        self.post(&format!("/v1/functions/{name}/revisions"), body).await
    }

    pub(crate) async fn deploy(&self, name: &str, component: &'static str) -> Deployed {
        let answer = self.try_deploy(name, component, json!({})).await;
        assert!(answer.status.is_success(), "{answer:?}");
        answer.json()
    }

    /// The files of uploads under way, and of stored artifacts.
    pub(crate) fn files(&self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let list = |dir| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        (list(self.dir.uploads()), list(self.dir.artifacts()))
    }
}
