//! Values by key, kept by the platform in buckets (`wasi:keyvalue`).
//!
//! A bucket is named in the manifest, and is the function's own unless it is shared by name:
//! ```toml
//! [function.visits.kv]
//! counters = {}
//! sessions = { ttl = "1h", max_bytes = "64MiB" }
//! ```
//! ```
//! use samovar_sdk::{Result, handler, kv, testing::Host};
//!
//! #[handler]
//! async fn visits() -> Result<String> {
//!     let count = kv::bucket("counters")?.increment("visits", 1).await?;
//!     Ok(format!("visit {count}\n"))
//! }
//!
//! let host = Host::new().kv("counters");
//! assert_eq!(host.call(visits()).text(), "visit 1\n");
//! assert_eq!(host.call(visits()).text(), "visit 2\n");
//! ```
//! A key has 1 to 256 bytes, a value at most 1 MiB. A write is on disk when it is acknowledged. [`Bucket::increment`],
//! [`Bucket::create`] and [`Bucket::update`] are atomic, whoever else writes; to get a value and then set it is not.
//!
//! With WASI 0.2 and 0.3 alike a call holds its instance until it is answered: the interface has no other way yet. The functions
//! are async so that handlers stay as they are when it does.

mod error;
mod keys;
mod update;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::Error;
pub use keys::Keys;

use crate::guest;

/// What the functions here return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Opens a bucket, by the name that the manifest gives it.
///
/// # Errors
/// [`Error::NotGranted`] where the manifest does not name it. With `?` that is a 500, and the log says which line to add.
///
/// ```
/// use samovar_sdk::{kv, testing::Host};
///
/// let answer = Host::new().kv("sessions").call(async {
///     let error = kv::bucket("visits").unwrap_err();
///     error.to_string()
/// });
/// assert!(answer.text().contains("add `visits = {}` to [function.….kv] of samovar.toml"));
/// ```
pub fn bucket(name: &str) -> Result<Bucket> {
    let opened = guest::Bucket::open(name).map_err(|fault| Error::new(name, fault))?;
    Ok(Bucket { name: name.into(), opened })
}

/// A bucket that is open: what [`bucket`] gives.
///
/// ```
/// use samovar_sdk::{Result, kv, testing::Host};
///
/// async fn last_order() -> Result<String> {
///     let orders = kv::bucket("orders")?;
///     orders.set("last", "tea").await?;
///     let last = orders.get("last").await?.unwrap_or_default();
///     Ok(String::from_utf8(last.into())?)
/// }
///
/// assert_eq!(Host::new().kv("orders").call(last_order()).text(), "tea");
/// ```
#[derive(Debug)]
pub struct Bucket {
    name: Box<str>,
    opened: guest::Bucket,
}

