//! The data directory: its lock, its format version, where everything in it lives, and the control API's token.
//!
//! ```text
//! lock              held by the process that uses the directory
//! version           the format of everything else
//! registry.redb     functions and revisions
//! values.redb       what functions keep, up to the last checkpoint
//! values.log        what they wrote since then
//! secrets.redb      secrets, encrypted
//! secrets.key       the key that they are encrypted with, readable by the owner only; not there where another one is given
//! jobs.redb         requests that are answered later, and their answers
//! artifacts/        components by digest, and uploads under way
//! compiled/         compiled components: a cache, may be deleted at any time
//! logs/             what functions wrote
//! token             the control API's bearer token, readable by the owner only
//! ```

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::durable::{sync_dir, write_private};
use crate::random;

/// The format that this binary writes, and the only one it reads.
pub const FORMAT: u32 = 1;

const TOKEN: &str = "token";
const VERSION: &str = "version";
const REGISTRY: &str = "registry.redb";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock.
    #[error(
        "data directory {} is in use by another process (samovar up); stop it or give another --data-dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// Written by a Samovar that this one does not understand.
    #[error(
        "data directory {} has format version {found}; this samovar reads version {FORMAT}: use the samovar that wrote \
         it, or give another --data-dir",
        .path.display()
    )]
    Format {
        /// The data directory.
        path: PathBuf,
        /// What its `version` file says.
        found: String,
    },
    /// There is no token where a client looked for one.
    #[error("no token in {}: is this the --data-dir of `samovar up`, and has it been started once?", .0.display())]
    NoToken(PathBuf),
    /// The token file has nothing in it.
    #[error("the token in {} is empty: delete the file and start `samovar up` again to make a new one", .0.display())]
    EmptyToken(PathBuf),
    /// The system said no.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A data directory that this process holds. Clones share the lock, which is released when the last one is dropped.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    // Held for its lock alone.
    _lock: Arc<File>,
}

impl DataDir {
    /// The file of the key that secrets are encrypted with, where none is given from elsewhere.
    pub const SECRETS_KEY: &str = "secrets.key";

    /// Takes a data directory for this process; makes it, for its owner only, if it is not there. Blocks on the disk.
    ///
    /// # Errors
    /// When another process has it, its format is not [`FORMAT`], or it cannot be written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        make_dir(&path)?;
        let dir = Self { _lock: Arc::new(lock(&path)?), path };
        dir.check_format()?;
        for sub in [dir.artifacts(), dir.uploads(), dir.compiled(), dir.logs()] {
            make_dir(&sub)?;
        }
        Ok(dir)
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The registry's database.
    pub fn registry(&self) -> PathBuf {
        self.path.join(REGISTRY)
    }

    /// What functions keep.
    pub fn key_value(&self) -> PathBuf {
        self.path.join("values.redb")
    }

    /// What functions wrote since [`DataDir::key_value`] was last synced.
    pub fn key_value_log(&self) -> PathBuf {
        self.path.join("values.log")
    }

    /// The secrets' database.
    pub fn secrets(&self) -> PathBuf {
        self.path.join("secrets.redb")
    }

    /// The database of jobs.
    pub fn jobs(&self) -> PathBuf {
        self.path.join("jobs.redb")
    }

    /// Artifacts, each in a file named by its digest.
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts").join("sha256")
    }

    /// Artifacts that are being uploaded.
    pub fn uploads(&self) -> PathBuf {
        self.path.join("artifacts").join("tmp")
    }

    /// Compiled components.
    pub fn compiled(&self) -> PathBuf {
        self.path.join("compiled")
    }

    /// What functions wrote.
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// The control API's bearer token: 64 hexadecimal digits, made at the first call.
    ///
    /// # Errors
    /// When the file cannot be read or made, or is empty.
    pub fn token(&self) -> Result<String, DataDirError> {
        match Self::read_token(&self.path) {
            Err(DataDirError::NoToken(_)) => {}
            known => return known,
        }
        let file = self.path.join(TOKEN);
        let secret = random::bytes::<32>().map_err(at(&file))?;
        let token = hex::encode(secret);
        write_private(&self.path, TOKEN, token.as_bytes()).map_err(at(&file))?;
        Ok(token)
    }

    /// The token of a data directory that another process may hold: for clients on the same machine.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read_token(path: &Path) -> Result<String, DataDirError> {
        let file = path.join(TOKEN);
        match std::fs::read_to_string(&file) {
            Ok(text) if text.trim().is_empty() => Err(DataDirError::EmptyToken(file)),
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DataDirError::NoToken(path.to_owned())),
            Err(error) => Err(at(&file)(error)),
        }
    }

    fn check_format(&self) -> Result<(), DataDirError> {
        let file = self.path.join(VERSION);
        match std::fs::read_to_string(&file) {
            Ok(text) if text.trim() == FORMAT.to_string() => Ok(()),
            Ok(text) => {
                let found = text.trim().chars().take(40).collect();
                Err(DataDirError::Format { path: self.path.clone(), found })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.mark_format(),
            Err(error) => Err(at(&file)(error)),
        }
    }

    fn mark_format(&self) -> Result<(), DataDirError> {
        // The version is on disk before anything else is made, so a registry without one is not ours to touch.
        if self.registry().exists() {
            return Err(DataDirError::Format { path: self.path.clone(), found: "none (no `version` file)".to_owned() });
        }
        write_private(&self.path, VERSION, format!("{FORMAT}\n").as_bytes()).map_err(at(&self.path))
    }
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let name = path.join("lock");
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&name).map_err(at(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&name)(error)),
    }
}

/// Makes a directory with those above it that are missing, and makes their names durable.
fn make_dir(path: &Path) -> Result<(), DataDirError> {
    let missing: Vec<_> = path.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path))?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        sync_dir(parent).map_err(at(parent))?;
    }
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError + use<> {
    let path = path.to_owned();
    move |error| DataDirError::Io { path, error }
}
