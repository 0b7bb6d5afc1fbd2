//! Where a function may send requests: the entries of `allow_outbound`.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Serialize};

/// One entry of `allow_outbound`: `https://api.example.com`, `https://*.example.org:8443`, `http://127.0.0.1:9000`, or
/// `*` for every destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OutboundPattern {
    /// `*`: anything.
    Any,
    /// A scheme, a host and a port.
    Origin {
        /// `http` or `https`.
        scheme: String,
        /// The host, in lower case; all names below it when `subdomains`.
        host: String,
        /// Whether the host was written with `*.` in front.
        subdomains: bool,
        /// The port, the scheme's own where none was written.
        port: u16,
    },
}

/// A text that is not an entry of `allow_outbound`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: write `https://host`, `https://*.host:port`, or `*` for every destination (no path)")]
pub struct OutboundError(String);

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl OutboundPattern {
    /// Whether a request to this absolute URI is covered.
    pub fn allows(&self, uri: &Uri) -> bool {
        let Self::Origin { scheme, host, subdomains, port } = self else { return true };
        let (Some(to_scheme), Some(to_host)) = (uri.scheme_str(), uri.host()) else { return false };
        let to_host = to_host.to_ascii_lowercase();
        let host_matches = if *subdomains {
            to_host.strip_suffix(host.as_str()).is_some_and(|head| head.len() > 1 && head.ends_with('.'))
        } else {
            to_host == *host
        };
        host_matches && scheme == to_scheme && uri.port_u16().or(default_port(to_scheme)) == Some(*port)
    }
}

impl FromStr for OutboundPattern {
    type Err = OutboundError;

    fn from_str(text: &str) -> Result<Self, OutboundError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let parse = || {
            let (scheme, rest) = text.split_once("://")?;
            let standard = default_port(scheme)?;
            let (rest, subdomains) = match rest.strip_prefix("*.") {
                Some(rest) => (rest, true),
                None => (rest, false),
            };
            let authority: http::uri::Authority = rest.strip_suffix('/').unwrap_or(rest).parse().ok()?;
            let plain = !authority.as_str().contains(['@', '*']) && !authority.host().is_empty();
            let port = authority.port_u16().unwrap_or(standard);
            plain.then(|| Self::Origin {
                scheme: scheme.to_owned(),
                host: authority.host().to_ascii_lowercase(),
                subdomains,
                port,
            })
        };
        parse().ok_or_else(|| OutboundError(text.to_owned()))
    }
}

impl fmt::Display for OutboundPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Origin { scheme, host, subdomains, port } = self else { return f.write_str("*") };
        write!(f, "{scheme}://{}{host}", if *subdomains { "*." } else { "" })?;
        if default_port(scheme) == Some(*port) { Ok(()) } else { write!(f, ":{port}") }
    }
}

impl TryFrom<String> for OutboundPattern {
    type Error = OutboundError;

    fn try_from(text: String) -> Result<Self, OutboundError> {
        text.parse()
    }
}

impl From<OutboundPattern> for String {
    fn from(pattern: OutboundPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, uri: &str) -> bool {
        pattern.parse::<OutboundPattern>().expect(pattern).allows(&uri.parse().expect(uri))
    }

    #[test]
    fn an_entry_covers_its_scheme_host_and_port_and_nothing_else() {
        assert!(allows("https://api.example.com", "https://API.example.com/x?y"));
        assert!(allows("https://api.example.com", "https://api.example.com:443/"));
        assert!(allows("https://*.example.org:8443", "https://a.b.example.org:8443/"));
        assert!(allows("*", "http://anything/"));
        for (pattern, uri) in [
            ("https://api.example.com", "http://api.example.com/"),
            ("https://api.example.com", "https://api.example.com:8443/"),
            ("https://api.example.com", "https://evil.api.example.com/"),
            ("https://*.example.org", "https://example.org/"),
            ("https://*.example.org", "https://evilexample.org/"),
        ] {
            assert!(!allows(pattern, uri), "{pattern} {uri}");
        }
    }

    #[test]
    fn malformed_entries_are_refused() {
        for bad in ["", "example.com", "ftp://a", "https://", "https://a/path", "https://u@a", "https://a*b"] {
            assert!(bad.parse::<OutboundPattern>().is_err(), "{bad}");
        }
    }
}
