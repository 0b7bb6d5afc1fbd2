//! The smallest useful function: it says where it was called.

use samovar_sdk::{Request, Response, Result, handler};

#[handler]
async fn hello(req: Request) -> Result<Response> {
    Ok(Response::text(format!("hello from {}\n", req.uri().path())))
}

#[cfg(test)]
mod tests {
    use samovar_sdk::{Body, Request, testing};

    use super::*;

    #[test]
    fn it_says_where_it_was_called() {
        let request = Request::get("/hello/there").body(Body::empty()).unwrap();
        let answer = testing::call(hello(request));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.text(), "hello from /hello/there\n");
    }
}
