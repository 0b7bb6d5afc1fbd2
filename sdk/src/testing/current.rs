//! The host that a thread's handler runs on, and what it answers in the platform's place.

use std::cell::RefCell;
use std::sync::{Arc, PoisonError};

use serde_json::{Map, Value};

use super::host::Answers;
use super::{Bucket, Host, LogLine};
use crate::functions::DOMAIN;
use crate::log::Level;
use crate::outbound::Timeouts;
use crate::{Body, Response, Result, SendError, timeout};

thread_local! {
    /// The host whose handler is running on this thread.
    static CURRENT: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Makes a host this thread's, until what is returned is dropped.
pub(super) fn enter(host: Host) -> Entered {
    Entered(CURRENT.replace(Some(host)))
}

/// Puts back the host that was there before.
pub(super) struct Entered(Option<Host>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

fn of_host<T>(ask: impl FnOnce(&Host) -> Option<T>) -> Option<T> {
    CURRENT.with_borrow(|host| host.as_ref().and_then(ask))
}

pub(crate) fn env(name: &str) -> Option<String> {
    of_host(|host| host.env.get(name).cloned())
}

pub(crate) fn bucket(name: &str) -> Option<Bucket> {
    of_host(|host| Some(Bucket::new(name, Arc::clone(host.buckets.get(name)?))))
}

#[expect(clippy::unnecessary_wraps, reason = "as the platform, which can fail")]
pub(crate) fn config(key: &str) -> Result<Option<String>, String> {
    Ok(of_host(|host| host.config.get(key).cloned()))
}

#[expect(clippy::unnecessary_wraps, reason = "as the platform, which can fail")]
pub(crate) fn secret(name: &str) -> Result<Option<String>, String> {
    Ok(of_host(|host| host.secrets.get(name).cloned()))
}

#[expect(clippy::unnecessary_wraps, reason = "as the platform, which can fail")]
pub(crate) fn all_config() -> Result<Vec<(String, String)>, String> {
    Ok(of_host(|host| Some(host.config.clone().into_iter().collect())).unwrap_or_default())
}

#[cfg(feature = "session")]
pub(crate) fn now() -> std::time::SystemTime {
    std::time::SystemTime::now() + of_host(|host| Some(host.ahead)).unwrap_or_default()
}

/// Keeps a line as the platform does: a JSON object is its message and its fields. Without a host it goes to stderr.
pub(crate) fn log(level: Level, context: &str, message: &str) {
    let Some(logs) = of_host(|host| Some(Arc::clone(&host.logs))) else {
        eprintln!("{level}: {message}");
        return;
    };
    let (message, fields) = split(message).unwrap_or_else(|| (message.to_owned(), Map::new()));
    let line = LogLine { level, context: context.to_owned(), message, fields };
    logs.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

fn split(message: &str) -> Option<(String, Map<String, Value>)> {
    let mut fields: Map<String, Value> = serde_json::from_str(message).ok()?;
    match fields.remove("message")? {
        Value::String(message) => Some((message, fields)),
        _ => None,
    }
}

/// Only the time to the head of the answer can run out here: there are no connections.
pub(crate) async fn send(request: http::Request<Body>, timeouts: Timeouts) -> Result<Response, SendError> {
    let answers = answers_of(&request)?;
    let answer = answers(request);
    match timeouts.first_byte {
        None => Ok(answer.await),
        Some(longest) => timeout(longest, answer).await.map_err(|late| SendError::TimedOut(late.to_string())),
    }
}

fn answers_of(request: &http::Request<Body>) -> Result<Arc<Answers>, SendError> {
    let uri = request.uri();
    let function = uri.host().and_then(|host| host.strip_suffix(DOMAIN)).and_then(|name| name.strip_suffix('.'));
    let (found, missing) = match function {
        Some(name) => (of_host(|host| host.functions.get(name).cloned()), "Host::function"),
        None => (of_host(|host| host.outbound.clone()), "Host::outbound"),
    };
    found.ok_or_else(|| SendError::Denied(format!("{uri}: this test has no `{missing}` for it")))
}
