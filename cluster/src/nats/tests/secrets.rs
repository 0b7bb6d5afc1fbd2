//! Secrets: how fast they are everywhere, and what becomes of them while NATS is away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config;
use super::server::Server;
use crate::contract::secrets::{Backend, exposed, name, secret_tests, shown, value, vault};
use crate::embedded::DataDir;
use crate::nats::{Nats, NatsConfig, NatsSecrets};
use crate::secrets::{SecretError, SecretTable};
use crate::{Secrets, Vault};

const KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";

async fn open(config: NatsConfig, dir: &Path) -> Arc<dyn Secrets> {
    let dir = DataDir::open(dir).unwrap();
    Arc::new(NatsSecrets::open(&Nats::connect(config).await.unwrap(), &dir).await)
}

struct One(Server, tempfile::TempDir);

impl Backend for One {
    async fn new() -> Self {
        Self(Server::start(), tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Secrets> {
        open(config(&self.0), self.1.path()).await
    }
}

secret_tests!(One);

/// A process with a data directory of its own.
struct Process {
    store: Arc<dyn Secrets>,
    vault: Arc<Vault>,
    dir: tempfile::TempDir,
}

impl Process {
    async fn start(config: NatsConfig) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config).await
    }

    async fn start_in(dir: tempfile::TempDir, config: NatsConfig) -> Self {
        let store = open(config, dir.path()).await;
        Self { vault: vault(&store, KEY), store, dir }
    }
}

fn impatient(server: &Server) -> NatsConfig {
    NatsConfig { patience: Duration::from_millis(200), commit_timeout: Duration::from_secs(1), ..config(server) }
}

#[tokio::test]
async fn a_new_value_is_read_everywhere_within_a_second() {
    let server = Server::start();
    let (one, two) = (Process::start(config(&server)).await, Process::start(config(&server)).await);
    let mut slowest = Duration::ZERO;
    for version in 1..=20 {
        let text = version.to_string();
        one.vault.set(&name("A"), &value(&text)).await.unwrap();
        let since = Instant::now();
        shown(&two.store, "A", version).await;
        slowest = slowest.max(since.elapsed());
        assert_eq!(exposed(&two.vault, "A").unwrap(), text);
    }
    println!("at most {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test]
async fn processes_that_write_one_name_at_once_lose_no_write() {
    let server = Server::start();
    let (one, two) = (Process::start(config(&server)).await, Process::start(config(&server)).await);
    let write = |process: &Process| {
        let vault = process.vault.clone();
        tokio::spawn(async move {
            let mut given = Vec::new();
            for _ in 0..10 {
                given.push(vault.set(&name("A"), &value("x")).await.unwrap());
            }
            given
        })
    };
    let (one, two) = (write(&one), write(&two));
    let mut given = [one.await.unwrap(), two.await.unwrap()].concat();
    given.sort_unstable();
    assert_eq!(given, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn while_nats_is_away_the_last_known_values_are_read_also_after_a_restart() {
    let mut server = Server::start();
    let process = Process::start(impatient(&server)).await;
    process.vault.set(&name("A"), &value("sk_live_51H8")).await.unwrap();
    let file = process.dir.path().join("secrets.json");
    let written = async {
        while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"A\"")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("the table is kept");
    server.kill();
    assert_eq!(exposed(&process.vault, "A").unwrap(), "sk_live_51H8");
    let refused = process.vault.set(&name("A"), &value("later")).await;
    assert!(matches!(refused, Err(SecretError::Unavailable(_))), "{refused:?}");

    let Process { dir, store, vault } = process;
    drop((store, vault));
    let process = Process::start_in(dir, impatient(&server)).await;
    assert_eq!(exposed(&process.vault, "A").unwrap(), "sk_live_51H8");
    server.restart();
    assert_eq!(set_when_back(&process.vault, "two").await, 2);
    assert_eq!(exposed(&process.vault, "A").unwrap(), "two");
}

/// Sets a secret as soon as NATS is back; answers its version.
async fn set_when_back(vault: &Vault, text: &str) -> u64 {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match vault.set(&name("A"), &value(text)).await {
            Ok(version) => return version,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn before_nats_has_told_no_secret_is_said_to_be_missing() {
    let mut server = Server::start();
    let process = Process::start(config(&server)).await;
    process.vault.set(&name("A"), &value("one")).await.unwrap();
    drop(process);
    server.kill();
    let process = Process::start(impatient(&server)).await;
    let refused = exposed(&process.vault, "A");
    assert!(matches!(refused, Err(SecretError::Unavailable(_))), "{refused:?}");
    server.restart();
    shown(&process.store, "A", 1).await;
    assert_eq!(exposed(&process.vault, "A").unwrap(), "one");
    assert_eq!(exposed(&process.vault, "B"), Err(SecretError::NotSet(name("B"))));
}

#[tokio::test]
async fn neither_nats_nor_a_member_has_a_value_on_disk() {
    let server = Server::start();
    let process = Process::start(config(&server)).await;
    process.vault.set(&name("A"), &value("sk_live_51H8")).await.unwrap();
    let mut watch = process.store.watch();
    let table: Arc<SecretTable> = watch.borrow_and_update().clone();
    assert!(table.is_known && !format!("{table:?}").contains("sk_live"));
    let mut seen = 0;
    for dir in [server.store(), process.dir.path().to_owned()] {
        for bytes in files(&dir) {
            assert!(!bytes.windows(8).any(|part| part == b"sk_live_"));
            seen += usize::from(bytes.windows(6).any(|part| part == b"sealed"));
        }
    }
    assert!(seen > 0, "the record was not found at all");
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { vec![std::fs::read(path).unwrap()] };
    entries.flat_map(read).collect()
}
