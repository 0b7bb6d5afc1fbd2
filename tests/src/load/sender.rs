//! One request: a connection for it, its answer, what became of it. Connections that are free are kept for the next one.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use samovar_model::api::Problem;
use tokio::net::TcpStream;

use super::Pattern;
use super::report::{Answered, Failure, Outcome, Record};

/// How long a gateway may take to accept a connection before the next one is tried.
const TO_CONNECT: Duration = Duration::from_secs(1);

type Connection = SendRequest<Full<Bytes>>;

/// The gateways, each with its free connections.
pub(super) struct Sender {
    gateways: Vec<Gateway>,
    request: Pattern,
    patience: Duration,
    begun: Instant,
}

struct Gateway {
    address: SocketAddr,
    free: Mutex<Vec<Connection>>,
}

impl Gateway {
    /// A free connection that was open a moment ago.
    fn kept(&self) -> Option<Connection> {
        let mut free = self.free.lock().expect("no one panics holding it");
        std::iter::from_fn(|| free.pop()).find(|connection| !connection.is_closed())
    }

    async fn connect(&self) -> Option<Connection> {
        let stream = tokio::time::timeout(TO_CONNECT, TcpStream::connect(self.address)).await.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        let (connection, driving) = handshake(TokioIo::new(stream)).await.ok()?;
        // Its end is seen by who holds the connection.
        tokio::spawn(async { drop(driving.await) });
        Some(connection)
    }

    fn keep(&self, connection: Connection) {
        if !connection.is_closed() {
            self.free.lock().expect("no one panics holding it").push(connection);
        }
    }
}

impl Sender {
    pub(super) fn new(gateways: Vec<SocketAddr>, request: Pattern, patience: Duration, begun: Instant) -> Self {
        let gateways = gateways.into_iter().map(|address| Gateway { address, free: Mutex::default() }).collect();
        Self { gateways, request, patience, begun }
    }

    /// Sends the request `number`, which is due at `at`.
    pub(super) async fn send(&self, number: u64, at: Duration) -> Record {
        let turn = usize::try_from(number % self.gateways.len() as u64).expect("it is less than their number");
        let (gateway, outcome) = match tokio::time::timeout(self.patience, self.attempt(number, turn)).await {
            Ok(came) => came,
            Err(_) => (turn, Outcome::Failed(Failure::Late)),
        };
        let latency = self.begun.elapsed().saturating_sub(at);
        Record { number, at, latency, turn, gateway, outcome }
    }

    /// Tries each gateway until one takes the request. Gives the one that did.
    async fn attempt(&self, number: u64, turn: usize) -> (usize, Outcome) {
        for step in 0..self.gateways.len() {
            let index = (turn + step) % self.gateways.len();
            let mut request = self.request(number, &self.gateways[index]);
            // As long as nothing was written on a connection, as when it was closed while free, another one may do it.
            while let Some(mut connection) = self.connection(index).await {
                match connection.try_send_request(request).await {
                    Ok(response) => return (index, self.finish(response, connection, index).await),
                    Err(mut error) => match error.take_message() {
                        Some(unsent) => request = unsent,
                        None => return (index, Outcome::Failed(Failure::Broken)),
                    },
                }
            }
        }
        (turn, Outcome::Failed(Failure::NoConnection))
    }

    async fn connection(&self, index: usize) -> Option<Connection> {
        let gateway = &self.gateways[index];
        while let Some(mut kept) = gateway.kept() {
            if kept.ready().await.is_ok() {
                return Some(kept);
            }
        }
        gateway.connect().await
    }

    fn request(&self, number: u64, gateway: &Gateway) -> Request<Full<Bytes>> {
        let Pattern { method, path, body, .. } = &self.request;
        let request = Request::builder().method(method.clone()).uri(path(number));
        let request = request.header("host", gateway.address.to_string());
        request.body(Full::new(body.clone())).expect("the test asks for what can be asked for")
    }

    async fn finish(&self, response: http::Response<hyper::body::Incoming>, kept: Connection, index: usize) -> Outcome {
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await else { return Outcome::Failed(Failure::Broken) };
        self.gateways[index].keep(kept);
        let body = body.to_bytes();
        if head.status != StatusCode::OK {
            let problem = serde_json::from_slice(&body).map(|problem: Problem| problem.kind).unwrap_or_default();
            return Outcome::Failed(Failure::Status(head.status.as_u16(), problem));
        }
        if self.request.expected.as_ref().is_some_and(|expected| *expected != body) {
            return Outcome::Failed(Failure::Wrong(String::from_utf8_lossy(&body).into_owned()));
        }
        let text = |name| text(&head.headers, name);
        Outcome::Answered(Answered {
            revision: text("x-samovar-revision").and_then(|number| number.parse().ok()),
            instance: text("x-samovar-instance-id"),
            host: text("x-samovar-host"),
            body,
        })
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
