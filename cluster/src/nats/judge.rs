//! The task that decides which members are suspect or gone: when time passes, when something is heard, and when the
//! connection to NATS comes or goes. A store that is not this cluster's is as good as none.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Nats;
use super::buckets::Bucket;
use super::lease::put;
use super::member_table::{MemberTable, Record};

/// Changes that follow each other this closely are shown at once.
const PAUSE: Duration = Duration::from_millis(10);
/// A key that is written to see whether the bucket can be written. No member has this name.
const PROBE: &str = "probe.store";

/// What the judge works with.
pub(super) struct Judge<R: Record> {
    pub(super) nats: Nats,
    pub(super) bucket: Bucket,
    pub(super) table: Arc<MemberTable<R>>,
}

impl<R: Record> Judge<R> {
    /// Runs until it is aborted.
    pub(super) async fn run(self) {
        let expiry = self.nats.config().host_expiry;
        let mut link = self.nats.link();
        // From when on silence counts again.
        let mut trusted = Instant::now() + expiry;
        loop {
            tokio::select! {
                () = self.table.changed.notified() => {}
                () = sleep(expiry / 15) => {}
                changed = link.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    trusted = Instant::now() + expiry;
                }
            }
            link.mark_unchanged();
            if !self.nats.is_usable() || (Instant::now() >= trusted && self.nobody_can_renew(expiry).await) {
                trusted = Instant::now() + expiry;
            }
            self.table.judge(expiry, Instant::now() < trusted);
            sleep(PAUSE).await;
        }
    }

    /// When nobody at all is heard, it may be the store that is down behind a connection that is up: writing tells.
    async fn nobody_can_renew(&self, expiry: Duration) -> bool {
        if self.table.silence().is_none_or(|silence| silence < expiry / 3) {
            return false;
        }
        let written = timeout(expiry / 3, put(&self.nats, &self.bucket.subject(PROBE), Vec::new(), None)).await;
        !matches!(written, Ok(Ok(_)))
    }
}
