//! The protocols that processes follow in NATS, checked as models: every order in which steps can happen is tried, with
//! answers that are lost, messages that are late, and processes that stop anywhere.
//!
//! Each file models one protocol, and says which code each step stands for: whoever changes the one changes the other. They
//! meet in few places, so they are checked apart: commits are modelled in `commit.rs`, and `garbage.rs` has them reduced to
//! their condition; the lock is checked by itself, and `garbage.rs` relies on what is shown there.
//!
//! Every check is made again with the code changed for the worse, to see that this would be found; some of these changes are
//! how the code once was. What is tried by default takes seconds. `cargo test -p samovar-cluster --test protocol -- --ignored`
//! tries more, and takes minutes and gigabytes.
//!
//! The explorer is our own hundred lines: `stateright` compares states by 64-bit hashes only, and brings a web server and
//! seven more crates along.
#![allow(clippy::cast_possible_truncation, reason = "all counts are small")]

mod commit;
mod explore;
mod garbage;
mod lease;
mod lock;

mod commits {
    use super::commit::Change::{Delete, Deploy, DeployShared, Fence, Rollback};
    use super::commit::{Broken, Change, Commits};
    use super::explore::{breaks, holds};

    const REFUSED: &str = "a commit that was refused is stored";
    const DEPLOYS: [&[Change]; 2] = [&[Deploy('a', 1), Rollback('a')], &[Deploy('a', 2), Deploy('a', 3)]];
    const ROUTES: [&[Change]; 2] = [&[DeployShared('a', 1), Deploy('a', 2)], &[DeployShared('b', 1), Delete('b')]];

    fn commits(scripts: &[&[Change]], faults: u8, crashes: u8, broken: Broken) -> Commits {
        Commits { scripts: scripts.iter().map(|script| script.to_vec()).collect(), faults, crashes, broken }
    }

    #[test]
    fn none_is_lost_or_done_twice_or_after_it_failed() {
        let must =
            ["finds its own message", "finds another's message", "stores a late copy", "gives up looking", "crashes"];
        holds(&commits(&DEPLOYS, 3, 1, Broken::No), &must);
    }

    #[test]
    fn of_two_functions_never_have_one_route() {
        holds(
            &commits(&ROUTES, 3, 1, Broken::No),
            &["is overtaken", "gets a late copy", "has nothing to do, or may not"],
        );
    }

    #[test]
    fn never_use_a_number_twice_whatever_fences_come_between() {
        let scripts: [&[Change]; 2] = [&[Deploy('a', 1), Delete('a'), Deploy('a', 1)], &[Fence, Fence]];
        holds(&commits(&scripts, 3, 1, Broken::No), &["writes a fence", "finds another's message"]);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn of_three_processes_hold_as_well() {
        let scripts: [&[Change]; 3] =
            [&[DeployShared('a', 1), Rollback('a')], &[DeployShared('b', 2), Delete('b')], &[Deploy('a', 3), Fence]];
        holds(&commits(&scripts, 2, 1, Broken::No), &["finds its own message", "finds another's message"]);
    }

    #[test]
    fn break_without_a_condition() {
        breaks(&commits(&DEPLOYS, 1, 0, Broken::NoCondition), "a commit is stored twice");
        breaks(&commits(&DEPLOYS, 0, 0, Broken::NoCondition), "a revision number is used twice");
        let scripts: [&[Change]; 2] = [&[Deploy('a', 1), Deploy('a', 2), Deploy('a', 3)], &[Rollback('a')]];
        let overwritten = "a commit is overwritten by one that did not know of it";
        breaks(&commits(&scripts, 0, 0, Broken::NoCondition), overwritten);
    }

    #[test]
    fn break_when_the_condition_is_on_the_key() {
        breaks(&commits(&ROUTES, 0, 0, Broken::ConditionOnTheKey), "two functions answer on one route");
    }

    #[test]
    fn break_when_a_conflict_after_a_lost_answer_is_not_looked_up() {
        breaks(&commits(&DEPLOYS, 1, 0, Broken::NoLookup), REFUSED);
    }

    #[test]
    fn break_when_a_refusal_after_a_lost_answer_counts_as_a_failure() {
        breaks(&commits(&DEPLOYS, 2, 0, Broken::RefusedMeansFailed), REFUSED);
    }

    #[test]
    fn break_when_a_delete_takes_the_numbers_along() {
        let script: [&[Change]; 1] = [&[Deploy('a', 1), Delete('a'), Deploy('a', 1)]];
        breaks(&commits(&script, 0, 0, Broken::NumbersForgotten), "a revision number is used twice");
    }
}

mod artifacts {
    use super::explore::{breaks, holds};
    use super::garbage::{Broken, Garbage};

    const LOST: &str = "a function refers to an artifact that was collected";
    const MUST: [&str; 5] = [
        "removes the record",
        "removes chunks",
        "applies a late write",
        "refuses a late write",
        "is refused for want of the artifact",
    ];

    fn two_deployers(broken: Broken) -> Garbage {
        Garbage { deployers: 2, collectors: 1, collections: 1, deletes: 1, faults: 1, broken }
    }

