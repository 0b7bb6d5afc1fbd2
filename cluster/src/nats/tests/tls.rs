//! A server that speaks TLS alone and asks clients for a certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::config;
use super::server::Server;
use crate::nats::{ClientCertificate, Nats, NatsConfig, NatsError};

/// An authority's certificate, and one that it signed with its key, as files.
struct Certificates {
    authority: PathBuf,
    signed: ClientCertificate,
}

impl Certificates {
    fn make(dir: &Path, name: &str) -> Self {
        let write = |what: &str, text: String| {
            let path = dir.join(format!("{name}-{what}.pem"));
            std::fs::write(&path, text).unwrap();
            path
        };
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let signed = params.signed_by(&key, &authority).unwrap();
        let certificate = write("certificate", signed.pem());
        let signed = ClientCertificate { certificate, key: write("key", key.serialize_pem()) };
        Self { authority: write("authority", authority.pem()), signed }
    }
}

#[tokio::test]
async fn server_and_client_know_each_other_by_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Certificates::make(dir.path(), "ours"), Certificates::make(dir.path(), "theirs"));
    let path = |path: &Path| path.display().to_string();
    let (certificate, key) = (path(&ours.signed.certificate), path(&ours.signed.key));
    let authority = path(&ours.authority);
    let server = Server::with(|store| {
        format!(
            "jetstream {{ store_dir: \"{store}\" }}\ntls {{ cert_file: \"{certificate}\", key_file: \"{key}\", \
             ca_file: \"{authority}\", verify: true }}"
        )
    });
    let known = NatsConfig {
        root_ca: Some(ours.authority),
        client_certificate: Some(ours.signed),
        patience: Duration::from_secs(10),
        ..config(&server)
    };
    Nats::connect(known.clone()).await.unwrap().ready().await.unwrap();
    let impatient = NatsConfig { patience: Duration::from_secs(1), ..known };
    let strangers = [
        (NatsConfig { root_ca: Some(theirs.authority), ..impatient.clone() }, "is not trusted"),
        (
            NatsConfig { client_certificate: Some(theirs.signed), ..impatient.clone() },
            "another certificate than that of",
        ),
        (
            NatsConfig { client_certificate: None, ..impatient.clone() },
            "a certificate: give --nats-cert and --nats-key",
        ),
        // Without anything: the server says that it speaks TLS, and the system trusts nobody who signed its certificate.
        (NatsConfig { client_certificate: None, root_ca: None, ..impatient.clone() }, "with --nats-ca"),
    ];
    for (stranger, words) in strangers {
        let refused = Nats::connect(stranger).await.unwrap().ready().await;
        assert!(matches!(&refused, Err(NatsError::Away(text)) if text.contains(words)), "{words}: {refused:?}");
    }
    let plain = Server::start();
    let refused = Nats::connect(NatsConfig { servers: vec![plain.url()], ..impatient }).await.unwrap().ready().await;
    let words = "the server does not speak TLS, which tls://, --nats-ca and --nats-cert ask for";
    assert!(matches!(&refused, Err(NatsError::Away(text)) if text.contains(words)), "{refused:?}");
}
