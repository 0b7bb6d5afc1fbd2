//! Deploys that go on while something else happens: the revisions are marked with numbers that only grow, so that what
//! answers tells which deploys are there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use samovar_model::Digest;

use crate::apart::apart;
use crate::api::Api;
use crate::call::{Call, Client};
use crate::paths::guest;
use crate::wait::eventually;

/// How many functions take turns: a deploy of one says nothing about those of another.
const FUNCTIONS: u64 = 5;

/// How long a deploy may take; what becomes of it after that nobody knows.
const PATIENCE: Duration = Duration::from_secs(30);

/// Deploys that go on.
pub struct Deploying {
    stop: Arc<AtomicBool>,
    journal: Journal,
    running: JoinHandle<()>,
}

/// What is known of the deploys so far.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    functions: Arc<Mutex<BTreeMap<String, Marks>>>,
    refused: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
}

/// The numbers of one function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// The latest that was tried.
    pub begun: u64,
    /// The latest that was acknowledged: nothing older may be there in the end.
    pub acknowledged: u64,
    /// The latest of which was said that every gateway routes to it: nothing older may be answered from then on.
    pub routed: u64,
}

/// What became of the deploys in the end.
#[derive(Debug, Clone)]
pub struct Marked {
    /// How many were acknowledged.
    pub acknowledged: usize,
    /// How many were not.
    pub refused: usize,
    /// The functions where an older deploy answers than the last one acknowledged, or one that was never tried.
    pub lost: Vec<String>,
}

impl Journal {
    /// The functions' numbers as they are now.
    pub fn marks(&self) -> BTreeMap<String, Marks> {
        self.functions.lock().expect("no one panics holding it").clone()
    }

    /// How many deploys were acknowledged.
    pub fn acknowledged(&self) -> usize {
        usize::try_from(self.acknowledged.load(Ordering::Relaxed)).expect("not that many")
    }

    /// How many were not.
    pub fn refused(&self) -> usize {
        usize::try_from(self.refused.load(Ordering::Relaxed)).expect("not that many")
    }

    pub(super) fn begin(&self, function: &str, number: u64) {
        self.with(function, |marks| marks.begun = number);
    }

    /// It was acknowledged, and, where `routed`, said to be routed.
    pub(super) fn acknowledge(&self, function: &str, number: u64, routed: bool) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.with(function, |marks| {
            marks.acknowledged = number;
            marks.routed = if routed { number } else { marks.routed };
        });
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn with(&self, function: &str, change: impl FnOnce(&mut Marks)) {
        let mut functions = self.functions.lock().expect("no one panics holding it");
        change(functions.entry(function.to_owned()).or_default());
    }
}

/// Who deploys, and how.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Whose functions they are: nobody else deploys them.
    pub deployer: usize,
    /// The pause after each deploy.
    pub pause: Duration,
    /// Every so many deploys there is one with `--wait`; 0 for none.
    pub wait_each: u64,
}

impl Deploying {
    /// Deploys each function once, which must succeed, and then goes on. `dir` is for the project that is deployed by the
    /// command line.
    pub async fn start(api: Api, dir: &Path, plan: Plan) -> Self {
        let component = std::fs::read(guest("env")).expect("the guest can be read");
        let artifact = api.upload(component.into()).await.expect("a component as any other");
        let journal = Journal::default();
        let mut deployer =
            Deployer { api, artifact, plan, journal, project: dir.join(format!("deployer-{}", plan.deployer)) };
        for number in 0..FUNCTIONS {
            deployer.deploy(number).await;
        }
        let journal = deployer.journal.clone();
        assert_eq!(journal.refused(), 0, "the cluster takes deploys before anything fails");
        let stop = Arc::<AtomicBool>::default();
        deployer.api = deployer.api.apart();
        let running = apart("deploying", {
            let stop = Arc::clone(&stop);
            async move || {
                for number in FUNCTIONS.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    deployer.deploy(number).await;
                    tokio::time::sleep(plan.pause).await;
                }
            }
        });
        Self { stop, journal, running }
    }

    /// What is known so far.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Deploys no more.
    pub async fn stop(self) -> Journal {
        self.stop.store(true, Ordering::Relaxed);
        let running = self.running;
        let joined = tokio::task::spawn_blocking(move || running.join()).await.expect("joining does not panic");
        joined.expect("deploying does not panic");
        self.journal
    }
}

struct Deployer {
    api: Api,
    artifact: Digest,
    plan: Plan,
    journal: Journal,
    project: PathBuf,
}

impl Deployer {
    /// Deploys the revision `number` of its function.
    async fn deploy(&self, number: u64) {
        let function = format!("mark-{}-{}", self.plan.deployer, number % FUNCTIONS);
        let wait = number.checked_rem(self.plan.wait_each) == Some(0);
        self.journal.begin(&function, number);
        let acknowledged = match wait {
            true => self.by_command_line(&function, number).await,
            false => self.by_api(&function, number).await,
        };
        match acknowledged {
            true => self.journal.acknowledge(&function, number, wait),
            false => self.journal.refuse(),
        }
    }

    async fn by_api(&self, function: &str, number: u64) -> bool {
        let settings = format!("env.V = '{number}'");
        let answer = tokio::time::timeout(PATIENCE, self.api.try_activate(function, self.artifact, &settings)).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status.is_success()))
    }

    /// With `--wait`.
    async fn by_command_line(&self, function: &str, number: u64) -> bool {
        let artifact = guest("env");
        let manifest = format!("[function.{function}]\nartifact = '{}'\nenv.V = '{number}'\n", artifact.display());
        std::fs::create_dir_all(&self.project).expect("the directory is ours");
        std::fs::write(self.project.join("samovar.toml"), manifest).expect("the directory is ours");
        let project = self.project.display().to_string();
        let command = self.api.cli(&["deploy", &project, "--no-build", "--wait"]).run();
        tokio::time::timeout(PATIENCE, command).await.is_ok_and(|printed| printed.code == 0)
    }
}

impl Marked {
    /// Sees what answers in the end. Waits until every gateway agrees with what the control process says.
    pub async fn of(journal: &Journal, api: &Api, gateways: &[SocketAddr]) -> Self {
        let (mut lost, client) = (Vec::new(), Client::new());
        for (function, marks) in journal.marks() {
            let detail =
                async || api.try_show(&function).await.ok().and_then(|detail| detail.settings.env.get("V").cloned());
            let current = eventually("the control process answers", detail, Option::is_some).await;
            let current: u64 = current.and_then(|value| value.parse().ok()).expect("a number, as it was deployed");
            if !(marks.acknowledged..=marks.begun).contains(&current) {
                lost.push(format!("{function}: {current} is there, not {}..={}", marks.acknowledged, marks.begun));
            }
            for &gateway in gateways {
                let path = format!("/{function}?V");
                let call = || Call::new(client.clone(), gateway, &path).try_send();
                let answered = async || call().await.map(|answer| answer.body);
                let agrees =
                    |answer: &Result<bytes::Bytes, String>| answer.as_deref() == Ok(current.to_string().as_bytes());
                drop(eventually("the gateway agrees with the control process", answered, agrees).await);
            }
        }
        Self { acknowledged: journal.acknowledged(), refused: journal.refused(), lost }
    }
}
