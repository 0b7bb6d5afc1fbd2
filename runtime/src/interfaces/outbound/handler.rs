//! `wasi:http/outgoing-handler` of WASI 0.2, in place of wasmtime's, which takes options that are not there for none, and never lets
//! go of those that are: an instance that sends requests would come to the end of what it may hold.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{RequestOptions, WasiHttpView};

use crate::guest::Guest;

/// Puts the function in the place of wasmtime's.
pub(in crate::interfaces) fn add_to_linker(handler: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    handler.func_wrap("handle", |mut store: StoreContextMut<'_, Guest>, (request, options): (Resource<_>, _)| {
        Ok((handle(store.data_mut(), request, options)?,))
    })
}

/// An answer to come, or why there will be none.
type Sent = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;

/// Sends a request.
///
/// # Errors
/// A trap: one of the handles is none.
pub(crate) fn handle(
    guest: &mut Guest,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Sent> {
    options.as_ref().map(|options| guest.table().get(options).map(drop)).transpose()?;
    let lent = options.as_ref().map(|options| Resource::new_borrow(options.rep()));
    let sent = guest.http().handle(request, lent);
    options.map(|options| guest.table().delete(options)).transpose()?;
    match sent {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => error.downcast().map(Err),
    }
}
