//! What this thread logs, for tests that read it.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

/// Everything at `info` and above, except what the client of NATS says itself, from the tasks of this thread.
#[derive(Clone)]
pub(super) struct Log {
    written: Arc<Mutex<Vec<u8>>>,
    _guard: Arc<DefaultGuard>,
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(super) fn begin() -> Self {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let writer = Writer(written.clone());
        let format = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("info,async_nats=off"))
            .with_ansi(false)
            .with_writer(move || writer.clone());
        Self { written, _guard: Arc::new(tracing::subscriber::set_default(format.finish())) }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }

    /// The lines that have these words.
    pub(super) fn lines(&self, words: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(words)).map(ToOwned::to_owned).collect()
    }

    /// Waits until a line has these words.
    pub(super) async fn says(&self, words: &str) {
        let said = async {
            while self.lines(words).is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(Duration::from_secs(30), said).await.is_ok(), "nothing about `{words}`: {}", self.text());
    }
}
