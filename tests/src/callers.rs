//! Callers that go on calling a function while something else happens beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::node::Node;

/// Callers of one path. Each must be answered in an ordinary way every time.
pub struct Callers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Vec<Duration>>>,
}

impl Callers {
    /// Starts so many, of whom each calls again as soon as it is answered.
    pub fn start(node: &Node, path: &'static str, number: usize) -> Self {
        Self::new(node, path, number, None)
    }

    /// Starts one, who pauses after each answer.
    pub fn one_with_pauses(node: &Node, path: &'static str, pause: Duration) -> Self {
        Self::new(node, path, 1, Some(pause))
    }

    fn new(node: &Node, path: &'static str, number: usize, pause: Option<Duration>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let tasks = (0..number).map(|_| {
            let (call, stop) = (node.call_maker(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    call(path).send().await.ok();
                    latencies.push(begun.elapsed());
                    if let Some(pause) = pause {
                        tokio::time::sleep(pause).await;
                    }
                }
                latencies
            })
        });
        Self { tasks: tasks.collect(), stop }
    }

    /// Has them stop, and tells how long each call took, the shortest first.
    ///
    /// # Panics
    /// When one was not answered in an ordinary way, or no one was answered at all.
    pub async fn stop(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for task in self.tasks {
            latencies.extend(task.await.expect("every call is answered"));
        }
        assert!(!latencies.is_empty(), "nobody was answered");
        latencies.sort_unstable();
        latencies
    }
}
