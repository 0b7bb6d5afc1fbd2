//! Where a process listens, and how it says so: to people, and to the client on the same machine.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use samovar_cluster::embedded::DataDir;
use tokio::net::TcpListener;

/// Takes an address.
pub(crate) async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "{option} {address}: the port is taken by another process; stop it, or give another port (0 picks a free one)"
        ),
        std::io::ErrorKind::AddrNotAvailable => anyhow::anyhow!(
            "{option} {address}: this machine has no such address; 0.0.0.0 listens on all that it has"
        ),
        _ => anyhow::anyhow!("{option} {address}: {error}"),
    })
}

/// What a process listens on, by what it is for.
#[derive(Debug, Default)]
pub(crate) struct Endpoints(Vec<(&'static str, String, String)>);

impl Endpoints {
    /// One more: what it is, its URL, and what else is to be said of it.
    pub(crate) fn with(mut self, what: &'static str, url: &str, more: &str) -> Self {
        self.0.push((what, url.to_owned(), more.to_owned()));
        self
    }

    /// Says it on standard output, and in the data directory.
    pub(crate) fn announce(&self, data_dir: &DataDir) -> anyhow::Result<()> {
        let map: serde_json::Map<_, _> =
            self.0.iter().map(|(what, url, _)| ((*what).to_owned(), url.clone().into())).collect();
        let path = data_dir.path().join("endpoints.json");
        let json = serde_json::Value::Object(map).to_string();
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
        let mut lines = String::new();
        for (what, url, more) in &self.0 {
            lines.push_str(format!("{what:8} {url} {more}").trim_end());
            lines.push('\n');
        }
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush());
        written.context("cannot write to standard output")
    }
}
