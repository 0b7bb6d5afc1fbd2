//! Many functions and instances on one host: code that comes and goes, one limit of instances, and memory that runs short.

use std::collections::BTreeMap;

use samovar_tests::{Node, eventually, guest, with_custom_section};

const MIB: u64 = 1 << 20;

/// Deploys the hello guest as many functions, `f0`, `f1`, …, each with an artifact of its own.
async fn deploy_distinct(node: &Node, count: usize) {
    let hello = std::fs::read(guest("hello")).unwrap();
    for index in 0..count {
        let component = with_custom_section(&hello, &format!("number {index}"));
        node.function(&format!("f{index}")).component(component).deploy().await;
    }
}

#[tokio::test]
async fn code_comes_and_goes_under_its_budget_and_no_call_is_lost() {
    let node = Node::builder().arg("--code-budget", "1900KiB").start().await;
    deploy_distinct(&node, 8).await;
    node.function("sleep").deploy().await;
    // An invocation at work keeps its code, whatever is called meanwhile.
    let asleep = tokio::spawn(node.call("/sleep?ms=1500").send());
    eventually("it sleeps", async || node.stats("sleep").await.busy, |busy| *busy == 1).await;
    let callers: Vec<_> = (0..4_usize)
        .map(|caller| {
            let call = node.call_maker();
            tokio::spawn(async move {
                for round in 0..40_usize {
                    let index = (round * 7 + caller * 3) % 8;
                    assert_eq!(call(&format!("/f{index}")).send().await.ok(), "hello\n");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(asleep.await.unwrap().ok(), "slept 1500\n");
    let host = node.host().await;
    assert!(host.code_evictions > 0 && host.code_loads > 9, "{host:?}");
    assert!(host.code_bytes <= host.code_budget_bytes, "{host:?}");
    // Idle instances went with their code; each of the callers may have needed one of its own.
    assert!(host.instances <= 4 * host.components, "{host:?}");
}

#[tokio::test]
async fn what_is_called_most_stays_loaded() {
    let node = Node::builder().arg("--code-budget", "1900KiB").start().await;
    deploy_distinct(&node, 8).await;
    for round in 0..5 {
        for index in 1..8 {
            for _ in 0..3 {
                node.call("/f0").send().await.ok();
            }
            node.call(&format!("/f{index}")).send().await.ok();
        }
        let cold = node.stats("f0").await.cold_starts;
        assert_eq!(cold, 1, "round {round}: it was let go though it is called most");
    }
    assert!(node.host().await.code_evictions > 0);
}

#[tokio::test]
async fn the_limit_of_instances_holds_for_the_whole_host() {
    let node = Node::builder().arg("--max-instances", "3").start().await;
    for name in ["sleep", "sleep3"] {
        node.function(name).with("scale.idle_timeout = '1h'\nscale.queue_timeout = '10s'").deploy().await;
    }
    let paths = ["/sleep?ms=400", "/sleep3?ms=400"];
    let calls: Vec<_> = (0..8).map(|index| tokio::spawn(node.call(paths[index % 2]).send())).collect();
    let mut most = 0;
    while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
        most = most.max(node.host().await.instances);
    }
    assert_eq!(most, 3);
    let mut answered = 0;
    for call in calls {
        let status = call.await.unwrap().status.as_u16();
        assert!(matches!(status, 200 | 503), "{status}");
        answered += u32::from(status == 200);
    }
    assert!(answered >= 3, "{answered} of 8 answered");
    // Both kinds get an instance, at the cost of what is idle.
    node.call("/sleep?ms=0").send().await.ok();
    node.call("/sleep3?ms=0").send().await.ok();
}

#[tokio::test]
async fn an_instance_that_works_on_after_its_answer_keeps_its_place_until_it_ends() {
    let node = Node::builder().arg("--max-instances", "1").start().await;
    node.function("spin-after3").with("limits.cpu = '1s'").deploy().await;
    node.function("hello").with("scale.queue_timeout = '10s'").deploy().await;
    node.call("/spin-after3").send().await.ok();
    let waits = tokio::spawn(node.call("/hello").send());
    let mut most = 0;
    while !waits.is_finished() {
        most = most.max(node.host().await.instances);
    }
    assert_eq!(waits.await.unwrap().ok(), "hello\n");
    assert_eq!(most, 1);
}

const GREEDY: &str = "limits.memory = '128MiB'\nscale.idle_timeout = '1h'";

#[tokio::test]
async fn twenty_functions_that_want_five_times_the_memory_there_is_are_answered_or_shed() {
    let mut node = Node::builder().arg("--memory-budget", "256MiB").start().await;
    for index in 0..20 {
        node.function(&format!("a{index}")).guest("allocate").with(GREEDY).deploy().await;
    }
    for round in 0..3 {
        let calls: Vec<_> = (0..20).map(|index| tokio::spawn(node.call(&format!("/a{index}?mib=64")).send())).collect();
        let mut by_status = BTreeMap::<u16, u32>::new();
        for call in calls {
            let answer = call.await.unwrap();
            *by_status.entry(answer.status.as_u16()).or_default() += 1;
            if answer.status != 200 {
                answer.problem(503, "host-memory", "platform");
                assert_eq!(answer.header("retry-after"), "1");
            }
        }
        assert!(by_status.get(&200).is_some_and(|answered| *answered >= 1), "round {round}: {by_status:?}");
    }
    // One after the other there is room for all, since idle instances go.
    for index in 0..20 {
        assert_eq!(node.call(&format!("/a{index}?mib=64")).send().await.ok(), "touched 16384 pages\n");
    }
    let peak = node.peak_resident_kib() >> 10;
    assert!(peak < 320, "{peak} MiB were resident under a budget of 256 MiB");
    let host = node.host().await;
    assert!(host.instance_evictions > 0 && host.memory_bytes < 256 * MIB, "{host:?}");
    assert!(node.process().is_running());
}

#[tokio::test]
async fn a_guest_that_is_stopped_for_want_of_the_hosts_memory_says_so_in_its_log() {
    let node = Node::builder().arg("--memory-budget", "160MiB").start().await;
    node.function("allocate").with("limits.memory = '512MiB'").deploy().await;
    let answer = node.call("/allocate?mib=400").send().await;
    answer.problem(503, "host-memory", "platform");
    let logs = node.logs("allocate").await;
    assert!(logs.iter().any(|line| line.text.contains("the host is short of memory")), "{logs:?}");
    assert_eq!(node.stats("allocate").await.faults.get("host-memory"), Some(&1));
    node.call("/allocate?mib=1").send().await.ok();
}

#[tokio::test]
async fn what_the_machine_cannot_hold_is_said_with_what_would_do() {
    let mut node = Node::builder().arg("--max-instances", "1000000").start().await;
    let said = node.process().stderr();
    assert!(said.contains("instances instead of 1000000"), "{said}");
    assert!(said.contains("sysctl vm.max_map_count=") || said.contains("address space is short"), "{said}");
    node.deploy("hello").await;
    node.call("/hello").send().await.ok();
}

#[tokio::test]
async fn the_host_tells_how_much_of_what_it_has_is_in_use() {
    let node = Node::builder().arg("--memory-budget", "1GiB").arg("--code-budget", "64MiB").start().await;
    node.deploy("hello").await;
    node.call("/hello").send().await.ok();
    let host = node.host().await;
    assert_eq!((host.instances, host.components, host.code_loads, host.code_evictions), (1, 1, 1, 0));
    assert_eq!((host.memory_budget_bytes, host.code_budget_bytes), (1024 * MIB, 64 * MIB));
    assert!((MIB..1024 * MIB).contains(&host.memory_bytes) && host.memory_used_bytes >= host.memory_bytes, "{host:?}");
    let metrics = node.control_call("/metrics").send().await;
    for line in ["samovar_host_instances 1\n", "samovar_host_components 1\n", "samovar_host_code_loads_total 1\n"] {
        assert!(metrics.ok().contains(line), "{line}{}", metrics.text());
    }
    let printed = node.cli(&["stats"]).run().await;
    assert!(printed.stderr.contains("host: 1 of "), "{}", printed.stderr);
}
