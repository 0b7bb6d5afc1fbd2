//! Accounts and sessions in buckets: a form to log in or join, a page for those who are known, and the way out.

mod passwords;

use std::sync::LazyLock;

use samovar_sdk::session::{InBucket, Session};
use samovar_sdk::{Error, Html, Request, Response, Result, Router, handler, http::StatusCode, kv, log};
use serde::Deserialize;

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let router = Router::new().get("/login", page).post("/login", log_in);
    router.post("/login/join", join).post("/login/out", log_out)
});

/// Wrong passwords for a name before it has to wait. Each costs the function the time of a hash, and the one who tries as well.
const MAX_TRIES: i64 = 10;

const MIN_PASSWORD_CHARACTERS: usize = 8;

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

async fn log_in(session: Session<InBucket>, Form(given): Form<Credentials>) -> Result<Response> {
    check_name(&given.user)?;
    let tries = kv::bucket("tries")?;
    // What is refused here is not counted: a name waits for the bucket's `ttl` and no longer, whoever goes on trying.
    if tries.get_json::<i64>(&given.user).await?.unwrap_or(0) >= MAX_TRIES {
        return Ok(refused(StatusCode::TOO_MANY_REQUESTS, "Too many tries: wait a quarter of an hour."));
    }
    let hash = kv::bucket("users")?.get(&given.user).await?;
    if !passwords::is_right(&given.password, hash.as_deref())? {
        tries.increment(&given.user, 1).await?;
        log::warn!("a login was refused", user = given.user);
        return Ok(refused(StatusCode::FORBIDDEN, "Not right."));
    }
    tries.delete(&given.user).await?;
    enter(session, &given.user)
}

async fn join(session: Session<InBucket>, Form(given): Form<Credentials>) -> Result<Response> {
    check_name(&given.user)?;
    if given.password.chars().count() < MIN_PASSWORD_CHARACTERS {
        return Err(Error::unprocessable(format!("a password has {MIN_PASSWORD_CHARACTERS} characters or more")));
    }
    // Of several who want a name, one gets it.
    if !kv::bucket("users")?.create(&given.user, passwords::hash(&given.password)?).await? {
        return Ok(refused(StatusCode::CONFLICT, "The name is taken."));
    }
    enter(session, &given.user)
}

/// Who knew the session before does not share it from here on.
fn enter(mut session: Session<InBucket>, user: &str) -> Result<Response> {
    session.renew();
    session.insert("user", user)?;
    Response::redirect("/login")
}

async fn log_out(mut session: Session<InBucket>) -> Result<Response> {
    session.destroy();
    Response::redirect("/login")
}

/// Names that need no care in a page, a log or a bucket.
fn check_name(user: &str) -> Result<()> {
    let is_name = (1..=32).contains(&user.len()) && user.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_name { Ok(()) } else { Err(Error::unprocessable("a name has 1 to 32 letters and digits")) }
}

fn refused(status: StatusCode, why: &str) -> Response {
    Response::html(form(why)).with_status(status)
}

fn form(note: &str) -> String {
    format!(
        "<p>{note}<form method=post action=/login><input name=user placeholder=Name>\
         <input name=password type=password placeholder=Password><button>Log in</button>\
         <button formaction=/login/join>Join</button></form>"
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
        let host = Host::new().secret("SESSION_KEY", "0123456789abcdef0123456789abcdef");
        host.kv("sessions").kv("users").kv("tries")
    }

    fn ask(host: &Host, method: &str, path: &str, cookies: &str, body: &'static str) -> Answer {
        let request = Request::builder().method(method).uri(path).header("cookie", cookies);
        host.call(login(request.body(Body::from(body)).unwrap()))
    }

    #[test]
    fn who_has_joined_is_known_until_the_way_out_and_comes_back_with_the_password() {
        let host = host();
        assert!(ask(&host, "GET", "/login", "", "").text().contains("<form"));
        let joined = ask(&host, "POST", "/login/join", "", "user=ann&password=correct+horse");
        assert_eq!((joined.status.as_u16(), &joined.headers["location"]), (303, &"/login".parse().unwrap()));
        let cookies = joined.cookies();
        assert!(ask(&host, "GET", "/login", &cookies, "").text().contains("Hello ann"));

        let left = ask(&host, "POST", "/login/out", &cookies, "");
        assert_eq!(left.cookies(), "");
        // A cookie that was copied before is good for nothing now.
        assert!(!ask(&host, "GET", "/login", &cookies, "").text().contains("Hello"));
        let again = ask(&host, "POST", "/login", "", "user=ann&password=correct+horse");
        assert!(ask(&host, "GET", "/login", &again.cookies(), "").text().contains("Hello ann"));
    }

    #[test]
    fn what_is_kept_of_a_password_is_a_hash_that_tells_nothing_of_it() {
        let host = host();
        ask(&host, "POST", "/login/join", "", "user=ann&password=correct+horse");
        let kept = host.call(async { Ok::<_, Error>(kv::bucket("users")?.get("ann").await?.unwrap_or_default()) });
        assert!(kept.text().starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{}", kept.text());
    }

    #[test]
    fn a_name_is_one_persons_and_neither_names_nor_passwords_are_anything() {
        let host = host();
        let join = |body| ask(&host, "POST", "/login/join", "", body).status.as_u16();
        assert_eq!(join("user=ann&password=correct+horse"), 303);
        assert_eq!(join("user=ann&password=another+horse"), 409);
        assert_eq!(join("user=bob&password=short"), 422);
        assert_eq!(join("user=%3Cb%3E&password=correct+horse"), 422);
    }

    #[test]
    fn a_wrong_password_makes_no_session_and_many_of_them_have_to_wait() {
        let host = host();
        ask(&host, "POST", "/login/join", "", "user=ann&password=correct+horse");
        for _ in 0..MAX_TRIES {
            let answer = ask(&host, "POST", "/login", "", "user=ann&password=wrong");
            assert_eq!((answer.status.as_u16(), answer.cookies().as_str()), (403, ""));
        }
        assert_eq!(ask(&host, "POST", "/login", "", "user=ann&password=correct+horse").status, 429);
        assert_eq!(ask(&host, "POST", "/login", "", "user=nobody&password=correct+horse").status, 403);
    }
}
