//! A samovar under test: started with any options, controlled by its API; and what the kernel says of its memory.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use samovar_model::api::StatsList;
use samovar_model::{FunctionStats, HostStats};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::node::beside;

/// A client that keeps its connections. Cheap to clone.
pub type Caller = Client<HttpConnector, Full<Bytes>>;

/// Makes a client.
pub fn caller() -> Caller {
    Client::builder(TokioExecutor::new()).build_http()
}

/// Makes a client that sends all it has over one connection, with HTTP/2.
pub fn multiplexing_caller() -> Caller {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

/// A running platform; ended when dropped.
pub struct Node {
    child: Child,
    /// Where functions are called, as `http://127.0.0.1:PORT`.
    pub gateway: String,
    control: String,
    token: String,
    /// From the start of the process to the moment it was ready.
    pub ready_after: Duration,
    caller: Caller,
}

/// What a process has resident, in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// `VmRSS`.
    pub resident_kib: u64,
    /// `VmPTE`: page tables, which the resident set leaves out.
    pub page_tables_kib: u64,
}

impl Memory {
    /// Both together.
    pub fn total_kib(self) -> u64 {
        self.resident_kib + self.page_tables_kib
    }

    /// As JSON.
    pub fn json(self) -> Value {
        json!({ "resident_kib": self.resident_kib, "page_tables_kib": self.page_tables_kib })
    }
}

impl Node {
    /// Starts the binary beside this one on a data directory, with further options, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready within 60 s.
    pub async fn start(data: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let program = beside("samovar")?;
        let started = Instant::now();
        let mut child = Command::new(&program)
            .args(["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let announced = async {
            let mut urls = Vec::new();
            while urls.len() < 2 {
                let line =
                    lines.next_line().await?.context("samovar ended before it was ready; what it said is above")?;
                urls.extend(line.split_whitespace().nth(1).map(str::to_owned));
            }
            Ok::<_, anyhow::Error>(urls)
        };
        let urls = tokio::time::timeout(Duration::from_secs(60), announced).await??;
        let token = std::fs::read_to_string(data.join("token"))?.trim().to_owned();
        let [gateway, control] = urls.try_into().ok().context("two addresses")?;
        let mut node = Self { child, gateway, control, token, ready_after: started.elapsed(), caller: caller() };
        let status = node.control(Method::GET, "/readyz", Bytes::new()).await?.status();
        anyhow::ensure!(status == 200, "/readyz answered {status}");
        node.ready_after = started.elapsed();
        Ok(node)
    }

    async fn control(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Response<Bytes>> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.control));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let request = request.header("content-type", "application/json").body(Full::new(body))?;
        let (head, body) = self.caller.request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Deploys a component with settings as they stand in a manifest.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn deploy(&self, name: &str, component: &[u8], settings: Value) -> anyhow::Result<()> {
        let uploaded = self.control(Method::POST, "/v1/artifacts", Bytes::copy_from_slice(component)).await?;
        let artifact: Value = serde_json::from_slice(uploaded.body())?;
        let body = json!({ "artifact": artifact["digest"], "settings": settings }).to_string();
        let deployed = self.control(Method::POST, &format!("/v1/functions/{name}/revisions"), body.into()).await?;
        anyhow::ensure!(deployed.status().is_success(), "{name}: {}", String::from_utf8_lossy(deployed.body()));
        Ok(())
    }

    /// One function's statistics, without looking at all the others'.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn function(&self, name: &str) -> anyhow::Result<FunctionStats> {
        let answer = self.control(Method::GET, &format!("/v1/functions/{name}/stats"), Bytes::new()).await?;
        Ok(serde_json::from_slice(answer.body())?)
    }

    /// The host's statistics.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn host(&self) -> anyhow::Result<HostStats> {
        let answer = self.control(Method::GET, "/v1/stats", Bytes::new()).await?;
        serde_json::from_slice::<StatsList>(answer.body())?.host.context("one host")
    }

    /// What the process has resident.
    ///
    /// # Errors
    /// When it is gone.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        memory(self.pid()?)
    }

    /// The process's id.
    ///
    /// # Errors
    /// When it is gone.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("samovar has ended")
    }

    /// Stops it, and waits until it has.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// What a process has resident.
///
/// # Errors
/// When it is gone.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
        Ok::<u64, anyhow::Error>(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory { resident_kib: kib("VmRSS:")?, page_tables_kib: kib("VmPTE:")? })
}
