use super::*;

const MS: Duration = Duration::from_millis(1);

/// Ten slots a host: a set is sized for seven in flight on each.
const SLOTS: f64 = 10.0;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Has `demand` in flight from `from` to `to`, asking ten times a second.
fn hold(demand: &Demand, in_flight: u32, from: u64, to: u64) -> u32 {
    let mut hosts = 0;
    for tick in from * 10..to * 10 {
        let now = 100 * MS * u32::try_from(tick).unwrap();
        while demand.in_flight() < in_flight {
            demand.begin(now);
        }
        while demand.in_flight() > in_flight {
            demand.end(now);
        }
        hosts = demand.hosts(now, || SLOTS);
    }
    hosts
}

#[test]
fn the_integral_is_exact_whatever_overlaps() {
    let area = Area::default();
    area.begin(seconds(10));
    area.begin(seconds(11));
    let at_12 = area.up_to(seconds(12));
    area.end(seconds(13));
    area.end(seconds(20));
    // From 12 to 13 two, from 13 to 20 one.
    assert_eq!(difference(area.up_to(seconds(100)), at_12) as f64 / UNITS, 9.0);
    assert_eq!(area.count(), 0);
}

#[test]
fn steady_demand_gets_its_hosts() {
    let demand = Demand::new();
    assert_eq!(hold(&demand, 7, 1000, 1070), 1);
    let demand = Demand::new();
    assert_eq!(hold(&demand, 8, 1000, 1070), 2);
    let demand = Demand::new();
    assert_eq!(hold(&demand, 70, 1000, 1070), 10);
}

#[test]
fn a_burst_is_followed_within_the_panic_window() {
    let demand = Demand::new();
    assert_eq!(hold(&demand, 5, 1000, 1100), 1);
    let after = hold(&demand, 70, 1100, 1107);
    assert_eq!(after, 10, "the stable window alone would have {} by now", (5.0 * 53.0 + 70.0 * 7.0) / 60.0 / 7.0);
}

#[test]
fn a_slow_rise_waits_for_the_stable_window() {
    let demand = Demand::new();
    assert_eq!(hold(&demand, 28, 1000, 1100), 4);
    // Seven hosts are less than twice four.
    assert_eq!(hold(&demand, 49, 1100, 1110), 5);
    assert_eq!(hold(&demand, 49, 1110, 1161), 7);
}

#[test]
fn it_shrinks_by_the_stable_window_and_after_the_delay() {
    let demand = Demand::new();
    assert_eq!(hold(&demand, 70, 1000, 1200), 10);
    assert_eq!(hold(&demand, 1, 1200, 1230), 10);
    // Fewer were enough from 1207 on, and within 30 s of that, nine were wanted.
    assert_eq!(hold(&demand, 1, 1230, 1237), 10);
    assert_eq!(hold(&demand, 1, 1237, 1240), 9);
    assert_eq!(hold(&demand, 1, 1240, 1330), 1);
}

#[test]
fn nothing_shrinks_in_panic() {
    let demand = Demand::new();
    assert_eq!(hold(&demand, 1, 1000, 1100), 1);
    assert_eq!(hold(&demand, 70, 1100, 1108), 10);
    assert_eq!(hold(&demand, 0, 1108, 1150), 10);
}

#[test]
fn a_long_silence_counts_as_silence() {
    let demand = Demand::new();
    assert_eq!(hold(&demand, 70, 1000, 1100), 10);
    hold(&demand, 0, 1100, 1101);
    assert_eq!(demand.hosts(seconds(2000), || SLOTS), 10, "the delay begins now");
    assert_eq!(demand.hosts(seconds(2030), || SLOTS), 1);
}

#[test]
fn requests_that_end_at_an_unknown_time_do_not_make_the_set_grow() {
    let demand = Demand::new();
    for tick in 0..2000u32 {
        let now = seconds(1000) + 100 * MS * tick;
        assert_eq!(demand.hosts(now, || SLOTS), 1);
        demand.begin(now);
        demand.end_unknown(now);
    }
}

#[test]
fn times_out_of_order_count_as_nothing_and_not_as_very_much() {
    let demand = Demand::new();
    demand.hosts(seconds(1000), || SLOTS);
    demand.begin(seconds(1000) + 900 * MS);
    demand.end(seconds(1000));
    assert_eq!(demand.hosts(seconds(1001), || SLOTS), 1);
}
