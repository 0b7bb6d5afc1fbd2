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

/// The longest key of a bucket, in bytes: a type is one.
const MAX_TYPE_BYTES: usize = 256;

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
    let event: Value =
        serde_json::from_slice(&body).map_err(|error| Error::bad_request(format!("the body is not JSON: {error}")))?;
    // What cannot be worked on is the sender's to know, now: nobody could tell him later.
    let bytes = kind(&event).len();
    if !(1..=MAX_TYPE_BYTES).contains(&bytes) {
        return Err(Error::bad_request(format!(
            "the event's type has {bytes} bytes: it must have 1 to {MAX_TYPE_BYTES}"
        )));
    }
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
    let (mut count, mut failed) = (0, 0);
    let mut pages = events.keys("");
    while let Some(ids) = pages.next().await? {
        for id in ids {
            let Some(event) = events.get(&id).await? else { continue };
            // One that fails stays for the next run, and holds up no other.
            if let Err(error) = handle(&event).await {
                log::error!("an event could not be worked on", id = id, error = error.to_string());
                failed += 1;
                continue;
            }
            // In this order, so that an event is never lost. Where it ends in between, it is worked on again.
            done.set(&id, "").await?;
            events.delete(&id).await?;
            count += 1;
            if count == AT_ONCE {
                return Ok(format!("worked on {count} events, and there are more\n"));
            }
        }
    }
    Ok(match failed {
        0 => format!("worked on {count} events\n"),
        failed => format!("worked on {count} events, and {failed} failed\n"),
    })
}

/// The work itself: here, events are counted by type.
async fn handle(event: &[u8]) -> Result<()> {
    let event: Value = serde_json::from_slice(event)?;
    kv::bucket("totals")?.increment(kind(&event), 1).await?;
    Ok(())
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap_or("unknown")
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
        send_event(host, id, signature, EVENT)
    }

    fn send_event(host: &Host, id: &str, signature: &str, event: &str) -> Answer {
        let request = Request::post("/webhook").header("x-signature", signature).header("x-event-id", id);
        host.call(webhook(request.body(Body::from(event.to_owned())).unwrap()))
    }

    fn signed() -> String {
        sign(EVENT)
    }

    fn sign(event: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
        mac.update(event.as_bytes());
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

    #[test]
    fn a_type_that_cannot_be_counted_is_refused_when_it_comes() {
        let host = host();
        for (bytes, status) in [(0, 400), (1, 202), (256, 202), (257, 400)] {
            let event = format!(r#"{{"type":"{}"}}"#, "x".repeat(bytes));
            let answer = send_event(&host, &format!("of {bytes}"), &sign(&event), &event);
            assert_eq!(answer.status, status, "{bytes}: {}", answer.text());
            if status == 400 {
                let reason = format!("the event's type has {bytes} bytes: it must have 1 to 256");
                assert!(answer.text().contains(&reason), "{}", answer.text());
            }
        }
        let event = r#"{"kind":"paid"}"#;
        assert_eq!(send_event(&host, "without", &sign(event), event).status, 202);
        assert_eq!(run(&host).text(), "worked on 3 events\n");
    }

    #[test]
    fn an_event_that_fails_holds_up_no_other_and_is_tried_again() {
        let host = host();
        // As it may have been put aside before types were looked at.
        let put = async { kv::bucket("events")?.set("0", r#"{"type":""}"#).await.map_err(Error::from) };
        assert_eq!(host.call(async { put.await.map(|()| "put") }).text(), "put");
        assert_eq!(send(&host, "1", &signed()).status, 202);
        assert_eq!(run(&host).text(), "worked on 1 events, and 1 failed\n");
        assert_eq!(total(&host).text(), "1");
        let line = &host.logs()[0];
        assert_eq!((line.message.as_str(), &line.fields["id"]), ("an event could not be worked on", &"0".into()));
        assert!(line.fields["error"].to_string().contains("a key of 0 bytes"), "{line:?}");
        assert_eq!(run(&host).text(), "worked on 0 events, and 1 failed\n");
    }
}
