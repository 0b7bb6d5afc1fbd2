//! Buckets and values through the control API.

use axum::body::Body;
use base64::Engine as _;
use http::Method;
use samovar_model::api::{BucketList, Imported, KeyPage};
use serde_json::json;

use crate::harness::{Answer, Api, problem};

/// A function `shop` that is granted `sessions`, for an hour, and `all`, which is shared.
async fn shop() -> Api {
    let api = Api::start();
    let settings = json!({"kv": {"sessions": {"ttl": "1h", "max_bytes": "4KiB"}, "ours": {"shared": "all"}}});
    let deployed = api.try_deploy("shop", "0.2 one", settings).await;
    assert!(deployed.status.is_success(), "{deployed:?}");
    api
}

async fn put(api: &Api, path: &str, value: impl Into<Body>) -> Answer {
    api.send(Api::request(Method::PUT, path, value)).await
}

#[tokio::test]
async fn a_value_is_put_got_and_deleted_byte_by_byte() {
    let api = shop().await;
    let (path, value) = ("/v1/kv/shop%2Fsessions/values/a%2Fb%20%C3%A4%00", vec![0, 255, 10, 13]);
    assert_eq!(put(&api, path, value.clone()).await.status, 204);
    let got = api.get(path).await;
    assert_eq!((got.status.as_u16(), got.body.as_ref()), (200, value.as_slice()));
    assert_eq!(got.headers["content-type"], "application/octet-stream");
    assert!(got.headers.contains_key("etag"));
    let page: KeyPage = api.get("/v1/kv/shop%2Fsessions/keys").await.json();
    assert_eq!(page, KeyPage { keys: vec!["a/b ä\0".to_owned()], more: false });
    assert_eq!(api.delete(path).await.status, 204);
    let gone = api.get(path).await.problem();
    assert_eq!(gone, problem(404, "no-such-value", "bucket `shop/sessions` has no key `a/b ä\0`"));
    assert_eq!(api.delete(path).await.status, 204);
}

