//! Who is let in by a login in the URL, and that it is told to nobody.

use std::time::Duration;

use super::log::Log;
use super::server::Server;
use super::{Process, config};
use crate::Registry;
use crate::contract::{name, revision};
use crate::embedded::DataDir;
use crate::nats::{Nats, NatsConfig, NatsRegistry};

/// What the first start of a process ends with.
async fn first_start(config: NatsConfig) -> String {
    let dir = tempfile::tempdir().unwrap();
    let impatient = NatsConfig { patience: Duration::from_millis(1500), ..config };
    let nats = match Nats::connect(impatient).await {
        Ok(nats) => nats,
        Err(refused) => return refused.to_string(),
    };
    let registry = NatsRegistry::open(&nats, &DataDir::open(dir.path()).unwrap()).await;
    registry.err().expect("it does not start").to_string()
}

fn at(url: String, server: &Server) -> NatsConfig {
    NatsConfig { servers: vec![url], ..config(server) }
}

fn with_login(login: &str, server: &Server) -> NatsConfig {
    at(server.url().replace("nats://", &format!("nats://{login}@")), server)
}

fn with_authorization(lines: &'static str) -> impl FnOnce(&str) -> String {
    move |store| format!("jetstream {{ store_dir: \"{store}\" }}\nauthorization {{ {lines} }}")
}

#[tokio::test]
async fn a_login_in_the_url_lets_in_and_is_told_to_nobody() {
    let log = Log::begin();
    let server = Server::with(with_authorization("user: \"me\", password: \"p@ss/wörd\""));
    let known = with_login("me:p%40ss%2Fw%C3%B6rd", &server);
    assert!(!format!("{known:?}").contains("p%40ss"), "{known:?}");
    let process = Process::start(known.clone()).await;
    let a = name("a");
    process.registry.deploy(&a, revision(&a, 1)).await.unwrap();
    // The first of several counts for all.
    let servers = vec!["nats://127.0.0.1:1".to_owned(), known.servers[0].clone(), server.url()];
    Process::start(NatsConfig { servers, ..known }).await;

    let refused = first_start(with_login("me:hunter2", &server)).await;
    for secret in ["hunter2", "p@ss", "p%40ss"] {
        assert!(!refused.contains(secret) && !log.text().contains(secret), "{refused} {}", log.text());
    }
}

#[tokio::test]
async fn a_token_in_the_url_lets_in() {
    let server = Server::with(with_authorization("token: \"s3cr3t\""));
    Process::start(with_login("s3cr3t", &server)).await;
    let refused = first_start(with_login("an0ther", &server)).await;
    assert!(!refused.contains("an0ther"), "{refused}");
}

#[tokio::test]
async fn one_login_is_enough() {
    let server = Server::start();
    let both = NatsConfig { credentials: Some("/nowhere/a.creds".into()), ..with_login("me:hunter2", &server) };
    let refused = Nats::connect(both).await.err().expect("a refusal").to_string();
    assert!(refused.contains("/nowhere/a.creds: use one of them") && !refused.contains("hunter2"), "{refused}");
}
