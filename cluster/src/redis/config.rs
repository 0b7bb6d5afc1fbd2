//! Where Redis is.

use std::fmt;

use redis::IntoConnectionInfo as _;

/// Why Redis cannot be used as it was named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisConfigError {
    /// The address makes no sense. It is not repeated: it may have a password in it.
    #[error(
        "the address of Redis cannot be read ({0}): write redis://HOST:PORT, or rediss://HOST:PORT for TLS, with a login as in \
         redis://USER:PASSWORD@HOST:PORT and a database as in redis://HOST:PORT/2"
    )]
    Address(String),
    /// A server was reached, which does not let this process in, or cannot be used.
    #[error("Redis at {address}: {reason}")]
    Refused {
        /// Where it is.
        address: String,
        /// What it said, and what to do.
        reason: String,
    },
}

/// Where Redis is, and what its keys begin with.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://HOST:PORT`, or `rediss://` for TLS.
    pub url: String,
    /// What all keys begin with, so that several clusters can share a server. Default `samovar`.
    pub namespace: String,
}

/// Without the login.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address().unwrap_or_else(|_| "an address that cannot be read".to_owned());
        f.debug_struct("RedisConfig").field("address", &address).field("namespace", &self.namespace).finish()
    }
}

impl RedisConfig {
    /// The defaults, for this server.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), namespace: "samovar".to_owned() }
    }

    /// Where it is, as HOST:PORT.
    ///
    /// # Errors
    /// Where the URL cannot be read.
    pub fn address(&self) -> Result<String, RedisConfigError> {
        let info = self.url.as_str().into_connection_info();
        let info = info.map_err(|error| RedisConfigError::Address(error.to_string()))?;
        Ok(info.addr().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let config = RedisConfig::new("redis://alice:hunter2@10.0.0.1:6379/2");
        assert_eq!(config.address(), Ok("10.0.0.1:6379".to_owned()));
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        for bad in ["http://alice:hunter2@x", "redis://alice:hunter2@x:port", "redis://x/alice:hunter2"] {
            let error = RedisConfig::new(bad).address().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.contains("redis://HOST:PORT"), "{error}");
        }
    }
}
