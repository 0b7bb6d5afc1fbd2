//! Messages that functions subscribe to: taken from the server of queues, and sent to functions as requests.
//!
//! ```text
//! a snapshot of the registry -> one taker for each subscription -> the server of queues
//!                                     |  a message, where the function may run one more
//!                                     v
//!                                  worker -> event -> dispatch to a host -> the message's fate
//! ```
//!
//! Every gateway of the cluster takes from all subscriptions. Whose place they take from, and that no two have one message at a
//! time, is the server's business.

mod counts;
mod event;
mod seldom;
mod sweep;
mod taker;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use samovar_cluster::{Queues, Snapshot};
use samovar_model::{JobSettings, Start, Subscription, SubscriptionKey};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use counts::Counts;

use self::seldom::Seldom;
use self::taker::Source;
use crate::Gateway;
use crate::dispatcher::Dispatcher;

/// How old a revision may be whose subscription begins with it, and not when this process sees it first: an older one has been there
/// for longer, and comes back by a rollback or had its place lost.
const JUST_DEPLOYED: Duration = Duration::from_secs(60);

/// A subscription whose messages are taken.
struct Taken {
    subscription: Subscription,
    terms: JobSettings,
    stop: CancellationToken,
}

/// All whose messages are taken.
struct Takers<D: Dispatcher> {
    gateway: Gateway<D>,
    queues: Arc<dyn Queues>,
    taken: BTreeMap<SubscriptionKey, Taken>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Of a server that cannot be reached: one line for all.
    away: Arc<Seldom>,
}

impl<D: Dispatcher> Gateway<D> {
    /// Has functions work on the messages that they subscribe to by these snapshots, until `stop`; then lets those finish that are
    /// worked on.
    ///
    /// # Cancel safety
    /// Dropping the future lets go of nothing: what is taken goes on being taken.
    pub async fn run_queues(
        &self,
        queues: Arc<dyn Queues>,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        stop: CancellationToken,
    ) {
        let sweeping = sweep::keep_clean(Arc::clone(&queues), snapshots.clone());
        let mut takers = Takers {
            gateway: self.clone(),
            queues,
            taken: BTreeMap::new(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
            away: Arc::new(Seldom::new(1)),
        };
        let following = async {
            loop {
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                // A message that came before would find no function.
                self.routed(snapshot.version).await;
                takers.follow(&snapshot, Timestamp::now());
                if snapshots.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = following => {}
            () = sweeping => {}
        }
        for taken in takers.taken.values() {
            taken.stop.cancel();
        }
        takers.tasks.close();
        takers.tasks.wait().await;
    }
}

impl<D: Dispatcher> Takers<D> {
    /// Takes the messages of the subscriptions of this snapshot, and of no others.
    fn follow(&mut self, snapshot: &Snapshot, now: Timestamp) {
        let mut before = std::mem::take(&mut self.taken);
        for function in snapshot.functions.values() {
            let revision = function.current();
            for subscription in &revision.settings.subscriptions {
                let terms = subscription.terms(&revision.settings.jobs);
                let key = SubscriptionKey { function: function.name.clone(), subject: subscription.subject.clone() };
                let taken = match before.remove(&key) {
                    Some(taken) if taken.subscription == *subscription && taken.terms == terms => taken,
                    Some(taken) => {
                        taken.stop.cancel();
                        self.take(key.clone(), subscription, terms, (now, snapshot.version))
                    }
                    None => {
                        let since = begins(revision.created, now);
                        self.take(key.clone(), subscription, terms, (since, snapshot.version))
                    }
                };
                self.taken.insert(key, taken);
            }
        }
        for (key, taken) in before {
            taken.stop.cancel();
            self.gateway.inner().queues.forget(&key);
            let removing = sweep::remove(Arc::clone(&self.queues), key, snapshot.version);
            // What is not removed now is swept away later.
            self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(removing));
        }
    }

    fn take(
        &self,
        key: SubscriptionKey,
        subscription: &Subscription,
        terms: JobSettings,
        (since, version): (Timestamp, u64),
    ) -> Taken {
        let stop = CancellationToken::new();
        let source = Source {
            counts: self.gateway.inner().queues.of(&key),
            key,
            path: subscription.path.clone(),
            terms: terms.clone(),
            from_oldest: subscription.start == Start::All,
            since,
            version,
            away: Arc::clone(&self.away),
        };
        let taking = taker::take(
            self.gateway.clone(),
            Arc::clone(&self.queues),
            Arc::new(source),
            stop.clone(),
            self.tasks.clone(),
        );
        self.tasks.spawn(taking);
        Taken { subscription: subscription.clone(), terms, stop }
    }
}

/// From when on messages count, for a subscription that this process sees first now.
fn begins(deployed: Timestamp, now: Timestamp) -> Timestamp {
    let just = now.duration_since(deployed) < JUST_DEPLOYED.try_into().unwrap_or_default();
    if just { deployed } else { now }
}
