//! Schedules: when a function is called without a caller.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::{Cron, Digest, FunctionName};

/// What becomes of ticks that nobody was there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// They are left out, unless the last one is less than a minute ago.
    #[default]
    None,
    /// The last of them is made up for.
    One,
}

/// The name of a time zone, as in `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

/// A text that is not the name of a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time zone: write its name in the tz database, as in `Europe/Berlin`, or `UTC`")]
pub struct ZoneError(String);

impl Default for Zone {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

impl Zone {
    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its rules.
    pub fn rules(&self) -> TimeZone {
        // The database is part of the program: what it knew when the name was checked, it knows now.
        TimeZone::get(&self.0).unwrap_or(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        match TimeZone::get(text) {
            Ok(zone) => Ok(Self(zone.iana_name().unwrap_or("UTC").to_owned())),
            Err(_) => Err(ZoneError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;

    fn try_from(text: String) -> Result<Self, ZoneError> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One schedule of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When it is due.
    pub cron: Cron,
    /// By which clock. Default `UTC`.
    #[serde(default)]
    pub zone: Zone,
    /// Where the request goes. Default `/`.
    #[serde(default = "root")]
    pub path: String,
    /// What becomes of missed ticks. Default `none`.
    #[serde(default)]
    pub catch_up: CatchUp,
}

fn root() -> String {
    "/".to_owned()
}

impl Schedule {
    /// What tells this schedule from a function's others, and from one that was there before: `cron zone path`, shortened where it
    /// would be long.
    pub fn key(&self, function: &FunctionName) -> ScheduleKey {
        let whole = format!("{}\n{}\n{}", self.cron, self.zone, self.path);
        let digest = Digest::of(whole.as_bytes()).to_string();
        let digits: String = digest.chars().filter(char::is_ascii_hexdigit).rev().take(16).collect();
        ScheduleKey { function: function.clone(), digits }
    }

    /// When it is due next.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.next(after, &self.zone.rules())
    }

    /// When it was due last.
    pub fn previous(&self, until: Timestamp) -> Option<Timestamp> {
        self.cron.previous(until, &self.zone.rules())
    }
}

/// A schedule's name within the whole platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleKey {
    function: FunctionName,
    digits: String,
}

impl ScheduleKey {
    /// The function.
    pub fn function(&self) -> &FunctionName {
        &self.function
    }
}

impl fmt::Display for ScheduleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.function, self.digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_known_by_its_name() {
        assert_eq!("Europe/Berlin".parse::<Zone>().expect("known").as_str(), "Europe/Berlin");
        assert_eq!("UTC".parse::<Zone>().expect("known"), Zone::default());
        let error = "Europe/Berlim".parse::<Zone>().expect_err("unknown").to_string();
        assert!(error.starts_with("`Europe/Berlim` is not a time zone"), "{error}");
    }

    #[test]
    fn a_schedule_that_changes_is_another_one() {
        let schedule: Schedule = serde_json::from_str(r#"{"cron":"0 2 * * *"}"#).expect("valid");
        let name = "a".parse().expect("a name");
        let moved = Schedule { path: "/nightly".to_owned(), ..schedule.clone() };
        assert_ne!(schedule.key(&name), moved.key(&name));
        let caught_up = Schedule { catch_up: CatchUp::One, ..schedule.clone() };
        assert_eq!(schedule.key(&name), caught_up.key(&name));
        assert_eq!(schedule.path, "/");
    }
}
