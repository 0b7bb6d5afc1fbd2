//! `samovar.toml`: the raw form that serde reads, and the step that validates it.
//!
//! The same raw form travels in the control API, so that a manifest means the same wherever it is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    BucketGrant, BucketName, ByteSize, FunctionName, Isolation, JobSettings, Limits, NameError, OutboundError,
    OutboundLimits, OutboundPattern, Route, RouteError, Scale, Settings, Span,
};

mod schedule;
mod subscribe;

pub use schedule::{RawSchedule, RawSchedules};
pub use subscribe::{RawSubscription, RawSubscriptions};

/// The manifest's file name.
pub const FILE_NAME: &str = "samovar.toml";

/// A whole manifest as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The functions by name.
    #[serde(default)]
    pub function: BTreeMap<String, FunctionTable>,
}

/// One `[function.NAME]` table as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionTable {
    /// The command that builds the component; inferred from the project's files when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// Where the build leaves the component, relative to the manifest; inferred when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// Path patterns, or tables with host, path and methods. `/NAME` and `/NAME/{*rest}` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RawRoutes>,
    /// `instance` or `request`.
    pub isolation: Isolation,
    /// `[function.NAME.limits]`.
    pub limits: Limits,
    /// `[function.NAME.scale]`.
    pub scale: Scale,
    /// `[function.NAME.env]`.
    pub env: BTreeMap<String, String>,
    /// Destinations of outbound requests.
    pub allow_outbound: Vec<String>,
    /// Whether destinations may be private, loopback and link-local addresses.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_private: bool,
    /// `[function.NAME.outbound]`.
    pub outbound: OutboundLimits,
    /// Functions that it may call, by name.
    pub allow_functions: Vec<String>,
    /// `[function.NAME.config]`.
    pub config: BTreeMap<String, String>,
    /// `[function.NAME.kv]`.
    pub kv: BTreeMap<String, BucketGrant>,
    /// Secrets that it may read, by name.
    pub secrets: Vec<String>,
    /// `[function.NAME.jobs]`.
    pub jobs: JobSettings,
    /// When it is called without a caller: cron expressions, or tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<RawSchedules>,
    /// Whose messages it is called for: subjects, or tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<RawSubscriptions>,
}

/// `route` in its short form (a list of paths), as one path, or as tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RawRoutes {
    /// `route = "/a"`.
    One(String),
    /// `route = ["/a", "/b"]`.
    Paths(Vec<String>),
    /// `[[function.NAME.route]]`.
    Tables(Vec<RawRoute>),
}

/// One `[[function.NAME.route]]` table as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRoute {
    /// The host; every host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path pattern.
    pub path: String,
    /// The methods; every method when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// Whether a caller comes back to the host it had; not by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
}

/// Why a manifest cannot be used. Every message names the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or a key that does not exist, or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// No function in the file.
    #[error("no function: add a table `[function.NAME]`")]
    Empty,
    /// A function's name is malformed.
    #[error("[function.…]: {0}")]
    Name(#[from] NameError),
    /// A route is malformed.
    #[error("function.{function}.route: {error}")]
    Route {
        /// The function.
        function: FunctionName,
        /// What is wrong.
        error: RouteError,
    },
    /// An entry of `allow_outbound` is malformed.
    #[error("function.{function}.allow_outbound: {error}")]
    Outbound {
        /// The function.
        function: FunctionName,
        /// What is wrong.
        error: OutboundError,
    },
    /// A value is outside what is possible.
    #[error("function.{function}.{key} = {value}: {reason}")]
    Value {
        /// The function.
        function: FunctionName,
        /// The key, with its table.
        key: &'static str,
        /// What was written.
        value: String,
        /// What is possible.
        reason: String,
    },
}

