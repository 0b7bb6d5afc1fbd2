//! The table of hosts, and what each is asked for: both are in one bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use samovar_model::{BootEpoch, HostId, HostIntent, HostRecord, HostState, Hosts, Member};

use super::member_table::{Drafted, MemberTable, Record, Run, Standing};
use super::watcher::{Follower, Message};

/// What the key begins with under which a host is asked for something. Hosts' names have no dots.
const ASK: &str = "ask.";

/// What all hosts are asked for.
pub(super) type Asked = BTreeMap<HostId, HostIntent>;

/// The table that the watcher feeds.
#[derive(Default)]
pub(super) struct HostTable {
    pub(super) members: Arc<MemberTable<HostRecord>>,
    pub(super) asked: watch::Sender<Arc<Asked>>,
}

/// The key under which a host is asked for something.
pub(super) fn ask_key(host: &HostId) -> String {
    format!("{ASK}{host}")
}

/// The host that the message asks for something, and what.
fn ask(message: &Message<'_>) -> Option<(HostId, HostIntent)> {
    let host = message.key.strip_prefix(ASK)?.parse().ok()?;
    Some((host, serde_json::from_slice(message.value).unwrap_or_default()))
}

impl HostTable {
    fn take_ask(&self, host: HostId, intent: HostIntent) {
        self.asked.send_if_modified(|asked| {
            let changed = asked.get(&host).copied().unwrap_or_default() != intent;
            if changed {
                Arc::make_mut(asked).insert(host, intent);
            }
            changed
        });
    }
}

impl Follower for HostTable {
    type Draft = (Asked, Vec<Drafted>);

    fn version(&self) -> Option<u64> {
        self.members.version()
    }

    fn draft(&self, (asked, members): &mut Self::Draft, message: &Message<'_>) {
        match ask(message) {
            Some((host, intent)) => drop(asked.insert(host, intent)),
            None => members.push(Drafted::of(message)),
        }
    }

    fn replace(&self, (asked, members): Self::Draft, version: u64, stream_went_back: bool) {
        if self.members.take_all(members, version, stream_went_back) {
            asked.into_iter().for_each(|(host, intent)| self.take_ask(host, intent));
        }
    }

    fn advance(&self, message: &Message<'_>) {
        match ask(message) {
            Some((host, intent)) if self.members.pass(message.version) => self.take_ask(host, intent),
            Some(_) => {}
            None => self.members.advance(message),
        }
    }
}

impl Record for HostRecord {
    type Id = HostId;
    type Shown = Hosts;

    fn id(&self) -> &HostId {
        &self.id
    }

    fn run(&self) -> Run {
        Run { epoch: self.epoch, started: self.started }
    }

    fn with_epoch(self, epoch: BootEpoch) -> Self {
        Self { epoch, ..self }
    }

    fn is_urgent(&self, next: &Self) -> bool {
        self.report.intent != next.report.intent
    }

    fn shown(members: impl Iterator<Item = (Arc<Self>, Standing)>) -> Hosts {
        let member = |(record, standing): (Arc<Self>, Standing)| {
            let state = match (standing, record.report.intent) {
                (Standing::Heard, HostIntent::Ready) => HostState::Ready,
                (Standing::Heard, HostIntent::Draining) => HostState::Draining,
                (Standing::Suspect, _) => HostState::Suspect,
                (Standing::Gone, _) => HostState::Gone,
            };
            (record.id.clone(), Member { record, state })
        };
        Hosts { members: members.map(member).collect() }
    }
}
