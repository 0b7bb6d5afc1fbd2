use samovar_model::{GatewayMember, GatewayRecord, GatewayState};

use super::super::stored::Held;
use super::*;
use crate::contract::name;

fn gateways(names: &[&str]) -> GatewayTable {
    let member = |name: &&str| {
        let id: GatewayId = name.parse().unwrap();
        let (address, version) = ("127.0.0.1:1".to_owned(), "1".to_owned());
        let record = GatewayRecord { id: id.clone(), address, version, started: Timestamp::UNIX_EPOCH, routed: 0 };
        (id, GatewayMember { record: record.into(), state: GatewayState::Ready })
    };
    names.iter().map(member).collect()
}

fn index() -> Index {
    let mut index = Index::new(Some("a".parse().unwrap()), Duration::from_secs(15));
    index.meet(&gateways(&["a"]));
    index
}

fn standing(function: &str, state: JobState, owner: Option<&str>) -> Standing {
    let held = owner.map(|owner| Held { owner: owner.parse().unwrap(), since: Timestamp::now() });
    let function = function.parse().unwrap();
    Standing { function, state, at: Timestamp::now(), held, key: None, in_parts: false }
}

fn queued(owner: Option<&str>) -> Option<Standing> {
    Some(standing("f", JobState::Queued, owner))
}

fn id(number: u128) -> JobId {
    JobId::from_number(number)
}

fn next(index: &mut Index) -> Next {
    index.next(Timestamp::now(), &BTreeSet::new())
}

#[test]
fn nothing_is_taken_before_others_can_know_who_does() {
    let mut index = Index::new(Some("a".parse().unwrap()), Duration::from_secs(15));
    index.hear(id(1), 1, queued(None));
    index.meet(&gateways(&["b"]));
    assert_eq!(next(&mut index), Next::Nothing);
    index.meet(&gateways(&["a"]));
    assert_eq!(next(&mut index), Next::Try(id(1), name("f")));
    assert_eq!(next(&mut index), Next::Nothing, "it is in hand");
}

#[test]
fn what_is_told_late_changes_nothing() {
    let mut index = index();
    index.wrote(id(1), 5, queued(None));
    index.hear(id(1), 3, queued(Some("b")));
    assert_eq!(next(&mut index), Next::Try(id(1), name("f")));
    index.wrote(id(1), 9, None);
    index.put_down(id(1), None);
    // The stream tells only now what became of it before its end, and then of that.
    for (sequence, standing) in [(5, queued(None)), (7, queued(Some("a"))), (9, None)] {
        index.hear(id(1), sequence, standing);
        assert_eq!(next(&mut index), Next::Nothing);
    }
    assert!(index.ended.is_empty());
    // What it has heard of already it need not wait for.
    index.wrote(id(1), 9, None);
    assert!(index.ended.is_empty());
    // A retry by hand.
    index.hear(id(1), 12, queued(None));
    assert_eq!(next(&mut index), Next::Try(id(1), name("f")));
}

#[test]
fn a_job_is_due_again_when_its_gateway_is_gone_and_not_before() {
    let mut index = index();
    index.meet(&gateways(&["a", "b"]));
    index.hear(id(1), 1, queued(Some("b")));
    assert_eq!(next(&mut index), Next::Nothing);
    index.meet(&gateways(&["a"]));
    assert_eq!(next(&mut index), Next::Try(id(1), name("f")));
    // One that joined just now may not be shown yet.
    index.hear(id(2), 2, queued(Some("c")));
    let Next::At(at) = next(&mut index) else { panic!("it is due some time") };
    assert!(at > Timestamp::now() + Duration::from_secs(13));
}

#[test]
fn a_job_that_this_process_has_lost_sight_of_is_due() {
    let mut index = index();
    index.hear(id(1), 1, queued(None));
    assert_eq!(next(&mut index), Next::Try(id(1), name("f")));
    index.hear(id(1), 2, queued(Some("a")));
    assert_eq!(next(&mut index), Next::Nothing, "it is in hand");
    let later = Timestamp::now() + Duration::from_secs(10);
    index.put_down(id(1), Some(later));
    assert_eq!(next(&mut index), Next::At(later));
    index.put_down(id(1), None);
    assert_eq!(next(&mut index), Next::Try(id(1), name("f")));
}

#[test]
fn what_is_not_told_in_a_whole_is_gone_unless_it_is_newer() {
    let mut index = index();
    for number in 1..=3 {
        index.hear(id(number), u64::try_from(number).unwrap() * 10, queued(None));
    }
    index.only(&HashSet::from([id(1)]), 25);
    assert!(index.is_open(id(1)) && !index.is_open(id(2)) && index.is_open(id(3)));
}

#[test]
fn jobs_are_counted_by_where_they_stand() {
    let mut index = index();
    index.meet(&gateways(&["a", "b"]));
    index.hear(id(1), 1, queued(None));
    index.hear(id(2), 2, queued(Some("b")));
    index.hear(id(3), 3, Some(standing("g", JobState::Waiting, None)));
    let (counts, due) = index.counts();
    let count = |state| counts.get(&state).copied().unwrap_or(0);
    assert_eq!([JobState::Queued, JobState::Waiting, JobState::Running].map(count), [1, 1, 1]);
    assert!(due.is_some());
    for number in 1..=3 {
        index.hear(id(number), 10, None);
    }
    let (counts, due) = index.counts();
    assert!(counts.values().all(|count| *count == 0) && due.is_none(), "{counts:?}");
}
