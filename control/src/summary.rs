//! Functions and revisions as the API shows them, with the URLs where they can be called.

use http::Uri;

use samovar_model::api::{FunctionSummary, RevisionSummary};
use samovar_model::{FunctionState, Route};

/// A function in a line.
pub(crate) fn summary(function: &FunctionState, gateway: &str) -> FunctionSummary {
    let current = function.current();
    FunctionSummary {
        name: function.name.clone(),
        revision: current.number,
        created: current.created,
        artifact: current.artifact,
        size_bytes: current.size.as_bytes(),
        kind: current.kind,
        urls: urls(&current.settings.routes, gateway),
    }
}

/// Its revisions, newest first.
pub(crate) fn revisions(function: &FunctionState) -> Vec<RevisionSummary> {
    let line = |revision: &std::sync::Arc<samovar_model::Revision>| RevisionSummary {
        revision: revision.number,
        current: revision.number == function.current,
        created: revision.created,
        artifact: revision.artifact,
        size_bytes: revision.size.as_bytes(),
    };
    function.revisions.iter().rev().map(line).collect()
}

/// One URL for each route that leads to another one than those before it: `/x` and `/x/{*rest}` are both tried at `/x`.
fn urls(routes: &[Route], gateway: &str) -> Vec<String> {
    let gateway = gateway.trim_end_matches('/');
    let mut urls = Vec::new();
    for route in routes {
        let origin = match &route.host {
            None => gateway.to_owned(),
            Some(host) => on_host(host.as_str(), gateway),
        };
        let url = origin + &route.path.example();
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// The gateway's scheme and port under another host name.
fn on_host(host: &str, gateway: &str) -> String {
    let uri = gateway.parse::<Uri>().unwrap_or_default();
    let scheme = uri.scheme_str().unwrap_or("http");
    match uri.port_u16() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use samovar_model::{Methods, PathPattern};

    use super::*;

    fn path(text: &str) -> PathPattern {
        text.parse().expect(text)
    }

    #[test]
    fn routes_that_are_tried_at_the_same_url_show_it_once() {
        let routes = [Route::any(path("/x")), Route::any(path("/x/{*rest}")), Route::any(path("/y/{id}"))];
        assert_eq!(urls(&routes, "http://127.0.0.1:8080/"), ["http://127.0.0.1:8080/x", "http://127.0.0.1:8080/y"]);
    }

    #[test]
    fn a_route_with_a_host_shows_that_host_at_the_gateways_port() {
        let hosted = |host: &str| Route {
            host: Some(host.parse().expect(host)),
            path: path("/{*rest}"),
            methods: Methods::any(),
            sticky: false,
        };
        let routes = [hosted("api.example.com"), hosted("*.example.org")];
        let expected = ["http://api.example.com:8080/", "http://*.example.org:8080/"];
        assert_eq!(urls(&routes, "http://127.0.0.1:8080"), expected);
        assert_eq!(urls(&routes[..1], "https://gateway.example"), ["https://api.example.com/"]);
    }
}
