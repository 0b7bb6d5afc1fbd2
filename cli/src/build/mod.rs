//! `samovar build`: runs the project's own build and looks at the component that it made.

mod artifact;
mod plan;
mod tool;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use samovar_model::api::{ComponentInfo, MAX_ARTIFACT_BYTES};
use samovar_model::{Digest, FunctionName};
use serde::Serialize;

use crate::args::Format;
use crate::console::{Console, Paint};
use crate::human;
use crate::project::{Function, Project};
use plan::Plan;

/// Build a project and check the component
#[derive(Debug, Args)]
#[command(after_help = "\
How it is built is told from the files beside samovar.toml, unless `build` and `artifact` say otherwise:
  Cargo.toml         cargo build --release --target wasm32-wasip2
  package.json       npm run build                                (makes dist/NAME.wasm)
  requirements.txt   componentize-py, in a virtual environment    (makes dist/NAME.wasm out of app.py and wit/)

Examples:
  samovar build
  samovar build hello --json")]
pub(crate) struct BuildArgs {
    /// The project's directory
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Build this function alone; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<FunctionName>,
    #[command(flatten)]
    format: Format,
}

/// A component on disk that has been looked at.
#[derive(Debug)]
pub(crate) struct Component {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// What it is.
    pub(crate) info: ComponentInfo,
}

/// A function's component, and how long building it took, if there was something to build.
#[derive(Debug)]
pub(crate) struct Built {
    /// The component.
    pub(crate) component: Component,
    /// How long the build took; `None` when nothing was run.
    pub(crate) took: Option<Duration>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a FunctionName,
    artifact: &'a Path,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_millis: Option<u64>,
    component: &'a ComponentInfo,
}

pub(crate) fn run(args: &BuildArgs, console: &mut Console) -> anyhow::Result<()> {
    let project = Project::load(&args.dir, &args.only)?;
    let mut shown = Vec::new();
    let mut done = Vec::new();
    for function in &project.functions {
        let built = build(&project.dir, function, &mut done, console)?;
        if args.format.json {
            shown.push(serde_json::to_value(json(&function.name, &built))?);
        } else {
            print(&function.name, &built, console)?;
        }
    }
    if args.format.json {
        console.json(&serde_json::json!({ "functions": shown }))?;
    }
    Ok(())
}

/// Builds one function. Commands in `done` have been run for another function of the same project, and are not run again.
///
/// # Errors
/// When a tool is missing or fails, or what it made cannot be deployed.
pub(crate) fn build(
    dir: &Path,
    function: &Function,
    done: &mut Vec<String>,
    console: &mut Console,
) -> anyhow::Result<Built> {
    let name = &function.name;
    let plan = Plan::of(dir, function)?;
    let began = Instant::now();
    let mut ran = false;
    for step in &plan.steps {
        if done.contains(step) {
            continue;
        }
        tool::run(dir, step, plan.toolchain, console).with_context(|| format!("cannot build function `{name}`"))?;
        done.push(step.clone());
        ran = true;
    }
    let took = ran.then(|| began.elapsed());
    let path = artifact::locate(dir, name, &plan)?;
    let component = read(&path).with_context(|| format!("function `{name}`"))?;
    Ok(Built { component, took })
}

/// The component that an earlier build left.
///
/// # Errors
/// When there is none, or it cannot be deployed.
pub(crate) fn find(dir: &Path, function: &Function) -> anyhow::Result<Component> {
    let name = &function.name;
    let path = artifact::locate(dir, name, &Plan::of(dir, function)?)?;
    read(&path).with_context(|| format!("function `{name}`"))
}

/// Reads a component and looks at it.
///
/// # Errors
/// When the file cannot be read or cannot be deployed.
pub(crate) fn read(path: &Path) -> anyhow::Result<Component> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if size > MAX_ARTIFACT_BYTES {
        bail!("{shown} is larger than {} ({})", human::size(MAX_ARTIFACT_BYTES), human::size(size));
    }
    let bytes: Bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?.into();
    let info = samovar_runtime::component::inspect(&bytes).with_context(|| shown.to_string())?;
    Ok(Component { path: path.to_owned(), bytes, info })
}

fn json<'a>(name: &'a FunctionName, built: &'a Built) -> Shown<'a> {
    Shown {
        name,
        artifact: &built.component.path,
        digest: Digest::of(&built.component.bytes),
        build_millis: built.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        component: &built.component.info,
    }
}

fn print(name: &FunctionName, built: &Built, console: &mut Console) -> anyhow::Result<()> {
    let Component { path, info, .. } = &built.component;
    let took = built.took.map(|took| format!(", built in {}", human::span(took))).unwrap_or_default();
    let name = console.paint(Paint::Bold, name);
    console.line(format_args!("{name}: {}, {}{took}", info.kind, human::size(info.size_bytes)))?;
    console.line(format_args!("  file     {}", path.display()))?;
    for (label, interfaces) in [("exports", &info.exports), ("imports", &info.imports)] {
        for (index, interface) in interfaces.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            console.line(format_args!("  {label:7}  {interface}"))?;
        }
    }
    Ok(())
}
