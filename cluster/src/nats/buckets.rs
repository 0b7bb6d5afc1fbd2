//! What is kept in NATS: the buckets, their names, and how they must be set up.
//!
//! | bucket | subjects | holds |
//! | --- | --- | --- |
//! | `<namespace>_fn` | `$KV.<bucket>.<function>` | functions; the last 16 commits of each |
//! | `<namespace>_host` | `$KV.<bucket>.<host>` | hosts' leases, and what hosts are asked for; forgotten a week after the last write |
//! | `<namespace>_gateway` | `$KV.<bucket>.<gateway>` | gateways' leases; forgotten a day after the last write |
//! | `<namespace>_secret` | `$KV.<bucket>.<secret>` | secrets, encrypted; the last write of each |
//! | `<namespace>_lock` | `$KV.<bucket>.<name>` | locks; gone some time after the last renewal |
//! | `<namespace>_artifact` | `$O.<bucket>.>` | components: chunks, and one record for each that is whole |
//! | `<namespace>_kv` | `$KV.<bucket>.>` | what functions keep, all buckets of theirs: `key_value/subjects.rs` says where |
//! | `<namespace>_job` | `$KV.<bucket>.>` | jobs, and the last ticks of schedules: `jobs/subjects.rs` says where |
//!
//! The stream of functions also has the cluster's id, and is made last: where it is, there is a whole cluster. It and the
//! components are made once, when there is no cluster. The leases' three can be made again. What functions keep, their
//! secrets and their jobs are made where they are not there, since clusters are older than they; in one that is whole otherwise, a
//! warning says that they begin empty.

use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::identity::{ClusterId, Identity};
use super::{NatsConfig, NatsError};

/// How many commits of one function are kept: enough to look up one whose answer was lost after others followed.
const FUNCTION_HISTORY: i64 = 16;
/// Long enough that no outage of NATS lets leases vanish: members judge expiry by their own clocks.
const HOST_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Shorter, since every run of a gateway has a key of its own.
const GATEWAY_AGE: Duration = Duration::from_secs(24 * 3600);

/// One bucket's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    /// The name that NATS tools know it by.
    pub(super) name: String,
    /// The stream that it is made of.
    pub(super) stream: String,
}

/// The names of all buckets.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    pub(super) functions: Bucket,
    pub(super) hosts: Bucket,
    pub(super) gateways: Bucket,
    pub(super) secrets: Bucket,
    pub(super) locks: Bucket,
    pub(super) artifacts: Bucket,
    pub(super) values: Bucket,
    pub(super) jobs: Bucket,
}

impl Bucket {
    fn key_value(namespace: &str, word: &str) -> Self {
        let name = format!("{namespace}_{word}");
        Self { stream: format!("KV_{name}"), name }
    }

    /// The subject of a key in a key-value bucket.
    pub(super) fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.name)
    }

    /// The record of a whole object in an object store.
    pub(super) fn record(&self, object: &str) -> String {
        format!("$O.{}.M.{}", self.name, URL_SAFE.encode(object))
    }

    /// The records of all objects.
    pub(super) fn records(&self) -> String {
        format!("$O.{}.M.>", self.name)
    }

    /// The object whose record has this subject.
    pub(super) fn object(&self, subject: &str) -> Option<String> {
        let encoded = subject.strip_prefix("$O.")?.strip_prefix(&self.name)?.strip_prefix(".M.")?;
        String::from_utf8(URL_SAFE.decode(encoded).ok()?).ok()
    }

    /// The chunks of an object store, each subject for one upload.
    pub(super) fn chunks(&self, upload: &str) -> String {
        format!("$O.{}.C.{upload}", self.name)
    }

    /// The key that a subject stands for.
    pub(super) fn key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix("$KV.")?.strip_prefix(&self.name)?.strip_prefix('.')
    }
}

impl Buckets {
    pub(super) fn of(namespace: &str) -> Self {
        let artifacts = format!("{namespace}_artifact");
        Self {
            functions: Bucket::key_value(namespace, "fn"),
            hosts: Bucket::key_value(namespace, "host"),
            gateways: Bucket::key_value(namespace, "gateway"),
            secrets: Bucket::key_value(namespace, "secret"),
            locks: Bucket::key_value(namespace, "lock"),
            artifacts: Bucket { stream: format!("OBJ_{artifacts}"), name: artifacts },
            values: Bucket::key_value(namespace, "kv"),
            jobs: Bucket::key_value(namespace, "job"),
        }
    }

