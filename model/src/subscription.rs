//! Subscriptions: the subjects whose messages a function is called for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, FunctionName, JobSettings, Span};

/// The longest pattern of subjects.
const MAX_PATTERN_BYTES: usize = 255;

/// The subjects that a function takes messages of: words with dots between them. `*` stands for one word, `>` at the end for one or
/// more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectPattern(String);

/// A text that is not a pattern of subjects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a subject: {reason}")]
pub struct SubjectError {
    text: String,
    reason: &'static str,
}

impl SubjectPattern {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Why it cannot be one, if so.
    fn fault(text: &str) -> Option<&'static str> {
        let words: Vec<&str> = text.split('.').collect();
        let wild = |word: &&str| word.contains(['*', '>']);
        if text.is_empty() || words.iter().any(|word| word.is_empty()) {
            Some("write words with dots between them, none of them empty, as in `orders.created`")
        } else if text.len() > MAX_PATTERN_BYTES {
            Some("it has more than 255 bytes")
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Some("it must not contain whitespace")
        } else if words.iter().filter(|word| wild(word)).any(|word| word.len() > 1) {
            Some("a wildcard, `*` or `>`, is a word of its own, as in `orders.*`")
        } else if words.iter().rev().skip(1).any(|word| *word == ">") {
            Some("`>` stands for all the rest, so it must be the last word")
        } else if text.starts_with('$') {
            Some("subjects that begin with `$` are the server's own")
        } else if text.starts_with("samovar") {
            Some("subjects that begin with `samovar` are the platform's own")
        } else {
            None
        }
    }
}

impl FromStr for SubjectPattern {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        match Self::fault(text) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(SubjectError { text: text.chars().take(80).collect(), reason }),
        }
    }
}

impl TryFrom<String> for SubjectPattern {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, SubjectError> {
        text.parse()
    }
}

impl From<SubjectPattern> for String {
    fn from(subject: SubjectPattern) -> Self {
        subject.0
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a subscription begins that has no place yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With what is published after it was deployed.
    #[default]
    New,
    /// With the oldest message that is kept.
    All,
}

/// One subscription of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Whose messages.
    pub subject: SubjectPattern,
    /// Where the requests go. Default `/`.
    #[serde(default = "root")]
    pub path: String,
    /// Where it begins. Default `new`.
    #[serde(default)]
    pub start: Start,
    /// Messages that one process has the function work on at once; as for its jobs where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Further attempts after one that failed; as for its jobs where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long it is waited after the first attempt that fails; as for its jobs where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Span>,
}

fn root() -> String {
    "/".to_owned()
}

impl Subscription {
    /// How its messages are worked on, in a function whose jobs are run like this.
    pub fn terms(&self, jobs: &JobSettings) -> JobSettings {
        JobSettings {
            concurrency: self.concurrency.unwrap_or(jobs.concurrency),
            retries: self.retries.unwrap_or(jobs.retries),
            backoff: self.backoff.unwrap_or(jobs.backoff),
            ..jobs.clone()
        }
    }
}

/// A subscription's name within the whole platform. It stays the same from one revision to the next, whatever else changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionKey {
    /// The function.
    pub function: FunctionName,
    /// Whose messages.
    pub subject: SubjectPattern,
}

impl SubscriptionKey {
    /// The subject in 16 hexadecimal digits: a name for it where its own characters cannot stand.
    pub fn digits(&self) -> String {
        let digest = Digest::of(self.subject.as_str().as_bytes()).to_string();
        digest.chars().filter(char::is_ascii_hexdigit).rev().take(16).collect()
    }
}

impl fmt::Display for SubscriptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.subject, self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_as_the_server_reads_them() {
        for good in ["orders", "orders.created", "orders.*", "*.created", "orders.>", ">", "a.*.c.>", "größe.Ä"] {
            assert_eq!(good.parse::<SubjectPattern>().map(|subject| subject.to_string()), Ok(good.to_owned()));
        }
        for (bad, reason) in [
            ("", "none of them empty"),
            ("orders.", "none of them empty"),
            (".orders", "none of them empty"),
            ("a..b", "none of them empty"),
            ("a b", "whitespace"),
            ("a\tb", "whitespace"),
            ("a.\u{7}", "whitespace"),
            ("orders*", "word of its own"),
            ("orders.>>", "word of its own"),
            (">.orders", "last word"),
            ("$JS.API.>", "the server's own"),
            ("samovar.jobs", "the platform's own"),
            ("samovar_jobs.a", "the platform's own"),
        ] {
            let error = bad.parse::<SubjectPattern>().expect_err(bad).to_string();
            assert!(error.starts_with(&format!("`{bad}` is not a subject")) && error.contains(reason), "{error}");
        }
        assert!("a.".repeat(200).parse::<SubjectPattern>().is_err());
        assert!("a".repeat(256).parse::<SubjectPattern>().is_err());
    }

    #[test]
    fn what_a_subscription_does_not_say_is_as_for_jobs() {
        let subscription: Subscription = serde_json::from_str(r#"{"subject":"orders.*"}"#).expect("valid");
        assert_eq!((subscription.path.as_str(), subscription.start), ("/", Start::New));
        let jobs = JobSettings { concurrency: 3, retries: 7, ..JobSettings::default() };
        assert_eq!(subscription.terms(&jobs), jobs);
        let own = Subscription { retries: Some(1), backoff: Some(Span::secs(1)), ..subscription };
        assert_eq!(own.terms(&jobs), JobSettings { retries: 1, backoff: Span::secs(1), ..jobs });
    }

    #[test]
    fn a_subscription_keeps_its_name_while_its_subject_stays() {
        let key = |subject: &str| SubscriptionKey {
            function: "mailer".parse().expect("a name"),
            subject: subject.parse().expect("a subject"),
        };
        assert_eq!(key("orders.*").digits(), key("orders.*").digits());
        assert_ne!(key("orders.*").digits(), key("orders.>").digits());
        assert_eq!(key("orders.*").digits().len(), 16);
    }
}
