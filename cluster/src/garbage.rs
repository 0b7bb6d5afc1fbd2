//! What a killed or refused deploy leaves behind: artifacts that no revision refers to.

use std::collections::BTreeSet;

use samovar_model::Digest;

use crate::{ArtifactError, Artifacts, Registry};

/// What a collection did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// The artifacts that revisions refer to: what a cache of compiled code may keep.
    pub kept: BTreeSet<Digest>,
    /// How many others were removed.
    pub removed: usize,
}

/// Removes every artifact that no kept revision of any function refers to.
///
/// In a cluster this can be called at any time, by any number of processes: a deploy at the same time keeps what it refers to.
/// In one process it is to be called at start, before anything is served: there a deploy that refers to an artifact of an
/// earlier run while this is under way could lose it.
///
/// # Errors
/// When it cannot be told what is referred to, or the store cannot be read, or a file cannot be removed.
pub async fn collect(registry: &dyn Registry, artifacts: &dyn Artifacts) -> Result<Collected, ArtifactError> {
    // Not what this process happens to know: that may be old, and functions deployed since would lose their artifacts.
    let settled = registry.settled().await.map_err(|error| ArtifactError::Unavailable(error.to_string()))?;
    let revisions = settled.snapshot.functions.values().flat_map(|function| &function.revisions);
    let kept: BTreeSet<Digest> = revisions.map(|revision| revision.artifact).collect();
    let removed = artifacts.collect(&kept, settled.at).await?;
    Ok(Collected { kept, removed })
}
