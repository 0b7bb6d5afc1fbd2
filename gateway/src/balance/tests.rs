use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(host: usize) -> HostId {
    format!("host-{host}").parse().unwrap()
}

fn info(host: usize, slots: u32, state: Standing) -> HostInfo {
    HostInfo { id: id(host), slots, state }
}

fn ready(hosts: impl IntoIterator<Item = usize>) -> Vec<HostInfo> {
    hosts.into_iter().map(|host| info(host, 10, Standing::Ready)).collect()
}

/// A balancer with so many hosts of ten slots, all ready.
fn balancer(policy: Policy, hosts: usize) -> Balancer {
    let balancer = Balancer::new(policy);
    balancer.update(ready(0..hosts), Duration::ZERO);
    balancer
}

fn placement(function: usize) -> Arc<Placement> {
    Arc::new(Placement::new(&format!("default.function-{function}")))
}

/// Where an idle cluster's first request for a function goes.
fn goes(balancer: &Balancer, function: usize) -> HostId {
    let guard = balancer.pick(&placement(function), &[], Duration::ZERO).unwrap();
    guard.host().id().clone()
}

fn served(latency: Duration, load: u32) -> Answer {
    Answer { outcome: Outcome::Served, latency, load: Some(load) }
}

const FAILED: Answer = Answer { outcome: Outcome::Failed, latency: Duration::ZERO, load: None };

fn policies() -> impl Strategy<Value = Policy> {
    prop::sample::select(Policy::ALL.to_vec())
}

fn states() -> impl Strategy<Value = Vec<Standing>> {
    use Standing::{Draining, Ejected, Ready, Suspect};
    prop::collection::vec(prop::sample::select(vec![Ready, Draining, Suspect, Ejected]), 1..20)
}

