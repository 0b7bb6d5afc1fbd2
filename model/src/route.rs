//! Which requests belong to a function: a host, a path pattern and methods.
//!
//! This file says what a route is and when two routes clash. The gateway's routing table decides which one wins.

use std::fmt;
use std::str::FromStr;

use http::Method;
use serde::{Deserialize, Serialize};

/// One route of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Which hosts it answers for; every host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPattern>,
    /// Which paths.
    pub path: PathPattern,
    /// Which methods.
    #[serde(default, skip_serializing_if = "Methods::is_any")]
    pub methods: Methods,
    /// Whether a caller comes back to the host it had, as long as that has room. On one machine it always does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
}

/// Why a text is not a part of a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The path pattern is malformed.
    #[error("path `{pattern}`: {reason}")]
    Path {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host pattern is malformed.
    #[error("host `{0}`: write a host name without a port, as in `api.example.com` or `*.example.com`")]
    Host(String),
    /// Not an HTTP method.
    #[error("`{0}` is not an HTTP method: write it in capitals, as in `GET`")]
    Method(String),
}

/// One segment of a path pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// Exactly this text, compared as it came over the wire, before percent-decoding.
    Literal(Box<str>),
    /// `{name}`: any one segment that is not empty.
    Param(Box<str>),
    /// `{*name}`: everything that is left, which may be nothing; only at the end.
    Rest(Box<str>),
}

/// A path pattern: `/cart/{id}`, `/files/{*rest}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}

impl PathPattern {
    /// The pattern's segments, in order. `/` has one empty literal.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A path that this pattern matches, with parameters left out: what to call to try the function.
    pub fn example(&self) -> String {
        let literals = self.segments.iter().map_while(|segment| match segment {
            Segment::Literal(text) => Some(format!("/{text}")),
            Segment::Param(_) | Segment::Rest(_) => None,
        });
        let path: String = literals.collect();
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// Whether both patterns match exactly the same paths: the same but for the names of their parameters.
    pub fn same_shape(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::Param(_), Segment::Param(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
                _ => false,
            })
    }
}

impl FromStr for PathPattern {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let fail = |reason| RouteError::Path { pattern: text.to_owned(), reason };
        let rest = text.strip_prefix('/').ok_or_else(|| fail("must begin with `/`"))?;
        if text.contains(['?', '#']) || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(fail("must not contain `?`, `#` or white space"));
        }
        let segments: Vec<Segment> = rest
            .split('/')
            .map(segment)
            .collect::<Option<_>>()
            .ok_or_else(|| fail("a parameter is a whole segment: `{id}`, or `{*rest}` at the end"))?;
        let early_rest = segments.iter().rev().skip(1).any(|s| matches!(s, Segment::Rest(_)));
        if early_rest {
            return Err(fail("`{*…}` can stand only at the end"));
        }
        Ok(Self { text: text.to_owned(), segments })
    }
}

fn segment(text: &str) -> Option<Segment> {
    let Some(inner) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) else {
        return (!text.contains(['{', '}'])).then(|| Segment::Literal(text.into()));
    };
    let (name, rest) = match inner.strip_prefix('*') {
        Some(name) => (name, true),
        None => (inner, false),
    };
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    valid.then(|| if rest { Segment::Rest(name.into()) } else { Segment::Param(name.into()) })
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for PathPattern {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        text.parse()
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> Self {
        pattern.text
    }
}

/// A host name, or all names below one: `api.example.com`, `*.example.com`. Kept in lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(String);

impl HostPattern {
    /// The name below which every name matches, for a pattern that begins with `*.`.
    pub fn wildcard_of(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostPattern {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(RouteError::Host(text.to_owned()));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.0
    }
}

/// The methods that a route answers; empty means every method. A route for `GET` answers `HEAD` too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Methods(Vec<Method>);

impl Methods {
    /// Every method.
    pub const fn any() -> Self {
        Self(Vec::new())
    }

    /// Whether every method is meant.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the route answers this method.
    pub fn allow(&self, method: &Method) -> bool {
        self.is_any() || self.0.contains(method) || (method == Method::HEAD && self.0.contains(&Method::GET))
    }

    /// The methods named; empty when every method is meant.
    pub fn named(&self) -> &[Method] {
        &self.0
    }

    /// Whether some request could match both.
    pub fn overlap(&self, other: &Self) -> bool {
        self.is_any() || other.is_any() || self.0.iter().any(|method| other.0.contains(method))
    }
}

impl TryFrom<Vec<String>> for Methods {
    type Error = RouteError;

    fn try_from(names: Vec<String>) -> Result<Self, RouteError> {
        let parse = |name: String| match Method::from_bytes(name.as_bytes()) {
            Ok(method) if name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') => Ok(method),
            _ => Err(RouteError::Method(name)),
        };
        Ok(Self(names.into_iter().map(parse).collect::<Result<_, _>>()?))
    }
}

impl From<Methods> for Vec<String> {
    fn from(methods: Methods) -> Self {
        methods.0.iter().map(Method::to_string).collect()
    }
}

/// Two routes that would match the same request with the same right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {route} of function `{new}` clashes with function `{existing}`, which has it already")]
pub struct Clash {
    /// The function being deployed.
    pub new: String,
    /// The function that has the route.
    pub existing: String,
    /// The route in question.
    pub route: String,
}

impl Route {
    /// A route for every host and every method.
    pub fn any(path: PathPattern) -> Self {
        Self { host: None, path, methods: Methods::any(), sticky: false }
    }

    /// Whether neither of the two is more specific for some request: same host, same shape of path, a method in common.
    pub fn clashes_with(&self, other: &Self) -> bool {
        self.host == other.host && self.path.same_shape(&other.path) && self.methods.overlap(&other.methods)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for method in self.methods.named() {
            write!(f, "{method} ")?;
        }
        if let Some(host) = &self.host {
            write!(f, "{host}")?;
        }
        write!(f, "{}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathPattern {
        text.parse().expect(text)
    }

    #[test]
    fn patterns_are_read_segment_by_segment() {
        let literal = |t: &str| Segment::Literal(t.into());
        assert_eq!(path("/").segments(), [literal("")]);
        assert_eq!(path("/a/{id}").segments(), [literal("a"), Segment::Param("id".into())]);
        assert_eq!(path("/{*all}").segments(), [Segment::Rest("all".into())]);
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for bad in ["", "a", "/{*r}/b", "/a{id}", "/{}", "/{*}", "/a b", "/a?b", "/{a", "/{a b}"] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
        for bad in ["", "*", "a..b", "a:80", "*.*.b", "http://a"] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
        assert!(Methods::try_from(vec!["get".to_owned()]).is_err());
    }

    #[test]
    fn routes_clash_only_when_neither_is_more_specific() {
        let route = |p: &str| Route::any(path(p));
        let methods =
            |m: &[&str]| Methods::try_from(m.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>()).expect("methods");
        assert!(route("/a/{x}").clashes_with(&route("/a/{y}")));
        assert!(!route("/a/{x}").clashes_with(&route("/a/b")));
        assert!(!route("/a/{x}").clashes_with(&route("/a/{*x}")));
        let get = Route { methods: methods(&["GET"]), ..route("/a") };
        let post = Route { methods: methods(&["POST"]), ..route("/a") };
        assert!(!get.clashes_with(&post));
        assert!(get.clashes_with(&route("/a")));
        let hosted = Route { host: Some("a.example".parse().expect("host")), ..route("/a") };
        assert!(!hosted.clashes_with(&route("/a")));
    }
}
