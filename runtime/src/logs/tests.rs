use super::*;

fn function() -> FunctionName {
    "hello".parse().expect("valid name")
}

fn store(bytes: u64) -> (tempfile::TempDir, LogStore) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = LogStore::open(dir.path().join("logs"), bytes).expect("opens");
    (dir, store)
}

fn texts(reader: &LogReader) -> Vec<&str> {
    reader.past.iter().map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn lines_are_read_in_order_and_survive_reopening() {
    let (dir, store) = store(1 << 20);
    let sink = store.sink(&function(), RevisionNumber(3));
    for text in ["one", "two"] {
        sink.write(7, None, LogStream::Stdout, text.to_owned());
    }
    assert_eq!(texts(&store.read(&function(), None, false).await), ["one", "two"]);
    let reopened = LogStore::open(dir.path().join("logs"), 1 << 20).expect("opens again");
    let reader = reopened.read(&function(), None, false).await;
    assert_eq!(texts(&reader), ["one", "two"]);
    assert_eq!((reader.past[0].revision, reader.past[0].instance), (3, 7));
}

#[tokio::test]
async fn a_follower_sees_every_line_after_the_past_just_once() {
    let (_dir, store) = store(1 << 20);
    let sink = store.sink(&function(), RevisionNumber(1));
    sink.write(1, None, LogStream::Stdout, "before".to_owned());
    let reader = store.read(&function(), None, true).await;
    assert_eq!(texts(&reader), ["before"]);
    sink.write(1, None, LogStream::Stdout, "after".to_owned());
    let line = reader.future.expect("following").recv().await.expect("a line");
    assert_eq!(line.text, "after");
}

#[tokio::test]
async fn the_log_keeps_the_newest_lines_within_its_bound() {
    let (dir, store) = store(4_000);
    let sink = store.sink(&function(), RevisionNumber(1));
    for number in 0..200 {
        sink.write(1, None, LogStream::Stdout, format!("line {number}"));
        if number % 20 == 0 {
            store.read(&function(), None, false).await;
        }
    }
    let reader = store.read(&function(), None, false).await;
    assert_eq!(reader.past.last().expect("lines").text, "line 199");
    assert!(reader.past.len() < 60, "{} lines kept", reader.past.len());
    let files = std::fs::read_dir(dir.path().join("logs/hello")).expect("directory");
    let bytes: u64 = files.map(|file| file.expect("file").metadata().expect("metadata").len()).sum();
    assert!(bytes <= 4_000, "{bytes} bytes on disk");
}

#[tokio::test]
async fn what_is_too_much_at_once_is_dropped_and_counted() {
    let (_dir, store) = store(64 << 20);
    let sink = store.sink(&function(), RevisionNumber(1));
    let text = "x".repeat(8_000);
    for _ in 0..10_000 {
        sink.write(1, None, LogStream::Stdout, text.clone());
    }
    store.read(&function(), None, false).await;
    sink.write(1, None, LogStream::Stdout, "last".to_owned());
    let reader = store.read(&function(), None, false).await;
    let notices = reader.past.iter().filter(|line| line.text.contains("lines dropped")).count();
    assert!(notices > 0, "80 MB at once were taken without a word");
    assert_eq!(reader.past.last().expect("lines").text, "last");
}

#[tokio::test]
async fn since_leaves_out_what_is_older() {
    let (_dir, store) = store(1 << 20);
    let sink = store.sink(&function(), RevisionNumber(1));
    sink.write(1, None, LogStream::Stdout, "old".to_owned());
    store.read(&function(), None, false).await;
    let now = Timestamp::now();
    sink.write(1, None, LogStream::Stdout, "new".to_owned());
    assert_eq!(texts(&store.read(&function(), Some(now), false).await), ["new"]);
}
