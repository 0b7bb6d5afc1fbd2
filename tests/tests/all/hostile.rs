//! A guest cannot hurt its host: a table of guests, with what the caller, the neighbours and the host see of each.
//! `docs/sandbox.md` is the same table in words.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use samovar_model::{LogLine, LogStream};
use samovar_tests::{Answer, Node, Silent, eventually};
use tokio::time::Instant;

/// Callers that call each guest at once.
const CALLERS: usize = 4;

/// How long a neighbour may have to wait for its answer. Generous: the machine may be busy with other tests, too, and the
/// product not optimised.
const WORST_LATENCY: Duration = Duration::from_secs(3);

/// What all of the guests together may add to the host's memory, at any time and in the end.
const PEAK_KIB: u64 = 400 << 10;
const REST_KIB: u64 = 256 << 10;

/// A guest and what is seen of it.
#[derive(Clone, Copy)]
struct Row {
    guest: &'static str,
    /// What it is called with: a query, in which `SILENT` stands for a server that never answers.
    query: &'static str,
    settings: &'static str,
    caller: Caller,
    /// What its log says, in any line.
    log: &'static str,
    /// What makes it behave for once, if it can: tells that the hostile calls' instances are gone.
    calm: Option<&'static str>,
    /// Whether it is done for after that.
    retired: bool,
}

