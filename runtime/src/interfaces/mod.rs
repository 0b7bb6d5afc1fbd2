//! What a guest can reach: one file for each interface that is more than wasmtime's own.
//!
//! Everything of `wasi:cli` and its relatives is linked, so that any toolchain's output runs, but a guest has no files and no
//! sockets: its directory list is empty, and every address is refused.

pub(crate) mod outbound;
mod outgoing_body;
pub(crate) mod stdio;

use samovar_model::ComponentKind;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::guest::Guest;

/// The interface as wasmtime's linker names it; components may ask for any version of 0.2.
const WASI_HTTP_TYPES: &str = "wasi:http/types@0.2.12";

/// A linker with all that a component of this kind may import. Made once per engine.
pub(crate) fn linker(engine: &Engine, kind: ComponentKind) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    // Components of WASI 0.3 still import 0.2 for what their language's standard library does.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    linker.allow_shadowing(true);
    outgoing_body::add_to_linker(&mut linker.instance(WASI_HTTP_TYPES)?)?;
    linker.allow_shadowing(false);
    if kind == ComponentKind::Wasi03 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    Ok(linker)
}
