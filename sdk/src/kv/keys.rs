//! The keys of a bucket, page by page.
//!
//! The standard interface lists a bucket and knows no prefix. But a cursor of Samovar's is a key that need not be there, and keys
//! come in the order of their bytes: so a listing begins just before the prefix, and ends behind it. Where a host's cursors are
//! something else it refuses the first one, or gives keys in another order: then all of the bucket is read, and what does not fit
//! is left out.

use super::{Bucket, Error, Result};

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
///
/// ```text
/// From => (Sorted | Unsorted | Nothing)      Sorted => (Sorted | Nothing)      Unsorted => (Unsorted | Nothing)
/// ```
#[derive(Debug)]
enum Rest {
    /// All behind this text, which is just before the prefix: if the host takes it.
    From(String),
    /// What is behind this cursor, as far as the prefix goes.
    Sorted(String),
    /// What is behind this cursor, or all there is.
    Unsorted(Option<String>),
    Nothing,
}

impl<'a> Keys<'a> {
    pub(super) fn new(bucket: &'a Bucket, prefix: String) -> Self {
        let rest = just_before(&prefix).map_or(Rest::Unsorted(None), Rest::From);
        Self { bucket, prefix, rest }
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
            let mut keys = match std::mem::replace(&mut self.rest, Rest::Nothing) {
                Rest::From(start) => self.first(start)?,
                Rest::Sorted(cursor) => self.sorted(cursor)?,
                Rest::Unsorted(cursor) => {
                    let (keys, cursor) = self.page(cursor)?;
                    self.rest = cursor.map_or(Rest::Nothing, |cursor| Rest::Unsorted(Some(cursor)));
                    keys
                }
                Rest::Nothing => return Ok(None),
            };
            keys.retain(|key| key.starts_with(&self.prefix));
            if !keys.is_empty() {
                return Ok(Some(keys));
            }
        }
    }

    fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>)> {
        self.bucket.said(self.bucket.opened.list(cursor))
    }

    /// The page in which the prefix begins; empty where the host does not list in order, and all is to be read.
    fn first(&mut self, start: String) -> Result<Vec<String>> {
        match self.page(Some(start.clone())) {
            Ok((keys, cursor)) if are_behind(&start, &keys) => Ok(self.up_to_the_end(keys, cursor)),
            // It is not in Samovar's words that a cursor is refused.
            Ok(_) | Err(Error::Failed { .. }) => {
                self.rest = Rest::Unsorted(None);
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    fn sorted(&mut self, cursor: String) -> Result<Vec<String>> {
        let (keys, cursor) = self.page(Some(cursor))?;
        Ok(self.up_to_the_end(keys, cursor))
    }

    /// Goes on unless the page has come to keys that are behind all with the prefix.
    fn up_to_the_end(&mut self, keys: Vec<String>, cursor: Option<String>) -> Vec<String> {
        let is_over = keys.last().is_some_and(|last| !last.starts_with(&self.prefix) && *last > self.prefix);
        self.rest = cursor.filter(|_| !is_over).map_or(Rest::Nothing, Rest::Sorted);
        keys
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

/// A text before all that begin with the prefix, and as close to them as can be: its last character one lower, and the highest
/// behind it. None where there is no prefix.
fn just_before(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    let last = text.pop()?;
    // In UTF-8 the order of bytes is that of characters, which have a gap.
    let lower = match last {
        '\0' => return Some(text),
        '\u{e000}' => '\u{d7ff}',
        other => char::from_u32(u32::from(other) - 1)?,
    };
    text.extend([lower, char::MAX]);
    Some(text)
}

/// Whether the keys are as a host gives them that lists in order what is behind `start`.
fn are_behind(start: &str, keys: &[String]) -> bool {
    keys.first().is_none_or(|first| first.as_str() > start) && keys.is_sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;

    #[test]
    fn just_before_a_prefix_is_behind_everything_else() {
        for (prefix, keys) in [
            ("user/", ["user", "user.", "user.zzz", "user.\u{ffff}"]),
            ("a", ["", "\u{1}", "`", "`zzz"]),
            ("a\0", ["", "`", "Z", "a"]),
            ("\u{e000}", ["", "\u{d7ff}", "\u{d7fe}", "z"]),
            ("\u{10000}", ["", "\u{ffff}", "\u{e000}", "\u{ffff}z"]),
        ] {
            let start = just_before(prefix).unwrap();
            assert!(start.as_str() < prefix, "{prefix}: {start:?}");
            assert!(keys.iter().all(|key| *key <= start.as_str()), "{prefix}: {start:?}");
        }
        assert_eq!(just_before(""), None);
    }

    #[test]
    fn keys_in_another_order_or_from_the_beginning_are_not_taken_for_those_behind() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert!(are_behind("b", &keys(&["ba", "c"])) && are_behind("b", &[]));
        assert!(!are_behind("b", &keys(&["a", "c"])), "from the beginning");
        assert!(!are_behind("b", &keys(&["d", "c"])), "in no order");
    }

    #[test]
    fn a_prefix_costs_the_pages_that_it_is_in() {
        let host = Host::new().kv("orders");
        host.call(async {
            let orders = crate::kv::bucket("orders")?;
            let all = (0..1000).map(|n| (format!("{}/{n:03}", ["a", "b", "c", "d"][n % 4]), "x"));
            orders.set_many(all.chain([("c/".to_owned(), "x")])).await?;
            assert_eq!(orders.keys("c/00").all().await?, ["c/002", "c/006"]);
            assert_eq!(orders.opened.pages_listed(), 1);
            // The key that is the prefix is one that begins with it.
            assert_eq!(orders.keys("c/").all().await?.len(), 251);
            assert_eq!(orders.opened.pages_listed(), 1 + 251_u64.div_ceil(16));
            assert!(orders.keys("x").all().await?.is_empty());
            assert_eq!(orders.keys("").all().await?.len(), 1001);
            Ok::<_, crate::Error>(())
        });
    }

    #[test]
    fn a_host_whose_cursors_are_no_keys_is_read_from_the_beginning() {
        for refuses in [true, false] {
            let host = Host::new().kv("orders");
            let answer = host.call(async {
                let orders = crate::kv::bucket("orders")?;
                orders.opened.list_as_elsewhere(refuses);
                orders.set_many((0..100).map(|n| (format!("{}/{n}", ["b", "a"][n % 2]), "x"))).await?;
                let mut keys = orders.keys("b/").all().await?;
                keys.sort_unstable_by_key(|key| key[2..].parse::<u32>().ok());
                assert_eq!(keys, (0..100).step_by(2).map(|n| format!("b/{n}")).collect::<Vec<_>>());
                Ok::<_, crate::Error>(())
            });
            assert_eq!(answer.status, 200);
        }
    }
}
