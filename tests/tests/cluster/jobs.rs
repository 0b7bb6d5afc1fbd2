//! Requests that are answered later, in a cluster: stored through one gateway, looked at through another, run by any.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use http::Method;
use samovar_tests::{Answer, Call, Cluster, Tally, eventually};
use serde_json::Value;

/// How many jobs one gateway runs at once where nothing is said of it.
const AT_ONCE: usize = 32;

/// A call that need not be answered at once.
fn later(call: Call) -> Call {
    call.header("prefer", "respond-async")
}

/// Where the job is that was stored.
fn location(answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text());
    answer.header("location").to_owned()
}

async fn in_state(cluster: &Cluster, gateway: usize, job: &str, state: &str) -> Value {
    let look = async || cluster.call(gateway, job).send().await.json();
    eventually(state, look, |job| job["state"] == state).await
}

/// How many jobs the control API lists.
async fn listed(cluster: &Cluster, query: &str) -> usize {
    let list = cluster.api().control_call(&format!("/v1/jobs?limit=10000{query}")).send().await.json();
    list["jobs"].as_array().unwrap_or_else(|| panic!("{list}")).len()
}

#[tokio::test]
async fn a_job_stored_at_one_gateway_is_looked_at_at_another_and_by_the_command_line() {
    let cluster = Cluster::builder().hosts(1).start().await;
    cluster.deploy_and_wait("echo", "").await;
    cluster.is_answered("/echo").await;
    let call = cluster.call(0, "/echo").method(Method::POST).body("the body");
    let job = location(&later(call).send().await);
    let seen = cluster.call(1, &job).send().await;
    assert_eq!(seen.status.as_u16(), 200, "at once: {}", seen.text());
    let done = in_state(&cluster, 1, &job, "done").await;
    assert_eq!((&done["attempts"], &done["outcome"]), (&1.into(), &"answered 200 OK".into()));
    for gateway in cluster.gateways() {
        assert_eq!(cluster.call(gateway, &format!("{job}/answer")).send().await.ok(), "the body");
    }
    let id = job.rsplit('/').next().unwrap();
    let api = cluster.api();
    let shown = api.cli(&["jobs", "show", id]).ok().await;
    assert!(shown.contains("the body"), "{shown}");
    assert!(api.cli(&["jobs", "list", "--state", "done"]).ok().await.contains(id));
    assert_eq!(api.cli(&["jobs", "purge"]).ok().await, "1 jobs forgotten\n");
    cluster.call(0, &job).send().await.problem(404, "no-such-job", "platform");
}

#[tokio::test]
async fn the_same_idempotency_key_at_two_gateways_at_once_is_one_job() {
    let cluster = Cluster::builder().hosts(1).start().await;
    let tally = Tally::start();
    cluster.deploy_and_wait("tally", &tally.settings()).await;
    for round in 0..5 {
        let key = format!("key-{round}");
        let path = format!("/tally?id={round}");
        let send = |gateway| later(cluster.call(gateway, &path)).header("idempotency-key", &key).send();
        let answers = join_all([0, 1, 0, 1].map(send)).await;
        let jobs: BTreeSet<String> = answers.iter().map(location).collect();
        assert_eq!(jobs.len(), 1);
        let new = answers.iter().filter(|answer| answer.header("idempotency-replayed") != "true").count();
        assert_eq!(new, 1);
        in_state(&cluster, 0, jobs.first().unwrap(), "done").await;
    }
    assert_eq!((tally.runs().len(), tally.repeated()), (5, Vec::new()));
}