    fn two_collectors(broken: Broken) -> Garbage {
        Garbage { deployers: 1, collectors: 2, collections: 2, deletes: 1, faults: 1, broken }
    }

    #[test]
    fn are_there_while_a_function_refers_to_them() {
        holds(&two_deployers(Broken::NoLock), &MUST);
    }

    #[test]
    fn are_collected_by_one_at_a_time() {
        holds(
            &two_collectors(Broken::No),
            &["takes the lock", "leaves the rest to the next one", "removes the record"],
        );
    }

    /// The lock only saves work.
    #[test]
    fn are_there_even_if_two_collect_at_a_time() {
        holds(&two_collectors(Broken::NoLock), &MUST);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn are_there_whatever_happens_twice() {
        holds(&Garbage { collections: 2, faults: 2, ..two_deployers(Broken::NoLock) }, &MUST);
    }

    #[test]
    fn are_lost_when_young_ones_are_collected() {
        breaks(&two_deployers(Broken::NoAge), LOST);
    }

    #[test]
    fn are_lost_when_the_sequence_of_the_record_is_not_compared() {
        breaks(&two_deployers(Broken::NoSequence), LOST);
    }

    #[test]
    fn are_lost_when_an_old_table_says_what_is_referred_to() {
        breaks(&two_deployers(Broken::OldTable), LOST);
    }

    #[test]
    fn are_lost_when_no_fence_keeps_earlier_commits_out() {
        breaks(&two_deployers(Broken::NoFence), LOST);
    }

    #[test]
    fn are_lost_when_deploys_do_not_claim_them() {
        breaks(&two_deployers(Broken::NoClaim), LOST);
    }

    #[test]
    fn are_lost_when_commits_have_no_condition() {
        breaks(&two_deployers(Broken::NoCondition), LOST);
    }

    #[test]
    fn are_collected_under_anothers_lock_when_nobody_looks_at_it() {
        breaks(&two_collectors(Broken::LockNotChecked), "somebody removes something under another's lock");
    }
}

mod locks {
    use super::explore::{breaks, holds};
    use super::lock::{Broken, Locks};

    const TWO: &str = "two processes believe that they have the lock";

    #[test]
    fn are_believed_in_by_one_at_a_time() {
        let must = ["asks for a renewal", "gives up", "lets the key expire", "gives the lock back", "loses a request"];
        holds(&Locks { requests: 4, broken: Broken::No }, &must);
    }

    #[test]
    #[ignore = "takes a minute"]
    fn are_believed_in_by_one_at_a_time_however_often_they_are_asked_for() {
        holds(&Locks { requests: 6, broken: Broken::No }, &[]);
    }

    #[test]
    fn break_when_they_are_taken_without_a_condition() {
        breaks(&Locks { requests: 2, broken: Broken::NoCondition }, TWO);
    }

    #[test]
    fn break_when_a_holder_believes_for_ever() {
        breaks(&Locks { requests: 2, broken: Broken::BelievesForEver }, TWO);
    }

    #[test]
    fn break_when_a_belief_counts_from_the_answer() {
        breaks(&Locks { requests: 2, broken: Broken::CountsFromTheAnswer }, TWO);
    }

    #[test]
    fn break_when_giving_back_removes_anothers() {
        breaks(&Locks { requests: 4, broken: Broken::RemovesAny }, TWO);
    }
}

mod leases {
    use super::explore::{breaks, holds};
    use super::lease::{Broken, Leases};

    const NOT_ALONE: &str = "it does not end with the latest run alone";
    const NOT_LATER: &str = "a run is not later than one that had the lease before it began";

    /// Three runs, whose clock stands still and then goes back.
    fn three(broken: Broken) -> Leases {
        Leases { clocks: vec![5, 5, 3], faults: 1, forgotten: 0, writes: 5, broken }
    }

    #[test]
    fn go_to_the_latest_run_whatever_the_clocks() {
        holds(&three(Broken::No), &["leaves", "loses an answer", "gets a late renewal"]);
    }

    #[test]
    fn go_to_the_latest_run_even_if_the_key_is_forgotten() {
        let two = Leases { clocks: vec![5, 6], faults: 2, forgotten: 1, writes: 6, broken: Broken::No };
        holds(&two, &["forgets the key", "gets a late renewal"]);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn go_to_the_latest_run_whatever_happens_twice() {
        holds(&Leases { faults: 2, writes: 7, ..three(Broken::No) }, &[]);
    }

    #[test]
    fn break_without_a_condition() {
        breaks(&three(Broken::NoCondition), NOT_ALONE);
    }

    #[test]
    fn break_when_an_earlier_run_never_stops() {
        breaks(&three(Broken::NeverStops), NOT_ALONE);
    }

    #[test]
    fn break_when_numbers_come_from_the_clock() {
        breaks(&three(Broken::NumberFromTheClock), NOT_LATER);
    }

    #[test]
    fn break_when_a_run_that_leaves_takes_its_number_along() {
        breaks(&three(Broken::LeavesNothing), NOT_LATER);
    }
}
