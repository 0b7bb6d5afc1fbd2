//! Where a build leaves its component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use samovar_model::FunctionName;
use serde::Deserialize;

use super::plan::{Plan, Toolchain};
use super::tool::RUST_TARGET;

/// Finds the component of a function that has been built.
///
/// # Errors
/// When it is not there, or several could be meant.
pub(super) fn locate(dir: &Path, name: &FunctionName, plan: &Plan) -> anyhow::Result<PathBuf> {
    let path = match (&plan.artifact, plan.toolchain) {
        (Some(artifact), _) => dir.join(artifact),
        (None, Some(Toolchain::Cargo)) => cargo(dir, name)?,
        (None, _) => dist(dir, name)?,
    };
    if !path.is_file() {
        bail!(
            "function `{name}`: no component at {}; build it first, or say where the build leaves it with `artifact` in \
             [function.{name}]",
            path.display()
        );
    }
    Ok(path)
}

/// `dist/NAME.wasm`, or whatever single component is in `dist`.
fn dist(dir: &Path, name: &FunctionName) -> anyhow::Result<PathBuf> {
    let dist = dir.join("dist");
    let usual = dist.join(format!("{name}.wasm"));
    if usual.is_file() || !dist.is_dir() {
        return Ok(usual);
    }
    let entries = std::fs::read_dir(&dist).with_context(|| format!("cannot read {}", dist.display()))?;
    let mut components =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension() == Some("wasm".as_ref()));
    match (components.next(), components.next()) {
        (Some(only), None) => Ok(only),
        _ => Ok(usual),
    }
}

/// The part of `cargo metadata` that matters here.
#[derive(Debug, Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

fn cargo(dir: &Path, name: &FunctionName) -> anyhow::Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .context("cannot run `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot read what `cargo metadata` says")?;
    let manifest = dir.join("Cargo.toml").canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let file = wasm_file(&metadata, &manifest, name)?;
    Ok(metadata.target_directory.join(RUST_TARGET).join("release").join(file))
}

/// Picks one of the workspace's targets: one that has the function's name, else the only one of the package at hand, else the
/// only one.
fn wasm_file(metadata: &Metadata, manifest: &Path, name: &FunctionName) -> anyhow::Result<String> {
    let targets = |kind: &'static str| {
        let of_package = move |package| std::iter::repeat(package).zip(targets_of_kind(package, kind));
        metadata.packages.iter().flat_map(of_package).collect::<Vec<(&Package, &Target)>>()
    };
    // A binary can be a component that serves HTTP too, if its attribute macro makes it one.
    let libraries = targets("cdylib");
    let (candidates, library) = if libraries.is_empty() { (targets("bin"), false) } else { (libraries, true) };
    let same_name = |text: &str| text.replace('_', "-") == name.as_str();
    let named = candidates.iter().filter(|(package, target)| same_name(&target.name) || same_name(&package.name));
    let at_hand = candidates.iter().filter(|(package, _)| package.manifest_path == *manifest);
    let found = only(named).or_else(|| only(at_hand)).or_else(|| only(candidates.iter()));
    match found {
        Some((_, target)) if library => Ok(format!("{}.wasm", target.name.replace('-', "_"))),
        Some((_, target)) => Ok(format!("{}.wasm", target.name)),
        None if candidates.is_empty() => bail!(
            "function `{name}`: its Cargo package makes no component; add `[lib] crate-type = [\"cdylib\"]` to Cargo.toml"
        ),
        None => {
            let names: Vec<&str> = candidates.iter().map(|(_, target)| target.name.as_str()).collect();
            bail!(
                "function `{name}`: several Cargo targets could be meant ({}); say which with `artifact` in \
                 [function.{name}]",
                names.join(", ")
            )
        }
    }
}

fn targets_of_kind<'a>(package: &'a Package, kind: &'static str) -> impl Iterator<Item = &'a Target> {
    package.targets.iter().filter(move |target| target.kind.iter().any(|k| k == kind))
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, targets: &[(&str, &str)]) -> Package {
        let target = |&(kind, name): &(&str, &str)| Target { name: name.to_owned(), kind: vec![kind.to_owned()] };
        Package {
            name: name.to_owned(),
            manifest_path: format!("/p/{name}/Cargo.toml").into(),
            targets: targets.iter().map(target).collect(),
        }
    }

    fn pick(packages: Vec<Package>, at: &str, function: &str) -> anyhow::Result<String> {
        let metadata = Metadata { target_directory: "/t".into(), packages };
        wasm_file(&metadata, Path::new(&format!("/p/{at}/Cargo.toml")), &function.parse().unwrap())
    }

    #[test]
    fn a_package_with_one_library_is_the_function_whatever_it_is_called() {
        assert_eq!(pick(vec![package("my-fn", &[("cdylib", "my-fn")])], "my-fn", "other").unwrap(), "my_fn.wasm");
        assert_eq!(pick(vec![package("my-fn", &[("bin", "my-fn")])], "my-fn", "other").unwrap(), "my-fn.wasm");
    }

    #[test]
    fn in_a_workspace_the_function_with_the_packages_name_wins() {
        let packages = || {
            vec![
                package("a", &[("cdylib", "a_lib")]),
                package("b-b", &[("cdylib", "b_b"), ("bin", "tool")]),
                package("root", &[("cdylib", "root")]),
            ]
        };
        assert_eq!(pick(packages(), "root", "a").unwrap(), "a_lib.wasm");
        assert_eq!(pick(packages(), "root", "b-b").unwrap(), "b_b.wasm");
        assert_eq!(pick(packages(), "root", "c").unwrap(), "root.wasm");
        let error = pick(packages(), "elsewhere", "c").unwrap_err().to_string();
        assert!(error.contains("several Cargo targets could be meant (a_lib, b_b, root)"), "{error}");
    }

    #[test]
    fn a_package_without_a_component_is_told_what_to_add() {
        let error = pick(vec![package("a", &[("lib", "a")])], "a", "a").unwrap_err().to_string();
        assert!(error.contains("crate-type = [\"cdylib\"]"), "{error}");
    }

    #[test]
    fn a_single_component_in_dist_is_found_under_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let name = "hello".parse().unwrap();
        let found = || dist(dir.path(), &name).unwrap().file_name().unwrap().to_owned();
        assert_eq!(found(), "hello.wasm");
        std::fs::create_dir(dir.path().join("dist")).unwrap();
        std::fs::write(dir.path().join("dist/other.wasm"), "").unwrap();
        assert_eq!(found(), "other.wasm");
        std::fs::write(dir.path().join("dist/hello.wasm"), "").unwrap();
        assert_eq!(found(), "hello.wasm");
    }
}
