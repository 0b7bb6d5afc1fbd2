//! Artifacts of peers, while the object store cannot be reached.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use samovar_model::Digest;

use super::artifacts::Store;
use super::config;
use super::server::Server;
use crate::contract::store;
use crate::nats::NatsConfig;
use crate::{ArtifactError, Artifacts as _, PeerBytes, Peers};

const COMPONENT: &[u8] = b"component";

/// What a peer answers with.
#[derive(Clone, Copy)]
enum Answer {
    Bytes(&'static [u8]),
    /// Half of the component, then an error.
    BrokenOff,
    /// Half of the component, then nothing.
    Stuck,
}

/// Peers that answer as they were told to, and count who was asked.
struct Fake {
    answers: Vec<Answer>,
    asked: Arc<AtomicUsize>,
}

impl Peers for Fake {
    fn fetch(&self, _: &Digest) -> BoxStream<'static, PeerBytes> {
        let asked = self.asked.clone();
        let answer = move |answer| {
            asked.fetch_add(1, Relaxed);
            let half = stream::iter([Ok(Bytes::from_static(&COMPONENT[..4]))]);
            match answer {
                Answer::Bytes(bytes) => {
                    stream::iter(bytes.chunks(2).map(|chunk| Ok(Bytes::from_static(chunk)))).boxed()
                }
                Answer::BrokenOff => half.chain(stream::iter([Err(io::Error::other("reset"))])).boxed(),
                Answer::Stuck => half.chain(stream::pending()).boxed(),
            }
        };
        stream::iter(self.answers.clone()).map(answer).boxed()
    }
}

/// A process with these peers, and how many of them it asked.
async fn with_peers(config: NatsConfig, answers: &[Answer]) -> (Store, Arc<AtomicUsize>) {
    let store = Store::open(config).await;
    let asked = Arc::default();
    assert!(store.artifacts.set_peers(Arc::new(Fake { answers: answers.to_vec(), asked: Arc::clone(&asked) })));
    (store, asked)
}

/// NATS is not there.
fn away() -> NatsConfig {
    let (patience, answer_timeout) = (Duration::from_millis(50), Duration::from_millis(200));
    NatsConfig { patience, answer_timeout, ..NatsConfig::new(["nats://127.0.0.1:1"]) }
}

#[tokio::test]
async fn while_nats_is_away_a_peer_is_asked_once_and_its_bytes_are_kept() {
    let (host, asked) = with_peers(away(), &[Answer::Bytes(COMPONENT), Answer::Bytes(COMPONENT)]).await;
    let digest = Digest::of(COMPONENT);
    assert!(matches!(host.artifacts.local(&digest).await, Err(ArtifactError::Missing(_))));
    for _ in 0..3 {
        assert_eq!(host.read(&digest).await.unwrap(), COMPONENT);
    }
    assert_eq!(asked.load(Relaxed), 1);
    assert!(host.artifacts.local(&digest).await.is_ok(), "it has a copy of its own");
}

#[tokio::test]
async fn wrong_bytes_of_a_peer_are_refused_and_the_next_one_is_asked() {
    let answers = [Answer::Bytes(b"c0mponent"), Answer::BrokenOff, Answer::Stuck, Answer::Bytes(b"")];
    let digest = Digest::of(COMPONENT);
    let (host, asked) = with_peers(away(), &[answers.as_slice(), &[Answer::Bytes(COMPONENT)]].concat()).await;
    assert_eq!(host.read(&digest).await.unwrap(), COMPONENT);
    assert_eq!(asked.load(Relaxed), 5);

    let (host, _) = with_peers(away(), &answers).await;
    let refused = host.read(&digest).await;
    assert!(matches!(refused, Err(ArtifactError::Unavailable(_))), "{refused:?}");
    let kept = |dir: &str| std::fs::read_dir(host.dir.path().join("artifacts").join(dir)).unwrap().count();
    assert_eq!((kept("sha256"), kept("tmp")), (0, 0), "nothing of it is left");
}

#[tokio::test]
async fn without_peers_that_have_it_an_artifact_is_unavailable() {
    let (host, asked) = with_peers(away(), &[]).await;
    let missing = host.read(&Digest::of(COMPONENT)).await;
    assert!(matches!(missing, Err(ArtifactError::Unavailable(_))), "{missing:?}");
    assert_eq!(asked.load(Relaxed), 0);
}

#[tokio::test]
async fn peers_are_asked_only_where_the_object_store_fails() {
    let server = Server::start();
    let uploader = Store::open(config(&server)).await;
    let (host, asked) = with_peers(config(&server), &[Answer::Bytes(COMPONENT)]).await;
    let there = store(&*uploader.artifacts, b"there").await;
    assert_eq!(host.read(&there).await.unwrap(), b"there");
    let nowhere = host.read(&Digest::of(b"nowhere")).await;
    assert!(matches!(nowhere, Err(ArtifactError::Missing(_))), "{nowhere:?}");
    assert_eq!(asked.load(Relaxed), 0);

    let digest = Digest::of(COMPONENT);
    let objects = uploader.nats.jetstream().get_object_store("samovar_artifact").await.unwrap();
    objects.put(digest.to_string().as_str(), &mut &b"c0mponent"[..]).await.unwrap();
    assert_eq!(host.read(&digest).await.unwrap(), COMPONENT, "what is damaged there may be whole at a peer");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_as_good_as_away() {
    let server = Server::start();
    let quick = NatsConfig { answer_timeout: Duration::from_millis(500), ..config(&server) };
    let (host, asked) = with_peers(quick, &[Answer::Bytes(COMPONENT)]).await;
    server.stop();
    let read = host.read(&Digest::of(COMPONENT)).await;
    server.resume();
    assert_eq!(read.unwrap(), COMPONENT);
    assert_eq!(asked.load(Relaxed), 1);
}
