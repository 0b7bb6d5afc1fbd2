//! The comparison with other servers: measures, and writes JSON, tables and charts.
//!
//! ```text
//! compare            all cases, or those in BENCH_CASES, into target/bench/report.json, report.md and *.svg
//! compare quick      Samovar beside bare hyper alone, into target/bench/quick.json
//! compare docs       docs/benchmarks.md and its charts, from target/bench/report.json
//! ```
//! `BENCH_SECONDS` is how long each server is under load in each round, `BENCH_ROUNDS` how many rounds there are, `BENCH_CASES`
//! a list of ids, or of beginnings of ids, `BENCH_BIN` where the programs are.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use samovar_benches::cases::{self, Effort};
use samovar_benches::machine::machine;
use samovar_benches::peers::Found;
use samovar_benches::report::{Goal, Report, charts, markdown, table_text};

const DIR: &str = "target/bench";

/// What the tables in `docs/benchmarks.md` are between.
const MARKS: [&str; 2] = ["<!-- made by `make bench-docs`: begin -->\n", "<!-- made by `make bench-docs`: end -->\n"];

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => compare(),
        Some("quick") => quick(),
        Some("docs") => docs(),
        Some(other) => anyhow::bail!("`{other}`: neither quick nor docs"),
    }
}

fn compare() -> anyhow::Result<()> {
    let found = Found::look();
    let effort = effort()?;
    let wanted = std::env::var("BENCH_CASES").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split([',', ' ']).filter(|id| !id.is_empty()).collect();
    let ids = cases::IDS.iter().filter(|id| wanted.is_empty() || wanted.iter().any(|wanted| id.starts_with(wanted)));
    let ids: Vec<&str> = ids.copied().collect();
    anyhow::ensure!(!ids.is_empty(), "BENCH_CASES={}: there are: {}", wanted.join(","), cases::IDS.join(" "));
    let dir = Path::new(DIR);
    let path = dir.join("report.json");
    let mut report = Report::open(&path, machine(), found.peers()?)?;
    for peer in report.peers.iter().filter(|peer| peer.version.is_none()) {
        println!("{} is {}", peer.name, peer.note);
    }
    for id in ids {
        let table = cases::measure(id, &found, effort)?;
        println!("\n{}\n\n{}", table.title, table_text(&table));
        table.goals.iter().for_each(print_goal);
        report.take(table, &cases::IDS);
        // After each case: what is measured is kept, whatever comes.
        report.save(&path)?;
        write(&dir.join("report.md"), &markdown(&report))?;
        for (name, svg) in charts(&report) {
            write(&dir.join("benchmarks").join(name), &svg)?;
        }
    }
    println!("\n{} and report.md beside it; `make bench-docs` puts them into docs/benchmarks.md", path.display());
    Ok(())
}

fn quick() -> anyhow::Result<()> {
    let table = cases::measure_quick(effort()?)?;
    println!("{}\n\n{}\n\n{}", table.title, table.conditions, table_text(&table));
    table.goals.iter().for_each(print_goal);
    write(&Path::new(DIR).join("quick.json"), &(serde_json::to_string_pretty(&table)? + "\n"))
}

fn docs() -> anyhow::Result<()> {
    let text =
        std::fs::read(Path::new(DIR).join("report.json")).context("nothing is measured yet: run `make bench`")?;
    let report: Report = serde_json::from_slice(&text)?;
    let page = Path::new("docs/benchmarks.md");
    let old = std::fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let (before, rest) = old.split_once(MARKS[0]).with_context(|| format!("{} has no {}", page.display(), MARKS[0]))?;
    let (_, after) = rest.split_once(MARKS[1]).with_context(|| format!("{} has no {}", page.display(), MARKS[1]))?;
    write(page, &[before, MARKS[0], "\n", &markdown(&report), "\n", MARKS[1], after].concat())?;
    for (name, svg) in charts(&report) {
        write(&Path::new("docs/benchmarks").join(name), &svg)?;
    }
    Ok(())
}

fn effort() -> anyhow::Result<Effort> {
    let seconds: f64 = number("BENCH_SECONDS")?.unwrap_or(3.0);
    anyhow::ensure!((0.1..=60.0).contains(&seconds), "BENCH_SECONDS={seconds}: not between 0.1 and 60");
    let rounds: usize = number("BENCH_ROUNDS")?.unwrap_or(5);
    anyhow::ensure!((1..=100).contains(&rounds), "BENCH_ROUNDS={rounds}: not between 1 and 100");
    Ok(Effort { span: Duration::from_secs_f64(seconds), rounds })
}

fn number<T: std::str::FromStr>(name: &str) -> anyhow::Result<Option<T>> {
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text.parse().ok().with_context(|| format!("{name}={text}: not a number"))?)),
        Err(_) => Ok(None),
    }
}

fn print_goal(Goal { what, reach, got, met }: &Goal) {
    println!("{}  {what}: {got} ({reach})", if *met { "reached" } else { "missed " });
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
