//! What a process of a cluster without a control API tells of itself, for probes and for Prometheus: `/healthz`, `/readyz` and
//! `/metrics`, on a listener of their own, to everyone who reaches it.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;

use crate::metrics::OPENMETRICS;

/// A process that tells of itself.
pub trait Status: Send + Sync + 'static {
    /// Whether it can do its work; why not otherwise.
    fn ready(&self) -> Result<(), String>;

    /// Its metrics in Prometheus text form.
    fn metrics(&self, out: &mut String);
}

/// Answers until `shutdown` resolves.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    status: Arc<dyn Status>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(status)).with_graceful_shutdown(shutdown).await
}

fn router(status: Arc<dyn Status>) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(status)
}

async fn ready(State(status): State<Arc<dyn Status>>) -> Response {
    match status.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response(),
    }
}

async fn metrics(State(status): State<Arc<dyn Status>>) -> Response {
    let mut text = String::new();
    status.metrics(&mut text);
    text.push_str("# EOF\n");
    ([(CONTENT_TYPE, OPENMETRICS)], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    struct Fake(Mutex<Result<(), String>>);

    impl Status for Fake {
        fn ready(&self) -> Result<(), String> {
            self.0.lock().expect("not poisoned").clone()
        }

        fn metrics(&self, out: &mut String) {
            out.push_str("a 1\n");
        }
    }

    async fn get(status: &Arc<Fake>, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router(Arc::clone(status) as _).oneshot(request).await.expect("it answers");
        let code = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        (code, String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_process_is_alive_before_it_is_ready() {
        let status = Arc::new(Fake(Mutex::new(Err("no host is reached".to_owned()))));
        assert_eq!(get(&status, "/healthz").await.0, StatusCode::OK);
        let told = get(&status, "/readyz").await;
        assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "not ready: no host is reached\n".to_owned()));
        *status.0.lock().expect("not poisoned") = Ok(());
        assert_eq!(get(&status, "/readyz").await.0, StatusCode::OK);
        assert_eq!(get(&status, "/metrics").await, (StatusCode::OK, "a 1\n# EOF\n".to_owned()));
    }
}
