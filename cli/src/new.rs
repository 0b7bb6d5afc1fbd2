//! `samovar new`: a project that builds and deploys as it is.

mod template;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use samovar_model::FunctionName;

use crate::console::{Console, Paint};
use template::Variables;

/// Where the SDK lies beside the source that this binary was built from.
const SDK_IN_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

/// Begin a function: a project that builds and deploys as it is
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  samovar new hello
  samovar new shop --template rust-router
  samovar new hello-js --template javascript")]
pub(crate) struct NewArgs {
    /// The function's name, and the directory's
    #[arg(value_name = "NAME")]
    name: FunctionName,
    /// What it is written in
    #[arg(long, short, value_name = "TEMPLATE", value_enum, default_value_t)]
    template: Template,
    /// For Rust: a directory with the samovar-sdk crate [default: the one beside the source that this samovar was built
    /// from, if it is there, else the published one]
    #[arg(long, value_name = "DIR", env = "SAMOVAR_SDK_PATH", hide_env_values = true)]
    sdk_path: Option<PathBuf>,
}

/// What a project is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// A handler in Rust
    #[default]
    Rust,
    /// Several routes and JSON, in Rust
    RustRouter,
    /// A handler in JavaScript
    Javascript,
    /// A handler in Python
    Python,
}

pub(crate) fn run(args: &NewArgs, console: &mut Console) -> anyhow::Result<()> {
    let sdk = sdk(args.sdk_path.as_deref())?;
    let files = create(Path::new(args.name.as_str()), args, &sdk)?;
    let name = console.paint(Paint::Bold, &args.name);
    console.line(format_args!("{name}: a new function in {}/", args.name))?;
    for file in files {
        console.line(format_args!("  {file}"))?;
    }
    Ok(console.line(format_args!("next: cd {} && samovar deploy", args.name))?)
}

/// Writes a project's files, and says which.
fn create(dir: &Path, args: &NewArgs, sdk: &str) -> anyhow::Result<Vec<&'static str>> {
    if dir.exists() && (!dir.is_dir() || fs::read_dir(dir)?.next().is_some()) {
        bail!("{} exists already and is not an empty directory", dir.display());
    }
    let variables = Variables { name: args.name.as_str(), package: &package(&args.name), sdk };
    let mut written = Vec::new();
    for file in args.template.files() {
        let path = dir.join(file.path);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(&path, variables.fill(file.text))
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        written.push(file.path);
    }
    Ok(written)
}

/// The Cargo package's name: the function's, unless a crate cannot have it.
fn package(name: &FunctionName) -> String {
    const TAKEN: [&str; 49] = [
        "abstract",
        "alloc",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "const",
        "continue",
        "core",
        "crate",
        "do",
        "dyn",
        "else",
        "enum",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "pub",
        "ref",
        "return",
        "samovar-sdk",
        "self",
        "static",
        "std",
        "struct",
        "super",
        "test",
        "trait",
        "true",
        "try",
        "type",
        "use",
    ];
    if TAKEN.contains(&name.as_str()) { format!("{name}-function") } else { name.to_string() }
}

/// The SDK as a dependency, as it stands in `Cargo.toml`.
fn sdk(given: Option<&Path>) -> anyhow::Result<String> {
    let has_crate = |dir: &Path| dir.join("Cargo.toml").is_file();
    let dir = match given {
        Some(dir) if !has_crate(dir) => bail!("--sdk-path {}: there is no Cargo.toml", dir.display()),
        Some(dir) => Some(dir),
        None => Some(Path::new(SDK_IN_SOURCE)).filter(|dir| has_crate(dir)),
    };
    let version = env!("CARGO_PKG_VERSION");
    let Some(dir) = dir else { return Ok(format!("{version:?}")) };
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let dir = dir.to_str().with_context(|| format!("{} is not valid UTF-8", dir.display()))?;
    // Written as a JSON string, which is a TOML string too.
    Ok(format!("{{ path = {} }}", serde_json::json!(dir)))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use samovar_model::manifest::Manifest;

    use super::*;

    fn args(name: &str, template: Template) -> NewArgs {
        NewArgs { name: name.parse().unwrap(), template, sdk_path: None }
    }

    #[test]
    fn every_template_has_a_valid_manifest_and_no_unfilled_variable() {
        for &template in Template::value_variants() {
            let dir = tempfile::tempdir().unwrap();
            let files = create(dir.path(), &args("my-fn", template), "\"1\"").unwrap();
            for file in &files {
                let text = fs::read_to_string(dir.path().join(file)).unwrap();
                assert!(!text.contains("{{"), "{template:?}: {file}: {text}");
            }
            let manifest = fs::read_to_string(dir.path().join("samovar.toml")).unwrap();
            let function = Manifest::parse(&manifest).unwrap().function.remove("my-fn").unwrap();
            function.settings(&"my-fn".parse().unwrap()).unwrap();
            for file in ["README.md", ".gitignore"] {
                assert!(files.contains(&file), "{template:?} has no {file}");
            }
        }
    }

    #[test]
    fn the_manifests_comments_are_valid_too() {
        let dir = tempfile::tempdir().unwrap();
        create(dir.path(), &args("my-fn", Template::Python), "").unwrap();
        let text = fs::read_to_string(dir.path().join("samovar.toml")).unwrap();
        let uncommented = text.lines().skip(1).map(|line| line.strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>();
        let function = Manifest::parse(&uncommented.join("\n")).unwrap().function.remove("my-fn").unwrap();
        let shown = function.settings(&"my-fn".parse().unwrap()).unwrap();
        let mut defaults = Manifest::parse("[function.my-fn]").unwrap().function.remove("my-fn").unwrap();
        (defaults.env, defaults.config, defaults.kv) = (function.env, function.config, function.kv);
        assert_eq!(shown, defaults.settings(&"my-fn".parse().unwrap()).unwrap());
    }

    #[test]
    fn a_directory_that_is_in_use_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "").unwrap();
        let error = create(dir.path(), &args("hello", Template::Rust), "").unwrap_err().to_string();
        assert!(error.ends_with("exists already and is not an empty directory"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_crate_is_never_called_by_a_word_of_rust() {
        assert_eq!(package(&"match".parse().unwrap()), "match-function");
        assert_eq!(package(&"hello".parse().unwrap()), "hello");
    }

    #[test]
    fn the_sdk_is_taken_from_where_it_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sdk(Some(dir.path())).is_err());
        fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        let expected = format!("{{ path = {:?} }}", dir.path().canonicalize().unwrap());
        assert_eq!(sdk(Some(dir.path())).unwrap(), expected);
    }
}
