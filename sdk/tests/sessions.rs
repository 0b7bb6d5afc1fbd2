//! What a browser sees of sessions, in a cookie and in a bucket.
#![cfg(feature = "session")]
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::time::Duration;

use samovar_sdk::http::request::Parts;
use samovar_sdk::http::{Method, StatusCode};
use samovar_sdk::session::{InBucket, InCookie, Session, Sessions};
use samovar_sdk::testing::{Answer, Host};
use samovar_sdk::{Body, FromRequestParts, Query, Request, Result, Router, kv};
use serde::Deserialize;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Do {
    Show,
    Count,
    Fill,
    Login,
    Logout,
    Fail,
}

/// One handler for all of it: what it does stands in the query.
async fn handle<S: Sessions>(mut session: Session<S>, Query(wanted): Query<Vec<(Do, String)>>) -> Result<String> {
    for (wanted, value) in wanted {
        match wanted {
            Do::Show => {}
            Do::Count => {
                let count = session.get::<u32>("count").unwrap_or(0) + 1;
                session.insert("count", count)?;
            }
            Do::Fill => session.insert("filling", "x".repeat(value.parse()?))?,
            Do::Login => {
                session.renew();
                session.insert("user", value)?;
            }
            Do::Logout => session.destroy(),
            Do::Fail => Err(samovar_sdk::Error::conflict("no"))?,
        }
    }
    Ok(format!("{:?} {:?}", session.get::<String>("user"), session.get::<u32>("count")))
}

fn host() -> Host {
    Host::new().secret("SESSION_KEY", KEY).kv("sessions")
}

fn ask<S: Sessions>(host: &Host, query: &str, cookies: &str) -> Answer {
    let request = Request::get(format!("/?{query}")).header("cookie", cookies).body(Body::empty()).unwrap();
    host.serve(handle::<S>, request)
}

fn kept(host: &Host) -> usize {
    let mut count = 0;
    host.call(async { count = kv::bucket("sessions").unwrap().keys("").all().await.unwrap().len() });
    count
}

fn lasts_and_ends<S: Sessions>() {
    let host = host();
    let first = ask::<S>(&host, "count=", "other=1; nonsense");
    assert_eq!(first.text(), "None Some(1)");
    let cookies = first.cookies();
    assert_eq!(ask::<S>(&host, "show=", &format!("other=1; {cookies}")).text(), "None Some(1)");
    let second = ask::<S>(&host, "login=ann&count=", &cookies);
    assert_eq!(second.text(), "Some(\"ann\") Some(2)");
    let out = ask::<S>(&host, "logout=", &second.cookies());
    assert_eq!((out.text(), out.cookies().as_str()), ("None None", ""));
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
}

#[test]
fn a_session_lasts_from_request_to_request_until_it_is_destroyed() {
    lasts_and_ends::<InCookie>();
    lasts_and_ends::<InBucket>();
}

#[test]
fn the_cookie_is_for_this_site_over_https_and_no_script() {
    let cookie = ask::<InCookie>(&host(), "count=", "");
    let cookie = cookie.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-session="), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/", "; Max-Age=86400"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    let plain = ask::<InCookie>(&host().config("session_secure", "false"), "count=", "");
    let plain = plain.headers["set-cookie"].to_str().unwrap();
    assert!(plain.starts_with("session=") && !plain.contains("Secure"), "{plain}");
}

#[test]
fn an_answer_with_a_cookie_is_for_no_cache() {
    assert_eq!(ask::<InCookie>(&host(), "count=", "").headers["cache-control"], "no-store");
    assert!(ask::<InCookie>(&host(), "show=", "").headers.get("cache-control").is_none());
}

#[test]
fn what_nobody_has_sealed_is_an_empty_session() {
    let host = host();
    let good = ask::<InCookie>(&host, "count=", "").cookies();
    let (name, value) = good.split_once('=').unwrap();
    let mut tampered = value.to_owned().into_bytes();
    tampered[20] = if tampered[20] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for value in [&tampered, "", "x", "%%%", &value[..30], &format!("{value}x")] {
        let answer = ask::<InCookie>(&host, "show=", &format!("{name}={value}"));
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "None None"), "{value}");
    }
    // Nor is it one under another name, or in the other kind of session.
    assert_eq!(ask::<InCookie>(&host, "show=", &format!("session={value}")).text(), "None None");
    assert_eq!(ask::<InBucket>(&host, "show=", &good).text(), "None None");
}

