//! Buckets and values, as they travel.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{BucketId, ByteSize, Durability, FunctionName, Span};

/// A bucket: what it holds, and its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BucketSummary {
    /// Its name: `FUNCTION/NAME`, or `NAME` for one that is shared.
    #[schema(value_type = String, example = "shop/sessions")]
    pub bucket: BucketId,
    /// Its keys, those included that are past their time and not yet swept.
    pub keys: u64,
    /// Keys and values together.
    pub bytes: u64,
    /// The functions that are granted it. Without any it can be read and cleared, and takes no values.
    #[schema(value_type = Vec<String>)]
    pub functions: Vec<FunctionName>,
    /// Its rules; absent when no function is granted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<BucketRules>,
}

/// The rules of a bucket, from the manifest of the first function by name that is granted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BucketRules {
    /// How long a value is kept after it was last written; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "1h")]
    pub ttl: Option<Span>,
    /// The most that the bucket holds, keys and values together.
    #[schema(value_type = String, example = "64MiB")]
    pub max_bytes: ByteSize,
    /// How long a write waits for others: `sync` or `batched`.
    #[schema(value_type = String, example = "sync")]
    pub durability: Durability,
}

/// Every bucket that holds something or that a function is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BucketList {
    /// By name.
    pub buckets: Vec<BucketSummary>,
}

/// Part of a bucket's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyPage {
    /// In the order of their bytes.
    pub keys: Vec<String>,
    /// Whether there are more: ask again with `after` the last one.
    pub more: bool,
}

/// A value in an export: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedValue {
    /// The key.
    pub key: String,
    /// The value, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value in base64, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// When it goes; it stays when this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<Timestamp>,
}

/// What became of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Values that were written.
    pub values: u64,
    /// Values that were not, since their time was over.
    pub expired: u64,
}
