//! What is seen of a guest that means harm: by four callers at once, in its log, and of its instances.

use samovar_model::{LogLine, LogStream};
use samovar_tests::{Answer, Call, Node, Silent, eventually};

use super::rows::{Caller, Row};

/// Callers that call each guest at once.
const CALLERS: usize = 4;

/// What a caller keeps of an answer: it may be endless.
const KEPT_BYTES: usize = 64 << 10;

/// An answer that broke off.
struct Cut {
    /// What came of its body; absent where not even its head came.
    begun: Option<Vec<u8>>,
    error: String,
}

impl Row {
    pub(super) async fn deploy(&self, node: &Node) {
        let function = node.function(Row::NAME).with(self.settings);
        match self.guest.ends_with(".wat") {
            true => function.wat(self.guest),
            false => function.guest(self.guest),
        }
        .deploy()
        .await;
    }

    /// Calls the guest that is deployed, and sees that all comes as this row says.
    pub(super) async fn see(&self, node: &Node, silent: &Silent) {
        let first = match self.calm {
            Some(calm) => Some(self.see_calm(node, calm).await),
            None => None,
        };
        // Or else that instance would be none of those that are seen to retire.
        node.settled(Row::NAME).await;
        let query = self.query.replace("SILENT", &silent.address());
        let calls: Vec<_> = (0..CALLERS)
            .map(|i| {
                let call = node.call(&format!("/hostile?{query}")).header("x-request-id", &format!("hostile-{i}"));
                let call = if self.posted_bytes > 0 { call.body(vec![b'x'; self.posted_bytes]) } else { call };
                // Half of them over HTTP/2; all of those that post a lot, since a client of HTTP/1.1 that is answered
                // before it has sent everything may see nothing but a connection that is closed.
                let http2 = self.posted_bytes > 0 || i % 2 == 1;
                tokio::spawn(outcome(if http2 { call.http2() } else { call }))
            })
            .collect();
        for call in calls {
            self.caller.check(&self.title(), call.await.unwrap());
        }
        self.check_host(node).await;
        self.check_log(node).await;
        if let (Some(calm), Some(first)) = (self.calm, first) {
            let again = self.see_calm(node, calm).await;
            let title = self.title();
            assert_eq!(again.instance() == "cold", self.retired, "{title}: whether the instance is used again");
            let id = |answer: &Answer| answer.header("x-samovar-instance-id").to_owned();
            assert!(!self.retired || id(&again) != id(&first), "{title}: the instance is used again");
        }
    }

    async fn see_calm(&self, node: &Node, calm: &str) -> Answer {
        let answer = node.call(&format!("/hostile?{calm}")).send().await;
        assert_eq!(answer.status, 200, "{}: {}", self.title(), answer.text());
        answer
    }

    /// The instances are retired, or wait for more, and the faults are counted.
    async fn check_host(&self, node: &Node) {
        let title = self.title();
        let idle = if self.retired { 0..=0 } else { 1..=CALLERS as u64 };
        let stats = async || node.stats(Row::NAME).await;
        let gone = format!("{title}: its instances are done");
        let stats = eventually(&gone, stats, |stats| stats.busy == 0 && idle.contains(&stats.idle)).await;
        let fault = match self.caller {
            Caller::Problem(_, kind) | Caller::Broken(kind) | Caller::Half(_, kind) => Some(kind),
            Caller::Answered(..) => None,
        };
        let expected = fault.map(|kind| (kind.to_owned(), CALLERS as u64)).into_iter().collect();
        assert_eq!(stats.faults, expected, "{title}");
    }

    /// The reason is in the log, with the request that it belongs to.
    async fn check_log(&self, node: &Node) {
        let title = self.title();
        let log = async || node.logs(Row::NAME).await;
        if self.log.is_empty() {
            let lines = log().await;
            return assert!(lines.is_empty(), "{title}: {lines:?}");
        }
        let says = |line: &LogLine| line.text.contains(self.log);
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

async fn outcome(call: Call) -> Result<Answer, Cut> {
    let opened = call.try_open().await;
    let mut answer = opened.map_err(|error| Cut { begun: None, error: format!("{error:?}") })?;
    let mut kept = Vec::new();
    loop {
        match answer.try_chunk().await {
            Ok(Some(chunk)) => kept.extend(chunk.iter().take(KEPT_BYTES - kept.len())),
            Ok(None) => break,
            Err(error) => return Err(Cut { begun: Some(kept), error: format!("{error:?}") }),
        }
    }
    let (status, headers) = (answer.status, answer.headers);
    Ok(Answer { status, headers, body: kept.into(), trailers: http::HeaderMap::new() })
}

impl Caller {
    fn check(self, title: &str, outcome: Result<Answer, Cut>) {
        match (self, outcome) {
            (Self::Problem(status, kind), Ok(answer)) => drop(answer.problem(status, kind, "function")),
            (Self::Broken(_), Err(_)) => {}
            (Self::Broken(kind), Ok(answer)) => drop(answer.problem(502, kind, "function")),
            (Self::Half(text, _), Err(Cut { begun: Some(begun), .. })) => {
                assert!(begun.starts_with(text.as_bytes()), "{title}: {begun:?}");
            }
            (Self::Half(..), Ok(answer)) => panic!("{title}: a whole answer: {answer:?}"),
            (Self::Answered(status, text), Ok(answer)) => {
                assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{title}");
            }
            (_, Err(Cut { begun, error })) => panic!("{title}: broke off after {begun:?}: {error}"),
        }
    }
}
