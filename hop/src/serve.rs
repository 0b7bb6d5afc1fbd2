//! The host's end of connections: nothing is handled on one before its caller has proven itself.
//!
//! ```text
//! ## Strange => (Greeted | closed after GREETING)
//! ## Greeted => (Member | closed)
//! ## Member     requests go to the handler
//! ```

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection};
use http::{Request, Response};
use http_body::Body;
use samovar_model::{BootEpoch, HostId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connect::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use crate::greeter::Greeter;
use crate::identity::Identity;
use crate::pings;
use crate::received::Received;
use crate::requests::Requests;
use crate::sending::BoxError;
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
    type Body: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + Unpin + 'static;

    /// Answers a request.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answer's body before its end, means that the caller is gone.
    fn handle(&self, request: Request<Received>) -> impl Future<Output = Response<Self::Body>> + Send;
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
) {
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
) -> Result<(), BoxError> {
    tcp.set_nodelay(true)?;
    let stream = match greeter.tls() {
        None => Stream::Plain(tcp),
        Some(acceptor) => {
            let accepting = tokio::time::timeout(GREETING, acceptor.accept(tcp));
            let Some(accepted) = stop.run_until_cancelled(accepting).await else { return Ok(()) };
            Stream::Accepted(Box::new(accepted??))
        }
    };
    let greeter = Arc::new(greeter);
    let unproven = async {
        tokio::time::sleep(GREETING).await;
        if greeter.is_member() {
            std::future::pending::<()>().await;
        }
    };
    let served = served(stream, Requests::new(Arc::clone(&greeter), handler), &stop);
    tokio::select! {
        result = served => result,
        () = unproven => Err("the caller has not proven itself in time".into()),
    }
}

/// Serves a connection to its end; after `stop` that comes when what is under way is done.
async fn served<H: Handler>(
    stream: Stream,
    mut requests: Requests<H>,
    stop: &CancellationToken,
) -> Result<(), BoxError> {
    let handshake = Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        // A member may give up all of its requests at once.
        .max_pending_accept_reset_streams(MAX_STREAMS as usize)
        .max_local_error_reset_streams(None)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake(stream);
    let Some(connection) = stop.run_until_cancelled(handshake).await else { return Ok(()) };
    let mut connection: Connection<Stream, Bytes> = connection?;
    let silent = pings::unanswered(connection.ping_pong(), PING_INTERVAL, PING_TIMEOUT);
    let driven = async {
        tokio::select! {
            biased;
            result = poll_fn(|cx| requests.poll(&mut connection, cx)) => return result,
            () = stop.cancelled() => {}
        }
        if requests.is_stranger() {
            return Ok(());
        }
        connection.graceful_shutdown();
        poll_fn(|cx| requests.poll(&mut connection, cx)).await
    };
    tokio::select! {
        biased;
        result = driven => Ok(result?),
        () = silent => Err("the caller gives no sign of life".into()),
    }
}
