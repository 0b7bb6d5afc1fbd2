//! Server-sent events: a countdown that a browser or `curl -N` sees as it happens.

use std::time::Duration;

use samovar_sdk::{Error, Event, Html, Query, Request, Response, Result, Router, Sse, handler, sleep};
use serde::{Deserialize, Serialize};

#[handler]
async fn events(request: Request) -> Response {
    Router::new().get("/events", countdown).get("/events/page", async || Html(PAGE)).handle(request).await
}

#[derive(Deserialize)]
struct Countdown {
    #[serde(default = "ten")]
    from: u32,
    #[serde(default = "half_a_second")]
    every_ms: u64,
}

fn ten() -> u32 {
    10
}

fn half_a_second() -> u64 {
    500
}

#[derive(Serialize)]
struct Tick {
    left: u32,
}

async fn countdown(Query(countdown): Query<Countdown>) -> Result<Sse> {
    if countdown.from > 1000 {
        return Err(Error::bad_request(format!("from={}: count down from 1000 at most", countdown.from)));
    }
    let sse = Sse::from_writer(|mut events| async move {
        for left in (0..=countdown.from).rev() {
            events.send(Event::json(&Tick { left })?.name("tick").id(&left.to_string())).await;
            if left > 0 {
                sleep(Duration::from_millis(countdown.every_ms)).await;
            }
        }
        events.send(Event::data("tea is ready").name("done")).await;
        Ok::<_, Error>(())
    });
    Ok(sse.keep_alive(Duration::from_secs(15)))
}

const PAGE: &str = r##"<!doctype html>
<title>Countdown</title>
<h1 id="left">…</h1>
<script>
  const left = document.querySelector("#left");
  const events = new EventSource("/events");
  events.addEventListener("tick", event => left.textContent = JSON.parse(event.data).left);
  events.addEventListener("done", event => { left.textContent = event.data; events.close(); });
</script>
"##;

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{self, Answer};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn get(path: &str) -> Answer {
        testing::call(events(Request::get(path).body(Body::empty()).unwrap()))
    }

    #[test]
    fn every_tick_is_an_event_and_the_last_one_says_so() {
        let answer = get("/events?from=1&every_ms=1");
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        assert_eq!(
            answer.text(),
            "event: tick\nid: 1\ndata: {\"left\":1}\n\n\
             event: tick\nid: 0\ndata: {\"left\":0}\n\n\
             event: done\ndata: tea is ready\n\n"
        );
    }

    #[test]
    fn a_countdown_has_a_limit() {
        assert_eq!(get("/events?from=1001").status, 400);
    }

    #[test]
    fn the_page_is_html() {
        assert_eq!(get("/events/page").headers["content-type"], "text/html; charset=utf-8");
    }
}
