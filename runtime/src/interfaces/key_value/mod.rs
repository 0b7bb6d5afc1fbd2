//! `wasi:keyvalue`: the buckets that a function is granted, as guests see them.
//!
//! Two drafts are in use side by side. They differ in what a page's cursor is (a number, then a text), in the counter's type, in
//! what a batch of reads gives back, and in compare-and-swap, which only the second one has. All of that is decided here and
//! in the three files below, one for each interface; what buckets do is the store's.
//!
//! A call that the store can answer at once costs its guest two small allocations and no task. One that has to wait is a future
//! of the guest's own: an invocation that is given up while it waits drops that future, and nothing is held meanwhile.

mod atomics;
mod batch;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use samovar_cluster::key_value::{Entry, check};
use samovar_cluster::{KeyValue, KeyValueError};
use samovar_model::{Bucket, FunctionName, Settings};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView;

use crate::guest::Guest;

/// The versions of the package that guests may import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draft {
    /// As in wasmCloud and wasmtime.
    First,
    /// As in Spin, and in what the proposal has become.
    Second,
}

impl Draft {
    const ALL: [Self; 2] = [Self::First, Self::Second];

    fn version(self) -> &'static str {
        match self {
            Self::First => "0.2.0-draft",
            Self::Second => "0.2.0-draft2",
        }
    }
}

/// The interfaces that are linked, by name.
const INTERFACES: [&str; 3] = ["store", "atomics", "batch"];

/// Whether this import is one of the linked interfaces.
pub(crate) fn provides(import: &str) -> bool {
    let Some((name, version)) = import.strip_prefix("wasi:keyvalue/").and_then(|rest| rest.split_once('@')) else {
        return false;
    };
    INTERFACES.contains(&name) && Draft::ALL.iter().any(|draft| draft.version() == version)
}

/// Links every interface in both drafts.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for draft in Draft::ALL {
        let name = |interface: &str| format!("wasi:keyvalue/{interface}@{}", draft.version());
        store::add_to_linker(&mut linker.instance(&name("store"))?, draft)?;
        atomics::add_to_linker(&mut linker.instance(&name("atomics"))?, draft)?;
        batch::add_to_linker(&mut linker.instance(&name("batch"))?, draft)?;
    }
    Ok(())
}

/// The buckets of one revision. Made once per revision.
pub(crate) struct Buckets {
    function: FunctionName,
    /// By the name that the guest knows.
    granted: BTreeMap<String, Arc<Bucket>>,
    /// None where the host was started without a store.
    store: Option<Arc<dyn KeyValue>>,
}

impl Buckets {
    pub(super) fn new(function: &FunctionName, settings: &Settings, store: Option<Arc<dyn KeyValue>>) -> Self {
        let granted = settings.kv.iter();
        let granted = granted.map(|(name, grant)| (name.to_string(), Arc::new(grant.bucket(function, name)))).collect();
        Self { function: function.clone(), granted, store }
    }

    /// For an instance that is only tried out: there is nothing to open.
    pub(super) fn none(function: &FunctionName) -> Self {
        Self { function: function.clone(), granted: BTreeMap::new(), store: None }
    }

    /// Whether there is anything to open.
    pub(crate) fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    /// Opens a bucket; no store is asked for that.
    ///
    /// # Errors
    /// What the guest is told, and for the function's log the line of the manifest that would grant the bucket.
    fn open(&self, name: &str) -> Result<OpenBucket, (Error, Option<String>)> {
        let Some(bucket) = self.granted.get(name) else {
            // What cannot be a bucket's name cannot be added to the manifest either.
            if name.parse::<samovar_model::BucketName>().is_err() {
                return Err((Error::NoSuchStore, Some(format!("no bucket `{}`: not a bucket's name", shown(name)))));
            }
            let line = format!(
                "bucket `{name}` refused: add it to the manifest, [function.{}.kv] {name} = {{}}",
                self.function
            );
            return Err((Error::AccessDenied, Some(line)));
        };
        let Some(store) = &self.store else {
            let reason = format!("bucket `{name}`: this host has no key-value store");
            return Err((Error::Other(reason), None));
        };
        Ok(OpenBucket { bucket: Arc::clone(bucket), store: Arc::clone(store), page: None })
    }
}

/// A guest's own words, at a length that a line can hold.
fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

/// What stands behind the resource `bucket`.
struct OpenBucket {
    bucket: Arc<Bucket>,
    store: Arc<dyn KeyValue>,
    /// Where the page ended that the guest has listed last: so many keys, and this one.
    page: Option<(u64, String)>,
}

/// A bucket in use by one call, or by a handle.
#[derive(Clone)]
struct Use {
    bucket: Arc<Bucket>,
    store: Arc<dyn KeyValue>,
}

impl Use {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        check(key, None)?;
        Ok(self.store.get(&self.bucket, key).await?)
    }
}

/// `error`, the same in both drafts.
#[derive(Debug, Clone, PartialEq, Eq, wasmtime::component::ComponentType, wasmtime::component::Lower)]
#[component(variant)]
enum Error {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<KeyValueError> for Error {
    fn from(error: KeyValueError) -> Self {
        Self::Other(error.to_string())
    }
}

type Context<'a> = StoreContextMut<'a, Guest>;

/// What a function that can fail gives back: a trap, or else the guest's result.
type Answer<T> = wasmtime::Result<(Result<T, Error>,)>;

/// What a call needs of the bucket that it was given.
fn using(context: &mut Context<'_>, bucket: &Resource<OpenBucket>) -> wasmtime::Result<Use> {
    let OpenBucket { bucket, store, .. } = context.data_mut().ctx().table.get(bucket)?;
    Ok(Use { bucket: Arc::clone(bucket), store: Arc::clone(store) })
}

/// Puts something behind a resource of the guest's.
fn push<T: Send + 'static>(context: &mut Context<'_>, entry: T) -> Result<Resource<T>, Error> {
    let too_many = |error| Error::Other(format!("{error}: drop buckets and handles that are not needed any more"));
    context.data_mut().ctx().table.push(entry).map_err(too_many)
}

/// The value alone.
fn value(entry: Option<Entry>) -> Option<Bytes> {
    entry.map(|entry| entry.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_drafts_are_provided_and_nothing_else_is() {
        for import in ["wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/batch@0.2.0-draft2"] {
            assert!(provides(import), "{import}");
        }
        for import in [
            "wasi:keyvalue/watcher@0.2.0-draft2",
            "wasi:keyvalue/store@0.2.0-draft3",
            "wasi:keyvalue/store",
            "wasi:keyvaluex/store@0.2.0-draft",
        ] {
            assert!(!provides(import), "{import}");
        }
    }

    #[test]
    fn a_bucket_that_is_not_granted_is_refused_with_the_line_to_add() {
        let function: FunctionName = "shop".parse().expect("a name");
        let buckets = Buckets::none(&function);
        let refused = |name: &str| buckets.open(name).err().expect("nothing is granted");
        let (error, line) = refused("carts");
        assert_eq!(error, Error::AccessDenied);
        let line = line.expect("a line for the log");
        assert_eq!(line, "bucket `carts` refused: add it to the manifest, [function.shop.kv] carts = {}");
        assert_eq!(refused("no/name").0, Error::NoSuchStore);
    }
}