proptest! {
    #[test]
    fn only_hosts_of_the_best_state_are_picked_and_never_excluded_ones(
        policy in policies(),
        states in states(),
        excluded in prop::collection::vec(0usize..20, 0..4),
        seed: u64,
    ) {
        fastrand::seed(seed);
        let balancer = Balancer::new(policy);
        balancer.update(states.iter().enumerate().map(|(host, state)| info(host, 10, *state)), Duration::ZERO);
        let excluded: Vec<_> = excluded.into_iter().map(id).collect();
        let best = states.iter().copied().filter(|state| *state != Standing::Draining).min();
        let allowed = (0..states.len()).filter(|host| Some(states[*host]) == best && !excluded.contains(&id(*host)));
        let allowed: Vec<_> = allowed.map(id).collect();
        let placement = placement(1);
        let mut guards = Vec::new();
        for _ in 0..50 {
            match balancer.pick(&placement, &excluded, Duration::ZERO) {
                Ok(guard) => {
                    prop_assert!(allowed.contains(guard.host().id()), "{} of {allowed:?}", guard.host().id());
                    guards.push(guard);
                }
                Err(_) => prop_assert!(allowed.is_empty()),
            }
        }
    }

    #[test]
    fn counts_return_to_zero(policy in policies(), ends in prop::collection::vec((0u8..4, 0usize..100), 1..200)) {
        let balancer = balancer(policy, 5);
        let placements = [placement(0), placement(1)];
        let mut guards = Vec::new();
        let mut now = Duration::ZERO;
        for (end, which) in ends {
            now += 100 * MS;
            guards.push(balancer.pick(&placements[which % 2], &[], now).unwrap());
            let mut guard = guards.swap_remove(which % guards.len());
            match end {
                0 => guard.answered(served(MS, 3), now),
                1 => guard.answered(FAILED, now),
                2 => { guard.answered(served(MS, 1), now); guard.end(now); continue }
                _ => { guards.push(guard); continue }
            }
            drop(guard);
        }
        let counted: u32 = balancer.hosts(now).iter().map(|(host, _)| host.in_flight()).sum();
        prop_assert_eq!(counted as usize, guards.len());
        drop(guards);
        prop_assert!(balancer.hosts(now).iter().all(|(host, _)| host.in_flight() == 0));
        prop_assert_eq!(balancer.fleet.in_flight(), 0);
        prop_assert!(placements.iter().all(|placement| placement.demand().in_flight() == 0));
    }

    #[test]
    fn losing_or_adding_a_host_moves_only_what_is_its_own(hosts in 2usize..30, lost in 0usize..30, policy in prop::bool::ANY) {
        let lost = lost % hosts;
        let policy = if policy { Policy::Adaptive } else { Policy::Hash };
        let all = balancer(policy, hosts);
        let without = Balancer::new(policy);
        without.update(ready((0..hosts).filter(|host| *host != lost)), Duration::ZERO);
        for function in 0..100 {
            let before = goes(&all, function);
            if before != id(lost) {
                prop_assert_eq!(goes(&without, function), before);
            }
        }
    }

    #[test]
    fn gateways_agree_whatever_the_order_they_learned_of_hosts_in(order in Just((0..20usize).collect::<Vec<_>>()).prop_shuffle()) {
        let (one, other) = (balancer(Policy::Adaptive, 20), Balancer::new(Policy::Adaptive));
        other.update(ready(order), Duration::ZERO);
        for function in 0..50 {
            prop_assert_eq!(goes(&one, function), goes(&other, function));
        }
    }

    #[test]
    fn no_host_is_above_its_bound(slots in prop::collection::vec(1u32..50, 1..40), calls in prop::collection::vec((0usize..5, prop::bool::ANY), 1..300)) {
        let balancer = Balancer::new(Policy::Hash);
        balancer.update(slots.iter().enumerate().map(|(host, slots)| info(host, *slots, Standing::Ready)), Duration::ZERO);
        let all: u32 = slots.iter().sum();
        let placements: Vec<_> = (0..5).map(placement).collect();
        let mut guards = Vec::new();
        for (function, ends) in calls {
            let guard = balancer.pick(&placements[function], &[], Duration::ZERO).unwrap();
            let part = f64::from(guard.host().slots()) / f64::from(all);
            let most = BOUND * (guards.len() + 1) as f64 * part;
            // At most the next whole number, whichever way the last bit was rounded.
            prop_assert!(f64::from(guard.host().in_flight()) < most + 1.0 + 1e-9);
            guards.push(guard);
            if ends {
                drop(guards.swap_remove(function % guards.len()));
            }
        }
    }
}

#[test]
fn a_host_with_twice_the_slots_has_twice_the_functions() {
    let balancer = Balancer::new(Policy::Adaptive);
    balancer.update((0..10).map(|host| info(host, if host == 0 { 20 } else { 10 }, Standing::Ready)), Duration::ZERO);
    let mut functions = HashMap::new();
    for function in 0..11_000 {
        *functions.entry(goes(&balancer, function)).or_insert(0) += 1;
    }
    assert!((1850..2150).contains(&functions[&id(0)]), "{}", functions[&id(0)]);
    assert!((1..10).all(|host| (880..1120).contains(&functions[&id(host)])), "{functions:?}");
}

#[test]
fn round_robin_takes_one_after_the_other() {
    let balancer = balancer(Policy::RoundRobin, 3);
    let hosts: Vec<_> = (0..6).map(|function| goes(&balancer, function)).collect();
    assert_eq!(hosts, [0, 1, 2, 0, 1, 2].map(id));
}

#[test]
fn fewest_connections_fills_hosts_evenly() {
    let balancer = balancer(Policy::FewestConnections, 7);
    let placement = placement(0);
    let _guards: Vec<_> = (0..70).map(|_| balancer.pick(&placement, &[], Duration::ZERO).unwrap()).collect();
    assert!(balancer.hosts(Duration::ZERO).iter().all(|(host, _)| host.in_flight() == 10));
}

#[test]
fn p2c_takes_the_quicker_of_two() {
    let balancer = balancer(Policy::P2c, 2);
    let placement = placement(0);
    let mut slow = balancer.pick(&placement, &[id(1)], Duration::ZERO).unwrap();
    slow.answered(served(500 * MS, 1), Duration::ZERO);
    drop(slow);
    assert!((0..20).all(|function| goes(&balancer, function) == id(1)));
}

