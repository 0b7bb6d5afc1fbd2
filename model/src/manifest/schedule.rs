//! `schedule` in the manifest: a list of cron expressions, or tables that say more.

use serde::{Deserialize, Serialize};

use super::{FunctionTable, ManifestError};
use crate::{CatchUp, FunctionName, Schedule, Zone};

/// `schedule` in its short form (cron expressions), as one expression, or as tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RawSchedules {
    /// `schedule = "@daily"`.
    One(String),
    /// `schedule = ["*/5 * * * *"]`.
    Crons(Vec<String>),
    /// `[[function.NAME.schedule]]`.
    Tables(Vec<RawSchedule>),
}

/// One `[[function.NAME.schedule]]` table as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSchedule {
    /// When it is due: five fields, or `@daily` and the like.
    pub cron: String,
    /// By which clock; `UTC` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where the request goes; `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether a tick that was missed is made up for; `none` when absent.
    #[serde(default)]
    pub catch_up: CatchUp,
}

impl RawSchedule {
    fn plain(cron: &str) -> Self {
        Self { cron: cron.to_owned(), zone: None, path: None, catch_up: CatchUp::None }
    }
}

impl FunctionTable {
    /// Its schedules, checked.
    pub(super) fn schedules(&self, name: &FunctionName) -> Result<Vec<Schedule>, ManifestError> {
        let tables = match &self.schedule {
            None => Vec::new(),
            Some(RawSchedules::One(cron)) => vec![RawSchedule::plain(cron)],
            Some(RawSchedules::Crons(crons)) => crons.iter().map(|cron| RawSchedule::plain(cron)).collect(),
            Some(RawSchedules::Tables(tables)) => tables.clone(),
        };
        let mut schedules: Vec<Schedule> = Vec::new();
        for raw in tables {
            let schedule = self.one_schedule(name, &raw)?;
            if schedules.iter().any(|other| other.key(name) == schedule.key(name)) {
                return Err(self.value(name, "schedule", raw.cron, "stands there twice"));
            }
            schedules.push(schedule);
        }
        Ok(schedules)
    }

    fn one_schedule(&self, name: &FunctionName, raw: &RawSchedule) -> Result<Schedule, ManifestError> {
        let refused = |error: crate::CronError| self.value(name, "schedule", &raw.cron, &error.to_string());
        let cron = raw.cron.parse().map_err(refused)?;
        let zone = raw.zone.as_deref().map_or_else(|| Ok(Zone::default()), str::parse);
        let zone = zone.map_err(|error: crate::ZoneError| {
            self.value(name, "schedule.zone", raw.zone.clone().unwrap_or_default(), &error.to_string())
        })?;
        let path = self.path(name, "schedule.path", raw.path.as_deref())?;
        Ok(Schedule { cron, zone, path, catch_up: raw.catch_up })
    }
}
