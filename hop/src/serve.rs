//! The host's end of connections: nothing is handled on one before its caller has proven itself.
//!
//! ```text
//! ## Strange => (Greeted | closed after GREETING)
//! ## Greeted => (Member | closed)
//! ## Member     requests go to the handler
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use samovar_model::{BootEpoch, HostId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use crate::executor::BoxingExecutor;
use crate::greeting::{
    End, HELLO_PATH, Hello, MAX_GREETING_BYTES, PROOF_PATH, PROTOCOL, Proof, Welcome, holds, nonce, prove,
};
use crate::identity::Identity;
use crate::merge::Merge;
use crate::stream::Stream;

/// How long a caller may take to prove itself.
const GREETING: Duration = Duration::from_secs(5);
/// Connections at once whose callers have not proven themselves yet; further ones wait to be accepted.
pub(crate) const MAX_STRANGERS: usize = 256;
/// Requests at once on one connection.
const MAX_STREAMS: u32 = 10_000;
/// A head as large as a gateway lets in, and what it adds.
const MAX_HEADER_BYTES: u32 = 64 << 10;
/// How often a caller is asked for a sign of life, and how long that may take: one that vanished must not keep its instances.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(4);

/// What is done with members' requests.
pub trait Handler: Send + Sync + 'static {
    /// An answer's body.
    type Body: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static;

    /// Answers a request.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, means that the caller is gone.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Who answers.
#[derive(Debug, Clone)]
pub struct HostName {
    /// The host.
    pub id: HostId,
    /// Which run of it.
    pub epoch: watch::Receiver<BootEpoch>,
}

/// Accepts and serves connections until `stop`; then lets the requests of members that are under way finish, and returns when the
/// last connection is closed.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    identity: Identity,
    name: HostName,
    handler: Arc<H>,
    stop: CancellationToken,
) where
    <H::Body as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connections = TaskTracker::new();
    let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
    let accepting = async {
        // Never closed, so that there is one in the end.
        while let Ok(place) = Arc::clone(&strangers).acquire_owned().await {
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    let greeter = Greeter::new(&identity, &name, place);
                    let (handler, stop) = (Arc::clone(&handler), stop.clone());
                    connections.spawn(async move {
                        if let Err(error) = connection(tcp, greeter, handler, stop).await {
                            tracing::debug!(%error, %peer, "a member's connection ended");
                        }
                    });
                }
                // One of the system's limits, as a rule.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept members' connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = accepting => {}
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection<H: Handler>(
    tcp: TcpStream,
    greeter: Greeter,
    handler: Arc<H>,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    <H::Body as Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    tcp.set_nodelay(true)?;
    let stream = match greeter.identity.tls() {
        None => Stream::Plain(tcp),
        Some(tls) => {
            let accepting = tokio::time::timeout(GREETING, tls.acceptor.accept(tcp));
            let Some(accepted) = stop.run_until_cancelled(accepting).await else { return Ok(()) };
            Stream::Accepted(Box::new(accepted??))
        }
    };
    let greeter = Arc::new(greeter);
    let service = service_fn(|request: Request<Incoming>| {
        let (greeter, handler) = (Arc::clone(&greeter), Arc::clone(&handler));
        async move {
            Ok::<_, Infallible>(match greeter.is_member.load(Relaxed) {
                // Boxed, since the layers around it move it several times before its task has it.
                true => Box::pin(handler.handle(request)).await.map(|body| Answer::Handled(Merge::new(body))),
                false => greeter.greet(request).await.map(|bytes| Answer::Greeting(Full::new(bytes))),
            })
        }
    });
    let served = Builder::new(BoxingExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        // A member may give up all of its requests at once.
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .max_local_error_reset_streams(None)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let unproven = async {
        tokio::time::sleep(GREETING).await;
        if greeter.is_member.load(Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = served.as_mut() => return Ok(result?),
        () = unproven => return Err("the caller has not proven itself in time".into()),
        () = stop.cancelled() => {}
    }
    if !greeter.is_member.load(Relaxed) {
        return Ok(());
    }
    served.as_mut().graceful_shutdown();
    Ok(served.await?)
}

/// One connection's beginning.
struct Greeter {
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
    fn new(identity: &Identity, name: &HostName, place: OwnedSemaphorePermit) -> Self {
        let (identity, name) = (identity.clone(), name.clone());
        let said = Said { hello: None, place: Some(place) };
        Self { identity, name, is_member: AtomicBool::new(false), said: said.into() }
    }

    async fn greet(&self, request: Request<Incoming>) -> Response<Bytes> {
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

    async fn hear(&self, said: &mut Said, request: Request<Incoming>) -> Result<Bytes, StatusCode> {
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

/// An answer's body: the handler's, or a greeting.
enum Answer<B: Body> {
    Handled(Merge<B>),
    Greeting(Full<Bytes>),
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Handled(body) => Pin::new(body).poll_frame(cx),
            Self::Greeting(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Handled(body) => body.is_end_stream(),
            Self::Greeting(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Handled(body) => body.size_hint(),
            Self::Greeting(body) => body.size_hint(),
        }
    }
}
