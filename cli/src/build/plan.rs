//! How a function is built, told from its manifest and the files beside it. Nothing is run here.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::bail;

use crate::project::Function;

/// What to run, and where the component will be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Shell commands, to be run in the project's directory one after the other.
    pub(crate) steps: Vec<String>,
    /// The tools that the project is made for, as far as it can be told.
    pub(crate) toolchain: Option<Toolchain>,
    /// `artifact` of the manifest.
    pub(crate) artifact: Option<String>,
}

/// A family of tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// There is a `Cargo.toml`.
    Cargo,
    /// There is a `package.json`.
    Npm,
    /// There is a `requirements.txt` or a `pyproject.toml`.
    Python,
}

impl Toolchain {
    fn of(dir: &Path) -> Option<Self> {
        let has = |file: &str| dir.join(file).is_file();
        if has("Cargo.toml") {
            Some(Self::Cargo)
        } else if has("package.json") {
            Some(Self::Npm)
        } else if has("requirements.txt") || has("pyproject.toml") {
            Some(Self::Python)
        } else {
            None
        }
    }

    /// The program that must be there, and what to do when it is not.
    pub(crate) fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Cargo => ("cargo", "install Rust, as https://rustup.rs says"),
            Self::Npm => ("npm", "install Node.js 20 or later, as https://nodejs.org says"),
            Self::Python => ("python3", "install Python 3.10 or later, with its `venv` module"),
        }
    }
}

impl Plan {
    /// Looks at the manifest, then at the files in `dir`.
    ///
    /// # Errors
    /// When neither says how the component comes about.
    pub(crate) fn of(dir: &Path, function: &Function) -> anyhow::Result<Self> {
        let toolchain = Toolchain::of(dir);
        let artifact = function.table.artifact.clone();
        let steps = match (&function.table.build, toolchain) {
            (Some(build), _) if build.trim().is_empty() => Vec::new(),
            (Some(build), _) => vec![build.clone()],
            (None, Some(Toolchain::Cargo)) => vec!["cargo build --release --target wasm32-wasip2".to_owned()],
            (None, Some(Toolchain::Npm)) => npm(dir),
            (None, Some(Toolchain::Python)) => python(dir, function)?,
            (None, None) if artifact.is_some() => Vec::new(),
            (None, None) => bail!(
                "cannot tell how function `{name}` is built: no Cargo.toml, package.json, requirements.txt or \
                 pyproject.toml in {}; give `build` and `artifact` in [function.{name}]",
                dir.display(),
                name = function.name,
            ),
        };
        Ok(Self { steps, toolchain, artifact })
    }
}

fn npm(dir: &Path) -> Vec<String> {
    let install = (!dir.join("node_modules").is_dir()).then(|| "npm install --no-audit --no-fund".to_owned());
    install.into_iter().chain(["npm run build".to_owned()]).collect()
}

fn python(dir: &Path, function: &Function) -> anyhow::Result<Vec<String>> {
    let name = &function.name;
    if !dir.join("app.py").is_file() || !dir.join("wit").is_dir() {
        bail!(
            "cannot tell how function `{name}` is built: a Python project has its handler in app.py and its world in wit/; \
             give `build` and `artifact` in [function.{name}]"
        );
    }
    let mut steps = Vec::new();
    if !dir.join(".venv/bin/pip").exists() {
        steps.push("python3 -m venv .venv".to_owned());
    }
    let (file, what) = match dir.join("requirements.txt").is_file() {
        true => ("requirements.txt", "-r requirements.txt"),
        false => ("pyproject.toml", "."),
    };
    let modified = |file: &str| fs::metadata(dir.join(file)).and_then(|file| file.modified()).ok();
    let installed: Option<SystemTime> = modified(".venv/installed");
    if installed.is_none() || installed < modified(file) {
        steps
            .push(format!(".venv/bin/pip install --quiet --disable-pip-version-check {what} && touch .venv/installed"));
    }
    steps.push(format!(
        "mkdir -p dist && .venv/bin/componentize-py --wit-path wit --world function componentize app --output dist/{name}.wasm"
    ));
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use samovar_model::manifest::Manifest;

    use super::*;

    fn function(text: &str) -> Function {
        let (name, table) = Manifest::parse(text).unwrap().function.pop_first().unwrap();
        Function { name: name.parse().unwrap(), table }
    }

    fn dir(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    fn steps(files: &[&str], manifest: &str) -> Vec<String> {
        Plan::of(dir(files).path(), &function(manifest)).unwrap().steps
    }

    #[test]
    fn the_build_is_told_from_the_projects_files() {
        let manifest = "[function.hello]";
        assert_eq!(steps(&["Cargo.toml", "package.json"], manifest), ["cargo build --release --target wasm32-wasip2"]);
        assert_eq!(steps(&["package.json"], manifest), ["npm install --no-audit --no-fund", "npm run build"]);
        assert_eq!(steps(&["package.json", "node_modules/x"], manifest), ["npm run build"]);
        let python = steps(&["requirements.txt", "app.py", "wit/world.wit"], manifest);
        assert_eq!(python[0], "python3 -m venv .venv");
        assert!(python[1].contains("pip install") && python[1].contains("-r requirements.txt"), "{}", python[1]);
        assert!(python[2].ends_with("componentize app --output dist/hello.wasm"), "{}", python[2]);
    }

    #[test]
    fn python_packages_are_installed_again_only_when_their_list_is_newer() {
        let files = ["requirements.txt", "app.py", "wit/world.wit", ".venv/bin/pip", ".venv/installed"];
        let dir = dir(&files);
        let count = || Plan::of(dir.path(), &function("[function.hello]")).unwrap().steps.len();
        assert_eq!(count(), 1);
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        fs::File::open(dir.path().join("requirements.txt")).unwrap().set_modified(later).unwrap();
        assert_eq!(count(), 2);
    }

    #[test]
    fn the_manifest_comes_before_the_files() {
        assert_eq!(steps(&["Cargo.toml"], "[function.a]\nbuild = \"make\""), ["make"]);
        assert!(steps(&["Cargo.toml"], "[function.a]\nbuild = \"\"").is_empty());
        assert!(steps(&[], "[function.a]\nartifact = \"a.wasm\"").is_empty());
    }

    #[test]
    fn a_project_of_an_unknown_kind_is_told_what_to_write() {
        let error = Plan::of(dir(&[]).path(), &function("[function.a]")).unwrap_err().to_string();
        assert!(error.ends_with("give `build` and `artifact` in [function.a]"), "{error}");
    }
}
