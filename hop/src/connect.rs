//! The caller's end of a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::Builder;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use rustls::pki_types::ServerName;
use samovar_model::HostId;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::{SendError, Sender, Shared};
use crate::drive::drive;
use crate::greeting::{
    End, HELLO_PATH, Hello, MAX_GREETING_BYTES, PROOF_PATH, PROTOCOL, Proof, Welcome, holds, nonce, prove,
};
use crate::identity::Identity;
use crate::pings;
use crate::stream::Stream;

/// What of a body may be under way unread, at both ends. One reader that is slow stops its own body.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 128 << 10;
/// The most that there is: the sum of the streams' windows is the bound, so that slow readers do not stop the others. The budget
/// of small frames is half of it.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// Requests that were given up, and whose answers may still be on their way.
const GIVEN_UP_STREAMS: usize = 10_000;

/// Requests at once on a connection whose host has not told yet how many it takes.
const FIRST_STREAMS: usize = 1_000;

/// Why there is no connection to a host.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody is there, or the way is broken.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It does not answer in time.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// It broke while it was set up.
    #[error("the connection broke: {0}")]
    Broken(#[from] h2::Error),
    /// Whoever answers is no host of this cluster, or takes this process for none of it.
    #[error("not of this cluster: {0}")]
    Stranger(String),
}

/// Makes connections to hosts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    identity: Identity,
    /// How long a connection may take until the first request can be sent on it. Default 2 s.
    pub timeout: Duration,
    /// How often the other end is asked for a sign of life. Default 500 ms.
    pub ping_interval: Duration,
    /// How long that may take before the connection is given up, and all requests on it. Default 1 s.
    pub ping_timeout: Duration,
}

/// A connection to one run of one host.
pub struct Link {
    /// Sends requests.
    pub sender: Sender,
    /// What the host told of itself.
    pub welcome: Welcome,
    /// Ends when the connection does.
    pub closed: JoinHandle<()>,
}

impl Connector {
    /// With the defaults.
    pub fn new(identity: Identity) -> Self {
        let seconds = Duration::from_secs;
        let ping_interval = Duration::from_millis(500);
        Self { identity, timeout: seconds(2), ping_interval, ping_timeout: seconds(1) }
    }

    /// What connections are proven with.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Connects to a host's advertised address, as in `10.0.0.7:7070`. The connection is driven by a task of its own.
    ///
    /// Another host that is there gets no proof: it could hand it on to the one that it is meant for.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self, address: &str, expected: &HostId) -> Result<Link, ConnectError> {
        let connected = tokio::time::timeout(self.timeout, self.connect_slowly(address, expected)).await;
        connected.map_err(|_| ConnectError::Slow(self.timeout))?
    }

    async fn connect_slowly(&self, address: &str, expected: &HostId) -> Result<Link, ConnectError> {
        let stream = self.stream(address).await?;
        let (h2, mut connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .data_frame_budget(CONNECTION_WINDOW_BYTES as usize)
            .initial_max_send_streams(FIRST_STREAMS)
            .max_concurrent_reset_streams(GIVEN_UP_STREAMS)
            .max_local_error_reset_streams(None)
            .handshake::<_, Bytes>(stream)
            .await?;
        let shared = Arc::new(Shared::default());
        let sender = Sender::new(h2, Arc::clone(&shared));
        let silent = pings::unanswered(connection.ping_pong(), self.ping_interval, self.ping_timeout);
        let closed = tokio::spawn(async move {
            drive(connection, &shared, silent).await;
            shared.end();
        });
        let welcome = self.greet(&sender, address, expected).await?;
        Ok(Link { sender, welcome, closed })
    }

    async fn stream(&self, address: &str) -> Result<Stream, ConnectError> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = self.identity.tls() else { return Ok(Stream::Plain(tcp)) };
        let name = address.rsplit_once(':').map_or(address, |(name, _)| name).trim_matches(['[', ']']);
        let stranger = |error: &dyn std::fmt::Display| ConnectError::Stranger(format!("{name}: {error}"));
        let server = ServerName::try_from(name.to_owned()).map_err(|error| stranger(&error))?;
        let connected = tls.connector.connect(server, tcp).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => stranger(&error),
            _ => ConnectError::Io(error),
        })?;
        Ok(Stream::Connected(Box::new(connected)))
    }

    /// Proves this process to the host, and has the host prove itself.
    async fn greet(&self, sender: &Sender, address: &str, expected: &HostId) -> Result<Welcome, ConnectError> {
        let hello = nonce();
        let answer = call(sender, address, HELLO_PATH, &Hello { nonce: hello.clone() }).await?;
        let welcome: Welcome = serde_json::from_slice(&answer)
            .map_err(|error| ConnectError::Stranger(format!("its greeting cannot be read: {error}")))?;
        if welcome.protocol != PROTOCOL {
            let (theirs, version) = (welcome.protocol, &welcome.version);
            return Err(ConnectError::Stranger(format!(
                "it speaks protocol {theirs} (Samovar {version}), and this process {PROTOCOL}: run versions that are closer"
            )));
        }
        if !holds(&self.identity, End::Host, &hello, &welcome, welcome.proof.as_deref()) {
            return Err(ConnectError::Stranger(format!("{} has another cluster secret", welcome.host)));
        }
        if welcome.host != *expected {
            return Err(ConnectError::Stranger(format!("host `{}` is there", welcome.host)));
        }
        let proof = Proof { proof: prove(&self.identity, End::Member, &hello, &welcome) };
        call(sender, address, PROOF_PATH, &proof).await?;
        Ok(welcome)
    }
}

async fn call(
    sender: &Sender,
    address: &str,
    path: &str,
    words: &impl serde::Serialize,
) -> Result<Bytes, ConnectError> {
    let stranger = |why: String| ConnectError::Stranger(why);
    let json = serde_json::to_vec(words).map_err(|error| stranger(error.to_string()))?;
    let request = Request::post(format!("http://{address}{path}")).body(Full::<Bytes>::from(json));
    let request = request.map_err(|error| stranger(format!("address `{address}`: {error}")))?;
    let answer = sender.send(request).await.map_err(|error| match error {
        SendError::Unsent(error) | SendError::Unfit(error) | SendError::Lost(error) => ConnectError::Broken(error),
    })?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_GREETING_BYTES).collect().await;
    let body = body.map_err(|error| stranger(format!("its greeting: {error}")))?.to_bytes();
    match status {
        StatusCode::OK => Ok(body),
        StatusCode::UNAUTHORIZED => Err(stranger("it does not take this process's proof".to_owned())),
        status => Err(stranger(format!("it answered the greeting with {status}"))),
    }
}
