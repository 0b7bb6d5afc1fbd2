//! The guest's wall clock: whole milliseconds, which is all that an application needs of it. It is the clock of `wasi:clocks`
//! in 0.2 (`wall-clock`) and in 0.3 (`system-clock`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime_wasi::HostWallClock;

/// What it tells apart.
const RESOLUTION: Duration = Duration::from_millis(1);

/// The system's time, rounded down.
pub(crate) struct CoarseClock;

impl HostWallClock for CoarseClock {
    fn resolution(&self) -> Duration {
        RESOLUTION
    }

    fn now(&self) -> Duration {
        // A machine whose clock stands before 1970 has none.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::new(now.as_secs(), now.subsec_millis() * 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_tells_whole_milliseconds_of_the_systems_time() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now = CoarseClock.now();
        assert_eq!(now.subsec_nanos() % 1_000_000, 0);
        assert!(now + RESOLUTION > before, "{now:?} {before:?}");
    }
}