/// What each caller reads.
#[derive(Clone, Copy)]
enum Caller {
    /// A problem document of the function's: status and kind.
    Problem(u16, &'static str),
    /// An answer that breaks off, or a problem instead of it if its head had not been sent: of this kind.
    Broken(&'static str),
    /// The function's own answer: status and text.
    Answer(u16, &'static str),
}

use Caller::{Answer as Answered, Broken, Problem};

const ROW: Row =
    Row { guest: "", query: "", settings: "", caller: Problem(502, "trap"), log: "", calm: None, retired: true };

const CPU: &str = "limits.cpu = '300ms'\nlimits.timeout = '50s'";
const TIME: &str = "limits.timeout = '500ms'";
const MEMORY: &str = "limits.memory = '64MiB'";
const LONG: &str = "limits.cpu = '50s'\nlimits.timeout = '55s'";
const REACHES: &str = "limits.timeout = '700ms'\nallow_outbound = ['*']";

/// The same for guests of WASI 0.2 and 0.3 where it may differ.
const ROWS: &[Row] = &[
    // Time on a core.
    Row { guest: "spin", settings: CPU, caller: Problem(504, "cpu-budget"), log: "300ms", calm: Some("ms=1"), ..ROW },
    Row { guest: "spin3", settings: CPU, caller: Problem(504, "cpu-budget"), log: "300ms", ..ROW },
    Row { guest: "host-calls", settings: CPU, caller: Problem(504, "cpu-budget"), log: "300ms", ..ROW },
    Row { guest: "recurse", log: "call stack exhausted", calm: Some("calm"), ..ROW },
    Row { guest: "recurse3", log: "call stack exhausted", calm: Some("calm"), ..ROW },
    Row { guest: "random", query: "mib=64", log: "exceeds limit", calm: Some("mib=1"), ..ROW },
    Row {
        guest: "spin-after",
        settings: CPU,
        caller: Answered(200, "answered\n"),
        log: "300ms",
        calm: Some("calm"),
        ..ROW
    },
    Row {
        guest: "spin-after3",
        settings: CPU,
        caller: Answered(200, "answered\n"),
        log: "300ms",
        calm: Some("calm"),
        ..ROW
    },
    // Memory.
    Row { guest: "grow", settings: MEMORY, caller: Answered(200, "63 MiB\n"), calm: Some("calm"), ..ROW },
    Row {
        guest: "allocate",
        query: "mib=100",
        settings: MEMORY,
        caller: Problem(502, "out-of-memory"),
        log: "64MiB",
        calm: Some("mib=1"),
        ..ROW
    },
    Row {
        guest: "allocate3",
        query: "mib=100",
        settings: MEMORY,
        caller: Problem(502, "out-of-memory"),
        log: "64MiB",
        calm: Some("mib=1"),
        ..ROW
    },
    Row { guest: "table.wat", caller: Problem(502, "invalid-response"), log: "without setting a response", ..ROW },
    // What the host keeps for a guest.
    Row { guest: "hoard", query: "what=clocks&count=1000000", log: "resource", calm: Some("count=1"), ..ROW },
    Row { guest: "hoard", query: "what=fields&count=1000000", log: "resource", calm: Some("count=1"), ..ROW },
    Row { guest: "hoard", query: "what=methods&count=1000000", log: "resource", calm: Some("count=1"), ..ROW },
    Row { guest: "hoard", query: "what=bodies&count=1000000", log: "resource", calm: Some("count=1"), ..ROW },
    Row { guest: "hoard3", query: "what=streams&count=1000000", log: "handle", calm: Some("count=1"), ..ROW },
    Row { guest: "hoard3", query: "what=waits&count=100000", log: "handle", calm: Some("count=1"), ..ROW },
    Row { guest: "many-headers", query: "count=100000", log: "too much data", calm: Some("count=10"), ..ROW },
    Row { guest: "many-headers", query: "append&count=100000", log: "exceeds limit", calm: Some("count=10"), ..ROW },
    // Logs. The first is 1 GiB.
    Row {
        guest: "flood",
        query: "mib=256",
        settings: LONG,
        caller: Answered(200, "wrote 256 MiB\n"),
        log: "lines dropped",
        calm: Some("mib=0"),
        retired: false,
    },
    Row {
        guest: "flood",
        query: "mib=16&line=1",
        settings: LONG,
        caller: Answered(200, "wrote 16 MiB\n"),
        log: "lines dropped",
        calm: Some("mib=0"),
        retired: false,
    },
    Row { guest: "flood", query: "chunk=70000", log: "at once where", calm: Some("mib=0"), ..ROW },
    Row {
        guest: "flood3",
        query: "mib=64&chunk=8388608",
        settings: LONG,
        caller: Answered(200, "wrote 64 MiB\n"),
        log: "lines dropped",
        calm: Some("mib=0"),
        retired: false,
    },
    Row { guest: "long-error", query: "kib=80", caller: Problem(502, "invalid-response"), log: "bytes more", ..ROW },
    // Crashes: before, while and after answering.
    Row { guest: "trap", log: "unreachable", calm: Some("calm"), ..ROW },
    Row { guest: "trap3", log: "unreachable", calm: Some("calm"), ..ROW },
    Row { guest: "half-body-then-trap", caller: Broken("trap"), log: "unreachable", ..ROW },
    Row { guest: "half-body3", query: "trap", caller: Broken("trap"), log: "unreachable", ..ROW },
    Row { guest: "trap-after", log: "unreachable", calm: Some("calm"), ..ROW },
    Row { guest: "drop-panic", log: "the cup is broken", calm: Some("calm"), ..ROW },
    Row { guest: "drop-panic", query: "again", log: "the saucer is broken, too", calm: Some("calm"), ..ROW },
    Row { guest: "exit", query: "code=0", log: "called exit with status 0", ..ROW },
    Row { guest: "exit", query: "code=3", log: "called exit with status 1", ..ROW },
    // Answers that are none.
    Row { guest: "never-set", caller: Problem(502, "invalid-response"), log: "without setting a response", ..ROW },
    Row { guest: "error3", caller: Problem(502, "invalid-response"), log: "answered with an error", ..ROW },
    Row { guest: "early-drop", caller: Broken("invalid-response"), retired: false, ..ROW },
    Row {
        guest: "declared-length",
        query: "declared=10&actual=5",
        caller: Broken("invalid-response"),
        calm: Some("declared=10&actual=10"),
        retired: false,
        ..ROW
    },
    Row {
        guest: "declared-length",
        query: "declared=5&actual=10",
        caller: Broken("invalid-response"),
        calm: Some("declared=10&actual=10"),
        retired: false,
        ..ROW
    },
    // Waiting for ever.
    Row {
        guest: "sleep",
        query: "ms=18446744073709",
        settings: TIME,
        caller: Problem(504, "deadline"),
        log: "500ms",
        calm: Some("ms=0"),
        ..ROW
    },
    Row { guest: "never3", settings: TIME, caller: Problem(504, "deadline"), log: "500ms", ..ROW },
    Row { guest: "half-body-then-silence", settings: TIME, caller: Broken("deadline"), log: "500ms", ..ROW },
    Row { guest: "half-body3", settings: TIME, caller: Broken("deadline"), log: "500ms", ..ROW },
    Row { guest: "endless-body", settings: TIME, caller: Broken("deadline"), log: "500ms", calm: Some("calm"), ..ROW },
    Row {
        guest: "outbound",
        query: "url=http://SILENT/",
        settings: REACHES,
        caller: Problem(504, "deadline"),
        log: "700ms",
        ..ROW
    },
    Row {
        guest: "fan-out",
        query: "url=http://SILENT&count=150",
        settings: REACHES,
        caller: Problem(504, "deadline"),
        log: "700ms",
        ..ROW
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_cannot_hurt_its_host() {
    let (node, silent) = (Node::start().await, Silent::start().await);
    node.function("neighbour").guest("hello").deploy().await;
    node.call("/neighbour").send().await.ok();
    let before = node.resident_kib();
    let only = std::env::var("SAMOVAR_HOSTILE").unwrap_or_default();
    let mut failed = Vec::new();
    println!("guest and query                                worst latency beside it   host's memory");
    for row in ROWS.iter().filter(|row| format!("{}?{}", row.guest, row.query).contains(&only)) {
        let title = format!("{}?{}", row.guest, row.query);
        let neighbour = Neighbour::start(&node);
        // One row's failure does not hide the others'.
        if std::panic::AssertUnwindSafe(row.see(&node, &silent)).catch_unwind().await.is_err() {
            failed.push(title.clone());
        }
        assert!(node.delete(&row.guest.replace(".wat", "")).await.status.is_success(), "{title}");
        let worst = neighbour.stop(&title).await;
        println!("{title:46} {worst:>23.1?} {:>11} KiB", node.resident_kib());
        if worst > WORST_LATENCY {
            failed.push(format!("{title}: a neighbour waited for {worst:?}"));
        }
        eventually("outbound connections are closed", async || silent.open(), |open| *open == 0).await;
    }
    assert!(failed.is_empty(), "{failed:#?}");
    // 256 requests may be under way; a connection whose request was given up is open for a moment longer.
    assert!(silent.most() <= 384, "one function had {} connections open", silent.most());
    let logs = directory_size(&node.data_dir().join("logs"));
    assert!(logs < 20 << 20, "{logs} bytes of logs are kept");
    let peak = node.peak_resident_kib();
    assert!(peak < before + PEAK_KIB, "{before} KiB before, {peak} KiB at most");
    let rest = async || node.resident_kib();
    eventually("memory is given back", rest, |now| *now < before + REST_KIB).await;
}

impl Row {
    async fn see(&self, node: &Node, silent: &Silent) {
        let title = format!("{}?{}", self.guest, self.query);
        let name = self.guest.replace(".wat", "");
        let function = node.function(&name).with(self.settings);
        match self.guest.ends_with(".wat") {
            true => function.wat(self.guest).deploy().await,
            false => function.deploy().await,
        };
        let mut instances = Vec::new();
        if let Some(calm) = self.calm {
            let answer = node.call(&format!("/{name}?{calm}")).send().await;
            instances.push(answer.header("x-samovar-instance-id").to_owned());
            answer.ok();
        }
        let query = self.query.replace("SILENT", &silent.address());
        let call = |i: usize| {
            let call = node.call(&format!("/{name}?{query}")).header("x-request-id", &format!("hostile-{i}"));
            // Half of them over HTTP/2.
            let call = if i.is_multiple_of(2) { call } else { call.http2() };
            let is_broken = matches!(self.caller, Broken(_));
            tokio::spawn(async move {
                let mut answer = call.try_open().await.map_err(|error| error.to_string())?;
                // What breaks off is not kept: it may be endless.
                while is_broken && answer.status == 200 {
                    if answer.try_chunk().await.map_err(|error| error.to_string())?.is_none() {
                        break;
                    }
                }
                answer.finish().await
            })
        };
        let calls: Vec<_> = (0..CALLERS).map(call).collect();
        for call in calls {
            self.caller.check(&title, call.await.unwrap());
        }
        self.check_host(node, &name, &title).await;
        self.check_log(node, &name, &title).await;
        if let Some(calm) = self.calm {
            let answer = node.call(&format!("/{name}?{calm}")).send().await;
            assert_eq!(answer.status, 200, "{title}: {}", answer.text());
            if self.retired {
                assert_eq!(answer.instance(), "cold", "{title}: the instance is used again");
                let id = answer.header("x-samovar-instance-id").to_owned();
                assert!(!instances.contains(&id), "{title}: the instance is used again");
            }
        }
    }

    /// The instances are retired, and the faults are counted.
    async fn check_host(&self, node: &Node, name: &str, title: &str) {
        let idle = |idle: u64| if self.retired { idle == 0 } else { idle <= CALLERS as u64 };
        let stats = async || node.stats(name).await;
        let gone = format!("{title}: its instances are done");
        let stats = eventually(&gone, stats, |stats| stats.busy == 0 && idle(stats.idle)).await;
        let fault = match self.caller {
            Problem(_, kind) | Broken(kind) => Some(kind),
            Answered(..) => None,
        };
        let expected = fault.map(|kind| (kind.to_owned(), CALLERS as u64)).into_iter().collect();
        assert_eq!(stats.faults, expected, "{title}");
    }

    /// The reason is in the log, with the request that it belongs to.
    async fn check_log(&self, node: &Node, name: &str, title: &str) {
        if self.log.is_empty() {
            return;
        }
        let says = |line: &LogLine| line.text.contains(self.log);
        let log = async || node.logs(name).await;
        let what = format!("{title}: `{}` in the log", self.log);
        let lines = eventually(&what, log, |lines| lines.iter().any(says)).await;
        if let Some(crash) = lines.iter().find(|line| line.stream == LogStream::Crash && says(line))
            && !self.guest.ends_with('3')
        {
            let request = crash.request_id.as_deref().unwrap_or_default();
            assert!(request.starts_with("hostile-"), "{title}: {crash:?}");
        }
    }
}

impl Caller {
    fn check(self, title: &str, answer: Result<Answer, String>) {
        match (self, answer) {
            (Problem(status, kind), Ok(answer)) => drop(answer.problem(status, kind, "function")),
            (Broken(_), Err(_)) => {}
            (Broken(kind), Ok(answer)) => {
                let status = if kind == "deadline" { 504 } else { 502 };
                answer.problem(status, kind, "function");
            }
            (Answered(status, text), Ok(answer)) => {
                assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{title}");
            }
            (_, Err(error)) => panic!("{title}: {error}"),
        }
    }
}

/// A caller of another function, who must not notice anything.
struct Neighbour {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(u32, Duration)>,
}

impl Neighbour {
    fn start(node: &Node) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (call, stopped) = (node.call_maker(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let (mut calls, mut worst) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                call("/neighbour").send().await.ok();
                worst = worst.max(begun.elapsed());
                calls += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (calls, worst)
        });
        Self { stop, task }
    }

    /// How long it had to wait at most.
    async fn stop(self, title: &str) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let (calls, worst) = self.task.await.unwrap();
        assert!(calls > 0, "{title}: the neighbour was not called");
        worst
    }
}

fn directory_size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => directory_size(&entry.path()),
            metadata => metadata.len(),
        })
        .sum()
}

