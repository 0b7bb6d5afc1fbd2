//! A host with functions, called without sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use samovar_cluster::embedded::{DataDir, EmbeddedArtifacts};
use samovar_cluster::{Artifacts, KeyValue};
use samovar_model::manifest::Manifest;
use samovar_model::{ByteSize, Fault, FunctionName, LogLine, RequestId, RevisionNumber};
use samovar_runtime::machine::Machine;
use samovar_runtime::{Host, HostConfig, Reach, Revision};

use crate::in_memory::InMemory;

pub(crate) struct Rig {
    pub(crate) store: Arc<InMemory>,
    pub(crate) host: Host,
    artifacts: EmbeddedArtifacts,
    requests: AtomicU64,
    revisions: AtomicU64,
    _dir: tempfile::TempDir,
}

/// A function of the rig's host.
pub(crate) struct Function<'a> {
    rig: &'a Rig,
    pub(crate) name: FunctionName,
    pub(crate) revision: Arc<Revision>,
}

fn guest(name: &str) -> PathBuf {
    let file = format!("../tests/guests/target/wasm32-wasip2/release/{name}.wasm");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

impl Rig {
    pub(crate) fn start() -> Self {
        let store = Arc::new(InMemory::new());
        Self::with(store.clone(), Some(store))
    }

    pub(crate) fn without_a_store() -> Self {
        Self::with(Arc::new(InMemory::new()), None)
    }

    fn with(store: Arc<InMemory>, key_value: Option<Arc<dyn KeyValue>>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(dir.path()).expect("a data directory");
        let (capacity, _) = Machine::look().capacity(8);
        let config = HostConfig { capacity, ..HostConfig::new(data.compiled(), data.logs()) };
        let artifacts = EmbeddedArtifacts::open(&data).expect("a store of artifacts");
        let reach = Reach { key_value, ..Reach::default() };
        let host = Host::start(config, Arc::new(EmbeddedArtifacts::open(&data).expect("again")), reach);
        Self {
            store,
            host: host.expect("a host"),
            artifacts,
            requests: AtomicU64::new(1),
            revisions: AtomicU64::new(1),
            _dir: dir,
        }
    }

    /// The manifest's only function, whose component is this guest.
    pub(crate) async fn function(&self, component: &str, manifest: &str) -> Function<'_> {
        let bytes = std::fs::read(guest(component)).expect("a guest, made by `make guests`");
        let size = ByteSize::bytes(bytes.len() as u64);
        let mut upload = self.artifacts.begin().await.expect("an upload");
        upload.write(bytes.into()).await.expect("written");
        let artifact = upload.finish().await.expect("stored");
        let file = self.artifacts.file(&artifact).await.expect("a file");
        let compiled = self.host.compile(artifact, &file).await.expect("it runs here");
        let (name, table) = Manifest::parse(manifest).expect("valid").function.pop_first().expect("a function");
        let name: FunctionName = name.parse().expect("a name");
        let settings = table.settings(&name).expect("valid");
        let number = RevisionNumber(self.revisions.fetch_add(1, Ordering::Relaxed));
        let created = jiff::Timestamp::UNIX_EPOCH;
        let kind = compiled.component.kind;
        let spec = Arc::new(samovar_model::Revision { number, created, artifact, size, kind, settings });
        let revision = self.host.revision(&name, &spec);
        Function { rig: self, name, revision }
    }
}

impl Function<'_> {
    /// Calls it, and waits for the whole answer.
    pub(crate) async fn try_call(&self, query: &str) -> Result<(u16, String), Fault> {
        let request = Request::get(format!("http://host.example/?{query}")).header("host", "host.example");
        let request = request.body(Empty::new()).expect("a request");
        let id = RequestId::from_number(self.rig.requests.fetch_add(1, Ordering::Relaxed).into());
        let answer = self.rig.host.invoke(Arc::clone(&self.revision), request, id).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
        Ok((status, String::from_utf8(body.to_vec()).expect("text").trim_end().to_owned()))
    }

    /// The text of an answer, whatever its status.
    pub(crate) async fn call(&self, query: &str) -> String {
        self.try_call(query).await.expect("an answer").1
    }

    /// Its log so far.
    pub(crate) async fn log(&self) -> Vec<LogLine> {
        self.rig.host.logs().read(&self.name, None, false).await.past
    }
}
