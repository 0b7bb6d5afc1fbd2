//! Messages of JetStream subjects: who gets them, how often, and what becomes of a subscription's place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use jiff::Timestamp;
use samovar_model::SubscriptionKey;
use tokio::time::{Instant, timeout};

use super::config;
use super::server::Server;
use crate::nats::{Nats, NatsQueues};
use crate::queues::{Begin, Delivered, Fate, Queue, QueueError, Queues, Wanted};

/// A server, and a process that is connected to it.
struct Rig {
    server: Server,
    nats: Nats,
    queues: NatsQueues,
}

impl Rig {
    async fn start() -> Self {
        let server = Server::start();
        let nats = Nats::connect(config(&server)).await.unwrap();
        let queues = NatsQueues::open(&nats);
        Self { server, nats, queues }
    }

    /// Another process.
    async fn another(&self) -> NatsQueues {
        NatsQueues::open(&Nats::connect(config(&self.server)).await.unwrap())
    }

    async fn stream(&self, name: &str, subject: &str) {
        let config = Config { name: name.to_owned(), subjects: vec![subject.to_owned()], ..Config::default() };
        self.nats.jetstream().create_stream(config).await.unwrap();
    }

    async fn publish(&self, subject: &str, text: &str) {
        self.publish_with(subject, text, HeaderMap::new()).await;
    }

    async fn publish_with(&self, subject: &str, text: &str, headers: HeaderMap) {
        let text = text.to_owned().into();
        let sent = self.nats.jetstream().publish_with_headers(subject.to_owned(), headers, text).await.unwrap();
        sent.await.unwrap();
    }

    async fn try_publish(&self, subject: &str, text: &'static str) -> Result<(), PublishError> {
        self.nats.jetstream().publish(subject.to_owned(), text.into()).await?.await.map(drop)
    }

    async fn open(&self, subject: &str) -> Box<dyn Queue> {
        self.queues.open(&wanted(subject, Begin::Oldest)).await.unwrap()
    }

    async fn consumer(&self, stream: &str, subject: &str) -> Option<Info> {
        let name = self.queues.name(&key(subject));
        self.nats.jetstream().get_stream(stream).await.unwrap().consumer_info(name).await.ok()
    }
}

fn key(subject: &str) -> SubscriptionKey {
    SubscriptionKey { function: "mailer".parse().unwrap(), subject: subject.parse().unwrap() }
}

fn wanted(subject: &str, begin: Begin) -> Wanted {
    Wanted { key: key(subject), begin, version: 5, concurrency: 8 }
}

async fn next(queue: &mut Box<dyn Queue>) -> Delivered {
    timeout(Duration::from_secs(20), queue.next(8)).await.expect("a message in time").unwrap()
}

/// Its text, after it was settled.
async fn settle(delivered: Delivered, fate: Fate) -> String {
    let text = String::from_utf8(delivered.message.data.to_vec()).unwrap();
    delivered.lease.settle(fate).await.unwrap();
    text
}

async fn nothing_comes(queue: &mut Box<dyn Queue>) {
    assert!(timeout(Duration::from_millis(300), queue.next(8)).await.is_err(), "there should be nothing");
}

#[tokio::test]
async fn a_subject_must_be_kept_in_one_stream_that_is_not_samovars_own() {
    let rig = Rig::start().await;
    let check = async |subject: &str| rig.queues.check(&subject.parse().unwrap()).await;
    let Err(QueueError::NoStream(told)) = check("orders.*").await else { panic!("there is none") };
    assert!(told.contains("nats stream add ORDERS --subjects 'orders.*' --defaults"), "{told}");
    // There are streams of Samovar's own, and all their subjects match.
    assert!(matches!(check(">").await, Err(QueueError::NoStream(_))));
    rig.stream("ORDERS", "orders.>").await;
    assert_eq!((check("orders.*").await, check(">").await, check("orders.a.b").await), (Ok(()), Ok(()), Ok(())));
    rig.stream("OTHERS", "others.>").await;
    let Err(QueueError::NoStream(told)) = check(">").await else { panic!("there are two") };
    assert!(told.contains("ORDERS, OTHERS"), "{told}");
}

