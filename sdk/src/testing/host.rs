//! The platform of a test: what it grants, and what answers in the place of others.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::buckets::Stored;
use super::{Answer, block_on, current};
use crate::log::Level;
use crate::{IntoResponse, Request, Response, RouteHandler, guest};

pub(super) type Answers = dyn Fn(Request) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync;

/// What the platform gives a function: settings, buckets, secrets, other functions, and the servers it may call. Clones are the
/// same platform: what is written to the bucket of one is in the other's.
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
    pub(super) env: HashMap<String, String>,
    pub(super) config: BTreeMap<String, String>,
    pub(super) secrets: HashMap<String, String>,
    pub(super) buckets: HashMap<String, Arc<Mutex<Stored>>>,
    pub(super) outbound: Option<Arc<Answers>>,
    pub(super) functions: HashMap<String, Arc<Answers>>,
    #[cfg(feature = "session")]
    pub(super) ahead: std::time::Duration,
    pub(super) logs: Arc<Mutex<Vec<LogLine>>>,
}

impl Host {
    /// No variables but the process's own, nothing granted, and no request may leave.
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
        self.outbound = Some(answers(answer));
        self
    }

    /// Grants a bucket, empty, as `NAME = {}` in `[function.….kv]` does. What is not granted is
    /// [`NotGranted`](crate::kv::Error::NotGranted), as on the platform.
    ///
    /// It has the defaults of the manifest: nothing in it expires, and it holds 64 MiB. `ttl` and `max_bytes` cannot be set here, nor
    /// does [`ahead`](Self::ahead) make a value grow old: what becomes of a function whose values have expired is tested by deleting
    /// them.
    ///
    /// ```
    /// let host = samovar_sdk::testing::Host::new().kv("sessions");
    /// ```
    #[must_use]
    pub fn kv(mut self, bucket: impl Into<String>) -> Self {
        self.buckets.insert(bucket.into(), Arc::default());
        self
    }

    /// Sets a key of `[function.….config]`.
    ///
    /// ```
    /// let host = samovar_sdk::testing::Host::new().config("currency", "EUR");
    /// ```
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }

    /// Sets and grants a secret.
    ///
    /// ```
    /// let host = samovar_sdk::testing::Host::new().secret("STRIPE_KEY", "sk_1");
    /// ```
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.secrets.insert(name.into(), value.into());
        self
    }

    /// Answers calls of another function in its place, which `allow_functions` would have to name. A call of one that is not here is
    /// [`Denied`](crate::functions::CallError::Denied).
    ///
    /// ```
    /// use samovar_sdk::testing::Host;
    ///
    /// let host = Host::new().function("cart", async |request| format!("{} is empty", request.uri().path()));
    /// ```
    #[must_use]
    pub fn function<F, Fut>(mut self, name: impl Into<String>, answer: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoResponse,
    {
        self.functions.insert(name.into(), answers(answer));
        self
    }

    /// The same host later on: the clock that sessions go by is ahead by this much (feature `session`).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let host = samovar_sdk::testing::Host::new().kv("sessions");
    /// let tomorrow = host.clone().ahead(Duration::from_secs(86_400));
    /// ```
    #[cfg(feature = "session")]
    #[must_use]
    pub fn ahead(mut self, time: std::time::Duration) -> Self {
        self.ahead += time;
        self
    }

    /// What was logged on this host so far with [`log`](crate::log).
    ///
    /// ```
    /// let host = samovar_sdk::testing::Host::new();
    /// host.call(async { samovar_sdk::log::info!("started") });
    /// assert_eq!(host.logs()[0].message, "started");
    /// ```
    pub fn logs(&self) -> Vec<LogLine> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let _entered = current::enter(self.clone());
        block_on(async {
            let answer = guest::keeping(async { handler.await.into_response() }).await;
            let (head, mut body) = answer.into_parts();
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

/// Secrets are left out.
impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("env", &self.env)
            .field("config", &self.config)
            .field("buckets", &self.buckets.keys())
            .field("functions", &self.functions.keys())
            .field("outbound", &self.outbound.is_some())
            .finish_non_exhaustive()
    }
}

fn answers<F, Fut>(answer: F) -> Arc<Answers>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoResponse,
{
    Arc::new(move |request| {
        let answer = answer(request);
        Box::pin(async move { answer.await.into_response() })
    })
}

/// A line of the log, as the platform shows it.
///
/// ```
/// use samovar_sdk::{log::{self, Level}, testing::Host};
///
/// let host = Host::new();
/// host.call(async { log::warn!("slow", ms = 250) });
/// let line = &host.logs()[0];
/// assert_eq!((line.level, &*line.message), (Level::Warn, "slow"));
/// assert_eq!(line.fields["ms"], 250);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// By what like lines are found: with the macros, the module.
    pub context: String,
    /// The text.
    pub message: String,
    /// The fields.
    pub fields: Map<String, Value>,
}
