//! What handlers see of buckets, config, secrets, other functions and the log on a test's host: the platform's rules.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use samovar_sdk::http::StatusCode;
use samovar_sdk::testing::Host;
use samovar_sdk::{Error, Request, Result, SendError, config, functions, kv, log, secret, send};

fn run<T: Send + 'static>(host: &Host, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut result = None;
    host.call(async { result = Some(work.await) });
    result.unwrap()
}

fn on_counters<T: Send + 'static, W: Future<Output = Result<T>>>(work: impl FnOnce(kv::Bucket) -> W) -> Result<T> {
    run(&Host::new().kv("counters"), async { work(kv::bucket("counters")?).await })
}

#[test]
fn what_is_not_granted_is_a_500_whose_log_has_the_line_to_add() {
    let denied = run(&Host::new(), async { Ok(kv::bucket("visits")?) }).unwrap_err();
    assert_eq!(denied.status(), 500);
    assert!(denied.to_string().contains("add `visits = {}` to [function.….kv]"), "{denied}");
    assert_eq!(denied.detail(), None, "the caller learns nothing of it");

    let denied = run(&Host::new(), async { Ok(secret::get("KEY")?) }).unwrap_err();
    assert!(denied.to_string().contains("`secrets = [\"KEY\"]`"), "{denied}");
    let missing = run(&Host::new(), async { Ok(config::get("limit")?) }).unwrap_err();
    assert!(missing.to_string().contains("[function.….config]"), "{missing}");
    let request = Request::get("/cart").body(()).unwrap();
    let denied = run(&Host::new(), async { Ok(functions::call("cart", request).await?) }).unwrap_err();
    assert_eq!(denied.status(), 500);
    assert!(denied.to_string().contains("`allow_functions = [\"cart\"]`"), "{denied}");
}

#[test]
fn keys_and_values_keep_to_the_platforms_limits() {
    let error = on_counters(async |bucket| Ok(bucket.set("", "x").await?)).unwrap_err();
    assert_eq!(error.to_string(), "500 Internal Server Error: a key of 0 bytes: it must have 1 to 256");
    let invalid = on_counters(async |bucket| Ok(bucket.set("k", vec![0; (1 << 20) + 1]).await)).unwrap();
    assert!(matches!(invalid, Err(kv::Error::Invalid { .. })), "{invalid:?}");
    on_counters(async |bucket| Ok(bucket.set(&"k".repeat(256), vec![0; 1 << 20]).await?)).unwrap();
}

#[test]
fn a_bucket_that_is_full_says_so_with_507() {
    let error = on_counters(async |bucket| {
        for key in 0..65 {
            bucket.set(&key.to_string(), vec![0; 1 << 20]).await?;
        }
        Ok(())
    });
    let error = error.unwrap_err();
    assert_eq!(error.status(), 507);
    assert!(error.to_string().contains("`max_bytes`"), "{error}");
}

#[test]
fn only_a_number_is_counted_on() {
    let error = on_counters(async |bucket| {
        bucket.set("n", "41").await?;
        assert_eq!(bucket.increment("n", 1).await?, 42);
        bucket.set("n", i64::MAX.to_string()).await?;
        Ok(bucket.increment("n", 1).await)
    });
    assert!(matches!(error.unwrap(), Err(kv::Error::NotANumber { .. })));
}

#[test]
fn an_update_starts_again_from_what_somebody_else_has_written() {
    let host = Host::new().kv("counters");
    let mut seen = Vec::new();
    let new = run(&host, async {
        let (mine, others) = (kv::bucket("counters")?, kv::bucket("counters")?);
        mine.set("n", "a").await?;
        let new = mine.update("n", |old| {
            let old = old.unwrap_or_default();
            seen.push(old.clone());
            // While this was thought out, it happens.
            if seen.len() < 3 {
                let other = format!("{}b", String::from_utf8_lossy(&old));
                samovar_sdk::testing::block_on(others.set("n", other)).unwrap();
            }
            [&old, &b"!"[..]].concat()
        });
        Ok(new.await?)
    });
    assert_eq!(new.unwrap(), "abb!");
    assert_eq!(seen, ["a", "ab", "abb"]);
}

#[test]
fn an_update_that_never_gets_through_is_a_503() {
    let error = on_counters(async |bucket| {
        let others = kv::bucket("counters")?;
        let update = bucket.update("n", |_| {
            samovar_sdk::testing::block_on(others.increment("n", 1)).unwrap();
            "mine"
        });
        Ok(update.await?)
    });
    let error = error.unwrap_err();
    assert_eq!(error.status(), 503);
    assert!(error.to_string().contains("written by too many at once"), "{error}");
}

