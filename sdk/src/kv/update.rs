//! Writes that depend on what is there: by compare-and-swap, so that nobody's write is lost.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Bucket, Error, Result};
use crate::sleep;

/// How often an update is tried before it gives up.
const UPDATE_TRIES: u32 = 32;

/// By how much each wait before the next try is longer than the last.
const PAUSE_STEP: Duration = Duration::from_millis(1);

/// The longest of them.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl Bucket {
    /// Sets a value where the key is not there yet, and answers whether it did. Atomic: of several who create a key, one does.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("names").call(async {
    /// let names = samovar_sdk::kv::bucket("names")?;
    /// assert!(names.create("ann", "1").await?);
    /// assert!(!names.create("ann", "2").await?);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn create(&self, key: &str, value: impl AsRef<[u8]>) -> Result<bool> {
        let value = Bytes::copy_from_slice(value.as_ref());
        let created = self.try_update(key, |old| match old {
            None => Ok(value.clone()),
            Some(_) => Err(NotCreated::Taken),
        });
        match created.await {
            Ok(_) => Ok(true),
            Err(NotCreated::Taken) => Ok(false),
            Err(NotCreated::Failed(error)) => Err(error),
        }
    }

    /// Replaces a value by what `change` makes of it, and answers the new one. Atomic: where somebody else has written the key
    /// meanwhile, `change` is called again with what is there then.
    ///
    /// # Errors
    /// [`Error::Contended`] where others were always quicker; else as [`set`](Self::set).
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("guests").call(async {
    /// let guests = samovar_sdk::kv::bucket("guests")?;
    /// for name in ["ann", "bob"] {
    ///     guests.update("today", |old| [&old.unwrap_or_default(), name.as_bytes(), b";"].concat()).await?;
    /// }
    /// assert_eq!(guests.get("today").await?.unwrap(), "ann;bob;");
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn update<V: Into<Bytes>>(&self, key: &str, mut change: impl FnMut(Option<Bytes>) -> V) -> Result<Bytes> {
        self.try_update(key, |old| Ok(change(old))).await
    }

    /// [`update`](Self::update) with a change that can fail: then nothing is written, and its error is the answer.
    ///
    /// # Errors
    /// What `change` answers, and as [`update`](Self::update).
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("log").call(async {
    /// use samovar_sdk::Error;
    ///
    /// let log = samovar_sdk::kv::bucket("log")?;
    /// let full = log.try_update("today", |old| match old {
    ///     Some(old) if old.len() > 1000 => Err(Error::conflict("no more today")),
    ///     old => Ok([&old.unwrap_or_default(), &b"line;"[..]].concat()),
    /// });
    /// full.await?;
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn try_update<V: Into<Bytes>, E: From<Error>>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<Bytes>) -> Result<V, E>,
    ) -> Result<Bytes, E> {
        let mut found = self.said(self.opened.compare(key))?;
        for pause in 1..=UPDATE_TRIES {
            let old = self.said(found.current())?.map(Bytes::from);
            let new: Bytes = change(old)?.into();
            match self.said(found.swap(&new))? {
                None => return Ok(new),
                Some(newer) => found = newer,
            }
            sleep(LONGEST_PAUSE.min(PAUSE_STEP * pause)).await;
        }
        Err(Error::Contended { bucket: self.name.to_string(), key: key.to_owned() }.into())
    }

    /// [`update`](Self::update) of a value that is kept as JSON.
    ///
    /// # Errors
    /// [`Error::NotJson`] where what is there is not JSON of this shape; else as [`update`](Self::update).
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("carts").call(async {
    /// let carts = samovar_sdk::kv::bucket("carts")?;
    /// let cart = carts.update_json("ann", |cart: Option<Vec<String>>| {
    ///     let mut cart = cart.unwrap_or_default();
    ///     cart.push("tea".into());
    ///     cart
    /// });
    /// assert_eq!(cart.await?, ["tea"]);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn update_json<T>(&self, key: &str, mut change: impl FnMut(Option<T>) -> T) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
    {
        self.try_update_json(key, |old| Ok(change(old))).await
    }

    /// [`update_json`](Self::update_json) with a change that can fail: then nothing is written, and its error is the answer.
    ///
    /// # Errors
    /// What `change` answers, and as [`update`](Self::update).
    ///
    /// ```
    /// use samovar_sdk::{Error, Result, kv, testing::Host};
    ///
    /// async fn take_one() -> Result<()> {
    ///     let take = |left: Option<u32>| left.unwrap_or(0).checked_sub(1).ok_or_else(|| Error::conflict("sold out"));
    ///     kv::bucket("stock")?.try_update_json("tea", take).await?;
    ///     Ok(())
    /// }
    ///
    /// assert_eq!(Host::new().kv("stock").call(take_one()).status, 409);
    /// ```
    pub async fn try_update_json<T, E>(
        &self,
        key: &str,
        mut change: impl FnMut(Option<T>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: From<Error>,
    {
        let mut new = None;
        let written = self.try_update(key, |old| {
            let old = old.map(|old| self.read_json(key, &old)).transpose()?;
            let value = change(old)?;
            let written = self.write_json(key, &value)?;
            new = Some(value);
            Ok::<_, E>(written)
        });
        let written = written.await?;
        match new {
            Some(new) => Ok(new),
            None => Ok(self.read_json(key, &written)?),
        }
    }
}

/// Why a key was not created.
enum NotCreated {
    Taken,
    Failed(Error),
}

impl From<Error> for NotCreated {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
