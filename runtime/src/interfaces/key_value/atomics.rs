//! `wasi:keyvalue/atomics`: counting, and writing only what nobody else has written meanwhile.

use bytes::Bytes;
use samovar_cluster::key_value::{Entry, Swapped, check};
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource, ResourceType, WasmList, WasmStr};
use wasmtime_wasi::WasiView;

use super::store::taken;
use super::{Answer, Context, Draft, Error, OpenBucket, Use, push, using, value};
use crate::guest::Guest;

pub(super) fn add_to_linker(atomics: &mut LinkerInstance<'_, Guest>, draft: Draft) -> wasmtime::Result<()> {
    if draft == Draft::First {
        return atomics.func_wrap_async("increment", |context, params| Box::new(increment_unsigned(context, params)));
    }
    atomics.resource("cas", ResourceType::host::<Cas>(), |mut context, rep| {
        context.data_mut().ctx().table.delete(Resource::<Cas>::new_own(rep))?;
        Ok(())
    })?;
    atomics.func_wrap_async("increment", |context, params| Box::new(increment(context, params)))?;
    atomics.func_wrap_async("[static]cas.new", |context, params| Box::new(begin(context, params)))?;
    atomics.func_wrap_async("[method]cas.current", |context, params| Box::new(current(context, params)))?;
    atomics.func_wrap_async("swap", |context, params| Box::new(swap(context, params)))
}

impl Use {
    async fn increment(&self, key: &str, by: i64) -> Result<i64, Error> {
        check(key, None)?;
        Ok(self.store.increment(&self.bucket, key, by).await?)
    }
}

async fn increment(mut context: Context<'_>, (bucket, key, by): (Resource<OpenBucket>, WasmStr, i64)) -> Answer<i64> {
    let bucket = using(&mut context, &bucket)?;
    let key = key.to_str(&context)?.into_owned();
    Ok((bucket.increment(&key, by).await,))
}

/// The first draft's counters are never negative; here they are the same as the second's.
async fn increment_unsigned(
    mut context: Context<'_>,
    (bucket, key, by): (Resource<OpenBucket>, WasmStr, u64),
) -> Answer<u64> {
    let bucket = using(&mut context, &bucket)?;
    let key = key.to_str(&context)?.into_owned();
    let Ok(by) = i64::try_from(by) else {
        return Ok((Err(Error::Other(format!("key `{key}`: cannot count by {by}, {} at most", i64::MAX))),));
    };
    let count = bucket.increment(&key, by).await.and_then(|count| {
        let negative =
            |_| Error::Other(format!("key `{key}`: the counter is negative ({count}), which this version cannot tell"));
        u64::try_from(count).map_err(negative)
    });
    Ok((count,))
}

/// What stands behind the resource `cas`: a key as it was when the guest looked at it.
struct Cas {
    bucket: Use,
    key: String,
    /// What a swap must find.
    version: u64,
    /// The value that was read with it, if it is short: a handle must not hold a megabyte of the host's memory.
    value: Option<Option<Bytes>>,
}

/// The longest value that a handle keeps for `current`; a longer one is read again.
const KEPT_BYTES: usize = 4 << 10;

impl Cas {
    fn new(bucket: Use, key: String, entry: Option<Entry>) -> Self {
        let version = entry.as_ref().map_or(0, |entry| entry.version);
        let value = value(entry);
        let is_short = value.as_ref().is_none_or(|value| value.len() <= KEPT_BYTES);
        Self { bucket, key, version, value: is_short.then_some(value) }
    }
}

async fn begin(mut context: Context<'_>, (bucket, key): (Resource<OpenBucket>, WasmStr)) -> Answer<Resource<Cas>> {
    let bucket = using(&mut context, &bucket)?;
    let key = key.to_str(&context)?.into_owned();
    let entry = bucket.get(&key).await;
    Ok((entry.and_then(|entry| push(&mut context, Cas::new(bucket, key, entry))),))
}

/// The value that a swap would replace. Where it has to be read again, the swap goes by what was read now: that is what the
/// guest makes its new value of.
async fn current(mut context: Context<'_>, (id,): (Resource<Cas>,)) -> Answer<Option<Bytes>> {
    let cas = context.data_mut().ctx().table.get_mut(&id)?;
    if let Some(value) = cas.value.take() {
        return Ok((Ok(value),));
    }
    let (bucket, key) = (cas.bucket.clone(), cas.key.clone());
    let entry = match bucket.get(&key).await {
        Ok(entry) => entry,
        Err(error) => return Ok((Err(error),)),
    };
    context.data_mut().ctx().table.get_mut(&id)?.version = entry.as_ref().map_or(0, |entry| entry.version);
    Ok((Ok(value(entry)),))
}

/// `cas-error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    Store(Error),
    /// With a new handle, for another attempt.
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}

async fn swap(
    mut context: Context<'_>,
    (id, value): (Resource<Cas>, WasmList<u8>),
) -> wasmtime::Result<(Result<(), CasError>,)> {
    let cas = context.data_mut().ctx().table.delete(id)?;
    let value = taken(&context, &cas.key, &value);
    let swapped = match value {
        Ok(value) => cas.swap(value).await,
        Err(error) => Err(error),
    };
    Ok((match swapped {
        Ok(None) => Ok(()),
        Ok(Some(again)) => Err(push(&mut context, again).map_or_else(CasError::Store, CasError::Failed)),
        Err(error) => Err(CasError::Store(error)),
    },))
}

impl Cas {
    /// Writes the value; or gives a handle to what has been written in its place.
    async fn swap(self, value: Bytes) -> Result<Option<Self>, Error> {
        let Self { bucket, key, version, .. } = self;
        match bucket.store.swap(&bucket.bucket, &key, version, value).await? {
            Swapped::Done => Ok(None),
            Swapped::Outdated => {
                let entry = bucket.get(&key).await?;
                Ok(Some(Self::new(bucket, key, entry)))
            }
        }
    }
}
