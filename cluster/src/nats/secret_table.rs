//! The table of sealed secrets in memory: what this process knows, and up to which message of the stream.
//!
//! States: unknown, from disk (sealed records of an earlier run), and live (taken from NATS). Fed by the watcher; only ever
//! moves forward within one stream, and stays as it is while NATS is away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use samovar_model::SecretName;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::snapshot_file::Known;
use super::watcher::{Follower, Message};
use crate::secrets::{SecretError, SecretRecord, SecretTable};

type Records = BTreeMap<SecretName, Arc<SecretRecord>>;

/// What is kept on disk: nothing that is not sealed.
#[derive(Serialize, Deserialize, PartialEq)]
pub(super) struct KnownSecrets {
    version: u64,
    is_known: bool,
    records: Records,
}

impl Known for KnownSecrets {
    const FILE: &'static str = "secrets.json";
    type Table = SecretTable;

    fn of(table: &SecretTable) -> Self {
        let SecretTable { version, is_known, records } = table.clone();
        Self { version, is_known, records }
    }
}

/// The table that the watcher feeds and everyone reads.
pub(super) struct SecretsTable {
    newest: watch::Sender<Arc<SecretTable>>,
    is_live: AtomicBool,
}

impl SecretsTable {
    /// A table that shows what an earlier run knew, or nothing.
    pub(super) fn new(known: Option<KnownSecrets>) -> Self {
        let table = known.map(|KnownSecrets { version, is_known, records }| SecretTable { version, is_known, records });
        Self { newest: watch::Sender::new(Arc::new(table.unwrap_or_default())), is_live: AtomicBool::new(false) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<SecretTable>> {
        self.newest.subscribe()
    }

    /// Waits until the table is taken from NATS.
    ///
    /// # Errors
    /// When that has not happened at the deadline.
    pub(super) async fn live(&self, deadline: Instant) -> Result<(), SecretError> {
        let mut watch = self.watch();
        let live = watch.wait_for(|_| self.is_live.load(Relaxed));
        let late = |_| SecretError::Unavailable("no table from NATS yet".to_owned());
        timeout_at(deadline, live).await.map(drop).map_err(late)
    }
}

/// Takes one message of the stream. A record that cannot be read changes nothing.
fn take(records: &mut Records, message: &Message<'_>) {
    let name = message.key.parse::<SecretName>().map_err(|error| error.to_string());
    let record = serde_json::from_slice::<SecretRecord>(message.value).map_err(|error| error.to_string());
    match name.and_then(|name| record.map(|record| (name, record))) {
        Ok((name, record)) => drop(records.insert(name, Arc::new(record))),
        Err(reason) => tracing::error!(key = message.key, reason, "a record of a secret cannot be read"),
    }
}

impl Follower for SecretsTable {
    type Draft = Records;

    fn version(&self) -> Option<u64> {
        self.is_live.load(Relaxed).then(|| self.newest.borrow().version)
    }

    fn draft(&self, draft: &mut Records, message: &Message<'_>) {
        take(draft, message);
    }

    fn replace(&self, draft: Records, version: u64, stream_went_back: bool) {
        let is_first = !self.is_live.swap(true, Relaxed);
        self.newest.send_if_modified(|shown| {
            if version < shown.version && !stream_went_back && !is_first {
                return false;
            }
            let next = SecretTable { version, is_known: true, records: draft };
            let changed = **shown != next || is_first;
            *shown = Arc::new(next);
            changed
        });
    }

    fn advance(&self, message: &Message<'_>) {
        self.newest.send_if_modified(|shown| {
            if shown.version >= message.version {
                return false;
            }
            let mut next = SecretTable::clone(shown);
            take(&mut next.records, message);
            next.version = message.version;
            *shown = Arc::new(next);
            true
        });
    }
}
