//! A server in operator mode, where accounts and users are JWTs signed with NKeys, and clients show credentials files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::config;
use super::server::Server;
use crate::contract::{name, revision, store};
use crate::embedded::DataDir;
use crate::nats::connection::Link;
use crate::nats::{Nats, NatsArtifacts, NatsConfig, NatsError, NatsRegistry};
use crate::{NewRevision, Registry as _, garbage};

/// A JWT as NATS reads it: what `issuer` claims of `subject`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: Value) -> String {
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(), "name": name, "nats": nats
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

/// An operator with one account for Samovar, and one for the server itself.
struct Operator {
    account: KeyPair,
    /// What makes a server work for this operator.
    config: String,
}

impl Operator {
    fn new() -> Self {
        let (operator, account, system) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        let claims = json!({"type": "operator", "version": 2, "system_account": system.public_key()});
        let own = jwt(&operator, &operator, "operator", claims);
        let limits = |storage: i64| {
            json!({
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
                "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage
            })
        };
        let claims = |storage| json!({"type": "account", "version": 2, "limits": limits(storage)});
        let accounts = [(&account, -1), (&system, 0)].map(|(account, storage)| {
            let public = account.public_key();
            format!("{public}: {}", jwt(&operator, account, &public, claims(storage)))
        });
        let config = format!(
            "operator: {own}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {} }}",
            system.public_key(),
            accounts.join(", ")
        );
        Self { account, config }
    }

    fn server(&self) -> Server {
        Server::with(|store| format!("jetstream {{ store_dir: \"{store}\" }}\n{}", self.config))
    }

    /// A credentials file for a new user of the account.
    fn credentials(&self, dir: &Path, name: &str) -> PathBuf {
        let user = KeyPair::new_user();
        let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let jwt = jwt(&self.account, &user, name, claims);
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        );
        let path = dir.join(format!("{name}.creds"));
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[tokio::test]
async fn a_user_of_the_operator_is_let_in() {
    let operator = Operator::new();
    let (server, dir) = (operator.server(), tempfile::tempdir().unwrap());
    let credentials = Some(operator.credentials(dir.path(), "known"));
    let nats = Nats::connect(NatsConfig { credentials, ..config(&server) }).await.unwrap();
    let (data, a) = (DataDir::open(dir.path()).unwrap(), name("a"));
    let artifacts = NatsArtifacts::open(&nats, &data).unwrap();
    let registry = NatsRegistry::open(&nats, &data).await.unwrap();
    let artifact = store(&artifacts, b"component").await;
    registry.deploy(&a, NewRevision { artifact, ..revision(&a, 1) }).await.unwrap();
    assert_eq!(garbage::collect(&registry, &artifacts).await.unwrap().kept, BTreeSet::from([artifact]));
}

#[tokio::test]
async fn anybody_else_is_refused_in_words_that_help() {
    let (operator, other) = (Operator::new(), Operator::new());
    let (server, dir) = (operator.server(), tempfile::tempdir().unwrap());
    let stranger = other.credentials(dir.path(), "stranger");
    let words =
        format!("the server refuses the credentials in {} (--nats-credentials): give those", stranger.display());
    let none = "the server asks for credentials: give a file with --nats-credentials, or user and password in the URL";
    for (credentials, words) in [(Some(stranger), words.as_str()), (None, none)] {
        let impatient = NatsConfig { credentials, patience: Duration::from_secs(2), ..config(&server) };
        let refused = Nats::connect(impatient).await.err().expect("a refusal");
        assert!(matches!(refused, NatsError::Refused(_)), "{refused:?}");
        let expected = format!("NATS refuses this process: {}: {words}", server.url());
        assert!(refused.to_string().starts_with(&expected), "{refused}");
    }
}

#[tokio::test]
async fn a_file_without_credentials_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.creds");
    std::fs::write(&path, "nothing").unwrap();
    let config = NatsConfig { credentials: Some(path.clone()), ..NatsConfig::new(["nats://127.0.0.1:1"]) };
    let refused = Nats::connect(config).await.err().expect("a refusal");
    assert!(matches!(&refused, NatsError::Config(text) if text.contains(path.to_str().unwrap())), "{refused}");
}

#[tokio::test]
async fn a_process_whose_server_does_not_know_it_any_more_is_let_in_again_once_it_does() {
    let operator = Operator::new();
    let (mut server, dir) = (operator.server(), tempfile::tempdir().unwrap());
    let credentials = Some(operator.credentials(dir.path(), "known"));
    let nats = Nats::connect(NatsConfig { credentials, ..config(&server) }).await.unwrap();
    let known = server.reconfigure(Operator::new().config);
    let mut link = nats.link();
    link.wait_for(|link| matches!(link, Link::Refused(_))).await.unwrap();
    assert!(matches!(nats.ready().await, Err(NatsError::Refused(_))));
    server.reconfigure(known);
    link.wait_for(|link| matches!(link, Link::Connected(_))).await.unwrap();
}
