//! What a WASI 0.2 component costs by itself: one instance in a plain wasmtime embedding, its handler called in a loop.
//!
//! No socket, no server, no limits and no metering of time: wasmtime, wasmtime-wasi-http and the guest. A request is handed in
//! as it would come from hyper, with one header; the answer's head and body are read to their end while the guest runs.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::error::Context as _;
use wasmtime::{Config, Engine, Result, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

/// An instance that is called by nobody else.
pub struct GuestAlone {
    store: Store<State>,
    proxy: Proxy,
}

/// What a loop of calls took.
#[derive(Debug, Clone, Copy)]
pub struct Looped {
    /// Calls made.
    pub calls: u64,
    /// Time that the thread was on a core.
    pub cpu: Duration,
}

impl Looped {
    /// Microseconds of CPU time for one call.
    pub fn micros_per_call(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.calls as f64
    }
}

impl GuestAlone {
    /// Compiles a component and makes an instance of it.
    ///
    /// # Errors
    /// When it is no component of WASI 0.2 that serves HTTP.
    pub async fn load(component: &Path) -> Result<Self> {
        let mut config = Config::new();
        // As cheap as wasmtime can be for such a component.
        config.concurrency_support(false);
        config.wasm_component_model_async(false);
        let engine = Engine::new(&config)?;
        let component = Component::from_file(&engine, component)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let pre = ProxyPre::new(linker.instantiate_pre(&component)?)?;
        let state = State {
            table: ResourceTable::new(),
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            hooks: NoOutbound,
        };
        let mut store = Store::new(&engine, state);
        let proxy = pre.instantiate_async(&mut store).await?;
        Ok(Self { store, proxy })
    }

    /// Calls `GET path` for so long; each answer must have this body.
    ///
    /// # Errors
    /// When the guest traps or answers something else.
    pub async fn call_for(&mut self, span: Duration, path: &str, answer: &[u8]) -> Result<Looped> {
        let (started, before) = (Instant::now(), thread_cpu_time()?);
        let mut calls = 0;
        while started.elapsed() < span {
            self.call(path, answer).await?;
            calls += 1;
        }
        Ok(Looped { calls, cpu: thread_cpu_time()?.saturating_sub(before) })
    }

    async fn call(&mut self, path: &str, answer: &[u8]) -> Result<()> {
        let body = Empty::<Bytes>::new().map_err(|never| -> Error { match never {} });
        let request = Request::builder().uri(path).header("host", "127.0.0.1:8080").body(body)?;
        let (send, head) = oneshot::channel();
        let mut view = self.store.data_mut().http();
        let request = view.new_incoming_request(Scheme::Http, request)?;
        let out = view.new_response_outparam(send)?;
        let guest = async {
            self.proxy.wasi_http_incoming_handler().call_handle(&mut self.store, request, out).await?;
            wasmtime::error::Ok(())
        };
        let read = async {
            let response = head.await.context("the guest did not answer")??;
            let status = response.status();
            let body = response.into_body().collect().await.context("the body broke off")?.to_bytes();
            wasmtime::ensure!(status == 200 && body == answer, "the guest answered {status} {body:?}");
            Ok(())
        };
        tokio::try_join!(guest, read)?;
        Ok(())
    }
}

/// The time that this thread has spent on a core.
fn thread_cpu_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split_whitespace().next().context("schedstat has three fields")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoOutbound,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

/// The guests that are measured call nobody.
struct NoOutbound;

type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for NoOutbound {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _processing: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
