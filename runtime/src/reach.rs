//! What guests can reach beyond themselves: the platform's services that a host is started with. Which of them a function may
//! use, and which part of them, is for its manifest to say (`interfaces/mod.rs`).

use std::fmt;
use std::sync::Arc;

use samovar_cluster::KeyValue;

/// The services behind the interfaces. What a host has not got is refused to guests, in words that say so.
#[derive(Clone, Default)]
pub struct Reach {
    /// Where buckets are.
    pub key_value: Option<Arc<dyn KeyValue>>,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("key_value", &self.key_value.is_some()).finish()
    }
}
