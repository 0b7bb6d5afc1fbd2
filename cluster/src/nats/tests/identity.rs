//! A store that is lost, replaced by another cluster's, and restored: what members take from it, and what not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use samovar_model::{GatewayState, HostState, RevisionNumber};
use tokio::time::{sleep, timeout};

use super::log::Log;
use super::membership::quick;
use super::server::Server;
use super::uploading::Uploading;
use crate::contract::membership::{host, joined, shows, until};
use crate::contract::{gateways, name, revision};
use crate::embedded::DataDir;
use crate::nats::{Nats, NatsConfig, NatsError, NatsGateways, NatsMembership};
use crate::{Gateways, Membership, MembershipError, Registry, RegistryError};

/// A process with everything that one has, which belongs to a cluster by its data directory.
struct Member {
    nats: Nats,
    registry: Uploading,
    membership: NatsMembership,
    gateways: NatsGateways,
    dir: PathBuf,
}

impl Member {
    async fn start(server: &Server, dir: &Path) -> Self {
        Self::try_start(quick(server), dir).await.unwrap()
    }

    async fn try_start(config: NatsConfig, dir: &Path) -> Result<Self, RegistryError> {
        let data_dir = DataDir::open(dir).unwrap();
        let nats = Nats::connect(NatsConfig { data_dir: Some(dir.to_owned()), ..config }).await.unwrap();
        let registry = Uploading::open(&nats, &data_dir).await?;
        let (membership, gateways) = (NatsMembership::open(&nats, Some(dir)), NatsGateways::open(&nats));
        Ok(Self { nats, registry, membership, gateways, dir: dir.to_owned() })
    }

    fn id(&self) -> String {
        std::fs::read_to_string(self.dir.join("cluster-id")).unwrap()
    }

    async fn deploy(&self, function: &str, content: u32) -> u64 {
        let function = name(function);
        self.registry.deploy(&function, revision(&function, content)).await.unwrap().version
    }

