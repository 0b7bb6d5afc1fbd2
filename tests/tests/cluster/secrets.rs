//! Who is no member is not let in, and a member that could not tell who is one does not start.

use samovar_test_nats::Server;
use samovar_tests::{Cluster, Process, Who, within};

#[tokio::test]
async fn a_host_with_another_secret_is_given_no_requests() {
    let mut cluster = Cluster::builder().hosts(2).gateways(1).gateway_arg("--policy", "round_robin").start().await;
    cluster.deploy_and_wait("hello", "").await;
    let other = cluster.dir().join("other-secret");
    std::fs::write(&other, "not the secret of this cluster, but as long").unwrap();
    cluster.host(1).stop().await;
    let args = &mut cluster.host(1).launch().args;
    let at = args.iter().position(|arg| arg == "--cluster-secret-file").unwrap();
    args[at + 1] = other.display().to_string();
    cluster.host(1).begin();
    // It may refuse to serve or be refused; either way nothing is lost to it.
    for _ in 0..100 {
        assert_eq!(cluster.call(0, "/hello").send().await.ok(), "hello\n");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_host_answers_nobody_who_does_not_know_the_secret() {
    let cluster = Cluster::builder().hosts(1).gateways(1).start().await;
    cluster.deploy_and_wait("hello", "").await;
    cluster.is_answered("/hello").await;
    for http2 in [false, true] {
        let call = cluster.call_member(Who::Host(0), "/hello");
        let call = if http2 { call.http2() } else { call };
        // A refusal or no answer at all.
        if let Ok(answer) = call.try_send().await {
            assert!(!answer.status.is_success(), "{answer:?}");
            assert_ne!(answer.text(), "hello\n");
        }
    }
}

#[tokio::test]
async fn a_member_without_a_secret_refuses_to_start_and_says_what_to_do() {
    let nats = Server::start();
    for command in ["host", "gateway", "control"] {
        let said = refused(command, &nats, &[]).await;
        assert!(said.contains("secret") && said.contains("--cluster-secret-file"), "{command}: {said}");
    }
}

#[tokio::test]
async fn nats_without_jetstream_is_refused_with_the_reason() {
    let nats = Server::builder().without_jetstream().start();
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "a secret that is long enough to be one").unwrap();
    let option = ["--cluster-secret-file", secret.to_str().unwrap()];
    for command in ["host", "gateway", "control"] {
        let said = refused(command, &nats, &option).await;
        assert!(said.to_lowercase().contains("jetstream"), "{command}: {said}");
    }
}

/// What the member said when it did not start.
async fn refused(command: &str, nats: &Server, options: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (url, data) = (nats.url(), dir.path().join("data"));
    let common = [command, "--join", &url, "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()];
    let mut process = Process::start(common.iter().chain(options));
    let status = within("the refusal", process.ended()).await;
    assert!(!status.success(), "{command} started");
    process.settled_stderr().await
}
