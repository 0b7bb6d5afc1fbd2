//! Which cluster this process belongs to: a random id, made by whoever makes the buckets first and stored in the metadata of
//! the stream of functions, which is created once and by one process only.
//!
//! States: unknown (the process joins whatever cluster is in NATS, or makes it) and known, for good: read from the data
//! directory, or learned at the first join. A process that knows its cluster takes nothing from a store with another id or
//! without one, and makes no store in place of one that is gone: that would pass for an empty cluster.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_nats::jetstream::stream::{Config, Info};

use super::NatsError;
use super::entry::Entry;
use crate::durable::write_private;

/// The file in the data directory.
const FILE: &str = "cluster-id";
/// The key in the stream's metadata.
const KEY: &str = "samovar-cluster-id";
const LONGEST: usize = 64;
const REMEDY: &str = "this member goes on with what it knows, and nothing can be deployed: restore a backup of the JetStream \
                      store; or, to begin anew on purpose, stop all members and remove `cluster-id` and `registry.json` \
                      from every data directory";

/// The name of a cluster that no other one has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClusterId(String);

/// What this process knows of its cluster.
pub(super) struct Identity {
    /// The data directory, if the process has one.
    dir: Option<PathBuf>,
    known: Mutex<Option<ClusterId>>,
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ClusterId {
    fn new() -> Result<Self, NatsError> {
        let random = Entry::new_operation();
        random.map(Self).map_err(|error| NatsError::Config(format!("no cluster id can be made: {error}")))
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_whole = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_whole.then(|| Self(text.to_owned()))
    }

    fn of(stream: &Config) -> Option<Self> {
        stream.metadata.get(KEY).and_then(|text| Self::read(text))
    }

    /// What the stream of functions of a new cluster has in its metadata.
    pub(super) fn metadata_of_a_new_cluster() -> Result<HashMap<String, String>, NatsError> {
        Ok(HashMap::from([(KEY.to_owned(), Self::new()?.0)]))
    }
}

impl Identity {
    /// What the data directory knows.
    pub(super) async fn read(dir: Option<PathBuf>) -> Result<Self, NatsError> {
        let Some(path) = dir.clone() else { return Ok(Self { dir, known: Mutex::default() }) };
        let file = path.join(FILE);
        let refuse = |reason: String| NatsError::Config(format!("{}: {reason}", file.display()));
        let known = match tokio::fs::read_to_string(&file).await {
            Ok(text) => {
                let id = ClusterId::read(&text);
                Some(id.ok_or_else(|| refuse("this is no cluster id; remove the file to join any cluster".to_owned()))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(refuse(error.to_string())),
        };
        Ok(Self { dir, known: Mutex::new(known) })
    }

    pub(super) fn known(&self) -> Option<ClusterId> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Belongs to this cluster from now on, also after a restart.
    pub(super) async fn learn(&self, id: &ClusterId) -> Result<(), NatsError> {
        if self.known().is_some() {
            return Ok(());
        }
        if let Some(dir) = self.dir.clone() {
            let (file, line) = (dir.join(FILE), format!("{id}\n"));
            let write = tokio::task::spawn_blocking(move || write_private(&dir, FILE, line.as_bytes()));
            let written = write.await.map_err(io::Error::other).flatten();
            written.map_err(|error| NatsError::Config(format!("{} cannot be written: {error}", file.display())))?;
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.clone());
        Ok(())
    }

    /// Whose store this is, by the stream of functions; an error when it is not this process's cluster's.
    pub(super) fn accept(&self, functions: &Info) -> Result<ClusterId, NatsError> {
        let stream = &functions.config.name;
        match (ClusterId::of(&functions.config), self.known()) {
            (Some(found), None) => Ok(found),
            (Some(found), Some(known)) if found == known => Ok(found),
            (Some(found), Some(known)) => Err(NatsError::Identity(format!(
                "what is in NATS is another cluster's: stream {stream} belongs to cluster {found}, and this member to \
                 cluster {known}; {REMEDY}"
            ))),
            (None, Some(known)) => Err(NatsError::Identity(format!(
                "what is in NATS is not this cluster's: stream {stream} has no cluster id, and this member belongs to \
                 cluster {known}; {REMEDY}"
            ))),
            (None, None) => {
                let reason = format!("it has no `{KEY}` in its metadata, which `nats stream edit --metadata` adds");
                Err(NatsError::Bucket { stream: stream.clone(), reason })
            }
        }
    }

    /// What it means that a stream is not there which is never made a second time.
    pub(super) fn lost(&self, stream: &str) -> NatsError {
        let whose = self.known().map_or_else(
            || "others of the cluster are there".to_owned(),
            |id| format!("this member belongs to cluster {id}"),
        );
        let what = "the cluster's store in NATS is lost";
        NatsError::Identity(format!("{what}: there is no stream {stream}, and {whose}; {REMEDY}"))
    }
}