#[test]
fn adaptive_stays_on_one_host_while_one_is_enough() {
    let balancer = balancer(Policy::Adaptive, 50);
    let placement = placement(3);
    let first = goes(&balancer, 3);
    for request in 0..1000u32 {
        let now = 10 * MS * request;
        let mut guards: Vec<_> = (0..5).map(|_| balancer.pick(&placement, &[], now).unwrap()).collect();
        assert!(guards.iter().all(|guard| *guard.host().id() == first));
        guards.iter_mut().for_each(|guard| guard.answered(served(5 * MS, 5), now));
        guards.into_iter().for_each(|guard| guard.end(now + 9 * MS));
    }
}

#[test]
fn adaptive_passes_on_along_the_order_when_a_host_is_full() {
    let balancer = balancer(Policy::Adaptive, 50);
    let placement = placement(3);
    let guards: Vec<_> = (0..70).map(|_| balancer.pick(&placement, &[], Duration::ZERO).unwrap()).collect();
    let most = balancer.hosts(Duration::ZERO).iter().map(|(host, _)| host.in_flight()).max().unwrap();
    assert!(most <= 7, "sized for 0.7 of 10 slots: {most}");
    let hosts: std::collections::HashSet<_> = guards.iter().map(|guard| guard.host().id().clone()).collect();
    assert_eq!(hosts.len(), 10);
}

#[test]
fn adaptive_heeds_the_load_that_others_make() {
    let balancer = balancer(Policy::Adaptive, 50);
    let placement = placement(3);
    let mut guard = balancer.pick(&placement, &[], Duration::ZERO).unwrap();
    let first = guard.host().id().clone();
    guard.answered(served(MS, 10), Duration::ZERO);
    guard.end(Duration::ZERO);
    assert_ne!(goes(&balancer, 3), first);
    let later = balancer.pick(&placement, &[], LOAD_FADES).unwrap();
    assert_eq!(*later.host().id(), first, "the host's word has faded");
}

#[test]
fn a_failing_host_is_ejected_and_comes_back() {
    let balancer = balancer(Policy::Adaptive, 4);
    let placement = placement(3);
    let first = goes(&balancer, 3);
    for _ in 0..5 {
        let mut guard = balancer.pick(&placement, &[], seconds(1)).unwrap();
        assert_eq!(*guard.host().id(), first);
        guard.answered(FAILED, seconds(1));
    }
    let at = |now| balancer.pick(&placement, &[], now).unwrap().host().id().clone();
    assert_ne!(at(seconds(1)), first);
    assert_ne!(at(seconds(30)), first);
    let state = |now| balancer.hosts(now).iter().find(|(host, _)| *host.id() == first).unwrap().1;
    assert_eq!((state(seconds(30)), state(seconds(31))), (Standing::Ejected, Standing::Ready));
    assert_eq!(at(seconds(31)), first);
}

#[test]
fn an_answer_between_failures_keeps_a_host() {
    let balancer = balancer(Policy::RoundRobin, 1);
    let placement = placement(3);
    for request in 0..40 {
        let mut guard = balancer.pick(&placement, &[], Duration::ZERO).unwrap();
        guard.answered(if request % 5 == 4 { served(MS, 1) } else { FAILED }, Duration::ZERO);
    }
    assert!(balancer.hosts(Duration::ZERO).iter().all(|(_, state)| *state == Standing::Ready));
}

#[test]
fn a_guard_dropped_before_the_answer_is_a_cancelled_request() {
    let balancer = balancer(Policy::Random, 1);
    let mut answered = balancer.pick(&placement(1), &[], Duration::ZERO).unwrap();
    answered.answered(served(MS, 1), Duration::ZERO);
    drop(answered);
    drop(balancer.pick(&placement(1), &[], Duration::ZERO).unwrap());
    assert_eq!(balancer.hosts(Duration::ZERO)[0].0.cancelled(), 1);
}

