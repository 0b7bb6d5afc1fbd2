//! The contracts against a real server, and what is this backend's own.

mod artifacts;
mod connection;
mod credentials;
mod garbage;
mod gateways;
mod identity;
mod jobs;
mod key_value;
mod log;
mod membership;
mod messages;
mod peers;
mod proxy;
mod queues;
mod registry;
mod secrets;
mod server;
mod sizes;
mod three;
mod tls;
mod uploading;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use self::server::Server;
use self::uploading::Uploading;
use super::{Nats, NatsArtifacts, NatsConfig};
use crate::contract::{self, Backend, contract_tests};
use crate::embedded::DataDir;
use crate::{Artifacts, Registry, RegistryError};

fn config(server: &Server) -> NatsConfig {
    NatsConfig { garbage_age: Duration::ZERO, patience: Duration::from_secs(20), ..NatsConfig::new([server.url()]) }
}

/// One server, and one process after the other with the same data directory.
struct One {
    server: Server,
    dir: tempfile::TempDir,
}

impl Backend for One {
    fn new() -> Self {
        Self { server: Server::start(), dir: tempfile::tempdir().unwrap() }
    }

    async fn open(&self) -> (Arc<dyn Registry>, Arc<dyn Artifacts>) {
        let nats = Nats::connect(config(&self.server)).await.unwrap();
        let dir = DataDir::open(self.dir.path()).unwrap();
        (Arc::new(Uploading::open(&nats, &dir).await.unwrap()), Arc::new(NatsArtifacts::open(&nats, &dir).unwrap()))
    }
}

/// A process with a data directory and a connection of its own.
struct Process {
    registry: Arc<Uploading>,
    dir: tempfile::TempDir,
}

impl Process {
    async fn start(config: NatsConfig) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config).await.unwrap()
    }

    async fn start_in(dir: tempfile::TempDir, config: NatsConfig) -> Result<Self, RegistryError> {
        let nats = Nats::connect(config).await.unwrap();
        let registry = Uploading::open(&nats, &DataDir::open(dir.path()).unwrap()).await?;
        Ok(Self { registry: Arc::new(registry), dir })
    }

    fn stop(self) -> tempfile::TempDir {
        self.dir
    }
}

mod one {
    use super::*;

    contract_tests!(One);

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_registry_follows_its_model(steps in contract::steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(contract::the_registry_follows_its_model(&One::new(), steps));
        }
    }
}
