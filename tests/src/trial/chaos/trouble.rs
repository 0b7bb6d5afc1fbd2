//! The failures of chaos: which may happen now, how each is made, and how it is mended, while others go on.

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cluster::{Cluster, Who};

/// A failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// `kill -9`; started again when it is mended.
    Kill(Who),
    /// SIGSTOP; SIGCONT when it is mended.
    Pause(Who),
    /// SIGTERM; started again when it is mended.
    Restart(Who),
    /// A host is drained; undrained when it is mended.
    Drain(usize),
    /// What one sends to another is lost.
    Cut(Who, Who),
    /// What two send to each other is lost.
    Part(Who, Who),
}

/// Those that go on.
#[derive(Default)]
pub(super) struct Troubles {
    current: Vec<(Trouble, Instant)>,
    /// Those that were started again and have not said yet that they accept.
    starting: Vec<Who>,
}

impl Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(who) => write!(f, "kill {who:?}"),
            Self::Pause(who) => write!(f, "pause {who:?}"),
            Self::Restart(who) => write!(f, "restart {who:?}"),
            Self::Drain(host) => write!(f, "drain Host({host})"),
            Self::Cut(from, to) => write!(f, "cut {from:?} -> {to:?}"),
            Self::Part(one, other) => write!(f, "part {one:?} and {other:?}"),
        }
    }
}

impl Trouble {
    /// One that can happen beside those that go on.
    pub(super) fn random(random: &mut fastrand::Rng, cluster: &Cluster, troubles: &Troubles) -> Self {
        loop {
            let trouble = Self::any(random, cluster);
            if trouble.concerns().iter().all(|who| !troubles.concern(*who)) {
                return trouble;
            }
        }
    }

    fn any(random: &mut fastrand::Rng, cluster: &Cluster) -> Self {
        let members = cluster.all();
        let everyone: Vec<_> = members.iter().copied().chain((0..cluster.nats.number()).map(Who::Nats)).collect();
        let mut one_of = |whom: &[Who]| whom[random.usize(..whom.len())];
        let (one, other, member) = (one_of(&everyone), one_of(&everyone), one_of(&members));
        let kinds = if cluster.has_network() { 6 } else { 4 };
        match random.u8(..kinds) {
            0 => Self::Kill(one),
            1 => Self::Pause(one),
            2 => Self::Restart(member),
            4 if one != other => Self::Cut(one, other),
            5 if one != other => Self::Part(one, other),
            _ => Self::Drain(random.usize(..cluster.number_of_hosts())),
        }
    }

    /// Whom nothing else may happen to meanwhile. Of the ends of a cut only the first counts, so that others may be cut off
    /// from the same one at the same time.
    fn concerns(self) -> Vec<Who> {
        match self {
            Self::Kill(who) | Self::Pause(who) | Self::Restart(who) | Self::Cut(who, _) => vec![who],
            Self::Drain(host) => vec![Who::Host(host)],
            Self::Part(one, other) => vec![one, other],
        }
    }
}

impl Troubles {
    /// How many go on.
    pub(super) fn number(&self) -> usize {
        self.current.len()
    }

    fn concern(&self, who: Who) -> bool {
        self.starting.contains(&who) || self.current.iter().any(|(trouble, _)| trouble.concerns().contains(&who))
    }

    /// Has it happen for so long.
    pub(super) async fn strike(&mut self, trouble: Trouble, lasting: Duration, cluster: &mut Cluster) {
        match trouble {
            Trouble::Kill(Who::Nats(index)) => cluster.nats[index].kill(),
            Trouble::Kill(who) => cluster.member(who).kill(),
            Trouble::Pause(Who::Nats(index)) => cluster.nats[index].stop(),
            Trouble::Pause(who) => cluster.member(who).pause(),
            Trouble::Restart(who) => cluster.member(who).process().signal(Signal::TERM),
            Trouble::Drain(host) => {
                let done = cluster.try_drain(host).await;
                println!("           {}", done.map_or_else(|said| said.trim().to_owned(), |()| "drained".to_owned()));
            }
            Trouble::Cut(from, to) => cluster.cut(from, to),
            Trouble::Part(one, other) => cluster.part(one, other),
        }
        self.current.push((trouble, Instant::now() + lasting));
    }

    /// Mends what has lasted long enough. Tells who ended by itself.
    pub(super) async fn mend_what_is_due(&mut self, cluster: &mut Cluster) -> Vec<String> {
        let now = Instant::now();
        let (due, still) = std::mem::take(&mut self.current).into_iter().partition(|(_, until)| *until <= now);
        self.current = still;
        self.mend_each(due, cluster).await;
        self.watch(cluster)
    }

