//! Numbers as people read them: sizes, spans of time, how long ago.

use std::time::Duration;

use jiff::Timestamp;

/// A number of bytes: `812 B`, `71.3 KiB`, `12.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A span of time, to two or three digits: `85 us`, `1.3 ms`, `45 ms`, `1.2 s`, `2 min 5 s`.
pub(crate) fn span(span: Duration) -> String {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..9_950 => format!("{:.1} ms", micros as f64 / 1e3),
        9_950..999_500 => format!("{} ms", (micros + 500) / 1_000),
        999_500..59_950_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => {
            let secs = (micros + 500_000) / 1_000_000;
            format!("{} min {} s", secs / 60, secs % 60)
        }
    }
}

/// How long ago something was: `just now`, `40 s ago`, `3 min ago`, `5 h ago`, `12 d ago`.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let secs = now.as_second().saturating_sub(then.as_second());
    match secs {
        // The other machine's clock may be ahead.
        ..5 => "just now".to_owned(),
        5..60 => format!("{secs} s ago"),
        60..3_600 => format!("{} min ago", secs / 60),
        3_600..86_400 => format!("{} h ago", secs / 3_600),
        _ => format!("{} d ago", secs / 86_400),
    }
}

/// How long until something is: `now`, `in 40 s`, `in 3 min`, `in 5 h`, `in 12 d`.
pub(crate) fn until(then: Timestamp, now: Timestamp) -> String {
    let secs = then.as_second().saturating_sub(now.as_second());
    match secs {
        ..1 => "now".to_owned(),
        1..60 => format!("in {secs} s"),
        60..3_600 => format!("in {} min", secs / 60),
        3_600..86_400 => format!("in {} h", secs / 3_600),
        _ => format!("in {} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_keeps_them_short() {
        let shown = [0, 1023, 1024, 73_000, 1_048_575, 12_800_658, 5 << 30].map(size);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "71.3 KiB", "1.0 MiB", "12.2 MiB", "5.0 GiB"]);
    }

    #[test]
    fn spans_have_the_unit_that_keeps_them_short() {
        let shown =
            [85, 1_300, 9_949, 9_960, 45_400, 999_600, 1_230_000, 125_000_000].map(Duration::from_micros).map(span);
        assert_eq!(shown, ["85 us", "1.3 ms", "9.9 ms", "10 ms", "45 ms", "1.0 s", "1.2 s", "2 min 5 s"]);
    }

    #[test]
    fn ages_are_rounded_down_and_never_in_the_future() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let shown =
            [-30, 0, 40, 200, 7_200, 200_000].map(|secs| ago(Timestamp::from_second(1_000_000 - secs).unwrap(), now));
        assert_eq!(shown, ["just now", "just now", "40 s ago", "3 min ago", "2 h ago", "2 d ago"]);
    }

    #[test]
    fn what_is_to_come_is_rounded_down_and_never_in_the_past() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let shown =
            [-30, 40, 200, 7_200, 200_000].map(|secs| until(Timestamp::from_second(1_000_000 + secs).unwrap(), now));
        assert_eq!(shown, ["now", "in 40 s", "in 3 min", "in 2 h", "in 2 d"]);
    }
}
