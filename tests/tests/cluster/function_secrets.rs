//! Functions' secrets in a cluster: one key for all, and a new value on every host at once.

use std::time::{Duration, Instant};

use samovar_tests::{Cluster, eventually};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn told(value: &str) -> String {
    let sum: u32 = value.bytes().map(u32::from).sum();
    format!("{} bytes, sum {sum}\n", value.len())
}

#[tokio::test]
async fn a_new_value_is_read_on_every_host_within_a_second() {
    let builder = Cluster::builder().hosts(2).gateways(1).gateway_arg("--policy", "round_robin");
    let cluster = builder.env("SAMOVAR_SECRETS_KEY", KEY).start().await;
    let set = async |value: &str| cluster.api().cli(&["secret", "set", "STRIPE_KEY"]).input(value).ok().await;
    set("one").await;
    cluster.deploy_and_wait("secret", "secrets = ['STRIPE_KEY']").await;
    cluster.is_answered("/secret?key=STRIPE_KEY").await;
    let mut slowest = Duration::ZERO;
    for value in ["two", "three-", "four--- "] {
        set(value).await;
        let since = Instant::now();
        // Hosts take turns: so many in a row are all of them.
        let mut row = 0;
        while row < 8 {
            let answer = cluster.call(0, "/secret?key=STRIPE_KEY").send().await;
            row = if answer.ok() == told(value) { row + 1 } else { 0 };
            assert!(since.elapsed() < Duration::from_secs(30), "still {}", answer.text());
        }
        slowest = slowest.max(since.elapsed());
    }
    println!("at most {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[tokio::test]
async fn without_a_key_everything_says_what_to_do() {
    let cluster = Cluster::builder().hosts(1).gateways(1).start().await;
    let help = "start every host and control process with --secrets-key-file";
    let refused = cluster.api().cli(&["secret", "set", "STRIPE_KEY"]).input("one").run().await;
    assert!(refused.code == 1 && refused.stderr.contains(help), "{}", refused.stderr);
    let deployed = cluster.api().function("secret").with("secrets = ['STRIPE_KEY']").deploy().await;
    assert!(deployed.warnings[0].contains(help), "{:?}", deployed.warnings);
    let read = async || cluster.call(0, "/secret?key=STRIPE_KEY").send().await.text().to_owned();
    let read = eventually("the host answers", read, |text| text.starts_with("upstream: ")).await;
    assert!(read.contains(help), "{read}");
}

#[tokio::test]
async fn a_host_with_another_key_names_what_it_cannot_read() {
    let mut cluster = Cluster::builder().hosts(1).gateways(1).env("SAMOVAR_SECRETS_KEY", KEY).prepare();
    let other = KEY.replace('0', "f");
    cluster.host(0).launch().env = vec![("SAMOVAR_SECRETS_KEY".to_owned(), other)];
    cluster.start().await;
    cluster.api().cli(&["secret", "set", "STRIPE_KEY"]).input("one").ok().await;
    cluster.deploy_and_wait("secret", "secrets = ['STRIPE_KEY']").await;
    let read = async || cluster.call(0, "/secret?key=STRIPE_KEY").send().await.text().to_owned();
    let read = eventually("the host answers", read, |text| text.starts_with("upstream: ")).await;
    assert!(read.contains("secret `STRIPE_KEY` was encrypted with key"), "{read}");
    let said = cluster.host(0).process().stderr();
    assert!(said.contains("secrets cannot be read here") && said.contains("STRIPE_KEY"), "{said}");
}
