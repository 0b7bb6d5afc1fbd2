//! The command line, as people and scripts use it.

use samovar_tests::{Cli, Node, eventually, guest, repository};
use tempfile::TempDir;

fn file(name: &str) -> String {
    guest(name).display().to_string()
}

#[tokio::test]
async fn a_component_is_deployed_listed_called_and_deleted() {
    let node = Node::start().await;
    let printed = node.cli(&["deploy", &file("counter"), "--name", "visits"]).ok().await;
    for word in ["visits", "revision 1", &format!("http://{}/visits", node.gateway()), "compile"] {
        assert!(printed.contains(word), "{word} in {printed}");
    }
    let again = node.cli(&["deploy", &file("counter"), "--name", "visits"]).ok().await;
    assert!(again.contains("revision 1") && again.contains("unchanged"), "{again}");
    let list = node.cli(&["list", "--json"]).json().await;
    assert_eq!(list["functions"][0]["name"], "visits");
    assert!(node.cli(&["list"]).ok().await.contains("visits"));
    assert_eq!(node.cli(&["show", "visits", "--json"]).json().await["revision"], 1);
    assert_eq!(node.cli(&["invoke", "visits"]).ok().await, "1");
    assert_eq!(node.cli(&["invoke", "visits"]).ok().await, "2");
    assert_eq!(node.cli(&["stats", "visits", "--json"]).json().await["functions"][0]["invocations"], 2);
    node.cli(&["delete", "visits", "--yes"]).ok().await;
    let gone = node.cli(&["show", "visits"]).run().await;
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains("no function `visits`"), "{}", gone.stderr);
}

#[tokio::test]
async fn revisions_are_shown_and_rolled_back() {
    let node = Node::start().await;
    node.cli(&["deploy", &file("hello"), "--name", "thing"]).ok().await;
    node.cli(&["deploy", &file("counter"), "--name", "thing"]).ok().await;
    let list = node.cli(&["revisions", "thing", "--json"]).json().await;
    assert_eq!(
        (list["revisions"][0]["revision"].as_u64(), list["revisions"][0]["current"].as_bool()),
        (Some(2), Some(true))
    );
    let printed = node.cli(&["rollback", "thing"]).ok().await;
    assert!(printed.contains("revision 1"), "{printed}");
    assert_eq!(node.cli(&["invoke", "thing"]).ok().await, "hello\n");
    node.cli(&["rollback", "thing", "2"]).ok().await;
    assert_eq!(node.cli(&["invoke", "thing"]).ok().await, "1");
    assert_eq!(node.cli(&["rollback", "thing", "7"]).run().await.code, 1);
}

#[tokio::test]
async fn invoke_sends_what_it_is_told_and_shows_everything_with_v() {
    let node = Node::start().await;
    node.deploy("echo").await;
    node.deploy("request-facts").await;
    assert_eq!(node.cli(&["invoke", "echo", "--data", "some text"]).ok().await, "some text");
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("body");
    std::fs::write(&path, "from a file").unwrap();
    assert_eq!(node.cli(&["invoke", "echo", "--data", &format!("@{}", path.display())]).ok().await, "from a file");
    let args = ["invoke", "request-facts", "--method", "PUT", "--path", "/request-facts/x?y=1", "-H", "x-mine: yes"];
    let facts = node.cli(&args).json().await;
    assert_eq!((facts["method"].as_str(), facts["path"].as_str()), (Some("PUT"), Some("/request-facts/x?y=1")));
    assert!(facts["headers"].as_array().unwrap().iter().any(|pair| pair[0] == "x-mine" && pair[1] == "yes"), "{facts}");
    let verbose = node.cli(&["invoke", "echo", "-v", "--data", "x"]).run().await;
    assert_eq!((verbose.code, verbose.stdout.as_str()), (0, "x"));
    for word in ["200", "x-samovar-instance", "warm"] {
        assert!(verbose.stderr.contains(word), "{word} in {}", verbose.stderr);
    }
}

#[tokio::test]
async fn logs_are_printed_and_followed() {
    let node = Node::start().await;
    node.deploy("chatty").await;
    node.call("/chatty?label=past").header("x-request-id", "the-request").send().await.ok();
    eventually("both lines", async || node.logs("chatty").await.len(), |count| *count == 2).await;
    let printed = node.cli(&["logs", "chatty"]).ok().await;
    assert!(printed.contains("past out 0") && printed.contains("past err 0"), "{printed}");
    assert!(printed.contains("the-request"), "{printed}");
    let following = node.cli(&["logs", "chatty", "-f"]).spawn();
    node.call("/chatty?label=present").send().await.ok();
    following.until(|line| line.contains("present out 0")).await;
}

#[tokio::test]
async fn on_one_machine_the_platform_and_its_token_are_found_in_the_data_directory() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let data = node.data_dir().display().to_string();
    let list = Cli::new(&["list", "--json", "--data-dir", &data]).json().await;
    assert_eq!(list["functions"][0]["name"], "hello");
    let elsewhere = TempDir::new().unwrap();
    std::os::unix::fs::symlink(node.data_dir(), elsewhere.path().join(".samovar")).unwrap();
    Cli::new(&["list"]).dir(elsewhere.path()).ok().await;
}