impl Bucket {
    /// Its name, as the manifest has it.
    ///
    /// ```
    /// # samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// assert_eq!(samovar_sdk::kv::bucket("orders")?.name(), "orders");
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// let orders = samovar_sdk::kv::bucket("orders")?;
    /// assert_eq!(orders.get("7").await?, None);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.said(self.opened.get(key)).map(|value| value.map(Bytes::from))
    }

    /// The value of a key, read as JSON.
    ///
    /// # Errors
    /// [`Error::NotJson`] where it is not JSON of this shape; else see [`Error`].
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("carts").call(async {
    /// let carts = samovar_sdk::kv::bucket("carts")?;
    /// carts.set_json("ann", &["tea", "milk"]).await?;
    /// assert_eq!(carts.get_json::<Vec<String>>("ann").await?.unwrap(), ["tea", "milk"]);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.get(key).await?.map(|value| self.read_json(key, &value)).transpose()
    }

    /// Sets a value.
    ///
    /// # Errors
    /// [`Error::Full`] where the bucket would hold more than its `max_bytes`; else see [`Error`].
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// samovar_sdk::kv::bucket("orders")?.set("7", "tea").await?;
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.said(self.opened.set(key, value.as_ref()))
    }

    /// Sets a value, written as JSON.
    ///
    /// # Errors
    /// [`Error::NotJson`] where it cannot be written as JSON; else as [`set`](Self::set).
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("carts").call(async {
    /// samovar_sdk::kv::bucket("carts")?.set_json("ann", &["tea"]).await?;
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn set_json(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let value = self.write_json(key, value)?;
        self.set(key, value).await
    }

    /// Deletes a key, which need not be there.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// samovar_sdk::kv::bucket("orders")?.delete("7").await?;
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.said(self.opened.delete(key))
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// assert!(!samovar_sdk::kv::bucket("orders")?.exists("7").await?);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn exists(&self, key: &str) -> Result<bool> {
        self.said(self.opened.exists(key))
    }

    /// Adds to a counter, and answers what it is then. One that is not there begins at 0. Atomic.
    ///
    /// # Errors
    /// [`Error::NotANumber`] where the value is no counter's, or would leave 64 bits; else see [`Error`].
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("counters").call(async {
    /// let counters = samovar_sdk::kv::bucket("counters")?;
    /// assert_eq!(counters.increment("visits", 5).await?, 5);
    /// assert_eq!(counters.increment("visits", -2).await?, 3);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn increment(&self, key: &str, by: i64) -> Result<i64> {
        self.said(self.opened.increment(key, by))
    }

    /// The keys that begin with a prefix, page by page; all of them for `""`. What is written meanwhile may be in it or not.
    ///
    /// Keys come in the order of their bytes, and what is read is no more than those with the prefix and the rest of a page (1,000
    /// keys on the platform). In a cluster with NATS the first page costs a look through the bucket. The standard interface promises
    /// no order: on a host that lists otherwise all keys are read, and those that do not fit are left out.
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// let orders = samovar_sdk::kv::bucket("orders")?;
    /// orders.set_many([("ann/1", "tea"), ("ann/2", "milk"), ("bob/1", "tea")]).await?;
    ///
    /// let mut pages = orders.keys("ann/");
    /// while let Some(keys) = pages.next().await? {
    ///     assert_eq!(keys, ["ann/1", "ann/2"]);
    /// }
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub fn keys(&self, prefix: impl Into<String>) -> Keys<'_> {
        Keys::new(self, prefix.into())
    }

    /// The values of several keys, in their order: one call for all of them.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// let orders = samovar_sdk::kv::bucket("orders")?;
    /// orders.set("1", "tea").await?;
    /// assert_eq!(orders.get_many(["1", "2"]).await?, [Some("tea".into()), None]);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn get_many<K: Into<String>>(&self, keys: impl IntoIterator<Item = K>) -> Result<Vec<Option<Bytes>>> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        let values = self.said(self.opened.get_many(&keys))?;
        Ok(values.into_iter().map(|value| value.map(Bytes::from)).collect())
    }

    /// Sets several values, in their order: one call for all of them, but not one transaction.
    ///
    /// # Errors
    /// As [`set`](Self::set); some may have been set then.
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// samovar_sdk::kv::bucket("orders")?.set_many([("1", "tea"), ("2", "milk")]).await?;
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn set_many<K, V>(&self, values: impl IntoIterator<Item = (K, V)>) -> Result<()>
    where
        K: Into<String>,
        V: Into<Vec<u8>>,
    {
        let values: Vec<_> = values.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self.said(self.opened.set_many(&values))
    }

    /// Deletes several keys, which need not be there: one call for all of them, but not one transaction.
    ///
    /// # Errors
    /// See [`Error`]; some may have been deleted then.
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// samovar_sdk::kv::bucket("orders")?.delete_many(["1", "2"]).await?;
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn delete_many<K: Into<String>>(&self, keys: impl IntoIterator<Item = K>) -> Result<()> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        self.said(self.opened.delete_many(&keys))
    }

    /// What the platform said, as an error that names the bucket.
    fn said<T>(&self, result: Result<T, guest::Fault>) -> Result<T> {
        result.map_err(|fault| Error::new(&self.name, fault))
    }

    fn read_json<T: DeserializeOwned>(&self, key: &str, value: &[u8]) -> Result<T> {
        serde_json::from_slice(value).map_err(|error| self.not_json(key, &error))
    }

    fn write_json(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|error| self.not_json(key, &error))
    }

    fn not_json(&self, key: &str, error: &serde_json::Error) -> Error {
        Error::NotJson { bucket: self.name.to_string(), key: key.to_owned(), reason: error.to_string() }
    }
}
