//! Running handlers natively, in `cargo test`: no wasm, no server.
//!
//! ```
//! use samovar_sdk::{Body, Request, Response, Result, handler, testing};
//!
//! #[handler]
//! async fn hello(request: Request) -> Result<Response> {
//!     Ok(Response::text(format!("hello from {}\n", request.uri().path())))
//! }
//!
//! let request = Request::get("/hello").body(Body::empty()).unwrap();
//! let answer = testing::call(hello(request));
//! assert_eq!(answer.status, 200);
//! assert_eq!(answer.text(), "hello from /hello\n");
//! ```

mod buckets;
mod current;
mod host;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::{IntoResponse, Request, RouteHandler};

pub(crate) use buckets::Bucket;
#[cfg(feature = "session")]
pub(crate) use current::now;
pub(crate) use current::{all_config, bucket, config, env, log, secret, send};
pub use host::{Host, LogLine};

/// Runs a future to its end on this thread.
///
/// ```
/// assert_eq!(samovar_sdk::testing::block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a handler's future, and reads its answer to the end: [`Host::call`] of a host without variables and network.
///
/// # Panics
/// The answer's body broke off.
///
/// ```
/// use samovar_sdk::testing;
///
/// let answer = testing::call(async { "hello\n" });
/// assert_eq!(answer.text(), "hello\n");
/// ```
pub fn call<R: IntoResponse>(handler: impl Future<Output = R>) -> Answer {
    Host::new().call(handler)
}

/// Sends a request through a handler's extractors, as the platform does: [`Host::serve`] of a host without variables and network.
///
/// # Panics
/// The answer's body broke off.
///
/// ```
/// use samovar_sdk::{Body, Json, Request, handler, testing};
///
/// #[handler]
/// async fn double(Json(number): Json<u32>) -> String {
///     (number * 2).to_string()
/// }
///
/// let request = Request::post("/").header("content-type", "application/json").body(Body::from("x")).unwrap();
/// assert_eq!(testing::serve(double, request).status, 400);
/// ```
pub fn serve<Args>(handler: impl RouteHandler<Args>, request: Request) -> Answer {
    Host::new().serve(handler, request)
}

/// A whole answer.
///
/// ```
/// use samovar_sdk::{Json, testing};
///
/// let answer = testing::call(async { Json([1, 2]) });
/// assert_eq!(answer.headers["content-type"], "application/json");
/// assert_eq!(answer.json::<Vec<u32>>(), [1, 2]);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as the handler set them: what the transport adds is not there.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
    /// What came after the body.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The body as text.
    ///
    /// # Panics
    /// It is not UTF-8.
    ///
    /// ```
    /// assert_eq!(samovar_sdk::testing::call(async { "hello" }).text(), "hello");
    /// ```
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer's body is UTF-8")
    }

    /// The cookies that the answer sets, as a browser sends them back: what goes into the next request's `cookie` header. Those
    /// that it takes away are not in it.
    ///
    /// ```
    /// use samovar_sdk::{Response, testing};
    ///
    /// let answer = testing::call(async { Response::text("hi").with_header("set-cookie", "a=1; Path=/") });
    /// assert_eq!(answer.cookies(), "a=1");
    /// ```
    pub fn cookies(&self) -> String {
        let set = self.headers.get_all(http::header::SET_COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let kept = set.filter(|cookie| !cookie.contains("Max-Age=0"));
        kept.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
    }

    /// The body, read as JSON.
    ///
    /// # Panics
    /// It is not JSON of this shape.
    ///
    /// ```
    /// let answer = samovar_sdk::testing::call(async { samovar_sdk::Json("hi") });
    /// assert_eq!(answer.json::<String>(), "hi");
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}, in {:?}", self.body))
    }
}
