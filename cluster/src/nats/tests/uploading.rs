//! A registry whose deploys find their artifact in the object store: no test of it reads one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_nats::jetstream::object_store::ObjectInfo;
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use samovar_model::{Digest, FunctionName, RevisionNumber};
use tokio::sync::watch;

use crate::embedded::DataDir;
use crate::nats::{Nats, NatsRegistry, record};
use crate::{Deployment, NewRevision, Registry, RegistryError, Settled, Snapshot};

pub(super) struct Uploading {
    pub(super) registry: NatsRegistry,
    nats: Nats,
    /// What is known to be in the object store.
    there: Mutex<BTreeSet<Digest>>,
}

impl Uploading {
    pub(super) async fn open(nats: &Nats, dir: &DataDir) -> Result<Self, RegistryError> {
        let registry = NatsRegistry::open(nats, dir).await?;
        Ok(Self { registry, nats: nats.clone(), there: Mutex::default() })
    }

    /// Makes it look as if an artifact without chunks had this digest.
    pub(super) async fn upload(&self, digest: &Digest) -> Result<(), RegistryError> {
        if self.there.lock().unwrap().contains(digest) {
            return Ok(());
        }
        let away = |error: &dyn std::fmt::Display| RegistryError::Unavailable(error.to_string());
        let known = record::read(&self.nats, digest).await.map_err(|error| away(&error))?;
        if known.is_none() {
            let bucket = &self.nats.buckets().artifacts;
            let sha256 = URL_SAFE.encode(hex::decode(digest.to_string()).unwrap());
            let info = ObjectInfo {
                name: digest.to_string(),
                description: None,
                options: None,
                bucket: bucket.name.clone(),
                nuid: digest.to_string(),
                chunks: 0,
                size: 0,
                digest: Some(format!("SHA-256={sha256}")),
                modified: None,
                deleted: false,
                metadata: Default::default(),
                headers: None,
            };
            let (subject, value) = (bucket.record(&digest.to_string()), serde_json::to_vec(&info).unwrap());
            let sent = self.nats.jetstream().publish(subject, value.into()).await.map_err(|error| away(&error))?;
            sent.await.map_err(|error| away(&error))?;
        }
        self.there.lock().unwrap().insert(*digest);
        Ok(())
    }
}

#[async_trait]
impl Registry for Uploading {
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.registry.watch()
    }

    async fn settled(&self) -> Result<Settled, RegistryError> {
        self.registry.settled().await
    }

    async fn deploy(&self, name: &FunctionName, new: NewRevision) -> Result<Deployment, RegistryError> {
        self.upload(&new.artifact).await?;
        self.registry.deploy(name, new).await
    }

    async fn rollback(&self, name: &FunctionName, number: Option<RevisionNumber>) -> Result<Deployment, RegistryError> {
        self.registry.rollback(name, number).await
    }

    async fn delete(&self, name: &FunctionName) -> Result<u64, RegistryError> {
        self.registry.delete(name).await
    }
}
