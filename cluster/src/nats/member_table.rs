//! A table of members in memory, of hosts or of gateways: what each told last, when it was heard, and what is thought of it.
//!
//! A member's standing: heard; suspect after half an expiry of silence; gone after a whole one. Silence is measured by this
//! process's own clock, and counts only while the store can be written: for one expiry after it could not, nobody becomes
//! suspect or gone.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use samovar_model::BootEpoch;

use super::watcher::{Follower, Message};

/// A member that has been gone for this long is not shown any more.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// What a member tells of itself: the value of its lease.
pub(super) trait Record: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// A member's name, which as text is the key of its lease.
    type Id: Clone + Ord + FromStr + Display + Send + Sync + 'static;
    /// The table as its readers see it.
    type Shown: Default + PartialEq + Send + Sync + 'static;

    fn id(&self) -> &Self::Id;
    /// Which run of the member tells this.
    fn run(&self) -> Run;
    /// The same of a run with this number, where runs have numbers.
    fn with_epoch(self, epoch: BootEpoch) -> Self;
    /// Whether what is told next is worth a renewal at once.
    fn is_urgent(&self, next: &Self) -> bool;
    /// Makes of all members what readers see.
    fn shown(members: impl Iterator<Item = (Arc<Self>, Standing)>) -> Self::Shown;
}

/// A run of a member: a later one is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) epoch: BootEpoch,
    pub(super) started: Timestamp,
}

/// Whether a member is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Heard,
    Suspect,
    Gone,
}

/// The table that the watcher feeds.
pub(super) struct MemberTable<R: Record> {
    contents: Mutex<Contents<R>>,
    /// Called at every change, for the task that judges.
    pub(super) changed: Notify,
    pub(super) shown: watch::Sender<Arc<R::Shown>>,
}

struct Contents<R: Record> {
    /// Absent before the first snapshot.
    version: Option<u64>,
    seen: BTreeMap<R::Id, Seen<R>>,
    /// When anything was heard from any member.
    heard: Option<Instant>,
}

struct Seen<R> {
    record: Arc<R>,
    /// The sequence of its message.
    version: u64,
    /// When it was heard.
    heard: Option<Instant>,
    /// Whether the last snapshot had it: one that vanished is kept until its silence makes it gone.
    listed: bool,
    /// What was thought of it last; absent before the first time.
    standing: Option<Standing>,
}

/// A message of a snapshot.
pub(super) struct Drafted {
    key: String,
    value: Vec<u8>,
    version: u64,
    stored: SystemTime,
}

impl Drafted {
    pub(super) fn of(message: &Message<'_>) -> Self {
        let Message { key, value, version, stored } = *message;
        Self { key: key.to_owned(), value: value.to_owned(), version, stored }
    }
}

/// A record, or nothing when it cannot be read or is another member's.
fn read<R: Record>(key: &str, value: &[u8]) -> Option<R> {
    match serde_json::from_slice::<R>(value) {
        Ok(record) if record.id().to_string() == key => Some(record),
        Ok(record) => {
            tracing::error!(key, found = %record.id(), "a lease is not that of its holder");
            None
        }
        Err(error) => {
            tracing::error!(key, %error, "a lease cannot be read");
            None
        }
    }
}

impl<R: Record> Default for MemberTable<R> {
    fn default() -> Self {
        let contents = Contents { version: None, seen: BTreeMap::new(), heard: None };
        Self { contents: Mutex::new(contents), changed: Notify::default(), shown: watch::Sender::default() }
    }
}

impl<R: Record> Contents<R> {
    /// Takes what a member told. What was thought of it stays until it is judged anew.
    fn hear(&mut self, record: R, version: u64, heard: Option<Instant>) {
        let standing = self.seen.get(record.id()).and_then(|seen| seen.standing);
        let id = record.id().clone();
        self.seen.insert(id, Seen { record: Arc::new(record), version, heard, listed: true, standing });
    }

    /// Takes the empty value of a member that left; other keys are not members.
    fn leave(&mut self, key: &str) {
        if let Ok(id) = key.parse::<R::Id>() {
            self.seen.remove(&id);
        }
    }

    fn pass(&mut self, version: u64) -> bool {
        let is_new = self.version.is_none_or(|known| version > known);
        if is_new {
            self.version = Some(version);
        }
        is_new
    }
}

impl<R: Record> Seen<R> {
    fn silent(&self) -> Duration {
        self.heard.map_or(Duration::MAX, |heard| heard.elapsed())
    }

