//! What a guest can reach: one file for each interface that is more than wasmtime's own.
//!
//! Everything of `wasi:cli` and its relatives is linked, so that any toolchain's output runs, but a guest has no files and no
//! sockets: its directory list is empty, and every address is refused.

pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod key_value;
pub(crate) mod logging;
pub(crate) mod outbound;
pub(crate) mod outgoing_body;
mod secrets;
pub(crate) mod stdio;

use std::sync::Arc;

use samovar_model::{ComponentKind, FunctionName, Settings};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::guest::Guest;
use crate::logs::LogSink;
use crate::reach::Reach;
use config::Config;
use key_value::Buckets;
use outbound::{Outbound, OutboundClient};
use secrets::GrantedSecrets;

/// What the instances of one revision may reach, interface by interface, and where they say what they have to say. Made once
/// per revision, not per instance.
pub(crate) struct Granted {
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) buckets: Buckets,
    pub(crate) config: Config,
    pub(crate) log: LogSink,
}

/// What it is made from, on a host.
pub(crate) struct Services<'a> {
    pub(crate) client: &'a OutboundClient,
    pub(crate) reach: &'a Reach,
}

impl Services<'_> {
    fn config(&self, settings: &Settings) -> Config {
        Config::new(settings, GrantedSecrets::new(settings, self.reach.secrets.clone()))
    }
}

impl Granted {
    pub(crate) fn new(
        function: &FunctionName,
        settings: &Settings,
        services: &Services<'_>,
        log: LogSink,
    ) -> Arc<Self> {
        let outbound = Outbound::new(function, settings, services, log.clone());
        let buckets = Buckets::new(function, settings, services.reach.key_value.clone());
        let config = services.config(settings);
        Arc::new(Self { outbound: Arc::new(outbound), buckets, config, log })
    }

    /// For an instance that is only tried out: it reads its configuration and its secrets and reaches nothing, and what it says
    /// is not kept.
    pub(crate) fn nothing(settings: &Settings, services: &Services<'_>, log: LogSink) -> Arc<Self> {
        let outbound = Outbound::nothing(services.client.clone(), log.clone());
        let (buckets, config) = (Buckets::none(log.function()), services.config(settings));
        Arc::new(Self { outbound: Arc::new(outbound), buckets, config, log })
    }
}

/// The interface as wasmtime's linker names it; components may ask for any version of 0.2.
const WASI_HTTP_TYPES: &str = "wasi:http/types@0.2.12";

/// And this one.
const WASI_HTTP_OUTGOING: &str = "wasi:http/outgoing-handler@0.2.12";

/// A linker with all that a component of this kind may import. Made once per engine.
pub(crate) fn linker(engine: &Engine, kind: ComponentKind) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    // Components of WASI 0.3 still import 0.2 for what their language's standard library does.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    outgoing_body::add_to_linker(&mut linker.instance(WASI_HTTP_TYPES)?)?;
    outbound::error_code::add_to_linker(&mut linker.instance(WASI_HTTP_TYPES)?)?;
    outbound::handler::add_to_linker(&mut linker.instance(WASI_HTTP_OUTGOING)?)?;
    linker.allow_shadowing(false);
    key_value::add_to_linker(&mut linker)?;
    config::add_to_linker(&mut linker)?;
    logging::add_to_linker(&mut linker)?;
    if kind == ComponentKind::Wasi03 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    Ok(linker)
}
