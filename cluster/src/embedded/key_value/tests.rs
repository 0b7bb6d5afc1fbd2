//! The contract of the trait, and what is this backend's own.

use std::sync::Arc;

use samovar_model::Span;

use super::super::DataDir;
use super::EmbeddedKeyValue;
use crate::KeyValue;
use crate::contract::key_value::{Stores, key_value_tests};

struct Embedded(tempfile::TempDir);

impl Stores for Embedded {
    const SHORT: Span = Span::millis(100);

    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn KeyValue> {
        Arc::new(EmbeddedKeyValue::open(&DataDir::open(self.0.path()).unwrap()).unwrap())
    }
}

key_value_tests!(Embedded);
