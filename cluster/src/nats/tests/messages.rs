//! What an operator reads when NATS cannot be used: which server, what happened, what to do; and each of it once.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::log::Log;
use super::membership::quick;
use super::server::Server;
use super::{Process, config};
use crate::contract::membership::{host, joined, until};
use crate::contract::{gateways, name, revision};
use crate::embedded::DataDir;
use crate::nats::{Nats, NatsConfig, NatsGateways, NatsMembership, NatsRegistry};
use crate::{Gateways, Membership, Registry};

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

/// One user, `me`, who may do everything but this.
fn without(publish: &str) -> impl FnOnce(&str) -> String {
    let user = format!("users: [{{ user: me, password: p, permissions: {{ publish: {{ deny: [{publish}] }} }} }}]");
    move |store| format!("jetstream {{ store_dir: \"{store}\" }}\nauthorization {{ {user} }}")
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
    assert!(
        refused.contains(&format!("{}: the server refuses user `me` with the password", server.url())),
        "{refused}"
    );
    for secret in ["hunter2", "p@ss", "p%40ss"] {
        assert!(!refused.contains(secret) && !log.text().contains(secret), "{refused} {}", log.text());
    }
    let refused = first_start(config(&server)).await;
    let how = "asks for credentials: give a file with --nats-credentials, or user and password in the URL";
    assert!(refused.contains(how), "{refused}");
    assert_eq!(log.lines("NATS refuses this process").len(), 2, "once for each start: {}", log.text());
}

#[tokio::test]
async fn a_token_in_the_url_lets_in() {
    let server = Server::with(with_authorization("token: \"s3cr3t\""));
    Process::start(with_login("s3cr3t", &server)).await;
    let refused = first_start(with_login("an0ther", &server)).await;
    assert!(refused.contains("the server refuses the token in the URL") && !refused.contains("an0ther"), "{refused}");
}

#[tokio::test]
async fn one_login_is_enough() {
    let server = Server::start();
    let both = NatsConfig { credentials: Some("/nowhere/a.creds".into()), ..with_login("me:hunter2", &server) };
    let refused = Nats::connect(both).await.err().expect("a refusal").to_string();
    assert!(refused.contains("/nowhere/a.creds: use one of them") && !refused.contains("hunter2"), "{refused}");
}

#[tokio::test]
async fn a_first_start_without_a_server_names_those_that_were_tried_and_what_to_do() {
    let log = Log::begin();
    let mut server = Server::start();
    server.kill();
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let silent_url = format!("nats://{}", silent.local_addr().unwrap());
    // Longer than a name can be, so that nobody is asked for it.
    let nobody = format!("nats://{}:4222", "x".repeat(64));
    let servers = vec![server.url(), nobody.clone(), silent_url.clone()];
    let answer_timeout = Duration::from_millis(300);
    let refused = first_start(NatsConfig { servers, answer_timeout, ..config(&server) }).await;
    assert!(refused.starts_with("the registry is not available: NATS is away: "), "{refused}");
    let expected = [
        format!("{}: connection refused: does a NATS server run there, and is the address right?", server.url()),
        format!("{nobody}: its name does not resolve: is the address right?"),
        format!("{silent_url}: no answer in time: does a NATS server run there, and can it be reached from here?"),
    ];
    assert!(expected.iter().all(|text| refused.contains(text)), "{refused}");
    assert_eq!(log.lines("WARN").len(), 2, "that it is away, and that it goes on without: {}", log.text());
}

#[tokio::test]
async fn a_lost_connection_is_told_once() {
    let log = Log::begin();
    let mut server = Server::start();
    let process = Process::start(config(&server)).await;
    server.kill();
    log.says("the connection was lost").await;
    log.says("connection refused").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(log.lines("WARN").len(), 2, "{}", log.text());
    server.restart();
    let end = Instant::now() + Duration::from_secs(20);
    while log.lines("INFO samovar_cluster::nats::connection: NATS is there").len() < 2 {
        assert!(Instant::now() < end, "it is told that it is back: {}", log.text());
        sleep(Duration::from_millis(10)).await;
    }
    drop(process);
}

#[tokio::test]
async fn what_the_server_forbids_is_an_error_that_says_what_it_means() {
    let log = Log::begin();
    let server = Server::with(without("\"$KV.samovar_host.>\""));
    let known = NatsConfig { servers: with_login("me:p", &server).servers, ..quick(&server) };
    let membership = NatsMembership::open(&Nats::connect(known).await.unwrap(), None);
    let _lease = membership.join(host("h", 5)).await;
    log.says("forbids").await;
    sleep(Duration::from_secs(5)).await;
    let told = log.lines("$KV.samovar_host.h");
    assert_eq!(told.len(), 1, "it is tried again and again: {}", log.text());
    let means = "ERROR samovar_cluster::nats::link: the NATS server forbids this member something (hosts' leases and calls to \
                 drain are not stored: other members do not see this host)";
    assert!(told[0].contains(means), "{}", told[0]);
    assert!(membership.watch().borrow().members.is_empty());
    assert!(server.log().matches("Publish Violation").count() > 1, "{}", server.log());
}

#[tokio::test]
async fn a_first_start_that_is_forbidden_names_what_is() {
    let server = Server::with(without("\"$JS.API.>\""));
    let answer_timeout = Duration::from_millis(300);
    let refused = first_start(NatsConfig { answer_timeout, ..with_login("me:p", &server) }).await;
    assert!(refused.contains("the server forbids: Permissions Violation for Publish to \"$JS.API.INFO\""), "{refused}");
}

#[tokio::test]
async fn a_watch_that_fails_is_tried_more_and_more_rarely_and_told_once() {
    let log = Log::begin();
    let consumers = "$JS.API.CONSUMER.CREATE.KV_samovar_gateway";
    let forbidden = format!("\"{consumers}\", \"{consumers}.>\"");
    let mut server = Server::with(without(&forbidden));
    let answer_timeout = Duration::from_millis(200);
    let known = NatsConfig { servers: with_login("me:p", &server).servers, answer_timeout, ..quick(&server) };
    let nats = Nats::connect(known).await.unwrap();
    let process = NatsGateways::open(&nats);
    let membership = NatsMembership::open(&nats, None);
    let _lease = process.join(gateways::gateway("g", 1)).await;
    log.says("the watch failed").await;
    sleep(Duration::from_secs(12)).await;
    assert_eq!(log.lines("the watch failed").len(), 1, "{}", log.text());
    assert_eq!(log.lines("forbids").len(), 1, "{}", log.text());
    // 0.25 s, 0.5 s, 1 s, 2 s, 4 s and 5 s apart, with 0.2 s for the answer.
    let attempts = server.log().matches("CONSUMER.CREATE.KV_samovar_gateway").count();
    assert!((3..=7).contains(&attempts), "{attempts}: {}", server.log());
    // What is wrong with one bucket is that one's trouble alone.
    drop(joined(&membership, host("h", 5)).await);

    // A new connection is used at once, however long the pause is by now.
    server.kill();
    log.says("the connection was lost").await;
    let open = with_authorization("user: me, password: p")(server.store().to_str().unwrap());
    server.reconfigure(open);
    let end = Instant::now() + Duration::from_secs(20);
    while !nats.is_connected() {
        assert!(Instant::now() < end, "it connects again");
        sleep(Duration::from_millis(5)).await;
    }
    let since = Instant::now();
    until(&mut process.watch(), "the gateway is there", |table| !table.is_empty()).await;
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
}
