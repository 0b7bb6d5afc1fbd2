//! Which function answers: host, path pattern, method, the most specific; and clashes between functions.

use http::Method;
use samovar_tests::Node;

/// Deploys a function that answers with its own name.
async fn named(node: &Node, name: &str, routes: &str) {
    node.function(name).guest("env").with(routes).with(&format!("env.NAME = '{name}'")).deploy().await;
}

#[tokio::test]
async fn the_most_specific_route_wins() {
    let node = Node::start().await;
    named(&node, "literal", "route = ['/cart/new']").await;
    named(&node, "param", "route = ['/cart/{id}']").await;
    named(&node, "rest", "route = ['/cart/{*rest}']").await;
    named(&node, "all", "route = ['/{*rest}']").await;
    named(&node, "hosted", "route = [{ host = 'api.example.com', path = '/cart/{id}' }]").await;
    named(&node, "wildcard", "route = [{ host = '*.example.com', path = '/cart/{id}' }]").await;
    for (host, path, expected) in [
        ("x", "/cart/new", "literal"),
        ("x", "/cart/7", "param"),
        ("x", "/cart/7/items", "rest"),
        ("x", "/elsewhere", "all"),
        ("x", "/", "all"),
        ("api.example.com", "/cart/7", "hosted"),
        ("API.example.com:8080", "/cart/7", "hosted"),
        ("other.example.com", "/cart/7", "wildcard"),
    ] {
        let mut raw = node.raw().await;
        raw.send(format!("GET {path}?NAME HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, expected), "{host}{path}");
    }
}

#[tokio::test]
async fn no_route_is_a_404_and_a_wrong_method_a_405_with_allow() {
    let node = Node::start().await;
    named(&node, "getter", "route = [{ path = '/thing', methods = ['GET', 'PUT'] }]").await;
    let missing = node.call("/nothing").send().await;
    let problem = missing.problem(404, "no-route", "platform");
    assert!(problem.detail.contains("/nothing"), "{problem:?}");
    let wrong = node.call("/thing").method(Method::DELETE).send().await;
    wrong.problem(405, "wrong-method", "platform");
    assert_eq!(wrong.header("allow"), "GET, HEAD, PUT");
    assert_eq!(node.call("/thing?NAME").send().await.ok(), "getter");
    assert_eq!(node.call("/thing?NAME").method(Method::HEAD).send().await.status, 200);
}

#[tokio::test]
async fn methods_of_one_path_may_belong_to_two_functions() {
    let node = Node::start().await;
    named(&node, "reader", "route = [{ path = '/thing', methods = ['GET'] }]").await;
    named(&node, "writer", "route = [{ path = '/thing', methods = ['POST'] }]").await;
    assert_eq!(node.call("/thing?NAME").send().await.ok(), "reader");
    assert_eq!(node.call("/thing?NAME").body("").send().await.ok(), "writer");
}

#[tokio::test]
async fn a_clash_is_refused_and_names_both_functions() {
    let node = Node::start().await;
    named(&node, "first", "route = ['/thing/{id}']").await;
    let clash =
        node.function("second").guest("hello").with("route = ['/thing/{name}']").try_deploy().await.unwrap_err();
    assert_eq!(clash.status, 409);
    for word in ["first", "second", "/thing/{name}"] {
        assert!(clash.problem.detail.contains(word), "{clash:?}");
    }
    assert_eq!(node.control_call("/v1/functions/second").send().await.status, 404);
    assert_eq!(node.call("/thing/1?NAME").send().await.ok(), "first");
}
