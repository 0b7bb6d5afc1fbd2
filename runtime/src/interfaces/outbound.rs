//! Requests that guests send: allowed by the manifest or refused, over pooled connections, within the function's limits.
//!
//! ```text
//! send_request -> is it another function? (`calls.rs`)
//!              -> is the destination allowed? -> a place, a connection, the answer's head (`exchange.rs`) -> its body (`answer.rs`)
//!                                                   \-> resolve, check each address (`connect.rs`)
//! ```
//! What is refused leaves one line in the function's log, which names the destination and the line to add to the manifest.

mod address;
pub(super) mod answer;
mod client;
mod connect;
pub(crate) mod error_code;
pub(super) mod exchange;
mod failure;
pub(crate) mod handler;

use std::future::Future;
use std::sync::Arc;

use http::HeaderName;
use samovar_model::{FunctionName, LogStream, OutboundLimits, OutboundPattern, Settings};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::Services;
use super::calls::{Call, Caller, Callers, Calls, callee};
use crate::logs::LogSink;
pub(crate) use client::OutboundClient;

/// A revision's rules for outbound requests, and what sends them. Made once per revision.
pub(crate) struct Outbound {
    function: String,
    allowed: Vec<OutboundPattern>,
    /// Whether these may be private addresses.
    allow_private: bool,
    limits: OutboundLimits,
    client: OutboundClient,
    pub(super) calls: Calls,
    log: LogSink,
    forbidden_headers: ForbiddenHeaderFilter,
    /// One permit for each request that may be under way at once.
    places: Arc<Semaphore>,
    /// One permit for each name that may be looked up at once.
    lookups: Arc<Semaphore>,
}

/// A request's right to be under way.
pub(super) type Place = OwnedSemaphorePermit;

impl Outbound {
    pub(crate) fn new(function: &FunctionName, settings: &Settings, services: &Services<'_>, log: LogSink) -> Self {
        let limits = settings.outbound.clone();
        Self {
            function: function.to_string(),
            allowed: settings.allow_outbound.clone(),
            allow_private: settings.allow_private,
            calls: Calls::new(settings, services.reach.functions.as_ref()),
            places: Arc::new(Semaphore::new((limits.concurrency as usize).min(Semaphore::MAX_PERMITS))),
            limits,
            ..Self::nothing(services.client.clone(), log)
        }
    }

    /// Rules that allow nothing.
    pub(crate) fn nothing(client: OutboundClient, log: LogSink) -> Self {
        Self {
            function: String::new(),
            allowed: Vec::new(),
            allow_private: false,
            limits: OutboundLimits::default(),
            client,
            calls: Calls::default(),
            log,
            forbidden_headers: Arc::new(is_forbidden),
            places: Arc::new(Semaphore::new(0)),
            lookups: Arc::new(Semaphore::new(connect::MAX_LOOKUPS_EACH)),
        }
    }

    /// Whether any other function may be called.
    pub(crate) fn may_call(&self) -> bool {
        self.calls.may_call()
    }

    pub(super) fn function(&self) -> &str {
        &self.function
    }

    pub(super) fn limits(&self) -> &OutboundLimits {
        &self.limits
    }

    /// Tells the function's owner why a request was refused, and which line would allow it.
    fn refuse(&self, instance: u64, uri: &http::Uri) {
        let destination = destination(uri);
        let is_private = connect::literal(uri).is_some_and(|address| !address::is_public(address));
        let as_well = if is_private && !self.allow_private { " and allow_private = true" } else { "" };
        let function = &self.function;
        self.tell(
            instance,
            format!(
                "outbound request to {destination} refused: add it to the manifest, \
                 [function.{function}] allow_outbound = [\"{destination}\"]{as_well}"
            ),
        );
    }

    /// Writes a line into the function's log, as far as its rate allows.
    pub(super) fn tell(&self, instance: u64, text: String) {
        if self.log.admits(1, text.len()) {
            self.log.write(instance, None, LogStream::Stderr, text);
        } else {
            self.log.drop_lines(1);
        }
    }
}

/// Where a request goes, as the manifest would name it.
fn destination(uri: &http::Uri) -> String {
    match (uri.scheme_str(), uri.host(), uri.port()) {
        (Some(scheme), Some(host), Some(port)) => format!("{scheme}://{host}:{port}"),
        (Some(scheme), Some(host), None) => format!("{scheme}://{host}"),
        _ => uri.to_string(),
    }
}

/// Whether a header belongs to a connection, not to a message, and so is never a guest's: wasmtime's own list, as a match that
/// looks at a name once. Asked for each header of each message.
fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
            | "host"
            | "http2-settings"
    )
}

/// wasmtime's way to ask, per instance.
pub(crate) struct Hooks {
    outbound: Arc<Outbound>,
    instance: u64,
    /// Bodies that the guest has begun to write in the present invocation.
    bodies: u32,
    /// Kept only where the function may call others.
    callers: Callers,
}

/// Bodies of one invocation that get large pieces; one that opens very many would make the host keep as many times as much.
const LARGE_BODIES: u32 = 8;

impl Hooks {
    pub(crate) fn new(outbound: Arc<Outbound>, instance: u64) -> Self {
        Self { outbound, instance, bodies: 0, callers: Callers::Nobody }
    }

    /// Says that an invocation begins that has the instance for itself.
    pub(crate) fn begin(&mut self) {
        self.bodies = 0;
    }

    /// Says who makes the calls of other functions from now on; `alone` when no other invocation runs in the instance.
    pub(crate) fn called_by(&mut self, alone: bool, caller: Caller) {
        self.callers.begin(alone, caller);
    }
}

pub(super) type Sent = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::clone(&self.outbound.forbidden_headers)
    }

    /// The client adds it where the connection turns out to be one of HTTP/1.1.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.bodies = self.bodies.saturating_add(1);
        if self.bodies <= LARGE_BODIES { 64 << 10 } else { 8 << 10 }
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processing: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (outbound, instance, options) = (&self.outbound, self.instance, options.unwrap_or_default());
        if callee(request.uri()).is_some() {
            return match Call::new(outbound, instance, &self.callers, request) {
                Ok(call) => Box::new(call.send(Arc::clone(outbound), instance, options)),
                Err(error) => Box::new(async { Err(error) }),
            };
        }
        if !outbound.allowed.iter().any(|pattern| pattern.allows(request.uri())) {
            outbound.refuse(instance, request.uri());
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(exchange::exchange(Arc::clone(outbound), instance, request, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forbidden_headers_are_those_of_wasmtime() {
        for name in wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS {
            assert!(is_forbidden(&name), "{name}");
        }
        for name in ["content-type", "te", "trailer", "cookie", "authorization", "x-host"] {
            assert!(!is_forbidden(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn a_destination_is_named_without_user_and_path() {
        let named = |uri: &str| destination(&uri.parse().expect(uri));
        assert_eq!(named("https://me:secret@api.example.com:8443/a?b"), "https://api.example.com:8443");
        assert_eq!(named("http://[::1]/"), "http://[::1]");
    }
}
