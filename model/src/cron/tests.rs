//! The schedules against a slow model that looks at every minute, and the hours when clocks are changed, one by one.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn cron(text: &str) -> Cron {
    text.parse().expect(text)
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect(name)
}

/// The local times of the next ticks.
fn local(text: &str, name: &str, after: &str, count: usize) -> Vec<String> {
    let (cron, zone) = (cron(text), zone(name));
    let mut at: Timestamp = after.parse().expect("a time");
    let next = || {
        at = cron.next(at, &zone)?;
        Some(at.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string())
    };
    std::iter::from_fn(next).take(count).collect()
}

#[test]
fn fields_are_numbers_names_ranges_steps_and_lists() {
    let bits = |text: &str| {
        let cron = cron(text);
        [cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays].map(u64::count_ones)
    };
    assert_eq!(bits("* * * * *"), [60, 24, 31, 12, 7]);
    assert_eq!(bits("*/5 0-6/2 1,15 JAN-mar Mon-FRI"), [12, 4, 2, 3, 5]);
    assert_eq!(bits("5/15 23 31 12 0,7"), [4, 1, 1, 1, 1]);
    assert_eq!(bits("0 0 * * fri-sun"), [1, 1, 31, 12, 3]);
    assert_eq!(bits("@hourly"), [1, 24, 31, 12, 7]);
    assert_eq!(bits("@weekly"), [1, 1, 31, 12, 1]);
}

#[test]
fn what_is_no_schedule_is_refused_by_its_field() {
    for (text, expected) in [
        ("", "`` is not a schedule: write five fields"),
        ("* * * *", "`* * * *` is not a schedule"),
        ("* * * * * *", "is not a schedule"),
        ("@reboot", "`@reboot` is not a schedule"),
        ("60 * * * *", "the minute `60` is not from 0 to 59"),
        ("* 24 * * *", "the hour `24` is not from 0 to 23"),
        ("* * 0 * *", "the day `0` is not from 1 to 31"),
        ("* * * FEBRUARY *", "the month `FEBRUARY` is not from 1 to 12"),
        ("* * * * 8", "the weekday `8`"),
        ("*/0 * * * *", "the minute `*/0`"),
        ("30-10 * * * *", "the minute `30-10`"),
        ("+5 * * * *", "the minute `+5`"),
        ("1,,2 * * * *", "the minute `1,,2`"),
        ("0 0 30 2 *", "`0 0 30 2 *` is never due"),
        ("0 0 31 4,6,9,11 *", "is never due"),
    ] {
        let error = text.parse::<Cron>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn either_day_is_enough_where_both_are_named() {
    let days = local("0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z", 4);
    assert_eq!(days, ["02-06 00:00+00:00", "02-13 00:00+00:00", "02-20 00:00+00:00", "02-27 00:00+00:00"]);
    assert_eq!(local("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["02-29 00:00+00:00"]);
}

#[test]
fn a_time_that_the_clock_leaves_out_is_due_once_it_is_over() {
    // Berlin, 29 March 2026: 02:00 is 03:00.
    let from = "2026-03-27T12:00:00Z";
    let nightly = local("30 2 * * *", "Europe/Berlin", from, 3);
    assert_eq!(nightly, ["03-28 02:30+01:00", "03-29 03:00+02:00", "03-30 02:30+02:00"]);
    let half_hourly = local("*/30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
    assert_eq!(half_hourly, ["03-29 03:00+02:00", "03-29 03:30+02:00", "03-30 02:00+02:00"]);
    let hourly = local("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2);
    assert_eq!(hourly, ["03-29 01:30+01:00", "03-29 03:30+02:00"]);
}

#[test]
fn a_time_that_the_clock_shows_twice_is_due_the_first_time() {
    // Berlin, 25 October 2026: 03:00 is 02:00 again.
    let nightly = local("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(nightly, ["10-25 02:30+02:00", "10-26 02:30+01:00"]);
    let hourly = local("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3);
    assert_eq!(hourly, ["10-25 02:30+02:00", "10-25 02:30+01:00", "10-25 03:30+01:00"]);
}

#[test]
fn a_day_that_a_place_leaves_out_is_made_up_for() {
    // Samoa went from the 29th to the 31st of December 2011.
    let days = local("0 9 30 12 *", "Pacific/Apia", "2011-12-28T00:00:00Z", 1);
    assert_eq!(days, ["12-31 00:00+14:00"]);
}

/// By looking at each minute.
fn slowly(cron: &Cron, zone: &TimeZone, from: Timestamp, minutes: i64) -> Vec<Timestamp> {
    let civil = |at: Timestamp| at.to_zoned(zone.clone()).datetime();
    let fits = |at: DateTime| {
        let weekday = 1 << at.weekday().to_sunday_zero_offset() & cron.weekdays != 0;
        let day = 1 << at.day() & cron.days != 0;
        let date = if cron.either_day { day || weekday } else { day && weekday };
        date && 1 << at.month() & cron.months != 0
            && 1 << at.hour() & cron.hours != 0
            && 1 << at.minute() & cron.minutes != 0
    };
    let every_hour = (0..24).all(|hour| cron.hours >> hour & 1 == 1);
    // A day before, so that all that the clock may show again has been seen.
    let (mut seen, mut ticks) = (BTreeSet::new(), Vec::new());
    for minute in -1440..=minutes {
        let at = from + minute.minutes();
        let (now, before) = (civil(at), civil(at - 1.minute()));
        let is_new = seen.insert(now);
        let mut due = fits(now) && (every_hour || is_new);
        let mut left_out = before + 1.minute();
        while left_out < now {
            due |= fits(left_out) && !every_hour;
            left_out += 1.minute();
        }
        if due && minute > 0 {
            ticks.push(at);
        }
    }
    ticks
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    let one = prop_oneof![
        3 => Just("*".to_owned()),
        2 => (low..=high).prop_map(|value| value.to_string()),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (1..=high.max(2)).prop_map(|step| format!("*/{step}")),
        1 => (low..=high, low..=high).prop_map(|(a, b)| format!("{a},{b}")),
    ];
    one.boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_tick_is_found_in_either_direction_and_no_other(
        fields in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)),
        place in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"]),
        // Around the days when clocks are changed there, as well as on others.
        day in prop_oneof![60..100_i64, 270..320_i64, 0..365_i64],
    ) {
        let text = format!("{} {} {} {} {}", fields.0, fields.1, fields.2, fields.3, fields.4);
        let Ok(cron) = text.parse::<Cron>() else { return Ok(()) };
        let zone = zone(place);
        let from = "2026-01-01T00:00:00Z".parse::<Timestamp>().expect("a time") + (day * 24).hours();
        let expected = slowly(&cron, &zone, from, 3 * 1440);
        let end = from + (3 * 24).hours();
        let (mut forward, mut at) = (Vec::new(), from);
        while let Some(next) = cron.next(at, &zone).filter(|next| *next <= end) {
            forward.push(next);
            at = next;
        }
        prop_assert_eq!(&forward, &expected, "{} {}", text, place);
        let (mut backward, mut at) = (Vec::new(), end);
        while let Some(previous) = cron.previous(at, &zone).filter(|previous| *previous > from) {
            backward.push(previous);
            at = previous - 1.second();
        }
        backward.reverse();
        prop_assert_eq!(&backward, &expected, "{} {}", text, place);
    }

    #[test]
    fn no_text_breaks_the_reader(text in "[-*/0-9a-zA-Z,@ ]{0,24}") {
        let _ignored = text.parse::<Cron>();
    }
}
