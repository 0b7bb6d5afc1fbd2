//! A server that the guest `relay` tells of each request that it gets, and that says how it is answered.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// A request that a function got.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
    /// When this was told.
    pub at: Instant,
}

/// By what a request is answered: the status, and perhaps seconds for `retry-after`.
type Rule = Box<dyn Fn(&Seen) -> (u16, Option<u32>) + Send>;

struct State {
    seen: Mutex<Vec<Seen>>,
    rule: Mutex<Rule>,
    /// Whether answers wait.
    held: watch::Sender<bool>,
}

/// The server. It answers 200 until told otherwise. Dropping it stops it.
pub struct Inbox {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Inbox {
    /// Starts it on loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let rule: Rule = Box::new(|_| (200, None));
        let state = Arc::new(State { seen: Mutex::default(), rule: Mutex::new(rule), held: watch::Sender::new(false) });
        let accepting = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// The settings of a function of the guest `relay` that tells it.
    pub fn settings(&self) -> String {
        let origin = format!("http://{}", self.address);
        format!("env.INBOX = '{origin}'\nallow_outbound = ['{origin}']\nallow_private = true")
    }

    /// Answers by this rule from now on: the status, and perhaps seconds for `retry-after`.
    pub fn answer(&self, rule: impl Fn(&Seen) -> (u16, Option<u32>) + Send + 'static) {
        *self.state.rule.lock().expect("no one panics holding it") = Box::new(rule);
    }

    /// Answers nobody until [`Self::release`].
    pub fn hold(&self) {
        self.state.held.send_replace(true);
    }

    /// The end of [`Self::hold`].
    pub fn release(&self) {
        self.state.held.send_replace(false);
    }

    /// What was told so far, in this order.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("no one panics holding it").clone()
    }

    /// How often each body was told.
    pub fn bodies(&self) -> BTreeMap<String, usize> {
        let mut bodies = BTreeMap::new();
        for seen in self.seen() {
            *bodies.entry(seen.body).or_default() += 1;
        }
        bodies
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let answer = service_fn(move |request| answer(request, Arc::clone(&state)));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    // Whoever hangs up half-way is not counted.
    let Ok(body) = request.into_body().collect().await else { return Ok(response) };
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let (head, body) = text.split_once('\n').expect("a line, and the body");
    let head: Value = serde_json::from_str(head).expect("JSON");
    let field = |name: &str| head[name].as_str().expect("a text").to_owned();
    let headers = serde_json::from_value(head["headers"].clone()).expect("texts");
    let (method, path) = (field("method"), field("path"));
    let seen = Seen { method, path, headers, body: body.to_owned(), at: Instant::now() };
    let (status, retry_after) = state.rule.lock().expect("no one panics holding it")(&seen);
    state.seen.lock().expect("no one panics holding it").push(seen);
    // Its sender is in the same state.
    drop(state.held.subscribe().wait_for(|held| !held).await);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
