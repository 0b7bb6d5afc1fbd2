//! The clients of a host, with their pooled connections: HTTP/1.1, and HTTP/2 where a server with TLS offers it.

use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use wasmtime_wasi_http::WasiBody;

use super::connect::Connector;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// Connections to one destination that are kept while nobody uses them.
const MAX_IDLE: usize = 64;

pub(super) type Pool = Client<Connector, WasiBody>;

/// Sends requests over pooled connections. Shared by all functions of a host, cheap to clone.
///
/// Functions that may connect to private addresses have connections of their own: one that is open would serve others unchecked.
#[derive(Clone)]
pub(crate) struct OutboundClient {
    public: Pool,
    private: Pool,
}

impl OutboundClient {
    /// Trusts servers that Mozilla's list vouches for, or one of these certificates.
    ///
    /// # Errors
    /// When one of them cannot vouch for anybody.
    pub(crate) fn new(roots: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut trusted = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for root in roots {
            trusted.add(root.clone())?;
        }
        let provider = rustls::crypto::ring::default_provider();
        let tls = rustls::ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(trusted).with_no_client_auth();
        Ok(Self { public: pool(tls.clone(), false), private: pool(tls, true) })
    }

    pub(super) fn pool(&self, allow_private: bool) -> &Pool {
        if allow_private { &self.private } else { &self.public }
    }
}

fn pool(tls: rustls::ClientConfig, allow_private: bool) -> Pool {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(Connector::new(tls, allow_private))
}
