//! What makes a process a member of its cluster: the secret that all share, or a certificate of the cluster's authority, or both.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::hmac;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The least that a secret has: what can be guessed is none.
const MIN_SECRET_BYTES: usize = 16;

/// What is spoken inside TLS (RFC 7301).
const ALPN: &[u8] = b"h2";

/// Why a process cannot be a member.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither a secret nor certificates.
    #[error(
        "members of a cluster need a secret that all of them share, or certificates: give --cluster-secret-file with a file \
         made by `openssl rand -hex 32`, the same on every member (or the secret itself in SAMOVAR_CLUSTER_SECRET), or \
         --cluster-ca, --cluster-cert and --cluster-key"
    )]
    Nothing,
    /// The secret could be guessed.
    #[error(
        "the cluster secret has {0} bytes, and needs {MIN_SECRET_BYTES} or more: make one with `openssl rand -hex 32`"
    )]
    ShortSecret(usize),
    /// A file cannot be used.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate and its key cannot be used together.
    #[error("the cluster's certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// The files of mutual TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that signs every member's certificate, and nobody else's.
    pub authority: PathBuf,
    /// This member's certificate, followed by those between it and the authority. A host's names its advertised address.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What this process proves itself with. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    /// The first proves this process; any of them proves the other end. Empty where certificates are proof enough.
    secrets: Arc<[Secret]>,
    tls: Option<Tls>,
}

#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) connector: TlsConnector,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("secrets", &self.secrets.len()).field("tls", &self.tls.is_some()).finish()
    }
}

impl Identity {
    /// From the secret's text and the files of mutual TLS. A text of several lines has several secrets: the first is this
    /// process's own, and those of others may be any of them, so that a cluster can change its secret while it runs.
    ///
    /// # Errors
    /// When there is neither, or one cannot be used.
    pub fn new(secret: Option<&str>, tls: Option<&TlsFiles>) -> Result<Self, IdentityError> {
        if secret.is_none() && tls.is_none() {
            return Err(IdentityError::Nothing);
        }
        let lines = secret.into_iter().flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty());
        let secrets: Arc<[_]> = lines.map(Secret::new).collect::<Result<_, _>>()?;
        if secret.is_some() && secrets.is_empty() {
            return Err(IdentityError::ShortSecret(0));
        }
        Ok(Self { secrets, tls: tls.map(Tls::read).transpose()? })
    }

    /// Signs a word that only members are to be able to make, as for a cookie; `None` where the cluster has no secret.
    /// Signatures for different purposes are not taken for each other.
    pub fn sign(&self, purpose: &str, word: &str) -> Option<String> {
        self.prove(&format!("samovar {purpose}\n{word}"))
    }

    /// Whether a member has signed the word for this purpose.
    pub fn verify(&self, purpose: &str, word: &str, signature: &str) -> bool {
        self.is_proof(&format!("samovar {purpose}\n{word}"), signature)
    }

    /// Whether the cluster has a secret.
    pub(crate) fn has_secret(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// This process's proof over the words, where the cluster has a secret.
    pub(crate) fn prove(&self, words: &str) -> Option<String> {
        Some(self.secrets.first()?.sign(words.as_bytes()))
    }

    /// Whether whoever made the proof knows one of the secrets.
    pub(crate) fn is_proof(&self, words: &str, proof: &str) -> bool {
        self.secrets.iter().any(|secret| secret.verify(words.as_bytes(), proof))
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

/// The secret as a key.
pub(crate) struct Secret(hmac::Key);

impl Secret {
    fn new(text: &str) -> Result<Self, IdentityError> {
        let bytes = text.as_bytes();
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(IdentityError::ShortSecret(bytes.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    pub(crate) fn sign(&self, words: &[u8]) -> String {
        hex::encode(hmac::sign(&self.0, words))
    }

    /// In constant time.
    pub(crate) fn verify(&self, words: &[u8], proof: &str) -> bool {
        hex::decode(proof).is_ok_and(|proof| hmac::verify(&self.0, words, &proof).is_ok())
    }
}

impl Tls {
    fn read(files: &TlsFiles) -> Result<Self, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.authority)? {
            roots.add(certificate)?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, &error))?;
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&roots));
        let mut client = client.with_client_auth_cert(chain.clone(), key.clone_key())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| unusable(&files.authority, &error))?;
        let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut server = server.with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        server.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(unusable(path, &"no certificate in it"));
    }
    Ok(certificates)
}

fn unusable(path: &Path, reason: &impl fmt::Display) -> IdentityError {
    IdentityError::File { path: path.to_owned(), reason: reason.to_string() }
}
