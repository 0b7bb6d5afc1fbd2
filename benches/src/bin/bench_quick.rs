//! CPU time per warm request, beside bare hyper in the same run: all in turn, so that a machine whose speed drifts does not
//! favour either. Prints a table and writes `target/bench/quick.json`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use samovar_benches::load::{self, Outcome};
use samovar_benches::server::Server;
use tokio::process::Command;

const CONNECTIONS: usize = 32;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);

/// What one server did in one round.
struct Round {
    micros_per_request: f64,
    requests_per_second: f64,
    p50: Duration,
    p99: Duration,
}

/// What is measured: a server, the path to call and the body that must come.
struct Subject<'a> {
    name: &'static str,
    server: &'a Server,
    path: &'static str,
    body: &'static str,
}

/// The components that are called, with the names they are deployed under.
const COMPONENTS: [(&str, &str); 2] = [
    ("hello", "examples/target/wasm32-wasip2/release/hello.wasm"),
    ("plain", "tests/guests/target/wasm32-wasip2/release/hello.wasm"),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bin = std::env::current_exe()?.parent().context("an executable is in a directory")?.to_owned();
    let data = tempfile::tempdir()?;
    let hyper = Server::start(&bin.join("bare_hyper"), &[], "listening").await?;
    let samovar = samovar(&bin, data.path()).await?;
    let from_path = "hello from /hello\n";
    let subjects = [
        Subject { name: "bare hyper", server: &hyper, path: "/hello", body: from_path },
        Subject {
            name: "samovar, warm hello (SDK, reads the request)",
            server: &samovar,
            path: "/hello",
            body: from_path,
        },
        Subject { name: "samovar, warm hello without the SDK", server: &samovar, path: "/plain", body: "hello\n" },
    ];

    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let mut measured = Vec::new();
        for subject in &subjects {
            measured.push(measure(subject).await?);
        }
        // The first warms all of them up.
        if round > 0 {
            rounds.push(measured);
        }
    }
    report(&subjects, &rounds, &bin)
}

/// A node with the components deployed.
async fn samovar(bin: &Path, data: &Path) -> anyhow::Result<Server> {
    let program = bin.join("samovar");
    let dir = data.to_str().context("a temporary directory has a plain name")?;
    let args = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir", dir];
    let server = Server::start(&program, &args, "gateway").await?;
    for (name, component) in COMPONENTS {
        let status = Command::new(&program)
            .args(["deploy", component, "--name", name, "--data-dir", dir])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await?;
        anyhow::ensure!(status.success(), "{component} could not be deployed");
    }
    Ok(server)
}

async fn measure(subject: &Subject<'_>) -> anyhow::Result<Round> {
    let before = subject.server.cpu_nanos()?;
    let outcome: Outcome = load::run(&subject.server.address, subject.path, subject.body, CONNECTIONS, ROUND).await?;
    let nanos = subject.server.cpu_nanos()? - before;
    anyhow::ensure!(outcome.requests > 0, "no request was answered");
    Ok(Round {
        micros_per_request: nanos as f64 / 1e3 / outcome.requests as f64,
        requests_per_second: outcome.requests as f64 / ROUND.as_secs_f64(),
        p50: outcome.percentile(0.5),
        p99: outcome.percentile(0.99),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(subjects: &[Subject<'_>], rounds: &[Vec<Round>], bin: &Path) -> anyhow::Result<()> {
    println!("{CONNECTIONS} connections, HTTP/1.1 kept alive, {ROUNDS} rounds of {ROUND:?} in turn, medians\n");
    println!(
        "| server | CPU per request | over bare hyper | requests/s | p50 | p99 |\n| --- | --- | --- | --- | --- | --- |"
    );
    let mut rows = Vec::new();
    for (index, subject) in subjects.iter().enumerate() {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(|round| value(&round[index])).collect());
        // Pair by pair: the machine's speed drifts from round to round.
        let over = |round: &Vec<Round>| round[index].micros_per_request / round[0].micros_per_request;
        let ratio = median(rounds.iter().map(over).collect());
        let (cpu, rate) = (of(|round| round.micros_per_request), of(|round| round.requests_per_second));
        let (p50, p99) = (of(|round| round.p50.as_secs_f64() * 1e6), of(|round| round.p99.as_secs_f64() * 1e6));
        println!("| {} | {cpu:.2} us | {ratio:.2} | {rate:.0} | {p50:.0} us | {p99:.0} us |", subject.name);
        rows.push(serde_json::json!({
            "server": subject.name, "cpu_micros_per_request": cpu, "ratio": ratio,
            "requests_per_second": rate, "p50_micros": p50, "p99_micros": p99,
        }));
    }
    let report = serde_json::json!({ "connections": CONNECTIONS, "rounds": ROUNDS, "servers": rows });
    let dir = bin.parent().context("profiles have a common directory")?.join("bench");
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("quick.json"), serde_json::to_vec_pretty(&report)?)?;
    Ok(())
}
