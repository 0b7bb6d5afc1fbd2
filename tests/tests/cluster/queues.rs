//! Functions that subscribe to subjects of JetStream: what they see, what becomes of messages, and which deploys are refused.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::{self, Context, stream};
use futures_util::TryStreamExt as _;
use samovar_tests::{Cluster, ClusterBuilder, Inbox, Node, eventually};

/// A cluster, a client of its NATS server, and who is told what the function `mailer` gets.
struct Rig {
    cluster: Cluster,
    jetstream: Context,
    inbox: Inbox,
}

impl Rig {
    async fn start(builder: ClusterBuilder) -> Self {
        let cluster = builder.start().await;
        let client = async_nats::connect(cluster.nats.urls()).await.unwrap();
        let rig = Self { cluster, jetstream: jetstream::new(client), inbox: Inbox::start().await };
        let subjects = vec!["orders.>".to_owned()];
        let config = stream::Config { name: "ORDERS".to_owned(), subjects, ..stream::Config::default() };
        rig.jetstream.create_stream(config).await.unwrap();
        rig
    }

    /// Deploys the function `mailer` with these lines in its manifest.
    async fn subscribe(&self, lines: &str) {
        let settings = format!("{}\n{lines}", self.inbox.settings());
        self.cluster.api().function("mailer").guest("relay").with(&settings).deploy().await;
    }

    async fn publish(&self, subject: &str, text: &str) {
        self.publish_with(subject, text, HeaderMap::new()).await;
    }

    async fn publish_with(&self, subject: &str, text: &str, headers: HeaderMap) {
        let text = text.to_owned().into();
        self.jetstream.publish_with_headers(subject.to_owned(), headers, text).await.unwrap().await.unwrap();
    }

    /// The consumers of the stream.
    async fn consumers(&self) -> Vec<Info> {
        let stream = self.jetstream.get_stream("ORDERS").await.unwrap();
        stream.consumers().try_collect().await.unwrap()
    }

    /// Waits until every message is settled.
    async fn settled(&self) {
        let left = async || {
            let consumers = self.consumers().await;
            consumers.iter().map(|consumer| (consumer.num_pending, consumer.num_ack_pending)).collect::<Vec<_>>()
        };
        eventually("every message is settled", left, |left| left == &[(0, 0)]).await;
    }
}

fn small() -> ClusterBuilder {
    Cluster::builder().hosts(1).gateways(1)
}

