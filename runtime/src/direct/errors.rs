//! The error codes of `wasi:http/types` in the canonical ABI, in the order of the interface's text.

use wasmtime::bail;
use wasmtime_wasi_http::p2::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, HeaderError, TlsAlertReceivedPayload,
};

use super::abi::{In, Out};
use super::values::{Store, align_to};

/// Where the payload of an error code is: some of them hold an `option<u64>`.
const PAYLOAD: u32 = 8;

impl Store for ErrorCode {
    const SIZE: u32 = align_to(PAYLOAD + <Option<FieldSizePayload> as Store>::SIZE, Self::ALIGN);
    const ALIGN: u32 = 8;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        out.write(at, [number(&self)])?;
        let at = at + PAYLOAD;
        match self {
            Self::DnsError(payload) => payload.store(out, at),
            Self::TlsAlertReceived(payload) => payload.store(out, at),
            Self::HttpRequestBodySize(size) | Self::HttpResponseBodySize(size) => size.store(out, at),
            Self::HttpRequestHeaderSectionSize(size)
            | Self::HttpRequestTrailerSectionSize(size)
            | Self::HttpResponseHeaderSectionSize(size)
            | Self::HttpResponseTrailerSectionSize(size) => size.store(out, at),
            Self::HttpRequestHeaderSize(field) => field.store(out, at),
            Self::HttpRequestTrailerSize(field)
            | Self::HttpResponseHeaderSize(field)
            | Self::HttpResponseTrailerSize(field) => field.store(out, at),
            Self::HttpResponseTransferCoding(text)
            | Self::HttpResponseContentCoding(text)
            | Self::InternalError(text) => text.store(out, at),
            _ => Ok(()),
        }
    }
}

fn number(code: &ErrorCode) -> u8 {
    match code {
        ErrorCode::DnsTimeout => 0,
        ErrorCode::DnsError(_) => 1,
        ErrorCode::DestinationNotFound => 2,
        ErrorCode::DestinationUnavailable => 3,
        ErrorCode::DestinationIpProhibited => 4,
        ErrorCode::DestinationIpUnroutable => 5,
        ErrorCode::ConnectionRefused => 6,
        ErrorCode::ConnectionTerminated => 7,
        ErrorCode::ConnectionTimeout => 8,
        ErrorCode::ConnectionReadTimeout => 9,
        ErrorCode::ConnectionWriteTimeout => 10,
        ErrorCode::ConnectionLimitReached => 11,
        ErrorCode::TlsProtocolError => 12,
        ErrorCode::TlsCertificateError => 13,
        ErrorCode::TlsAlertReceived(_) => 14,
        ErrorCode::HttpRequestDenied => 15,
        ErrorCode::HttpRequestLengthRequired => 16,
        ErrorCode::HttpRequestBodySize(_) => 17,
        ErrorCode::HttpRequestMethodInvalid => 18,
        ErrorCode::HttpRequestUriInvalid => 19,
        ErrorCode::HttpRequestUriTooLong => 20,
        ErrorCode::HttpRequestHeaderSectionSize(_) => 21,
        ErrorCode::HttpRequestHeaderSize(_) => 22,
        ErrorCode::HttpRequestTrailerSectionSize(_) => 23,
        ErrorCode::HttpRequestTrailerSize(_) => 24,
        ErrorCode::HttpResponseIncomplete => 25,
        ErrorCode::HttpResponseHeaderSectionSize(_) => 26,
        ErrorCode::HttpResponseHeaderSize(_) => 27,
        ErrorCode::HttpResponseBodySize(_) => 28,
        ErrorCode::HttpResponseTrailerSectionSize(_) => 29,
        ErrorCode::HttpResponseTrailerSize(_) => 30,
        ErrorCode::HttpResponseTransferCoding(_) => 31,
        ErrorCode::HttpResponseContentCoding(_) => 32,
        ErrorCode::HttpResponseTimeout => 33,
        ErrorCode::HttpUpgradeFailed => 34,
        ErrorCode::HttpProtocolError => 35,
        ErrorCode::LoopDetected => 36,
        ErrorCode::ConfigurationError => 37,
        ErrorCode::InternalError(_) => 38,
    }
}

/// An error code that a guest hands over in arguments: its number, and the parts of its payload, of which an `option<u64>` has the
/// second to itself.
pub(super) struct FlatErrorCode {
    pub(super) number: u32,
    pub(super) parts: (u32, u64, u32, u32, u32, u32),
}

