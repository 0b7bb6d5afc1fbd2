//! What picking a host costs: a request's pick and its guard's end, on clusters of 3, 100 and 1,000 hosts.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use samovar_gateway::balance::{Answer, Balancer, HostInfo, Outcome, Placement, Policy, Standing};

/// Requests in flight while others are picked: a host in three or so has one.
const IN_FLIGHT: usize = 300;

fn balancer(policy: Policy, hosts: usize) -> Balancer {
    let balancer = Balancer::new(policy);
    let info =
        |host| HostInfo { id: format!("host-{host}").parse().expect("a name"), slots: 200, state: Standing::Ready };
    balancer.update((0..hosts).map(info), Duration::ZERO);
    balancer
}

fn pick(criterion: &mut Criterion) {
    for hosts in [3, 100, 1000] {
        let mut group = criterion.benchmark_group(format!("pick of {hosts} hosts"));
        for policy in Policy::ALL {
            let balancer = balancer(policy, hosts);
            let placements: Vec<_> =
                (0..100).map(|function| Arc::new(Placement::new(&format!("function-{function}")))).collect();
            let now = Duration::from_secs(1);
            let pick = |request: usize| balancer.pick(&placements[request % 100], &[], now).expect("hosts are ready");
            let in_flight: Vec<_> = (0..IN_FLIGHT).map(pick).collect();
            let mut request = 0;
            group.bench_function(policy.name(), |bencher| {
                bencher.iter(|| {
                    request += 1;
                    let mut guard = black_box(pick(request));
                    let load = Some(guard.host().in_flight());
                    let answer = Answer { outcome: Outcome::Served, latency: Duration::from_millis(1), load };
                    guard.answered(answer, now);
                    guard.end(now);
                });
            });
            drop(in_flight);
        }
        group.finish();
    }
}

criterion_group!(benches, pick);
criterion_main!(benches);
