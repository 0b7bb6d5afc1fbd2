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

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::{Body, IntoResponse, Request, Response, Result, RouteHandler, SendError};

type Outbound = dyn Fn(Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync;

thread_local! {
    /// The host whose handler is running on this thread.
    static CURRENT: RefCell<Option<Host>> = const { RefCell::new(None) };
}

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

/// What the platform gives a function: variables, and the servers it may call.
///
/// ```
/// use samovar_sdk::{Request, Result, env, send, testing::Host};
///
/// async fn price() -> Result<String> {
///     let answer = send(Request::get(env("PRICES")?).body(())?).await?;
///     Ok(answer.into_body().text().await?)
/// }
///
/// let host = Host::new()
///     .env("PRICES", "http://prices.internal/tea")
///     .outbound(async |request| format!("{} costs 3", request.uri().path()));
/// assert_eq!(host.call(price()).text(), "/tea costs 3");
/// ```
#[derive(Clone, Default)]
pub struct Host {
    env: HashMap<String, String>,
    outbound: Option<Arc<Outbound>>,
}

impl Host {
    /// No variables but the process's own, and no request may leave.
    ///
    /// ```
    /// let host = samovar_sdk::testing::Host::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an environment variable, for what runs on this host alone.
    ///
    /// ```
    /// let host = samovar_sdk::testing::Host::new().env("GREETING", "hello");
    /// assert_eq!(host.call(async { samovar_sdk::env("GREETING").unwrap() }).text(), "hello");
    /// ```
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Answers every outbound request in the place of the network. Without it each one is [`SendError::Denied`].
    ///
    /// ```
    /// use samovar_sdk::{http::StatusCode, testing::Host};
    ///
    /// let host = Host::new().outbound(async |_request| StatusCode::SERVICE_UNAVAILABLE);
    /// ```
    #[must_use]
    pub fn outbound<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoResponse,
    {
        self.outbound = Some(Arc::new(move |request| {
            let answer = answer(request);
            Box::pin(async move { answer.await.into_response() })
        }));
        self
    }

    /// Runs a handler's future on this host, and reads its answer to the end.
    ///
    /// # Panics
    /// The answer's body broke off.
    ///
    /// ```
    /// let answer = samovar_sdk::testing::Host::new().call(async { "hello" });
    /// assert_eq!(answer.status, 200);
    /// ```
    pub fn call<R: IntoResponse>(&self, handler: impl Future<Output = R>) -> Answer {
        let _guard = Entered(CURRENT.replace(Some(self.clone())));
        block_on(async {
            let (head, mut body) = handler.await.into_response().into_parts();
            let mut whole = Vec::new();
            while let Some(chunk) = body.chunk().await.unwrap_or_else(|error| panic!("the answer broke off: {error}")) {
                whole.extend_from_slice(&chunk);
            }
            let trailers = body.trailers().cloned();
            Answer { status: head.status, headers: head.headers, body: whole.into(), trailers }
        })
    }
}

impl Host {
    /// Sends a request through a handler's extractors, as the platform does. For [`Path`](crate::Path), which needs a pattern,
    /// [`call`](Self::call) a [`Router`](crate::Router)'s `handle`.
    ///
    /// # Panics
    /// The answer's body broke off.
    ///
    /// ```
    /// use samovar_sdk::{Body, Request, testing::Host};
    ///
    /// let request = Request::get("/x").body(Body::empty()).unwrap();
    /// let answer = Host::new().serve(async |request: Request| request.uri().to_string(), request);
    /// assert_eq!(answer.text(), "/x");
    /// ```
    pub fn serve<Args>(&self, handler: impl RouteHandler<Args>, request: Request) -> Answer {
        self.call(handler.answer(request))
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("env", &self.env).field("outbound", &self.outbound.is_some()).finish()
    }
}

/// Puts back the host that was there before.
struct Entered(Option<Host>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
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

pub(crate) fn env(name: &str) -> Option<String> {
    CURRENT.with_borrow(|host| host.as_ref().and_then(|host| host.env.get(name).cloned()))
}

pub(crate) async fn send(request: http::Request<Body>) -> Result<Response, SendError> {
    let outbound = CURRENT.with_borrow(|host| host.as_ref().and_then(|host| host.outbound.clone()));
    match outbound {
        Some(outbound) => Ok(outbound(request).await),
        None => Err(SendError::Denied(format!("{}: this test has no `Host::outbound`", request.uri()))),
    }
}
