//! The two places where sessions are kept. Each is a type of its own, so that a function that has its sessions in cookies does not
//! import buckets: hosts refuse a component that imports what it is not granted.

use super::record::{Change, Record};
use super::seal::random_id;
use super::{InBucket, InCookie};
use crate::{Result, kv};

/// [`InCookie`] or [`InBucket`], and nothing else.
///
/// ```
/// use samovar_sdk::session::{InBucket, Sessions};
///
/// struct Staff;
///
/// impl Sessions for Staff {
///     type Place = InBucket;
/// }
/// ```
pub trait Place: Keep {}

impl Place for InCookie {}
impl Place for InBucket {}

/// What the caller has sent: nothing, or the session of this cookie.
#[derive(Clone)]
pub struct Visit {
    /// What the cookie said, where it was of use.
    pub(super) came_with: Option<String>,
    pub(super) record: Record,
    /// Made since it was read.
    pub(super) changes: Vec<Change>,
    pub(super) end: End,
}

/// What is to be done beyond keeping the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Keep,
    Renew,
    Destroy,
}

/// What a place does.
pub trait Keep: 'static {
    /// The session of a cookie that says this.
    fn read(bucket: &'static str, cookie: &str) -> impl Future<Output = Result<Option<Record>>>;

    /// Keeps the changes. What the cookie is to say; none where somebody has destroyed the session meanwhile, and it stays so.
    fn keep(bucket: &'static str, visit: &Visit) -> impl Future<Output = Result<Option<String>>>;

    /// Forgets the session of a cookie that says this.
    fn forget(bucket: &'static str, cookie: &str) -> impl Future<Output = Result<()>>;
}

impl Keep for InCookie {
    async fn read(_bucket: &'static str, cookie: &str) -> Result<Option<Record>> {
        Ok(serde_json::from_str(cookie).ok())
    }

    async fn keep(_bucket: &'static str, visit: &Visit) -> Result<Option<String>> {
        Ok(Some(serde_json::to_string(&visit.record)?))
    }

    async fn forget(_bucket: &'static str, _cookie: &str) -> Result<()> {
        Ok(())
    }
}

impl Keep for InBucket {
    /// What is no session's record is as good as none.
    async fn read(bucket: &'static str, id: &str) -> Result<Option<Record>> {
        match kv::bucket(bucket)?.get_json(id).await {
            Err(kv::Error::NotJson { .. } | kv::Error::Invalid { .. }) => Ok(None),
            read => Ok(read?),
        }
    }

    async fn keep(bucket: &'static str, visit: &Visit) -> Result<Option<String>> {
        let bucket = kv::bucket(bucket)?;
        match &visit.came_with {
            Some(id) if visit.end == End::Keep => Ok(merge(&bucket, id, &visit.changes).await?.then(|| id.clone())),
            known => {
                let id = random_id();
                bucket.set_json(&id, &visit.record).await?;
                if let Some(known) = known {
                    bucket.delete(known).await?;
                }
                Ok(Some(id))
            }
        }
    }

    async fn forget(bucket: &'static str, id: &str) -> Result<()> {
        Ok(kv::bucket(bucket)?.delete(id).await?)
    }
}

/// Applies the changes to what is there now, since another request of the same caller may have changed other values. Whether it was
/// there at all.
async fn merge(bucket: &kv::Bucket, id: &str, changes: &[Change]) -> Result<bool> {
    let merged = bucket.try_update_json(id, |now: Option<Record>| {
        let mut now = now.ok_or(NotKept::Destroyed)?;
        changes.iter().cloned().for_each(|change| now.apply(change));
        now.keep();
        Ok(now)
    });
    match merged.await {
        Ok(_) => Ok(true),
        Err(NotKept::Destroyed) => Ok(false),
        Err(NotKept::Failed(error)) => Err(error.into()),
    }
}

enum NotKept {
    Destroyed,
    Failed(kv::Error),
}

impl From<kv::Error> for NotKept {
    fn from(error: kv::Error) -> Self {
        Self::Failed(error)
    }
}
