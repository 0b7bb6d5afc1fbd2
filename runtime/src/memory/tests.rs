use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::code::cache::CodeLimits;

const MIB: u64 = 1 << 20;

fn host(budget_bytes: u64, max_instances: u32) -> Arc<HostMemory> {
    let code = CodeCache::new(CodeLimits { bytes: u64::MAX, components: usize::MAX, mappings: u64::MAX });
    HostMemory::new(budget_bytes, max_instances, code)
}

fn enter(memory: &Arc<HostMemory>) -> Result<Share, NoRoom> {
    memory.enter(&Arc::default())
}

#[test]
fn instances_are_counted_and_given_back() {
    let memory = host(u64::MAX, 2);
    let first = enter(&memory).expect("room");
    let second = enter(&memory).expect("room");
    assert_eq!(enter(&memory).err(), Some(NoRoom::Instances));
    drop(first);
    assert!(enter(&memory).is_ok());
    drop(second);
    assert_eq!((memory.instances(), memory.promised_bytes()), (0, 0));
}

#[test]
fn what_is_promised_counts_before_it_is_resident() {
    let memory = host(256 * MIB, 100);
    memory.sampled(50 * MIB);
    let mut shares: Vec<_> = (0..20).map(|_| enter(&memory).expect("room")).collect();
    let granted = shares.iter_mut().filter_map(|share| share.grow(64 * MIB).ok()).count();
    assert_eq!(granted, 3);
    // A sample in which little of that has been touched changes nothing.
    memory.sampled(52 * MIB);
    assert_eq!(shares[10].grow(64 * MIB), Err(HostShort));
    assert!(memory.used_bytes() >= (50 + 3 * 64) * MIB);
    shares.clear();
    assert_eq!(memory.promised_bytes(), 50 * MIB);
}

#[test]
fn what_two_ask_for_at_once_is_granted_to_one() {
    let memory = host(100 * MIB, 2);
    memory.sampled(MIB);
    let (arrived, granted) = (AtomicU64::new(0), AtomicU64::new(0));
    // Waits for the other without going to sleep, or one would be done before the other has woken.
    let meet = |meeting: u64| {
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < 2 * meeting {
            std::thread::yield_now();
        }
    };
    let ask = || {
        for round in 0..10_000 {
            let share = enter(&memory).expect("room");
            meet(3 * round + 1);
            granted.fetch_add(share.grow(60 * MIB).is_ok().into(), Ordering::SeqCst);
            meet(3 * round + 2);
            drop(share);
            assert_eq!(granted.load(Ordering::SeqCst), round + 1);
            meet(3 * round + 3);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(ask);
        scope.spawn(ask);
    });
}

#[test]
fn what_is_resident_counts_however_little_was_promised() {
    let memory = host(256 * MIB, 100);
    memory.sampled(50 * MIB);
    assert!(enter(&memory).is_ok());
    memory.sampled(257 * MIB);
    assert_eq!(enter(&memory).err(), Some(NoRoom::Memory));
    memory.sampled(100 * MIB);
    assert!(enter(&memory).is_ok());
}

#[test]
fn an_instance_is_let_in_only_where_what_its_kind_asks_for_fits_unless_it_is_alone() {
    let memory = host(100 * MIB, 100);
    memory.sampled(MIB);
    let greedy = Arc::<Demand>::default();
    let alone = memory.enter(&greedy).expect("room");
    assert_eq!(alone.grow(90 * MIB), Ok(()));
    drop(alone);
    let small = enter(&memory).expect("room");
    assert!(memory.enter(&greedy).is_ok(), "90 MiB fit beside a small one");
    let middling = enter(&memory).expect("room");
    assert_eq!(middling.grow(20 * MIB), Ok(()));
    assert_eq!(memory.enter(&greedy).err(), Some(NoRoom::Memory));
    drop((small, middling));
    memory.sampled(50 * MIB);
    assert!(memory.enter(&greedy).is_ok(), "alone it may try");
}

/// Holds idle instances, as a host does.
struct Idle(Mutex<Vec<Share>>, Weak<HostMemory>);

impl Relief for Idle {
    fn relieve(&self, more: u64) {
        let memory = self.1.upgrade().expect("the test holds it");
        while memory.missing(more) > 0 {
            let Some(share) = self.0.lock().expect("no test panics here").pop() else { return };
            drop(share);
        }
    }
}

#[test]
fn what_is_idle_goes_before_anyone_is_refused() {
    let memory = host(100 * MIB, 100);
    memory.sampled(10 * MIB);
    let idle: Vec<_> = (0..4)
        .map(|_| {
            let share = enter(&memory).expect("room");
            share.grow(20 * MIB).expect("room");
            share
        })
        .collect();
    let idle = Arc::new(Idle(Mutex::new(idle), Arc::downgrade(&memory)));
    memory.relieved_by(Arc::downgrade(&idle) as _);
    let busy = enter(&memory).expect("room");
    assert_eq!(busy.grow(40 * MIB), Ok(()));
    assert_eq!(idle.0.lock().expect("no test panics here").len(), 2, "no more go than have to");
    assert_eq!(busy.grow(80 * MIB), Err(HostShort));
    assert_eq!(idle.0.lock().expect("no test panics here").len(), 0);
}