#[test]
fn a_session_ends_when_nobody_uses_it_and_lasts_while_somebody_does() {
    let host = host();
    let cookies = ask::<InCookie>(&host, "count=", "").cookies();
    let later = |time| host.clone().ahead(time);
    assert_eq!(ask::<InCookie>(&later(DAY - Duration::from_secs(60)), "show=", &cookies).text(), "None Some(1)");
    assert_eq!(ask::<InCookie>(&later(DAY + Duration::from_secs(60)), "show=", &cookies).text(), "None None");

    let mut cookies = cookies;
    for hours in (12..).step_by(12).take(59) {
        let answer = ask::<InCookie>(&later(Duration::from_secs(hours * 3600)), "show=", &cookies);
        assert_eq!(answer.text(), "None Some(1)", "after {hours} hours");
        cookies = answer.cookies();
    }
    // But not for longer than its lifetime.
    assert_eq!(ask::<InCookie>(&later(30 * DAY + Duration::from_secs(60)), "show=", &cookies).text(), "None None");
}

#[test]
fn a_session_that_has_not_changed_is_not_written_for_each_request() {
    let host = host();
    let cookies = ask::<InBucket>(&host, "count=", "").cookies();
    assert_eq!(ask::<InBucket>(&host, "show=", &cookies).cookies(), "");
    assert_ne!(ask::<InBucket>(&host.clone().ahead(Duration::from_secs(61)), "show=", &cookies).cookies(), "");
    assert_eq!(ask::<InBucket>(&host, "show=", "").cookies(), "", "nor is an empty one made");
    assert_eq!(kept(&host), 1);
}

#[test]
fn old_keys_open_what_the_new_one_does_not_seal() {
    let cookies = ask::<InCookie>(&host(), "count=", "").cookies();
    let rotated = Host::new().secret("SESSION_KEY", format!("{}\n{KEY}\n", "n".repeat(32)));
    let answer = ask::<InCookie>(&rotated, "count=", &cookies);
    assert_eq!(answer.text(), "None Some(2)");
    let only_new = Host::new().secret("SESSION_KEY", "n".repeat(32));
    assert_eq!(ask::<InCookie>(&only_new, "show=", &answer.cookies()).text(), "None Some(2)");
    assert_eq!(ask::<InCookie>(&only_new, "show=", &cookies).text(), "None None");
}

#[test]
fn a_short_key_and_none_are_mistakes_that_do_not_show_it() {
    for key in ["short", "", &format!("{KEY} short")] {
        let mut answer = None;
        let host = Host::new().secret("SESSION_KEY", key);
        host.call(async {
            let request = Request::get("/").body(Body::empty()).unwrap();
            let (mut parts, _) = request.into_parts();
            let taken = <Session as samovar_sdk::FromRequestParts>::from_request_parts(&mut parts).await;
            answer = taken.err().map(|error| error.to_string());
        });
        let error = answer.unwrap();
        assert!(error.contains("32 at least") && !error.contains("short"), "{error}");
    }
    assert_eq!(ask::<InCookie>(&Host::new(), "show=", "").status, 500);
}

#[test]
fn who_logs_in_gets_a_session_that_nobody_knew_before() {
    let host = host();
    let before = ask::<InBucket>(&host, "count=", "").cookies();
    let after = ask::<InBucket>(&host, "login=ann", &before).cookies();
    assert_eq!(ask::<InBucket>(&host, "show=", &before).text(), "None None");
    assert_eq!(ask::<InBucket>(&host, "show=", &after).text(), "Some(\"ann\") Some(1)");
    assert_eq!(kept(&host), 1);
}

/// Has one request at work while another with the same cookie begins and ends, and gives the first one's answer.
fn at_once(host: &Host, cookies: &str, slow: &'static str, quick: &'static str) -> Answer {
    let (inside, known) = (host.clone(), cookies.to_owned());
    let outside = move |session: Session<InBucket>| {
        let (inside, known) = (inside.clone(), known.clone());
        async move {
            assert_eq!(ask::<InBucket>(&inside, quick, &known).status, 200);
            let wanted = samovar_sdk::http::Uri::try_from(format!("/?{slow}"))?;
            let mut parts = Request::get(wanted).body(())?.into_parts().0;
            handle::<InBucket>(session, Query::from_request_parts(&mut parts).await?).await
        }
    };
    host.serve(outside, Request::get("/").header("cookie", cookies).body(Body::empty()).unwrap())
}

#[test]
fn a_session_that_was_destroyed_does_not_come_back() {
    let host = host();
    let cookies = ask::<InBucket>(&host, "login=ann", "").cookies();
    let late = at_once(&host, &cookies, "count=", "logout=");
    assert!(late.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"), "{late:?}");
    assert_eq!(ask::<InBucket>(&host, "show=", &cookies).text(), "None None");
    assert_eq!(kept(&host), 0);
}

#[test]
fn changes_of_two_requests_at_once_are_both_kept_in_a_bucket() {
    let host = host();
    let cookies = ask::<InBucket>(&host, "login=ann", "").cookies();
    at_once(&host, &cookies, "count=", "fill=3");
    let mut filling = String::new();
    let show = async |session: Session<InBucket>| session.get::<String>("filling").unwrap_or_default();
    let request = Request::get("/").header("cookie", &cookies).body(Body::empty()).unwrap();
    filling += host.serve(show, request).text();
    assert_eq!((filling.as_str(), ask::<InBucket>(&host, "show=", &cookies).text()), ("xxx", "Some(\"ann\") Some(1)"));
}

/// Who it is, as many handlers ask.
struct User(Option<String>);

impl FromRequestParts for User {
    async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
        Ok(Self(Session::<InCookie>::from_request_parts(parts).await?.get("user")))
    }
}

