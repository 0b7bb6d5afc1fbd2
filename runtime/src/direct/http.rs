//! `wasi:http/types` and `wasi:http/outgoing-handler` of WASI 0.2, lowered by hand: arguments and results are core values, and what
//! stands behind them is what a component's calls reach, too.

use wasmtime::bail;
use wasmtime_wasi_http::p2::HeaderResult;
use wasmtime_wasi_http::p2::bindings::http::types::{
    FutureIncomingResponse, FutureTrailers, HeaderError, HostFields, HostFutureIncomingResponse, HostFutureTrailers,
    HostIncomingBody, HostIncomingRequest, HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse,
    HostRequestOptions, HostResponseOutparam, Method, Scheme,
};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::abi::{Cx, In, Out, give, put};
use super::errors::{FlatErrorCode, some};
use super::io::subscribe;
use super::values::{Store, align_to};
use super::{Function, borrow, functions, own};
use crate::interfaces::outbound::{error_code, handler};
use crate::interfaces::outgoing_body;

pub(super) fn all() -> Vec<Function> {
    [fields(), incoming(), outgoing(), answers()].into_iter().flatten().collect()
}

fn http<'a>(cx: &'a mut Cx<'_>) -> WasiHttpCtxView<'a> {
    cx.data_mut().http()
}

/// What a function without a payload answers: 0 for ok.
fn flag(outcome: Result<(), ()>) -> u32 {
    u32::from(outcome.is_err())
}

fn header<T>(outcome: HeaderResult<T>) -> wasmtime::Result<Result<T, HeaderError>> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(error) => error.downcast().map(Err),
    }
}

fn fields() -> Vec<Function> {
    functions!("wasi:http/types":
        "[constructor]fields" => |cx| Ok(HostFields::new(&mut http(&mut cx))?.rep());
        "[static]fields.from-list" => |cx, at: u32, count: u32, to: u32| {
            let entries = In::of(&mut cx)?.list(at, count)?;
            let made = header(HostFields::from_list(&mut http(&mut cx), entries))?;
            put(&mut cx, to, made)
        };
        giving "[method]fields.get" => |cx, id: u32, at: u32, len: u32, to: u32| {
            let name = In::of(&mut cx)?.string(at, len)?;
            let values = HostFields::get(&mut http(&mut cx), borrow(id), name)?;
            give(&mut cx, to, values)
        };
        "[method]fields.has" => |cx, id: u32, at: u32, len: u32| {
            let name = In::of(&mut cx)?.string(at, len)?;
            Ok(u32::from(HostFields::has(&mut http(&mut cx), borrow(id), name)?))
        };
        "[method]fields.set" => |cx, id: u32, at: u32, len: u32, list: u32, count: u32, to: u32| {
            let mut input = In::of(&mut cx)?;
            let (name, values) = (input.string(at, len)?, input.list(list, count)?);
            let set = header(HostFields::set(&mut http(&mut cx), borrow(id), name, values))?;
            put(&mut cx, to, set)
        };
        "[method]fields.delete" => |cx, id: u32, at: u32, len: u32, to: u32| {
            let name = In::of(&mut cx)?.string(at, len)?;
            let deleted = header(HostFields::delete(&mut http(&mut cx), borrow(id), name))?;
            put(&mut cx, to, deleted)
        };
        "[method]fields.append" => |cx, id: u32, at: u32, len: u32, value: u32, value_len: u32, to: u32| {
            let mut input = In::of(&mut cx)?;
            let (name, value) = (input.string(at, len)?, input.bytes(value, value_len)?.to_vec());
            let appended = header(HostFields::append(&mut http(&mut cx), borrow(id), name, value))?;
            put(&mut cx, to, appended)
        };
        giving "[method]fields.entries" => |cx, id: u32, to: u32| {
            let entries = HostFields::entries(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, entries)
        };
        "[method]fields.clone" => |cx, id: u32| Ok(HostFields::clone(&mut http(&mut cx), borrow(id))?.rep());
        "[resource-drop]fields" => |cx, id: u32| HostFields::drop(&mut http(&mut cx), own(id));
    )
}

