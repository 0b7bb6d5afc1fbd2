//! What goes on without a request: idle instances age out, and `min_warm` ones are made ahead of time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::host::{Host, Inner};
use crate::revision::Revision;

/// Sweeps until the host is gone.
pub(crate) async fn sweep(host: Weak<Inner>, every: Duration) {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(host) = host.upgrade().map(Host::from_inner) else { return };
        host.drop_dead_revisions();
        let now = tokio::time::Instant::now();
        for revision in host.revisions() {
            drop(revision.pool.sweep(now));
            if revision.code.is_empty() {
                // Its code was let go while an instance of it was at work, and would be held by it for ever.
                revision.drop_idle();
            }
            if revision.settings().scale.min_warm > 0 {
                tokio::spawn(prewarm(host.clone(), revision));
            }
        }
    }
}

/// Makes instances ahead of the first call, up to `min_warm`.
pub(crate) async fn prewarm(host: Host, revision: Arc<Revision>) {
    while let Some(mut permit) = revision.pool.prewarm() {
        let made = match host.code(&revision).await {
            Ok(loaded) => host.make(&revision, &loaded, &mut permit).await,
            Err(fault) => Err(fault),
        };
        match made {
            Ok(instance) => permit.give_back(instance),
            Err(fault) => {
                tracing::warn!(revision = %revision.id, %fault, "instance not made ahead of time");
                return;
            }
        }
    }
}