#[test]
fn a_session_is_one_however_many_extractors_look_at_it() {
    let host = host();
    let cookies = ask::<InCookie>(&host, "login=ann", "").cookies();
    let request = || Request::get("/").header("cookie", &cookies).body(Body::empty()).unwrap();
    let handler = async |mut session: Session, User(user): User| {
        session.insert("user", "bob")?;
        Ok::<_, samovar_sdk::Error>(user.unwrap_or_default())
    };
    // At a time when the extractor's would be written anew.
    let answer = host.clone().ahead(Duration::from_secs(61)).serve(handler, request());
    assert_eq!((answer.text(), answer.headers.get_all("set-cookie").iter().count()), ("ann", 1));
    assert_eq!(ask::<InCookie>(&host, "show=", &answer.cookies()).text(), "Some(\"bob\") None");
}

#[test]
fn two_kinds_of_session_are_two_cookies() {
    struct Staff;
    impl Sessions for Staff {
        type Place = InBucket;
        const COOKIE: &'static str = "staff";
    }
    let handler = async |mut customer: Session, mut staff: Session<Staff>| {
        customer.insert("user", "ann")?;
        staff.insert("user", "bob")
    };
    let answer = host().serve(handler, Request::get("/").body(Body::empty()).unwrap());
    let cookies = answer.cookies();
    assert!(cookies.contains("__Host-session=") && cookies.contains("__Host-staff="), "{cookies}");
}

#[test]
fn a_handler_behind_a_router_has_its_session_kept_too() {
    let router = Router::new().route(Method::GET, "/{*all}", handle::<InCookie>);
    let host = host();
    let request = Request::get("/x?count=").body(Body::empty()).unwrap();
    let cookies = host.call(router.handle(request)).cookies();
    assert_eq!(ask::<InCookie>(&host, "show=", &cookies).text(), "None Some(1)");
}

#[test]
fn an_answer_with_an_error_status_that_is_no_error_keeps_what_was_counted() {
    let refuse = async |mut session: Session| {
        let tries = session.get::<u32>("count").unwrap_or(0) + 1;
        session.insert("count", tries)?;
        Ok::<_, samovar_sdk::Error>((StatusCode::FORBIDDEN, "not right"))
    };
    let host = host();
    let answer = host.serve(refuse, Request::get("/").body(Body::empty()).unwrap());
    assert_eq!(answer.status, 403);
    assert_eq!(ask::<InCookie>(&host, "show=", &answer.cookies()).text(), "None Some(1)");
}

#[test]
fn what_changes_a_session_while_the_body_streams_is_refused() {
    let host = host();
    let late = async |mut session: Session| {
        session.insert("user", "ann")?;
        Ok::<_, samovar_sdk::Error>(Body::from_writer(|mut writer| async move {
            let refused = session.insert("user", "bob").unwrap_err();
            session.destroy();
            session.remove("user");
            writer.write(format!("{refused}; {:?}", session.get::<String>("user"))).await;
        }))
    };
    let answer = host.serve(late, Request::get("/").body(Body::empty()).unwrap());
    let words = "session: the handler has answered, and `user` would be lost: set it before; Some(\"ann\")";
    assert!(answer.text().ends_with(words), "{}", answer.text());
    assert_eq!(ask::<InCookie>(&host, "show=", &answer.cookies()).text(), "Some(\"ann\") None");
}

#[test]
fn what_does_not_fit_into_a_cookie_fits_into_a_bucket() {
    assert_eq!(ask::<InCookie>(&host(), "fill=2500", "").status, 200);
    assert_eq!(ask::<InCookie>(&host(), "fill=4000", "").status, 500);
    assert_eq!(ask::<InBucket>(&host(), "fill=4000", "").status, 200);
}

#[test]
fn an_error_changes_nothing_and_a_missing_bucket_is_one() {
    let host = host();
    let answer = ask::<InBucket>(&host, "count=&fail=", "");
    assert_eq!((answer.status.as_u16(), answer.cookies().as_str(), kept(&host)), (409, "", 0));
    let cookies = ask::<InBucket>(&host, "login=ann", "").cookies();
    assert_eq!(ask::<InBucket>(&host, "count=&fail=", &cookies).status, 409);
    assert_eq!(ask::<InBucket>(&host, "logout=&fail=", &cookies).status, 409);
    assert_eq!(ask::<InBucket>(&host, "show=", &cookies).text(), "Some(\"ann\") None");
    let without = Host::new().secret("SESSION_KEY", KEY);
    assert_eq!(ask::<InBucket>(&without, "count=", "").status, 500);
}
