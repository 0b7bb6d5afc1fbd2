//! The table of hosts in memory: what each told last, when it was heard, and what is thought of it.
//!
//! A host's state: what it says itself (ready, draining); suspect after half an expiry of silence; gone after a whole one.
//! Silence is measured by this process's own clock, and counts only while the store can be written: for one expiry after
//! it could not, no host becomes suspect or gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use samovar_model::{HostId, HostIntent, HostRecord, HostState, Hosts, Member};

use super::watcher::{Follower, Message};

/// A host that has been gone for this long is not shown any more.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// What the key begins with under which a host is asked for something. Hosts' names have no dots.
const ASK: &str = "ask.";

/// The table that the watcher feeds.
#[derive(Default)]
pub(super) struct HostTable {
    contents: Mutex<Contents>,
    /// Called at every change, for the task that judges.
    pub(super) changed: Notify,
    pub(super) shown: watch::Sender<Arc<Hosts>>,
    pub(super) asked: watch::Sender<Arc<BTreeMap<HostId, HostIntent>>>,
}

#[derive(Default)]
struct Contents {
    /// Absent before the first snapshot.
    version: Option<u64>,
    seen: BTreeMap<HostId, Seen>,
    /// When anything was heard from any host.
    heard: Option<Instant>,
}

struct Seen {
    record: Arc<HostRecord>,
    version: u64,
    heard: Instant,
    /// Whether the last snapshot had it: one that vanished is kept until its silence makes it gone.
    listed: bool,
}

/// A message of the snapshot.
pub(super) struct Drafted {
    key: String,
    value: Vec<u8>,
    version: u64,
    stored: SystemTime,
}

/// The key under which a host is asked for something.
pub(super) fn ask_key(host: &HostId) -> String {
    format!("{ASK}{host}")
}

/// A record, or nothing when it cannot be read or is another host's.
fn read(key: &str, value: &[u8]) -> Option<HostRecord> {
    match serde_json::from_slice::<HostRecord>(value) {
        Ok(record) if record.id.as_str() == key => Some(record),
        Ok(record) => {
            tracing::error!(key, found = %record.id, "a lease is not that of its host");
            None
        }
        Err(error) => {
            tracing::error!(key, %error, "a lease cannot be read");
            None
        }
    }
}

impl HostTable {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nothing has been heard from any host that should be heard; absent when there is none.
    pub(super) fn silence(&self) -> Option<Duration> {
        let contents = self.contents();
        let expected = !contents.seen.is_empty();
        expected.then(|| contents.heard.map_or(Duration::MAX, |heard| heard.elapsed()))
    }

    fn ask(&self, key: &str, value: &[u8]) -> bool {
        let Some(Ok(host)) = key.strip_prefix(ASK).map(str::parse::<HostId>) else { return false };
        let intent = serde_json::from_slice::<HostIntent>(value).unwrap_or_default();
        self.asked.send_if_modified(|asked| {
            let changed = asked.get(&host).copied().unwrap_or_default() != intent;
            if changed {
                Arc::make_mut(asked).insert(host, intent);
            }
            changed
        });
        true
    }

    /// Decides on every host's state, and shows it. While frozen nobody gets worse.
    pub(super) fn judge(&self, expiry: Duration, frozen: bool) {
        let mut contents = self.contents();
        let before = self.shown.borrow().clone();
        let mut members = BTreeMap::new();
        contents.seen.retain(|id, seen| {
            let silent = seen.heard.elapsed();
            let told = match seen.record.report.intent {
                HostIntent::Ready => HostState::Ready,
                HostIntent::Draining => HostState::Draining,
            };
            let state = match before.members.get(id) {
                _ if silent <= expiry / 2 => told,
                Some(member) if frozen => member.state,
                None if frozen && silent <= expiry => told,
                // Not heard since long before this process began: it may be there, others come first.
                None if frozen => HostState::Suspect,
                _ if silent <= expiry => HostState::Suspect,
                _ => HostState::Gone,
            };
            let keep = state != HostState::Gone || (seen.listed && silent < FORGOTTEN);
            if keep {
                members.insert(id.clone(), Member { record: seen.record.clone(), state });
            }
            // What is listed comes back with every snapshot: it is only not shown.
            keep || seen.listed
        });
        self.shown.send_if_modified(|shown| {
            let changed = shown.members != members;
            if changed {
                *shown = Arc::new(Hosts { members });
            }
            changed
        });
    }
}

impl Follower for HostTable {
    type Draft = Vec<Drafted>;

    fn version(&self) -> Option<u64> {
        self.contents().version
    }

    fn draft(&self, draft: &mut Self::Draft, message: &Message<'_>) {
        let Message { key, value, version, stored } = *message;
        draft.push(Drafted { key: key.to_owned(), value: value.to_owned(), version, stored });
    }

    fn replace(&self, draft: Self::Draft, version: u64, stream_went_back: bool) {
        let mut contents = self.contents();
        if contents.version.is_some_and(|known| version < known) && !stream_went_back {
            return;
        }
        contents.version = Some(version);
        // Somebody renews all the time, so the newest renewal tells what time it is by the server's clock.
        let server_time = draft.iter().map(|drafted| drafted.stored).max();
        let now = Instant::now();
        for seen in contents.seen.values_mut() {
            seen.listed = false;
        }
        for Drafted { key, value, version, stored } in draft {
            if self.ask(&key, &value) || value.is_empty() {
                continue;
            }
            let Some(record) = read(&key, &value) else { continue };
            match contents.seen.get_mut(&record.id) {
                Some(seen) if seen.version == version => seen.listed = true,
                _ => {
                    let age = server_time.and_then(|time| time.duration_since(stored).ok()).unwrap_or_default();
                    let heard = now.checked_sub(age).unwrap_or(now);
                    let seen = Seen { record: Arc::new(record), version, heard, listed: true };
                    contents.seen.insert(seen.record.id.clone(), seen);
                }
            }
        }
        drop(contents);
        self.changed.notify_one();
    }

    fn advance(&self, message: &Message<'_>) {
        let mut contents = self.contents();
        if contents.version.is_some_and(|known| message.version <= known) {
            return;
        }
        contents.version = Some(message.version);
        if self.ask(message.key, message.value) {
            return;
        }
        let now = Instant::now();
        contents.heard = Some(now);
        if message.value.is_empty() {
            if let Ok(id) = message.key.parse::<HostId>() {
                contents.seen.remove(&id);
            }
        } else if let Some(record) = read(message.key, message.value) {
            let seen = Seen { record: Arc::new(record), version: message.version, heard: now, listed: true };
            contents.seen.insert(seen.record.id.clone(), seen);
        }
        drop(contents);
        self.changed.notify_one();
    }
}
