//! A report that is made each night by schedule, of what came in by day, and is served as it was made.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::SystemTime;

use samovar_sdk::http::StatusCode;
use samovar_sdk::{Error, Json, Request, Response, Result, Router, handler, kv, log};
use serde::{Deserialize, Serialize};

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    Router::new().post("/report/sales", sell).get("/report/latest", latest).post("/report/make", make)
});

#[derive(Debug, Deserialize)]
struct Sale {
    article: String,
    cents: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    /// In seconds since 1970.
    made: u64,
    /// Cents by article, since the beginning.
    totals: BTreeMap<String, i64>,
}

#[handler]
async fn report(request: Request) -> Response {
    ROUTER.handle(request).await
}

async fn sell(Json(sale): Json<Sale>) -> Result<StatusCode> {
    kv::bucket("sales")?.increment(&sale.article, sale.cents.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A schedule runs at least once: to make a report again does no harm.
async fn make() -> Result<StatusCode> {
    let sales = kv::bucket("sales")?;
    let mut totals = BTreeMap::new();
    let mut pages = sales.keys("");
    while let Some(articles) = pages.next().await? {
        let cents = sales.get_many(&articles).await?;
        for (article, cents) in articles.into_iter().zip(cents) {
            // Gone since it was listed.
            let Some(cents) = cents else { continue };
            totals.insert(article, std::str::from_utf8(&cents)?.parse()?);
        }
    }
    let made = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    log::info!("made the report", articles = totals.len());
    kv::bucket("reports")?.set_json("latest", &Report { made, totals }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn latest() -> Result<Json<Report>> {
    let report = kv::bucket("reports")?.get_json("latest").await?;
    report.map(Json).ok_or_else(|| Error::not_found("no report yet: the first one is made tonight"))
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{Answer, Host};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn ask(host: &Host, method: &str, path: &str, body: String) -> Answer {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        host.call(report(request.body(Body::from(body)).unwrap()))
    }

    #[test]
    fn the_report_is_of_what_was_sold_until_it_was_made() {
        let host = Host::new().kv("sales").kv("reports");
        let sell = |article: &str| {
            let answer = ask(&host, "POST", "/report/sales", format!(r#"{{"article":"{article}","cents":300}}"#));
            assert_eq!(answer.status, 204);
        };
        assert_eq!(ask(&host, "GET", "/report/latest", String::new()).status, 404);
        // More than one page of keys.
        (0..40).for_each(|number| sell(&format!("tea-{number:02}")));
        sell("tea-07");
        assert_eq!(ask(&host, "POST", "/report/make", String::new()).status, 204);
        sell("milk");

        let report: Report = ask(&host, "GET", "/report/latest", String::new()).json();
        assert_eq!(report.totals.len(), 40);
        assert_eq!((report.totals["tea-07"], report.totals["tea-08"]), (600, 300));
        assert_eq!(host.logs()[0].fields["articles"], 40);
    }
}
