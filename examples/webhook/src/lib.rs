//! Receives webhooks: checks who has signed them, puts them aside, and answers at once. The schedule works on what was put aside.
//!
//! A sender that gets no answer sends again, and so each event may come more than once. Its id, `x-event-id`, tells: it is put aside
//! once, and worked on at least once.

use std::sync::LazyLock;

use hmac::{Hmac, Mac};
use samovar_sdk::http::{HeaderMap, StatusCode};
use samovar_sdk::{Bytes, Error, Request, Response, Result, Router, handler, kv, log, secret};
use serde_json::Value;
use sha2::Sha256;

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new().post("/webhook", receive).post("/webhook/work", work));

/// How many events one run works on, so that it ends in time.
const AT_ONCE: usize = 100;

#[handler]
async fn webhook(request: Request) -> Response {
    ROUTER.handle(request).await
}

async fn receive(headers: HeaderMap, body: Bytes) -> Result<StatusCode> {
    check_signature(header(&headers, "x-signature")?, &body)?;
    let id = header(&headers, "x-event-id")?;
    if id.len() > 200 {
        return Err(Error::bad_request(format!("x-event-id has {} bytes, 200 at most", id.len())));
    }
    serde_json::from_slice::<Value>(&body)
        .map_err(|error| Error::bad_request(format!("the body is not JSON: {error}")))?;
    if kv::bucket("done")?.exists(id).await? || !kv::bucket("events")?.create(id, &body).await? {
        log::info!("an event came again", id = id);
    }
    Ok(StatusCode::ACCEPTED)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.filter(|value| !value.is_empty()).ok_or_else(|| Error::bad_request(format!("no {name} header")))
}

/// `sha256=` and the HMAC of the body in hexadecimal, as GitHub and others write it. The comparison takes the same time however much
/// of it is right.
fn check_signature(signature: &str, body: &[u8]) -> Result<()> {
    let secret = secret::get("WEBHOOK_SECRET")?;
    let given = signature.strip_prefix("sha256=").and_then(|digits| hex::decode(digits).ok());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())?;
    mac.update(body);
    match given {
        Some(given) if mac.verify_slice(&given).is_ok() => Ok(()),
        _ => Err(Error::unauthorized("x-signature does not fit")),
    }
}

async fn work() -> Result<String> {
    let (events, done) = (kv::bucket("events")?, kv::bucket("done")?);
    let mut count = 0;
    let mut pages = events.keys("");
    while let Some(ids) = pages.next().await? {
        for id in ids {
            let Some(event) = events.get(&id).await? else { continue };
            handle(&event).await?;
            // In this order, so that an event is never lost. Where it ends in between, it is worked on again.
            done.set(&id, "").await?;
            events.delete(&id).await?;
            count += 1;
            if count == AT_ONCE {
                return Ok(format!("worked on {count} events, and there are more\n"));
            }
        }
    }
    Ok(format!("worked on {count} events\n"))
}

/// The work itself: here, events are counted by type.
async fn handle(event: &[u8]) -> Result<()> {
    let event: Value = serde_json::from_slice(event)?;
    let kind = event["type"].as_str().unwrap_or("unknown");
    kv::bucket("totals")?.increment(kind, 1).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{Answer, Host};
    use samovar_sdk::{Body, Request};

    use super::*;

    const EVENT: &str = r#"{"type":"paid"}"#;

    fn host() -> Host {
        Host::new().secret("WEBHOOK_SECRET", "s3cret").kv("events").kv("done").kv("totals")
    }

    fn send(host: &Host, id: &str, signature: &str) -> Answer {
        let request = Request::post("/webhook").header("x-signature", signature).header("x-event-id", id);
        host.call(webhook(request.body(Body::from(EVENT)).unwrap()))
    }

    fn signed() -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
        mac.update(EVENT.as_bytes());
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn run(host: &Host) -> Answer {
        host.call(webhook(Request::post("/webhook/work").body(Body::empty()).unwrap()))
    }

    fn total(host: &Host) -> Answer {
        host.call(async { Ok::<_, Error>(kv::bucket("totals")?.get("paid").await?.unwrap_or_default()) })
    }

    #[test]
    fn an_event_that_comes_twice_is_worked_on_once() {
        let host = host();
        assert_eq!(send(&host, "1", &signed()).status, 202);
        assert_eq!(send(&host, "1", &signed()).status, 202);
        assert_eq!(send(&host, "2", &signed()).status, 202);
        assert_eq!(run(&host).text(), "worked on 2 events\n");
        assert_eq!(send(&host, "1", &signed()).status, 202);
        assert_eq!(run(&host).text(), "worked on 0 events\n");
        assert_eq!(total(&host).text(), "2");
    }

    #[test]
    fn what_is_not_signed_is_not_kept() {
        let host = host();
        for wrong in ["sha256=00", "sha256=x", "", &signed().replace("sha256=", "sha1=")] {
            assert!(send(&host, "1", wrong).status.is_client_error(), "{wrong}");
        }
        assert_eq!(run(&host).text(), "worked on 0 events\n");
    }
}