/// How many jobs the test below stores: 10,000 at most, which is what the control API lists.
fn number() -> usize {
    std::env::var("JOBS").map_or(400, |number| number.parse().expect("JOBS is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_a_gateway_loses_no_job_and_repeats_no_more_than_it_ran() {
    let number = number();
    let mut cluster = Cluster::builder().hosts(1).start().await;
    let tally = Tally::start();
    cluster.deploy_and_wait("tally", &format!("{}\njobs.concurrency = 32", tally.settings())).await;
    cluster.is_answered_each_time(|number| format!("/tally?id=first-{number}")).await;
    let before = tally.runs().len();
    let calls = (0..number).map(|job| later(cluster.call(job % 2, &format!("/tally?id={job}&ms=100"))).send());
    // As many at once as there are by default: more would need more connections than a process may have.
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(400).collect().await;
    for answer in &answers {
        location(answer);
    }
    let running = async || cluster.api().control_call("/v1/jobs?state=running").send().await.json();
    eventually("jobs are running", running, |list| !list["jobs"].as_array().unwrap().is_empty()).await;
    cluster.gateway(0).kill();
    // As long as it takes, while it goes on.
    loop {
        let run = tally.runs().len();
        if run - before == number {
            break;
        }
        eventually("further jobs are run", async || tally.runs().len(), |now| *now > run).await;
    }
    eventually("all are done", async || listed(&cluster, "&state=done").await, |done| *done == number).await;
    let repeated = tally.repeated().len();
    println!("{number} jobs, one of two gateways killed: none lost, {repeated} run more than once");
    assert!(repeated <= AT_ONCE, "{repeated} were run more than once");
    cluster.gateway(0).start().await;
    assert_eq!(listed(&cluster, "").await, number);
}

#[tokio::test]
async fn without_nats_nothing_is_accepted_and_jobs_go_on_when_it_is_back() {
    let mut cluster = Cluster::builder().hosts(1).start().await;
    let tally = Tally::start();
    cluster.deploy_and_wait("tally", &tally.settings()).await;
    let job = location(&later(cluster.call(0, "/tally?id=before&ms=4000")).send().await);
    in_state(&cluster, 1, &job, "running").await;
    cluster.nats.kill();
    for gateway in cluster.gateways() {
        // This one may be on its way while the gateway finds out that NATS is gone, and arrive when it is back.
        let refused = later(cluster.call(gateway, "/tally?id=on-its-way")).send().await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"), "{}", refused.text());
        let again = later(cluster.call(gateway, "/tally?id=refused")).send().await;
        again.problem(503, "jobs-unavailable", "platform");
        cluster.call(gateway, &job).send().await.problem(503, "jobs-unavailable", "platform");
        assert_eq!(cluster.call(gateway, &format!("/tally?id=waits-{gateway}")).send().await.status.as_u16(), 200);
    }
    // The job ends meanwhile.
    eventually("it has run", async || tally.runs().contains_key("before"), |ran| *ran).await;
    cluster.nats.restart();
    let back = async || later(cluster.call(0, "/tally?id=after")).send().await;
    let after = location(&eventually("jobs are accepted", back, |answer| answer.status == 202).await);
    assert_eq!(in_state(&cluster, 1, &after, "done").await["attempts"], 1);
    assert_eq!(in_state(&cluster, 1, &job, "done").await["attempts"], 1);
    let runs = tally.runs();
    assert_eq!((runs["before"], runs["after"]), (1, 1));
    assert!(!runs.contains_key("refused"), "{runs:?}");
    assert!(runs.get("on-its-way").is_none_or(|ran| *ran <= cluster.gateways().count()), "{runs:?}");
}

#[tokio::test]
async fn a_gateway_that_is_stopped_finishes_what_it_runs_and_leaves_the_rest_to_others() {
    let mut cluster = Cluster::builder().hosts(1).start().await;
    let tally = Tally::start();
    cluster.deploy_and_wait("tally", &format!("{}\njobs.concurrency = 2", tally.settings())).await;
    let calls = (0..20).map(|job| later(cluster.call(job % 2, &format!("/tally?id={job}&ms=300"))).send());
    let jobs: Vec<_> = join_all(calls).await.iter().map(location).collect();
    eventually("some have run", async || tally.runs().len(), |runs| *runs >= 2).await;
    let (code, said) = cluster.gateway(0).stop().await;
    assert_eq!(code, Some(0), "{said}");
    for job in jobs {
        assert_eq!(in_state(&cluster, 1, &job, "done").await["attempts"], 1);
    }
    assert_eq!((tally.runs().len(), tally.repeated()), (20, Vec::new()));
}

#[tokio::test]
async fn a_schedule_makes_one_job_for_each_tick_however_many_gateways_there_are() {
    let cluster = Cluster::builder().hosts(1).gateways(3).start().await;
    let tally = Tally::start();
    let schedule = "schedule = [{ cron = '* * * * *', path = '/tally?id=tick' }]";
    cluster.deploy_and_wait("tally", &format!("{}\n{schedule}", tally.settings())).await;
    let schedules = cluster.api().control_call("/v1/schedules").send().await.json();
    assert!(schedules["schedules"][0]["next"].is_string(), "{schedules}");
    // A minute begins within a minute.
    tokio::time::sleep(Duration::from_secs(45)).await;
    let ran = async || tally.runs().get("tick").copied().unwrap_or(0);
    eventually("a minute has begun", ran, |ran| *ran > 0).await;
    // All gateways have the same clock, and none is so late.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let list = cluster.api().control_call("/v1/jobs").send().await.json();
    let created = |job: &Value| job["created"].as_str().unwrap()[..16].to_owned();
    let minutes: BTreeSet<String> = list["jobs"].as_array().unwrap().iter().map(created).collect();
    let jobs = list["jobs"].as_array().unwrap().len();
    assert!(jobs > 0 && jobs == minutes.len(), "one for each minute: {list}");
    assert_eq!(ran().await, jobs);
}
