//! Removes the places of subscriptions that are no more: at once where that is seen, and now and then those for which it was not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use samovar_cluster::{Queues, Snapshot};
use samovar_model::SubscriptionKey;
use tokio::sync::watch;

/// How often everything is looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// The pause after a failure.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);
/// How often the removal of one is tried; after that it is swept away.
const TRIES: u32 = 5;

/// Removes the place of one subscription, which a snapshot of this version has no more.
pub(super) async fn remove(queues: Arc<dyn Queues>, key: SubscriptionKey, version: u64) {
    for left in (0..TRIES).rev() {
        match queues.remove(&key, version).await {
            Ok(()) => return,
            Err(error) if left == 0 => {
                tracing::warn!(%error, function = %key.function, subject = %key.subject, "a subscription that is no more keeps its place for now");
            }
            Err(_) => tokio::time::sleep(AFTER_TROUBLE).await,
        }
    }
}

/// Removes, at the start and then every hour or so, the places of all subscriptions that are not in the newest snapshot.
pub(super) async fn keep_clean(queues: Arc<dyn Queues>, snapshots: watch::Receiver<Arc<Snapshot>>) {
    loop {
        let snapshot = Arc::clone(&snapshots.borrow());
        match queues.retain(&keys(&snapshot), snapshot.version).await {
            // Not all gateways at once.
            Ok(_) => tokio::time::sleep(SWEEP_EVERY.mul_f64(0.5 + fastrand::f64())).await,
            Err(error) => {
                tracing::debug!(%error, "places of subscriptions are not looked through");
                tokio::time::sleep(AFTER_TROUBLE).await;
            }
        }
    }
}

fn keys(snapshot: &Snapshot) -> BTreeSet<SubscriptionKey> {
    let of_one = |function: &Arc<samovar_model::FunctionState>| {
        let name = function.name.clone();
        let subscriptions = function.current().settings.subscriptions.clone();
        subscriptions.into_iter().map(move |one| SubscriptionKey { function: name.clone(), subject: one.subject })
    };
    snapshot.functions.values().flat_map(of_one).collect()
}
