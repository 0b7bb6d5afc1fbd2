//! What a function reaches through standard WASI on either version: buckets, config and the log. `bindings.rs` is made from the
//! WIT in `sdk/wit` by `sdk/wit/generate`.
//!
//! A component imports only the interfaces that its code comes to, so that a function without buckets is deployed on hosts
//! without them.

use super::Fault;
use super::bindings::wasi::config::store as config_store;
use super::bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use super::bindings::wasi::keyvalue::{batch, store};
use super::bindings::wasi::logging::logging;
use crate::log::Level;

#[derive(Debug)]
pub(crate) struct Bucket(store::Bucket);

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, Fault> {
        Ok(Self(store::open(name)?))
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.get(key)?)
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.0.exists(key)?)
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        Ok(self.0.set(key, value)?)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), Fault> {
        Ok(self.0.delete(key)?)
    }

    /// The interface answers with keys and in no promised order.
    pub(crate) fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let mut found = batch::get_many(&self.0, keys)?;
        if found.len() == keys.len() && found.iter().zip(keys).all(|((key, _), wanted)| key == wanted) {
            return Ok(found.into_iter().map(|(_, value)| value).collect());
        }
        let of_key = |key: &String| {
            let (_, value) = found.iter_mut().find(|(found, _)| found == key)?;
            value.clone()
        };
        Ok(keys.iter().map(of_key).collect())
    }

    pub(crate) fn set_many(&self, values: &[(String, Vec<u8>)]) -> Result<(), Fault> {
        Ok(batch::set_many(&self.0, values)?)
    }

    pub(crate) fn delete_many(&self, keys: &[String]) -> Result<(), Fault> {
        Ok(batch::delete_many(&self.0, keys)?)
    }

    pub(crate) fn increment(&self, key: &str, by: i64) -> Result<i64, Fault> {
        Ok(atomics::increment(&self.0, key, by)?)
    }

    pub(crate) fn compare(&self, key: &str) -> Result<Compared, Fault> {
        Ok(Compared(Cas::new(&self.0, key)?))
    }

    pub(crate) fn list(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), Fault> {
        let page = self.0.list_keys(cursor.as_deref())?;
        Ok((page.keys, page.cursor))
    }
}

/// What a key was, for a later swap.
#[derive(Debug)]
pub(crate) struct Compared(Cas);

impl Compared {
    pub(crate) fn current(&self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.current()?)
    }

    /// None when it is done; else what the key is now.
    pub(crate) fn swap(self, value: &[u8]) -> Result<Option<Self>, Fault> {
        match atomics::swap(self.0, value) {
            Ok(()) => Ok(None),
            Err(CasError::CasFailed(newer)) => Ok(Some(Self(newer))),
            Err(CasError::StoreError(error)) => Err(error.into()),
        }
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore | store::Error::AccessDenied => Self::NotGranted,
            store::Error::Other(reason) => Self::Other(reason),
        }
    }
}

pub(crate) fn config(key: &str) -> Result<Option<String>, String> {
    config_store::get(key).map_err(words)
}

pub(crate) fn all_config() -> Result<Vec<(String, String)>, String> {
    config_store::get_all().map_err(words)
}

fn words(error: config_store::Error) -> String {
    match error {
        config_store::Error::Upstream(reason) | config_store::Error::Io(reason) => reason,
    }
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    let level = match level {
        Level::Trace => logging::Level::Trace,
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
        Level::Critical => logging::Level::Critical,
    };
    logging::log(level, context, message);
}

#[cfg(feature = "session")]
pub(crate) fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
