//! Where buckets, keys and values are in the stream.
//!
//! | subject | holds |
//! | --- | --- |
//! | `$KV.<store>.<bucket>.l` | the bucket's ledger |
//! | `$KV.<store>.<bucket>.k.<key>` | the key's value, or that it was deleted |
//! | `$KV.<store>.<bucket>.r.<key>` | what of a value did not fit into the message |
//!
//! A bucket is two tokens: its function, or `_` where it is shared, and its name. A key is one token for each byte, so that the
//! server itself can tell by a wildcard which keys have a prefix: a letter or digit stands for itself, any other byte is written
//! with two hexadecimal digits. The longest key makes a subject of less than a kilobyte.

use samovar_model::BucketId;

/// The function's token of a bucket that is shared. No function has this name.
const SHARED: &str = "_";

/// The subjects of one store.
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    /// `$KV.<store>.`
    start: String,
}

impl Subjects {
    pub(super) fn of(store: &str) -> Self {
        Self { start: format!("$KV.{store}.") }
    }

    pub(super) fn ledger(&self, bucket: &BucketId) -> String {
        format!("{}{}.l", self.start, place(bucket))
    }

    pub(super) fn ledgers(&self) -> String {
        format!("{}*.*.l", self.start)
    }

    /// The bucket whose ledger has this subject.
    pub(super) fn bucket(&self, subject: &str) -> Option<BucketId> {
        let (function, name) = subject.strip_prefix(&self.start)?.strip_suffix(".l")?.split_once('.')?;
        let text = if function == SHARED { name.to_owned() } else { format!("{function}/{name}") };
        text.parse().ok()
    }

    pub(super) fn value(&self, bucket: &BucketId, key: &str) -> String {
        format!("{}{}.k.{}", self.start, place(bucket), tokens(key))
    }

    pub(super) fn rest(&self, bucket: &BucketId, key: &str) -> String {
        format!("{}{}.r.{}", self.start, place(bucket), tokens(key))
    }

    /// What the values of all keys match that are longer than this prefix and begin with it.
    pub(super) fn longer(&self, bucket: &BucketId, prefix: &str) -> String {
        if prefix.is_empty() {
            return format!("{}{}.k.>", self.start, place(bucket));
        }
        format!("{}.>", self.value(bucket, prefix))
    }

    /// What everything of a bucket matches.
    pub(super) fn all(&self, bucket: &BucketId) -> String {
        format!("{}{}.>", self.start, place(bucket))
    }

    /// The key of this bucket that a value's subject stands for.
    pub(super) fn key(&self, bucket: &BucketId, subject: &str) -> Option<String> {
        let tokens = subject.strip_prefix(&self.start)?.strip_prefix(&place(bucket))?.strip_prefix(".k.")?;
        let bytes = tokens.split('.').map(|token| match token.as_bytes() {
            [byte] => Some(*byte),
            digits => hex::decode(digits).ok().filter(|bytes| bytes.len() == 1).map(|bytes| bytes[0]),
        });
        String::from_utf8(bytes.collect::<Option<_>>()?).ok()
    }
}

fn place(bucket: &BucketId) -> String {
    match bucket {
        BucketId::Own(function, name) => format!("{function}.{name}"),
        BucketId::Shared(name) => format!("{SHARED}.{name}"),
    }
}

fn tokens(key: &str) -> String {
    let mut tokens = String::with_capacity(3 * key.len());
    for byte in key.bytes() {
        if !tokens.is_empty() {
            tokens.push('.');
        }
        if byte.is_ascii_alphanumeric() {
            tokens.push(char::from(byte));
        } else {
            tokens.push_str(&hex::encode([byte]));
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_can_be_read_in_a_subject() {
        let subjects = Subjects::of("samovar_kv");
        let bucket: BucketId = "shop/carts".parse().unwrap();
        assert_eq!(subjects.value(&bucket, "a1:ä"), "$KV.samovar_kv.shop.carts.k.a.1.3a.c3.a4");
        assert_eq!(subjects.ledger(&"all".parse().unwrap()), "$KV.samovar_kv._.all.l");
    }

    proptest! {
        #[test]
        fn whatever_a_key_is_its_subject_stands_for_it(key in ".{1,64}", name in "[a-zA-Z0-9_-]{1,9}") {
            let subjects = Subjects::of("samovar_kv");
            for bucket in [format!("shop/{name}"), name] {
                let bucket: BucketId = bucket.parse().unwrap();
                let subject = subjects.value(&bucket, &key);
                prop_assert!(subject.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte)));
                prop_assert!(!subject.contains(".."));
                prop_assert_eq!(subjects.key(&bucket, &subject), Some(key.clone()));
                prop_assert_eq!(subjects.bucket(&subjects.ledger(&bucket)), Some(bucket));
            }
        }
    }
}
