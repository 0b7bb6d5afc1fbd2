//! One run: one policy, one number of hosts, from an empty cluster to the end of the measured time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use samovar_gateway::balance::{Answer, Balancer, Guard, HostInfo, Outcome, Placement, Policy, Standing};
use samovar_model::HostId;

use crate::hosts::{Call, SimHost};
use crate::workload::{Crowd, Function, functions};

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Hosts, all alike.
    pub hosts: usize,
    /// Functions.
    pub functions: usize,
    /// Gateways, each with its own view; every call comes through one of them at random.
    pub gateways: usize,
    /// The part of all slots that is in use in the mean; a host's slots follow from it.
    pub utilisation: f64,
    /// What a cold start takes.
    pub cold_start: Duration,
    /// How long an idle instance is kept.
    pub idle_timeout: Duration,
    /// How long the cluster runs before anything is counted.
    pub warm_up: Duration,
    /// How long it is measured. The flash crowd comes in its middle, for a minute.
    pub measured: Duration,
    /// Of all that is random.
    pub seed: u64,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Findings {
    /// Slots of each host.
    pub slots: usize,
    /// Invocations measured.
    pub invocations: usize,
    /// The part of them that had to make their instance.
    pub cold: f64,
    /// The most loaded host's invocations over the mean host's, at each full second, in the mean.
    pub imbalance: f64,
    /// What invocations waited in the mean.
    pub wait_mean: Duration,
    /// What half of the invocations waited at most: for a slot, and for a cold start.
    pub wait_p50: Duration,
    /// What 99 in 100 waited at most.
    pub wait_p99: Duration,
    /// What 999 in 1,000 waited at most.
    pub wait_p999: Duration,
    /// The part of the invocations that waited for a slot.
    pub queued: f64,
    /// Hosts that a function ran on, in the mean of the functions that ran.
    pub spread: f64,
    /// The part of the functions whose next call goes to another host when one host is lost, on an idle cluster.
    pub moved_by_loss: f64,
    /// The same when one is added.
    pub moved_by_addition: f64,
}

/// Runs one policy.
pub fn run(policy: Policy, setup: &Setup) -> Findings {
    // What the gateway's code draws.
    fastrand::seed(setup.seed);
    let mut cluster = Cluster::new(policy, setup);
    while cluster.step() {}
    cluster.findings(policy)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival(u32),
    End(Call),
    Second,
}

struct Cluster<'a> {
    setup: &'a Setup,
    functions: Vec<Function>,
    gateways: Vec<Gateway>,
    hosts: Vec<SimHost>,
    slots: usize,
    crowd: Crowd,
    now: Duration,
    /// By time, and at the same time in the order in which they were made.
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    made: u64,
    calls: Vec<Option<UnderWay>>,
    free: Vec<Call>,
    counts: Counts,
}

struct Gateway {
    balancer: Balancer,
    placements: Vec<Arc<Placement>>,
}

struct UnderWay {
    guard: Guard,
    function: u32,
    host: usize,
    arrived: Duration,
    takes: Duration,
}

#[derive(Default)]
struct Counts {
    waits: Vec<Duration>,
    cold: usize,
    queued: usize,
    imbalance: f64,
    seconds: usize,
    ran: Vec<bool>,
}

impl<'a> Cluster<'a> {
    fn new(policy: Policy, setup: &'a Setup) -> Self {
        let functions = functions(setup.functions, setup.seed);
        let in_flight: f64 = functions.iter().map(|function| function.rate * function.mean_seconds).sum();
        let slots = (in_flight / setup.utilisation / setup.hosts as f64).ceil().max(1.0) as usize;
        let gateway = || Gateway {
            balancer: balancer(policy, setup.hosts, slots),
            placements: (0..setup.functions).map(placement).collect(),
        };
        let middle = (setup.warm_up + setup.measured / 2).as_secs_f64();
        let mut cluster = Self {
            setup,
            gateways: (0..setup.gateways).map(|_| gateway()).collect(),
            hosts: (0..setup.hosts).map(|_| SimHost::new(slots, setup.idle_timeout)).collect(),
            slots,
            crowd: Crowd { from: middle, to: middle + 60.0 },
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            made: 0,
            calls: Vec::new(),
            free: Vec::new(),
            counts: Counts { ran: vec![false; setup.functions], ..Counts::default() },
            functions,
        };
        for index in 0..setup.functions {
            let gap = cluster.functions[index].first_gap();
            cluster.after(gap, Event::Arrival(index as u32));
        }
        cluster.after(1.0, Event::Second);
        cluster
    }

    fn after(&mut self, seconds: f64, event: Event) {
        self.made += 1;
        self.events.push(Reverse((self.now + Duration::from_secs_f64(seconds), self.made, event)));
    }

    /// One event; false when the time is over.
    fn step(&mut self) -> bool {
        let Some(Reverse((at, _, event))) = self.events.pop() else { return false };
        if at >= self.setup.warm_up + self.setup.measured {
            return false;
        }
        self.now = at;
        match event {
            Event::Arrival(function) => self.arrive(function),
            Event::End(call) => self.end(call),
            Event::Second => self.second(),
        }
        true
    }

    fn is_measured(&self) -> bool {
        self.now >= self.setup.warm_up
    }