/// Requests that come in, and what is read of any message.
fn incoming() -> Vec<Function> {
    functions!("wasi:http/types":
        giving "[method]incoming-request.method" => |cx, id: u32, to: u32| {
            let method = HostIncomingRequest::method(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, method)
        };
        giving "[method]incoming-request.path-with-query" => |cx, id: u32, to: u32| {
            let path = HostIncomingRequest::path_with_query(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, path)
        };
        giving "[method]incoming-request.scheme" => |cx, id: u32, to: u32| {
            let scheme = HostIncomingRequest::scheme(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, scheme)
        };
        giving "[method]incoming-request.authority" => |cx, id: u32, to: u32| {
            let authority = HostIncomingRequest::authority(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, authority)
        };
        "[method]incoming-request.headers" => |cx, id: u32| {
            Ok(HostIncomingRequest::headers(&mut http(&mut cx), borrow(id))?.rep())
        };
        "[method]incoming-request.consume" => |cx, id: u32, to: u32| {
            let body = HostIncomingRequest::consume(&mut http(&mut cx), borrow(id))?;
            put(&mut cx, to, body)
        };
        "[resource-drop]incoming-request" => |cx, id: u32| {
            HostIncomingRequest::drop(&mut http(&mut cx), own(id))
        };
        "[method]incoming-body.stream" => |cx, id: u32, to: u32| {
            let stream = HostIncomingBody::stream(&mut http(&mut cx), borrow(id))?;
            put(&mut cx, to, stream)
        };
        "[static]incoming-body.finish" => |cx, id: u32| {
            Ok(HostIncomingBody::finish(&mut http(&mut cx), own(id))?.rep())
        };
        "[resource-drop]incoming-body" => |cx, id: u32| HostIncomingBody::drop(&mut http(&mut cx), own(id));
        "[method]future-trailers.subscribe" => |cx, id: u32| subscribe::<FutureTrailers>(&mut cx, id);
        giving "[method]future-trailers.get" => |cx, id: u32, to: u32| {
            let trailers = HostFutureTrailers::get(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, trailers)
        };
        "[resource-drop]future-trailers" => |cx, id: u32| {
            HostFutureTrailers::drop(&mut http(&mut cx), own(id))
        };
        giving "http-error-code" => |cx, id: u32, to: u32| {
            let code = error_code::of(cx.data_mut(), &borrow(id))?;
            give(&mut cx, to, code)
        };
    )
}

/// Answers that go out.
fn answers() -> Vec<Function> {
    functions!("wasi:http/types":
        "[constructor]outgoing-response" => |cx, headers: u32| {
            Ok(HostOutgoingResponse::new(&mut http(&mut cx), own(headers))?.rep())
        };
        "[method]outgoing-response.status-code" => |cx, id: u32| {
            Ok(u32::from(HostOutgoingResponse::status_code(&mut http(&mut cx), borrow(id))?))
        };
        "[method]outgoing-response.set-status-code" => |cx, id: u32, status: u32| {
            // What is narrower than its argument counts alone.
            let set = HostOutgoingResponse::set_status_code(&mut http(&mut cx), borrow(id), status as u16)?;
            Ok(flag(set))
        };
        "[method]outgoing-response.headers" => |cx, id: u32| {
            Ok(HostOutgoingResponse::headers(&mut http(&mut cx), borrow(id))?.rep())
        };
        "[method]outgoing-response.body" => |cx, id: u32, to: u32| {
            let body = outgoing_body::of_response(cx.data_mut(), &borrow(id))?;
            put(&mut cx, to, body)
        };
        "[resource-drop]outgoing-response" => |cx, id: u32| {
            HostOutgoingResponse::drop(&mut http(&mut cx), own(id))
        };
        "[method]outgoing-body.write" => |cx, id: u32, to: u32| {
            let stream = outgoing_body::write(cx.data_mut(), &borrow(id))?;
            put(&mut cx, to, stream)
        };
        giving "[static]outgoing-body.finish" => |cx, id: u32, has_trailers: u32, trailers: u32, to: u32| {
            let trailers = some(has_trailers, || Ok(own(trailers)))?;
            let finished = outgoing_body::finish(cx.data_mut(), own(id), trailers)?;
            give(&mut cx, to, finished)
        };
        "[resource-drop]outgoing-body" => |cx, id: u32| outgoing_body::drop_body(cx.data_mut(), own(id));
        "[static]response-outparam.set" => |cx, id: u32, is_error: u32, first: u32, a: u32, b: u64, c: u32, d: u32, e: u32, f: u32| {
            let response = match is_error {
                0 => Ok(own(first)),
                1 => Err(FlatErrorCode { number: first, parts: (a, b, c, d, e, f) }.read(&mut In::of(&mut cx)?)?),
                other => bail!("a result is ok or an error, and not {other}"),
            };
            HostResponseOutparam::set(&mut http(&mut cx), own(id), response)
        };
        "[resource-drop]response-outparam" => |cx, id: u32| {
            HostResponseOutparam::drop(&mut http(&mut cx), own(id))
        };
    )
}

