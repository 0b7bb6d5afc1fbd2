//! Visits every state that a protocol can get into, the nearest first, and finds the shortest way to one that must not be.
//!
//! A process that crashes and one that waits for ever need no step of their own: what the others do without it is visited
//! anyway. States are compared as a whole, never by a hash alone, so that none is taken for another.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A protocol: where it begins, what can happen, and what must hold.
pub(crate) trait Protocol {
    type State: Clone + Eq + Hash + Debug;

    fn start(&self) -> Self::State;
    /// Tells everything that can happen next.
    fn steps(&self, state: &Self::State, next: &mut Next<Self::State>);
    /// What is wrong with a state, if something is.
    fn wrong(&self, state: &Self::State) -> Option<&'static str>;
}

/// What happened: who did it, and what it was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    who: &'static str,
    what: &'static str,
}

/// What can happen next.
pub(crate) struct Next<S>(Vec<(Step, S)>);

impl<S: Clone> Next<S> {
    /// `who` can do `what`, which changes the state like this.
    pub(crate) fn can(&mut self, who: &'static str, what: &'static str, state: &S, change: impl FnOnce(&mut S)) {
        let mut state = state.clone();
        change(&mut state);
        self.0.push((Step { who, what }, state));
    }
}

/// What was visited without finding anything wrong.
#[derive(Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: u32,
    /// How often each thing happened.
    pub(crate) happened: BTreeMap<&'static str, usize>,
    pub(crate) took: Duration,
}

/// The shortest way to a state that must not be.
#[derive(Debug)]
pub(crate) struct Counterexample {
    pub(crate) wrong: &'static str,
    pub(crate) path: String,
}

struct Visited<S> {
    state: Rc<S>,
    /// From where it was reached, and how; the start comes from itself.
    from: usize,
    by: Step,
    depth: u32,
}

/// Visits every state.
pub(crate) fn explore<P: Protocol>(protocol: &P) -> Result<Explored, Counterexample> {
    let began = Instant::now();
    let start = Rc::new(protocol.start());
    let mut known = HashSet::from([start.clone()]);
    let mut visited = vec![Visited { state: start, from: 0, by: Step { who: "all", what: "begin" }, depth: 0 }];
    let (mut happened, mut next) = (BTreeMap::new(), Next(Vec::new()));
    let mut at = 0;
    while at < visited.len() {
        let (state, depth) = (visited[at].state.clone(), visited[at].depth);
        if let Some(wrong) = protocol.wrong(&state) {
            return Err(Counterexample { wrong, path: path(&visited, at) });
        }
        protocol.steps(&state, &mut next);
        for (by, state) in next.0.drain(..) {
            *happened.entry(by.what).or_default() += 1;
            let state = Rc::new(state);
            if known.insert(state.clone()) {
                visited.push(Visited { state, from: at, by, depth: depth + 1 });
            }
        }
        at += 1;
    }
    let depth = visited.last().map_or(0, |last| last.depth);
    Ok(Explored { states: visited.len(), depth, happened, took: began.elapsed() })
}

fn path<S: Debug>(visited: &[Visited<S>], mut at: usize) -> String {
    let mut lines = vec![format!("{:?}", visited[at].state)];
    while visited[at].depth > 0 {
        let Visited { by, from, depth, .. } = &visited[at];
        lines.push(format!("{depth:3}. {}: {}", by.who, by.what));
        at = *from;
    }
    lines.reverse();
    lines.join("\n")
}

/// Visits every state, in which nothing may be wrong, and sees that each of these things could happen.
pub(crate) fn holds<P: Protocol>(protocol: &P, must_happen: &[&str]) {
    match explore(protocol) {
        Err(Counterexample { wrong, path }) => panic!("{wrong}\n{path}"),
        Ok(Explored { states, depth, happened, took }) => {
            println!("{states} states, up to {depth} steps deep, in {took:.1?}: {happened:?}");
            for what in must_happen {
                assert!(happened.contains_key(what), "it never happened that a process {what}");
            }
        }
    }
}

/// Sees that the check finds just this wrong.
pub(crate) fn breaks<P: Protocol>(protocol: &P, expected: &str) {
    let found = explore(protocol).expect_err("a counterexample");
    println!("{}\n{}", found.wrong, found.path);
    assert_eq!(found.wrong, expected, "{}", found.path);
}

#[test]
fn the_shortest_way_is_found() {
    /// Two counters that must not both be 2.
    struct Counters;

    impl Protocol for Counters {
        type State = (u8, u8);

        fn start(&self) -> (u8, u8) {
            (0, 0)
        }

        fn steps(&self, state: &(u8, u8), next: &mut Next<(u8, u8)>) {
            if state.0 < 3 {
                next.can("a", "counts", state, |state| state.0 += 1);
            }
            if state.1 < 3 {
                next.can("b", "counts twice", state, |state| state.1 += 2);
            }
        }

        fn wrong(&self, state: &(u8, u8)) -> Option<&'static str> {
            (*state == (2, 2)).then_some("both are 2")
        }
    }

    let found = explore(&Counters).expect_err("it is reached");
    assert_eq!(found.wrong, "both are 2");
    assert_eq!(found.path, "  1. a: counts\n  2. a: counts\n  3. b: counts twice\n(2, 2)");
}
