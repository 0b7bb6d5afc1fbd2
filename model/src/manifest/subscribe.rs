//! `subscribe` in the manifest: a list of subjects, or tables that say more.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{FunctionTable, ManifestError};
use crate::{FunctionName, Span, Start, SubjectError, Subscription};

/// The most subscriptions of a function: each has a place of its own in the server.
const MOST: usize = 16;
/// The most messages that one process has a function work on at once.
const MOST_AT_ONCE: u32 = 1000;

/// `subscribe`: one subject, or a list of subjects and tables. It is read without guessing which is meant, so that a mistake in a table
/// is told by its key.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RawSubscriptions(pub Vec<RawSubscription>);

/// One `[[function.NAME.subscribe]]` table as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSubscription {
    /// Whose messages, with the wildcards `*` and `>`.
    pub subject: String,
    /// Where the requests go; `/` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Messages that one process has the function work on at once; as for its jobs when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Further attempts after one that failed; as for its jobs when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long it is waited after the first attempt that fails; as for its jobs when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Span>,
    /// Where it begins: `new` when absent.
    #[serde(default)]
    pub start: Start,
}

impl RawSubscription {
    fn plain(subject: &str) -> Self {
        let subject = subject.to_owned();
        Self { subject, path: None, concurrency: None, retries: None, backoff: None, start: Start::New }
    }
}

impl<'de> Deserialize<'de> for RawSubscriptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Several)
    }
}

/// Reads one subject, or a list.
struct Several;

impl<'de> Visitor<'de> for Several {
    type Value = RawSubscriptions;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a subject such as \"orders.*\", or a list of subjects and tables")
    }

    fn visit_str<E: de::Error>(self, subject: &str) -> Result<RawSubscriptions, E> {
        Ok(RawSubscriptions(vec![RawSubscription::plain(subject)]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawSubscriptions, A::Error> {
        let mut all = Vec::new();
        while let Some(OneOf(subscription)) = list.next_element()? {
            all.push(subscription);
        }
        Ok(RawSubscriptions(all))
    }
}

/// A subject or a table in a list.
struct OneOf(RawSubscription);

impl<'de> Deserialize<'de> for OneOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(One)
    }
}

struct One;

impl<'de> Visitor<'de> for One {
    type Value = OneOf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a subject such as \"orders.*\", or a table with `subject`")
    }

    fn visit_str<E: de::Error>(self, subject: &str) -> Result<OneOf, E> {
        Ok(OneOf(RawSubscription::plain(subject)))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<OneOf, A::Error> {
        RawSubscription::deserialize(MapAccessDeserializer::new(table)).map(OneOf)
    }
}

impl FunctionTable {
    /// Its subscriptions, checked.
    pub(super) fn subscriptions(&self, name: &FunctionName) -> Result<Vec<Subscription>, ManifestError> {
        let tables = self.subscribe.as_ref().map_or(&[][..], |subscriptions| &subscriptions.0);
        if tables.len() > MOST {
            let number = format!("{} subjects", tables.len());
            return Err(self.value(
                name,
                "subscribe",
                number,
                &format!("at most {MOST}; a wildcard may do for several"),
            ));
        }
        let mut subscriptions: Vec<Subscription> = Vec::new();
        for raw in tables {
            let subscription = self.one_subscription(name, raw)?;
            if subscriptions.iter().any(|other| other.subject == subscription.subject) {
                return Err(self.value(name, "subscribe", &raw.subject, "stands there twice"));
            }
            subscriptions.push(subscription);
        }
        Ok(subscriptions)
    }

    fn one_subscription(&self, name: &FunctionName, raw: &RawSubscription) -> Result<Subscription, ManifestError> {
        let RawSubscription { subject, path, concurrency, retries, backoff, start } = raw.clone();
        let refused = |error: SubjectError| self.value(name, "subscribe", &subject, &error.to_string());
        let pattern = subject.parse().map_err(refused)?;
        if let Some(backoff) = backoff.filter(|backoff| backoff.as_duration().is_zero()) {
            return Err(self.value(name, "subscribe.backoff", backoff, "must be more than 0"));
        }
        if let Some(at_once) = concurrency.filter(|at_once| !(1..=MOST_AT_ONCE).contains(at_once)) {
            return Err(self.value(name, "subscribe.concurrency", at_once, &format!("from 1 to {MOST_AT_ONCE}")));
        }
        let path = self.path(name, "subscribe.path", path.as_deref())?;
        Ok(Subscription { subject: pattern, path, start, concurrency, retries, backoff })
    }
}
