//! A connection's beginning, at the host's end: hello, welcome, proof.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use crate::HostName;
use crate::greeting::{
    End, HELLO_PATH, Hello, MAX_GREETING_BYTES, PROOF_PATH, PROTOCOL, Proof, Welcome, holds, nonce, prove,
};
use crate::identity::Identity;
use crate::received::Received;

/// One connection's beginning.
pub(crate) struct Greeter {
    identity: Identity,
    name: HostName,
    is_member: AtomicBool,
    /// What was said, until the caller has proven itself. Taken for as long as a greeting lasts.
    said: tokio::sync::Mutex<Said>,
}

struct Said {
    hello: Option<(String, Welcome)>,
    /// Among the strangers; given back with the proof.
    place: Option<OwnedSemaphorePermit>,
}

impl Greeter {
    pub(crate) fn new(identity: &Identity, name: &HostName, place: OwnedSemaphorePermit) -> Self {
        let (identity, name) = (identity.clone(), name.clone());
        let said = Said { hello: None, place: Some(place) };
        Self { identity, name, is_member: AtomicBool::new(false), said: said.into() }
    }

    /// Whether the caller has proven itself.
    pub(crate) fn is_member(&self) -> bool {
        self.is_member.load(Relaxed)
    }

    /// What speaks TLS to it, where that is spoken.
    pub(crate) fn tls(&self) -> Option<&TlsAcceptor> {
        Some(&self.identity.tls()?.acceptor)
    }

    /// Answers a stranger's request.
    pub(crate) async fn greet(&self, request: Request<Received>) -> Response<Bytes> {
        let answer = match self.said.try_lock() {
            Ok(mut said) => self.hear(&mut said, request).await,
            // One at a time: who has not proven itself gets no more room than that.
            Err(_) => Err(StatusCode::UNAUTHORIZED),
        };
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(status) => (status, Bytes::new()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
    }

    async fn hear(&self, said: &mut Said, request: Request<Received>) -> Result<Bytes, StatusCode> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_GREETING_BYTES).collect().await;
        let body = body.map_err(|_| StatusCode::UNAUTHORIZED)?.to_bytes();
        match head.uri.path() {
            HELLO_PATH => self.hello(said, &body),
            PROOF_PATH => self.proof(said, &body),
            _ => Err(StatusCode::UNAUTHORIZED),
        }
    }

    fn hello(&self, said: &mut Said, body: &[u8]) -> Result<Bytes, StatusCode> {
        let Hello { nonce: hello } = serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)?;
        let mut welcome = Welcome {
            protocol: PROTOCOL,
            host: self.name.id.clone(),
            epoch: *self.name.epoch.borrow(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            nonce: nonce(),
            proof: None,
        };
        welcome.proof = prove(&self.identity, End::Host, &hello, &welcome);
        let json = serde_json::to_vec(&welcome).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        said.hello = Some((hello, welcome));
        Ok(json.into())
    }

    fn proof(&self, said: &mut Said, body: &[u8]) -> Result<Bytes, StatusCode> {
        let Proof { proof } = serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)?;
        // One try for each greeting.
        let (hello, welcome) = said.hello.take().ok_or(StatusCode::UNAUTHORIZED)?;
        if !holds(&self.identity, End::Member, &hello, &welcome, proof.as_deref()) {
            tracing::warn!("a caller has another cluster secret: its connection is refused");
            return Err(StatusCode::UNAUTHORIZED);
        }
        self.is_member.store(true, Relaxed);
        said.place = None;
        Ok(Bytes::new())
    }
}
