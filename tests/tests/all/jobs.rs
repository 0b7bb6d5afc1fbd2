//! Requests that are stored first and answered later: callers who do not wait, retries, dead letters, and `kill -9`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use samovar_tests::{Answer, Backend, Call, Cli, Node, Tally, eventually};
use serde_json::Value;

/// A call that need not be answered at once.
fn later(call: Call) -> Call {
    call.header("prefer", "respond-async")
}

/// Sends a call that is to be stored, and gives the path of its job.
async fn stored(call: Call) -> String {
    let answer = later(call).send().await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("preference-applied")),
        (202, "respond-async"),
        "{}",
        answer.text()
    );
    answer.header("location").to_owned()
}

/// Waits until a job is in this state.
async fn in_state(node: &Node, job: &str, state: &str) -> Value {
    let look = async || node.call(job).send().await.json();
    eventually(state, look, |job| job["state"] == state).await
}

#[tokio::test]
async fn a_caller_who_does_not_wait_finds_the_answer_at_the_location() {
    let node = Node::start().await;
    node.deploy("echo").await;
    let job = stored(node.call("/echo").method(Method::POST).body("the body")).await;
    assert!(job.starts_with("/.well-known/samovar/jobs/"), "{job}");
    let done = in_state(&node, &job, "done").await;
    assert_eq!(
        (&done["attempts"], &done["function"], &done["answer"]["status"]),
        (&1.into(), &"echo".into(), &200.into())
    );
    let answer = node.call(done["answer_url"].as_str().unwrap()).send().await;
    assert_eq!((answer.ok(), answer.header("content-type")), ("the body", "application/octet-stream"));
    assert_eq!(answer.header("x-samovar-job-state"), "done");
    node.call("/.well-known/samovar/jobs/00000000000000000000000000000000").send().await.problem(
        404,
        "no-such-job",
        "platform",
    );
    node.call("/.well-known/samovar/jobs/nonsense").send().await.problem(404, "no-such-job", "platform");
    node.call(&job).method(Method::DELETE).send().await.problem(405, "wrong-method", "platform");
}

#[tokio::test]
async fn the_function_sees_the_request_its_job_and_its_attempt() {
    let node = Node::start().await;
    node.deploy("request-facts").await;
    let call =
        node.call("/request-facts?a=b").method(Method::PUT).header("x-own", "1").header("x-samovar-job", "forged");
    let call = call.header("prefer", "return=minimal");
    let job = stored(call).await;
    in_state(&node, &job, "done").await;
    let facts = node.call(&format!("{job}/answer")).send().await.json();
    assert_eq!((&facts["method"], &facts["path"]), (&"PUT".into(), &"/request-facts?a=b".into()));
    let headers: Vec<(String, String)> = serde_json::from_value(facts["headers"].clone()).unwrap();
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    assert_eq!((header("x-own"), header("prefer")), (Some("1"), Some("return=minimal")));
    assert_eq!((header("x-samovar-job"), header("x-samovar-attempt")), (job.rsplit('/').next(), Some("1")));
    assert!(header("forwarded").is_some() && header("x-request-id").is_some());
}

#[tokio::test]
async fn a_function_may_say_that_its_callers_wait() {
    let node = Node::start().await;
    node.function("hello").with("jobs.respond_async = false").deploy().await;
    assert_eq!(later(node.call("/hello")).send().await.ok(), "hello\n");
    assert_eq!(node.call("/hello").header("prefer", "wait=10").send().await.ok(), "hello\n");
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_job() {
    let node = Node::start().await;
    node.deploy("echo").await;
    let send = async |body: &'static str, key: &str| -> Answer {
        let call = node.call("/echo").method(Method::POST).header("idempotency-key", key);
        later(call).body(body).send().await
    };
    let first = send("one", "\"k1\"").await;
    let again = send("one", "\"k1\"").await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (202, "true"));
    assert_eq!(first.header("location"), again.header("location"));
    send("two", "\"k1\"").await.problem(422, "idempotency-key-taken", "platform");
    assert_ne!(send("two", "k2").await.header("location"), first.header("location"));
    send("two", "").await.problem(400, "bad-idempotency-key", "platform");
}

