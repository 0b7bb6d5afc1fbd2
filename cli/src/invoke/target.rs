//! What to call when only a function's name is given: told from its routes.

use anyhow::bail;
use http::Method;
use samovar_model::api::FunctionDetail;
use samovar_model::{Route, Segment};

/// One request's aim.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The method.
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: String,
    /// The `host` header, for a route of one host.
    pub(super) host: Option<String>,
}

impl Target {
    /// The first route's, as far as nothing else is given.
    ///
    /// # Errors
    /// When the first route's path has a parameter and no path is given.
    pub(super) fn choose(
        function: &FunctionDetail,
        method: Option<&Method>,
        path: Option<&str>,
        has_body: bool,
    ) -> anyhow::Result<Self> {
        let name = &function.summary.name;
        let Some(route) = function.settings.routes.first() else { bail!("function `{name}` has no route") };
        let path = match path {
            Some(path) => path.to_owned(),
            None if route.path.segments().iter().any(|segment| matches!(segment, Segment::Param(_))) => {
                bail!("`{name}` is called at {}: give --path with the parameters filled in", route.path)
            }
            None => route.path.example(),
        };
        let method = method.cloned().unwrap_or_else(|| usual_method(route, has_body));
        // Any name below a wildcard will do.
        let host = route.host.as_ref().map(|host| match host.wildcard_of() {
            Some(parent) => format!("any.{parent}"),
            None => host.as_str().to_owned(),
        });
        Ok(Self { method, path, host })
    }
}

fn usual_method(route: &Route, has_body: bool) -> Method {
    let usual = if has_body { Method::POST } else { Method::GET };
    match route.methods.named() {
        [first, ..] if !route.methods.allow(&usual) => first.clone(),
        _ => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::function;

    fn choose(manifest: &str, path: Option<&str>, has_body: bool) -> anyhow::Result<Target> {
        Target::choose(&function(manifest), None, path, has_body)
    }

    #[test]
    fn without_more_the_first_route_is_called() {
        let target = choose("[function.a]", None, false).unwrap();
        assert_eq!(target, Target { method: Method::GET, path: "/a".to_owned(), host: None });
        assert_eq!(choose("[function.a]", None, true).unwrap().method, Method::POST);
    }

    #[test]
    fn a_route_says_which_host_and_method_it_wants() {
        let route = "[[function.a.route]]\nhost = \"*.example.com\"\npath = \"/x\"\nmethods = [\"PUT\", \"POST\"]";
        let target = choose(route, None, false).unwrap();
        assert_eq!(target, Target { method: Method::PUT, path: "/x".into(), host: Some("any.example.com".into()) });
        assert_eq!(choose(route, None, true).unwrap().method, Method::POST);
    }

    #[test]
    fn parameters_cannot_be_guessed() {
        let manifest = "[function.a]\nroute = [\"/cart/{id}\"]";
        let error = choose(manifest, None, false).unwrap_err().to_string();
        assert_eq!(error, "`a` is called at /cart/{id}: give --path with the parameters filled in");
        assert_eq!(choose(manifest, Some("/cart/7"), false).unwrap().path, "/cart/7");
    }
}
