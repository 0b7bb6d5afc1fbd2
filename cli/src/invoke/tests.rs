use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{any, get};
use samovar_model::api::Info;

use super::*;
use crate::testing::{Captured, function, pointing_to, serve};

type Seen = Arc<Mutex<String>>;

/// A control API and a gateway in one, with the manifest's function, which answers with `status` and what it was called with.
async fn platform(manifest: &'static str, status: u16) -> String {
    let address: Arc<Mutex<String>> = Seen::default();
    let gateway = Arc::clone(&address);
    let info = async move || Json(Info { version: "1".to_owned(), gateway: gateway.lock().unwrap().clone() });
    let call = async move |request: axum::extract::Request| {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let host = head.headers.get("host").map_or("", |host| host.to_str().unwrap()).to_owned();
        let accept = head.headers.get("accept").map_or("", |accept| accept.to_str().unwrap()).to_owned();
        let text = format!("{} {} {accept} {}\n", head.method, head.uri, String::from_utf8_lossy(&body));
        let mut headers = HeaderMap::new();
        headers.insert("x-seen-host", host.parse().unwrap());
        headers.insert("x-samovar-instance", "warm".parse().unwrap());
        headers.insert("x-samovar-instance-id", "7".parse().unwrap());
        headers.insert("x-samovar-revision", "3".parse().unwrap());
        headers.insert("x-samovar-origin", "function".parse().unwrap());
        (http::StatusCode::from_u16(status).unwrap(), headers, text)
    };
    let router = Router::new()
        .route("/v1/info", get(info))
        .route("/v1/functions/a", get(async move || Json(function(manifest))))
        .fallback(any(call));
    let url = serve(router).await;
    *address.lock().unwrap() = url.clone();
    url
}

fn args() -> InvokeArgs {
    InvokeArgs {
        name: "a".parse().unwrap(),
        method: None,
        path: None,
        headers: Vec::new(),
        data: None,
        later: false,
        idempotency_key: None,
        verbose: false,
    }
}

#[tokio::test]
async fn the_answer_goes_to_stdout_as_it_is() {
    let captured = Captured::default();
    let url = platform("[function.a]", 200).await;
    let args = InvokeArgs {
        data: Some("tea".to_owned()),
        headers: vec![parse_header("Accept: text/plain").unwrap()],
        ..args()
    };
    run(&args, &pointing_to(&url), &mut captured.console()).await.unwrap();
    assert_eq!((captured.out().as_str(), captured.notes().as_str()), ("POST /a text/plain tea\n", ""));
}

#[tokio::test]
async fn verbose_shows_the_head_the_instance_and_the_time() {
    let captured = Captured::default();
    let url = platform("[[function.a.route]]\nhost = \"api.example.com\"\npath = \"/x\"", 200).await;
    run(&InvokeArgs { verbose: true, ..args() }, &pointing_to(&url), &mut captured.console()).await.unwrap();
    let notes = captured.notes();
    assert!(notes.starts_with(&format!("> GET {url}/x\n> host: api.example.com\n< 200 OK\n")), "{notes}");
    assert!(notes.contains("< x-seen-host: api.example.com\n"), "{notes}");
    assert!(notes.contains("\nwarm instance 7, revision 3, "), "{notes}");
    assert_eq!(captured.out(), "GET /x  \n");
}

#[tokio::test]
async fn an_error_status_is_a_failure_that_still_prints_the_answer() {
    let captured = Captured::default();
    let url = platform("[function.a]", 502).await;
    let error = run(&args(), &pointing_to(&url), &mut captured.console()).await.unwrap_err();
    assert_eq!(error.to_string(), "`a` answered 502 Bad Gateway (from the function)");
    assert_eq!(captured.out(), "GET /a  \n");
}

#[tokio::test]
async fn a_body_can_come_from_a_file() {
    let captured = Captured::default();
    let url = platform("[function.a]", 200).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from a file").unwrap();
    let data = Some(format!("@{}", file.path().display()));
    run(&InvokeArgs { data, ..args() }, &pointing_to(&url), &mut captured.console()).await.unwrap();
    assert_eq!(captured.out(), "POST /a  from a file\n");
    let data = Some("@/no/such/file".to_owned());
    let error = run(&InvokeArgs { data, ..args() }, &pointing_to(&url), &mut captured.console()).await.unwrap_err();
    assert!(format!("{error:#}").starts_with("cannot read /no/such/file: "), "{error:#}");
}

#[test]
fn headers_and_paths_are_checked_before_anything_is_sent() {
    assert!(parse_header("no colon").is_err());
    assert!(parse_header("bad name: x").is_err());
    assert!(parse_path("hello").is_err());
    assert!(parse_path("/a b").is_err());
    assert_eq!(parse_path("/a?b=c").unwrap(), "/a?b=c");
}
