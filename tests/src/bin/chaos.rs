//! `make chaos`: one long run of random failures on a whole cluster. CHAOS_SEED and CHAOS_FAILURES choose it; the exit code
//! is 1 when something did not hold that must.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use samovar_tests::trial::chaos::{Options, run};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().with_context(|| format!("{name} is `{text}`, not a number")),
        _ => Ok(default),
    };
    let seed = number("CHAOS_SEED", fastrand::u64(..1_000_000))?;
    let failures = usize::try_from(number("CHAOS_FAILURES", 200)?)?;
    let rate = u32::try_from(number("CHAOS_RATE", 200)?)?;
    println!("CHAOS_SEED={seed} CHAOS_FAILURES={failures} CHAOS_RATE={rate}");
    let verdict = run(Options { seed, failures, rate, longest: Duration::from_secs(20) }).await;
    println!("{verdict}\nCHAOS_SEED={seed}");
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