impl Manifest {
    /// Reads a manifest's text.
    ///
    /// # Errors
    /// [`ManifestError::Syntax`] with line, column and key; [`ManifestError::Empty`].
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            toml::from_str(text).map_err(|e| ManifestError::Syntax(e.to_string().trim_end().to_owned()))?;
        if manifest.function.is_empty() { Err(ManifestError::Empty) } else { Ok(manifest) }
    }
}

/// The largest memory that a 32-bit guest can have.
const MAX_MEMORY: ByteSize = ByteSize::bytes(4 << 30);

impl FunctionTable {
    /// Checks every value and fills in the defaults.
    ///
    /// # Errors
    /// The first value that cannot be used, by its key.
    pub fn settings(&self, name: &FunctionName) -> Result<Settings, ManifestError> {
        let routes = self.routes(name)?;
        let outbound = |text: &String| text.parse::<OutboundPattern>();
        let allow_outbound = self.allow_outbound.iter().map(outbound).collect::<Result<_, _>>();
        let allow_outbound =
            allow_outbound.map_err(|error| ManifestError::Outbound { function: name.clone(), error })?;
        self.check(name)?;
        Ok(Settings {
            routes,
            isolation: self.isolation,
            limits: self.limits.clone(),
            scale: self.scale.clone(),
            env: self.env.clone(),
            allow_outbound,
            allow_private: self.allow_private,
            outbound: self.outbound.clone(),
            allow_functions: self.names(name, "allow_functions", &self.allow_functions)?,
            config: self.config.clone(),
            kv: self.buckets(name)?,
            secrets: self.names(name, "secrets", &self.secrets)?,
            jobs: self.jobs.clone(),
            schedules: self.schedules(name)?,
            subscriptions: self.subscriptions(name)?,
        })
    }

    fn routes(&self, name: &FunctionName) -> Result<Vec<Route>, ManifestError> {
        let path = |text: &str| Ok(Route::any(text.parse()?));
        let table = |raw: &RawRoute| {
            Ok(Route {
                host: raw.host.as_deref().map(str::parse).transpose()?,
                path: raw.path.parse()?,
                methods: raw.methods.clone().unwrap_or_default().try_into()?,
                sticky: raw.sticky,
            })
        };
        let routes: Result<Vec<Route>, RouteError> = match &self.route {
            None => [format!("/{name}"), format!("/{name}/{{*rest}}")].iter().map(|p| path(p)).collect(),
            Some(RawRoutes::One(text)) => path(text).map(|route| vec![route]),
            Some(RawRoutes::Paths(texts)) => texts.iter().map(|text| path(text)).collect(),
            Some(RawRoutes::Tables(tables)) => tables.iter().map(table).collect(),
        };
        let routes = routes.map_err(|error| ManifestError::Route { function: name.clone(), error })?;
        if routes.is_empty() {
            return Err(self.value(name, "route", "[]", "give at least one route, or leave the key out"));
        }
        Ok(routes)
    }

