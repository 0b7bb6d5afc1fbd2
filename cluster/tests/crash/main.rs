//! What is acknowledged is there: after a kill at a random moment, and after a disk that was full.
#![allow(clippy::unwrap_used, reason = "a test that meets an error should stop there")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use samovar_cluster::KeyValue;
use samovar_cluster::embedded::{DataDir, EmbeddedKeyValue};
use samovar_model::{Bucket, BucketGrant};

const WRITER: &str = env!("CARGO_BIN_EXE_key_value_writer");
const ROUNDS: usize = 100;
const WRITERS: usize = 8;

fn bucket() -> Bucket {
    BucketGrant::default().bucket(&"crash".parse().unwrap(), &"test".parse().unwrap())
}

async fn text(store: &dyn KeyValue, key: &str) -> Option<String> {
    let entry = store.get(&bucket(), key).await.unwrap()?;
    Some(String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn number(store: &dyn KeyValue, key: &str) -> u64 {
    text(store, key).await.map_or(0, |text| text.parse().unwrap())
}

fn start(dir: &Path) -> Child {
    let mut command = Command::new(WRITER);
    command.arg("count").arg(dir).arg(WRITERS.to_string()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Lets a process write for this long, kills it, and answers the last count that each writer was told.
fn killed_after(dir: &Path, time: Duration) -> [u64; WRITERS] {
    let mut process = start(dir);
    let output = BufReader::new(process.stdout.take().unwrap());
    let mut told = [0; WRITERS];
    let mut lines = output.lines();
    // The time runs from the first write: before, there is nothing to lose.
    let first = lines.next();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(time);
        process.kill().unwrap();
        process.wait().unwrap();
    });
    for line in first.into_iter().chain(lines) {
        let line = line.unwrap();
        let (writer, count) = line.split_once(' ').unwrap();
        told[writer.parse::<usize>().unwrap()] = count.parse().unwrap();
    }
    killer.join().unwrap();
    told
}

#[tokio::test]
async fn every_acknowledged_write_survives_a_kill_in_a_hundred_rounds() {
    let temp = tempfile::tempdir().unwrap();
    let (mut told, mut random) = ([0; WRITERS], 0x9e37_79b9_7f4a_7c15_u64);
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let counts = killed_after(temp.path(), Duration::from_micros((random >> 33) % 100_000));
        for (told, count) in told.iter_mut().zip(counts) {
            *told = count.max(*told);
        }
        let store = EmbeddedKeyValue::open(&DataDir::open(temp.path()).unwrap()).unwrap();
        let mut sum = 0;
        for (writer, told) in told.iter_mut().enumerate() {
            let count = number(&store, &format!("counter-{writer}")).await;
            assert!((*told..=*told + 1).contains(&count), "round {round}, writer {writer}: {count}, told {told}");
            let long = text(&store, &format!("long-{writer}")).await.unwrap_or_default();
            let noted = long.split(' ').next().unwrap().parse().unwrap_or(0);
            assert!(
                (count.saturating_sub(1)..=count).contains(&noted),
                "round {round}, writer {writer}: {noted} noted"
            );
            assert!(noted == 0 || long == format!("{noted} ").repeat(1000), "round {round}, writer {writer}: torn");
            sum += count;
            *told = count;
        }
        let all = number(&store, "all").await;
        // Each kill may have met each writer between its own counter and the shared one.
        let least = sum.saturating_sub((WRITERS * (round + 1)) as u64);
        assert!((least..=sum).contains(&all), "round {round}: {all} in all, {sum} counted");
    }
    assert!(told.iter().all(|told| *told > ROUNDS as u64), "hardly anything was written: {told:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_nothing_and_the_store_goes_on_once_there_is_room() {
    let temp = tempfile::tempdir().unwrap();
    // No file of the process may be longer than 4 MiB; being told of it would end the process.
    let limited = "trap '' XFSZ; ulimit -S -f 8192; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    let output = command.args(["-c", limited, WRITER, "fill"]).arg(temp.path()).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}\n{err}");
    let refused = out.lines().last().unwrap();
    assert!(refused.contains("File too large"), "{refused}");
    let store = EmbeddedKeyValue::open(&DataDir::open(temp.path()).unwrap()).unwrap();
    let written = out.lines().filter(|line| line.ends_with(" 0")).count();
    assert!(written > 50, "{out}");
    for number in 0..written {
        assert!(store.get(&bucket(), &format!("key-{number}")).await.unwrap().is_some(), "key-{number}");
    }
}