    /// Mends everything, and waits until every member accepts. Tells who ended by itself.
    pub(super) async fn mend_all(&mut self, cluster: &mut Cluster) -> Vec<String> {
        let all = std::mem::take(&mut self.current);
        self.mend_each(all, cluster).await;
        let mut violations = Vec::new();
        let end = Instant::now() + crate::DEADLINE;
        loop {
            violations.extend(self.watch(cluster));
            if self.starting.is_empty() {
                return violations;
            }
            if Instant::now() > end {
                let late = self.starting.iter().map(|who| format!("{who:?} does not come back"));
                return violations.into_iter().chain(late).collect();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Mends them, hosts that are drained last: while NATS has no quorum that cannot be done.
    async fn mend_each(&mut self, mut due: Vec<(Trouble, Instant)>, cluster: &mut Cluster) {
        due.sort_by_key(|(trouble, _)| matches!(trouble, Trouble::Drain(_)));
        for (trouble, _) in due {
            self.mend(trouble, cluster).await;
        }
    }

    async fn mend(&mut self, trouble: Trouble, cluster: &mut Cluster) {
        match trouble {
            Trouble::Kill(Who::Nats(index)) => cluster.nats[index].restart(),
            Trouble::Kill(who) => self.begin(who, cluster),
            Trouble::Pause(Who::Nats(index)) => cluster.nats[index].resume(),
            Trouble::Pause(who) => cluster.member(who).resume(),
            Trouble::Restart(who) => {
                let (code, said) = cluster.member(who).ended().await;
                if code != Some(0) {
                    println!("           {who:?} ended with {code:?}: {}", said.trim());
                }
                self.begin(who, cluster);
            }
            Trouble::Drain(host) => {
                // As a person would: until it is done. It cannot be while NATS has no quorum.
                while let Err(said) = cluster.try_undrain(host).await {
                    println!("           undrain Host({host}): {}", said.trim());
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.mend_cuts_and_nats(cluster);
                }
            }
            Trouble::Cut(from, to) => cluster.join(from, to),
            Trouble::Part(one, other) => {
                cluster.join(one, other);
                cluster.join(other, one);
            }
        }
    }

    /// Mends what may keep the control process from doing anything, where it is due.
    fn mend_cuts_and_nats(&mut self, cluster: &mut Cluster) {
        let now = Instant::now();
        let mut still = Vec::new();
        for (trouble, until) in std::mem::take(&mut self.current) {
            match trouble {
                _ if until > now => still.push((trouble, until)),
                Trouble::Kill(Who::Nats(index)) => cluster.nats[index].restart(),
                Trouble::Kill(who) => self.begin(who, cluster),
                Trouble::Pause(Who::Nats(index)) => cluster.nats[index].resume(),
                Trouble::Pause(who) => cluster.member(who).resume(),
                Trouble::Cut(from, to) => cluster.join(from, to),
                Trouble::Part(one, other) => {
                    cluster.join(one, other);
                    cluster.join(other, one);
                }
                Trouble::Restart(_) | Trouble::Drain(_) => still.push((trouble, until)),
            }
        }
        self.current = still;
    }

    fn begin(&mut self, who: Who, cluster: &mut Cluster) {
        cluster.member(who).begin();
        self.starting.push(who);
    }

    /// Sees who accepts again and who has ended. One that ends while it starts is started again, as a service manager does;
    /// one that ends later must not.
    fn watch(&mut self, cluster: &mut Cluster) -> Vec<String> {
        let mut violations = Vec::new();
        for who in cluster.all() {
            let ending = |(trouble, _): &(Trouble, Instant)| matches!(trouble, Trouble::Kill(it) | Trouble::Restart(it) if *it == who);
            if self.current.iter().any(ending) || cluster.member(who).is_running() {
                continue;
            }
            let said = cluster.member(who).process().stderr();
            match self.starting.contains(&who) {
                true => println!("           {who:?} could not start: {}", said.trim()),
                false => violations.push(format!("{who:?} ended by itself: {}", said.trim())),
            }
            cluster.member(who).kill();
            cluster.member(who).begin();
            self.starting.push(who);
        }
        self.starting.sort_by_key(|who| format!("{who:?}"));
        self.starting.dedup();
        self.starting.retain(|who| !cluster.member(*who).is_ready());
        violations
    }
}