#[tokio::test]
async fn a_4xx_is_a_dead_letter_at_once_and_a_5xx_only_after_all_attempts() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    let settings = format!("allow_outbound = ['{}']\nallow_private = true\njobs.backoff = '50ms'", backend.origin());
    node.function("outbound").with(&settings).deploy().await;
    let job =
        async |status: u16| stored(node.call(&format!("/outbound?url={}/status/{status}", backend.origin()))).await;
    let refused = in_state(&node, &job(404).await, "dead").await;
    assert_eq!((&refused["attempts"], &refused["outcome"]), (&1.into(), &"answered 404 Not Found".into()));
    let failed_job = job(500).await;
    let failed = in_state(&node, &failed_job, "dead").await;
    let outcome = "answered 500 Internal Server Error; all 3 attempts failed";
    assert_eq!((&failed["attempts"], &failed["outcome"]), (&3.into(), &outcome.into()));
    let answer = node.call(&format!("{failed_job}/answer")).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-samovar-job-state")), (500, "dead"));
    assert_eq!(answer.text(), "backend says /status/500");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_stored_and_an_answer_that_is_is_not_kept() {
    let node = Node::start().await;
    node.function("echo").with("limits.request_body = '3MiB'").deploy().await;
    let send = |bytes: usize| node.call("/echo").method(Method::POST).body(Bytes::from(vec![b'x'; bytes]));
    // Over HTTP/1.1 the connection may end before the client has looked for an answer.
    later(send(4 << 20).http2()).send().await.problem(413, "body-too-large", "platform");
    let job = stored(send(2 << 20)).await;
    let done = in_state(&node, &job, "done").await;
    assert_eq!((&done["answer"]["body_bytes"], &done["answer"]["kept"]), (&(2 << 20).into(), &false.into()));
    node.call(&format!("{job}/answer")).send().await.problem(410, "answer-not-kept", "platform");
}

#[tokio::test]
async fn jobs_of_one_function_leave_room_for_callers_who_wait() {
    let node = Node::start().await;
    node.function("sleep").with("jobs.concurrency = 2\nscale.max_instances = 4").deploy().await;
    for _ in 0..20 {
        stored(node.call("/sleep?ms=300")).await;
    }
    eventually("jobs are running", async || node.stats("sleep").await.busy, |busy| *busy == 2).await;
    assert_eq!(node.call("/sleep?ms=1").send().await.ok(), "slept 1\n");
    assert!(node.stats("sleep").await.busy <= 2);
}

#[tokio::test]
async fn at_shutdown_a_running_job_is_finished_and_a_queued_one_kept() {
    let node = Node::start().await;
    node.function("sleep").with("jobs.concurrency = 1").deploy().await;
    let running = stored(node.call("/sleep?ms=1500")).await;
    in_state(&node, &running, "running").await;
    let queued = stored(node.call("/sleep?ms=2")).await;
    let stopped = node.stop().await;
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    let node = stopped.start().await;
    assert_eq!(in_state(&node, &running, "done").await["attempts"], 1);
    assert_eq!(in_state(&node, &queued, "done").await["attempts"], 1);
}

/// How many jobs the test below stores.
fn number() -> usize {
    std::env::var("JOBS").map_or(1_500, |number| number.parse().expect("JOBS is a number"))
}

/// What is left to be stored, and what the platform said it had stored.
struct Sending {
    left: Mutex<Vec<usize>>,
    accepted: Mutex<BTreeSet<usize>>,
}

