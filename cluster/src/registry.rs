//! The registry: which functions there are, with which revisions, and which revision answers.
//!
//! Every change is a commit: acknowledged once it is durable, visible to watchers as a new [`Snapshot`] after that, and
//! never half.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::watch;

use samovar_model::{ByteSize, Clash, ComponentKind, Digest, FunctionName, FunctionState, RevisionNumber, Settings};

/// Everything the registry holds, at one moment. Cheap to clone: functions are shared.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Counts commits: a snapshot with a larger version is newer.
    pub version: u64,
    /// The functions by name.
    pub functions: BTreeMap<FunctionName, Arc<FunctionState>>,
}

/// What a deploy brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRevision {
    /// The component; it must be in the artifact store.
    pub artifact: Digest,
    /// The component's size.
    pub size: ByteSize,
    /// Which interface it exports.
    pub kind: ComponentKind,
    /// Everything else.
    pub settings: Settings,
    /// The revision that must be the one that answers, where the new one was made out of it: what somebody else has
    /// deployed meanwhile is not to be undone unseen.
    pub instead_of: Option<RevisionNumber>,
}

/// What is committed, at one moment.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Everything: no commit that was decided before this and is not in it can ever be stored.
    pub snapshot: Arc<Snapshot>,
    /// A moment just before, by the clock of the store.
    pub at: SystemTime,
}

/// What a commit left behind.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The function as it is now.
    pub function: Arc<FunctionState>,
    /// False when there was nothing to change.
    pub changed: bool,
    /// The version of the first snapshot that shows it.
    pub version: u64,
}

/// Why a commit was refused. Nothing has changed, except after [`RegistryError::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such function.
    #[error("no function `{0}`")]
    NoFunction(FunctionName),
    /// No such revision is kept.
    #[error("function `{function}` has no revision {number}; kept are {kept}")]
    NoRevision {
        /// The function.
        function: FunctionName,
        /// What was asked for.
        number: RevisionNumber,
        /// The numbers that are kept, as a list for people.
        kept: String,
    },
    /// Another revision answers by now than the one that was to be replaced.
    #[error("function `{function}`: revision {expected} was to be changed, and revision {current} answers by now")]
    Overtaken {
        /// The function.
        function: FunctionName,
        /// What was to be replaced.
        expected: RevisionNumber,
        /// What answers.
        current: RevisionNumber,
    },
    /// There is no revision before the current one.
    #[error("function `{0}` has no revision before the current one")]
    NothingBefore(FunctionName),
    /// The revision's artifact is not in the store that hosts share, or not whole.
    #[error("artifact {0} is not in the store, or no longer: upload it again, then deploy")]
    NoArtifact(Digest),
    /// Another function has the route.
    #[error(transparent)]
    Clash(#[from] Clash),
    /// The revision's settings are larger than what the store takes at once.
    #[error(
        "function `{function}`: revision {number} takes {size_bytes} bytes in the registry, {limit_bytes} at most; give it \
         fewer or shorter environment variables and routes, or raise `max_payload` of the NATS servers"
    )]
    TooLarge {
        /// The function.
        function: FunctionName,
        /// The revision that would answer.
        number: RevisionNumber,
        /// What the function takes with that revision alone.
        size_bytes: usize,
        /// What the store takes.
        limit_bytes: usize,
    },
    /// The store cannot be reached or written: try again later.
    #[error("the registry is not available: {0}")]
    Unavailable(String),
    /// It cannot be told whether the commit happened: look before trying again.
    #[error("it is not known whether the registry has stored the change: {0}")]
    Unknown(String),
}

/// The registry of functions.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// The newest snapshot this process knows, and its successors.
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>>;

    /// Everything that is committed by now, whatever this process happened to know; and sees to it that no commit that was
    /// decided earlier is stored later. For deciding what can be removed, since nothing refers to it.
    ///
    /// # Errors
    /// [`RegistryError::Unavailable`] when this cannot be told: the store is away, or holds what this process cannot read.
    async fn settled(&self) -> Result<Settled, RegistryError>;

    /// Adds a revision and makes it the one that answers. When the current revision already has this content, nothing is
    /// done. Of older revisions the last 10 are kept, or fewer where they are too large for the store; the current one always.
    ///
    /// # Errors
    /// [`RegistryError::Clash`] when another function's current revision has one of the routes;
    /// [`RegistryError::Overtaken`] when it is to replace another revision than the current one, or
    /// [`RegistryError::NoFunction`] when there is none any more;
    /// [`RegistryError::NoArtifact`] when hosts could not get the artifact, where this can be told; and
    /// [`RegistryError::TooLarge`] when the store cannot take the revision even without any older one.
    async fn deploy(&self, name: &FunctionName, new: NewRevision) -> Result<Deployment, RegistryError>;

    /// Makes the revision `number`, or else the one kept before the current one, the one that answers.
    ///
    /// # Errors
    /// When there is no such function or revision, or its routes clash by now.
    async fn rollback(&self, name: &FunctionName, number: Option<RevisionNumber>) -> Result<Deployment, RegistryError>;

    /// Forgets a function and its revisions; its revision numbers are not used again. Answers the version of the first
    /// snapshot without it.
    ///
    /// # Errors
    /// When there is no such function.
    async fn delete(&self, name: &FunctionName) -> Result<u64, RegistryError>;
}
