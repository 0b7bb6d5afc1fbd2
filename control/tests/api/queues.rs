//! Subscriptions, as deploys meet them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use samovar_cluster::queues::{Begin, Delivered, Wanted};
use samovar_cluster::{Queue, QueueError, Queues};
use samovar_model::api::Deployed;
use samovar_model::{SubjectPattern, SubscriptionKey};
use serde_json::{Value, json};

use crate::harness::{Api, problem};

/// Queues that have `orders.…` and nothing else, and remember what was opened.
#[derive(Default)]
struct FakeQueues {
    opened: Mutex<Vec<Wanted>>,
    /// Whether the server cannot be reached.
    away: Mutex<bool>,
    /// The same, once a deploy was let through.
    away_later: Mutex<bool>,
}

struct Empty;

#[async_trait]
impl Queue for Empty {
    async fn next(&mut self, _free: usize) -> Result<Delivered, QueueError> {
        std::future::pending().await
    }

    async fn close(self: Box<Self>) {}
}

#[async_trait]
impl Queues for FakeQueues {
    async fn check(&self, subject: &SubjectPattern) -> Result<(), QueueError> {
        if *self.away.lock().unwrap() {
            return Err(QueueError::Unavailable("no answer in time".to_owned()));
        }
        match subject.as_str().starts_with("orders.") {
            true => Ok(()),
            false => Err(QueueError::NoStream(format!("nobody keeps `{subject}`: make a stream"))),
        }
    }

    async fn open(&self, wanted: &Wanted) -> Result<Box<dyn Queue>, QueueError> {
        if *self.away_later.lock().unwrap() {
            return Err(QueueError::Unavailable("no answer in time".to_owned()));
        }
        self.opened.lock().unwrap().push(wanted.clone());
        Ok(Box::new(Empty))
    }

    async fn remove(&self, _key: &SubscriptionKey, _version: u64) -> Result<(), QueueError> {
        Ok(())
    }

    async fn retain(&self, _keys: &BTreeSet<SubscriptionKey>, _version: u64) -> Result<usize, QueueError> {
        Ok(0)
    }
}

fn with_queues() -> (Api, Arc<FakeQueues>) {
    let (api, queues) = (Api::start(), Arc::new(FakeQueues::default()));
    *api.platform.queues.lock().unwrap() = Some(Arc::clone(&queues) as _);
    (api, queues)
}

fn subscribed(subjects: &[&str]) -> Value {
    json!({ "subscribe": subjects })
}

#[tokio::test]
async fn a_deploy_is_refused_where_no_message_can_come() {
    let (api, queues) = with_queues();
    let refused = api.try_deploy("mailer", "0.2 x", subscribed(&["orders.*", "invoices.*"])).await;
    let detail = "function.mailer.subscribe = invoices.*: nobody keeps `invoices.*`: make a stream";
    assert_eq!(refused.problem(), problem(422, "component-refused", detail));
    *queues.away.lock().unwrap() = true;
    let later = api.try_deploy("mailer", "0.2 x", subscribed(&["orders.*"])).await;
    let detail = "function.mailer.subscribe = orders.*: the server of queues is not available: no answer in time";
    assert_eq!(later.problem(), problem(503, "unavailable", detail));
    assert!(queues.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn on_one_machine_a_subscription_is_refused_with_what_to_do() {
    let api = Api::start();
    let refused = api.try_deploy("mailer", "0.2 x", subscribed(&["orders.*"])).await;
    let detail = "function.mailer.subscribe = orders.*: this platform is one process, and messages come from the NATS server that \
                  joins a cluster: deploy to a cluster, or leave the key out";
    assert_eq!(refused.problem(), problem(422, "component-refused", detail));
}

#[tokio::test]
async fn a_subscription_has_begun_when_its_deploy_or_rollback_is_acknowledged() {
    let (api, queues) = with_queues();
    let first = json!({ "subscribe": [{ "subject": "orders.*", "concurrency": 3, "start": "all" }] });
    let first: Deployed = api.try_deploy("mailer", "0.2 x", first).await.json();
    assert!(first.changed && first.warnings.is_empty(), "{first:?}");
    api.try_deploy("mailer", "0.2 y", subscribed(&["orders.new"])).await;
    api.post("/v1/functions/mailer/rollback", "").await;
    let opened = queues.opened.lock().unwrap().clone();
    let seen: Vec<_> =
        opened.iter().map(|one| (one.key.subject.as_str(), one.begin, one.version, one.concurrency)).collect();
    assert_eq!(
        seen,
        [("orders.*", Begin::Oldest, 1, 3), ("orders.new", Begin::Now, 2, 8), ("orders.*", Begin::Oldest, 3, 3)]
    );
}

#[tokio::test]
async fn a_subscription_that_cannot_begin_yet_is_a_warning_since_the_deploy_is_done() {
    let (api, queues) = with_queues();
    *queues.away_later.lock().unwrap() = true;
    let deployed: Deployed = api.try_deploy("mailer", "0.2 x", subscribed(&["orders.*"])).await.json();
    let warning = "the subscription to `orders.*` has not begun yet, and is tried again: the server of queues is not available: no \
                   answer in time";
    assert_eq!((deployed.changed, deployed.warnings), (true, vec![warning.to_owned()]));
}
