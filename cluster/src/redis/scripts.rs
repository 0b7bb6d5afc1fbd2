//! The Lua scripts, each as one text with `bucket.lua` before it. The server is given a script once, and its hash from then on.

use redis::{Script, ScriptInvocation};
use samovar_model::{Bucket, BucketId};

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("scripts/bucket.lua"), include_str!(concat!("scripts/", $file, ".lua"))))
    };
}

/// All scripts, and what keys begin with.
pub(super) struct Scripts {
    namespace: String,
    pub(super) write: Script,
    pub(super) swap: Script,
    pub(super) increment: Script,
    pub(super) list: Script,
    pub(super) usage: Script,
    pub(super) clear: Script,
}

impl Scripts {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            write: script!("write"),
            swap: script!("swap"),
            increment: script!("increment"),
            list: script!("list"),
            usage: script!("usage"),
            clear: script!("clear"),
        }
    }

    /// The key that a value is at.
    pub(super) fn value(&self, bucket: &BucketId, key: &str) -> String {
        format!("{}:kv:{bucket}:v:{key}", self.namespace)
    }

    /// The set of buckets that hold something.
    pub(super) fn buckets(&self) -> String {
        format!("{}:kv", self.namespace)
    }

    /// A script, told which bucket.
    pub(super) fn on<'s>(&self, script: &'s Script, bucket: &BucketId) -> ScriptInvocation<'s> {
        let mut call = script.prepare_invoke();
        call.arg(format!("{}:kv:{bucket}:", self.namespace)).arg(self.buckets()).arg(bucket.to_string());
        call
    }

    /// A script that writes, told the bucket's rules as well.
    pub(super) fn under<'s>(&self, script: &'s Script, bucket: &Bucket) -> ScriptInvocation<'s> {
        let ttl = bucket.ttl.map_or(0, |ttl| ttl.as_duration().as_millis().max(1));
        let mut call = self.on(script, &bucket.id);
        call.arg(ttl.to_string()).arg(bucket.max_bytes.as_bytes());
        call
    }
}