impl FlatErrorCode {
    pub(super) fn read(self, input: &mut In<'_>) -> wasmtime::Result<ErrorCode> {
        let (a, wide, c, d, e, f) = self.parts;
        // What is narrower than the place it shares stands in its lower half, and no more of it counts.
        let b = wide as u32;
        let long = || some(a, || Ok(wide));
        let short = || some(a, || Ok(b));
        Ok(match self.number {
            0 => ErrorCode::DnsTimeout,
            1 => ErrorCode::DnsError(DnsErrorPayload {
                rcode: some(a, || input.string(b, c))?,
                info_code: some(d, || Ok(e as u16))?,
            }),
            2 => ErrorCode::DestinationNotFound,
            3 => ErrorCode::DestinationUnavailable,
            4 => ErrorCode::DestinationIpProhibited,
            5 => ErrorCode::DestinationIpUnroutable,
            6 => ErrorCode::ConnectionRefused,
            7 => ErrorCode::ConnectionTerminated,
            8 => ErrorCode::ConnectionTimeout,
            9 => ErrorCode::ConnectionReadTimeout,
            10 => ErrorCode::ConnectionWriteTimeout,
            11 => ErrorCode::ConnectionLimitReached,
            12 => ErrorCode::TlsProtocolError,
            13 => ErrorCode::TlsCertificateError,
            14 => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: some(a, || Ok(b as u8))?,
                alert_message: some(c, || input.string(d, e))?,
            }),
            15 => ErrorCode::HttpRequestDenied,
            16 => ErrorCode::HttpRequestLengthRequired,
            17 => ErrorCode::HttpRequestBodySize(long()?),
            18 => ErrorCode::HttpRequestMethodInvalid,
            19 => ErrorCode::HttpRequestUriInvalid,
            20 => ErrorCode::HttpRequestUriTooLong,
            21 => ErrorCode::HttpRequestHeaderSectionSize(short()?),
            22 => ErrorCode::HttpRequestHeaderSize(some(a, || field(input, (b, c, d, e, f)))?),
            23 => ErrorCode::HttpRequestTrailerSectionSize(short()?),
            24 => ErrorCode::HttpRequestTrailerSize(field(input, (a, b, c, d, e))?),
            25 => ErrorCode::HttpResponseIncomplete,
            26 => ErrorCode::HttpResponseHeaderSectionSize(short()?),
            27 => ErrorCode::HttpResponseHeaderSize(field(input, (a, b, c, d, e))?),
            28 => ErrorCode::HttpResponseBodySize(long()?),
            29 => ErrorCode::HttpResponseTrailerSectionSize(short()?),
            30 => ErrorCode::HttpResponseTrailerSize(field(input, (a, b, c, d, e))?),
            31 => ErrorCode::HttpResponseTransferCoding(some(a, || input.string(b, c))?),
            32 => ErrorCode::HttpResponseContentCoding(some(a, || input.string(b, c))?),
            33 => ErrorCode::HttpResponseTimeout,
            34 => ErrorCode::HttpUpgradeFailed,
            35 => ErrorCode::HttpProtocolError,
            36 => ErrorCode::LoopDetected,
            37 => ErrorCode::ConfigurationError,
            38 => ErrorCode::InternalError(some(a, || input.string(b, c))?),
            number => bail!("there is no error code {number}"),
        })
    }
}

/// An optional value of which this tells whether it is there.
pub(super) fn some<T>(is_some: u32, read: impl FnOnce() -> wasmtime::Result<T>) -> wasmtime::Result<Option<T>> {
    match is_some {
        0 => Ok(None),
        1 => read().map(Some),
        other => bail!("an option is there or not, and not {other}"),
    }
}

fn field(input: &mut In<'_>, parts: (u32, u32, u32, u32, u32)) -> wasmtime::Result<FieldSizePayload> {
    let (is_named, name, len, is_sized, size) = parts;
    Ok(FieldSizePayload {
        field_name: some(is_named, || input.string(name, len))?,
        field_size: some(is_sized, || Ok(size))?,
    })
}

impl Store for DnsErrorPayload {
    const SIZE: u32 = <(Option<String>, Option<u16>) as Store>::SIZE;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        (self.rcode, self.info_code).store(out, at)
    }
}

impl Store for TlsAlertReceivedPayload {
    const SIZE: u32 = <(Option<u8>, Option<String>) as Store>::SIZE;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        (self.alert_id, self.alert_message).store(out, at)
    }
}

impl Store for FieldSizePayload {
    const SIZE: u32 = <(Option<String>, Option<u32>) as Store>::SIZE;
    const ALIGN: u32 = 4;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        (self.field_name, self.field_size).store(out, at)
    }
}

impl Store for HeaderError {
    const SIZE: u32 = 1;
    const ALIGN: u32 = 1;

    fn store(self, out: &mut Out<'_>, at: u32) -> wasmtime::Result<()> {
        let number: u8 = match self {
            Self::InvalidSyntax => 0,
            Self::Forbidden => 1,
            Self::Immutable => 2,
        };
        number.store(out, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_canonical_abi() {
        assert_eq!((ErrorCode::SIZE, ErrorCode::ALIGN), (32, 8));
        assert_eq!((FieldSizePayload::SIZE, DnsErrorPayload::SIZE, TlsAlertReceivedPayload::SIZE), (20, 16, 16));
        assert_eq!((<Result<(), ErrorCode>>::SIZE, <Option<Result<Result<u32, ErrorCode>, ()>>>::SIZE), (40, 56));
        assert_eq!(<Result<(), HeaderError>>::SIZE, 2);
    }
}
