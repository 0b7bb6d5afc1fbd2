//! What functions keep, in a Redis server that is there already: 6.2 or later, or what speaks as it does (Valkey). Nothing
//! outside this folder names Redis.
//!
//! - `config.rs`: where it is; `connection.rs`: the connection, and what errors mean
//! - `key_value.rs`: the store; `scripts.rs` and `scripts/`: the Lua that every change is made by, at once and alone

mod config;
mod connection;
mod key_value;
mod scripts;

pub use config::{RedisConfig, RedisConfigError};
pub use key_value::RedisKeyValue;

#[cfg(test)]
mod tests;
