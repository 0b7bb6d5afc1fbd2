//! What is on disk: it survives restarts and `kill -9`, and nothing half-done is ever seen.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use samovar_tests::{Node, NodeBuilder, guest, with_custom_section};
use tempfile::TempDir;

#[tokio::test]
async fn a_restart_keeps_everything() {
    let node = Node::start().await;
    node.deploy("hello").await;
    for value in ["1", "2"] {
        node.function("env").with(&format!("env.V = '{value}'")).deploy().await;
    }
    node.deploy("counter3").await;
    node.rollback("env", Some(1)).await.ok();
    node.deploy("trap").await;
    node.delete("trap").await;
    let before = node.show("env").await;
    let token = std::fs::read_to_string(node.data_dir().join("token")).unwrap();
    let stopped = node.stop().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    let node = stopped.start().await;
    assert_eq!(std::fs::read_to_string(node.data_dir().join("token")).unwrap(), token);
    assert_eq!(node.call("/hello").send().await.ok(), "hello\n");
    assert_eq!(node.call("/env?V").send().await.ok(), "1");
    assert_eq!(node.call("/counter3").send().await.ok(), "1");
    assert_eq!(node.call("/trap?calm").send().await.status, 404);
    assert_eq!(node.revisions("env").await, [2, 1]);
    let after = node.show("env").await;
    assert_eq!((after.settings, after.summary.revision), (before.settings, before.summary.revision));
    node.rollback("env", Some(2)).await.ok();
    assert_eq!(node.call("/env?V").send().await.ok(), "2");
}

#[tokio::test]
async fn compiled_code_is_mapped_after_a_restart_and_made_again_when_it_was_deleted() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let compiled = node.data_dir().join("compiled");
    assert!(files(&compiled) > 0);
    let stopped = node.stop().await;
    std::fs::remove_dir_all(&compiled).unwrap();
    let node = stopped.start().await;
    // Compiling never happens on the way of a request; until it is done the answer may be that the code is not there yet.
    let answered = async || node.call("/hello").send().await.status.as_u16();
    samovar_tests::eventually("it answers again", answered, |status| *status == 200).await;
    assert!(files(&compiled) > 0);
}

#[tokio::test]
async fn logs_survive_a_restart() {
    let node = Node::start().await;
    node.deploy("chatty").await;
    node.call("/chatty?label=before").send().await.ok();
    samovar_tests::eventually("both lines", async || node.logs("chatty").await.len(), |count| *count == 2).await;
    let node = node.stop().await.start().await;
    let texts: Vec<_> = node.logs("chatty").await.into_iter().map(|line| line.text).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts.contains(&"before out 0".to_owned()) && texts.contains(&"before err 0".to_owned()), "{texts:?}");
}

/// How much was acknowledged, and what may have been done beyond that, when the process was killed.
struct Progress {
    acknowledged: usize,
    begun: usize,
}

/// Deploys as fast as it goes, until the process is killed. Every third deploy brings new bytes, too.
async fn deploy_until_killed(node: &Node, component: &[u8], from: usize, acknowledged: &Cell<usize>) -> Progress {
    let mut begun = from;
    loop {
        begun += 1;
        let bytes = with_custom_section(component, &format!("build {}", begun / 3));
        let Ok(uploaded) = node.try_upload(bytes.into()).await else { break };
        assert_eq!(uploaded.status, 201, "{}", uploaded.text());
        let artifact = uploaded.json()["digest"].as_str().unwrap().parse().unwrap();
        let settings = format!("env.V = '{begun}'");
        let Ok(activated) = node.try_activate("env", artifact, &settings).await else { break };
        assert!(activated.status.is_success(), "{}", activated.text());
        acknowledged.set(begun);
    }
    Progress { acknowledged: acknowledged.get(), begun }
}

#[tokio::test]
async fn kill_9_in_the_middle_of_deploys_never_loses_an_acknowledged_one_nor_shows_half_of_one() {
    const ROUNDS: usize = 100;
    let component = std::fs::read(guest("env")).unwrap();
    let mut node = Node::start().await;
    node.function("env").with("env.V = '0'").deploy().await;
    let mut last = 0;
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        // After none to three deploys, and then somewhere within the next one: the steps have no period in common with
        // the work.
        let (wait_for, delay) = (last + round % 4, Duration::from_millis((round * 7 % 43) as u64));
        let seen = Cell::new(last);
        let progress = tokio::join!(deploy_until_killed(&node, &component, last, &seen), async {
            while seen.get() < wait_for {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(delay).await;
            node.kill_in_place();
        });
        let progress = progress.0;
        acknowledged += progress.acknowledged - last;
        node = node.ended().await.start().await;
        let answer = node.call("/env?V").send().await;
        let value: usize = answer.ok().parse().unwrap();
        let Progress { acknowledged: least, begun: most } = progress;
        assert!((least..=most).contains(&value), "round {round}: {value} answers, not {least}..={most}");
        assert_eq!(node.show("env").await.settings.env["V"], value.to_string());
        assert_eq!(files(&node.data_dir().join("artifacts/tmp")), 0, "round {round}");
        let kept = node.revisions("env").await.len();
        let artifacts = files(&node.data_dir().join("artifacts/sha256"));
        assert!(artifacts <= kept, "round {round}: {artifacts} artifacts for {kept} revisions");
        last = value;
    }
    assert!(acknowledged >= ROUNDS, "only {acknowledged} deploys were acknowledged in {ROUNDS} rounds");
}

#[tokio::test]
async fn a_data_directory_in_use_is_said_at_once() {
    let node = Node::start().await;
    let second = NodeBuilder::default().data_of(&node).fail().await;
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    assert!(second.stderr.contains(&node.data_dir().display().to_string()), "{}", second.stderr);
    assert!(second.took < Duration::from_secs(10), "{:?}", second.took);
    node.control_call("/v1/info").send().await.ok();
}

#[tokio::test]
async fn a_data_directory_of_an_unknown_version_is_said_at_once_and_left_alone() {
    let data = TempDir::new().unwrap();
    std::fs::write(data.path().join("version"), "99\n").unwrap();
    let path = data.path().to_owned();
    let refused = NodeBuilder::default().data(data).fail().await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("99"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&path.display().to_string()), "{}", refused.stderr);
    assert!(refused.took < Duration::from_secs(10), "{:?}", refused.took);
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--listen", "--control-listen"] {
        let refused = Node::builder().arg(option, &address).fail().await;
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        assert!(refused.stderr.contains(&address), "{}", refused.stderr);
        assert!(refused.stderr.contains(option), "{}", refused.stderr);
        assert!(refused.took < Duration::from_secs(10), "{:?}", refused.took);
    }
}

#[tokio::test]
async fn a_damaged_artifact_is_never_run() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let stopped = node.stop().await;
    let artifacts = stopped.data_dir().join("artifacts/sha256");
    let file = std::fs::read_dir(&artifacts).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, bytes).unwrap();
    std::fs::remove_dir_all(stopped.data_dir().join("compiled")).unwrap();
    let node = stopped.start().await;
    node.call("/hello").send().await.problem(503, "not-available", "platform");
    // Deploying again mends it.
    node.deploy("hello").await;
    let answered = async || node.call("/hello").send().await.status.as_u16();
    samovar_tests::eventually("it answers again", answered, |status| *status == 200).await;
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}
