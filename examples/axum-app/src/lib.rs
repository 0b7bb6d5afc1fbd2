//! An axum application as it is: axum's router, extractors and responses, and nothing of the platform but one attribute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Json, Router};
use samovar_sdk::handler;
use serde::{Deserialize, Serialize};

/// The router is made at the first request of an instance, and serves all that follow.
#[handler(axum)]
fn app() -> Router {
    let routes = Router::new()
        .route("/", get(async || "an axum app\n"))
        .route("/hello/{name}", get(hello))
        .route("/sum", post(sum))
        .route("/calls", get(calls))
        .route("/old", get(async || Redirect::permanent("/axum-app/hello/you")));
    // The function is called with the whole path, so the routes stand below its name.
    Router::new()
        .nest("/axum-app", routes)
        .fallback(async || (StatusCode::NOT_FOUND, "no such page\n"))
        .with_state(Calls::default())
}

type Calls = Arc<AtomicU64>;

#[derive(Deserialize)]
struct Style {
    #[serde(default)]
    loud: bool,
}

async fn hello(Path(name): Path<String>, Query(style): Query<Style>) -> String {
    if style.loud { format!("HELLO {}\n", name.to_uppercase()) } else { format!("hello {name}\n") }
}

#[derive(Serialize)]
struct Sum {
    sum: f64,
}

async fn sum(Json(numbers): Json<Vec<f64>>) -> impl IntoResponse {
    Json(Sum { sum: numbers.iter().sum() })
}

/// How many calls this instance has had: another instance has a count of its own.
async fn calls(State(calls): State<Calls>) -> String {
    format!("{}\n", calls.fetch_add(1, Ordering::Relaxed) + 1)
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{self, Answer};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn ask(method: &str, path: &str, body: &'static str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        testing::call(samovar_sdk::axum::serve(app(), request.body(Body::from(body)).unwrap()))
    }

    #[test]
    fn axum_routes_extracts_and_answers() {
        assert_eq!(ask("GET", "/axum-app", "").text(), "an axum app\n");
        assert_eq!(ask("GET", "/axum-app/hello/ann?loud=true", "").text(), "HELLO ANN\n");
        assert_eq!(ask("POST", "/axum-app/sum", "[1, 2.5]").json::<serde_json::Value>()["sum"], 3.5);
        assert_eq!(ask("GET", "/axum-app/old", "").headers["location"], "/axum-app/hello/you");
    }

    #[test]
    fn axum_refuses_what_does_not_fit() {
        assert_eq!(ask("POST", "/axum-app/sum", "[").status, 400);
        assert_eq!(ask("GET", "/axum-app/sum", "").status, 405);
        assert_eq!(ask("GET", "/axum-app/nothing", "").status, 404);
    }

    #[test]
    fn one_router_serves_many_requests() {
        let app = app();
        let count = || {
            let request = Request::get("/axum-app/calls").body(Body::empty()).unwrap();
            testing::call(samovar_sdk::axum::serve(app.clone(), request)).text().to_owned()
        };
        assert_eq!((count(), count()), ("1\n".to_owned(), "2\n".to_owned()));
    }
}
