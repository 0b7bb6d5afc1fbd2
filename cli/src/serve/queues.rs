//! Queues in a process that belongs to a cluster: a gateway takes messages, a control process checks what is subscribed to.

use std::sync::Arc;

use samovar_cluster::nats::NatsQueues;
use samovar_cluster::{Queues, Registry as _};
use samovar_gateway::Gateway;
use samovar_gateway::remote::RemoteHosts;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::member::Member;

/// The queues of the member's cluster.
pub(super) fn of(member: &Member) -> Arc<dyn Queues> {
    Arc::new(NatsQueues::open(&member.nats))
}

/// Has the gateway take messages until `stop`. The task ends when those are done that it has taken.
pub(super) fn take(member: &Member, gateway: &Gateway<RemoteHosts>, stop: &CancellationToken) -> JoinHandle<()> {
    let (queues, snapshots) = (of(member), member.registry.watch());
    let (gateway, stop) = (gateway.clone(), stop.clone());
    tokio::spawn(async move { gateway.run_queues(queues, snapshots, stop).await })
}