    /// Names that stand in a list.
    fn names<T>(&self, name: &FunctionName, key: &'static str, given: &[String]) -> Result<BTreeSet<T>, ManifestError>
    where
        T: FromStr<Err: Display> + Ord,
    {
        let read = |text: &String| text.parse().map_err(|e: T::Err| self.value(name, key, "[…]", &e.to_string()));
        given.iter().map(read).collect()
    }

    fn buckets(&self, name: &FunctionName) -> Result<BTreeMap<BucketName, BucketGrant>, ManifestError> {
        let read = |(bucket, grant): (&String, &BucketGrant)| {
            let refused = |reason: &str| self.value(name, "kv", bucket, reason);
            if grant.ttl.is_some_and(|ttl| ttl < Span::secs(1)) {
                return Err(refused("ttl must be at least 1s"));
            }
            if grant.max_bytes < ByteSize::bytes(1) {
                return Err(refused("max_bytes must be more than 0"));
            }
            Ok((bucket.parse().map_err(|error: crate::BucketNameError| refused(&error.to_string()))?, grant.clone()))
        };
        self.kv.iter().map(read).collect()
    }

    fn check(&self, name: &FunctionName) -> Result<(), ManifestError> {
        let (limits, scale) = (&self.limits, &self.scale);
        let positive = |key, span: Span| match span.as_duration().is_zero() {
            true => Err(self.value(name, key, span, "must be more than 0")),
            false => Ok(()),
        };
        positive("limits.timeout", limits.timeout)?;
        positive("limits.cpu", limits.cpu)?;
        positive("scale.queue_timeout", scale.queue_timeout)?;
        if limits.memory < ByteSize::bytes(64 << 10) || limits.memory > MAX_MEMORY {
            return Err(self.value(name, "limits.memory", limits.memory, "from 64KiB to 4GiB"));
        }
        if scale.max_instances == 0 {
            return Err(self.value(name, "scale.max_instances", 0, "must be at least 1"));
        }
        if scale.min_warm > scale.max_instances {
            let reason = format!("must not be more than max_instances ({})", scale.max_instances);
            return Err(self.value(name, "scale.min_warm", scale.min_warm, &reason));
        }
        if scale.concurrency == 0 {
            return Err(self.value(name, "scale.concurrency", 0, "must be at least 1"));
        }
        if scale.concurrency > 1 && self.isolation == Isolation::Request {
            return Err(self.value(
                name,
                "scale.concurrency",
                scale.concurrency,
                "must be 1 with isolation = \"request\"",
            ));
        }
        positive("outbound.timeout", self.outbound.timeout)?;
        if self.outbound.concurrency == 0 {
            return Err(self.value(name, "outbound.concurrency", 0, "must be at least 1"));
        }
        positive("jobs.max_age", self.jobs.max_age)?;
        positive("jobs.backoff", self.jobs.backoff)?;
        if self.jobs.concurrency == 0 {
            return Err(self.value(name, "jobs.concurrency", 0, "must be at least 1"));
        }
        check_names(name, self.config.keys(), self.env.keys())?;
        check_secrets(name, self.secrets.iter().map(String::as_str), &self.config)
    }

    /// Where requests go that nobody sends; `/` when nothing is said.
    fn path(&self, name: &FunctionName, key: &'static str, given: Option<&str>) -> Result<String, ManifestError> {
        let path = given.unwrap_or("/");
        if !path.starts_with('/') {
            return Err(self.value(name, key, path, "must begin with `/`"));
        }
        match path.parse::<http::uri::PathAndQuery>() {
            Ok(_) => Ok(path.to_owned()),
            Err(error) => Err(self.value(name, key, path, &error.to_string())),
        }
    }

    fn value(&self, name: &FunctionName, key: &'static str, value: impl ToString, reason: &str) -> ManifestError {
        ManifestError::Value { function: name.clone(), key, value: value.to_string(), reason: reason.to_owned() }
    }
}

/// Whether these can be keys of the configuration and names of environment variables.
pub(crate) fn check_names<'a>(
    function: &FunctionName,
    config: impl IntoIterator<Item = &'a String>,
    env: impl IntoIterator<Item = &'a String>,
) -> Result<(), ManifestError> {
    let refused = |key, value: &str, reason: &str| ManifestError::Value {
        function: function.clone(),
        key,
        value: format!("{value:?}"),
        reason: reason.to_owned(),
    };
    if let Some(key) = config.into_iter().find(|key| key.is_empty()) {
        return Err(refused("config", key, "a key must not be empty"));
    }
    match env.into_iter().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        Some(name) => Err(refused("env", name, "a variable's name must not be empty or contain `=`")),
        None => Ok(()),
    }
}