impl Sending {
    /// Has jobs stored until none are left or the platform is gone.
    async fn send(self: Arc<Self>, call: impl Fn(&str) -> Call) {
        loop {
            let Some(id) = self.left.lock().unwrap().pop() else { return };
            let call = later(call(&format!("/tally?id={id}&ms=2"))).header("idempotency-key", &format!("key-{id}"));
            match call.try_send().await {
                Ok(answer) if answer.status == 202 => drop(self.accepted.lock().unwrap().insert(id)),
                // It may have been stored or not: the key sees to it that it is once.
                Ok(_) | Err(_) => {
                    self.left.lock().unwrap().push(id);
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_job_that_was_accepted_and_runs_few_twice() {
    const KILLS: usize = 3;
    // As many jobs are run at once, and those are all that a crash can make run twice.
    const AT_ONCE: usize = 32;
    let (number, tally) = (number(), Tally::start());
    let sending = Arc::new(Sending { left: Mutex::new((0..number).collect()), accepted: Mutex::default() });
    let mut node = Node::start().await;
    node.function("tally").with(&format!("{}\njobs.backoff = '100ms'", tally.settings())).deploy().await;
    for kill in 1..=KILLS + 1 {
        let senders: Vec<_> = (0..32).map(|_| tokio::spawn(Arc::clone(&sending).send(node.call_maker()))).collect();
        if kill <= KILLS {
            // In the middle of storing, and of running what was stored.
            let accepted = async || sending.accepted.lock().unwrap().len();
            eventually("jobs are stored", accepted, |accepted| *accepted >= number * kill / (KILLS + 1)).await;
            node.kill_in_place();
            node = node.ended().await.start().await;
        }
        for sender in senders {
            sender.await.unwrap();
        }
    }
    assert_eq!(sending.accepted.lock().unwrap().len(), number);
    // As long as it takes, while it goes on.
    loop {
        let before = tally.runs().len();
        if before == number {
            break;
        }
        eventually("further jobs are run", async || tally.runs().len(), |now| *now > before).await;
    }
    let open = async || {
        let list = node.control_call("/v1/jobs?state=queued").send().await.json();
        let running = node.control_call("/v1/jobs?state=running").send().await.json();
        list["jobs"].as_array().unwrap().len() + running["jobs"].as_array().unwrap().len()
    };
    eventually("all are done", open, |open| *open == 0).await;
    let repeated = tally.repeated().len();
    println!("{number} jobs, {KILLS} times kill -9: none lost, {repeated} run more than once");
    assert!(repeated <= KILLS * AT_ONCE, "{repeated} of {number} jobs were run more than once");
    let dead = node.control_call("/v1/jobs?state=dead").send().await.json();
    assert_eq!(dead["jobs"].as_array().unwrap().len(), 0, "{dead}");
}

#[tokio::test]
async fn the_command_line_stores_lists_shows_retries_and_purges() {
    let (node, backend) = (Node::start().await, Backend::start().await);
    let settings = format!("allow_outbound = ['{}']\nallow_private = true\njobs.retries = 0", backend.origin());
    node.function("outbound").with(&settings).deploy().await;
    let data_dir = node.data_dir().display().to_string();
    let cli = |args: &[&str]| Cli::new(&[args, &["--data-dir", &data_dir]].concat());
    let path = format!("/outbound?url={}/status/500", backend.origin());
    let id = cli(&["invoke", "outbound", "--async", "--path", &path]).ok().await.trim().to_owned();
    assert_eq!(id.len(), 32, "{id}");
    in_state(&node, &format!("/.well-known/samovar/jobs/{id}"), "dead").await;
    let list = cli(&["jobs", "list", "--state", "dead"]).ok().await;
    assert!(list.contains(&id) && list.contains("answered 500"), "{list}");
    let shown = cli(&["jobs", "show", &id]).ok().await;
    assert!(shown.contains("backend says /status/500"), "{shown}");
    assert_eq!(cli(&["jobs", "retry", &id]).ok().await, format!("{id}: queued\n"));
    let look = async || cli(&["jobs", "show", &id]).ok().await;
    eventually("it was tried again", look, |shown| shown.contains("dead, 2 attempts")).await;
    assert_eq!(cli(&["jobs", "purge", "--state", "dead"]).ok().await, "1 jobs forgotten\n");
    let gone = cli(&["jobs", "show", &id]).run().await;
    assert!(gone.code == 1 && gone.stderr.contains(&format!("no job {id}")), "{gone:?}");
}

#[tokio::test]
async fn a_schedule_is_listed_with_its_next_time_and_a_bad_one_is_refused_by_name() {
    let node = Node::start().await;
    let schedule = "[[schedule]]\ncron = '0 2 * * *'\nzone = 'Europe/Berlin'\npath = '/nightly'";
    node.function("hello").with(schedule).deploy().await;
    let list = node.control_call("/v1/schedules").send().await.json();
    let (zone, path, next) =
        (&list["schedules"][0]["zone"], &list["schedules"][0]["path"], &list["schedules"][0]["next"]);
    assert_eq!((zone, path), (&"Europe/Berlin".into(), &"/nightly".into()));
    assert!(next.as_str().unwrap().ends_with(":00:00Z"), "{list}");
    let refused = node.function("hello").with("schedule = ['0 25 * * *']").try_deploy().await.unwrap_err();
    assert!(refused.problem.detail.contains("function.hello.schedule = 0 25 * * *"), "{refused:?}");
}

/// What the function was told in each job that the control API lists, which all must be done.
async fn told(node: &Node, function: &str) -> Vec<Value> {
    let list = node.control_call(&format!("/v1/jobs?function={function}")).send().await.json();
    let mut told = Vec::new();
    for job in list["jobs"].as_array().unwrap() {
        let path = format!("/.well-known/samovar/jobs/{}", job["id"].as_str().unwrap());
        in_state(node, &path, "done").await;
        told.push(node.call(&format!("{path}/answer")).send().await.json());
    }
    told
}

fn header<'a>(facts: &'a Value, wanted: &str) -> Vec<&'a str> {
    let headers = facts["headers"].as_array().unwrap().iter();
    headers.filter(|header| header[0] == wanted).map(|header| header[1].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tick_is_one_post_that_names_its_schedule_also_when_the_function_is_deployed_again_and_the_node_restarted() {
    let mut node = Node::start().await;
    let settings = |variable: &str| {
        format!("env.AGAIN = '{variable}'\nschedule = [{{ cron = '* * * * *', path = '/by-schedule?a=b' }}]")
    };
    node.function("request-facts").with(&settings("no")).deploy().await;
    let due = async |node: &Node| node.control_call("/v1/schedules").send().await.json()["schedules"][0].clone();
    let schedule = due(&node).await;
    assert!(schedule["last"].is_null(), "{schedule}");
    let next: Timestamp = schedule["next"].as_str().unwrap().parse().unwrap();
    // The clock alone makes it due: the deadline is for what comes then.
    let left = Timestamp::now().duration_until(next);
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
    eventually("it is due", async || due(&node).await, |schedule| schedule["last"].is_string()).await;

    let all = told(&node, "request-facts").await;
    let facts = &all[0];
    assert_eq!((&facts["method"], &facts["path"]), (&"POST".into(), &"/by-schedule?a=b".into()));
    let tick = next.to_string();
    assert_eq!(
        (header(facts, "x-samovar-schedule"), header(facts, "x-samovar-tick")),
        (vec!["* * * * *"], vec![&*tick])
    );
    assert_eq!((header(facts, "x-samovar-attempt"), header(facts, "x-samovar-job").len()), (vec!["1"], 1));

    node.function("request-facts").with(&settings("yes")).deploy().await;
    node = node.stop().await.start().await;
    // Whoever keeps the schedules has begun again before this is done.
    node.deploy("echo").await;
    let job = stored(node.call("/echo").method(Method::POST)).await;
    in_state(&node, &job, "done").await;
    let all = told(&node, "request-facts").await;
    // On a slow machine the next minute may have begun.
    let ticks: BTreeSet<&str> = all.iter().flat_map(|facts| header(facts, "x-samovar-tick")).collect();
    assert!(ticks.contains(&*tick) && ticks.len() == all.len(), "one job for each: {all:?}");
}
