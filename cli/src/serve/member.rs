//! A process's part in its cluster: what all roles in it share.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use samovar_cluster::embedded::DataDir;
use samovar_cluster::nats::{
    Nats, NatsArtifacts, NatsGateways, NatsJobs, NatsKeyValue, NatsMembership, NatsRegistry, NatsSecrets,
};
use samovar_cluster::redis::{RedisConfig, RedisKeyValue};
use samovar_cluster::{Jobs, KeyValue, Vault};
use samovar_hop::{Connector, Identity};
use samovar_model::GatewayId;
use tokio::sync::OnceCell;

use super::member_options::Membership;
use super::peers::{HostCaller, HostPeers};
use crate::location::default_data_dir;

/// How long a server is waited for where there is something to serve without one. It is waited for each time: for the
/// connection, for the functions and for the secrets.
const WITHOUT_NATS: Duration = Duration::from_millis(500);

/// What a member of a cluster has.
pub(crate) struct Member {
    pub(crate) data_dir: DataDir,
    pub(crate) identity: Identity,
    pub(crate) connector: Connector,
    pub(crate) registry: Arc<NatsRegistry>,
    pub(crate) artifacts: Arc<NatsArtifacts>,
    pub(crate) membership: Arc<NatsMembership>,
    pub(crate) gateways: Arc<NatsGateways>,
    /// Absent where nobody asked for them.
    pub(crate) secrets: Option<Arc<Vault>>,
    /// Asks hosts about themselves.
    pub(crate) caller: HostCaller,
    pub(super) nats: Nats,
    redis: Option<RedisConfig>,
    /// Where buckets are, once a role has asked.
    key_value: OnceCell<Arc<dyn KeyValue>>,
    /// The cluster's jobs, once a role has asked.
    jobs: OnceLock<Arc<NatsJobs>>,
}

impl Member {
    /// Joins the cluster; while NATS is away, goes by what this directory's last user knew.
    pub(crate) async fn join(membership: Membership, data_dir: Option<&Path>) -> anyhow::Result<Self> {
        let Membership { mut nats, identity, secret_keys, redis } = membership;
        let data_dir = DataDir::open(data_dir.map_or_else(default_data_dir, Path::to_owned))?;
        if NatsRegistry::is_known(&data_dir) {
            nats.away_patience = WITHOUT_NATS;
        }
        nats.data_dir = Some(data_dir.path().to_owned());
        let nats = Nats::connect(nats).await?;
        let registry = Arc::new(NatsRegistry::open(&nats, &data_dir).await?);
        let membership = Arc::new(NatsMembership::open(&nats, Some(data_dir.path())));
        let gateways = Arc::new(NatsGateways::open(&nats));
        let secrets = match secret_keys {
            Some(keys) => Some(Vault::new(Arc::new(NatsSecrets::open(&nats, &data_dir).await), keys)),
            None => None,
        };
        let connector = Connector::new(identity.clone());
        let caller = HostCaller::new(connector.clone());
        let artifacts = Arc::new(NatsArtifacts::open(&nats, &data_dir)?);
        artifacts.set_peers(Arc::new(HostPeers::new(caller.clone(), Arc::clone(&membership) as _)));
        Ok(Self {
            data_dir,
            identity,
            connector,
            registry,
            artifacts,
            membership,
            gateways,
            secrets,
            caller,
            nats,
            redis,
            key_value: OnceCell::new(),
            jobs: OnceLock::new(),
        })
    }

    /// Where functions' buckets are: in NATS, or in the Redis of `--kv`. The same for all roles of the process.
    pub(crate) async fn key_value(&self) -> anyhow::Result<Arc<dyn KeyValue>> {
        let open = async || {
            let opened: Arc<dyn KeyValue> = match &self.redis {
                Some(config) => Arc::new(RedisKeyValue::open(config).await?),
                None => Arc::new(NatsKeyValue::open(&self.nats)),
            };
            anyhow::Ok(opened)
        };
        self.key_value.get_or_try_init(open).await.cloned()
    }

    /// The cluster's jobs, which this process runs as this gateway. To be asked before [`Member::jobs`] is.
    pub(crate) fn jobs_run_as(&self, gateway: &GatewayId, max_bytes: u64) -> Arc<dyn Jobs> {
        let open = || Arc::new(NatsJobs::open(&self.nats, &*self.gateways, Some(gateway.clone()), max_bytes));
        Arc::clone(self.jobs.get_or_init(open)) as _
    }

    /// The cluster's jobs, which other processes run where no gateway of this one does.
    pub(crate) fn jobs(&self) -> Arc<dyn Jobs> {
        // Nobody stores a job through it whom a limit would concern.
        let open = || Arc::new(NatsJobs::open(&self.nats, &*self.gateways, None, u64::MAX));
        Arc::clone(self.jobs.get_or_init(open)) as _
    }
}
