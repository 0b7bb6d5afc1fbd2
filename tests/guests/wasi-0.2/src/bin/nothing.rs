//! Asks for what no function has, files and sockets, and answers what it was told. With `?handle=N&of=KIND` it makes a handle up.

use std::fmt::Debug;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use guests_wasi02::{answer, handler, query};
use wasip2::filesystem::preopens;
use wasip2::filesystem::types::{Descriptor, DirectoryEntryStream, filesystem_error_code};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::io::error::Error;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::{ResolveAddressStream, resolve_addresses};
use wasip2::sockets::network::{IpAddressFamily, Network};
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{IncomingDatagramStream, OutgoingDatagramStream, UdpSocket as WasiUdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn told(asked: &[&dyn Debug]) -> String {
    asked.iter().map(|answer| format!("{answer:?}\n")).collect()
}

/// Through the standard library.
fn std() -> String {
    told(&[
        &std::fs::read("/etc/passwd").map_err(|error| error.kind()),
        &std::fs::read("relative").map_err(|error| error.kind()),
        &std::fs::write("new", "text").map_err(|error| error.kind()),
        &std::fs::read_dir("/").map(drop).map_err(|error| error.kind()),
        &std::fs::metadata(".").map(drop).map_err(|error| error.kind()),
        &TcpListener::bind("127.0.0.1:0").map(drop).map_err(|error| error.kind()),
        &TcpStream::connect("127.0.0.1:1").map(drop).map_err(|error| error.kind()),
        &TcpStream::connect("[::1]:1").map(drop).map_err(|error| error.kind()),
        &UdpSocket::bind("127.0.0.1:0").map(drop).map_err(|error| error.kind()),
        &"localhost:80".to_socket_addrs().map(Iterator::count).map_err(|error| error.kind()),
    ])
}

/// As the interfaces have it.
fn raw() -> String {
    let network = instance_network();
    told(&[
        &preopens::get_directories().len(),
        &create_tcp_socket(IpAddressFamily::Ipv4).map(drop),
        &create_tcp_socket(IpAddressFamily::Ipv6).map(drop),
        &create_udp_socket(IpAddressFamily::Ipv4).map(drop),
        &create_udp_socket(IpAddressFamily::Ipv6).map(drop),
        &resolve_addresses(&network, "localhost").map(drop),
        &resolve_addresses(&network, "127.0.0.1").map(drop),
        &resolve_addresses(&network, "not a name").map(drop),
    ])
}

/// With a handle that nobody gave it.
fn made_up(of: &str, handle: u32) -> String {
    // SAFETY: it is not safe, which is what it is for.
    unsafe {
        match of {
            "descriptor" => told(&[&Descriptor::from_handle(handle).stat().is_ok()]),
            "open" => {
                let flags = wasip2::filesystem::types::DescriptorFlags::empty();
                let opened = Descriptor::from_handle(handle).open_at(
                    wasip2::filesystem::types::PathFlags::empty(),
                    "name",
                    wasip2::filesystem::types::OpenFlags::empty(),
                    flags,
                );
                told(&[&opened.is_ok()])
            }
            "directory" => told(&[&DirectoryEntryStream::from_handle(handle).read_directory_entry().is_ok()]),
            "tcp" => told(&[&TcpSocket::from_handle(handle).finish_connect().is_ok()]),
            "udp" => told(&[&WasiUdpSocket::from_handle(handle).local_address().is_ok()]),
            "incoming" => told(&[&IncomingDatagramStream::from_handle(handle).receive(1).is_ok()]),
            "outgoing" => told(&[&OutgoingDatagramStream::from_handle(handle).check_send().is_ok()]),
            "addresses" => told(&[&ResolveAddressStream::from_handle(handle).resolve_next_address().is_ok()]),
            "drop" => {
                drop(Descriptor::from_handle(handle));
                told(&[])
            }
            "network" => {
                drop(Network::from_handle(handle));
                told(&[])
            }
            _ => told(&[&filesystem_error_code(&Error::from_handle(handle))]),
        }
    }
}

fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let text = match (query(&request, "of"), query(&request, "handle")) {
        (Some(of), Some(handle)) => made_up(&of, handle.parse().expect("a number")),
        (Some(_), None) => raw(),
        _ => std(),
    };
    answer(out, 200, &text);
}

handler!(handle);
