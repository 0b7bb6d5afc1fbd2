use proptest::prelude::*;
use samovar_model::PathPattern;

use super::*;

fn route(host: Option<&str>, path: &str, methods: &[&str]) -> Route {
    let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
    Route {
        host: host.map(|host| host.parse().expect(host)),
        path: path.parse().expect(path),
        methods: methods.try_into().expect("methods"),
        sticky: false,
    }
}

/// A table whose targets are the routes' own texts.
fn table(routes: &[Route]) -> RouteTable<String> {
    RouteTable::new(routes.iter().map(|route| (route, route.to_string())))
}

fn find(table: &RouteTable<String>, host: &str, path: &str) -> Option<String> {
    match table.find(host, path, &Method::GET) {
        Found::Target(target) => Some(target.clone()),
        Found::WrongMethod(_) | Found::Nothing => None,
    }
}

#[test]
fn the_most_specific_path_wins_whatever_the_order() {
    let paths = ["/{*all}", "/a/{*rest}", "/a/{id}", "/a/b", "/a/{id}/c", "/a/b/{x}", "/"];
    for rotation in 0..paths.len() {
        let mut paths = paths;
        paths.rotate_left(rotation);
        let table = table(&paths.map(|path| route(None, path, &[])));
        for (request, expected) in [
            ("/", "/"),
            ("/x", "/{*all}"),
            ("/a", "/{*all}"),
            ("/a/", "/a/{*rest}"),
            ("/a/b", "/a/b"),
            ("/a/z", "/a/{id}"),
            ("/a/b/c", "/a/b/{x}"),
            ("/a/z/c", "/a/{id}/c"),
            ("/a/z/d", "/a/{*rest}"),
            ("/a//c", "/a/{*rest}"),
        ] {
            assert_eq!(find(&table, "h", request).as_deref(), Some(expected), "{request}");
        }
    }
}

#[test]
fn hosts_are_more_specific_than_paths() {
    let table = table(&[
        route(None, "/a/b", &[]),
        route(Some("api.example.com"), "/{*rest}", &[]),
        route(Some("*.example.com"), "/a/b", &[]),
        route(Some("*.eu.example.com"), "/a/b", &[]),
    ]);
    let found = |host| find(&table, host, "/a/b");
    assert_eq!(found("API.example.com:8080").as_deref(), Some("api.example.com/{*rest}"));
    assert_eq!(found("x.example.com").as_deref(), Some("*.example.com/a/b"));
    assert_eq!(found("x.eu.example.com").as_deref(), Some("*.eu.example.com/a/b"));
    assert_eq!(found("example.com").as_deref(), Some("/a/b"));
    assert_eq!(found("[::1]:80").as_deref(), Some("/a/b"));
    assert_eq!(find(&table, "x.example.com", "/nowhere"), None);
}

#[test]
fn a_route_without_the_method_gives_way_to_a_less_specific_one() {
    let table = table(&[route(None, "/a/b", &["POST"]), route(None, "/a/{*rest}", &["GET"])]);
    assert_eq!(find(&table, "h", "/a/b").as_deref(), Some("GET /a/{*rest}"));
    assert_eq!(table.find("h", "/a/b", &Method::HEAD), Found::Target(&"GET /a/{*rest}".to_owned()));
    let wrong = table.find("h", "/a/b", &Method::DELETE);
    assert_eq!(wrong, Found::WrongMethod(vec![Method::POST, Method::GET, Method::HEAD]));
    assert_eq!(table.find("h", "/b", &Method::GET), Found::Nothing);
}

/// The rule of the module's first paragraph, word for word, over a list.
fn by_the_book(routes: &[Route], path: &str) -> Option<String> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let matches = |pattern: &PathPattern| {
        let segments = pattern.segments();
        let rest = matches!(segments.last(), Some(Segment::Rest(_)));
        let fixed = if rest { segments.len() - 1 } else { segments.len() };
        (if rest { parts.len() > fixed } else { parts.len() == fixed })
            && segments[..fixed].iter().zip(&parts).all(|(segment, part)| match segment {
                Segment::Literal(text) => **text == **part,
                Segment::Param(_) => !part.is_empty(),
                Segment::Rest(_) => false,
            })
    };
    let rank = |pattern: &PathPattern| -> Vec<u8> {
        let class = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Param(_) => 1,
            Segment::Rest(_) => 2,
        };
        pattern.segments().iter().map(class).collect()
    };
    let matching = routes.iter().filter(|route| matches(&route.path));
    matching.min_by_key(|route| rank(&route.path)).map(ToString::to_string)
}

proptest! {
    #[test]
    fn the_tree_agrees_with_the_rule(
        patterns in proptest::collection::vec("(/(a|b|\\{x\\})){1,3}(/\\{\\*r\\})?", 1..8),
        path in "(/(a|b|c|)){1,4}",
    ) {
        let mut routes: Vec<Route> = Vec::new();
        for pattern in &patterns {
            let candidate = route(None, pattern, &[]);
            if !routes.iter().any(|known| known.clashes_with(&candidate)) {
                routes.push(candidate);
            }
        }
        prop_assert_eq!(find(&table(&routes), "h", &path), by_the_book(&routes, &path));
    }
}
