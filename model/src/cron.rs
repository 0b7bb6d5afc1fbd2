//! When a schedule is due: the five fields of cron, in a time zone.
//!
//! ```text
//! minute  0-59            each field: `*`, a number, a range `1-5`, a step `*/15` or `10-40/10`, or several with commas
//! hour    0-23
//! day     1-31            where both day fields say something, one of them is enough, as in every cron
//! month   1-12, JAN-DEC
//! weekday 0-7,  SUN-SAT   0 and 7 are Sunday
//! ```
//! or one of `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly`, `@yearly` (`@annually`).
//!
//! When clocks are put forward, what would have been due in the hour that is left out is due once, when it is over. When they are
//! put back, what is due at certain hours is due the first time only. What is due every hour follows the time that really passes:
//! nothing is made up for, and nothing left out.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

/// How many days are looked at for the next time: the 29th of February can be 8 years away.
const HORIZON_DAYS: u32 = 9 * 366;

/// When something is due, in the clock of some place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day that fits one of the two day fields is enough.
    either_day: bool,
}

/// A text that is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not five fields.
    #[error(
        "`{0}` is not a schedule: write five fields (minute hour day month weekday), as in `*/5 * * * *`, or one of \
         @hourly, @daily, @weekly, @monthly and @yearly"
    )]
    Fields(String),
    /// One of the fields.
    #[error(
        "`{text}`: the {field} `{part}` is not from {low} to {high}, a range such as {low}-{high} or a step such as */2"
    )]
    Field {
        /// The schedule.
        text: String,
        /// Which field.
        field: &'static str,
        /// What was written there.
        part: String,
        /// The least value.
        low: u8,
        /// The greatest.
        high: u8,
    },
    /// No day fits.
    #[error("`{0}` is never due: no month named has such a day")]
    Never(String),
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One of the five fields.
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    /// Names of values, the first of `low`.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: &MONTHS },
    Field { name: "weekday", low: 0, high: 7, names: &WEEKDAYS },
];

impl Field {
    /// The values that a field's text stands for, as bits.
    fn read(&self, text: &str) -> Option<u64> {
        text.split(',').try_fold(0, |bits, part| Some(bits | self.part(part)?))
    }

    fn part(&self, part: &str) -> Option<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (self.low, self.high),
            Some((low, high)) => (self.value(low)?, self.value(high)?),
            // A single value with a step goes on to the end: `5/15` is 5, 20, 35 and 50.
            None => (self.value(range)?, if step.is_some() { self.high } else { self.value(range)? }),
        };
        // A range of weekdays may end on a Sunday, by whichever name.
        let high = if self.name == "weekday" && high == 0 && low > 0 { 7 } else { high };
        let values = (low..=high).step_by(usize::from(step.unwrap_or(1)));
        (low <= high).then(|| values.fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u8> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(position) => u8::try_from(position).ok()? + self.low,
            None => number(text)?,
        };
        (self.low..=self.high).contains(&value).then_some(value)
    }
}

fn number(text: &str) -> Option<u8> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let plain = match text.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let parts: Vec<&str> = plain.split_ascii_whitespace().collect();
        let parts: [&str; 5] = parts.try_into().map_err(|_| CronError::Fields(text.to_owned()))?;
        let mut bits = [0; 5];
        for ((field, part), bits) in FIELDS.iter().zip(parts).zip(&mut bits) {
            *bits = field.read(part).ok_or_else(|| CronError::Field {
                text: text.to_owned(),
                field: field.name,
                part: part.to_owned(),
                low: field.low,
                high: field.high,
            })?;
        }
        let [minutes, hours, days, months, weekdays] = bits;
        let weekdays = (weekdays | weekdays >> 7) & 0x7f;
        let either_day = !parts[2].starts_with('*') && !parts[4].starts_with('*');
        let cron = Self { text: text.trim().to_owned(), minutes, hours, days, months, weekdays, either_day };
        if cron.is_ever() { Ok(cron) } else { Err(CronError::Never(text.to_owned())) }
    }
}

impl Cron {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time that it is due after this one.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = after.to_zoned(zone.clone()).date();
        // Clocks that are put back across midnight let an earlier day go on.
        date = date.yesterday().ok()?;
        for _ in 0..HORIZON_DAYS {
            if let Some(found) = self.on(date, zone)?.into_iter().find(|tick| *tick > after) {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last time that it was due up to this one.
    pub fn previous(&self, until: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = until.to_zoned(zone.clone()).date().tomorrow().ok()?;
        for _ in 0..HORIZON_DAYS {
            if let Some(found) = self.on(date, zone)?.into_iter().rev().find(|tick| *tick <= until) {
                return Some(found);
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// When it is due from the beginning of this day to the beginning of the next, in order.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<Vec<Timestamp>> {
        let start = date.to_zoned(zone.clone()).ok()?.timestamp();
        let end = date.tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp();
        if end <= start {
            // A day that the place leaves out.
            return Some(Vec::new());
        }
        // What happens at the very beginning belongs to the day.
        let changes = zone.following(start - 1.nanosecond()).next().is_some_and(|change| change.timestamp() < end);
        if changes {
            return Some(self.on_uneven(start, end, zone));
        }
        if !self.fits_date(date) {
            return Some(Vec::new());
        }
        let hours = (0..24_i64).filter(|hour| self.hours >> hour & 1 == 1);
        let minutes = |hour| (0..60_i64).filter(|minute| self.minutes >> minute & 1 == 1).map(move |m| hour * 60 + m);
        Some(hours.flat_map(minutes).map(|minute| start + minute.minutes()).collect())
    }

    /// The same on a day when clocks are put forward or back: minute by minute.
    fn on_uneven(&self, start: Timestamp, end: Timestamp, zone: &TimeZone) -> Vec<Timestamp> {
        let mut ticks = Vec::new();
        let mut now = start;
        let mut before = (start - 1.minute()).to_zoned(zone.clone()).datetime();
        while now < end {
            let zoned = now.to_zoned(zone.clone());
            let civil = zoned.datetime();
            let mut due = self.fits(civil) && (self.is_every_hour() || is_first(&zoned));
            if !self.is_every_hour() && !due {
                // What was left out is due now.
                let mut skipped = before + 1.minute();
                while skipped < civil && !due {
                    due = self.fits(skipped);
                    skipped += 1.minute();
                }
            }
            if due {
                ticks.push(now);
            }
            (before, now) = (civil, now + 1.minute());
        }
        ticks
    }

    fn is_every_hour(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    fn fits(&self, civil: DateTime) -> bool {
        self.fits_date(civil.date()) && self.fits_time(civil.time())
    }

    fn fits_time(&self, time: Time) -> bool {
        has(self.hours, time.hour()) && has(self.minutes, time.minute())
    }

    fn fits_date(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    /// Whether some month named has some day named, leap years included.
    fn is_ever(&self) -> bool {
        const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let named = (1..=12).zip(LONGEST).filter(|(month, _)| self.months >> month & 1 == 1);
        self.either_day || named.into_iter().any(|(_, longest)| self.days & ((2 << longest) - 1) != 0)
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits >> value & 1 == 1
}

/// Whether the clock shows this time for the first time that day.
fn is_first(zoned: &Zoned) -> bool {
    let first = zoned.datetime().to_zoned(zoned.time_zone().clone());
    first.is_ok_and(|first| first.timestamp() == zoned.timestamp())
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, CronError> {
        text.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.text
    }
}

#[cfg(test)]
mod tests;
