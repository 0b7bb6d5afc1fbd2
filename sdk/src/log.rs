//! What a function has to say, with a level and fields (`wasi:logging`), for `samovar logs`.
//!
//! ```
//! use samovar_sdk::{log, testing::Host};
//!
//! let (order, cents) = (7, 1200);
//! let host = Host::new();
//! host.call(async { log::info!("paid order {order}", cents = cents, currency = "EUR") });
//!
//! let line = &host.logs()[0];
//! assert_eq!(line.message, "paid order 7");
//! assert_eq!(line.fields["cents"], 1200);
//! ```
//! The message is written as in `format!`, with the names that are in scope. A field is anything that serde can write; one that it
//! cannot write is left out. `println!` and `eprintln!` go to the same log, without a level and fields.
//!
//! What goes over the boundary is the message alone, or with fields a JSON object that has it as `message`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::guest;

#[doc(inline)]
pub use crate::{
    __log_critical as critical, __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};

/// How much a line matters.
///
/// ```
/// use samovar_sdk::log::Level;
///
/// assert!(Level::Warn > Level::Info);
/// assert_eq!(Level::Warn.to_string(), "warn");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The flow of control and the values of variables.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// For whoever watches.
    Info,
    /// Something is not as it should be, and the function goes on.
    Warn,
    /// The function could not do what it should.
    Error,
    /// It will not be able to do so at all.
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        })
    }
}

/// A line that is being put together: what the macros are made of, for levels and fields that are not known before.
///
/// ```
/// use samovar_sdk::{log::{Level, Line}, testing::Host};
///
/// let host = Host::new();
/// host.call(async { Line::new(Level::Info, "paid").field("order", 7).send() });
/// assert_eq!(host.logs()[0].fields["order"], 7);
/// ```
#[derive(Debug, Clone)]
#[must_use = "a line is logged by `send`"]
pub struct Line {
    level: Level,
    context: &'static str,
    message: String,
    fields: Map<String, Value>,
}

impl Line {
    /// A line without fields.
    ///
    /// ```
    /// use samovar_sdk::log::{Level, Line};
    ///
    /// Line::new(Level::Info, "started").send();
    /// ```
    pub fn new(level: Level, message: impl fmt::Display) -> Self {
        Self { level, context: "", message: message.to_string(), fields: Map::new() }
    }

    /// The same line with a context: a text by which like lines are found. The macros give the name of the module.
    ///
    /// ```
    /// use samovar_sdk::log::{Level, Line};
    ///
    /// Line::new(Level::Info, "started").context("startup").send();
    /// ```
    pub fn context(mut self, context: &'static str) -> Self {
        self.context = context;
        self
    }

    /// The same line with one more field, which replaces one of the same name.
    ///
    /// ```
    /// use samovar_sdk::log::{Level, Line};
    ///
    /// Line::new(Level::Info, "paid").field("order", 7).send();
    /// ```
    pub fn field(mut self, name: &str, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.fields.insert(name.to_owned(), value);
        }
        self
    }

    /// Logs it.
    ///
    /// ```
    /// use samovar_sdk::log::{Level, Line};
    ///
    /// Line::new(Level::Error, "no prices today").send();
    /// ```
    pub fn send(self) {
        let Self { level, context, message, mut fields } = self;
        // What begins like an object could be read as one, with fields that the caller of a function has thought out.
        if fields.is_empty() && !message.trim_start().starts_with('{') {
            return guest::log(level, context, &message);
        }
        fields.insert("message".into(), message.into());
        guest::log(level, context, &Value::Object(fields).to_string());
    }
}

/// Logs the flow of control and the values of variables.
///
/// ```
/// samovar_sdk::log::trace!("paid", order = 7);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __log_trace {
    ($($line:tt)*) => { $crate::__log!(Trace $($line)*) };
}

/// Logs what is for whoever looks for a mistake.
///
/// ```
/// samovar_sdk::log::debug!("paid", order = 7);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __log_debug {
    ($($line:tt)*) => { $crate::__log!(Debug $($line)*) };
}

/// Logs what is for whoever watches.
///
/// ```
/// samovar_sdk::log::info!("paid", order = 7);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __log_info {
    ($($line:tt)*) => { $crate::__log!(Info $($line)*) };
}

/// Logs that something is not as it should be.
///
/// ```
/// samovar_sdk::log::warn!("paid", order = 7);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __log_warn {
    ($($line:tt)*) => { $crate::__log!(Warn $($line)*) };
}

/// Logs that the function could not do what it should.
///
/// ```
/// samovar_sdk::log::error!("paid", order = 7);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __log_error {
    ($($line:tt)*) => { $crate::__log!(Error $($line)*) };
}

/// Logs that the function will not be able to do what it should.
///
/// ```
/// samovar_sdk::log::critical!("paid", order = 7);
/// ```
#[macro_export]
#[doc(hidden)]
macro_rules! __log_critical {
    ($($line:tt)*) => { $crate::__log!(Critical $($line)*) };
}

/// What the macros of [`log`](crate::log) have in common.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident $message:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::log::Line::new($crate::log::Level::$level, ::core::format_args!($message))
            .context(::core::module_path!())
            $(.field(::core::stringify!($name), &$value))*
            .send()
    };
}
