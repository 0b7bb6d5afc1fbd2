//! `wasi:keyvalue` in both drafts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use samovar_model::Fault;

use crate::rig::Rig;

const SHOP: &str = "[function.shop.kv]\ndefault = {}\ncarts = {}";

#[tokio::test]
async fn values_are_written_read_and_deleted() {
    let rig = Rig::start();
    let shop = rig.function("kv", SHOP).await;
    for (query, answer) in [
        ("do=get&key=a", "nothing"),
        ("do=exists&key=a", "false"),
        ("do=set&key=a&value=1", "set"),
        ("do=get&key=a", "1"),
        ("do=exists&key=a", "true"),
        ("do=get&key=a&bucket=carts", "nothing"),
        ("do=increment&key=a&by=41", "42"),
        ("do=increment&key=a&by=-50", "-8"),
        ("do=delete&key=a", "deleted"),
        ("do=delete&key=a", "deleted"),
        ("do=get&key=a", "nothing"),
        ("do=set-many&key=b,c&value=2", "set"),
        ("do=get-many&key=b,x,c", "b=2 x=nothing c=2"),
        ("do=delete-many&key=b,x", "deleted"),
        ("do=list", "1 c None"),
    ] {
        assert_eq!(shop.call(query).await, answer, "{query}");
    }
}

#[tokio::test]
async fn buckets_are_a_functions_own_unless_they_are_shared() {
    let rig = Rig::start();
    let shop = rig.function("kv", "[function.shop.kv]\ndefault = {}\nall = { shared = \"all\" }").await;
    let bank = rig.function("kv", "[function.bank.kv]\ndefault = {}\neverything = { shared = \"all\" }").await;
    shop.call("do=set&key=a&value=own").await;
    shop.call("do=set&key=a&value=shared&bucket=all").await;
    assert_eq!(bank.call("do=get&key=a").await, "nothing");
    assert_eq!(bank.call("do=get&key=a&bucket=everything").await, "shared");
}

#[tokio::test]
async fn a_bucket_that_is_not_granted_is_refused_and_the_log_names_the_line_to_add() {
    let rig = Rig::start();
    let shop = rig.function("kv", SHOP).await;
    assert_eq!(shop.try_call("do=get&key=a&bucket=orders").await, Ok((409, "Error::AccessDenied".to_owned())));
    assert_eq!(shop.call("do=get&key=a&bucket=or/ders").await, "Error::NoSuchStore");
    let log = shop.log().await;
    let texts: Vec<&str> = log.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "bucket `orders` refused: add it to the manifest, [function.shop.kv] orders = {}",
            "no bucket `or/ders`: not a bucket's name"
        ]
    );
    assert!(log.iter().all(|line| line.request_id.is_some()), "{log:?}");
}

#[tokio::test]
async fn a_host_without_a_store_says_so() {
    let rig = Rig::without_a_store();
    let shop = rig.function("kv", SHOP).await;
    let answer = shop.call("do=get&key=a").await;
    assert!(answer.contains("bucket `default`: this host has no key-value store"), "{answer}");
}

#[tokio::test]
async fn a_store_that_is_away_is_told_for_each_call_and_works_when_it_is_back() {
    let rig = Rig::start();
    let shop = rig.function("kv", SHOP).await;
    shop.call("do=set&key=a&value=1").await;
    rig.store.is_away.store(true, Ordering::SeqCst);
    for query in ["do=get&key=a", "do=set&key=a&value=2", "do=increment&key=a&by=1", "do=swap&key=a&value=x", "do=list"]
    {
        let (status, answer) = shop.try_call(query).await.expect("an answer");
        let told = "Error::Other(\"the key-value store is not available: nobody answers\")";
        assert_eq!((status, answer.as_str()), (409, told), "{query}");
    }
    rig.store.is_away.store(false, Ordering::SeqCst);
    assert_eq!(shop.call("do=get&key=a").await, "1");
}

#[tokio::test]
async fn what_the_store_refuses_is_told_in_its_words() {
    let rig = Rig::start();
    let shop = rig.function("kv", SHOP).await;
    shop.call("do=set&key=a&value=tea").await;
    let long = format!("do=get&key={}", "k".repeat(257));
    for (query, words) in [
        ("do=increment&key=a&by=1", "the value of `a` is not a whole number"),
        ("do=get&key=", "a key of 0 bytes: it must have 1 to 256"),
        (&long, "a key of 257 bytes"),
        ("do=set-large&key=a&bytes=1048577", "a value of 1048577 bytes, 1048576 at most"),
        ("do=hold&times=1000", "drop buckets and handles"),
    ] {
        let (status, answer) = shop.try_call(query).await.expect("an answer");
        assert!(status == 409 && answer.contains(words), "{query}: {status} {answer}");
    }
    assert_eq!(shop.call("do=set-large&key=b&bytes=1048576").await, "set");
}

#[tokio::test]
async fn a_batch_is_bounded_in_keys_and_in_bytes_and_the_host_reads_no_more_than_that() {
    let rig = Rig::start();
    let shop = rig.function("kv", SHOP).await;
    shop.call("do=set-large&key=large&bytes=1048576").await;
    assert_eq!(shop.call("do=get-large&key=large&keys=8").await, (8 << 20).to_string());
    let (status, answer) = shop.try_call("do=get-large&key=large&keys=1000").await.expect("an answer");
    assert!(status == 409 && answer.contains("a batch of more than 8388608 bytes"), "{answer}");
    assert!(rig.store.largest_read.load(Ordering::Relaxed) <= 8 << 20);
    let answer = shop.call("do=get-large&key=large&keys=1001").await;
    assert!(answer.contains("a batch of 1001 keys, 1000 at most"), "{answer}");
}

