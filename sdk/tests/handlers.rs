//! What a caller sees of handlers, extractors, the router, errors and streams: all natively.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use samovar_sdk::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use samovar_sdk::testing::{self, Answer, Host};
use samovar_sdk::{
    Body, Bytes, Error, Event, FromRequestParts, Json, Path, Query, Request, Response, Result, Router, Sse, env,
    handler, send, sleep,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Item {
    name: String,
    count: u32,
}

#[handler("/items/{id}/{*rest}")]
async fn item(method: Method, Path((id, rest)): Path<(u32, String)>, Json(item): Json<Item>) -> Result<Json<Item>> {
    if id == 0 {
        return Err(Error::not_found("no item 0"));
    }
    Ok(Json(Item { name: format!("{method} {id} {rest} {}", item.name), count: item.count + 1 }))
}

/// Through what the attribute made, as the platform calls it.
fn exported(request: Request) -> Answer {
    testing::call(__a_crate_has_one_samovar_handler(request))
}

fn post(path: &str, content_type: &str, body: &'static str) -> Request {
    Request::post(path).header(header::CONTENT_TYPE, content_type).body(Body::from(body)).unwrap()
}

fn get(path: &str) -> Request {
    Request::get(path).body(Body::empty()).unwrap()
}

fn detail(answer: &Answer) -> String {
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json");
    let problem: serde_json::Value = answer.json();
    assert_eq!(problem["status"], answer.status.as_u16());
    assert_eq!(problem["title"], answer.status.canonical_reason().unwrap());
    problem["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn the_attribute_takes_every_argument_from_the_request() {
    let answer = exported(post("/items/7/a/b", "application/json; charset=utf-8", r#"{"name":"tea","count":1}"#));
    assert_eq!(answer.text(), r#"{"name":"POST 7 a/b tea","count":2}"#);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
}

#[test]
fn a_request_that_does_not_fit_is_refused_in_words() {
    let json = "application/json";
    for (request, status, expected) in [
        (post("/elsewhere", json, "{}"), 404, "no route fits `/elsewhere`"),
        (post("/items/x/y", json, "{}"), 400, "path: `id` is `x`"),
        (post("/items/7/y", "text/plain", "{}"), 415, "content-type `text/plain`: send `application/json`"),
        (post("/items/7/y", json, "{"), 400, "the body is not JSON: EOF while parsing"),
        (post("/items/7/y", json, r#"{"name":"x"}"#), 422, "the body does not fit: missing field `count`"),
        (post("/items/0/y", json, r#"{"name":"x","count":0}"#), 404, "no item 0"),
    ] {
        let what = format!("{request:?}");
        let answer = exported(request);
        assert_eq!(answer.status, status, "{what}");
        let detail = detail(&answer);
        assert!(detail.contains(expected), "{what}: {detail}");
    }
}

#[test]
fn a_query_is_read_or_refused() {
    async fn double(Query(query): Query<std::collections::BTreeMap<String, u32>>) -> String {
        query.iter().map(|(name, value)| format!("{name}={}\n", value * 2)).collect()
    }
    assert_eq!(testing::serve(double, get("/?a=1&b=2")).text(), "a=2\nb=4\n");
    let refused = testing::serve(double, get("/?a=x"));
    assert_eq!(
        (refused.status, detail(&refused).as_str()),
        (StatusCode::BAD_REQUEST, "query: invalid digit found in string")
    );
}

#[test]
fn a_result_of_an_extractor_leaves_the_refusal_to_the_handler() {
    async fn page(query: Result<Query<(u8,)>>, headers: HeaderMap, body: Bytes) -> String {
        format!("{} {} {}", query.is_err(), headers.len(), body.len())
    }
    assert_eq!(testing::serve(page, post("/?a=x", "text/plain", "four")).text(), "true 1 4");
}

#[test]
fn text_that_is_not_utf8_is_a_400() {
    let request = Request::post("/").body(Body::from(vec![0xff])).unwrap();
    let answer = testing::serve(async |text: String| text, request);
    assert_eq!(answer.status, 400);
    assert!(detail(&answer).contains("not UTF-8"), "{answer:?}");
}

#[test]
fn the_cause_of_a_500_stays_in_the_log() {
    async fn fails() -> Result<String> {
        Ok("secret".parse::<u32>()?.to_string())
    }
    let answer = testing::call(fails());
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("digit"), "{}", answer.text());
}

#[test]
fn an_extractor_of_ones_own_refuses_with_its_own_status() {
    struct User(String);
    impl FromRequestParts for User {
        async fn from_request_parts(parts: &mut samovar_sdk::http::request::Parts) -> Result<Self> {
            let user = parts.headers.get("x-user").and_then(|user| user.to_str().ok());
            user.map(|user| Self(user.to_owned())).ok_or_else(|| Error::unauthorized("no x-user"))
        }
    }
    let greet = async |User(name): User| name;
    assert_eq!(testing::serve(greet, get("/")).status, 401);
    let request = Request::get("/").header("x-user", "ann").body(Body::empty()).unwrap();
    assert_eq!(testing::serve(greet, request).text(), "ann");
}

#[test]
fn the_router_prefers_the_most_specific_pattern() {
    let router = Router::new()
        .get("/{*rest}", async |Path(rest): Path<String>| format!("rest {rest}"))
        .get("/items/{id}", async |Path(id): Path<u32>| format!("item {id}"))
        .post("/items/{name}", async || "posted")
        .get("/items/new", async || "new");
    let ask = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        testing::call(router.handle(request))
    };
    assert_eq!(ask(Method::GET, "/items/new").text(), "new");
    assert_eq!(ask(Method::GET, "/items/7").text(), "item 7");
    assert_eq!(ask(Method::HEAD, "/items/7").text(), "item 7");
    assert_eq!(ask(Method::POST, "/items/7").text(), "posted");
    assert_eq!(ask(Method::GET, "/a/b").text(), "rest a/b");
    let refused = ask(Method::PUT, "/items/7");
    assert_eq!(refused.status, 405);
    assert_eq!(refused.headers[header::ALLOW], "GET, HEAD, POST");
    assert_eq!(detail(&refused), "PUT is not one of GET, HEAD, POST");
}

#[test]
#[should_panic(expected = "GET /a/{y}: routed twice")]
fn a_route_that_exists_already_is_refused() {
    let _router = Router::new().get("/a/{x}", async || "").get("/a/{y}", async || "");
}

#[test]
fn every_kind_of_response_says_what_it_is() {
    let created = testing::call(async { (StatusCode::CREATED, "made") });
    assert_eq!((created.status, created.text()), (StatusCode::CREATED, "made"));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/csv"))]);
    let csv = testing::call(async { (StatusCode::OK, headers, "a,b") });
    assert_eq!(csv.headers.get_all(header::CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/csv"]);
    let bytes = testing::call(async { vec![1_u8, 2] });
    assert_eq!(bytes.headers[header::CONTENT_TYPE], "application/octet-stream");
    assert_eq!(testing::call(async { StatusCode::NO_CONTENT }).status, 204);
    assert_eq!(testing::call(async {}).body.len(), 0);
    let http = samovar_sdk::http::Response::builder().status(418).body("short").unwrap();
    assert_eq!(testing::call(async { http }).status, 418);
}

#[test]
fn a_header_that_cannot_be_is_an_error_and_no_panic() {
    assert_eq!(Response::text("").with_header("x-a", "1").unwrap().headers()["x-a"], "1");
    assert_eq!(Response::text("").with_header("x a", "1").unwrap_err().status(), 500);
    assert_eq!(Response::text("").with_header("x-a", "\n").unwrap_err().status(), 500);
}

#[test]
fn a_body_streams_with_its_trailers() {
    let answer = testing::call(async {
        Body::from_writer(|mut writer| async move {
            writer.write("a").await;
            sleep(Duration::from_millis(2)).await;
            writer.write("").await;
            writer.write(vec![b'b']).await;
            writer.trailers(HeaderMap::from_iter([("x-rows".parse().unwrap(), HeaderValue::from(2))])).await;
        })
    });
    assert_eq!(answer.text(), "ab");
    assert_eq!(answer.trailers.unwrap()["x-rows"], "2");
}

#[test]
fn a_stream_that_fails_breaks_the_body_off() {
    let chunks = [Ok("a"), Err(std::io::Error::other("disk full")), Ok("b")];
    let mut body = Body::from_stream(futures_util::stream::iter(chunks));
    testing::block_on(async {
        assert_eq!(body.chunk().await.unwrap().unwrap(), "a");
        assert_eq!(body.chunk().await.unwrap_err().to_string(), "disk full");
    });
    let failing = Body::from_writer(|mut writer| async move {
        writer.write("a").await;
        Err::<(), _>(Error::internal("no more"))
    });
    assert_eq!(testing::block_on(failing.text()).unwrap_err().to_string(), "no more");
}

#[test]
fn events_cannot_smuggle_fields() {
    let event = Event::data("one\r\ntwo\rid: 7").name("a\nid: 8");
    assert_eq!(event.to_string(), "event: a id: 8\ndata: one\ndata: two\ndata: id: 7\n\n");
}

#[test]
fn a_quiet_stream_of_events_is_kept_alive() {
    let sse = Sse::from_writer(|mut events| async move {
        sleep(Duration::from_millis(60)).await;
        events.send(Event::data("late")).await;
    });
    let answer = testing::call(async { sse.keep_alive(Duration::from_millis(20)) });
    assert!(answer.text().starts_with(":\n\n") && answer.text().ends_with("data: late\n\n"), "{}", answer.text());
    assert_eq!(answer.headers[header::CONTENT_TYPE], "text/event-stream");
}

#[test]
fn outbound_requests_run_at_once_and_their_failures_have_statuses() {
    async fn both() -> Result<String> {
        let to = |path: &str| Request::get(format!("{}{path}", env("BASE").unwrap_or_default())).body(());
        let (a, b) = futures_util::try_join!(send(to("/a")?), send(to("/b")?))?;
        Ok(format!("{} {}", a.into_body().text().await?, b.into_body().text().await?))
    }
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let host = Host::new().env("BASE", "http://example.com").outbound(move |request| {
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        async move {
            most.fetch_max(under_way.fetch_add(1, Relaxed) + 1, Relaxed);
            sleep(Duration::from_millis(5)).await;
            under_way.fetch_sub(1, Relaxed);
            request.uri().path().to_owned()
        }
    });
    assert_eq!(host.call(both()).text(), "/a /b");
    assert_eq!(seen.load(Relaxed), 2, "at once");
    assert_eq!(Host::new().env("BASE", "http://example.com").call(both()).status, 502);
    assert_eq!(testing::call(both()).status, 502);
}