#[tokio::test]
async fn a_message_tells_what_it_is_and_where_it_came_from() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    let before = Timestamp::now();
    rig.publish("orders.new", "one").await;
    let headers = HeaderMap::from_iter([("Nats-Msg-Id".parse().unwrap(), "A-1".parse().unwrap())]);
    rig.publish_with("orders.paid", "two", headers).await;
    let mut queue = rig.open("orders.*").await;
    let first = next(&mut queue).await;
    assert_eq!((first.message.subject.as_str(), first.message.id.as_str()), ("orders.new", "ORDERS:1"));
    assert_eq!((first.message.source.as_str(), first.message.kind), ("/nats/ORDERS", "io.nats.message"));
    assert_eq!((first.place.as_str(), first.attempt, first.pending), ("ORDERS:1", 1, 1));
    assert!(first.message.time.duration_since(before).as_secs() < 10, "{}", first.message.time);
    let second = next(&mut queue).await;
    assert_eq!((second.message.id.as_str(), second.place.as_str()), ("A-1", "ORDERS:2"));
    assert_eq!(second.message.headers, [("Nats-Msg-Id".to_owned(), "A-1".to_owned())]);
}

#[tokio::test]
async fn done_and_dead_are_not_delivered_again_and_others_after_a_while() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    for text in ["done", "dead", "again"] {
        rig.publish("orders.new", text).await;
    }
    let mut queue = rig.open("orders.*").await;
    let mut since = Instant::now();
    for _ in 0..3 {
        let delivered = next(&mut queue).await;
        let fate = match &delivered.message.data[..] {
            b"done" => Fate::Done,
            b"dead" => Fate::Dead("answered 400".to_owned()),
            _ => Fate::Again(Duration::from_secs(1)),
        };
        settle(delivered, fate).await;
    }
    for attempt in 2..4 {
        let again = next(&mut queue).await;
        assert!(since.elapsed() > Duration::from_millis(900), "{:?}", since.elapsed());
        since = Instant::now();
        assert_eq!((&again.message.data[..], again.attempt), (&b"again"[..], attempt));
        settle(again, if attempt == 2 { Fate::Again(Duration::from_secs(1)) } else { Fate::Done }).await;
    }
    nothing_comes(&mut queue).await;
    let consumer = rig.consumer("ORDERS", "orders.*").await.unwrap();
    assert_eq!((consumer.num_ack_pending, consumer.num_pending, consumer.ack_floor.stream_sequence), (0, 0, 3));
}

#[tokio::test]
async fn the_server_is_not_asked_for_more_than_there_is_room_for() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    for number in 0..10 {
        rig.publish("orders.new", &number.to_string()).await;
    }
    let mut queue = rig.open("orders.*").await;
    let (first, second) = (queue.next(2).await.unwrap(), queue.next(1).await.unwrap());
    assert_eq!(rig.consumer("ORDERS", "orders.*").await.unwrap().num_ack_pending, 2);
    settle(first, Fate::Done).await;
    let third = queue.next(1).await.unwrap();
    assert_eq!(rig.consumer("ORDERS", "orders.*").await.unwrap().num_ack_pending, 2);
    drop((second, third));
}

#[tokio::test]
async fn two_processes_share_the_messages_and_none_comes_twice() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    let other = rig.another().await;
    let mut queues = [rig.open("orders.*").await, other.open(&wanted("orders.*", Begin::Oldest)).await.unwrap()];
    for number in 0..100 {
        rig.publish("orders.new", &number.to_string()).await;
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut from = [0; 2];
    while seen.len() < 100 {
        let [one, two] = &mut queues;
        let (who, delivered) = tokio::select! {
            delivered = next(one) => (0, delivered),
            delivered = next(two) => (1, delivered),
        };
        from[who] += 1;
        *seen.entry(settle(delivered, Fate::Done).await).or_default() += 1;
    }
    for queue in &mut queues {
        nothing_comes(queue).await;
    }
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    assert!(from.iter().all(|number| *number > 0), "{from:?}");
}

#[tokio::test]
async fn a_call_that_is_dropped_loses_no_message() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    let mut queue = rig.open("orders.*").await;
    for number in 0..50 {
        let text = number.to_string();
        let (delivered, ()) = tokio::join!(
            async {
                loop {
                    if let Ok(delivered) = timeout(Duration::from_micros(200), queue.next(1)).await {
                        break delivered.unwrap();
                    }
                }
            },
            rig.publish("orders.new", &text),
        );
        assert_eq!(delivered.attempt, 1);
        assert_eq!(settle(delivered, Fate::Done).await, text);
    }
}

