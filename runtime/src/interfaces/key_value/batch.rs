//! `wasi:keyvalue/batch`: many keys in one call, as far as the host's memory allows.

use bytes::Bytes;
use samovar_cluster::key_value::{Entry, Write, check};
use wasmtime::component::{LinkerInstance, Resource, WasmList, WasmStr};

use super::store::taken;
use super::{Answer, Context, Draft, Error, OpenBucket, Use, using, value};
use crate::guest::Guest;

/// Keys that one call may name.
const MAX_KEYS: usize = 1_000;

/// What the keys and values of one call may have together: so much may the host hold for one call.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// Keys that are read at once. Their values, however long, may be more than the call's limit; those of the next ones are not
/// read any more.
const READ_AT_ONCE: usize = 8;

pub(super) fn add_to_linker(batch: &mut LinkerInstance<'_, Guest>, draft: Draft) -> wasmtime::Result<()> {
    let get = "get-many";
    match draft {
        Draft::First => batch.func_wrap_async(get, |context, params| Box::new(get_found(context, params)))?,
        Draft::Second => batch.func_wrap_async(get, |context, params| Box::new(get_each(context, params)))?,
    }
    batch.func_wrap_async("set-many", |context, params| Box::new(set_many(context, params)))?;
    batch.func_wrap_async("delete-many", |context, params| Box::new(delete_many(context, params)))
}

/// Adds up what a call holds.
#[derive(Default)]
struct Held(usize);

impl Held {
    fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.0 += bytes;
        if self.0 <= MAX_BATCH_BYTES {
            return Ok(());
        }
        Err(Error::Other(format!(
            "a batch of more than {MAX_BATCH_BYTES} bytes of keys and values: name fewer keys at once"
        )))
    }
}

fn few_enough(keys: usize) -> Result<(), Error> {
    if keys <= MAX_KEYS {
        return Ok(());
    }
    Err(Error::Other(format!("a batch of {keys} keys, {MAX_KEYS} at most")))
}

type Keys = (Resource<OpenBucket>, WasmList<WasmStr>);

/// Copies the keys out of the guest's memory, if there are not too many.
fn keys(context: &mut Context<'_>, given: &WasmList<WasmStr>) -> wasmtime::Result<Result<Vec<String>, Error>> {
    if let Err(error) = few_enough(given.len()) {
        return Ok(Err(error));
    }
    let mut keys = Vec::with_capacity(given.len());
    for index in 0..given.len() {
        let Some(key) = given.get(&mut *context, index) else { break };
        let key = key?.to_str(&*context)?.into_owned();
        if let Err(error) = check(&key, None) {
            return Ok(Err(error.into()));
        }
        keys.push(key);
    }
    Ok(Ok(keys))
}

impl Use {
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, Error> {
        let (mut values, mut held) = (Vec::with_capacity(keys.len()), Held::default());
        for keys in keys.chunks(READ_AT_ONCE) {
            let entries = self.store.get_many(&self.bucket, keys).await?;
            let bytes = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.value.len());
            held.add(entries.iter().map(bytes).sum())?;
            values.extend(entries.into_iter().map(value));
        }
        Ok(values)
    }
}

async fn read(
    context: &mut Context<'_>,
    (bucket, given): Keys,
) -> wasmtime::Result<Result<(Vec<String>, Vec<Option<Bytes>>), Error>> {
    let bucket = using(context, &bucket)?;
    let keys = match keys(context, &given)? {
        Ok(keys) => keys,
        Err(error) => return Ok(Err(error)),
    };
    Ok(bucket.get_many(&keys).await.map(|values| (keys, values)))
}

/// The first draft names a key only where it has a value.
async fn get_found(mut context: Context<'_>, params: Keys) -> Answer<Vec<Option<(String, Bytes)>>> {
    let found = read(&mut context, params).await?;
    let pairs = |(keys, values): (Vec<String>, Vec<Option<Bytes>>)| {
        keys.into_iter().zip(values).map(|(key, value)| value.map(|value| (key, value))).collect()
    };
    Ok((found.map(pairs),))
}

/// The second draft names every key.
async fn get_each(mut context: Context<'_>, params: Keys) -> Answer<Vec<(String, Option<Bytes>)>> {
    let found = read(&mut context, params).await?;
    Ok((found.map(|(keys, values)| keys.into_iter().zip(values).collect()),))
}

type Pairs = (Resource<OpenBucket>, WasmList<(WasmStr, WasmList<u8>)>);

async fn set_many(mut context: Context<'_>, (bucket, given): Pairs) -> Answer<()> {
    let bucket = using(&mut context, &bucket)?;
    Ok((match writes(&mut context, &given)? {
        Ok(writes) => bucket.write(writes).await,
        Err(error) => Err(error),
    },))
}

/// Copies keys and values out of the guest's memory, if they are not too many or too long.
fn writes(
    context: &mut Context<'_>,
    given: &WasmList<(WasmStr, WasmList<u8>)>,
) -> wasmtime::Result<Result<Vec<Write>, Error>> {
    if let Err(error) = few_enough(given.len()) {
        return Ok(Err(error));
    }
    let (mut writes, mut held) = (Vec::with_capacity(given.len()), Held::default());
    for index in 0..given.len() {
        let Some(pair) = given.get(&mut *context, index) else { break };
        let (key, value) = pair?;
        let key = key.to_str(&*context)?.into_owned();
        let taken = held.add(key.len() + value.len()).and_then(|()| taken(context, &key, &value));
        match taken {
            Ok(value) => writes.push(Write { key, value: Some(value) }),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(writes))
}

async fn delete_many(mut context: Context<'_>, (bucket, given): Keys) -> Answer<()> {
    let bucket = using(&mut context, &bucket)?;
    Ok((match keys(&mut context, &given)? {
        Ok(keys) => bucket.write(keys.into_iter().map(|key| Write { key, value: None }).collect()).await,
        Err(error) => Err(error),
    },))
}
