//! Which of the server's streams has a subject.

use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::Stream;
use samovar_model::SubjectPattern;
use serde::Deserialize;
use serde_json::json;

use super::unavailable;
use crate::nats::{Nats, buckets};
use crate::queues::QueueError;

/// A page of the server's answer.
#[derive(Debug, Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

/// The stream that keeps the messages of a subject.
///
/// # Errors
/// Where there is none, or more than one.
pub(super) async fn of(nats: &Nats, subject: &SubjectPattern) -> Result<Stream, QueueError> {
    let names = overlapping(nats, subject).await?;
    let [name] = names.as_slice() else { return Err(not_one(subject, &names)) };
    find(nats, name).await?.ok_or_else(|| not_one(subject, &[]))
}

/// The streams that keep messages of a subject, by name, without Samovar's own.
pub(super) async fn overlapping(nats: &Nats, subject: &SubjectPattern) -> Result<Vec<String>, QueueError> {
    let filter = json!({ "subject": subject.as_str() });
    let answer: Response<Names> = nats.jetstream().request("STREAM.NAMES", &filter).await.map_err(unavailable)?;
    match answer {
        Response::Ok(names) => {
            Ok(names.streams.unwrap_or_default().into_iter().filter(|name| !is_own(nats, name)).collect())
        }
        Response::Err { error } => Err(unavailable(error)),
    }
}

/// Whether a stream is Samovar's, of this cluster or another, or part of some bucket.
pub(super) fn is_own(nats: &Nats, name: &str) -> bool {
    let own = format!("{}_", nats.config().namespace);
    [own.as_str(), "KV_", "OBJ_"].iter().any(|prefix| name.starts_with(prefix))
}

/// A stream, if it is there.
pub(super) async fn find(nats: &Nats, name: &str) -> Result<Option<Stream>, QueueError> {
    buckets::find(nats.jetstream(), name).await.map_err(|error| QueueError::Unavailable(error.to_string()))
}

fn not_one(subject: &SubjectPattern, streams: &[String]) -> QueueError {
    QueueError::NoStream(match streams {
        [] => format!(
            "no JetStream stream keeps messages of `{subject}`: make one, as in `nats stream add {} --subjects \
             '{subject}' --defaults`",
            suggested_name(subject)
        ),
        several => format!(
            "messages of `{subject}` are kept in several JetStream streams ({}): subscribe to each of them under a subject \
             that no other has",
            several.join(", ")
        ),
    })
}

/// A name that a stream for this subject may have.
fn suggested_name(subject: &SubjectPattern) -> String {
    let word = subject.as_str().split('.').find(|word| !["*", ">"].contains(word)).unwrap_or("MESSAGES");
    let name: String = word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if name.is_empty() { "MESSAGES".to_owned() } else { name.to_ascii_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_stream_the_line_to_type_is_told() {
        let told = |subject: &str| not_one(&subject.parse().unwrap(), &[]).to_string();
        assert_eq!(
            told("orders.*"),
            "no JetStream stream keeps messages of `orders.*`: make one, as in `nats stream add ORDERS --subjects 'orders.*' \
             --defaults`"
        );
        assert!(told("*.created").contains("nats stream add CREATED --subjects '*.created'"));
        assert!(told(">").contains("nats stream add MESSAGES --subjects '>'"));
        let several = not_one(&"orders.>".parse().unwrap(), &["A".to_owned(), "B".to_owned()]).to_string();
        assert!(several.contains("several JetStream streams (A, B)"), "{several}");
    }
}