#[tokio::test]
async fn a_place_is_kept_while_nobody_takes_and_begins_where_it_is_wanted() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    rig.publish("orders.a", "old").await;
    let middle = Timestamp::now();
    rig.publish("orders.a", "recent").await;
    let open = async |subject: &str, begin| rig.queues.open(&wanted(subject, begin)).await.unwrap();
    let mut now = open("orders.a", Begin::Now).await;
    let mut since = open("orders.*", Begin::Since(middle)).await;
    assert_eq!(settle(next(&mut since).await, Fate::Done).await, "recent");
    rig.publish("orders.a", "new").await;
    assert_eq!(settle(next(&mut now).await, Fate::Done).await, "new");
    assert_eq!(settle(next(&mut since).await, Fate::Done).await, "new");
    now.close().await;
    rig.publish("orders.a", "while it was closed").await;
    let mut again = open("orders.a", Begin::Now).await;
    assert_eq!(settle(next(&mut again).await, Fate::Done).await, "while it was closed");
    nothing_comes(&mut again).await;
}

#[tokio::test]
async fn a_work_queue_begins_with_what_it_has_and_has_one_taker() {
    let rig = Rig::start().await;
    let retention = RetentionPolicy::WorkQueue;
    let subjects = vec!["tasks.*".to_owned()];
    let config = Config { name: "TASKS".to_owned(), subjects, retention, ..Config::default() };
    rig.nats.jetstream().create_stream(config).await.unwrap();
    rig.publish("tasks.a", "waiting").await;
    let mut queue = rig.queues.open(&wanted("tasks.*", Begin::Now)).await.unwrap();
    assert_eq!(settle(next(&mut queue).await, Fate::Done).await, "waiting");
    let function = "other".parse().unwrap();
    let subject = "tasks.a".parse().unwrap();
    let second = Wanted { key: SubscriptionKey { function, subject }, ..wanted("tasks.*", Begin::Now) };
    let Err(QueueError::Refused(told)) = rig.queues.open(&second).await else { panic!("there are two") };
    assert!(told.starts_with("subscription to tasks.a of other: the stream is a work queue"), "{told}");
}

#[tokio::test]
async fn a_place_is_removed_unless_a_newer_revision_has_asked_for_it() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    let mut queue = rig.open("orders.*").await;
    rig.queues.remove(&key("orders.*"), 4).await.unwrap();
    assert!(rig.consumer("ORDERS", "orders.*").await.is_some(), "asked for by version 5");
    rig.queues.open(&Wanted { version: 7, ..wanted("orders.*", Begin::Now) }).await.unwrap().close().await;
    rig.queues.remove(&key("orders.*"), 6).await.unwrap();
    assert!(rig.consumer("ORDERS", "orders.*").await.is_some(), "asked for by version 7");
    rig.queues.remove(&key("orders.*"), 8).await.unwrap();
    assert!(rig.consumer("ORDERS", "orders.*").await.is_none());
    rig.queues.remove(&key("orders.*"), 8).await.expect("it is gone already");
    let error = timeout(Duration::from_secs(15), queue.next(1)).await.expect("it is told").err();
    assert!(matches!(error, Some(QueueError::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn a_sweep_removes_what_nobody_wants_and_nothing_of_others() {
    let rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    for subject in ["orders.*", "orders.a", "orders.b"] {
        rig.open(subject).await.close().await;
    }
    rig.queues.open(&Wanted { version: 9, ..wanted("orders.b", Begin::Now) }).await.unwrap().close().await;
    let stream = rig.nats.jetstream().get_stream("ORDERS").await.unwrap();
    let others = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("somebody".to_owned()),
        ..Default::default()
    };
    stream.create_consumer(others).await.unwrap();
    assert_eq!(rig.queues.retain(&BTreeSet::from([key("orders.*")]), 6).await, Ok(1));
    let left = stream.get_info().await.unwrap().state.consumer_count;
    assert_eq!(left, 3, "the one that is wanted, the newer one, and somebody's");
    assert!(rig.consumer("ORDERS", "orders.a").await.is_none());
}

#[tokio::test]
async fn messages_come_again_when_nats_is_back() {
    let mut rig = Rig::start().await;
    rig.stream("ORDERS", "orders.*").await;
    let mut queue = rig.open("orders.*").await;
    nothing_comes(&mut queue).await;
    rig.server.restart();
    // Whoever publishes is away for a moment, too.
    while rig.try_publish("orders.new", "after").await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let delivered = loop {
        match timeout(Duration::from_secs(20), queue.next(1)).await.expect("in time") {
            Ok(delivered) => break delivered,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(settle(delivered, Fate::Done).await, "after");
}
