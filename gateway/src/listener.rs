//! Accepts connections and serves them: HTTP/1.1 and HTTP/2 on one port, told apart by their first bytes.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::GatewayConfig;
use crate::connection::{Connection, Watched};
use crate::dispatcher::Dispatcher;
use crate::service::Gateway;

/// The longest pause after an error of `accept`, which is one of the system's limits as a rule.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

impl<D> Gateway<D>
where
    D: Dispatcher,
    D::Body: Unpin,
{
    /// Accepts and serves connections until `stop`; then lets the requests under way finish, and returns when the last
    /// connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future stops accepting; open connections go on.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.inner().config.max_connections));
        let connections = TaskTracker::new();
        let builder = Arc::new(builder(&self.inner().config));
        let accepting = async {
            let mut backoff = Duration::ZERO;
            loop {
                let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        backoff = Duration::ZERO;
                        let served =
                            self.clone().connection(stream, peer, place, Arc::clone(&builder), stop.child_token());
                        connections.spawn(served);
                    }
                    Err(error) => {
                        self.inner().stats.accept_errors.fetch_add(1, Relaxed);
                        if is_about_one_connection(&error) {
                            continue;
                        }
                        backoff = (backoff * 2).clamp(Duration::from_millis(10), MAX_BACKOFF);
                        tracing::warn!(%error, ?backoff, "cannot accept connections");
                        tokio::time::sleep(backoff).await;
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

    async fn connection(
        self,
        stream: TcpStream,
        peer: std::net::SocketAddr,
        _place: OwnedSemaphorePermit,
        builder: Arc<auto::Builder<TokioExecutor>>,
        stop: CancellationToken,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "no TCP_NODELAY");
        }
        self.serve_with(&builder, stream, peer, stop).await;
    }

    /// Serves one connection that was accepted elsewhere, until it ends; after `stop` it ends once its requests are answered.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, and the callers of the requests under way are gone.
    pub async fn serve_stream<S>(&self, stream: S, peer: std::net::SocketAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_with(&builder(&self.inner().config), stream, peer, stop).await;
    }

    async fn serve_with<S>(
        &self,
        builder: &auto::Builder<TokioExecutor>,
        stream: S,
        peer: std::net::SocketAddr,
        stop: CancellationToken,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stats = &self.inner().stats;
        stats.connections_accepted.fetch_add(1, Relaxed);
        stats.connections_open.fetch_add(1, Relaxed);
        let connection = Connection::new(peer, Arc::clone(stats));
        let io = TokioIo::new(Watched { stream, connection: Arc::clone(&connection) });
        let service = service_fn(|request| self.answer(&connection, request));
        let mut served = pin!(builder.serve_connection(io, service));
        let mut overdue = pin!(connection.watch(&self.inner().config));
        let result = tokio::select! {
            result = served.as_mut() => result,
            () = overdue.as_mut() => Ok(()),
            () = stop.cancelled() => {
                served.as_mut().graceful_shutdown();
                // A connection that waits for a head, or sends one slowly, is not waited for.
                tokio::select! {
                    result = served.as_mut() => result,
                    () = overdue.as_mut() => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, %peer, "connection ended");
        }
        connection.count();
        stats.connections_open.fetch_sub(1, Relaxed);
    }
}

/// Whether an error of `accept` is about the connection that was to be accepted, not about this process.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn builder(config: &GatewayConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The connection's own watch does what hyper's timer would do with one timer for each request.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .keep_alive_interval(Some(Duration::from_secs(20)));
    builder
}
