//! What stands in the attribute's parentheses.

use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitStr, Result};

/// `#[handler]`, `#[handler("/cart/{id}")]` or `#[handler(axum)]`.
pub(crate) enum Options {
    Plain,
    Pattern(LitStr),
    Axum(Ident),
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Ok(Self::Plain);
        }
        let options = if input.peek(LitStr) {
            let pattern: LitStr = input.parse()?;
            check(&pattern.value()).map_err(|reason| Error::new(pattern.span(), reason))?;
            Self::Pattern(pattern)
        } else {
            let word: Ident = input.parse().map_err(|error| Error::new(error.span(), EXPECTED))?;
            if word != "axum" {
                return Err(Error::new(word.span(), EXPECTED));
            }
            Self::Axum(word)
        };
        if input.is_empty() { Ok(options) } else { Err(input.error(EXPECTED)) }
    }
}

const EXPECTED: &str = "expected nothing, a path pattern as in #[handler(\"/cart/{id}\")], or #[handler(axum)]";

/// The same rules as the manifest's routes.
fn check(pattern: &str) -> std::result::Result<(), String> {
    let fail = |reason: &str| Err(format!("path pattern `{pattern}`: {reason}"));
    let Some(path) = pattern.strip_prefix('/') else { return fail("must begin with `/`") };
    let segments: Vec<&str> = path.split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let Some(name) = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) else {
            if segment.starts_with(':') {
                return fail("write `{name}`, not `:name`");
            }
            if segment.contains(['{', '}', '*']) {
                return fail("`{name}` must be a whole segment");
            }
            continue;
        };
        let bare = name.strip_prefix('*').unwrap_or(name);
        if bare.is_empty() || bare.contains(['{', '}', '*']) {
            return fail("a name goes between the braces, as in `{id}` or `{*rest}`");
        }
        if name.starts_with('*') && index + 1 < segments.len() {
            return fail("`{*name}` can only stand at the end");
        }
    }
    Ok(())
}