#[tokio::test]
async fn a_message_is_a_post_in_the_binary_mode_of_cloudevents_and_done_with_a_2xx() {
    let rig = Rig::start(small()).await;
    rig.publish("orders.eu.early", "before the subscription").await;
    rig.subscribe("[[subscribe]]\nsubject = 'orders.eu.*'\npath = '/new?x=y'").await;
    rig.publish("orders.us.new", "another subject").await;
    rig.publish("orders.eu.new", "the order").await;
    let headers = HeaderMap::from_iter(
        [
            ("Nats-Msg-Id", "A-1"),
            ("ce-type", "com.example.order"),
            ("Content-Type", "application/json"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-samovar-job", "forged"),
        ]
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())),
    );
    rig.publish_with("orders.eu.paid", "{}", headers).await;
    rig.settled().await;
    let mut seen = rig.inbox.seen();
    seen.sort_by_key(|seen| seen.headers["ce-time"].clone());
    let [plain, event] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((plain.method.as_str(), plain.path.as_str(), plain.body.as_str()), ("POST", "/new?x=y", "the order"));
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "ORDERS:3"),
        ("ce-source", "/nats/ORDERS"),
        ("ce-type", "io.nats.message"),
        ("ce-subject", "orders.eu.new"),
        ("content-type", "application/octet-stream"),
        ("x-samovar-attempt", "1"),
        ("x-samovar-subject", "orders.eu.new"),
    ] {
        assert_eq!(plain.headers[name], value, "{name}");
    }
    assert!(plain.headers["ce-time"].ends_with('Z') && !plain.headers["x-request-id"].is_empty(), "{plain:?}");
    assert_eq!((event.body.as_str(), event.headers["ce-id"].as_str()), ("{}", "A-1"));
    assert_eq!(
        (event.headers["ce-type"].as_str(), event.headers["content-type"].as_str()),
        ("com.example.order", "application/json")
    );
    assert_eq!(event.headers["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!(!event.headers.contains_key("x-samovar-job"), "{event:?}");
}

#[tokio::test]
async fn what_fails_comes_again_after_a_while_and_what_is_refused_does_not() {
    let rig = Rig::start(small()).await;
    rig.inbox.answer(|seen| match (seen.body.as_str(), seen.headers["x-samovar-attempt"].as_str()) {
        ("wrong", _) => (400, None),
        ("slow", "1") => (503, Some(3)),
        ("poison", _) | ("once", "1") => (500, None),
        _ => (200, None),
    });
    rig.subscribe("subscribe = ['orders.*']\njobs = { retries = 1, backoff = '1s' }").await;
    for text in ["wrong", "slow", "poison", "once", "fine"] {
        rig.publish("orders.new", text).await;
    }
    rig.settled().await;
    let times: Vec<_> = rig.inbox.bodies().into_iter().collect();
    let expected = [("fine", 1), ("once", 2), ("poison", 2), ("slow", 2), ("wrong", 1)];
    assert_eq!(times, expected.map(|(text, times)| (text.to_owned(), times)));
    let seen = rig.inbox.seen();
    let between = |text: &str| {
        let attempts: Vec<_> = seen.iter().filter(|seen| seen.body == text).collect();
        assert_eq!(attempts[1].headers["x-samovar-attempt"], "2", "{text}");
        assert_eq!(attempts[0].headers["ce-id"], attempts[1].headers["ce-id"], "{text}");
        attempts[1].at.duration_since(attempts[0].at)
    };
    for text in ["once", "poison"] {
        assert!(between(text) >= Duration::from_millis(500), "{text}: {:?}", between(text));
    }
    assert!(between("slow") >= Duration::from_secs(3), "it asked for that: {:?}", between("slow"));
}

#[tokio::test]
async fn a_message_that_is_given_up_is_told_in_the_gateways_log() {
    let mut rig = Rig::start(small()).await;
    rig.inbox.answer(|_| (422, None));
    rig.subscribe("subscribe = 'orders.*'").await;
    rig.publish("orders.new", "wrong").await;
    rig.settled().await;
    let (_, said) = rig.cluster.gateway(0).stop().await;
    let line = said.lines().find(|line| line.contains("a message is given up")).unwrap_or_else(|| panic!("{said}"));
    for part in ["mailer", "orders.*", "orders.new", "ORDERS:1", "422 Unprocessable Entity"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn two_gateways_share_the_messages_and_none_is_run_twice() {
    let rig = Rig::start(Cluster::builder().hosts(1).gateways(2)).await;
    rig.subscribe("subscribe = ['orders.*']").await;
    let asking = async || rig.consumers().await.iter().map(|consumer| consumer.num_waiting).sum::<usize>();
    eventually("both gateways ask for messages", asking, |number| *number == 2).await;
    for number in 0..200 {
        rig.publish("orders.new", &number.to_string()).await;
    }
    rig.settled().await;
    let bodies = rig.inbox.bodies();
    assert_eq!(bodies.len(), 200);
    assert!(bodies.values().all(|times| *times == 1), "{bodies:?}");
}

#[tokio::test]
async fn kill_9_of_a_gateway_loses_no_message_that_was_under_way() {
    let mut rig = Rig::start(Cluster::builder().hosts(1).gateways(2)).await;
    rig.inbox.hold();
    rig.subscribe("subscribe = ['orders.*']\njobs.concurrency = 4").await;
    for number in 0..40 {
        rig.publish("orders.new", &number.to_string()).await;
    }
    let begun = async || rig.inbox.seen().len();
    // As many as both may run, and no more.
    eventually("both gateways have what they may run", begun, |number| *number == 8).await;
    rig.cluster.gateway(0).kill();
    rig.inbox.release();
    rig.settled().await;
    let bodies = rig.inbox.bodies();
    assert_eq!(bodies.len(), 40);
    let repeated = bodies.values().filter(|times| **times > 1).count();
    assert_eq!(repeated, 4, "those that the dead one was at, and no others: {bodies:?}");
}

#[tokio::test]
async fn a_gateway_that_stops_lets_finish_what_it_is_at() {
    let mut rig = Rig::start(small()).await;
    rig.inbox.hold();
    rig.subscribe("subscribe = ['orders.*']\njobs.concurrency = 4").await;
    for number in 0..4 {
        rig.publish("orders.new", &number.to_string()).await;
    }
    eventually("all are under way", async || rig.inbox.seen().len(), |number| *number == 4).await;
    rig.inbox.release();
    let (code, said) = rig.cluster.gateway(0).stop().await;
    assert_eq!(code, Some(0), "{said}");
    rig.settled().await;
    assert!(rig.inbox.bodies().values().all(|times| *times == 1), "{:?}", rig.inbox.bodies());
}

#[tokio::test]
async fn while_no_host_is_there_messages_wait_and_use_up_no_attempt() {
    let mut rig = Rig::start(small()).await;
    rig.subscribe("subscribe = ['orders.*']\njobs = { retries = 0, backoff = '500ms' }").await;
    rig.cluster.host(0).stop().await;
    rig.publish("orders.new", "patient").await;
    let pending = async || rig.consumers().await[0].num_ack_pending;
    eventually("it is taken", pending, |number| *number == 1).await;
    rig.cluster.host(0).start().await;
    rig.settled().await;
    let seen = rig.inbox.seen();
    let [seen] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((seen.body.as_str(), seen.headers["x-samovar-attempt"].as_str()), ("patient", "1"));
}

#[tokio::test]
async fn messages_go_on_when_nats_is_back_and_when_a_gateway_is() {
    let mut rig = Rig::start(small()).await;
    rig.subscribe("subscribe = ['orders.*']").await;
    rig.publish("orders.new", "before").await;
    rig.settled().await;
    rig.cluster.nats[0].restart();
    let published = async || match rig.jetstream.publish("orders.new", "after NATS".into()).await {
        Ok(sent) => sent.await.is_ok(),
        Err(_) => false,
    };
    eventually("NATS takes messages again", published, |published| *published).await;
    let told = async || rig.inbox.bodies();
    eventually("it is delivered", told, |bodies| bodies.contains_key("after NATS")).await;
    rig.cluster.gateway(0).kill();
    rig.publish("orders.new", "while there was no gateway").await;
    rig.cluster.gateway(0).start().await;
    let told = async || rig.inbox.bodies();
    eventually("it is delivered", told, |bodies| bodies.contains_key("while there was no gateway")).await;
    rig.settled().await;
}

#[tokio::test]
async fn a_place_stays_over_deploys_and_goes_with_the_subscription() {
    let rig = Rig::start(small()).await;
    let names = async || rig.consumers().await.into_iter().map(|consumer| consumer.name).collect::<Vec<_>>();
    rig.subscribe("subscribe = ['orders.*']").await;
    let [first] = rig.consumers().await.try_into().expect("it is there when the deploy is acknowledged");
    assert!(first.name.starts_with("samovar_mailer_"), "{}", first.name);
    rig.subscribe("subscribe = ['orders.*']\njobs.concurrency = 100").await;
    let changed = async || rig.consumers().await[0].config.max_ack_pending;
    eventually("the gateway has brought it up to date", changed, |number| *number == 3200).await;
    assert_eq!(rig.consumers().await[0].created, first.created, "it is the same");
    rig.cluster.api().rollback("mailer", None).await.ok();
    rig.publish("orders.new", "after the rollback").await;
    rig.settled().await;
    assert_eq!(rig.consumers().await[0].created, first.created, "it is the same");
    rig.subscribe("").await;
    eventually("its place is gone", names, Vec::is_empty).await;
    rig.publish("orders.new", "for nobody").await;
    rig.subscribe("subscribe = ['orders.*']").await;
    rig.publish("orders.new", "for a new subscription").await;
    rig.settled().await;
    let bodies: Vec<_> = rig.inbox.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["after the rollback", "for a new subscription"]);
    rig.cluster.api().delete("mailer").await;
    eventually("its place is gone", names, Vec::is_empty).await;
}

#[tokio::test]
async fn a_deploy_is_refused_where_no_stream_has_the_subject_and_show_has_what_is_subscribed_to() {
    let rig = Rig::start(small()).await;
    let api = rig.cluster.api();
    let settings = format!("{}\nsubscribe = ['invoices.*']", rig.inbox.settings());
    let refused = api.function("mailer").guest("relay").with(&settings).try_deploy().await.unwrap_err();
    assert_eq!((refused.status, refused.problem.kind.as_str()), (422, "/problems/component-refused"));
    assert_eq!(
        refused.problem.detail,
        "function.mailer.subscribe = invoices.*: no JetStream stream keeps messages of `invoices.*`: make one, as in `nats \
         stream add INVOICES --subjects 'invoices.*' --defaults`"
    );
    rig.subscribe("[[subscribe]]\nsubject = 'orders.*'\nretries = 5").await;
    let shown = api.cli(&["show", "mailer"]).ok().await;
    assert!(shown.contains("orders.*, POST /, 8 at once on a gateway, 5 retries after 10s"), "{shown}");
}

#[tokio::test]
async fn on_one_machine_there_is_nothing_to_subscribe_to() {
    let node = Node::start().await;
    let refused = node.function("echo").with("subscribe = ['orders.*']").try_deploy().await.unwrap_err();
    assert_eq!(refused.status, 422);
    assert_eq!(
        refused.problem.detail,
        "function.echo.subscribe = orders.*: this platform is one process, and messages come from the NATS server that joins a \
         cluster: deploy to a cluster, or leave the key out"
    );
}
