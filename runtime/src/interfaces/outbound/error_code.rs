//! Why an answer's body broke off, for guests of WASI 0.2: `http-error-code` of `wasi:http/types`, in place of wasmtime's, which
//! does not know the errors that its own streams end with.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use crate::guest::Guest;

/// Puts the function in the place of wasmtime's.
pub(in crate::interfaces) fn add_to_linker(types: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    types.func_wrap("http-error-code", http_error_code)
}

fn http_error_code(
    mut store: StoreContextMut<'_, Guest>,
    (id,): (Resource<wasmtime::Error>,),
) -> wasmtime::Result<(Option<ErrorCode>,)> {
    Ok((of(store.data_mut(), &id)?,))
}

/// The code that a stream's error stands for, if it does for one.
pub(crate) fn of(guest: &mut Guest, id: &Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
    let error = guest.table().get(id)?;
    let code = error.downcast_ref::<ErrorCode>().cloned();
    Ok(code.or_else(|| error.downcast_ref().and_then(body_error)))
}

/// What bodies of answers end with.
fn body_error(error: &Error) -> Option<ErrorCode> {
    Some(match error {
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::HttpResponseBodySize(limit) => ErrorCode::HttpResponseBodySize(*limit),
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        // The server's connection broke, or what it sends is not HTTP.
        Error::Hyper(error) if error.is_parse() => ErrorCode::HttpProtocolError,
        Error::Hyper(_) => ErrorCode::HttpResponseIncomplete,
        _ => return None,
    })
}
