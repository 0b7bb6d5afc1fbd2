//! Every error code, with and without what it may say more.

use guests_wasi02::number;
use wasip2::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, IncomingRequest, ResponseOutparam, TlsAlertReceivedPayload,
};

/// How many there are: each of the 39 without what it may say more, and some with it.
pub const COUNT: usize = 39 + 44;

/// Answers with the error code of this number.
pub fn error(request: IncomingRequest, out: ResponseOutparam) {
    let n = usize::try_from(number(&request, "n", 0)).expect("a small number");
    let mut codes = bare();
    codes.extend(with_payload());
    assert_eq!(codes.len(), COUNT, "the count is the list's");
    ResponseOutparam::set(out, Err(codes.swap_remove(n)));
}

const NO_FIELD: FieldSizePayload = FieldSizePayload { field_name: None, field_size: None };

fn bare() -> Vec<ErrorCode> {
    vec![
        ErrorCode::DnsTimeout,
        ErrorCode::DnsError(DnsErrorPayload { rcode: None, info_code: None }),
        ErrorCode::DestinationNotFound,
        ErrorCode::DestinationUnavailable,
        ErrorCode::DestinationIpProhibited,
        ErrorCode::DestinationIpUnroutable,
        ErrorCode::ConnectionRefused,
        ErrorCode::ConnectionTerminated,
        ErrorCode::ConnectionTimeout,
        ErrorCode::ConnectionReadTimeout,
        ErrorCode::ConnectionWriteTimeout,
        ErrorCode::ConnectionLimitReached,
        ErrorCode::TlsProtocolError,
        ErrorCode::TlsCertificateError,
        ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id: None, alert_message: None }),
        ErrorCode::HttpRequestDenied,
        ErrorCode::HttpRequestLengthRequired,
        ErrorCode::HttpRequestBodySize(None),
        ErrorCode::HttpRequestMethodInvalid,
        ErrorCode::HttpRequestUriInvalid,
        ErrorCode::HttpRequestUriTooLong,
        ErrorCode::HttpRequestHeaderSectionSize(None),
        ErrorCode::HttpRequestHeaderSize(None),
        ErrorCode::HttpRequestTrailerSectionSize(None),
        ErrorCode::HttpRequestTrailerSize(NO_FIELD),
        ErrorCode::HttpResponseIncomplete,
        ErrorCode::HttpResponseHeaderSectionSize(None),
        ErrorCode::HttpResponseHeaderSize(NO_FIELD),
        ErrorCode::HttpResponseBodySize(None),
        ErrorCode::HttpResponseTrailerSectionSize(None),
        ErrorCode::HttpResponseTrailerSize(NO_FIELD),
        ErrorCode::HttpResponseTransferCoding(None),
        ErrorCode::HttpResponseContentCoding(None),
        ErrorCode::HttpResponseTimeout,
        ErrorCode::HttpUpgradeFailed,
        ErrorCode::HttpProtocolError,
        ErrorCode::LoopDetected,
        ErrorCode::ConfigurationError,
        ErrorCode::InternalError(None),
    ]
}

fn with_payload() -> Vec<ErrorCode> {
    let mut codes = Vec::new();
    for rcode in [None, Some(""), Some("NXDOMAIN")] {
        for info_code in [None, Some(0x1234), Some(u16::MAX)] {
            codes.push(ErrorCode::DnsError(DnsErrorPayload { rcode: rcode.map(str::to_owned), info_code }));
        }
    }
    for alert_id in [None, Some(u8::MAX)] {
        for alert_message in [None, Some(""), Some("certificate unknown é")] {
            let alert_message = alert_message.map(str::to_owned);
            codes.push(ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id, alert_message }));
        }
    }
    for size in [0, u64::MAX - 1] {
        codes.extend([ErrorCode::HttpRequestBodySize(Some(size)), ErrorCode::HttpResponseBodySize(Some(size))]);
    }
    for size in [Some(0), Some(u32::MAX - 1)] {
        codes.extend([
            ErrorCode::HttpRequestHeaderSectionSize(size),
            ErrorCode::HttpRequestTrailerSectionSize(size),
            ErrorCode::HttpResponseHeaderSectionSize(size),
            ErrorCode::HttpResponseTrailerSectionSize(size),
        ]);
    }
    let field = |name: &str, field_size| FieldSizePayload { field_name: Some(name.to_owned()), field_size };
    codes.push(ErrorCode::HttpRequestHeaderSize(Some(NO_FIELD)));
    codes.push(ErrorCode::HttpRequestHeaderSize(Some(field("", Some(1)))));
    codes.push(ErrorCode::HttpRequestHeaderSize(Some(field("x-large", None))));
    codes.push(ErrorCode::HttpRequestHeaderSize(Some(FieldSizePayload { field_name: None, field_size: Some(7) })));
    codes.push(ErrorCode::HttpRequestTrailerSize(field("x-large", Some(u32::MAX))));
    codes.push(ErrorCode::HttpResponseHeaderSize(field("x-large", Some(1 << 20))));
    codes.push(ErrorCode::HttpResponseTrailerSize(field("", None)));
    codes.push(ErrorCode::HttpResponseTrailerSize(FieldSizePayload { field_name: None, field_size: Some(7) }));
    for text in ["", "gzip, é"] {
        codes.extend([
            ErrorCode::HttpResponseTransferCoding(Some(text.to_owned())),
            ErrorCode::HttpResponseContentCoding(Some(text.to_owned())),
            ErrorCode::InternalError(Some(text.to_owned())),
        ]);
    }
    codes.push(ErrorCode::InternalError(Some("x".repeat(5000))));
    codes.push(ErrorCode::HttpRequestHeaderSize(Some(field("both", Some(2)))));
    codes.push(ErrorCode::HttpRequestHeaderSize(Some(field(&"x".repeat(300), Some(300)))));
    codes
}