#[tokio::test]
async fn keys_are_listed_in_pages() {
    let api = shop().await;
    for key in ["a1", "a2", "a3", "b1"] {
        assert_eq!(put(&api, &format!("/v1/kv/all/values/{key}"), "x").await.status, 204);
    }
    let page: KeyPage = api.get("/v1/kv/all/keys?prefix=a&limit=2").await.json();
    assert_eq!(page, KeyPage { keys: vec!["a1".to_owned(), "a2".to_owned()], more: true });
    let page: KeyPage = api.get("/v1/kv/all/keys?prefix=a&limit=2&after=a2").await.json();
    assert_eq!(page, KeyPage { keys: vec!["a3".to_owned()], more: false });
    for bad in ["limit=0", "limit=10001", "limit=x", "page=2"] {
        assert_eq!(api.get(&format!("/v1/kv/all/keys?{bad}")).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn buckets_are_listed_with_what_they_hold_and_their_rules() {
    let api = shop().await;
    put(&api, "/v1/kv/shop%2Fsessions/values/key", "value").await;
    let list: BucketList = api.get("/v1/kv").await.json();
    let shown = serde_json::to_value(&list.buckets).unwrap();
    let rules = json!({"ttl": "1h", "max_bytes": "4KiB", "durability": "sync"});
    let shared = json!({"max_bytes": "64MiB", "durability": "sync"});
    let expected = json!([
        {"bucket": "shop/sessions", "keys": 1, "bytes": 8, "functions": ["shop"], "rules": rules},
        {"bucket": "all", "keys": 0, "bytes": 0, "functions": ["shop"], "rules": shared},
    ]);
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn what_no_function_is_granted_any_more_can_be_read_and_cleared_and_takes_no_values() {
    let api = shop().await;
    put(&api, "/v1/kv/shop%2Fsessions/values/key", "value").await;
    assert_eq!(api.delete("/v1/functions/shop").await.status, 204);
    assert_eq!(api.get("/v1/kv/shop%2Fsessions/values/key").await.text(), "value");
    let list: BucketList = api.get("/v1/kv").await.json();
    assert_eq!((list.buckets.len(), list.buckets[0].functions.len(), &list.buckets[0].rules), (1, 0, &None));
    let words = "no function is granted bucket `shop/sessions`: `[function.shop.kv]` with `sessions = {}` makes it that \
                 function's, at the next deploy; `samovar kv buckets` shows what there is";
    let refused = put(&api, "/v1/kv/shop%2Fsessions/values/key", "new").await.problem();
    assert_eq!(refused, problem(404, "no-such-bucket", words));
    assert_eq!(api.post("/v1/kv/shop%2Fsessions/import", "").await.problem().1, "no-such-bucket");
    assert_eq!(api.delete("/v1/kv/shop%2Fsessions").await.status, 204);
    assert_eq!(api.get("/v1/kv").await.json::<BucketList>().buckets, []);
}

#[tokio::test]
async fn a_misspelt_bucket_is_refused_whatever_is_done_with_it() {
    let api = shop().await;
    let expected = problem(
        404,
        "no-such-bucket",
        "no bucket `shop/sesions`: no function is granted it, and nothing is in it; `samovar kv buckets` shows what there is",
    );
    for path in ["keys", "export", "values/key"] {
        assert_eq!(api.get(&format!("/v1/kv/shop%2Fsesions/{path}")).await.problem(), expected, "{path}");
    }
    for path in ["", "/values/key"] {
        assert_eq!(api.delete(&format!("/v1/kv/shop%2Fsesions{path}")).await.problem(), expected, "{path}");
    }
    assert_eq!(api.get("/v1/kv/all/keys").await.status, 200, "one that is granted may be empty");
}

#[tokio::test]
async fn a_shared_bucket_by_its_functions_name_for_it_is_told_by_its_own() {
    let api = shop().await;
    let (status, _, got) = api.get("/v1/kv/shop%2Fours/values/key").await.problem();
    let (_, _, put) = put(&api, "/v1/kv/shop%2Fours/values/key", "x").await.problem();
    let hint = "; what that function calls so is the shared bucket `all`; `samovar kv buckets` shows what there is";
    assert!(status == 404 && got.ends_with(hint) && put.ends_with(hint), "{got} {put}");
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_with_the_limit() {
    let api = shop().await;
    let full = put(&api, "/v1/kv/shop%2Fsessions/values/key", vec![7; 5000]).await.problem();
    let words =
        "bucket `shop/sessions`: full (0 of 4096 bytes used, 5003 more wanted): delete something, or raise `max_bytes`";
    assert_eq!(full, problem(507, "bucket-full", words));
    let large = put(&api, "/v1/kv/all/values/key", vec![7; (1 << 20) + 1]).await.problem();
    assert_eq!(large, problem(413, "body-too-large", "key `key`: a value of more than 1048576 bytes"));
    let long = put(&api, &format!("/v1/kv/all/values/{}", "k".repeat(257)), "x").await.problem();
    assert_eq!(long, problem(400, "bad-request", "a key of 257 bytes: it must have 1 to 256"));
    let name = api.get("/v1/kv/a%2Fb%2Fc/keys").await.problem();
    let words = "`a/b/c` names no bucket: write FUNCTION/NAME, or NAME for a bucket that is shared";
    assert_eq!(name, problem(400, "bad-name", words));
}

#[tokio::test]
async fn an_export_is_imported_as_it_was() {
    let api = shop().await;
    for number in 0..100 {
        put(&api, &format!("/v1/kv/all/values/k{number:02}"), format!("text \u{0} {number}\n")).await;
    }
    put(&api, "/v1/kv/all/values/binary", vec![0, 159, 255]).await;
    put(&api, "/v1/kv/all/values/large", vec![7; 1 << 20]).await;
    put(&api, "/v1/kv/shop%2Fsessions/values/s", "session").await;
    let (all, sessions) = (api.get("/v1/kv/all/export").await, api.get("/v1/kv/shop%2Fsessions/export").await);
    assert_eq!(all.headers["content-type"], "application/x-ndjson");
    assert_eq!(all.text().lines().count(), 102);
    assert!(sessions.text().contains("\"expires\":\""), "{sessions:?}");
    let part = api.get("/v1/kv/all/export?prefix=k0").await;
    assert_eq!(part.text().lines().count(), 10);
    for bucket in ["all", "shop%2Fsessions"] {
        assert_eq!(api.delete(&format!("/v1/kv/{bucket}")).await.status, 204);
    }
    let imported: Imported = api.post("/v1/kv/all/import", all.body.clone()).await.json();
    assert_eq!(imported, Imported { values: 102, expired: 0 });
    api.post("/v1/kv/shop%2Fsessions/import", sessions.body.clone()).await;
    assert!(api.get("/v1/kv/all/export").await.body == all.body);
    let again = api.get("/v1/kv/shop%2Fsessions/export").await;
    let expires = |text: &str| -> jiff::Timestamp {
        serde_json::from_str::<serde_json::Value>(text).unwrap()["expires"].as_str().unwrap().parse().unwrap()
    };
    let shift = expires(again.text()).duration_since(expires(sessions.text())).abs();
    assert!(shift.as_secs() < 2, "it keeps its time to go: {shift:?}");
}

#[tokio::test]
async fn an_import_ends_at_the_line_that_cannot_be_taken_and_says_which() {
    let api = shop().await;
    let base64 = base64::engine::general_purpose::STANDARD.encode([0, 255]);
    let lines = format!(
        "{{\"key\":\"a\",\"text\":\"x\"}}\n\n{{\"key\":\"b\",\"base64\":\"{base64}\"}}\n\
         {{\"key\":\"old\",\"text\":\"x\",\"expires\":\"2020-01-01T00:00:00Z\"}}\n{{\"key\":\"c\",\"text\":\"last\"}}"
    );
    let imported: Imported = api.post("/v1/kv/all/import", lines).await.json();
    assert_eq!(imported, Imported { values: 3, expired: 1 });
    assert_eq!(api.get("/v1/kv/all/values/b").await.body.as_ref(), [0, 255]);
    assert_eq!(api.get("/v1/kv/all/values/c").await.text(), "last");
    for (bad, why) in [
        ("{\"key\":\"k\"}", "it must have either `text` or `base64`"),
        ("{\"key\":\"k\",\"text\":\"x\",\"base64\":\"\"}", "it must have either `text` or `base64`"),
        ("{\"key\":\"k\",\"base64\":\"?\"}", "base64: "),
        ("{\"key\":\"\",\"text\":\"x\"}", "a key of 0 bytes"),
        ("nonsense", "expected ident"),
    ] {
        let lines = format!("{{\"key\":\"z\",\"text\":\"x\"}}\n{bad}\n");
        let (status, _, detail) = api.post("/v1/kv/all/import", lines).await.problem();
        assert!(status == 400 && detail.starts_with("line 2: ") && detail.contains(why), "{detail}");
        assert!(detail.ends_with("; values imported before: 1"), "{detail}");
    }
}
