//! The table of hosts, and what each is asked for: both are in one bucket.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use samovar_model::{BootEpoch, HostId, HostIntent, HostRecord, HostReport, HostState, Hosts, Member};

use super::member_table::{Drafted, MemberTable, Record, Run, Standing};
use super::snapshot_file::Known;
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
        let (told, next) = (&self.report, &next.report);
        told.intent != next.intent || told.routed != next.routed
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

/// What is kept on disk: where hosts are, not how busy.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KnownHosts {
    pub(super) hosts: Vec<HostRecord>,
}

impl Known for KnownHosts {
    const FILE: &'static str = "hosts.json";
    type Table = Hosts;

    fn of(table: &Hosts) -> Self {
        let there = table.members.values().filter(|member| member.state != HostState::Gone);
        let kept = |record: &HostRecord| HostRecord {
            report: HostReport { intent: record.report.intent, ..HostReport::default() },
            ..record.clone()
        };
        Self { hosts: there.map(|member| kept(&member.record)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::membership::host;
    use samovar_model::HostLoad;

    fn known(members: &[(&str, u64, HostState)]) -> KnownHosts {
        let member = |&(name, busy, state): &(&str, u64, HostState)| {
            let mut record = host(name, 5);
            record.report.load = HostLoad { busy, ..HostLoad::default() };
            (record.id.clone(), Member { record: Arc::new(record), state })
        };
        KnownHosts::of(&Hosts { members: members.iter().map(member).collect() })
    }

    #[test]
    fn the_file_changes_with_hosts_and_not_with_their_load() {
        use HostState::{Gone, Ready, Suspect};
        let before = known(&[("a", 1, Ready)]);
        assert_eq!(known(&[("a", 2, Suspect)]), before);
        assert_eq!(known(&[("a", 2, Ready), ("b", 0, Gone)]), before);
        assert_ne!(known(&[("a", 1, Ready), ("b", 0, Ready)]), before);
    }
}
