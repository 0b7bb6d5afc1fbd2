//! What a run found, as data: `target/bench/report.json`. Tables and charts are made from it and from nothing else.

mod chart;
mod markdown;

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use chart::charts;
pub use markdown::{markdown, table_text};

use crate::peers::Peer;

/// All that was measured. Cases that are measured again replace what was there.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The machine, and the commit.
    pub machine: Machine,
    /// The servers, those that are absent included.
    pub peers: Vec<Peer>,
    /// What was measured.
    pub tables: Vec<Table>,
}

/// Where, and what of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The commit of Samovar that was built, with `+` when the tree had changes.
    pub commit: String,
}

/// One case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// The case's id, as in `BENCH_CASES`.
    pub id: String,
    /// What is measured.
    pub title: String,
    /// How it is measured.
    pub conditions: String,
    /// When it was measured.
    pub measured: String,
    /// What each row has.
    pub columns: Vec<Column>,
    /// The servers.
    pub rows: Vec<Row>,
    /// What is aimed at, and what came out.
    pub goals: Vec<Goal>,
}

/// A column of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// The unit, or nothing for a ratio.
    pub unit: String,
    /// Digits after the point.
    pub digits: usize,
    /// Which values are better.
    pub better: Better,
}

/// Which values of a column are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less of it.
    Lower,
    /// More of it.
    Higher,
}

/// Whose row it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Samovar's.
    Samovar,
    /// What all are compared with.
    Yardstick,
    /// A peer's, that does the same as this row of Samovar's.
    Peer {
        /// The name of Samovar's row.
        against: String,
    },
}

/// A row of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The server, and how it is set up.
    pub name: String,
    /// Whose it is.
    pub side: Side,
    /// A value for each column; empty when there are none.
    pub values: Vec<f64>,
    /// Why there are no values.
    #[serde(default)]
    pub missing: String,
}

impl Row {
    /// A row of values.
    pub fn new(name: impl Into<String>, side: Side, values: Vec<f64>) -> Self {
        Self { name: name.into(), side, values, missing: String::new() }
    }

    /// A row of a server without values.
    pub fn missing(name: impl Into<String>, side: Side, why: impl Into<String>) -> Self {
        Self { name: name.into(), side, values: Vec::new(), missing: why.into() }
    }

    /// A row of a peer that is not installed.
    pub fn absent(name: impl Into<String>, side: Side) -> Self {
        Self::missing(name, side, "absent")
    }
}

/// Something that is aimed at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Goal {
    /// What is measured.
    pub what: String,
    /// What is aimed at.
    pub reach: String,
    /// What came out.
    pub got: String,
    /// Whether that is as good as what is aimed at.
    pub met: bool,
}

impl Column {
    /// A column.
    pub fn new(name: &str, unit: &str, digits: usize, better: Better) -> Self {
        Self { name: name.to_owned(), unit: unit.to_owned(), digits, better }
    }
}

impl Goal {
    /// A value that should be at most so much.
    pub fn at_most(what: impl Into<String>, limit: f64, got: f64, unit: &str) -> Self {
        let digits = if limit < 10.0 { 2 } else { 0 };
        let show = |value: f64| format!("{value:.digits$} {unit}").trim_end().to_owned();
        Self { what: what.into(), reach: format!("at most {}", show(limit)), got: show(got), met: got <= limit }
    }

    /// A value that should be at least so much.
    pub fn at_least(what: impl Into<String>, limit: f64, got: f64, unit: &str) -> Self {
        let digits = if limit < 10.0 { 2 } else { 0 };
        let show = |value: f64| format!("{value:.digits$} {unit}").trim_end().to_owned();
        Self { what: what.into(), reach: format!("at least {}", show(limit)), got: show(got), met: got >= limit }
    }
}

/// A difference that repeated runs also show between equals: below it nobody is ahead.
const NOISE: f64 = 1.03;

impl Table {
    /// Where a peer is better than Samovar's own row: `(peer's row, column, Samovar's value, the peer's)`. Ratios are left out:
    /// they say what the column before them says.
    pub fn ahead(&self) -> Vec<(&Row, &Column, f64, f64)> {
        let mut found = Vec::new();
        for row in &self.rows {
            let Side::Peer { against } = &row.side else { continue };
            let Some(own) = self.rows.iter().find(|own| own.name == *against) else { continue };
            for (column, (theirs, ours)) in self.columns.iter().zip(row.values.iter().zip(&own.values)) {
                let better = match column.better {
                    Better::Lower => *theirs * NOISE < *ours,
                    Better::Higher => *theirs > *ours * NOISE,
                };
                if better && !column.unit.is_empty() {
                    found.push((row, column, *ours, *theirs));
                }
            }
        }
        found
    }
}

impl Report {
    /// Reads an earlier report; an empty one where there is none, or where another machine, commit or server was measured.
    ///
    /// # Errors
    /// When the file is there and is no report.
    pub fn open(path: &Path, machine: Machine, peers: Vec<Peer>) -> anyhow::Result<Self> {
        let mut report = match std::fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("{} is no report; delete it", path.display()))?
            }
            Err(_) => Self::default(),
        };
        if report.machine != machine || report.peers != peers {
            report.tables.clear();
        }
        report.machine = machine;
        report.peers = peers;
        Ok(report)
    }

    /// Takes a case in, in place of an earlier one with its id; the order is that of `ids`.
    pub fn take(&mut self, table: Table, ids: &[&str]) {
        self.tables.retain(|earlier| earlier.id != table.id);
        self.tables.push(table);
        self.tables.sort_by_key(|table| ids.iter().position(|id| *id == table.id));
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, side: Side, value: f64) -> Row {
        Row::new(name, side, vec![value])
    }

    #[test]
    fn a_peer_is_ahead_only_beyond_the_noise() {
        let peer = |name, value| row(name, Side::Peer { against: "ours".to_owned() }, value);
        let table = Table {
            id: "case".to_owned(),
            title: String::new(),
            conditions: String::new(),
            measured: String::new(),
            columns: vec![Column::new("CPU", "us", 1, Better::Lower)],
            rows: vec![row("ours", Side::Samovar, 10.0), peer("equal", 9.9), peer("better", 9.0), peer("worse", 11.0)],
            goals: Vec::new(),
        };
        let ahead: Vec<_> = table.ahead().iter().map(|(row, ..)| row.name.clone()).collect();
        assert_eq!(ahead, ["better"]);
    }

    #[test]
    fn what_is_measured_on_another_machine_is_not_mixed_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        let here = Machine { processor: "here".to_owned(), ..Machine::default() };
        let mut report = Report::open(&path, here.clone(), Vec::new()).unwrap();
        let table = Table {
            id: "b".to_owned(),
            title: String::new(),
            conditions: String::new(),
            measured: String::new(),
            columns: Vec::new(),
            rows: Vec::new(),
            goals: Vec::new(),
        };
        report.take(table.clone(), &["a", "b"]);
        report.take(Table { id: "a".to_owned(), ..table.clone() }, &["a", "b"]);
        report.take(table, &["a", "b"]);
        report.save(&path).unwrap();
        let again = Report::open(&path, here, Vec::new()).unwrap();
        let ids: Vec<_> = again.tables.iter().map(|table| table.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert!(Report::open(&path, Machine::default(), Vec::new()).unwrap().tables.is_empty());
    }
}
