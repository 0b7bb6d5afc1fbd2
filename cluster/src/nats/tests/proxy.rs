//! A connection to the server that can be held up, one way, from the moment that certain bytes pass.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToServer,
    ToClient,
}

/// Which bytes are waited for, on which way; taken when they are seen.
type Trap = Arc<Mutex<Option<(Way, Vec<u8>)>>>;

/// Holds up one direction of one connection, the first where the pattern is seen.
pub(super) struct Proxy {
    port: u16,
    trap: Trap,
    held: Arc<watch::Sender<bool>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let trap = Trap::default();
        let held = Arc::new(watch::Sender::new(false));
        let (trap_for_all, held_for_all) = (trap.clone(), held.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), upstream.into_split());
                let (trap, held) = (&trap_for_all, &held_for_all);
                tokio::spawn(carry(Way::ToServer, from_client, to_server, trap.clone(), held.clone()));
                tokio::spawn(carry(Way::ToClient, from_server, to_client, trap.clone(), held.clone()));
            }
        });
        Self { port, trap, held, accepting }
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// From the next bytes with this pattern on, nothing goes this way on that connection.
    pub(super) fn hold(&self, way: Way, pattern: &str) {
        *self.trap.lock().unwrap() = Some((way, pattern.as_bytes().to_vec()));
    }

    /// Waits until something is held.
    pub(super) async fn holds(&self) {
        let mut held = self.held.subscribe();
        timeout(Duration::from_secs(20), held.wait_for(|held| *held)).await.expect("the pattern is seen").unwrap();
    }

    /// Lets everything go that is held.
    pub(super) fn release(&self) {
        self.held.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, trap: Trap, held: Arc<watch::Sender<bool>>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let springs = {
            let mut trap = trap.lock().unwrap();
            let seen = |(on, pattern): &(Way, Vec<u8>)| {
                *on == way && buffer[..read].windows(pattern.len()).any(|bytes| bytes == pattern)
            };
            trap.as_ref().is_some_and(seen) && trap.take().is_some()
        };
        if springs {
            held.send_replace(true);
            held.subscribe().wait_for(|held| !held).await.unwrap();
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
