//! The hello example, which `?held` keeps for ten seconds: so many instances can be called at once that each is called once.

use std::time::Duration;

use samovar_sdk::{Request, Response, Result, handler, sleep};

#[handler]
async fn held(req: Request) -> Result<Response> {
    if req.uri().query() == Some("held") {
        sleep(Duration::from_secs(10)).await;
    }
    Ok(Response::text(format!("hello from {}\n", req.uri().path())))
}
