//! `samovar deploy`: build, upload, compile, activate, and say how long each took.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use http_body_util::BodyExt as _;
use samovar_model::FunctionName;
use samovar_model::api::{Deploy, Deployed};
use samovar_model::manifest::FunctionTable;
use serde::Serialize;

use crate::Usage;
use crate::args::{Format, Global};
use crate::build::{self, Component};
use crate::console::{Console, Paint};
use crate::control::Control;
use crate::human;
use crate::project::Project;
use crate::upload::{self, Upload};

/// Build a project's functions and put them to work
///
/// Until the new revision is acknowledged the old one answers; from then on the new one does. No request is lost between,
/// and requests that run on the old one finish there. A deploy of the same bytes and settings changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar deploy                          the project in this directory
  samovar deploy shop --only cart         one function of the project in shop/
  samovar deploy hello.wasm --name hello  a component as it is, with default settings")]
pub(crate) struct DeployArgs {
    /// The project's directory, or a component
    #[arg(value_name = "DIR|FILE.wasm", default_value = ".")]
    target: PathBuf,
    /// The function's name, for a component
    #[arg(long, value_name = "NAME", conflicts_with_all = ["only", "no_build"])]
    name: Option<FunctionName>,
    /// Deploy this function of the project alone; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<FunctionName>,
    /// Deploy what an earlier build left
    #[arg(long)]
    no_build: bool,
    /// In a cluster: wait until every gateway and host goes by it; on one machine that is always so
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    format: Format,
}

/// One function that is ready to go.
struct Ready {
    name: FunctionName,
    table: FunctionTable,
    component: Component,
    built_in: Option<Duration>,
}

/// How long each step took.
#[derive(Debug, Default, Serialize)]
struct Steps {
    #[serde(skip_serializing_if = "Option::is_none")]
    build_millis: Option<u64>,
    upload_millis: u64,
    compile_millis: u64,
    activate_millis: u64,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    deployed: Deployed,
    steps: Steps,
}

pub(crate) async fn run(args: &DeployArgs, global: &Global, console: &mut Console) -> anyhow::Result<()> {
    let ready = prepare(args, console)?;
    let control = Control::new(global)?;
    // Asked first, so that a wrong address or token is told before megabytes are sent.
    control.info().await?;
    let (mut shown, mut unrouted) = (Vec::new(), Vec::new());
    for function in ready {
        let deployed = deploy(&control, function, args.wait, console).await?;
        let warned = warnings(&deployed.deployed);
        unrouted.extend(deployed.deployed.unrouted.iter().cloned());
        if args.format.json {
            shown.push(deployed);
        } else {
            print(&deployed, console)?;
        }
        for warning in warned {
            console.warning(warning);
        }
    }
    if args.format.json {
        console.json(&serde_json::json!({ "functions": shown }))?;
    }
    if !unrouted.is_empty() {
        unrouted.sort();
        unrouted.dedup();
        bail!(
            "deployed, but these have not said that they go by it: {}; one that is alive does so as soon as it reaches NATS",
            unrouted.join(", ")
        );
    }
    Ok(())
}

/// Everything is built and checked before anything is deployed.
fn prepare(args: &DeployArgs, console: &mut Console) -> anyhow::Result<Vec<Ready>> {
    if args.target.is_file() {
        return Ok(vec![component(&args.target, args)?]);
    }
    if !args.target.exists() {
        bail!("no file or directory {}", args.target.display());
    }
    if args.name.is_some() {
        return Err(
            Usage("--name is for a component; a project's functions have their names in samovar.toml".into()).into()
        );
    }
    let project = Project::load(&args.target, &args.only)?;
    let mut done = Vec::new();
    let mut ready = Vec::new();
    for function in project.functions {
        let (component, built_in) = if args.no_build {
            (build::find(&project.dir, &function)?, None)
        } else {
            let built = build::build(&project.dir, &function, &mut done, console)?;
            (built.component, built.took)
        };
        ready.push(Ready { name: function.name, table: function.table, component, built_in });
    }
    Ok(ready)
}

fn component(file: &Path, args: &DeployArgs) -> anyhow::Result<Ready> {
    if !args.only.is_empty() || args.no_build {
        return Err(Usage("--only and --no-build are for a project, not for a component".into()).into());
    }
    let Some(name) = args.name.clone() else {
        return Err(Usage(format!("a component needs a name: samovar deploy {} --name NAME", file.display())).into());
    };
    Ok(Ready { name, table: FunctionTable::default(), component: build::read(file)?, built_in: None })
}

async fn deploy(control: &Control, function: Ready, wait: bool, console: &Console) -> anyhow::Result<Shown> {
    let Ready { name, table, component, built_in } = function;
    let failed = || format!("function `{name}` was not deployed");
    let bar = upload::bar(name.as_str(), component.info.size_bytes, console.interactive);
    let began = Instant::now();
    let body = Upload::new(component.bytes, bar.clone()).boxed_unsync();
    let artifact = control.upload(body).await;
    bar.finish_and_clear();
    let artifact = artifact.with_context(failed)?;
    let upload_millis = millis(began.elapsed()).saturating_sub(artifact.compile_millis);
    let deploy = Deploy { artifact: artifact.digest, settings: table, wait };
    let deployed = control.deploy(&name, &deploy).await.with_context(failed)?;
    let steps = Steps {
        build_millis: built_in.map(millis),
        upload_millis,
        compile_millis: artifact.compile_millis,
        activate_millis: deployed.activate_millis,
    };
    Ok(Shown { deployed, steps })
}

fn warnings(deployed: &Deployed) -> Vec<String> {
    let name = &deployed.function.name;
    deployed.warnings.iter().map(|warning| format!("function `{name}`: {warning}")).collect()
}

fn print(shown: &Shown, console: &mut Console) -> anyhow::Result<()> {
    let function = &shown.deployed.function;
    let name = console.paint(Paint::Bold, &function.name);
    let unchanged = if shown.deployed.changed { "" } else { ", unchanged: it has these bytes and settings already" };
    console.line(format_args!("{name}: revision {}{unchanged}", function.revision))?;
    for url in distinct(&function.urls) {
        console.line(format_args!("  {url}"))?;
    }
    let steps = &shown.steps;
    let mut took = Vec::new();
    took.extend(steps.build_millis.map(|millis| ("build", millis)));
    took.extend([("upload", steps.upload_millis), ("compile", steps.compile_millis)]);
    took.push(("activate", steps.activate_millis));
    let took: Vec<String> = took.iter().map(|(step, millis)| format!("{step} {}", step_span(*millis))).collect();
    let took = console.paint(Paint::Dim, took.join(", "));
    console.line(format_args!("  {took}"))?;
    Ok(())
}

fn step_span(millis: u64) -> String {
    if millis == 0 { "< 1 ms".to_owned() } else { human::span(Duration::from_millis(millis)) }
}

/// `/hello` and `/hello/{*rest}` have the same URL once the parameter is left out.
pub(crate) fn distinct(urls: &[String]) -> Vec<&String> {
    let mut distinct: Vec<&String> = Vec::new();
    for url in urls {
        if !distinct.contains(&url) {
            distinct.push(url);
        }
    }
    distinct
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