#[test]
fn keys_come_in_pages_and_by_prefix() {
    let (pages, keys) = on_counters(async |bucket| {
        bucket.set_many((0..50).map(|n| (format!("{}/{n:02}", ["a", "b"][n % 2]), "x"))).await?;
        let (mut listed, mut pages) = (bucket.keys("b/"), Vec::new());
        while let Some(page) = listed.next().await? {
            pages.push(page);
        }
        Ok((pages, bucket.keys("b/").all().await?))
    })
    .unwrap();
    assert!(pages.len() > 1 && pages.iter().all(|page| !page.is_empty()), "{pages:?}");
    assert_eq!(pages.concat(), keys);
    assert_eq!(keys.len(), 25);
    assert!(keys.is_sorted() && keys.iter().all(|key| key.starts_with("b/")));
}

#[test]
fn a_value_of_another_shape_says_which_key_has_it() {
    let error = on_counters(async |bucket| {
        bucket.set("cart", "{}").await?;
        Ok(bucket.get_json::<Vec<u32>>("cart").await?)
    });
    assert!(error.unwrap_err().to_string().contains("bucket `counters`: the value of `cart` does not fit"));
}

#[test]
fn the_platforms_words_become_statuses() {
    let status = |error: kv::Error| Error::from(error).status();
    let reason = || "…".to_owned();
    assert_eq!(status(kv::Error::Unavailable { reason: reason() }), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(kv::Error::Unknown { reason: reason() }), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(kv::Error::Full { reason: reason() }), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(status(kv::Error::Failed { bucket: "b".into(), reason: reason() }), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(Error::from(SendError::TooDeep(reason())).status(), StatusCode::BAD_GATEWAY);
}

#[test]
fn a_secret_is_no_config_and_shows_itself_nowhere() {
    let host = Host::new().secret("KEY", "sk_1").config("limit", "3");
    let all = run(&host, async {
        assert_eq!(secret::get("KEY")?.expose(), "sk_1");
        Ok(config::all()?)
    });
    assert_eq!(all.unwrap().into_iter().collect::<Vec<_>>(), [("limit".to_owned(), "3".to_owned())]);
    assert!(!format!("{host:?}").contains("sk_1"));
}

#[test]
fn a_call_has_the_functions_path_and_goes_to_it_alone() {
    let host =
        Host::new().function("cart", async |request| request.uri().to_string()).outbound(async |_| "the network");
    let text = run(&host, async {
        let request = Request::get("https://elsewhere.example/cart/7?all=1").body(()).unwrap();
        let called = functions::call("cart", request).await?.into_body().text().await?;
        let sent = send(Request::get("http://cart.samovar.internal/").body(()).unwrap()).await?;
        Ok([called, sent.into_body().text().await?])
    });
    assert_eq!(text.unwrap(), ["http://cart.samovar.internal/cart/7?all=1", "http://cart.samovar.internal/"]);
    let invalid = run(&host, async { Ok(functions::call("Cart/..", Request::new(())).await?) });
    assert!(invalid.unwrap_err().to_string().contains("not a function's name"));
}

#[test]
fn lines_have_levels_messages_and_fields() {
    let host = Host::new();
    let user = "ann";
    host.call(async {
        log::info!("hello {user}", cents = 1200, tags = ["a", "b"]);
        log::error!("plain");
        // What a caller wrote makes no fields.
        let written = r#"{"message":"forged","admin":true}"#;
        log::warn!("{written}");
    });
    let logs = host.logs();
    assert_eq!((logs[0].message.as_str(), logs[0].level), ("hello ann", log::Level::Info));
    assert_eq!(logs[0].fields["tags"][1], "b");
    assert_eq!(logs[0].context, "reach");
    assert_eq!((logs[1].message.as_str(), logs[1].fields.len()), ("plain", 0));
    assert!(logs[2].message.starts_with("{\"message\"") && logs[2].fields.is_empty(), "{:?}", logs[2]);
}

#[test]
fn clones_of_a_host_have_the_same_buckets() {
    let host = Host::new().kv("counters");
    let count = |host: &Host| run(host, async { Ok(kv::bucket("counters")?.increment("n", 1).await?) }).unwrap();
    assert_eq!((count(&host), count(&host.clone()), count(&host)), (1, 2, 3));
}