#[test]
fn counts_return_to_zero_when_many_threads_pick() {
    let balancer = balancer(Policy::Adaptive, 5);
    let placement = placement(1);
    // One clock for all, a millisecond at each request.
    let clock = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for request in 0..2000 {
                    let now = MS * clock.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let mut guard = balancer.pick(&placement, &[], now).unwrap();
                    guard.answered(served(MS, 1), now);
                    if request % 3 == 0 {
                        guard.end(now + MS);
                    }
                }
            });
        }
    });
    assert!(balancer.hosts(seconds(8)).iter().all(|(host, _)| host.in_flight() == 0));
    assert_eq!(placement.demand().in_flight(), 0);
    assert_eq!(placement.demand().hosts(seconds(100), || 10.0), 1);
}

#[test]
fn a_host_that_stays_keeps_its_numbers() {
    let balancer = balancer(Policy::Random, 1);
    let guard = balancer.pick(&placement(1), &[], Duration::ZERO).unwrap();
    balancer.update(ready(0..2), Duration::ZERO);
    let in_flight: Vec<_> = balancer.hosts(Duration::ZERO).iter().map(|(host, _)| host.in_flight()).collect();
    assert_eq!(in_flight, [1, 0]);
    drop(guard);
    assert_eq!(balancer.hosts(Duration::ZERO)[0].0.in_flight(), 0);
}

#[test]
fn word_that_changes_nothing_leaves_orders_as_they_are() {
    let balancer = balancer(Policy::Adaptive, 3);
    let version = || balancer.fleet.table(Duration::ZERO).version();
    let before = version();
    balancer.update(ready(0..3), Duration::ZERO);
    assert_eq!(version(), before);
    balancer
        .update([info(0, 10, Standing::Ready), info(1, 20, Standing::Ready), info(2, 10, Standing::Ready)], seconds(1));
    assert_eq!(version(), before + 1);
    balancer.update(
        [info(0, 10, Standing::Ready), info(1, 20, Standing::Draining), info(2, 10, Standing::Ready)],
        seconds(2),
    );
    assert_eq!(version(), before + 2);
}

#[test]
fn without_hosts_there_is_an_error_that_says_so() {
    let balancer = balancer(Policy::Adaptive, 1);
    let error = balancer.pick(&placement(1), &[id(0)], Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "no host for the request: 1 can be picked, 1 of them tried");
}

#[test]
fn two_gateways_size_a_set_for_what_both_of_them_send() {
    // Each has 14 in flight, of a function whose hosts have ten slots: 28 need four hosts, 14 alone would need two.
    let balancer = balancer(Policy::Adaptive, 50);
    let placement = placement(3);
    for tick in 0..1000u32 {
        let now = 100 * MS * tick;
        let mut guards: Vec<_> = (0..14).map(|_| balancer.pick(&placement, &[], now).unwrap()).collect();
        for guard in &mut guards {
            guard.answered(served(MS, 2 * guard.host().in_flight()), now);
        }
        guards.into_iter().for_each(|guard| guard.end(now + 100 * MS));
    }
    let hosts = placement.demand().hosts(seconds(99), || unreachable!("asked in this second already"));
    assert_eq!(hosts, 4);
}

#[test]
fn a_function_of_few_instances_for_each_host_needs_more_hosts() {
    let balancer = balancer(Policy::Adaptive, 8);
    let hosts_after = |placement: Arc<Placement>| {
        let mut used = std::collections::BTreeSet::new();
        for second in 0..20 {
            let guards: Vec<_> = (0..6).map(|_| balancer.pick(&placement, &[], seconds(second)).unwrap()).collect();
            used.extend(guards.iter().map(|guard| guard.host().id().clone()));
            guards.into_iter().for_each(|guard| guard.end(seconds(second + 1)));
        }
        used.len()
    };
    let (free, limited) = (placement(1), placement(1));
    limited.limit(2);
    assert_eq!(hosts_after(free), 1, "six of ten slots");
    assert!(hosts_after(limited) >= 4, "two on each host, of which 70 % are counted on");
}
