//! `wasi:keyvalue/store`: opening a bucket; reading, writing and listing it.

use bytes::Bytes;
use samovar_cluster::key_value::{Page, Range, Write, check};
use samovar_model::MAX_VALUE_BYTES;
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource, ResourceType, WasmList, WasmStr};
use wasmtime_wasi::WasiView;

use super::{Answer, Context, Draft, Error, OpenBucket, Use, push, using, value};
use crate::guest::Guest;

/// Keys in one page.
const PAGE_KEYS: usize = 1_000;

pub(super) fn add_to_linker(store: &mut LinkerInstance<'_, Guest>, draft: Draft) -> wasmtime::Result<()> {
    store.resource("bucket", ResourceType::host::<OpenBucket>(), |mut context, rep| {
        context.data_mut().ctx().table.delete(Resource::<OpenBucket>::new_own(rep))?;
        Ok(())
    })?;
    store.func_wrap("open", open)?;
    store.func_wrap_async("[method]bucket.get", |context, params| Box::new(get(context, params)))?;
    store.func_wrap_async("[method]bucket.set", |context, params| Box::new(set(context, params)))?;
    store.func_wrap_async("[method]bucket.delete", |context, params| Box::new(delete(context, params)))?;
    store.func_wrap_async("[method]bucket.exists", |context, params| Box::new(exists(context, params)))?;
    let list = "[method]bucket.list-keys";
    match draft {
        Draft::First => store.func_wrap_async(list, |context, params| Box::new(list_by_number(context, params))),
        Draft::Second => store.func_wrap_async(list, |context, params| Box::new(list_by_key(context, params))),
    }
}

fn open(mut context: Context<'_>, (name,): (WasmStr,)) -> Answer<Resource<OpenBucket>> {
    let guest = context.data();
    let opened = guest.granted.buckets.open(&name.to_str(&context)?);
    let opened = opened.map_err(|(error, line)| {
        if let Some(line) = line {
            guest.log.notice(line);
        }
        error
    });
    Ok((opened.and_then(|bucket| push(&mut context, bucket)),))
}

type Keyed = (Resource<OpenBucket>, WasmStr);

async fn get(mut context: Context<'_>, (bucket, key): Keyed) -> Answer<Option<Bytes>> {
    let bucket = using(&mut context, &bucket)?;
    let key = key.to_str(&context)?.into_owned();
    Ok((bucket.get(&key).await.map(value),))
}

async fn exists(mut context: Context<'_>, (bucket, key): Keyed) -> Answer<bool> {
    let bucket = using(&mut context, &bucket)?;
    let key = key.to_str(&context)?.into_owned();
    Ok((bucket.get(&key).await.map(|entry| entry.is_some()),))
}

async fn delete(mut context: Context<'_>, (bucket, key): Keyed) -> Answer<()> {
    let bucket = using(&mut context, &bucket)?;
    let key = key.to_str(&context)?.into_owned();
    Ok((bucket.write(vec![Write { key, value: None }]).await,))
}

type KeyAndValue = (Resource<OpenBucket>, WasmStr, WasmList<u8>);

async fn set(mut context: Context<'_>, (bucket, key, value): KeyAndValue) -> Answer<()> {
    let bucket = using(&mut context, &bucket)?;
    let key = key.to_str(&context)?.into_owned();
    let value = match taken(&context, &key, &value) {
        Ok(value) => Some(value),
        Err(error) => return Ok((Err(error),)),
    };
    Ok((bucket.write(vec![Write { key, value }]).await,))
}

/// Copies a value out of the guest's memory, unless it is too long to be kept.
pub(super) fn taken(context: &Context<'_>, key: &str, value: &WasmList<u8>) -> Result<Bytes, Error> {
    if value.len() > MAX_VALUE_BYTES {
        let reason = format!("key `{key}`: a value of {} bytes, {MAX_VALUE_BYTES} at most", value.len());
        return Err(Error::Other(reason));
    }
    Ok(Bytes::copy_from_slice(value.as_le_slice(context)))
}

impl Use {
    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<(), Error> {
        for write in &writes {
            check(&write.key, write.value.as_ref())?;
        }
        Ok(self.store.write(&self.bucket, writes).await?)
    }

    async fn page(&self, after: Option<String>, limit: usize) -> Result<Page, Error> {
        let range = Range { prefix: String::new(), after, limit };
        Ok(self.store.list(&self.bucket, range).await?)
    }
}

/// `key-response`, with either cursor.
#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse<C> {
    keys: Vec<String>,
    cursor: Option<C>,
}

/// The second draft's cursor is a key: the page begins behind it. So it is good in any instance and at any time.
async fn list_by_key(
    mut context: Context<'_>,
    (bucket, cursor): (Resource<OpenBucket>, Option<WasmStr>),
) -> Answer<KeyResponse<String>> {
    let bucket = using(&mut context, &bucket)?;
    let after = cursor.map(|cursor| Ok::<_, wasmtime::Error>(cursor.to_str(&context)?.into_owned())).transpose()?;
    let page = match bucket.page(after, PAGE_KEYS).await {
        Ok(page) => page,
        Err(error) => return Ok((Err(error),)),
    };
    let cursor = if page.more { page.keys.last().cloned() } else { None };
    Ok((Ok(KeyResponse { keys: page.keys, cursor }),))
}

/// The first draft's cursor is a number: of the keys that were listed before. The one who goes on with the bucket at hand goes
/// on behind the last key; anybody else has to count.
async fn list_by_number(
    mut context: Context<'_>,
    (id, cursor): (Resource<OpenBucket>, Option<u64>),
) -> Answer<KeyResponse<u64>> {
    let bucket = using(&mut context, &id)?;
    let begun = cursor.unwrap_or(0);
    let listed_last = context.data_mut().ctx().table.get_mut(&id)?.page.take();
    let page = match listed_last {
        Some((listed, key)) if listed == begun => bucket.page(Some(key), PAGE_KEYS).await,
        _ => bucket.page_at(begun).await,
    };
    let page = match page {
        Ok(page) => page,
        Err(error) => return Ok((Err(error),)),
    };
    let cursor = page.more.then(|| begun.saturating_add(page.keys.len() as u64));
    if let (Some(cursor), Some(key)) = (cursor, page.keys.last()) {
        context.data_mut().ctx().table.get_mut(&id)?.page = Some((cursor, key.clone()));
    }
    Ok((Ok(KeyResponse { keys: page.keys, cursor }),))
}

impl Use {
    /// The page behind so many keys.
    async fn page_at(&self, mut skipped: u64) -> Result<Page, Error> {
        let mut after = None;
        while skipped > 0 {
            let limit = usize::try_from(skipped).unwrap_or(usize::MAX).min(PAGE_KEYS);
            let mut page = self.page(after, limit).await?;
            skipped -= (page.keys.len() as u64).min(skipped);
            after = page.keys.pop();
            if !page.more || after.is_none() {
                return Ok(Page::default());
            }
        }
        self.page(after, PAGE_KEYS).await
    }
}
