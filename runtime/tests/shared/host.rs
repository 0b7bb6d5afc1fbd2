//! A host in this process, and how a guest comes to be a function of it: what the test binaries have in common.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use samovar_cluster::Artifacts;
use samovar_cluster::embedded::{DataDir, EmbeddedArtifacts};
use samovar_model::manifest::Manifest;
use samovar_model::{ByteSize, Digest, FunctionName, LogLine, RevisionNumber};
use samovar_runtime::machine::Machine;
use samovar_runtime::{Host, HostConfig, Linking, Reach, Revision};

pub(crate) struct TestHost {
    pub(crate) host: Host,
    artifacts: EmbeddedArtifacts,
    compiled: PathBuf,
    revisions: AtomicU64,
    _dir: tempfile::TempDir,
}

/// A function of the host.
pub(crate) struct Deployed {
    pub(crate) name: FunctionName,
    pub(crate) revision: Arc<Revision>,
    artifact: Digest,
}

/// A guest that `make guests` builds.
pub(crate) fn guest(name: &str) -> PathBuf {
    let file = format!("../tests/guests/target/wasm32-wasip2/release/{name}.wasm");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

impl TestHost {
    pub(crate) fn start(linking: Linking, reach: Reach) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::open(dir.path()).expect("a data directory");
        let (capacity, _) = Machine::look().capacity(8);
        let config = HostConfig { capacity, linking, ..HostConfig::new(data.compiled(), data.logs()) };
        let artifacts = EmbeddedArtifacts::open(&data).expect("a store of artifacts");
        let host = Host::start(config, Arc::new(EmbeddedArtifacts::open(&data).expect("again")), reach);
        Self {
            host: host.expect("a host"),
            artifacts,
            compiled: data.compiled(),
            revisions: AtomicU64::new(1),
            _dir: dir,
        }
    }

    /// The manifest's only function, with this component.
    pub(crate) async fn deploy(&self, component: &Path, manifest: &str) -> Deployed {
        let bytes = std::fs::read(component).expect("a component, made by `make guests`");
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
        Deployed { name, revision, artifact }
    }

    /// The file with a function's compiled code.
    pub(crate) fn compiled(&self, function: &Deployed) -> PathBuf {
        let digest = function.artifact.to_string();
        let files =
            std::fs::read_dir(&self.compiled).expect("a directory").map(|entry| entry.expect("readable").path());
        let of_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&digest));
        files.into_iter().find(of_it).expect("it was compiled")
    }

    /// A function's log so far.
    pub(crate) async fn log(&self, function: &FunctionName) -> Vec<LogLine> {
        self.host.logs().read(function, None, false).await.past
    }
}