/// Requests that go out, and their answers.
fn outgoing() -> Vec<Function> {
    [requests(), options(), responses()].into_iter().flatten().collect()
}

fn requests() -> Vec<Function> {
    functions!("wasi:http/types":
        "[constructor]outgoing-request" => |cx, headers: u32| {
            Ok(HostOutgoingRequest::new(&mut http(&mut cx), own(headers))?.rep())
        };
        "[method]outgoing-request.body" => |cx, id: u32, to: u32| {
            let body = outgoing_body::of_request(cx.data_mut(), &borrow(id))?;
            put(&mut cx, to, body)
        };
        giving "[method]outgoing-request.method" => |cx, id: u32, to: u32| {
            let method = HostOutgoingRequest::method(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, method)
        };
        "[method]outgoing-request.set-method" => |cx, id: u32, number: u32, at: u32, len: u32| {
            let method = method(&mut In::of(&mut cx)?, number, at, len)?;
            Ok(flag(HostOutgoingRequest::set_method(&mut http(&mut cx), borrow(id), method)?))
        };
        giving "[method]outgoing-request.path-with-query" => |cx, id: u32, to: u32| {
            let path = HostOutgoingRequest::path_with_query(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, path)
        };
        "[method]outgoing-request.set-path-with-query" => |cx, id: u32, is_some: u32, at: u32, len: u32| {
            let path = some(is_some, || In::of(&mut cx)?.string(at, len))?;
            Ok(flag(HostOutgoingRequest::set_path_with_query(&mut http(&mut cx), borrow(id), path)?))
        };
        giving "[method]outgoing-request.scheme" => |cx, id: u32, to: u32| {
            let scheme = HostOutgoingRequest::scheme(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, scheme)
        };
        "[method]outgoing-request.set-scheme" => |cx, id: u32, is_some: u32, number: u32, at: u32, len: u32| {
            let scheme = some(is_some, || scheme(&mut In::of(&mut cx)?, number, at, len))?;
            Ok(flag(HostOutgoingRequest::set_scheme(&mut http(&mut cx), borrow(id), scheme)?))
        };
        giving "[method]outgoing-request.authority" => |cx, id: u32, to: u32| {
            let authority = HostOutgoingRequest::authority(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, authority)
        };
        "[method]outgoing-request.set-authority" => |cx, id: u32, is_some: u32, at: u32, len: u32| {
            let authority = some(is_some, || In::of(&mut cx)?.string(at, len))?;
            Ok(flag(HostOutgoingRequest::set_authority(&mut http(&mut cx), borrow(id), authority)?))
        };
        "[method]outgoing-request.headers" => |cx, id: u32| {
            Ok(HostOutgoingRequest::headers(&mut http(&mut cx), borrow(id))?.rep())
        };
        "[resource-drop]outgoing-request" => |cx, id: u32| {
            HostOutgoingRequest::drop(&mut http(&mut cx), own(id))
        };
    )
}

fn options() -> Vec<Function> {
    functions!("wasi:http/types":
        "[constructor]request-options" => |cx| Ok(HostRequestOptions::new(&mut http(&mut cx))?.rep());
        "[method]request-options.connect-timeout" => |cx, id: u32, to: u32| {
            let limit = HostRequestOptions::connect_timeout(&mut http(&mut cx), borrow(id))?;
            put(&mut cx, to, limit)
        };
        "[method]request-options.set-connect-timeout" => |cx, id: u32, is_some: u32, nanos: u64| {
            let limit = some(is_some, || Ok(nanos))?;
            Ok(flag(HostRequestOptions::set_connect_timeout(&mut http(&mut cx), borrow(id), limit)?))
        };
        "[method]request-options.first-byte-timeout" => |cx, id: u32, to: u32| {
            let limit = HostRequestOptions::first_byte_timeout(&mut http(&mut cx), borrow(id))?;
            put(&mut cx, to, limit)
        };
        "[method]request-options.set-first-byte-timeout" => |cx, id: u32, is_some: u32, nanos: u64| {
            let limit = some(is_some, || Ok(nanos))?;
            Ok(flag(HostRequestOptions::set_first_byte_timeout(&mut http(&mut cx), borrow(id), limit)?))
        };
        "[method]request-options.between-bytes-timeout" => |cx, id: u32, to: u32| {
            let limit = HostRequestOptions::between_bytes_timeout(&mut http(&mut cx), borrow(id))?;
            put(&mut cx, to, limit)
        };
        "[method]request-options.set-between-bytes-timeout" => |cx, id: u32, is_some: u32, nanos: u64| {
            let limit = some(is_some, || Ok(nanos))?;
            Ok(flag(HostRequestOptions::set_between_bytes_timeout(&mut http(&mut cx), borrow(id), limit)?))
        };
        "[resource-drop]request-options" => |cx, id: u32| {
            HostRequestOptions::drop(&mut http(&mut cx), own(id))
        };
    )
}

