//! `wasi:logging`: messages with a level and a context, as lines of the function's log.
//!
//! A message that is a JSON object with a text member `message` becomes that text, and its other members become fields. Any
//! other message is the text.

use samovar_model::{LogLevel, LogStream};
use serde_json::{Map, Value};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};

use super::stdio::cut;
use crate::guest::Guest;
use crate::logs::Said;

/// Its names: the package has had no version for long.
const INTERFACES: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

/// The longest text of one message; what is longer is cut, and not taken for JSON.
const MAX_MESSAGE_BYTES: usize = 32 << 10;

/// The longest context.
const MAX_CONTEXT_BYTES: usize = 256;

/// Whether this import is one of its names.
pub(crate) fn provides(import: &str) -> bool {
    INTERFACES.contains(&import)
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    for name in INTERFACES {
        linker.instance(name)?.func_wrap("log", log)?;
    }
    Ok(())
}

/// `level`.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "they come out of a guest's memory")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
            Level::Critical => Self::Critical,
        }
    }
}

fn log(
    context: StoreContextMut<'_, Guest>,
    (level, group, message): (Level, WasmStr, WasmStr),
) -> wasmtime::Result<()> {
    let (group, message) = (group.to_str(&context)?, message.to_str(&context)?);
    say(context.data(), level.into(), &group, &message);
    Ok(())
}

/// Takes a message of a guest.
pub(crate) fn say(guest: &Guest, level: LogLevel, group: &str, message: &str) {
    guest.log.say(group.len() + message.len(), || said(level, group, message));
}

/// The line that a message becomes.
fn said(level: LogLevel, context: &str, message: &str) -> Said {
    let (text, fields) = parted(message).unwrap_or_else(|| (cut(message.trim_end(), MAX_MESSAGE_BYTES), None));
    let context = (!context.is_empty()).then(|| cut(context, MAX_CONTEXT_BYTES));
    Said { stream: LogStream::Log, level: Some(level), context, fields, text }
}

/// The text and the fields of a message that has them.
fn parted(message: &str) -> Option<(String, Option<Map<String, Value>>)> {
    if !message.starts_with('{') || message.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_str(message).ok()?;
    match fields.remove("message")? {
        Value::String(text) => Some((text, (!fields.is_empty()).then_some(fields))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_message_becomes_a_text_with_fields() {
        let line = said(LogLevel::Warn, "cart", r#"{"message":"low stock","sku":7,"left":{"shelf":1}}"#);
        assert_eq!((line.text.as_str(), line.context.as_deref()), ("low stock", Some("cart")));
        let fields = serde_json::to_string(&line.fields).expect("serialises");
        assert_eq!(fields, r#"{"left":{"shelf":1},"sku":7}"#);
        assert_eq!(said(LogLevel::Info, "", r#"{"message":"alone"}"#).fields, None);
    }

    #[test]
    fn any_other_message_is_the_text() {
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(MAX_MESSAGE_BYTES));
        for message in ["plain", "{not json", r#"{"text":"no message"}"#, r#"{"message":5}"#, "[1]", "", &long] {
            let line = said(LogLevel::Info, "", message);
            assert!(line.fields.is_none(), "{message}");
            assert!(line.text.starts_with(&message[..message.len().min(100)]), "{message}");
            assert!(line.text.len() < MAX_MESSAGE_BYTES + 50, "{} bytes", line.text.len());
        }
    }
}
