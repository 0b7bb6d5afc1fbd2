//! Does one thing with a bucket, many times over: `/values/ACTION/TIMES`. Answers `done`.

use samovar_sdk::{Error, Request, Result, handler, kv};

/// Keys that are chosen from at random, and the size of their values in bytes: as in `cluster/benches/key_value.rs`.
const KEYS: u32 = 100_000;
const VALUE: [u8; 100] = [7; 100];
/// Counters, each of which many invocations want at once.
const COUNTERS: u32 = 8;

#[handler]
async fn values(req: Request) -> Result<&'static str> {
    let mut path = req.uri().path().trim_start_matches("/values/").split('/');
    let (action, times) = (path.next().unwrap_or_default(), path.next().unwrap_or("1").parse::<u32>()?);
    let bucket = kv::bucket("bench")?;
    for _ in 0..times {
        match action {
            // All keys, in changes of some hundreds.
            "fill" => {
                for first in (0..KEYS).step_by(500) {
                    bucket.set_many((first..first + 500).map(|number| (key(number), VALUE))).await?;
                }
            }
            "write" => bucket.set(&key(fastrand::u32(..KEYS)), VALUE).await?,
            "read" => drop(bucket.get(&key(fastrand::u32(..KEYS))).await?.ok_or_else(|| Error::internal("no value"))?),
            "count" => drop(bucket.increment(&format!("counter-{}", fastrand::u32(..COUNTERS)), 1).await?),
            "nothing" => drop(key(fastrand::u32(..KEYS))),
            _ => return Err(Error::not_found("fill, write, read, count or nothing")),
        }
    }
    Ok("done")
}

fn key(number: u32) -> String {
    format!("key-{number:08}")
}
