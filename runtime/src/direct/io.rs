//! `wasi:io` of WASI 0.2, lowered by hand. What may wait does so on the guest's own stack.

use bytes::Bytes;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::error::HostError as _;
use wasmtime_wasi::p2::bindings::io::poll::{Host as _, HostPollable as _};
use wasmtime_wasi::p2::bindings::io::streams::{Host as _, HostInputStream as _, HostOutputStream as _, StreamError};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, Pollable, StreamResult};

use super::abi::{Cx, In, Out, give, put};
use super::values::Store;
use super::{Function, borrow, functions, own};

pub(super) fn all() -> Vec<Function> {
    [errors_and_polls(), input(), output(), output_that_waits()].into_iter().flatten().collect()
}

/// What a stream's function tells the guest; a trap ends it.
fn told<T>(cx: &mut Cx<'_>, outcome: StreamResult<T>) -> wasmtime::Result<Result<T, StreamError>> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(error) => cx.data_mut().table().convert_stream_error(error).map(Err),
    }
}

impl Store for StreamError {
    const SIZE: u32 = 8;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        match self {
            Self::LastOperationFailed(error) => {
                out.write(at, [0])?;
                error.store(out, at + 4)
            }
            Self::Closed => out.write(at, [1]),
        }
    }
}

fn errors_and_polls() -> Vec<Function> {
    let mut all = functions!("wasi:io/error":
        giving "[method]error.to-debug-string" => |cx, id: u32, to: u32| {
            let text = cx.data_mut().table().to_debug_string(borrow(id))?;
            give(&mut cx, to, text)
        };
        "[resource-drop]error" => |cx, id: u32| {
            let error: Resource<wasmtime::Error> = own(id);
            cx.data_mut().table().delete(error).map(drop).map_err(Into::into)
        };
    );
    all.extend(functions!("wasi:io/poll":
        waiting "[method]pollable.ready" => |cx, id: u32| {
            Ok(u32::from(cx.data_mut().table().ready(borrow(id)).await?))
        };
        waiting "[method]pollable.block" => |cx, id: u32| {
            cx.data_mut().table().block(borrow(id)).await
        };
        waiting giving "poll" => |cx, at: u32, count: u32, to: u32| {
            let pollables = In::of(&mut cx)?.list(at, count)?;
            let ready = cx.data_mut().table().poll(pollables).await?;
            give(&mut cx, to, ready)
        };
        "[resource-drop]pollable" => |cx, id: u32| {
            wasmtime_wasi::p2::bindings::io::poll::HostPollable::drop(cx.data_mut().table(), own(id))
        };
    ));
    all
}

fn input() -> Vec<Function> {
    functions!("wasi:io/streams":
        giving "[method]input-stream.read" => |cx, id: u32, len: u64, to: u32| {
            let read = read(&mut cx, id, len);
            let read = told(&mut cx, read)?;
            give(&mut cx, to, read)
        };
        waiting giving "[method]input-stream.blocking-read" => |cx, id: u32, len: u64, to: u32| {
            let read = blocking_read(&mut cx, id, len).await;
            let read = told(&mut cx, read)?;
            give(&mut cx, to, read)
        };
        "[method]input-stream.skip" => |cx, id: u32, len: u64, to: u32| {
            let skipped = cx.data_mut().table().skip(borrow(id), len);
            let skipped = told(&mut cx, skipped)?;
            put(&mut cx, to, skipped)
        };
        waiting "[method]input-stream.blocking-skip" => |cx, id: u32, len: u64, to: u32| {
            let skipped = cx.data_mut().table().blocking_skip(borrow(id), len).await;
            let skipped = told(&mut cx, skipped)?;
            put(&mut cx, to, skipped)
        };
        "[method]input-stream.subscribe" => |cx, id: u32| subscribe::<DynInputStream>(&mut cx, id);
        waiting "[resource-drop]input-stream" => |cx, id: u32| {
            let stream: Resource<DynInputStream> = own(id);
            cx.data_mut().table().delete(stream)?.cancel().await;
            Ok(())
        };
    )
}

