//! What functions do not have, files and sockets, lowered by hand: the few functions of `wasi:filesystem` and `wasi:sockets` that can
//! be called without a handle of one. All others are called with a handle that nobody can have.

use wasmtime::component::Resource;
use wasmtime::{bail, ensure};
use wasmtime_wasi::filesystem::WasiFilesystemView as _;
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::p2::bindings::io::error::Error as IoError;
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::Host as _;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, HostNetwork as _, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
use wasmtime_wasi::sockets::WasiSocketsView as _;

use super::abi::{Cx, In, give, put};
use super::{Function, borrow, functions, own};

/// What there can be no handle of, by its interface: there are no directories, and to make a socket is not allowed.
const NOTHING: [(&str, &[&str]); 4] = [
    ("wasi:filesystem/types", &["descriptor", "directory-entry-stream"]),
    ("wasi:sockets/tcp", &["tcp-socket"]),
    ("wasi:sockets/udp", &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"]),
    ("wasi:sockets/ip-name-lookup", &["resolve-address-stream"]),
];

/// Whether a function is called with a handle of what there is nothing of.
pub(super) fn is_of_nothing(interface: &str, name: &str) -> bool {
    let method = |name: &str| name.strip_prefix("[method]").and_then(|name| Some(name.split_once('.')?.0.to_owned()));
    let resource = method(name).or_else(|| name.strip_prefix("[resource-drop]").map(str::to_owned));
    let nothing = NOTHING.iter().find(|(of, _)| *of == interface).map_or(&[][..], |(_, resources)| resources);
    resource.is_some_and(|resource| nothing.contains(&&*resource))
}

/// Ends an invocation that was called with a handle of nothing.
pub(super) fn refuse(handle: u32) -> wasmtime::Result<()> {
    bail!("unknown handle index {handle}")
}

pub(super) fn all() -> Vec<Function> {
    [files(), sockets()].into_iter().flatten().collect()
}

fn files() -> Vec<Function> {
    let mut all = functions!("wasi:filesystem/preopens":
        giving "get-directories" => |cx, to: u32| {
            let directories = cx.data_mut().filesystem().get_directories()?;
            give(&mut cx, to, directories)
        };
    );
    all.extend(functions!("wasi:filesystem/types":
        "filesystem-error-code" => |cx, id: u32, to: u32| {
            let error: Resource<IoError> = borrow(id);
            cx.data_mut().table().get(&error)?;
            // No error comes from a file.
            put(&mut cx, to, None::<u8>)
        };
    ));
    all
}

fn sockets() -> Vec<Function> {
    let mut all = functions!("wasi:sockets/instance-network":
        "instance-network" => |cx| Ok(cx.data_mut().sockets().instance_network()?.rep());
    );
    all.extend(functions!("wasi:sockets/network":
        "[resource-drop]network" => |cx, id: u32| cx.data_mut().sockets().drop(own(id));
    ));
    all.extend(functions!("wasi:sockets/tcp-create-socket":
        "create-tcp-socket" => |cx, family: u32, to: u32| {
            let family = family_of(family)?;
            let made = cx.data_mut().sockets().create_tcp_socket(family);
            refused(&mut cx, to, made)
        };
    ));
    all.extend(functions!("wasi:sockets/udp-create-socket":
        waiting "create-udp-socket" => |cx, family: u32, to: u32| {
            let family = family_of(family)?;
            let made = cx.data_mut().sockets().create_udp_socket(family).await;
            refused(&mut cx, to, made)
        };
    ));
    all.extend(functions!("wasi:sockets/ip-name-lookup":
        "resolve-addresses" => |cx, network: u32, at: u32, len: u32, to: u32| {
            let name = In::of(&mut cx)?.string(at, len)?;
            let found = cx.data_mut().sockets().resolve_addresses(borrow(network), name);
            refused(&mut cx, to, found)
        };
    ));
    all
}

fn family_of(family: u32) -> wasmtime::Result<IpAddressFamily> {
    match family {
        0 => Ok(IpAddressFamily::Ipv4),
        1 => Ok(IpAddressFamily::Ipv6),
        other => bail!("there is no address family {other}"),
    }
}

/// Tells the guest why it gets no socket and no address.
fn refused<T: 'static>(cx: &mut Cx<'_>, to: u32, made: Result<Resource<T>, SocketError>) -> wasmtime::Result<()> {
    let code = made.err().map(SocketError::downcast).transpose()?;
    ensure!(code.is_some(), "a function got a socket, which none may have");
    put(cx, to, code.map_or(Ok(0_u32), |code| Err(number(code))))
}

/// The place of an error code in the interface's text.
fn number(code: ErrorCode) -> u8 {
    code as u8
}
