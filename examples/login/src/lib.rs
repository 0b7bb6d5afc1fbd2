//! A login with sessions in a bucket: a form, a page for those who are known, and the way out.

use std::sync::LazyLock;

use samovar_sdk::session::{InBucket, Session};
use samovar_sdk::{Error, Html, Request, Response, Result, Router, handler, http::StatusCode, log, secret};
use serde::Deserialize;

static ROUTER: LazyLock<Router> =
    LazyLock::new(|| Router::new().get("/login", page).post("/login", log_in).post("/login/out", log_out));

/// The one user that there is. Her password is a secret: long and random, so that nobody finds it by trying.
const USER: &str = "ann";

#[handler]
async fn login(request: Request) -> Response {
    ROUTER.handle(request).await
}

async fn page(session: Session<InBucket>) -> Html<String> {
    Html(match session.get::<String>("user") {
        Some(user) => format!("<p>Hello {user}.<form method=post action=/login/out><button>Log out</button></form>"),
        None => form(""),
    })
}

#[derive(Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

async fn log_in(mut session: Session<InBucket>, Form(given): Form<Credentials>) -> Result<Response> {
    // Both are always compared, so that the time does not tell which one was wrong.
    let is_right = secret::get("LOGIN_PASSWORD")?.matches(&given.password) & (given.user == USER);
    if !is_right {
        log::warn!("a login was refused");
        return Ok(Response::html(form("<p>Not right.")).with_status(StatusCode::FORBIDDEN));
    }
    session.renew();
    session.insert("user", USER)?;
    Response::redirect("/login")
}

async fn log_out(mut session: Session<InBucket>) -> Result<Response> {
    session.destroy();
    Response::redirect("/login")
}

fn form(note: &str) -> String {
    format!(
        "{note}<form method=post action=/login><input name=user placeholder=Name>\
         <input name=password type=password placeholder=Password><button>Log in</button></form>"
    )
}

/// What a browser's form sends.
struct Form<T>(T);

impl<T: serde::de::DeserializeOwned> samovar_sdk::FromRequest for Form<T> {
    async fn from_request(request: Request) -> Result<Self> {
        let text = String::from_request(request).await?;
        serde_urlencoded::from_str(&text).map(Self).map_err(|error| Error::unprocessable(format!("form: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use samovar_sdk::testing::{Answer, Host};
    use samovar_sdk::{Body, Request};

    use super::*;

    fn host() -> Host {
        let host = Host::new().kv("sessions").secret("SESSION_KEY", "0123456789abcdef0123456789abcdef");
        host.secret("LOGIN_PASSWORD", "correct horse")
    }

    fn ask(host: &Host, method: &str, path: &str, cookies: &str, body: &'static str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("cookie", cookies);
        host.call(login(request.body(Body::from(body)).unwrap()))
    }

    #[test]
    fn who_knows_the_password_is_known_until_the_way_out() {
        let host = host();
        assert!(ask(&host, "GET", "/login", "", "").text().contains("<form"));
        let entered = ask(&host, "POST", "/login", "", "user=ann&password=correct+horse");
        assert_eq!((entered.status.as_u16(), &entered.headers["location"]), (303, &"/login".parse().unwrap()));
        let cookies = entered.cookies();
        assert!(ask(&host, "GET", "/login", &cookies, "").text().contains("Hello ann"));

        let left = ask(&host, "POST", "/login/out", &cookies, "");
        assert_eq!(left.cookies(), "");
        // A cookie that was copied before is good for nothing now.
        assert!(!ask(&host, "GET", "/login", &cookies, "").text().contains("Hello"));
    }

    #[test]
    fn a_wrong_password_makes_no_session() {
        let answer = ask(&host(), "POST", "/login", "", "user=ann&password=wrong");
        assert_eq!((answer.status.as_u16(), answer.cookies().as_str()), (403, ""));
    }
}
