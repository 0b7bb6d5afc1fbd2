//! Servers on this machine for functions to call: one that answers, and one that never does.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;

/// Answers every request, with status 203 and `backend says PATH` unless its path asks for something else:
///
/// | path | answer |
/// | --- | --- |
/// | `/version` | the version of HTTP that it came by |
/// | `/sized/N`, `/bytes/N` | N bytes, with their number in the head, and without |
/// | `/hold/MS` | the usual one, after so long |
/// | `/stall` | half of one |
/// | `/status/NUMBER` | the usual one, with this status |
/// | `/redirect/URL` | the usual one, with status 302 and this `location` |
/// | `/close` | the usual one, and the connection's end |
///
/// Dropping it stops it.
pub struct Backend {
    address: SocketAddr,
    scheme: &'static str,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
    /// The certificate of the authority that vouches for it.
    authority: Option<NamedTempFile>,
}

impl Backend {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        Self::begin(None, None).await
    }

    /// Starts one with TLS on a free port, whose certificate is from an authority of its own. It offers these versions of HTTP, as
    /// ALPN names them.
    pub async fn secure(versions: &[&str]) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("valid");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = rcgen::CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let params = rcgen::CertificateParams::new(names).expect("valid names");
        let certificate = params.signed_by(&key, &authority).expect("a certificate").der().clone();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions of TLS");
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut config = config.expect("a key that belongs to its certificate");
        config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
        let file = NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), authority.pem()).expect("it can be written");
        Self::begin(Some(TlsAcceptor::from(Arc::new(config))), Some(file)).await
    }

    async fn begin(tls: Option<TlsAcceptor>, authority: Option<NamedTempFile>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let accepting = tokio::spawn({
            let connections = Arc::clone(&connections);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let tls = tls.clone();
                    tokio::spawn(async move {
                        match tls {
                            None => serve(TokioIo::new(stream)).await,
                            Some(tls) => {
                                // A client that does not trust it hangs up.
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(TokioIo::new(stream)).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self { address, scheme, connections, accepting, authority }
    }

    /// Its scheme, address and port.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate of the authority that vouches for it, in PEM.
    pub fn authority(&self) -> &Path {
        self.authority.as_ref().expect("it was started with TLS").path()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(stream: impl Read + Write + Send + Unpin + 'static) {
    let builder = auto::Builder::new(TokioExecutor::new());
    // A caller that hangs up is no error here.
    drop(builder.serve_connection(stream, service_fn(answer)).await);
}

type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
    let path = request.uri().path();
    let (what, number) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    let number = || number.parse::<usize>().expect("a number");
    let mut response = match what {
        "version" => whole(format!("{:?}", request.version())),
        "sized" => whole("x".repeat(number())),
        "bytes" => {
            let pieces = std::iter::repeat_n(Bytes::from_static(&[b'x'; 1000]), number() / 1000);
            pieced(stream::iter(pieces))
        }
        "stall" => pieced(stream::iter([Bytes::from_static(b"half")]).chain(stream::pending())),
        "hold" => {
            tokio::time::sleep(Duration::from_millis(number() as u64)).await;
            whole(format!("backend says {path}"))
        }
        _ => whole(format!("backend says {path}")),
    };
    if what == "close" {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let asked = path.strip_prefix("/status/").and_then(|number| number.parse().ok());
    *response.status_mut() = asked.unwrap_or(StatusCode::NON_AUTHORITATIVE_INFORMATION);
    if let Some(url) = path.strip_prefix("/redirect/") {
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(header::LOCATION, url.parse().expect("a url"));
    }
    Ok(response)
}

fn whole(text: String) -> Response<AnswerBody> {
    Response::new(Full::new(Bytes::from(text)).boxed_unsync())
}

fn pieced(pieces: impl stream::Stream<Item = Bytes> + Send + 'static) -> Response<AnswerBody> {
    Response::new(StreamBody::new(pieces.map(|piece| Ok(Frame::data(piece)))).boxed_unsync())
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections and never answers. Dropping it stops it.
pub struct Silent {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Silent {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let accepting = tokio::spawn({
            let (open, most) = (Arc::clone(&open), Arc::clone(&most));
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    most.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    let open = Arc::clone(&open);
                    tokio::spawn(async move {
                        // Whether it ends well or not, it ends.
                        drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
                        open.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
        });
        Self { address, open, most, accepting }
    }

    /// Its address and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections are open to it.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How many were open at once at the most.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