#[tokio::test]
async fn a_wrong_token_and_a_platform_that_is_not_there_are_failures_in_words() {
    let node = Node::start().await;
    let control = format!("http://{}", node.control());
    let wrong = Cli::new(&["list", "--control", &control, "--token", "wrong"]).run().await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("token"), "{}", wrong.stderr);
    drop(node);
    let gone = Cli::new(&["list", "--control", &control, "--token", "x"]).run().await;
    assert_eq!(gone.code, 1);
    assert!(gone.stderr.contains(&control) || gone.stderr.contains("samovar up"), "{}", gone.stderr);
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    for args in [&["nonsense"][..], &["deploy", "--nonsense"], &["show"], &["up", "--listen", "nowhere"]] {
        let printed = Cli::new(args).run().await;
        assert_eq!(printed.code, 2, "{args:?}: {}", printed.stderr);
        assert!(!printed.stderr.is_empty());
    }
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_the_reason() {
    let node = Node::start().await;
    for (name, word) in [("unknown-import", "acme:paint/brush@1.0.0"), ("command", "wasi:cli/run")] {
        let refused = node.cli(&["deploy", &file(name), "--name", "x"]).run().await;
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains(word), "{}", refused.stderr);
    }
    let missing = node.cli(&["deploy", "no-such-file.wasm", "--name", "x"]).run().await;
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("no-such-file.wasm"), "{}", missing.stderr);
    assert_eq!(node.cli(&["list", "--json"]).json().await["functions"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn output_that_is_not_for_a_terminal_has_no_colours() {
    let node = Node::start().await;
    node.deploy("hello").await;
    for args in [&["list"][..], &["show", "hello"], &["stats"], &["revisions", "hello"], &["--help"]] {
        let printed = node.cli(args).run().await;
        assert!(!printed.stdout.contains('\x1b') && !printed.stderr.contains('\x1b'), "{args:?}: {printed:?}");
    }
}

#[tokio::test]
async fn every_command_has_help_with_examples() {
    let help = Cli::new(&["--help"]).ok().await;
    for command in
        ["up", "new", "build", "deploy", "list", "show", "revisions", "rollback", "delete", "invoke", "logs", "stats"]
    {
        assert!(help.contains(command), "{command} in {help}");
        let help = Cli::new(&[command, "--help"]).ok().await;
        assert!(help.contains("Examples:") && help.contains(&format!("samovar {command}")), "{help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(Cli::new(&["completions", shell]).ok().await.contains("samovar"));
    }
}

/// `new`, `deploy`, call: what a newcomer types.
async fn first_function(template: &str, path: &str) {
    let node = Node::start().await;
    let home = TempDir::new().unwrap();
    node.cli(&["new", "greet", "--template", template]).dir(home.path()).ok().await;
    let project = home.path().join("greet");
    // The projects share what they build, as one user's would with a target directory of their own.
    let target = repository().join("target/templates");
    let deploy = node.cli(&["deploy"]).dir(&project).env("CARGO_TARGET_DIR", &target.display().to_string());
    let printed = deploy.run_long().await;
    assert!(printed.contains("revision 1"), "{printed}");
    for instance in ["cold", "warm", "warm"] {
        let answer = node.call(path).send().await;
        assert!(answer.ok().contains("hello"), "{}", answer.text());
        assert_eq!(answer.instance(), instance);
        node.settled("greet").await;
    }
}

#[tokio::test]
async fn a_first_function_in_rust() {
    first_function("rust", "/greet").await;
}

#[tokio::test]
async fn a_first_function_in_rust_with_a_router() {
    first_function("rust-router", "/greet/greet/ada").await;
}

#[tokio::test]
async fn a_first_function_in_javascript() {
    first_function("javascript", "/greet").await;
}

#[tokio::test]
async fn a_first_function_in_python() {
    first_function("python", "/greet").await;
}

#[tokio::test]
async fn a_build_that_fails_shows_the_tools_own_words() {
    let dir = TempDir::new().unwrap();
    let manifest = "[function.broken]\nbuild = \"echo the compiler says no >&2; exit 3\"\nartifact = \"x.wasm\"\n";
    std::fs::write(dir.path().join("samovar.toml"), manifest).unwrap();
    let failed = Cli::new(&["build"]).dir(dir.path()).run().await;
    assert_eq!(failed.code, 1);
    assert!(failed.stderr.contains("the compiler says no"), "{failed:?}");
}

#[tokio::test]
async fn build_checks_the_component_and_tells_what_it_is() {
    let dir = TempDir::new().unwrap();
    let manifest = format!("[function.thing]\nbuild = \"cp '{}' x.wasm\"\nartifact = \"x.wasm\"\n", file("hello"));
    std::fs::write(dir.path().join("samovar.toml"), manifest).unwrap();
    let printed = Cli::new(&["build"]).dir(dir.path()).ok().await;
    assert!(printed.contains("wasi:http/incoming-handler"), "{printed}");
    let manifest = format!("[function.thing]\nbuild = \"cp '{}' x.wasm\"\nartifact = \"x.wasm\"\n", file("command"));
    std::fs::write(dir.path().join("samovar.toml"), manifest).unwrap();
    let refused = Cli::new(&["build"]).dir(dir.path()).run().await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("wasi:cli/run"), "{refused:?}");
}