/// Whether no secret has a name that stands in the configuration: guests read both by it.
pub(crate) fn check_secrets<'a>(
    function: &FunctionName,
    mut secrets: impl Iterator<Item = &'a str>,
    config: &BTreeMap<String, String>,
) -> Result<(), ManifestError> {
    let Some(name) = secrets.find(|name| config.contains_key(*name)) else { return Ok(()) };
    let reason = "the name stands in `config` too, and guests read both by it: leave it in one of them";
    let (key, value) = ("secrets", format!("{name:?}"));
    Err(ManifestError::Value { function: function.clone(), key, value, reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, ManifestError> {
        let manifest = Manifest::parse(text)?;
        let (name, table) = manifest.function.first_key_value().expect("one function");
        table.settings(&name.parse()?)
    }

    #[test]
    fn everything_but_the_name_has_a_default() {
        let settings = settings("[function.hello]").expect("valid");
        let paths: Vec<_> = settings.routes.iter().map(|route| route.path.as_str()).collect();
        assert_eq!(paths, ["/hello", "/hello/{*rest}"]);
        assert_eq!(settings.limits, Limits::default());
        assert!(settings.allow_outbound.is_empty());
    }

    #[test]
    fn routes_are_read_in_every_form() {
        let count = |text| settings(text).expect("valid").routes.len();
        assert_eq!(count("[function.a]\nroute = \"/x\""), 1);
        assert_eq!(count("[function.a]\nroute = [\"/x\", \"/y/{id}\"]"), 2);
        assert_eq!(count("[[function.a.route]]\npath = \"/\"\nsticky = true"), 1);
        assert_eq!(count("[[function.a.route]]\nhost = \"a.example\"\npath = \"/\"\nmethods = [\"GET\"]"), 1);
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        for (text, expected) in [
            ("[function.a]\nmemory = 5", "memory"),
            ("[function.a.limits]\nmemory = \"5\"", "`5` is not a size"),
            ("[function.a.limits]\nmemory = \"1KiB\"", "function.a.limits.memory = 1KiB: from 64KiB to 4GiB"),
            ("[function.a.scale]\nmin_warm = 200", "function.a.scale.min_warm = 200"),
            ("[function.a]\nroute = [\"x\"]", "function.a.route: path `x`: must begin with `/`"),
            ("[function.a]\nallow_outbound = [\"x\"]", "function.a.allow_outbound: `x`"),
            ("[function.a]\nallow_functions = [\"B\"]", "function.a.allow_functions = […]: `B` is not a function name"),
            ("[function.a]\nsecrets = [\"a b\"]", "function.a.secrets = […]: not a secret's name"),
            (
                "[function.a]\nsecrets = [\"K\"]\n[function.a.config]\nK = \"v\"",
                "function.a.secrets = \"K\": the name stands in `config` too",
            ),
            ("[function.a.kv]\n\"a/b\" = {}", "function.a.kv = a/b: `a/b` is not a bucket's name"),
            ("[function.a.kv]\nx = { ttl = \"5ms\" }", "function.a.kv = x: ttl must be at least 1s"),
            ("[function.a.kv]\nx = { tll = \"5s\" }", "unknown field `tll`"),
            ("[function.a.outbound]\nconcurrency = 0", "function.a.outbound.concurrency = 0"),
            ("[function.a]\nschedule = [\"* * *\"]", "function.a.schedule = * * *: `* * *` is not a schedule"),
            (
                "[function.a]\nschedule = \"* 25 * * *\"",
                "function.a.schedule = * 25 * * *: `* 25 * * *`: the hour `25`",
            ),
            (
                "[[function.a.schedule]]\ncron = \"@daily\"\nzone = \"Berlin\"",
                "function.a.schedule.zone = Berlin: `Berlin` is not a time zone",
            ),
            (
                "[[function.a.schedule]]\ncron = \"@daily\"\npath = \"x\"",
                "function.a.schedule.path = x: must begin with `/`",
            ),
            ("[function.a]\nschedule = [\"@daily\", \"@daily\"]", "function.a.schedule = @daily: stands there twice"),
            ("[function.a]\nsubscribe = [\"a b\"]", "function.a.subscribe = a b: `a b` is not a subject: it must not"),
            ("[function.a]\nsubscribe = \"$JS.>\"", "function.a.subscribe = $JS.>: `$JS.>` is not a subject"),
            ("[function.a]\nsubscribe = [\"x.*\", \"x.*\"]", "function.a.subscribe = x.*: stands there twice"),
            (
                "[[function.a.subscribe]]\nsubject = \"x\"\npath = \"y\"",
                "function.a.subscribe.path = y: must begin with `/`",
            ),
            (
                "[[function.a.subscribe]]\nsubject = \"x\"\nconcurrency = 0",
                "function.a.subscribe.concurrency = 0: from 1 to 1000",
            ),
            (
                "[[function.a.subscribe]]\nsubject = \"x\"\nbackoff = \"0s\"",
                "function.a.subscribe.backoff = 0ms: must be more than 0",
            ),
            (
                "[[function.a.subscribe]]\nsubject = \"x\"\nstart = \"old\"",
                "unknown variant `old`, expected `new` or `all`",
            ),
            (
                "[[function.a.subscribe]]\nsubject = \"x\"\nretry = 1",
                "unknown field `retry`, expected one of `subject`",
            ),
            ("[[function.a.subscribe]]\npath = \"/\"", "missing field `subject`"),
            ("[function.a]\nsubscribe = 5", "expected a subject such as \"orders.*\", or a list"),
            ("[function.a]\nsubscribe = [5]", "expected a subject such as \"orders.*\", or a table"),
            ("[function.a.jobs]\nconcurrency = 0", "function.a.jobs.concurrency = 0: must be at least 1"),
            ("[function.a.jobs]\nretry = 1", "unknown field `retry`"),
            ("[function.A]", "`A` is not a function name"),
            ("", "no function"),
            ("[functoin.a]", "functoin"),
        ] {
            let error = settings(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn subjects_and_tables_may_stand_side_by_side_and_survive_the_way_through_the_control_api() {
        let text = "[function.a]\nsubscribe = [\"x\", { subject = \"y.*\", path = \"/y\", retries = 0 }]";
        let table = Manifest::parse(text).expect("valid").function.remove("a").expect("there");
        let json = serde_json::to_string(&table).expect("serialises");
        assert_eq!(serde_json::from_str::<FunctionTable>(&json).expect("reads back"), table);
        let subscriptions = settings(text).expect("valid").subscriptions;
        let seen: Vec<_> =
            subscriptions.iter().map(|one| (one.subject.as_str(), one.path.as_str(), one.retries)).collect();
        assert_eq!(seen, [("x", "/", None), ("y.*", "/y", Some(0))]);
        assert_eq!(settings("[function.a]\nsubscribe = \"x\"").expect("valid").subscriptions.len(), 1);
    }

    #[test]
    fn a_function_has_so_many_subscriptions_and_no_more() {
        let subjects: Vec<String> = (0..17).map(|number| format!("\"s.{number}\"")).collect();
        let manifest = |number| format!("[function.a]\nsubscribe = [{}]", subjects[..number].join(", "));
        assert_eq!(settings(&manifest(16)).expect("as many as there may be").subscriptions.len(), 16);
        let error = settings(&manifest(17)).expect_err("one too many").to_string();
        assert!(error.starts_with("function.a.subscribe = 17 subjects: at most 16"), "{error}");
    }

    #[test]
    fn a_table_survives_the_way_through_the_control_api() {
        let text = "[function.a]\nroute = [\"/x\"]\nisolation = \"request\"\n[function.a.env]\nK = \"v\"";
        let table = Manifest::parse(text).expect("valid").function.remove("a").expect("there");
        let json = serde_json::to_string(&table).expect("serialises");
        assert_eq!(serde_json::from_str::<FunctionTable>(&json).expect("reads back"), table);
    }
}
