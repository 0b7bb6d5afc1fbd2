//! What functions reach through the standard interfaces, as people see it: what a deploy refuses, what the command line shows.

use samovar_tests::{Node, guest};

#[tokio::test]
async fn key_value_without_a_bucket_is_refused_at_deploy_with_the_line_to_add() {
    let node = Node::start().await;
    let refused = node.function("kv").try_deploy().await.unwrap_err();
    assert_eq!((refused.status, refused.problem.kind.as_str()), (422, "/problems/component-refused"));
    assert_eq!(
        refused.problem.detail,
        "the component imports `wasi:keyvalue/store@0.2.0-draft2`, and function `kv` is granted no bucket: add one to the \
         manifest under the name that the component opens, as in [function.kv.kv] default = {}"
    );
    node.function("kv").with("kv.default = {}").deploy().await;
}

#[tokio::test]
async fn interfaces_and_versions_that_nobody_provides_are_refused_by_name() {
    let node = Node::start().await;
    for import in [
        "wasi:blobstore/blobstore@0.2.0-draft",
        "wasi:messaging/consumer@0.2.0-draft",
        "wasi:keyvalue/watcher@0.2.0-draft2",
        "wasi:keyvalue/store@0.1.0",
        "wasi:config/store@0.3.0",
        "wasi:logging/logging@0.2.0",
    ] {
        let text = format!(
            "(component (import \"{import}\" (instance)) (instance $none)
                (export \"wasi:http/incoming-handler@0.2.0\" (instance $none)))"
        );
        let refused = node.function("strange").wat_text(&text).try_deploy().await.unwrap_err();
        let detail = &refused.problem.detail;
        assert!(
            detail.starts_with(&format!("the component imports `{import}`, which Samovar does not provide")),
            "{detail}"
        );
        assert!(detail.contains("wasi:keyvalue/store, atomics and batch in versions"), "{detail}");
    }
}

#[tokio::test]
async fn configuration_is_changed_without_a_build_and_rolled_back() {
    let node = Node::start().await;
    node.function("config").with("config.greeting = \"hello\"").deploy().await;
    let set = node.cli(&["config", "set", "config", "greeting=hi", "vat=19"]).run().await;
    assert_eq!(set.stdout, "config: revision 2\n  greeting=hi, before: hello\n  vat=19, new\n");
    assert!(set.stderr.contains("the next deploy replaces it"), "{}", set.stderr);
    assert_eq!(node.call("/config").send().await.text(), "[(\"greeting\", \"hi\"), (\"vat\", \"19\")]\n");
    let again = node.cli(&["config", "set", "config", "vat=19"]).ok().await;
    assert_eq!(again, "config: revision 2, unchanged: there was nothing to change\n  vat=19, as before\n");
    let unset = node.cli(&["config", "unset", "config", "vat", "none"]).ok().await;
    assert_eq!(unset, "config: revision 3\n  none was not set\n  vat removed, before: 19\n");
    node.cli(&["config", "set", "config", "--env", "TZ=UTC"]).ok().await;
    assert_eq!(node.cli(&["config", "list", "config"]).ok().await, "config greeting=hi\nenv TZ=UTC\n");
    let shown = node.cli(&["show", "config"]).ok().await;
    assert!(shown.contains("config.greeting") && shown.contains("env.TZ"), "{shown}");
    node.cli(&["rollback", "config", "1"]).ok().await;
    assert_eq!(node.cli(&["config", "list", "config"]).ok().await, "config greeting=hello\n");
}

#[tokio::test]
async fn mistakes_in_changing_configuration_are_told() {
    let node = Node::start().await;
    node.deploy("config").await;
    for (args, code, words) in [
        (&["config", "set", "config", "greeting"][..], 2, "write KEY=VALUE"),
        (&["config", "set", "config", "=x"], 2, "there is no key before the `=`"),
        (&["config", "set", "config", "a=1", "a=2"], 2, "`a` is given twice"),
        (&["config", "set", "none", "a=1"], 1, "no function `none`"),
        (&["config", "unset", "config", "--env", "A=B"], 1, "a variable's name must not be empty or contain `=`"),
    ] {
        let printed = node.cli(args).run().await;
        assert!(printed.code == code && printed.stderr.contains(words), "{args:?}: {printed:?}");
    }
    assert_eq!(node.revisions("config").await, [1]);
}

#[tokio::test]
async fn messages_are_shown_with_their_level_and_fields_and_held_to_a_level() {
    let node = Node::start().await;
    node.deploy("log").await;
    node.call("/log?context=cart&message={%22message%22:%22low%22,%22left%22:2}").send().await.ok();
    let all = node.cli(&["logs", "log"]).ok().await;
    assert_eq!(all.lines().count(), 6, "{all}");
    let some = node.cli(&["logs", "log", "--level", "error"]).ok().await;
    let ends: Vec<&str> = some.lines().filter_map(|line| line.splitn(5, ' ').last()).collect();
    assert_eq!(ends, ["error cart: low left=2", "critical cart: low left=2"]);
    let json = node.cli(&["logs", "log", "--level", "critical", "--json"]).json().await;
    assert_eq!((&json["level"], &json["context"], &json["text"]), (&"critical".into(), &"cart".into(), &"low".into()));
    assert_eq!(json["fields"]["left"], 2);
    let wrong = node.cli(&["logs", "log", "--level", "loud"]).run().await;
    assert!(wrong.code == 2 && wrong.stderr.contains("`loud` is not a level"), "{wrong:?}");
}

#[tokio::test]
async fn a_function_written_for_another_platform_runs_as_it_is() {
    let node = Node::start().await;
    let counter = node.function("counter").file(&guest("wasmcloud_counter"));
    counter.with("kv.default = {}\nconfig.greeting = \"Good morning\"").deploy().await;
    assert_eq!(node.call("/counter?name=Ada").send().await.text(), "Good morning x1, Ada!\n");
    assert_eq!(node.call("/counter?name=Ada").send().await.text(), "Good morning x2, Ada!\n");
    assert_eq!(node.logs("counter").await[0].text, "Greeting Ada");
}
