//! Simulated hosts: slots, a queue before them, and instances that are warm until they have been idle too long.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// An invocation's number, which the run knows more of.
pub type Call = usize;

/// A host. An invocation has a slot and an instance of its own from its start to its end.
#[derive(Debug)]
pub struct SimHost {
    slots: usize,
    running: usize,
    queue: VecDeque<Call>,
    /// For each function, since when its idle instances are idle; the last used is the first used again.
    idle: HashMap<u32, Vec<Duration>>,
    idle_timeout: Duration,
    /// The most that was kept of one function is seen in `idle`; this is how many functions were ever here.
    visited: usize,
}

impl SimHost {
    /// An empty host.
    pub fn new(slots: usize, idle_timeout: Duration) -> Self {
        Self { slots, running: 0, queue: VecDeque::new(), idle: HashMap::new(), idle_timeout, visited: 0 }
    }

    /// Invocations that run and that wait: what it tells gateways of its load.
    pub fn load(&self) -> usize {
        self.running + self.queue.len()
    }

    /// Functions that have run here.
    pub fn functions(&self) -> usize {
        self.visited
    }

    /// Takes an invocation in: true when it starts at once, false when it waits.
    pub fn arrive(&mut self, call: Call) -> bool {
        if self.running < self.slots {
            self.running += 1;
            return true;
        }
        self.queue.push_back(call);
        false
    }

    /// Leases an instance: true when one was warm.
    pub fn lease(&mut self, function: u32, now: Duration) -> bool {
        let visited = &mut self.visited;
        let idle = self.idle.entry(function).or_insert_with(|| {
            *visited += 1;
            Vec::new()
        });
        match idle.pop() {
            Some(since) if now - since < self.idle_timeout => true,
            // The others have been idle for longer.
            Some(_) => {
                idle.clear();
                false
            }
            None => false,
        }
    }

    /// Ends an invocation, whose instance is idle from now on. The one that may start in its place is given back.
    pub fn end(&mut self, function: u32, now: Duration) -> Option<Call> {
        self.idle.entry(function).or_default().push(now);
        let next = self.queue.pop_front();
        if next.is_none() {
            self.running -= 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_instance_is_warm_until_it_has_been_idle_too_long() {
        let mut host = SimHost::new(1, MINUTE);
        assert!(host.arrive(0));
        assert!(!host.lease(7, Duration::ZERO));
        assert_eq!(host.end(7, MINUTE), None);
        assert!(host.lease(7, 2 * MINUTE - Duration::from_nanos(1)));
        host.idle.get_mut(&7).unwrap().push(2 * MINUTE);
        assert!(!host.lease(7, 3 * MINUTE));
        assert!(!host.lease(8, 3 * MINUTE));
        assert_eq!(host.functions(), 2);
    }

    #[test]
    fn past_its_slots_invocations_wait_in_order() {
        let mut host = SimHost::new(1, MINUTE);
        assert_eq!((host.arrive(0), host.arrive(1), host.arrive(2)), (true, false, false));
        assert_eq!(host.load(), 3);
        assert_eq!(host.end(7, MINUTE), Some(1));
        assert_eq!(host.end(7, MINUTE), Some(2));
        assert_eq!(host.end(7, MINUTE), None);
        assert_eq!(host.load(), 0);
    }
}
