//! Why a request has no answer, in the words of WASI.

use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;

use wasmtime_wasi_http::Error;

use super::connect::ConnectError;

/// Why a request has no answer.
pub(super) enum Failure {
    /// All addresses of its destination are private, of which this is one.
    Private(IpAddr),
    /// Anything else.
    Other(Error),
}

impl From<&hyper_util::client::legacy::Error> for Failure {
    fn from(error: &hyper_util::client::legacy::Error) -> Self {
        let unknown = || if error.is_connect() { Error::DestinationUnavailable } else { Error::HttpProtocolError };
        known(error).unwrap_or_else(|| Self::Other(unknown()))
    }
}

/// The first cause that says more than those around it.
fn known(error: &(dyn StdError + 'static)) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = one(error) {
            return Some(failure);
        }
        cause = error.source();
    }
    None
}

fn one(error: &(dyn StdError + 'static)) -> Option<Failure> {
    if let Some(error) = error.downcast_ref::<ConnectError>() {
        return Some(unconnected(error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(Failure::Other(tls(error)));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // What an `io::Error` was made from is not among its sources.
        return error.get_ref().and_then(|inner| known(inner)).or_else(|| Some(Failure::Other(io(error))));
    }
    let error = error.downcast_ref::<hyper::Error>()?;
    let incomplete = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    incomplete.then_some(Failure::Other(Error::ConnectionTerminated))
}

fn unconnected(error: &ConnectError) -> Failure {
    Failure::Other(match error {
        ConnectError::Private { address, .. } => return Failure::Private(*address),
        ConnectError::Lookup(..) | ConnectError::NoAddress(_) => Error::DnsError { rcode: None, info_code: None },
        ConnectError::LookupTimeout(_) => Error::DnsTimeout,
        ConnectError::Timeout => Error::ConnectionTimeout,
    })
}

fn tls(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => Error::TlsCertificateError,
        rustls::Error::AlertReceived(alert) => {
            Error::TlsAlertReceived { alert_id: Some(u8::from(*alert)), alert_message: Some(format!("{alert:?}")) }
        }
        _ => Error::TlsProtocolError,
    }
}

fn io(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        io::ErrorKind::TimedOut => Error::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::DestinationIpUnroutable,
        io::ErrorKind::InvalidData => Error::TlsProtocolError,
        _ => Error::ConnectionTerminated,
    }
}
