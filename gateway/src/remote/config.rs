//! Settings of a gateway whose hosts are elsewhere.

use std::time::Duration;

use crate::balance::Policy;

/// What [`RemoteHosts`](super::RemoteHosts) is made with.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// How hosts are chosen. Default `adaptive`.
    pub policy: Policy,
    /// Connections to each host: a connection is one core's work at each end. Default: as many as there are cores, up to 4.
    pub connections_per_host: usize,
    /// How long a request waits for a connection to the host that was picked for it, where there is none yet. Default 1 s.
    pub connect_patience: Duration,
    /// After how long without an answer a request that only reads (RFC 9110, 9.2.1) and has no body is sent to a second host as
    /// well; the first answer counts. Within the retry budget. Default: never.
    pub hedge_after: Option<Duration>,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            policy: Policy::default(),
            connections_per_host: cores.min(4),
            connect_patience: Duration::from_secs(1),
            hedge_after: None,
        }
    }
}
