//! The consumer of a subscription: made where it is not there, and brought up to date where it is.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::datetime;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, FromConsumer as _, Info, pull};
use async_nats::jetstream::stream::{ConsumerCreateStrictErrorKind, ConsumerUpdateErrorKind, RetentionPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};

use super::{find, unavailable};
use crate::queues::{Begin, EXTEND_EVERY, QueueError, Wanted};

/// After how much silence a message is given to another process.
const ACK_WAIT: Duration = EXTEND_EVERY.saturating_mul(3);
/// Messages under way and waiting for their next attempt, in the whole cluster. Past it nobody is given more: messages that fail
/// do not use up all that come after them before somebody has looked.
const MAX_PENDING: i64 = 1000;
/// The same for each message that one process works on at once: there may be many processes.
const MAX_PENDING_PER_PLACE: i64 = 32;
/// Pull requests that may wait: one for each gateway, and some that are given up.
const MAX_WAITING: i64 = 2048;
/// Under which key the metadata has the version of the snapshot.
const VERSION: &str = "samovar-version";

/// The version of the snapshot for which the consumer was asked for last.
pub(super) fn version(info: &Info) -> u64 {
    info.config.metadata.get(VERSION).and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// The subscription's consumer. One that is there keeps its place.
pub(super) async fn ensure(
    context: &Context,
    stream: &Stream,
    name: &str,
    wanted: &Wanted,
) -> Result<Consumer<pull::Config>, QueueError> {
    let info = match find(stream, name).await? {
        Some(info) => info,
        None => match stream.create_consumer_strict(new(stream, name, wanted)?).await {
            Ok(made) => return Ok(made),
            Err(error) => match error.kind() {
                // Another process was faster.
                ConsumerCreateStrictErrorKind::AlreadyExists => {
                    find(stream, name).await?.ok_or_else(|| unavailable("the consumer was made and is gone"))?
                }
                ConsumerCreateStrictErrorKind::JetStream(error) => return Err(refused(wanted, &error)),
                _ => return Err(unavailable(error)),
            },
        },
    };
    update(context, stream, &info, wanted).await
}

/// Brings a consumer up to date that was made by an earlier revision or another version of Samovar.
async fn update(
    context: &Context,
    stream: &Stream,
    info: &Info,
    wanted: &Wanted,
) -> Result<Consumer<pull::Config>, QueueError> {
    let found = pull::Config::try_from_consumer_config(info.config.clone());
    let found = found.map_err(|error| QueueError::Refused(format!("consumer {}: {error}", info.name)))?;
    let mut config = found.clone();
    tune(&mut config, wanted, version(info));
    if config == found {
        return Ok(Consumer::new(config, info.clone(), context.clone()));
    }
    stream.update_consumer(config).await.map_err(|error| match error.kind() {
        ConsumerUpdateErrorKind::JetStream(error) => refused(wanted, &error),
        _ => unavailable(error),
    })
}

fn new(stream: &Stream, name: &str, wanted: &Wanted) -> Result<pull::Config, QueueError> {
    let deliver_policy = match wanted.begin {
        Begin::Oldest => DeliverPolicy::All,
        // What such a stream has is what nobody has worked on: there is no other place to begin at.
        _ if stream.cached_info().config.retention == RetentionPolicy::WorkQueue => DeliverPolicy::All,
        Begin::Now => DeliverPolicy::New,
        Begin::Since(time) => {
            DeliverPolicy::ByStartTime { start_time: datetime::from_nanos(time.as_nanosecond()).map_err(unavailable)? }
        }
    };
    let mut config = pull::Config {
        durable_name: Some(name.to_owned()),
        description: Some(format!("Samovar: subscription to {}", wanted.key)),
        deliver_policy,
        ack_policy: AckPolicy::Explicit,
        filter_subject: wanted.key.subject.to_string(),
        max_waiting: MAX_WAITING,
        ..pull::Config::default()
    };
    tune(&mut config, wanted, 0);
    Ok(config)
}

/// What may change while the place stays.
fn tune(config: &mut pull::Config, wanted: &Wanted, version: u64) {
    config.ack_wait = ACK_WAIT;
    // How often is decided by the function's settings, and by what became of each attempt.
    config.max_deliver = -1;
    config.max_ack_pending = MAX_PENDING.max(i64::from(wanted.concurrency) * MAX_PENDING_PER_PLACE);
    config.metadata.extend(metadata(version.max(wanted.version)));
}

fn metadata(version: u64) -> HashMap<String, String> {
    HashMap::from([(VERSION.to_owned(), version.to_string())])
}

fn refused(wanted: &Wanted, error: &async_nats::jetstream::Error) -> QueueError {
    let key = &wanted.key;
    match error.error_code() {
        ErrorCode::CONSUMER_WQ_CONSUMER_NOT_UNIQUE | ErrorCode::CONSUMER_WQ_MULTIPLE_UNFILTERED => {
            QueueError::Refused(format!(
                "subscription to {key}: the stream is a work queue, and another consumer takes these messages already: \
                 remove that one, or make the stream without `--retention work`"
            ))
        }
        _ => QueueError::Refused(format!("subscription to {key}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use samovar_model::SubscriptionKey;

    use super::*;

    #[test]
    fn a_newer_version_is_never_taken_back() {
        let key = SubscriptionKey { function: "a".parse().unwrap(), subject: "b".parse().unwrap() };
        let wanted = Wanted { key, begin: Begin::Oldest, version: 3, concurrency: 100 };
        let mut config = pull::Config::default();
        tune(&mut config, &wanted, 7);
        assert_eq!(config.metadata[VERSION], "7");
        assert_eq!(config.max_ack_pending, 3200);
        tune(&mut config, &Wanted { version: 8, concurrency: 1, ..wanted }, 7);
        assert_eq!((config.metadata[VERSION].as_str(), config.max_ack_pending), ("8", 1000));
    }
}
