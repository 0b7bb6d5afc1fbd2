//! A platform that the tests steer. Components are texts: `0.2 …` and `0.3 …` run, `busy` meets a full host, and anything
//! else is no component.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::{BoxStream, StreamExt, iter, pending};
use jiff::Timestamp;
use tokio::sync::watch;

use samovar_cluster::{Jobs, Queues};
use samovar_control::platform::{Checked, Platform, Refusal};
use samovar_model::api::ComponentInfo;
use samovar_model::{
    ComponentKind, Digest, FunctionName, FunctionStats, HostId, HostIntent, LogLine, Member, Settings,
};

pub(crate) struct FakePlatform {
    pub(crate) ready: Mutex<Result<(), String>>,
    /// The version of the snapshot by which requests are routed.
    pub(crate) routed: watch::Sender<u64>,
    pub(crate) stats: Mutex<BTreeMap<String, FunctionStats>>,
    pub(crate) lines: Mutex<Vec<LogLine>>,
    /// Absent where the platform is one process.
    pub(crate) hosts: Mutex<Option<Vec<Member>>>,
    /// What hosts were asked for.
    pub(crate) asked: Mutex<Vec<(HostId, HostIntent)>>,
    /// Gateways that never say that they route to a revision.
    pub(crate) unrouted: Mutex<Vec<String>>,
    /// Absent where there are no jobs.
    pub(crate) jobs: Mutex<Option<Arc<dyn Jobs>>>,
    /// Absent where there are no queues.
    pub(crate) queues: Mutex<Option<Arc<dyn Queues>>>,
}

impl FakePlatform {
    pub(crate) fn new() -> Self {
        let routed = watch::Sender::new(u64::MAX);
        Self {
            ready: Mutex::new(Ok(())),
            routed,
            stats: Mutex::default(),
            lines: Mutex::default(),
            hosts: Mutex::default(),
            asked: Mutex::default(),
            unrouted: Mutex::default(),
            jobs: Mutex::default(),
            queues: Mutex::default(),
        }
    }
}

#[async_trait]
impl Platform for FakePlatform {
    fn gateway_url(&self) -> String {
        "http://127.0.0.1:8080".to_owned()
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.lock().unwrap().clone()
    }

    fn jobs(&self) -> Option<Arc<dyn Jobs>> {
        self.jobs.lock().unwrap().clone()
    }

    fn queues(&self) -> Option<Arc<dyn Queues>> {
        self.queues.lock().unwrap().clone()
    }

    async fn check(&self, digest: Digest, file: &Path) -> Result<Checked, Refusal> {
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(Digest::of(&bytes), digest, "the platform is told the digest of the file");
        let kind = match bytes.get(..3) {
            Some(b"0.2") => ComponentKind::Wasi02,
            Some(b"0.3") => ComponentKind::Wasi03,
            Some(b"bus") => return Err(Refusal::Unavailable("the host has no room to compile".to_owned())),
            _ => return Err(Refusal::Component("not a component: it imports `env::spin`".to_owned())),
        };
        let (imports, exports) = (Vec::new(), vec!["wasi:http/incoming-handler".to_owned()]);
        let component = ComponentInfo { kind, size_bytes: bytes.len() as u64, imports, exports };
        Ok(Checked { component, compile_millis: 7 })
    }

    async fn rehearse(&self, _: Digest, settings: &Settings) -> Result<(), Refusal> {
        match settings.env.get("CRASH") {
            Some(reason) => Err(Refusal::Component(format!("the instance does not start: {reason}"))),
            None => Ok(()),
        }
    }

    async fn routed(&self, version: u64, everywhere: bool) -> Vec<String> {
        self.routed.subscribe().wait_for(|routed| *routed >= version).await.unwrap();
        if everywhere { self.unrouted.lock().unwrap().clone() } else { Vec::new() }
    }

    async fn stats(&self, name: &FunctionName) -> Option<FunctionStats> {
        self.stats.lock().unwrap().get(name.as_str()).cloned()
    }

    async fn all_stats(&self) -> BTreeMap<FunctionName, FunctionStats> {
        let stats = self.stats.lock().unwrap().clone();
        stats.into_iter().map(|(name, stats)| (name.parse().unwrap(), stats)).collect()
    }

    fn hosts(&self) -> Option<Vec<Member>> {
        self.hosts.lock().unwrap().clone()
    }

    async fn ask_host(&self, host: &HostId, intent: HostIntent) -> Result<(), Refusal> {
        self.asked.lock().unwrap().push((host.clone(), intent));
        Ok(())
    }

    async fn logs(&self, _: &FunctionName, since: Option<Timestamp>, follow: bool) -> BoxStream<'static, LogLine> {
        let mut lines = self.lines.lock().unwrap().clone();
        lines.retain(|line| since.is_none_or(|since| line.time >= since));
        if follow { iter(lines).chain(pending()).boxed() } else { iter(lines).boxed() }
    }

    fn metrics(&self, out: &mut String) {
        out.write_str("# HELP samovar_memory_bytes Memory in use.\n# TYPE samovar_memory_bytes gauge\n").unwrap();
        out.write_str("samovar_memory_bytes 42\n").unwrap();
    }
}
