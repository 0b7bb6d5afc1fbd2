//! Which servers are refused, and with which words.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::config;
use super::server::Server;
use crate::nats::{Nats, NatsConfig, NatsError};

async fn refusal(config: NatsConfig) -> String {
    Nats::connect(config).await.err().expect("a refusal").to_string()
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused() {
    let server = Server::with(|_| String::new());
    let text = refusal(config(&server)).await;
    assert!(text.starts_with("the NATS server has no JetStream") && text.contains("start it with"), "{text}");
}

#[tokio::test]
async fn an_old_server_is_refused() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let info = "{\"server_id\":\"X\",\"version\":\"2.9.10\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}";
        client.write_all(format!("INFO {info}\r\nPONG\r\n").as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let text = refusal(NatsConfig::new([format!("nats://127.0.0.1:{port}")])).await;
    server.abort();
    assert_eq!(text, "NATS server version 2.9.10 is too old: Samovar needs 2.12.0 or later; upgrade the server");
}

#[tokio::test]
async fn a_bucket_that_is_set_up_differently_is_refused() {
    let server = Server::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let other = stream::Config {
        name: "KV_samovar_fn".to_owned(),
        subjects: vec!["$KV.samovar_fn.>".to_owned()],
        max_messages_per_subject: 1,
        ..Default::default()
    };
    jetstream::new(client).create_stream(other).await.unwrap();
    let text = refusal(config(&server)).await;
    assert!(text.starts_with("stream KV_samovar_fn is not set up as Samovar needs it (messages per"), "{text}");
}

#[tokio::test]
async fn two_clusters_share_a_server_by_namespaces() {
    let server = Server::start();
    for namespace in ["blue", "green", "blue"] {
        Nats::connect(NatsConfig { namespace: namespace.to_owned(), ..config(&server) }).await.unwrap();
    }
}

#[tokio::test]
async fn a_configuration_without_sense_is_refused_with_its_value() {
    let server = NatsConfig::new(["nats://127.0.0.1:1"]);
    assert!(refusal(NatsConfig::new([] as [String; 0])).await.contains("no server is given"));
    assert!(refusal(NatsConfig { replicas: 2, ..server.clone() }).await.contains("2 replicas"));
    assert!(refusal(NatsConfig { namespace: "a.b".to_owned(), ..server.clone() }).await.contains("`a.b`"));
    let credentials = Some("/nowhere/a.creds".into());
    assert!(refusal(NatsConfig { credentials, ..server }).await.contains("/nowhere/a.creds"));
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_only_so_long() {
    let away = NatsConfig { patience: Duration::from_millis(200), ..NatsConfig::new(["nats://127.0.0.1:1"]) };
    let nats = Nats::connect(away).await.unwrap();
    assert!(!nats.is_connected());
    assert!(matches!(nats.ready().await, Err(NatsError::Away(_))));
}

#[tokio::test]
async fn one_server_of_several_is_enough() {
    let server = Server::start();
    let servers = vec!["nats://127.0.0.1:1".to_owned(), server.url()];
    Nats::connect(NatsConfig { servers, ..config(&server) }).await.unwrap().ready().await.unwrap();
}