    fn arrive(&mut self, function: u32) {
        let index = function as usize;
        let calls = &mut self.functions[index];
        let gap = calls.gap(self.now.as_secs_f64(), self.crowd);
        let (takes, gateway) = (Duration::from_secs_f64(calls.seconds()), calls.gateway(self.setup.gateways));
        self.after(gap, Event::Arrival(function));
        self.counts.ran[index] = true;
        let Gateway { balancer, placements } = &self.gateways[gateway];
        let guard = balancer.pick(&placements[index], &[], self.now).expect("there are hosts, and all are ready");
        let host = number(guard.host().id());
        let call = UnderWay { guard, function, host, arrived: self.now, takes };
        let call = match self.free.pop() {
            Some(free) => {
                self.calls[free] = Some(call);
                free
            }
            None => {
                self.calls.push(Some(call));
                self.calls.len() - 1
            }
        };
        if self.hosts[host].arrive(call) {
            self.start(call);
        } else if self.is_measured() {
            self.counts.queued += 1;
        }
    }

    /// Starts an invocation that has a slot.
    fn start(&mut self, call: Call) {
        let UnderWay { function, host, arrived, takes, .. } =
            *self.calls[call].as_ref().expect("it is under way until it ends");
        let warm = self.hosts[host].lease(function, self.now);
        let cold_start = if warm { Duration::ZERO } else { self.setup.cold_start };
        if self.is_measured() {
            self.counts.waits.push(self.now - arrived + cold_start);
            self.counts.cold += usize::from(!warm);
        }
        self.after((cold_start + takes).as_secs_f64(), Event::End(call));
    }

    fn end(&mut self, call: Call) {
        let UnderWay { mut guard, function, host, arrived, .. } =
            self.calls[call].take().expect("it is under way until it ends");
        self.free.push(call);
        let load = Some(self.hosts[host].load() as u32);
        guard.answered(Answer { outcome: Outcome::Served, latency: self.now - arrived, load }, self.now);
        guard.end(self.now);
        if let Some(next) = self.hosts[host].end(function, self.now) {
            self.start(next);
        }
    }

    fn second(&mut self) {
        self.after(1.0, Event::Second);
        if self.is_measured() {
            let loads = self.hosts.iter().map(SimHost::load);
            let (most, sum) = loads.fold((0, 0), |(most, sum), load| (load.max(most), sum + load));
            let mean = sum as f64 / self.hosts.len() as f64;
            self.counts.imbalance += if mean > 0.0 { most as f64 / mean } else { 1.0 };
            self.counts.seconds += 1;
        }
    }

    fn findings(mut self, policy: Policy) -> Findings {
        let waits = &mut self.counts.waits;
        waits.sort_unstable();
        let at = |part: f64| waits.get((waits.len() as f64 * part) as usize).copied().unwrap_or_default();
        let of_all = |count: usize| count as f64 / waits.len().max(1) as f64;
        let ran = self.counts.ran.iter().filter(|ran| **ran).count();
        let visits: usize = self.hosts.iter().map(SimHost::functions).sum();
        let (moved_by_loss, moved_by_addition) = moves(policy, self.setup, self.slots);
        Findings {
            slots: self.slots,
            invocations: waits.len(),
            cold: of_all(self.counts.cold),
            imbalance: self.counts.imbalance / self.counts.seconds.max(1) as f64,
            wait_mean: waits.iter().sum::<Duration>() / u32::try_from(waits.len().max(1)).unwrap_or(u32::MAX),
            wait_p50: at(0.5),
            wait_p99: at(0.99),
            wait_p999: at(0.999),
            queued: of_all(self.counts.queued),
            spread: visits as f64 / ran.max(1) as f64,
            moved_by_loss,
            moved_by_addition,
        }
    }
}

fn balancer(policy: Policy, hosts: usize, slots: usize) -> Balancer {
    let balancer = Balancer::new(policy);
    balancer.update((0..hosts).map(|host| info(host, slots)), Duration::ZERO);
    balancer
}

fn info(host: usize, slots: usize) -> HostInfo {
    let id: HostId = format!("host-{host:04}").parse().expect("a name");
    HostInfo { id, slots: slots as u32, state: Standing::Ready }
}

fn number(id: &HostId) -> usize {
    id.as_str().trim_start_matches("host-").parse().expect("made by `info`")
}

fn placement(function: usize) -> Arc<Placement> {
    Arc::new(Placement::new(&format!("default.function-{function}")))
}

/// The parts of the functions whose next call goes elsewhere when a host in the middle is lost, and when it is added again.
fn moves(policy: Policy, setup: &Setup, slots: usize) -> (f64, f64) {
    if setup.hosts < 2 {
        return (1.0, 1.0);
    }
    let balancer = balancer(policy, setup.hosts, slots);
    let placements: Vec<_> = (0..setup.functions).map(placement).collect();
    let goes = |placement| {
        let guard = balancer.pick(placement, &[], Duration::ZERO).expect("there are hosts, and all are ready");
        number(guard.host().id())
    };
    let before: Vec<_> = placements.iter().map(goes).collect();
    let lost = setup.hosts / 2;
    let others = (0..setup.hosts).filter(|host| *host != lost);
    balancer.update(others.map(|host| info(host, slots)), Duration::ZERO);
    let without: Vec<_> = placements.iter().map(goes).collect();
    balancer.update((0..setup.hosts).map(|host| info(host, slots)), Duration::ZERO);
    let after: Vec<_> = placements.iter().map(goes).collect();
    let moved = |a: &[usize], b: &[usize]| a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len() as f64;
    (moved(&before, &without), moved(&without, &after))
}
