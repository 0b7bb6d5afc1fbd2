//! A URL shortener: `POST /shorten` takes a URL and gives a short name for it, `GET /shorten/NAME` sends a browser there.

use std::sync::LazyLock;

use samovar_sdk::http::{StatusCode, Uri};
use samovar_sdk::{Error, Json, Path, Request, Response, Result, Router, handler, kv, log};
use serde::{Deserialize, Serialize};

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    Router::new().post("/shorten", shorten).get("/shorten/{name}", follow).get("/shorten/{name}/clicks", clicks)
});

/// What a name may have: no letter that is easily taken for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

#[derive(Debug, Deserialize)]
struct Long {
    url: String,
    /// A name of the caller's choice.
    name: Option<String>,
}

#[derive(Debug, Serialize)]
struct Short {
    name: String,
}

#[handler]
async fn links(request: Request) -> Response {
    ROUTER.handle(request).await
}

async fn shorten(Json(long): Json<Long>) -> Result<(StatusCode, Json<Short>)> {
    check(&long.url)?;
    let links = kv::bucket("links")?;
    let name = match long.name {
        Some(name) => {
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || name.len() > 32 {
                return Err(Error::unprocessable("`name` is not 1 to 32 letters, digits and `-`"));
            }
            if !links.create(&name, &long.url).await? {
                return Err(Error::conflict(format!("`{name}` is taken")));
            }
            name
        }
        None => next_name(&links, &long.url).await?,
    };
    log::info!("made a link", name = name, url = long.url);
    Ok((StatusCode::CREATED, Json(Short { name })))
}

/// Only to the web: a link to `javascript:` would run in the page that shows it.
fn check(url: &str) -> Result<()> {
    let parsed: Uri = url.parse().map_err(|error| Error::unprocessable(format!("`url`: {error}")))?;
    match parsed.scheme_str() {
        Some("http" | "https") => Ok(()),
        _ => Err(Error::unprocessable("`url` begins with neither `http://` nor `https://`")),
    }
}

/// Counted, so that names are as short as can be. One that somebody has chosen already is passed over.
async fn next_name(links: &kv::Bucket, url: &str) -> Result<String> {
    let counter = kv::bucket("clicks")?;
    loop {
        let name = spelled(counter.increment("#names", 1).await?);
        if links.create(&name, url).await? {
            return Ok(name);
        }
    }
}

fn spelled(mut number: i64) -> String {
    let mut letters = Vec::new();
    while number > 0 || letters.is_empty() {
        letters.push(LETTERS[usize::try_from(number % 32).unwrap_or(0)]);
        number /= 32;
    }
    letters.into_iter().rev().map(char::from).collect()
}

async fn follow(Path(name): Path<String>) -> Result<Response> {
    let url = kv::bucket("links")?.get(&name).await?.ok_or_else(|| no_link(&name))?;
    kv::bucket("clicks")?.increment(&name, 1).await?;
    Response::redirect(std::str::from_utf8(&url)?)
}

async fn clicks(Path(name): Path<String>) -> Result<String> {
    if !kv::bucket("links")?.exists(&name).await? {
        return Err(no_link(&name));
    }
    let count = kv::bucket("clicks")?.get_json::<i64>(&name).await?;
    Ok(format!("{}\n", count.unwrap_or(0)))
}

fn no_link(name: &str) -> Error {
    Error::not_found(format!("no link `{name}`"))
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{Answer, Host};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn host() -> Host {
        Host::new().kv("links").kv("clicks")
    }

    fn get(host: &Host, path: &str) -> Answer {
        host.call(links(Request::get(path).body(Body::empty()).unwrap()))
    }

    fn post(host: &Host, body: &'static str) -> Answer {
        let request = Request::post("/shorten").header("content-type", "application/json");
        host.call(links(request.body(Body::from(body)).unwrap()))
    }

    #[test]
    fn a_link_leads_where_it_was_made_for_and_is_counted() {
        let host = host();
        let made = post(&host, r#"{"url":"https://example.com/tea?cups=2"}"#);
        assert_eq!((made.status.as_u16(), made.text()), (201, r#"{"name":"b"}"#));
        let answer = get(&host, "/shorten/b");
        assert_eq!(answer.status, 303);
        assert_eq!(answer.headers["location"], "https://example.com/tea?cups=2");
        assert_eq!(get(&host, "/shorten/b/clicks").text(), "1\n");
        assert_eq!(host.logs()[0].fields["name"], "b");
    }

    #[test]
    fn a_chosen_name_belongs_to_who_was_first() {
        let host = host();
        assert_eq!(post(&host, r#"{"url":"https://a.example","name":"b"}"#).status, 201);
        assert_eq!(post(&host, r#"{"url":"https://b.example","name":"b"}"#).status, 409);
        assert_eq!(post(&host, r#"{"url":"https://b.example"}"#).text(), r#"{"name":"c"}"#);
        assert_eq!(get(&host, "/shorten/b").headers["location"], "https://a.example");
    }

    #[test]
    fn what_is_no_link_is_refused() {
        let host = host();
        assert_eq!(post(&host, r#"{"url":"javascript:alert(1)"}"#).status, 422);
        assert_eq!(post(&host, r##"{"url":"https://a.example","name":"#names"}"##).status, 422);
        assert_eq!(get(&host, "/shorten/nowhere").status, 404);
        assert_eq!(get(&host, "/shorten/nowhere/clicks").status, 404);
    }
}
