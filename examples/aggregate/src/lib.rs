//! Calls two other URLs at once and joins what they answer. One that fails or is slow does not take the other with it.

use std::time::Duration;

use futures_util::future::join;
use samovar_sdk::{Error, Json, Request, Result, env, handler, send, timeout};
use serde::Serialize;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
struct Joined {
    left: Side,
    right: Side,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    /// What was answered: JSON as it is, anything else as text.
    Ok { status: u16, body: Value },
    /// Why there is no answer.
    Error(String),
}

#[handler]
async fn aggregate() -> Result<Json<Joined>> {
    let (left, right) = (env("LEFT_URL")?, env("RIGHT_URL")?);
    let (left, right) = join(side(&left), side(&right)).await;
    Ok(Json(Joined { left, right }))
}

async fn side(url: &str) -> Side {
    match timeout(PATIENCE, fetch(url)).await {
        Ok(Ok(side)) => side,
        Ok(Err(error)) => {
            // What exactly went wrong is for the log; the caller learns that it did.
            eprintln!("{url}: {error}");
            Side::Error("no answer".into())
        }
        Err(too_slow) => Side::Error(too_slow.to_string()),
    }
}

async fn fetch(url: &str) -> Result<Side> {
    let request = Request::get(url).header("accept", "application/json").body(())?;
    let response = send(request).await?;
    let status = response.status().as_u16();
    let text = response.into_body().text().await.map_err(Error::from)?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Side::Ok { status, body })
}

#[cfg(test)]
mod tests {
    use samovar_sdk::http::StatusCode;
    use samovar_sdk::testing::Host;
    use samovar_sdk::{IntoResponse, Response, sleep};
    use serde_json::json;

    use super::*;

    fn host() -> Host {
        Host::new().env("LEFT_URL", "http://left/a").env("RIGHT_URL", "http://right/b")
    }

    async fn answer(request: Request) -> Response {
        match request.uri().host() {
            Some("left") => Json([1, 2]).into_response(),
            _ => (StatusCode::NOT_FOUND, "nothing").into_response(),
        }
    }

    #[test]
    fn both_sides_are_joined() {
        let joined: Value = host().outbound(answer).call(aggregate()).json();
        assert_eq!(
            joined,
            json!({
                "left": { "ok": { "status": 200, "body": [1, 2] } },
                "right": { "ok": { "status": 404, "body": "nothing" } },
            })
        );
    }

    #[test]
    fn the_sides_are_asked_at_once() {
        let slow = host().outbound(async |_| sleep(Duration::from_millis(50)).await);
        let begun = std::time::Instant::now();
        assert_eq!(slow.call(aggregate()).status, 200);
        assert!(begun.elapsed() < Duration::from_millis(95), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_side_that_may_not_be_called_is_an_error_of_that_side() {
        let joined: Value = host().call(aggregate()).json();
        assert_eq!(joined["left"], json!({ "error": "no answer" }));
    }

    #[test]
    fn a_missing_url_is_a_500() {
        assert_eq!(Host::new().outbound(answer).call(aggregate()).status, 500);
    }
}