    /// Makes the buckets that are not there, as far as they are not a cluster's that was lost, and checks those that are.
    /// Answers whose they are.
    pub(super) async fn ensure(
        &self,
        jetstream: &Context,
        options: &NatsConfig,
        identity: &Identity,
    ) -> Result<ClusterId, NatsError> {
        let key_value = |bucket: &Bucket, history, max_age| Config {
            name: bucket.stream.clone(),
            subjects: vec![bucket.subject(">")],
            max_messages_per_subject: history,
            max_age,
            deny_delete: true,
            ..common(options.replicas)
        };
        let functions = key_value(&self.functions, FUNCTION_HISTORY, Duration::ZERO);
        let artifacts = Config {
            name: self.artifacts.stream.clone(),
            subjects: vec![self.artifacts.chunks(">"), self.artifacts.records()],
            ..common(options.replicas)
        };
        let others = [
            key_value(&self.secrets, 1, Duration::ZERO),
            key_value(&self.hosts, 1, HOST_AGE),
            key_value(&self.gateways, 1, GATEWAY_AGE),
            key_value(&self.locks, 1, options.lock_expiry),
        ];
        let cluster = match find(jetstream, &functions.name).await? {
            Some(found) => {
                check(&functions, &found.cached_info().config)?;
                Some(identity.accept(found.cached_info())?)
            }
            None if identity.known().is_some() => return Err(identity.lost(&functions.name)),
            None => None,
        };
        match find(jetstream, &artifacts.name).await? {
            Some(found) => check(&artifacts, &found.cached_info().config)?,
            None if cluster.is_some() => return Err(identity.lost(&artifacts.name)),
            None => drop(make(jetstream, artifacts).await?),
        }
        for config in others {
            match find(jetstream, &config.name).await? {
                Some(found) => check(&config, &found.cached_info().config)?,
                None => {
                    if cluster.is_some() && config.name == self.secrets.stream {
                        tracing::warn!(stream = config.name, "the stream of secrets is made: no secret is set in it");
                    }
                    drop(make(jetstream, config).await?);
                }
            }
        }
        let (known, replicas) = (cluster.is_some(), options.replicas);
        ensure_batched(jetstream, &self.values, replicas, known.then_some("functions' values")).await?;
        ensure_batched(jetstream, &self.jobs, replicas, known.then_some("jobs")).await?;
        match cluster {
            Some(cluster) => Ok(cluster),
            None => {
                let metadata = ClusterId::metadata_of_a_new_cluster()?;
                // Another process may have been faster: what is there counts.
                let made = make(jetstream, Config { metadata, ..functions }).await?;
                identity.accept(made.cached_info())
            }
        }
    }
}

/// Makes or checks a stream that takes atomic batches. A cluster that is there may be older than it: then what it lacks is said.
async fn ensure_batched(
    jetstream: &Context,
    bucket: &Bucket,
    replicas: usize,
    lacks: Option<&str>,
) -> Result<(), NatsError> {
    let config = Config {
        name: bucket.stream.clone(),
        subjects: vec![bucket.subject(">")],
        max_messages_per_subject: 1,
        allow_message_ttl: true,
        allow_atomic_publish: true,
        // Any replica would answer these, with what it has by then.
        allow_direct: false,
        deny_delete: true,
        ..common(replicas)
    };
    match find(jetstream, &config.name).await? {
        Some(found) => check(&config, &found.cached_info().config),
        None => {
            if let Some(lacks) = lacks {
                tracing::warn!(stream = config.name, "the stream of {lacks} is made: it begins empty");
            }
            // What has nothing to do with them goes on without.
            if let Err(error) = make(jetstream, config).await {
                tracing::error!(%error, "a stream is missing: what is kept in it is not available");
            }
            Ok(())
        }
    }
}

fn common(replicas: usize) -> Config {
    Config {
        storage: StorageType::File,
        num_replicas: replicas,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        allow_direct: true,
        max_bytes: -1,
        max_messages: -1,
        max_consumers: -1,
        ..Config::default()
    }
}

/// A stream, if it is there, with what its leader knows of it.
pub(super) async fn find(jetstream: &Context, name: &str) -> Result<Option<Stream>, NatsError> {
    match jetstream.get_stream(name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(reason) if reason.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            _ => Err(NatsError::Store(format!("stream {name}: {error}"))),
        },
    }
}

/// Makes a stream; one that another process makes at the same time is checked instead. Answers what is there then.
async fn make(jetstream: &Context, wanted: Config) -> Result<Stream, NatsError> {
    let name = wanted.name.clone();
    if let Err(error) = jetstream.create_stream(wanted.clone()).await {
        match error.kind() {
            CreateStreamErrorKind::JetStream(reason) if reason.error_code() == ErrorCode::STREAM_NAME_EXIST => {}
            _ => return Err(NatsError::Store(format!("stream {name} cannot be made: {error}"))),
        }
    }
    let found = find(jetstream, &name).await?;
    let found = found.ok_or_else(|| NatsError::Store(format!("stream {name} was made and is not there")))?;
    check(&wanted, &found.cached_info().config)?;
    Ok(found)
}

/// What the protocols rely on must be so; anything else is the operator's business.
fn check(wanted: &Config, found: &Config) -> Result<(), NatsError> {
    let facts = |config: &Config| {
        [
            ("subjects", config.subjects.join(", ")),
            // The server writes "no limit" as -1.
            ("messages per subject", config.max_messages_per_subject.max(0).to_string()),
            ("maximum age", format!("{:?}", config.max_age)),
            ("storage", format!("{:?}", config.storage)),
            ("rollup", config.allow_rollup.to_string()),
            ("TTL of messages", config.allow_message_ttl.to_string()),
            ("atomic batches", config.allow_atomic_publish.to_string()),
        ]
    };
    for ((what, wanted_value), (_, found_value)) in facts(wanted).into_iter().zip(facts(found)) {
        if wanted_value != found_value {
            let reason = format!("{what}: `{found_value}` where `{wanted_value}` is needed");
            return Err(NatsError::Bucket { stream: wanted.name.clone(), reason });
        }
    }
    if found.num_replicas < wanted.num_replicas {
        tracing::warn!(
            stream = wanted.name,
            found = found.num_replicas,
            wanted = wanted.num_replicas,
            "a stream has fewer replicas than configured; change it with `nats stream edit --replicas`"
        );
    }
    Ok(())
}
