//! A gateway's settings.

use std::time::Duration;

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Connections at once; past this, new ones wait in the system's backlog. Default 20,000.
    pub max_connections: usize,
    /// How long a request's head may take from its first byte to its last. Default 10 s.
    pub header_read_timeout: Duration,
    /// How long a connection may be open without a request. Default 75 s.
    pub idle_timeout: Duration,
    /// Names and values of a request's headers together; past this 431. Default 32 KiB.
    pub max_header_bytes: usize,
    /// Requests at once on one HTTP/2 connection. Default 256.
    pub max_concurrent_streams: u32,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            max_header_bytes: 32 << 10,
            max_concurrent_streams: 256,
        }
    }
}
