//! A gateway with a host, in this process and without sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use samovar_cluster::embedded::{DataDir, EmbeddedArtifacts};
use samovar_cluster::{Artifacts, Snapshot};
use samovar_gateway::{Calls, Dispatcher, Gateway, GatewayConfig, RequestBody};
use samovar_model::manifest::Manifest;
use samovar_model::{ByteSize, Fault, FunctionName, FunctionState, RequestId, RevisionNumber};
use samovar_runtime::{CallBody, Calling, Functions, Host, HostConfig, Reach, ResponseBody, Revision};
use tokio_util::sync::CancellationToken;

use crate::in_memory::Conversation;

/// Passes requests to the host in this process, as the command does (`cli/src/up/local.rs`): the gateway and the host do not know
/// each other, so neither can have this, and a command is no library.
pub struct Local(pub Host);

impl Dispatcher for Local {
    type Target = Arc<Revision>;
    type Body = ResponseBody;

    fn target(&self, function: &FunctionName, revision: &Arc<samovar_model::Revision>, _: u64) -> Self::Target {
        self.0.revision(function, revision)
    }

    fn dispatch<B: RequestBody>(
        &self,
        target: Self::Target,
        request: Request<B>,
        id: RequestId,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Fault>> + Send + use<B> {
        self.0.invoke(target, request, id)
    }
}

/// Instances that a host has room for here: few, since valgrind has little address space to give.
const MAX_INSTANCES: u32 = 4;

/// A gateway that routes to the functions of a manifest, of which one is `hello`, and each is this component. Guests that
/// compute are interrupted every `tick`.
pub async fn gateway(dir: &Path, component: &Path, manifest: &str, tick: Duration) -> anyhow::Result<Gateway<Local>> {
    let data = DataDir::open(dir)?;
    let artifacts = EmbeddedArtifacts::open(&data)?;
    let mut upload = artifacts.begin().await?;
    let bytes = std::fs::read(component).with_context(|| component.display().to_string())?;
    let size = ByteSize::bytes(bytes.len() as u64);
    upload.write(bytes.into()).await?;
    let digest = upload.finish().await?;
    let file = artifacts.file(&digest).await?;
    let mut config = HostConfig::new(data.compiled(), data.logs());
    config.capacity.instances = MAX_INSTANCES;
    config.capacity.wasi03 = MAX_INSTANCES;
    config.tick = tick;
    let calls = Arc::new(OtherFunctions(OnceLock::new()));
    let reach = Reach { functions: Some(Arc::clone(&calls) as _), ..Reach::default() };
    let host = Host::start(config, Arc::new(artifacts), reach).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let compiled = host.compile(digest, &file).await?;
    let mut functions = BTreeMap::new();
    for (name, table) in Manifest::parse(manifest)?.function {
        let name: FunctionName = name.parse()?;
        let revision = samovar_model::Revision {
            number: RevisionNumber(1),
            created: jiff::Timestamp::now(),
            artifact: digest,
            size,
            kind: compiled.component.kind,
            settings: table.settings(&name)?,
        };
        let state = FunctionState { name: name.clone(), current: revision.number, revisions: vec![Arc::new(revision)] };
        functions.insert(name, Arc::new(state));
    }
    anyhow::ensure!(
        functions.keys().any(|name: &FunctionName| name.as_str() == "hello"),
        "the manifest has no table [function.hello]"
    );
    let snapshot = Snapshot { version: 1, functions: functions.into_iter().collect() };
    calls.apply(&snapshot, Local(host.clone()));
    let gateway = Gateway::new(GatewayConfig::default(), Local(host));
    gateway.apply(&snapshot);
    Ok(gateway)
}

/// The functions that functions call, as the command has them (`cli/src/serve/calls.rs`).
struct OtherFunctions(OnceLock<Calls<Local>>);

impl OtherFunctions {
    fn apply(&self, snapshot: &Snapshot, local: Local) {
        self.0.get_or_init(|| Calls::new(local)).apply(snapshot);
    }
}

impl Functions for OtherFunctions {
    fn call(&self, function: &FunctionName, request: Request<CallBody>, id: RequestId) -> Option<Calling> {
        let answer = self.0.get()?.call(function, request, id)?;
        Some(Box::pin(async move { answer.await.map(|body| body.boxed_unsync()) }))
    }
}

/// Answers all of a conversation's requests.
pub async fn serve(gateway: &Gateway<Local>, conversation: Conversation) {
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    gateway.serve_stream(conversation, peer, CancellationToken::new()).await;
}
