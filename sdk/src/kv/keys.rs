//! The keys of a bucket, page by page.

use super::{Bucket, Result};

/// Pages of keys: what [`Bucket::keys`] gives.
///
/// ```
/// use samovar_sdk::{Json, Result, kv, testing::Host};
///
/// async fn orders() -> Result<Json<Vec<String>>> {
///     Ok(Json(kv::bucket("orders")?.keys("").all().await?))
/// }
///
/// assert_eq!(Host::new().kv("orders").call(orders()).text(), "[]");
/// ```
#[derive(Debug)]
pub struct Keys<'a> {
    bucket: &'a Bucket,
    prefix: String,
    rest: Rest,
}

/// What there is still to ask for.
#[derive(Debug)]
enum Rest {
    All,
    Behind(String),
    Nothing,
}

impl<'a> Keys<'a> {
    pub(super) fn new(bucket: &'a Bucket, prefix: String) -> Self {
        Self { bucket, prefix, rest: Rest::All }
    }

    /// The next page, which has one key at least; none when there are no more.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// let orders = samovar_sdk::kv::bucket("orders")?;
    /// orders.set("7", "tea").await?;
    /// let mut pages = orders.keys("");
    /// assert_eq!(pages.next().await?.unwrap(), ["7"]);
    /// assert_eq!(pages.next().await?, None);
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn next(&mut self) -> Result<Option<Vec<String>>> {
        loop {
            let cursor = match std::mem::replace(&mut self.rest, Rest::Nothing) {
                Rest::All => None,
                Rest::Behind(cursor) => Some(cursor),
                Rest::Nothing => return Ok(None),
            };
            let (mut keys, cursor) = self.bucket.said(self.bucket.opened.list(cursor))?;
            self.rest = cursor.map_or(Rest::Nothing, Rest::Behind);
            keys.retain(|key| key.starts_with(&self.prefix));
            if !keys.is_empty() {
                return Ok(Some(keys));
            }
        }
    }

    /// All pages as one list: for buckets that are known to be small.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    ///
    /// ```
    /// # let answer = samovar_sdk::testing::Host::new().kv("orders").call(async {
    /// let orders = samovar_sdk::kv::bucket("orders")?;
    /// assert!(orders.keys("ann/").all().await?.is_empty());
    /// # Ok::<_, samovar_sdk::Error>(())
    /// # });
    /// # assert_eq!(answer.status, 200);
    /// ```
    pub async fn all(mut self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        while let Some(mut keys) = self.next().await? {
            all.append(&mut keys);
        }
        Ok(all)
    }
}
