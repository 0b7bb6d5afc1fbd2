//! How to reach NATS, and how long to wait for it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::NatsError;
use super::servers::without_login;

/// A certificate and its key, as files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, followed by those that sign it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How to reach NATS. Made by [`NatsConfig::new`], changed by hand, checked by [`Nats::connect`](super::Nats::connect).
#[derive(Clone)]
pub struct NatsConfig {
    /// Addresses of the servers, as in `nats://10.0.0.1:4222` or `tls://…`; one that answers is enough. A login in the first
    /// that has one, as in `nats://user:password@…` or `nats://token@…`, is used for all.
    pub servers: Vec<String>,
    /// A credentials file (JWT and NKey seed). None by default.
    pub credentials: Option<PathBuf>,
    /// The certificate authority that signs the servers' certificates; giving it makes TLS a must. By default those that
    /// the system trusts.
    pub root_ca: Option<PathBuf>,
    /// What this process shows to servers that verify clients. None by default.
    pub client_certificate: Option<ClientCertificate>,
    /// What the names of buckets and streams begin with, so that several clusters can share a server: letters, digits
    /// and `-`. Default `samovar`.
    pub namespace: String,
    /// How many servers keep each bucket that is made: 1, 3 or 5. Default 1; 3 in production.
    pub replicas: usize,
    /// Where this process keeps which cluster it belongs to, over restarts; nowhere by default.
    pub data_dir: Option<PathBuf>,
    /// How long [`Nats::connect`](super::Nats::connect) waits for a first answer before it goes on without. Default 5 s.
    pub patience: Duration,
    /// The same where no server can be connected to at all. Default 5 s; a process that has something to serve without NATS waits
    /// for less.
    pub away_patience: Duration,
    /// How long one answer of NATS may take before the question is asked again. Default 2 s.
    pub answer_timeout: Duration,
    /// How long a commit may take altogether before its outcome is reported as unknown. Default 10 s.
    pub commit_timeout: Duration,
    /// How old an artifact that nothing refers to must be before it is removed: more than any deploy takes from upload to
    /// commit. Default 1 h.
    pub garbage_age: Duration,
    /// How long a lock outlives a holder that is gone. Default 60 s; the same in every process of a namespace.
    pub lock_expiry: Duration,
    /// How often a host or a gateway renews its lease. Default 3 s.
    pub host_renewal: Duration,
    /// After how much silence a host or a gateway is gone; suspect after half of it. Default 15 s.
    pub host_expiry: Duration,
}

/// Without the logins in the servers' addresses.
impl fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(|server| without_login(server)).collect();
        let Self { namespace, replicas, credentials, root_ca, client_certificate, data_dir, .. } = self;
        f.debug_struct("NatsConfig")
            .field("servers", &servers)
            .field("namespace", namespace)
            .field("replicas", replicas)
            .field("credentials", credentials)
            .field("root_ca", root_ca)
            .field("client_certificate", client_certificate)
            .field("data_dir", data_dir)
            .finish_non_exhaustive()
    }
}

impl NatsConfig {
    /// The defaults, for these servers.
    pub fn new(servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            credentials: None,
            root_ca: None,
            client_certificate: None,
            namespace: "samovar".to_owned(),
            replicas: 1,
            data_dir: None,
            patience: Duration::from_secs(5),
            away_patience: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(2),
            commit_timeout: Duration::from_secs(10),
            garbage_age: Duration::from_secs(3600),
            lock_expiry: Duration::from_secs(60),
            host_renewal: Duration::from_secs(3),
            host_expiry: Duration::from_secs(15),
        }
    }

    pub(super) fn check(&self) -> Result<(), NatsError> {
        let refuse = |text: String| Err(NatsError::Config(text));
        if self.servers.is_empty() {
            return refuse("no server is given: name at least one, as in `nats://10.0.0.1:4222`".to_owned());
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if self.namespace.is_empty() || self.namespace.len() > 32 || !self.namespace.bytes().all(allowed) {
            return refuse(format!("namespace `{}`: use 1 to 32 letters, digits and `-`", self.namespace));
        }
        if ![1, 3, 5].contains(&self.replicas) {
            return refuse(format!("{} replicas: use 1, 3 or 5", self.replicas));
        }
        if self.host_expiry < self.host_renewal * 3 {
            let (expiry, renewal) = (self.host_expiry, self.host_renewal);
            return refuse(format!("hosts expire after {expiry:?}: use at least 3 times {renewal:?}, their renewal"));
        }
        Ok(())
    }
}