fn responses() -> Vec<Function> {
    let mut all = functions!("wasi:http/types":
        "[method]future-incoming-response.subscribe" => |cx, id: u32| {
            subscribe::<FutureIncomingResponse>(&mut cx, id)
        };
        giving "[method]future-incoming-response.get" => |cx, id: u32, to: u32| {
            let response = HostFutureIncomingResponse::get(&mut http(&mut cx), borrow(id))?;
            give(&mut cx, to, response)
        };
        "[resource-drop]future-incoming-response" => |cx, id: u32| {
            HostFutureIncomingResponse::drop(&mut http(&mut cx), own(id))
        };
        "[method]incoming-response.status" => |cx, id: u32| {
            Ok(u32::from(HostIncomingResponse::status(&mut http(&mut cx), borrow(id))?))
        };
        "[method]incoming-response.headers" => |cx, id: u32| {
            Ok(HostIncomingResponse::headers(&mut http(&mut cx), borrow(id))?.rep())
        };
        "[method]incoming-response.consume" => |cx, id: u32, to: u32| {
            let body = HostIncomingResponse::consume(&mut http(&mut cx), borrow(id))?;
            put(&mut cx, to, body)
        };
        "[resource-drop]incoming-response" => |cx, id: u32| {
            HostIncomingResponse::drop(&mut http(&mut cx), own(id))
        };
    );
    all.extend(functions!("wasi:http/outgoing-handler":
        giving "handle" => |cx, request: u32, has_options: u32, options: u32, to: u32| {
            let options = some(has_options, || Ok(own(options)))?;
            let sent = handler::handle(cx.data_mut(), own(request), options)?;
            give(&mut cx, to, sent)
        };
    ));
    all
}

fn method(input: &mut In<'_>, number: u32, at: u32, len: u32) -> wasmtime::Result<Method> {
    Ok(match number {
        0 => Method::Get,
        1 => Method::Head,
        2 => Method::Post,
        3 => Method::Put,
        4 => Method::Delete,
        5 => Method::Connect,
        6 => Method::Options,
        7 => Method::Trace,
        8 => Method::Patch,
        9 => Method::Other(input.string(at, len)?),
        other => bail!("there is no method {other}"),
    })
}

fn scheme(input: &mut In<'_>, number: u32, at: u32, len: u32) -> wasmtime::Result<Scheme> {
    Ok(match number {
        0 => Scheme::Http,
        1 => Scheme::Https,
        2 => Scheme::Other(input.string(at, len)?),
        other => bail!("there is no scheme {other}"),
    })
}

impl Store for Method {
    const SIZE: u32 = align_to(1, 4) + String::SIZE;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        let number = match &self {
            Self::Get => 0,
            Self::Head => 1,
            Self::Post => 2,
            Self::Put => 3,
            Self::Delete => 4,
            Self::Connect => 5,
            Self::Options => 6,
            Self::Trace => 7,
            Self::Patch => 8,
            Self::Other(_) => 9,
        };
        out.write(at, [number])?;
        match self {
            Self::Other(name) => name.store(out, at + 4),
            _ => Ok(()),
        }
    }
}

impl Store for Scheme {
    const SIZE: u32 = align_to(1, 4) + String::SIZE;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        match self {
            Self::Http => out.write(at, [0]),
            Self::Https => out.write(at, [1]),
            Self::Other(name) => {
                out.write(at, [2])?;
                name.store(out, at + 4)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::component::Resource;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_canonical_abi() {
        assert_eq!((Method::SIZE, Scheme::SIZE, <Option<Scheme>>::SIZE), (12, 12, 16));
        assert_eq!(<Vec<(String, Vec<u8>)>>::SIZE, 8);
        assert_eq!(<Result<Resource<()>, HeaderError>>::SIZE, 8);
        assert_eq!(<Option<u64>>::SIZE, 16);
    }
}