    /// Deploys as soon as NATS is back.
    async fn deploy_again(&self, function: &str) -> u64 {
        let function = name(function);
        let deploy = async {
            loop {
                match self.registry.deploy(&function, revision(&function, 1)).await {
                    Ok(deployed) => return deployed.version,
                    Err(RegistryError::Unavailable(_)) => sleep(Duration::from_millis(20)).await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        timeout(Duration::from_secs(30), deploy).await.expect("NATS is back")
    }

    fn functions(&self) -> Vec<String> {
        self.registry.watch().borrow().functions.keys().map(ToString::to_string).collect()
    }

    async fn shows(&self, functions: &[&str]) {
        let mut watch = self.registry.watch();
        let shown =
            watch.wait_for(|table| table.functions.keys().map(|name| name.as_str()).eq(functions.iter().copied()));
        let shown = timeout(Duration::from_secs(30), shown).await.is_ok();
        assert!(shown, "{functions:?}, not {:?}", self.functions());
    }

    /// Sees that a deploy is refused, with these words.
    async fn refuses(&self, words: &[&str]) {
        let a = name("refused");
        let refused = self.registry.deploy(&a, revision(&a, 1)).await.unwrap_err();
        assert!(matches!(&refused, RegistryError::Unavailable(_)), "{refused:?}");
        let text = refused.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }

    /// Waits until NATS is known to have something else than this cluster.
    async fn is_estranged(&self) {
        let found = async {
            while !matches!(self.nats.ready().await, Err(NatsError::Identity(_))) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), found).await.expect("it is noticed");
    }
}

/// Loses what the server stored; where it is now. The members have seen the server go: while it is started, which blocks this
/// thread, they must not take the silence for that of hosts.
async fn lose_store(server: &mut Server, members: &[&Member]) -> PathBuf {
    server.kill();
    while members.iter().any(|member| member.nats.is_connected()) {
        sleep(Duration::from_millis(10)).await;
    }
    server.restart_empty()
}

/// What a directory has of the registry, once it has these functions.
async fn on_disk(dir: &Path, functions: &[&str]) -> String {
    let read = async {
        loop {
            let text = std::fs::read_to_string(dir.join("registry.json")).unwrap_or_default();
            if functions.iter().all(|function| text.contains(&format!("\"{function}\""))) {
                return text;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), read).await.expect("the table is on disk")
}

fn dirs<const N: usize>() -> [tempfile::TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().unwrap())
}

async fn streams(server: &Server) -> Vec<String> {
    use futures_util::TryStreamExt as _;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut names: Vec<_> = jetstream::new(client).stream_names().try_collect().await.unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn of_processes_that_make_a_cluster_at_once_all_belong_to_the_same() {
    for _ in 0..5 {
        let server = Server::start();
        let dirs = dirs::<6>();
        let members = futures_util::future::join_all(dirs.iter().map(|dir| Member::start(&server, dir.path()))).await;
        let ids: Vec<_> = members.iter().map(Member::id).collect();
        assert!(ids[0].trim().len() == 32 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        members[0].deploy("a", 1).await;
        for member in &members {
            member.shows(&["a"]).await;
        }
    }
}

#[tokio::test]
async fn a_lost_store_is_not_made_again_by_who_knew_it_and_is_taken_over_when_it_is_restored() {
    let log = Log::begin();
    let mut server = Server::start();
    let [dir, other_dir] = dirs();
    let (member, other) = (Member::start(&server, dir.path()).await, Member::start(&server, other_dir.path()).await);
    member.deploy("a", 1).await;
    other.shows(&["a"]).await;
    let (known, other_known) = (on_disk(dir.path(), &["a"]).await, on_disk(other_dir.path(), &["a"]).await);
    let _lease = joined(&member.membership, host("h", 5)).await;
    let _gateway = member.gateways.join(gateways::gateway("g", 1)).await;
    until(&mut other.membership.watch(), "the host is there", |hosts| shows(hosts, "h", HostState::Ready)).await;
    let gateway_ready = |table: &_| gateways::shows(table, "g", GatewayState::Ready);
    until(&mut member.gateways.watch(), "the gateway is there", gateway_ready).await;

    let lost = lose_store(&mut server, &[&member, &other]).await;
    for member in [&member, &other] {
        member.is_estranged().await;
        member.refuses(&["KV_samovar_fn", "restore a backup", "remove `cluster-id` and `registry.json`"]).await;
    }
    let asked = other.membership.ask(&"h".parse().unwrap(), samovar_model::HostIntent::Draining).await;
    assert!(matches!(asked, Err(MembershipError::Unavailable(text)) if text.contains("restore a backup")));
    // A member that starts now does not make it either.
    drop(other);
    let started = NatsConfig { patience: Duration::from_millis(500), ..quick(&server) };
    let other = Member::try_start(started, other_dir.path()).await.unwrap();
    other.refuses(&["restore a backup"]).await;
    // Twice as long as it takes hosts to be gone.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(streams(&server).await, [""; 0], "nobody has made anything");
    assert_eq!((member.functions(), other.functions()), (vec!["a".to_owned()], vec!["a".to_owned()]));
    assert_eq!((on_disk(dir.path(), &[]).await, on_disk(other_dir.path(), &[]).await), (known, other_known));
    assert!(shows(&member.membership.watch().borrow(), "h", HostState::Ready));
    assert!(gateway_ready(&member.gateways.watch().borrow()));
    let told = log.lines("ERROR samovar_cluster::nats::connection: the cluster's store in NATS is lost");
    assert_eq!(told.len(), 3, "once by each process: {told:?}");

    server.restart_with(&lost);
    until(&mut other.membership.watch(), "the host is back", |hosts| shows(hosts, "h", HostState::Ready)).await;
    assert_eq!(member.deploy_again("b").await, 2);
    other.shows(&["a", "b"]).await;
}

#[tokio::test]
async fn an_empty_cluster_in_the_place_of_a_lost_one_is_taken_over_by_nobody() {
    let mut server = Server::start();
    let [dir, new_dir] = dirs();
    let member = Member::start(&server, dir.path()).await;
    member.deploy("a", 1).await;
    let known = on_disk(dir.path(), &["a"]).await;
    let _lease = joined(&member.membership, host("h", 5)).await;
    let lost = lose_store(&mut server, &[&member]).await;
    member.is_estranged().await;

    let new = Member::start(&server, new_dir.path()).await;
    assert_ne!(new.id(), member.id());
    // As many commits as the lost cluster had, and more.
    for content in 1..=3 {
        new.deploy("new", content).await;
        member.refuses(&["another cluster's", new.id().trim(), member.id().trim(), "restore a backup"]).await;
    }
    sleep(Duration::from_secs(3)).await;
    assert_eq!(member.functions(), ["a"]);
    assert_eq!(on_disk(dir.path(), &[]).await, known);
    assert!(shows(&member.membership.watch().borrow(), "h", HostState::Ready));
    assert!(new.membership.watch().borrow().members.is_empty(), "the host is no member of the new cluster");

    // The new one goes on in the same way when the old one is back.
    server.restart_with(&lost);
    assert_eq!(member.deploy_again("b").await, 2);
    new.is_estranged().await;
    new.refuses(&["another cluster's"]).await;
    assert_eq!(new.functions(), ["new"]);
}

#[tokio::test]
async fn a_backup_is_taken_over_although_it_is_older() {
    let log = Log::begin();
    let mut server = Server::start();
    let [dir, backup] = dirs();
    let member = Member::start(&server, dir.path()).await;
    member.deploy("a", 1).await;
    server.kill();
    let copied = std::process::Command::new("cp").arg("-a").arg(server.store()).arg(backup.path()).status().unwrap();
    assert!(copied.success());
    server.restart();
    assert_eq!(member.deploy_again("b").await, 2);
    server.restart_with(&backup.path().join("store"));
    member.shows(&["a"]).await;
    assert_eq!(log.lines("what is in NATS is older").len(), 1, "{}", log.text());
    assert_eq!(member.deploy_again("c").await, 2);
}

#[tokio::test]
async fn a_store_that_is_replaced_while_the_connection_stays_is_noticed() {
    let server = Server::start();
    let [dir, new_dir] = dirs();
    let member = Member::start(&server, dir.path()).await;
    member.deploy("a", 1).await;
    let known = on_disk(dir.path(), &["a"]).await;
    let _lease = joined(&member.membership, host("h", 5)).await;
    let jetstream = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    for stream in streams(&server).await {
        jetstream.delete_stream(&stream).await.unwrap();
    }
    let new = Member::start(&server, new_dir.path()).await;
    assert_eq!(new.deploy("new", 1).await, 1, "as many commits as the member knows");
    let _other = joined(&new.membership, host("other", 5)).await;
    let settled = member.registry.settled().await.map(|_| ()).unwrap_err().to_string();
    assert!(settled.contains("another cluster's"), "nothing is collected there: {settled}");
    member.refuses(&["another cluster's"]).await;
    for content in 2..5 {
        new.deploy("new", content).await;
    }
    // Consumers are made anew by the client after ten seconds or so without a sign of life.
    for _ in 0..15 {
        assert_eq!(member.functions(), ["a"]);
        assert!(!member.membership.watch().borrow().members.keys().any(|host| host.as_str() == "other"));
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(on_disk(dir.path(), &[]).await, known);
}

#[tokio::test]
async fn leases_that_are_lost_alone_are_made_again_and_components_are_not() {
    let server = Server::start();
    let [dir] = dirs();
    let member = Member::start(&server, dir.path()).await;
    let jetstream = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    for stream in ["KV_samovar_host", "KV_samovar_gateway", "KV_samovar_lock"] {
        jetstream.delete_stream(stream).await.unwrap();
    }
    drop(member);
    let member = Member::start(&server, dir.path()).await;
    member.deploy("a", 1).await;
    let _lease = joined(&member.membership, host("h", 5)).await;
    drop(member);
    jetstream.delete_stream("OBJ_samovar_artifact").await.unwrap();
    on_disk(dir.path(), &["a"]).await;
    let impatient = NatsConfig { patience: Duration::from_millis(500), ..quick(&server) };
    let member = Member::try_start(impatient.clone(), dir.path()).await.unwrap();
    member.refuses(&["OBJ_samovar_artifact", "restore a backup"]).await;
    assert_eq!(member.functions(), ["a"]);
    let [new_dir] = dirs();
    let refused = Member::try_start(impatient, new_dir.path()).await.err().expect("nothing is known");
    assert!(refused.to_string().contains("OBJ_samovar_artifact"), "{refused}");
}

#[tokio::test]
async fn who_begins_anew_on_purpose_removes_what_the_directory_knows() {
    let mut server = Server::start();
    let [dir] = dirs();
    let member = Member::start(&server, dir.path()).await;
    member.deploy("a", 1).await;
    on_disk(dir.path(), &["a"]).await;
    let before = member.id();
    drop(member);
    server.restart_empty();
    for file in ["cluster-id", "registry.json"] {
        std::fs::remove_file(dir.path().join(file)).unwrap();
    }
    let member = Member::start(&server, dir.path()).await;
    assert!(member.functions().is_empty() && member.id() != before);
    member.deploy("b", 1).await;
}

#[tokio::test]
async fn a_member_that_knows_its_cluster_and_nothing_else_says_why_it_does_not_start() {
    let mut server = Server::start();
    let [dir] = dirs();
    drop(Member::start(&server, dir.path()).await);
    // Nothing was deployed; whatever was written goes.
    drop(std::fs::remove_file(dir.path().join("registry.json")));
    server.restart_empty();
    let impatient = NatsConfig { patience: Duration::from_millis(500), ..quick(&server) };
    let refused = Member::try_start(impatient, dir.path()).await.err().expect("there is no table").to_string();
    assert!(
        refused.contains("the cluster's store in NATS is lost") && refused.contains("restore a backup"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_file_that_holds_no_id_is_refused_by_its_name() {
    let server = Server::start();
    let [dir] = dirs();
    std::fs::write(dir.path().join("cluster-id"), "\n").unwrap();
    let config = NatsConfig { data_dir: Some(dir.path().to_owned()), ..quick(&server) };
    let refused = Nats::connect(config).await.err().expect("a refusal").to_string();
    assert!(refused.contains("cluster-id: this is no cluster id"), "{refused}");
}

#[tokio::test]
async fn a_stream_without_an_id_is_joined_by_nobody() {
    let server = Server::start();
    drop(Nats::connect(quick(&server)).await.unwrap());
    let jetstream = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let stream = jetstream.get_stream("KV_samovar_fn").await.unwrap();
    let [dir] = dirs();
    let member = Member::start(&server, dir.path()).await;
    let mut config = stream.cached_info().config.clone();
    config.metadata.clear();
    jetstream.update_stream(config).await.unwrap();
    member.refuses(&["has no cluster id", "restore a backup"]).await;
    let refused = Nats::connect(quick(&server)).await.err().expect("a refusal").to_string();
    assert!(refused.contains("nats stream edit --metadata"), "{refused}");
}

#[tokio::test]
async fn three_servers_decide_on_one_id() {
    let servers = Server::three();
    let dirs = dirs::<3>();
    let start = |first: usize| {
        let urls = (0..3).map(|turn| servers[(first + turn) % 3].url()).collect();
        let patience = Duration::from_secs(40);
        let config = NatsConfig { servers: urls, replicas: 3, patience, ..quick(&servers[0]) };
        Member::try_start(config, dirs[first].path())
    };
    let (one, two, three) = tokio::join!(start(0), start(1), start(2));
    let members = [one, two, three].map(|member| Arc::new(member.unwrap()));
    assert!(members.iter().all(|member| member.id() == members[0].id()));
    members[0].deploy("a", 1).await;
    for member in &members {
        member.shows(&["a"]).await;
    }
    assert_eq!(members[1].registry.watch().borrow().functions[&name("a")].current, RevisionNumber(1));
}
