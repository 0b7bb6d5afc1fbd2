//! A data directory with many functions in it, each with an artifact of its own, without a deploy for each of them.
//!
//! The artifacts are one component with another custom section in each, so that no two have the same bytes. Such a section
//! changes nothing in the machine code, so the component is compiled once and each artifact gets a copy of the compiled file,
//! under its own name: as many files are read, mapped and cached as if each had been compiled.

use std::path::Path;

use samovar_cluster::embedded::{DataDir, EmbeddedRegistry};
use samovar_cluster::{NewRevision, Registry as _};
use samovar_model::manifest::FunctionTable;
use samovar_model::{ByteSize, ComponentKind, Digest, FunctionName};
use sha2::{Digest as _, Sha256};

use crate::component::distinct;

/// The name of a function that was seeded.
pub fn name(index: usize) -> String {
    format!("f{index:05}")
}

/// Adds functions to a data directory in which the component itself is deployed and compiled, and which nobody uses.
///
/// # Errors
/// When something cannot be written.
pub async fn seed(data: &Path, component: &[u8], count: usize) -> anyhow::Result<()> {
    let dir = DataDir::open(data)?;
    let registry = EmbeddedRegistry::open(&dir)?;
    let (compiled, ending) = compiled(&dir, digest(component))?;
    for index in 0..count {
        let bytes = distinct(component, index as u64);
        let artifact = digest(&bytes);
        let name: FunctionName = name(index).parse()?;
        std::fs::write(dir.artifacts().join(artifact.to_string()), &bytes)?;
        std::fs::write(dir.compiled().join(format!("{artifact}{ending}")), &compiled)?;
        let settings = FunctionTable::default().settings(&name)?;
        let size = ByteSize::bytes(bytes.len() as u64);
        registry
            .deploy(&name, NewRevision { artifact, size, kind: ComponentKind::Wasi02, settings, instead_of: None })
            .await?;
    }
    Ok(())
}

/// The compiled form of an artifact, and what its file's name has after the digest.
fn compiled(dir: &DataDir, artifact: Digest) -> anyhow::Result<(Vec<u8>, String)> {
    let artifact = artifact.to_string();
    for entry in std::fs::read_dir(dir.compiled())? {
        let entry = entry?;
        if let Some(ending) = entry.file_name().to_str().and_then(|name| name.strip_prefix(&artifact)) {
            return Ok((std::fs::read(entry.path())?, ending.to_owned()));
        }
    }
    anyhow::bail!("the component is not compiled in {}", dir.compiled().display())
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}
