//! Path patterns, in the manifest's own form: `/cart/{id}`, `/files/{*rest}`.

use std::fmt;

use percent_encoding::percent_decode_str;

/// A path pattern, cut into segments. Orders from the most to the least specific.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(Vec<Segment>);

/// The order of the variants is the order of preference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    /// Exactly this text, as it came over the wire.
    Literal(Box<str>),
    /// `{name}`: any one segment that is not empty.
    Param(Box<str>),
    /// `{*name}`: everything that is left, which may be nothing.
    Rest(Box<str>),
}

/// What a pattern's names stand for in one request, percent-decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Params(pub(crate) Vec<(Box<str>, String)>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError(String);

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let fail = |reason: &str| PatternError(format!("path pattern `{text}`: {reason}"));
        let path = text.strip_prefix('/').ok_or_else(|| fail("must begin with `/`"))?;
        let mut segments: Vec<Segment> = Vec::new();
        for part in path.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err(fail("`{*name}` can only stand at the end"));
            }
            let segment = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => match name.strip_prefix('*') {
                    Some(name) => Segment::Rest(name.into()),
                    None => Segment::Param(name.into()),
                },
                None => Segment::Literal(part.into()),
            };
            match &segment {
                Segment::Literal(text) if text.contains(['{', '}', '*']) => {
                    return Err(fail("`{name}` must be a whole segment"));
                }
                Segment::Literal(text) if text.starts_with(':') => return Err(fail("write `{name}`, not `:name`")),
                Segment::Param(name) | Segment::Rest(name) if name.is_empty() || name.contains(['{', '}', '*']) => {
                    return Err(fail("a name goes between the braces, as in `{id}` or `{*rest}`"));
                }
                _ => {}
            }
            segments.push(segment);
        }
        Ok(Self(segments))
    }

    /// What the names stand for, if the path fits.
    pub(crate) fn matches(&self, path: &str) -> Option<Params> {
        let mut params = Params::default();
        let mut rest = path.strip_prefix('/');
        for segment in &self.0 {
            if let Segment::Rest(name) = segment {
                params.0.push((name.clone(), decode(rest.unwrap_or_default())?));
                return Some(params);
            }
            let left = rest?;
            let (part, after) = match left.split_once('/') {
                Some((part, after)) => (part, Some(after)),
                None => (left, None),
            };
            match segment {
                Segment::Literal(text) if **text == *part => {}
                Segment::Param(name) if !part.is_empty() => params.0.push((name.clone(), decode(part)?)),
                _ => return None,
            }
            rest = after;
        }
        rest.is_none().then_some(params)
    }

    /// What two patterns that match the same paths have in common.
    pub(crate) fn same_paths(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|pair| match pair {
                (Segment::Literal(a), Segment::Literal(b)) => a == b,
                (Segment::Param(_), Segment::Param(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
                _ => false,
            })
    }
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
        let params = Pattern::parse(pattern).unwrap().matches(path)?;
        Some(params.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn a_pattern_matches_whole_paths() {
        assert_eq!(matched("/", "/"), Some(vec![]));
        assert_eq!(matched("/a/{id}", "/a/7"), Some(vec!["id=7".into()]));
        assert_eq!(matched("/a/{id}", "/a/x%20y"), Some(vec!["id=x y".into()]));
        assert_eq!(matched("/a/{*rest}", "/a/b/c"), Some(vec!["rest=b/c".into()]));
        assert_eq!(matched("/a/{*rest}", "/a"), Some(vec!["rest=".into()]));
        for (pattern, path) in [("/a", "/a/"), ("/a/", "/a"), ("/a/{id}", "/a/"), ("/a/{id}", "/a/7/8"), ("/a", "/b")] {
            assert_eq!(matched(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn the_most_specific_pattern_comes_first() {
        let mut patterns = ["/{*rest}", "/a/{id}", "/a/new", "/{x}/new"].map(|text| Pattern::parse(text).unwrap());
        patterns.sort();
        let order = ["/a/new", "/a/{id}", "/{x}/new", "/{*rest}"].map(|text| Pattern::parse(text).unwrap());
        assert_eq!(patterns, order);
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_said() {
        for (text, reason) in [
            ("a", "must begin with `/`"),
            ("/:id", "write `{name}`, not `:name`"),
            ("/x{id}", "`{name}` must be a whole segment"),
            ("/{}", "a name goes between the braces"),
            ("/{*all}/x", "only stand at the end"),
        ] {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