#[tokio::test]
async fn keys_are_listed_in_pages_in_either_draft() {
    let rig = Rig::start();
    let first = rig.function("kv-draft", "[function.shop.kv]\ndefault = {}").await;
    assert_eq!(first.call("do=fill&keys=2500").await, "filled");
    let all = "2500 keys in 3 pages from Some(\"k000000\") to Some(\"k002499\"), None";
    assert_eq!(first.call("do=list").await, all);
    // A number is good in another bucket, too.
    let page = "1000 keys in 1 pages from Some(\"k001234\") to Some(\"k002233\"), Some(2234)";
    assert_eq!(first.call("do=list&cursor=1234").await, page);
    assert_eq!(first.call("do=list&cursor=2500").await, "0 keys in 1 pages from None to None, None");
    let second = rig.function("kv", "[function.shop.kv]\ndefault = {}").await;
    let page = second.call("do=list&cursor=k001999").await;
    assert!(page.starts_with("500 k002000,k002001") && page.ends_with("k002499 None"), "{page}");
    let page = second.call("do=list").await;
    assert!(page.starts_with("1000 k000000") && page.ends_with("Some(\"k000999\")"), "{page}");
}

#[tokio::test]
async fn the_first_draft_counts_up_from_0_and_names_only_keys_with_values() {
    let rig = Rig::start();
    let first = rig.function("kv-draft", "[function.shop.kv]\ndefault = {}").await;
    assert_eq!(first.call("do=increment&key=n&by=3").await, "3");
    assert_eq!(first.call("do=get-many&key=n,x").await, "[Some((\"n\", [51])), None]");
    let answer = first.call(&format!("do=increment&key=n&by={}", u64::MAX)).await;
    assert!(answer.contains("cannot count by"), "{answer}");
    let second = rig.function("kv", "[function.shop.kv]\ndefault = {}").await;
    assert_eq!(second.call("do=increment&key=n&by=-5").await, "-2");
    let answer = first.call("do=increment&key=n&by=0").await;
    assert!(answer.contains("the counter is negative (-2)"), "{answer}");
}

#[tokio::test]
async fn no_swap_is_lost_among_many_at_once() {
    let rig = Rig::start();
    let shop = rig.function("kv", SHOP).await;
    let swaps = (0..100).map(|_| shop.call("do=swap&key=s&value=x"));
    for answer in futures_util::future::join_all(swaps).await {
        assert!(answer.starts_with("swapped at attempt"), "{answer}");
    }
    assert_eq!(shop.call("do=get&key=s").await, "x".repeat(100));
}

#[tokio::test]
async fn a_swap_of_a_long_value_reads_it_again_and_loses_nothing() {
    let rig = Rig::start();
    let shop = rig.function("kv", SHOP).await;
    shop.call("do=set-large&key=s&bytes=5000").await;
    let swaps = (0..20).map(|_| shop.call("do=swap&key=s&value=x"));
    futures_util::future::join_all(swaps).await;
    assert_eq!(shop.call("do=get&key=s").await.len(), 5020);
}

#[tokio::test]
async fn an_invocation_that_is_given_up_inside_a_call_leaves_nothing_locked() {
    let rig = Rig::start();
    let shop =
        rig.function("kv", "[function.shop.kv]\ndefault = {}\n[function.shop.limits]\ntimeout = \"300ms\"").await;
    shop.call("do=set&key=a&value=1").await;
    rig.store.close();
    let before = rig.store.calls.load(Ordering::SeqCst);
    // One whose caller goes, and one whose time is up.
    let gone = tokio::time::timeout(Duration::from_millis(50), shop.try_call("do=set&key=a&value=2")).await;
    assert!(gone.is_err(), "{gone:?}");
    assert_eq!(shop.try_call("do=swap&key=a&value=2").await, Err(Fault::Deadline(Duration::from_millis(300))));
    assert!(rig.store.calls.load(Ordering::SeqCst) > before, "they were inside");
    rig.store.open();
    assert_eq!(shop.call("do=get&key=a").await, "1");
    assert_eq!(shop.call("do=set&key=a&value=3").await, "set");
}

#[tokio::test]
async fn a_guest_of_wasi_0_3_reaches_the_same() {
    let rig = Rig::start();
    let manifest = "[function.shop.kv]\ndefault = {}\n[function.shop.config]\ngreeting = \"call\"";
    let shop = rig.function("kv3", manifest).await;
    assert_eq!(shop.call("").await, "call 1");
    assert_eq!(shop.call("").await, "call 2");
    let other = rig.function("kv", "[function.shop.kv]\ndefault = {}").await;
    assert_eq!(other.call("do=get&key=calls").await, "2");
    let line = shop.log().await.pop().expect("a line");
    assert_eq!((line.text.as_str(), line.context.as_deref()), ("called", Some("calls")));
    assert_eq!(line.fields.expect("fields")["count"], 2);
}
