//! Follows the membership: who is there, where, and whether this gateway can reach them.

use std::sync::Arc;
use std::time::Duration;

use samovar_model::{HostState, Hosts};
use tokio::sync::watch;

use super::RemoteHosts;
use super::links::{HostLinks, Links};
use crate::balance::{HostInfo, Standing};

impl RemoteHosts {
    /// Takes over each change of the membership, and of which hosts can be reached, until the membership is gone.
    pub async fn follow(&self, mut hosts: watch::Receiver<Arc<Hosts>>) {
        loop {
            let known = Arc::clone(&hosts.borrow_and_update());
            self.take(&known);
            tokio::select! {
                changed = hosts.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = self.0.reached.notified() => {}
            }
        }
    }

    /// Waits until some host can be reached, but not for longer than this.
    pub async fn reached(&self, patience: Duration) {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < patience && !self.is_reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether any host can be reached.
    pub fn is_reached(&self) -> bool {
        self.0.links.load().values().any(|links| links.is_up())
    }

    /// Appends what is known of hosts in Prometheus' text form.
    pub fn metrics(&self, out: &mut String) {
        let hosts = self.0.balancer.hosts(self.0.now());
        let standings = [Standing::Ready, Standing::Suspect, Standing::Ejected, Standing::Draining];
        out.push_str("# HELP samovar_gateway_hosts Hosts by how this gateway finds them.\n");
        out.push_str("# TYPE samovar_gateway_hosts gauge\n");
        for standing in standings {
            let count = hosts.iter().filter(|(_, known)| *known == standing).count();
            let name = format!("{standing:?}").to_ascii_lowercase();
            out.push_str(&format!("samovar_gateway_hosts{{standing=\"{name}\"}} {count}\n"));
        }
        out.push_str("# HELP samovar_gateway_host_in_flight Requests of this gateway that the host has not ended.\n");
        out.push_str("# TYPE samovar_gateway_host_in_flight gauge\n");
        for (host, _) in &hosts {
            let (name, in_flight) = (host.id(), host.in_flight());
            out.push_str(&format!("samovar_gateway_host_in_flight{{host=\"{name}\"}} {in_flight}\n"));
        }
    }

    fn take(&self, known: &Hosts) {
        let before = self.0.links.load();
        let present = known.members.iter().filter(|(_, member)| member.state != HostState::Gone);
        let open = |member: &samovar_model::Member| {
            let old = before.get(&member.record.id).filter(|links| links.address() == member.record.address);
            let config = &self.0.config;
            old.cloned().unwrap_or_else(|| {
                let links =
                    HostLinks::open(&member.record, config.connections_per_host, &self.0.connector, &self.0.reached);
                Arc::new(links)
            })
        };
        let links: Links = present.map(|(id, member)| (id.clone(), open(member))).collect();
        let infos: Vec<_> = known.members.values().filter_map(|member| info(member, &links)).collect();
        self.0.links.store(Arc::new(links));
        self.0.balancer.update(infos, self.0.now());
    }
}

/// What the balancer is told of a host.
fn info(member: &samovar_model::Member, links: &Links) -> Option<HostInfo> {
    let record = &member.record;
    let is_up = links.get(&record.id)?.is_up();
    let state = match member.state {
        HostState::Draining => Standing::Draining,
        HostState::Ready if is_up => Standing::Ready,
        // The gateway's own connections tell more than a lease that is late.
        HostState::Suspect if is_up => Standing::Ready,
        HostState::Ready | HostState::Suspect => Standing::Suspect,
        HostState::Gone => return None,
    };
    let slots = u32::try_from(record.capacity.slots).unwrap_or(u32::MAX);
    Some(HostInfo { id: record.id.clone(), slots, state })
}
