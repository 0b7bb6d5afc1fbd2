//! A project: a directory with a `samovar.toml`, read and validated before anything is built.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use samovar_model::FunctionName;
use samovar_model::manifest::{FILE_NAME, FunctionTable, Manifest};

/// A directory with a valid manifest.
#[derive(Debug)]
pub(crate) struct Project {
    /// The directory; paths in the manifest are relative to it.
    pub(crate) dir: PathBuf,
    /// The functions to work on, by name; never empty.
    pub(crate) functions: Vec<Function>,
}

/// One function of a manifest.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: FunctionName,
    /// Its table as written, which is what the control API gets; found to be valid.
    pub(crate) table: FunctionTable,
}

impl Project {
    /// Reads the manifest in `dir`, and keeps the functions in `only`, or all when `only` is empty.
    ///
    /// # Errors
    /// When there is no manifest, it cannot be used, or has no function of a name in `only`.
    pub(crate) fn load(dir: &Path, only: &[FunctionName]) -> anyhow::Result<Self> {
        let file = dir.join(FILE_NAME);
        if !dir.is_dir() {
            bail!("no directory {}", dir.display());
        }
        if !file.exists() {
            bail!(
                "no {FILE_NAME} in {}: `samovar new NAME` begins a project, `samovar deploy FILE.wasm --name NAME` deploys \
                 a component as it is",
                dir.display()
            );
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let functions = functions(&text, only).with_context(|| file.display().to_string())?;
        Ok(Self { dir: dir.to_owned(), functions })
    }
}

fn functions(text: &str, only: &[FunctionName]) -> anyhow::Result<Vec<Function>> {
    let manifest = Manifest::parse(text)?;
    let mut functions = Vec::new();
    for (name, table) in manifest.function {
        let name: FunctionName = name.parse().context("[function.…]")?;
        table.settings(&name)?;
        functions.push(Function { name, table });
    }
    if let Some(unknown) = only.iter().find(|name| !functions.iter().any(|function| function.name == **name)) {
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        bail!("no function `{unknown}`; there is {}", names.join(", "));
    }
    functions.retain(|function| only.is_empty() || only.contains(&function.name));
    Ok(functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_functions_asked_for_are_kept() {
        let text = "[function.a]\n[function.b]\n[function.c]";
        let names = |only: &[&str]| -> anyhow::Result<Vec<String>> {
            let only: Vec<FunctionName> = only.iter().map(|name| name.parse().unwrap()).collect();
            Ok(functions(text, &only)?.iter().map(|function| function.name.to_string()).collect())
        };
        assert_eq!(names(&[]).unwrap(), ["a", "b", "c"]);
        assert_eq!(names(&["c", "a"]).unwrap(), ["a", "c"]);
        assert_eq!(names(&["d"]).unwrap_err().to_string(), "no function `d`; there is a, b, c");
    }

    #[test]
    fn a_manifest_that_cannot_be_used_is_named_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let error = Project::load(dir.path(), &[]).unwrap_err().to_string();
        assert!(error.starts_with("no samovar.toml in "), "{error}");
        std::fs::write(dir.path().join(FILE_NAME), "[function.a]\nroute = \"x\"").unwrap();
        let error = format!("{:#}", Project::load(dir.path(), &[]).unwrap_err());
        assert!(error.ends_with("samovar.toml: function.a.route: path `x`: must begin with `/`"), "{error}");
    }
}
