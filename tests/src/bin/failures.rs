//! `make failures`: has each failure happen to a whole cluster under load, prints what came of it, and writes it into the
//! page that is named. Failures named after it (`host-killed`) are tried alone, and no page is written.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use samovar_tests::trial::{Fault, Scale, page, try_fault};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("usage: failures PAGE.md [FAILURE...]")?;
    let named: Vec<_> = args.collect();
    let unknown = |name: &&String| !Fault::ALL.iter().any(|fault| fault.name() == **name);
    if let Some(name) = named.iter().find(unknown) {
        bail!("no failure `{name}`; there are {}", Fault::ALL.map(Fault::name).join(", "));
    }
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for fault in Fault::ALL.into_iter().filter(|fault| named.is_empty() || named.contains(&fault.name())) {
        if let Some(why) = fault.unavailable() {
            println!("{}: not tried: {why}\n", fault.title());
            skipped.push((fault.title().to_owned(), why));
            continue;
        }
        // A failure that cannot be gone through to its end ends the program by a panic, and leaves the page as it was.
        let row = try_fault(fault, Scale::full()).await;
        println!("{row}\n");
        rows.push(row);
    }
    if named.is_empty() {
        std::fs::write(&path, page(&rows, &skipped, Scale::full())).with_context(|| path.clone())?;
    }
    let wrong = rows.iter().filter(|row| !row.repeated.is_empty() || !row.lost.is_empty()).count();
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
