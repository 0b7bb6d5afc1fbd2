//! Subscriptions to queues, as deploys meet them: refused where no message can come, begun before the deploy is acknowledged.

use samovar_cluster::QueueError;
use samovar_cluster::queues::{Begin, Wanted};
use samovar_model::{FunctionName, FunctionState, Settings, Start, SubscriptionKey};

use crate::Control;
use crate::problem::{Kind, Problem};

/// Whether messages can come for each subscription of a function with these settings.
///
/// # Errors
/// The first for which none can, with what to do.
pub(crate) async fn check(control: &Control, name: &FunctionName, settings: &Settings) -> Result<(), Problem> {
    let Some(first) = settings.subscriptions.first() else { return Ok(()) };
    let refused = |subject, reason: &str| format!("function.{name}.subscribe = {subject}: {reason}");
    let Some(queues) = control.0.platform.queues() else {
        let reason = "this platform is one process, and messages come from the NATS server that joins a cluster: deploy to a \
                      cluster, or leave the key out";
        return Err(Problem::new(Kind::Refused, refused(&first.subject, reason)));
    };
    for subscription in &settings.subscriptions {
        if let Err(error) = queues.check(&subscription.subject).await {
            let kind = match error {
                QueueError::Unavailable(_) => Kind::Unavailable,
                QueueError::NoStream(_) | QueueError::Refused(_) => Kind::Refused,
            };
            return Err(Problem::new(kind, refused(&subscription.subject, &error.to_string())));
        }
    }
    Ok(())
}

/// Begins the subscriptions of the revision that answers, which a snapshot of this version shows: a message that is published from
/// now on is not missed. Gateways do the same; what fails here is told, and they go on trying.
pub(crate) async fn begin(control: &Control, function: &FunctionState, version: u64) -> Vec<String> {
    let settings = &function.current().settings;
    let Some(queues) = control.0.platform.queues() else { return Vec::new() };
    let mut warnings = Vec::new();
    for subscription in &settings.subscriptions {
        let key = SubscriptionKey { function: function.name.clone(), subject: subscription.subject.clone() };
        let begin = match subscription.start {
            Start::All => Begin::Oldest,
            Start::New => Begin::Now,
        };
        let concurrency = subscription.terms(&settings.jobs).concurrency;
        match queues.open(&Wanted { key, begin, version, concurrency }).await {
            Ok(queue) => queue.close().await,
            Err(error) => {
                let subject = &subscription.subject;
                tracing::warn!(%error, function = %function.name, %subject, "a subscription has not begun yet");
                warnings
                    .push(format!("the subscription to `{subject}` has not begun yet, and is tried again: {error}"));
            }
        }
    }
    warnings
}
