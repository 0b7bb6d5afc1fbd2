//! The control API as the commands see it: typed calls, and refusals in words that say what to do.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use samovar_model::FunctionName;
use samovar_model::api::{Artifact, Deploy, Deployed, FunctionDetail, Info, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Global;
use crate::client::{Body, Client, SendError, full};
use crate::location::Location;

/// How long an answer may take where nothing is uploaded, compiled or followed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest answer that is read whole.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Why a call of the control API failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nobody answers there.
    #[error(
        "cannot reach the control API at {url}: {why}; is `samovar up` running? give --control if it listens elsewhere"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// What happened.
        why: String,
    },
    /// The connection broke; whether the call was carried out is not known.
    #[error("the connection to the control API at {url} broke: {why}")]
    Broken {
        /// The address.
        url: String,
        /// What happened.
        why: String,
    },
    /// No answer in time.
    #[error("the control API at {url} did not answer within {ANSWER_TIMEOUT:?}")]
    Slow {
        /// The address.
        url: String,
    },
    /// The token is missing or wrong.
    #[error(
        "the control API at {url} did not let us in ({source_of_token}); give --token, SAMOVAR_TOKEN, or --data-dir with \
         the data directory of `samovar up`"
    )]
    Unauthorized {
        /// The address.
        url: String,
        /// Where the token came from, or was looked for.
        source_of_token: String,
    },
    /// It said no, and why.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The problem document's detail.
        detail: String,
    },
    /// It is not Samovar's control API, or another version of it.
    #[error("the answer of {url} is not one of the control API ({why}); is this the right --control address?")]
    Foreign {
        /// The address that was called.
        url: String,
        /// What does not fit.
        why: String,
    },
}

/// A client of one control API.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    client: Client,
    location: Location,
}

type Result<T> = std::result::Result<T, ControlError>;

impl Control {
    /// The control API that the options point to. Nothing is sent yet.
    ///
    /// # Errors
    /// When the options or the data directory cannot be used.
    pub(crate) fn new(global: &Global) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new()?, location: Location::find(global)? })
    }

    /// The same client, for requests to the gateway.
    pub(crate) fn http(&self) -> &Client {
        &self.client
    }

    /// What the platform says of itself.
    pub(crate) async fn info(&self) -> Result<Info> {
        self.get("/v1/info").await
    }

    /// A function with its settings.
    pub(crate) async fn function(&self, name: &FunctionName) -> Result<FunctionDetail> {
        self.get(&format!("/v1/functions/{name}")).await
    }

    /// Uploads a component; it is checked and compiled before the answer comes, however long that takes.
    pub(crate) async fn upload(&self, component: Body) -> Result<Artifact> {
        let request = self.request(Method::POST, "/v1/artifacts").header(header::CONTENT_TYPE, "application/wasm");
        let answer = self.send(request, component).await?;
        self.decode(answer).await
    }

    /// Makes a revision; its instance is tried before the answer comes.
    pub(crate) async fn deploy(&self, name: &FunctionName, deploy: &Deploy) -> Result<Deployed> {
        self.post(&format!("/v1/functions/{name}/revisions"), deploy).await
    }

    /// Fetches JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, Body::default()).await
    }

    /// Sends and fetches JSON.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let json = serde_json::to_vec(body).expect("the API's types have string keys only");
        self.call(Method::POST, path, full(json)).await
    }

    /// Changes something, and fetches what became of it.
    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let json = serde_json::to_vec(body).expect("the API's types have string keys only");
        self.call(Method::PATCH, path, full(json)).await
    }

    /// Asks for something that has no more to say than that it was understood.
    pub(crate) async fn ask(&self, path: &str) -> Result<()> {
        let call = self.send(self.request(Method::POST, path), Body::default());
        self.in_time(call).await.map(drop)
    }

    /// Fetches bytes as they are.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Bytes> {
        let call = async {
            let answer = self.send(self.request(Method::GET, path), Body::default()).await?;
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
            let broken = |why: String| ControlError::Broken { url: self.location.control.clone(), why };
            Ok(body.map_err(|error| broken(error.to_string()))?.to_bytes())
        };
        self.in_time(call).await
    }

    /// Sends bytes as they are, to be kept.
    pub(crate) async fn put_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        let request = self.request(Method::PUT, path).header(header::CONTENT_TYPE, "application/octet-stream");
        self.in_time(self.send(request, full(bytes))).await.map(drop)
    }

    /// Sends JSON lines, however long that takes, and fetches JSON.
    pub(crate) async fn send_lines<T: DeserializeOwned>(&self, path: &str, lines: Body) -> Result<T> {
        let request = self.request(Method::POST, path).header(header::CONTENT_TYPE, "application/x-ndjson");
        let answer = self.send(request, lines).await?;
        self.decode(answer).await
    }

    /// Sends bytes as they are, and fetches JSON.
    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str, bytes: Vec<u8>) -> Result<T> {
        let request = self.request(Method::PUT, path).header(header::CONTENT_TYPE, "text/plain");
        self.in_time(async { self.decode(self.send(request, full(bytes)).await?).await }).await
    }

    /// Deletes something.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        let call = self.send(self.request(Method::DELETE, path), Body::default());
        self.in_time(call).await.map(drop)
    }

    /// Fetches something whose end may be far.
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming> {
        let call = self.send(self.request(Method::GET, path), Body::default());
        Ok(self.in_time(call).await?.into_body())
    }

    /// What it means when a streamed answer breaks off.
    pub(crate) fn broken(&self, error: &hyper::Error) -> ControlError {
        ControlError::Broken { url: self.location.control.clone(), why: error.to_string() }
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Body) -> Result<T> {
        let request = self.request(method, path).header(header::CONTENT_TYPE, "application/json");
        self.in_time(async { self.decode(self.send(request, body).await?).await }).await
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let slow = |_| ControlError::Slow { url: self.location.control.clone() };
        tokio::time::timeout(ANSWER_TIMEOUT, call).await.map_err(slow)?
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.location.control));
        match &self.location.token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends a request, and turns every answer but a 2xx into an error.
    async fn send(&self, request: http::request::Builder, body: Body) -> Result<Response<Incoming>> {
        let url = self.location.control.clone();
        let request = request.body(body).expect("address and token were checked, and names are safe in a path");
        let answer = self.client.send(request).await.map_err(|error| match error {
            SendError::Connect(why) => ControlError::Unreachable { url, why },
            SendError::Broken(why) => ControlError::Broken { url, why },
        })?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refusal(answer).await) }
    }

    async fn refusal(&self, answer: Response<Incoming>) -> ControlError {
        let status = answer.status();
        let url = self.location.control.clone();
        if status == StatusCode::UNAUTHORIZED {
            return ControlError::Unauthorized { url, source_of_token: self.location.token_source.to_string() };
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => ControlError::Refused { status, detail: problem.detail },
            Err(_) => ControlError::Foreign { url, why: format!("status {status} without a problem document") },
        }
    }

    async fn decode<T: DeserializeOwned>(&self, answer: Response<Incoming>) -> Result<T> {
        let url = &self.location.control;
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| ControlError::Broken { url: url.clone(), why: error.to_string() })?;
        serde_json::from_slice(&body.to_bytes())
            .map_err(|error| ControlError::Foreign { url: url.clone(), why: error.to_string() })
    }
}

#[cfg(test)]
mod tests;
