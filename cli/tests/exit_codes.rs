//! The real binary's exit codes and where its messages go: 0 done, 1 failed, 2 wrong usage.

use std::process::{Command, Output};

fn samovar(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("temporary directory");
    Command::new(env!("CARGO_BIN_EXE_samovar"))
        .args(args)
        .current_dir(dir.path())
        .env("HOME", dir.path())
        .env_remove("XDG_STATE_HOME")
        .env_remove("SAMOVAR_CONTROL")
        .env_remove("SAMOVAR_TOKEN")
        .env_remove("SAMOVAR_DATA_DIR")
        .output()
        .expect("the binary starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_is_done_exits_with_0_and_prints_to_stdout() {
    for args in [&["--help"][..], &["--version"], &["completions", "bash"], &["deploy", "--help"]] {
        let output = samovar(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn what_fails_exits_with_1_and_says_what_to_do_on_stderr() {
    // Nobody listens on port 1.
    let output = samovar(&["list", "--control", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = stderr(&output);
    assert!(message.contains("cannot reach the control API at http://127.0.0.1:1"), "{message}");
    assert!(message.contains("samovar up"), "{message}");
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in
        [&["no-such-command"][..], &["list", "--no-such-flag"], &["show"], &["list", "--control", "nonsense"], &[]]
    {
        let output = samovar(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_said_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let output = samovar(&["up", "--listen", &address, "--control-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains(&format!("--listen {address}: the port is taken by another process")), "{message}");
}