/// A caller that asks for an answer and never reads it holds an instance no longer than the function's time allows.
#[tokio::test]
async fn a_caller_that_never_reads_its_answer_holds_no_instance_for_ever() {
    let node = Node::start().await;
    node.function("endless-body").with("limits.timeout = '1s'\nscale.max_instances = 2").deploy().await;
    node.call("/endless-body?calm").send().await.ok();
    let before = node.resident_kib();
    let mut raw = node.raw().await;
    raw.send("GET /endless-body HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let http2 = node.call("/endless-body").http2().open().await;
    let busy = async || node.stats("endless-body").await.busy;
    eventually("both are under way", busy, |busy| *busy == 2).await;
    let grown = node.resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "{grown} KiB more than before");
    let stats = async || node.stats("endless-body").await;
    let stats = eventually("both are over", stats, |stats| stats.busy == 0 && stats.idle == 0).await;
    assert_eq!(stats.faults["deadline"], 2, "{stats:?}");
    assert_eq!(node.call("/endless-body?calm").send().await.ok(), "calm\n");
    raw.close();
    drop(http2);
}

/// A component that would take the place of many is refused when it is deployed.
#[tokio::test]
async fn a_component_of_very_many_memories_is_refused() {
    let node = Node::start().await;
    let module = "(core module $m (memory 1))";
    let instances = "(core instance (instantiate $m))".repeat(500);
    let refused = node.function("wide").wat_text(&handler(&format!("{module}{instances}"))).try_deploy().await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.problem.detail.contains("core module instances"), "{refused:?}");
    let table = node.function("table").wat_text(&handler("")).try_deploy().await;
    assert!(table.is_ok(), "{:?}", table.err());
}

/// A component that exports a handler, with more in it.
fn handler(more: &str) -> String {
    std::fs::read_to_string(samovar_tests::repository().join("tests/guests/wat/table.wat"))
        .unwrap()
        .replace(";; more", more)
}