    fn judge(&self, expiry: Duration, frozen: bool) -> Standing {
        let silent = self.silent();
        match self.standing {
            _ if silent <= expiry / 2 => Standing::Heard,
            Some(before) if frozen => before,
            None if frozen && silent <= expiry => Standing::Heard,
            // Not heard since long before this process began: it may be there, others come first.
            None if frozen => Standing::Suspect,
            _ if silent <= expiry => Standing::Suspect,
            _ => Standing::Gone,
        }
    }
}

impl<R: Record> MemberTable<R> {
    fn contents(&self) -> MutexGuard<'_, Contents<R>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nothing has been heard from anybody who should be heard; absent when there is nobody.
    pub(super) fn silence(&self) -> Option<Duration> {
        let contents = self.contents();
        let expected = !contents.seen.is_empty();
        expected.then(|| contents.heard.map_or(Duration::MAX, |heard| heard.elapsed()))
    }

    /// Takes members that an earlier run of this process knew, who have not been heard since.
    pub(super) fn remember(&self, records: impl IntoIterator<Item = R>) {
        let mut contents = self.contents();
        for record in records {
            let id = record.id().clone();
            let seen = Seen { record: Arc::new(record), version: 0, heard: None, listed: false, standing: None };
            contents.seen.insert(id, seen);
        }
    }

    /// Decides on everybody's standing, and shows it. While frozen nobody gets worse.
    pub(super) fn judge(&self, expiry: Duration, frozen: bool) {
        let mut contents = self.contents();
        let mut members = Vec::new();
        contents.seen.retain(|_, seen| {
            let standing = seen.judge(expiry, frozen);
            seen.standing = Some(standing);
            let keep = standing != Standing::Gone || (seen.listed && seen.silent() < FORGOTTEN);
            if keep {
                members.push((seen.record.clone(), standing));
            }
            // What is listed comes back with every snapshot: it is only not shown.
            keep || seen.listed
        });
        let members = R::shown(members.into_iter());
        self.shown.send_if_modified(|shown| {
            let changed = **shown != members;
            if changed {
                *shown = Arc::new(members);
            }
            changed
        });
    }

    /// Goes on to a message that says nothing of members; false when this was done already.
    pub(super) fn pass(&self, version: u64) -> bool {
        self.contents().pass(version)
    }

    /// Takes a complete draft; false when a newer table is known.
    pub(super) fn take_all(&self, draft: Vec<Drafted>, version: u64, stream_went_back: bool) -> bool {
        let mut contents = self.contents();
        if contents.version.is_some_and(|known| version < known) && !stream_went_back {
            return false;
        }
        contents.version = Some(version);
        // Somebody renews all the time, so the newest renewal tells what time it is by the server's clock.
        let server_time = draft.iter().map(|drafted| drafted.stored).max();
        let now = Instant::now();
        for seen in contents.seen.values_mut() {
            seen.listed = false;
        }
        for Drafted { key, value, version, stored } in draft {
            if value.is_empty() {
                contents.leave(&key);
                continue;
            }
            let Some(record) = read::<R>(&key, &value) else { continue };
            match contents.seen.get_mut(record.id()) {
                Some(seen) if seen.version == version => seen.listed = true,
                _ => {
                    let age = server_time.and_then(|time| time.duration_since(stored).ok()).unwrap_or_default();
                    contents.hear(record, version, now.checked_sub(age));
                }
            }
        }
        drop(contents);
        self.changed.notify_one();
        true
    }
}

impl<R: Record> Follower for MemberTable<R> {
    type Draft = Vec<Drafted>;

    fn version(&self) -> Option<u64> {
        self.contents().version
    }

    fn draft(&self, draft: &mut Self::Draft, message: &Message<'_>) {
        draft.push(Drafted::of(message));
    }

    fn replace(&self, draft: Self::Draft, version: u64, stream_went_back: bool) {
        self.take_all(draft, version, stream_went_back);
    }

    fn advance(&self, message: &Message<'_>) {
        let mut contents = self.contents();
        if !contents.pass(message.version) {
            return;
        }
        let now = Some(Instant::now());
        contents.heard = now;
        if message.value.is_empty() {
            contents.leave(message.key);
        } else if let Some(record) = read::<R>(message.key, message.value) {
            contents.hear(record, message.version, now);
        }
        drop(contents);
        self.changed.notify_one();
    }
}