/// A pollable of what has this handle. wasmtime's function takes it for granted that the handle is of this type, and would panic
/// when the pollable is waited for.
pub(super) fn subscribe<T: Pollable>(cx: &mut Cx<'_>, id: u32) -> wasmtime::Result<u32> {
    let (table, parent) = (cx.data_mut().table(), borrow::<T>(id));
    table.get(&parent)?;
    Ok(wasmtime_wasi::p2::subscribe(table, parent)?.rep())
}

/// The bytes as the stream has them: the interface's own function would copy them once more.
fn read(cx: &mut Cx<'_>, id: u32, len: u64) -> StreamResult<Bytes> {
    let stream: Resource<DynInputStream> = borrow(id);
    cx.data_mut().table().get_mut(&stream)?.read(usize::try_from(len).unwrap_or(usize::MAX))
}

async fn blocking_read(cx: &mut Cx<'_>, id: u32, len: u64) -> StreamResult<Bytes> {
    let stream: Resource<DynInputStream> = borrow(id);
    cx.data_mut().table().get_mut(&stream)?.blocking_read(usize::try_from(len).unwrap_or(usize::MAX)).await
}

fn output() -> Vec<Function> {
    functions!("wasi:io/streams":
        "[method]output-stream.check-write" => |cx, id: u32, to: u32| {
            let room = cx.data_mut().table().check_write(borrow(id));
            let room = told(&mut cx, room)?;
            put(&mut cx, to, room)
        };
        "[method]output-stream.write" => |cx, id: u32, at: u32, len: u32, to: u32| {
            let bytes = In::of(&mut cx)?.bytes(at, len)?.to_vec();
            let written = cx.data_mut().table().write(borrow(id), bytes);
            let written = told(&mut cx, written)?;
            put(&mut cx, to, written)
        };
        "[method]output-stream.write-zeroes" => |cx, id: u32, len: u64, to: u32| {
            let written = cx.data_mut().table().write_zeroes(borrow(id), len);
            let written = told(&mut cx, written)?;
            put(&mut cx, to, written)
        };
        "[method]output-stream.flush" => |cx, id: u32, to: u32| {
            let flushed = cx.data_mut().table().flush(borrow(id));
            let flushed = told(&mut cx, flushed)?;
            put(&mut cx, to, flushed)
        };
        "[method]output-stream.splice" => |cx, id: u32, from: u32, len: u64, to: u32| {
            let moved = cx.data_mut().table().splice(borrow(id), borrow(from), len);
            let moved = told(&mut cx, moved)?;
            put(&mut cx, to, moved)
        };
        "[method]output-stream.subscribe" => |cx, id: u32| subscribe::<DynOutputStream>(&mut cx, id);
    )
}

fn output_that_waits() -> Vec<Function> {
    functions!("wasi:io/streams":
        waiting "[method]output-stream.blocking-write-and-flush" => |cx, id: u32, at: u32, len: u32, to: u32| {
            let bytes = In::of(&mut cx)?.bytes(at, len)?.to_vec();
            let written = cx.data_mut().table().blocking_write_and_flush(borrow(id), bytes).await;
            let written = told(&mut cx, written)?;
            put(&mut cx, to, written)
        };
        waiting "[method]output-stream.blocking-write-zeroes-and-flush" => |cx, id: u32, len: u64, to: u32| {
            let written = cx.data_mut().table().blocking_write_zeroes_and_flush(borrow(id), len).await;
            let written = told(&mut cx, written)?;
            put(&mut cx, to, written)
        };
        waiting "[method]output-stream.blocking-flush" => |cx, id: u32, to: u32| {
            let flushed = cx.data_mut().table().blocking_flush(borrow(id)).await;
            let flushed = told(&mut cx, flushed)?;
            put(&mut cx, to, flushed)
        };
        waiting "[method]output-stream.blocking-splice" => |cx, id: u32, from: u32, len: u64, to: u32| {
            let moved = cx.data_mut().table().blocking_splice(borrow(id), borrow(from), len).await;
            let moved = told(&mut cx, moved)?;
            put(&mut cx, to, moved)
        };
        waiting "[resource-drop]output-stream" => |cx, id: u32| {
            let stream: Resource<DynOutputStream> = own(id);
            cx.data_mut().table().delete(stream)?.cancel().await;
            Ok(())
        };
    )
}
