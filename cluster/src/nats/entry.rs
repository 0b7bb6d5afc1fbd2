//! What one key of the bucket of functions holds.

use serde::{Deserialize, Serialize};

use samovar_model::{FunctionName, FunctionState};

/// One commit of one function. Never removed: after a delete an entry without a function keeps the last number, so that
/// numbers are not used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Names the commit, so that whoever sent it can tell it from another's when the answer was lost.
    pub(super) operation: String,
    /// The last revision number that was used.
    pub(super) last: u64,
    /// The function, unless it was deleted.
    pub(super) function: Option<FunctionState>,
}

impl Entry {
    /// Reads an entry and sees that nothing in it would break what relies on it.
    pub(super) fn read(name: &FunctionName, json: &[u8]) -> Result<Self, String> {
        let entry: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if let Some(function) = &entry.function {
            if function.name != *name {
                return Err(format!("it holds function `{}`", function.name));
            }
            if function.revision(function.current).is_none() {
                return Err(format!("its current revision {} is not kept", function.current));
            }
        }
        Ok(entry)
    }

    /// A name that no other commit has.
    pub(super) fn new_operation() -> Result<String, std::io::Error> {
        let mut bytes = [0; 16];
        let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
        if filled != bytes.len() {
            return Err(std::io::Error::other("the system gave fewer random bytes than asked for"));
        }
        Ok(hex::encode(bytes))
    }
}
