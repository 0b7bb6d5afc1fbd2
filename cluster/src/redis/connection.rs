//! The connection to Redis: one for the whole process, over which everything is pipelined, and which is made anew when it breaks.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, FromRedisValue, RedisError, ScriptInvocation, ServerErrorKind};
use tokio::time::timeout;

use super::{RedisConfig, RedisConfigError};
use crate::KeyValueError;

/// How long one answer may take, and the making of a connection.
const ANSWER: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(2);
/// How long anything may take altogether.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The connection. Clones share it.
#[derive(Clone)]
pub(super) struct Connection {
    manager: ConnectionManager,
}

impl Connection {
    /// Connects. Where the server cannot be reached, goes on without: it is tried again with each use.
    pub(super) async fn open(config: &RedisConfig) -> Result<Self, RedisConfigError> {
        let address = config.address()?;
        let client = Client::open(config.url.as_str());
        let client = client.map_err(|error| RedisConfigError::Address(error.to_string()))?;
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER))
            .set_max_delay(LONGEST_PAUSE)
            .set_number_of_retries(2);
        let manager = ConnectionManager::new_lazy_with_config(client, settings);
        let manager = manager.map_err(|error| RedisConfigError::Address(error.to_string()))?;
        let connection = Self { manager };
        match connection.look().await {
            Ok(Some(warning)) => tracing::warn!(address, "{warning}"),
            Ok(None) => tracing::info!(address, "Redis is there"),
            Err(error) if is_refusal(&error) => {
                let reason = format!("{error}: give the login in the URL, as in redis://USER:PASSWORD@HOST:PORT");
                return Err(RedisConfigError::Refused { address, reason });
            }
            Err(error) => {
                tracing::warn!(address, %error, "Redis cannot be reached: going on without; buckets are not available until it is");
            }
        }
        Ok(connection)
    }

    /// What an operator should know of the server.
    async fn look(&self) -> Result<Option<&'static str>, RedisError> {
        let mut manager = self.manager.clone();
        let command = redis::Cmd::new().arg("INFO").arg("persistence").to_owned();
        let Ok(info) = timeout(PATIENCE, command.query_async::<String>(&mut manager)).await else {
            return Err(RedisError::from((ErrorKind::Io, "no answer in time")));
        };
        let no_log = info?.lines().any(|line| line.trim() == "aof_enabled:0");
        let warning = "Redis has no append-only file: what functions wrote since its last snapshot is lost when it crashes; set \
                       `appendonly yes`, and `appendfsync always` to lose nothing";
        Ok(no_log.then_some(warning))
    }

    /// The answer to a question.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, KeyValueError> {
        let mut manager = self.manager.clone();
        match timeout(PATIENCE, command.query_async(&mut manager)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(KeyValueError::Unavailable("no answer from Redis in time".to_owned())),
        }
    }

    /// The answer of a script that only reads, or does what may be done twice.
    pub(super) async fn read<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, KeyValueError> {
        self.run(script).await.map_err(|failed| match failed {
            Failed::NotDone(error) | Failed::Open(error) => KeyValueError::Unavailable(error),
        })
    }

    /// The answer of a script that writes.
    pub(super) async fn write<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, KeyValueError> {
        self.run(script).await.map_err(|failed| match failed {
            Failed::NotDone(error) => KeyValueError::Unavailable(error),
            Failed::Open(error) => KeyValueError::Unknown(error),
        })
    }

    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Failed> {
        let mut manager = self.manager.clone();
        match timeout(PATIENCE, script.invoke_async(&mut manager)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if is_done_or_not(&error) => Err(Failed::Open(error.to_string())),
            Ok(Err(error)) => Err(Failed::NotDone(error.to_string())),
            Err(_) => Err(Failed::Open("no answer from Redis in time".to_owned())),
        }
    }
}

/// A script that gave no answer.
enum Failed {
    /// It did not run.
    NotDone(String),
    /// It may have run, or will yet.
    Open(String),
}

/// Whether the command was perhaps sent. A server that answers with an error has not run the script; without a connection nothing
/// was sent.
fn is_done_or_not(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io => !error.is_connection_refusal(),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => true,
        _ => false,
    }
}

fn is_refusal(error: &RedisError) -> bool {
    let said = [Some("NOAUTH"), Some("WRONGPASS"), Some("NOPERM")].contains(&error.code());
    said || [ErrorKind::AuthenticationFailed, ErrorKind::Server(ServerErrorKind::NoPerm)].contains(&error.kind())
}

fn unavailable(error: &RedisError) -> KeyValueError {
    KeyValueError::Unavailable(error.to_string())
}
