//! Stores a job whenever a function's schedule is due. Every gateway does: the store takes one job for each tick.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use samovar_cluster::jobs::{LastTick, NewJob, StoredRequest, Tick};
use samovar_cluster::{Jobs, JobsError, Snapshot};
use samovar_model::{CatchUp, FunctionName, JobSettings, RequestId, Schedule, ScheduleKey, headers};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Gateway;
use crate::dispatcher::Dispatcher;

/// How late a tick may be that is not made up for: a restart is no reason to leave one out.
const GRACE: Duration = Duration::from_secs(60);
/// How long it is waited at most before the clock is looked at again: it may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long the store is left alone that did not take a job.
const AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// A schedule that is kept.
struct Kept {
    function: FunctionName,
    schedule: Schedule,
    settings: JobSettings,
    /// Ticks up to then are dealt with.
    until: Timestamp,
    /// The first tick after that.
    next: Option<Timestamp>,
}

/// All that are kept.
struct Scheduler {
    store: Arc<dyn Jobs>,
    kept: BTreeMap<ScheduleKey, Kept>,
}

impl<D: Dispatcher> Gateway<D> {
    /// Keeps the schedules of the functions of these snapshots, until `stop`. Returns at once if the gateway has no store of jobs.
    pub async fn keep_schedules(&self, mut snapshots: watch::Receiver<Arc<Snapshot>>, stop: CancellationToken) {
        let Some(store) = self.store() else { return };
        let keeping = async {
            let ticks = last_ticks(&*store).await;
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let mut scheduler = Scheduler::begin(store, &ticks, &snapshot);
            loop {
                let sleep = scheduler.submit_due(Timestamp::now()).await;
                tokio::select! {
                    () = tokio::time::sleep(sleep) => {}
                    changed = snapshots.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let snapshot = Arc::clone(&snapshots.borrow_and_update());
                        // A schedule that is new has missed nothing.
                        let now = Timestamp::now();
                        scheduler.follow(&snapshot, |_, _| now);
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = keeping => {}
        }
    }
}

async fn last_ticks(store: &dyn Jobs) -> BTreeMap<String, LastTick> {
    loop {
        match store.last_ticks().await {
            Ok(ticks) => return ticks,
            Err(error) => tracing::warn!(%error, "schedules wait for the store of jobs"),
        }
        tokio::time::sleep(AFTER_TROUBLE).await;
    }
}

impl Scheduler {
    /// Keeps the schedules of this snapshot from their last ticks on, or from their deploys, whatever came later.
    fn begin(store: Arc<dyn Jobs>, ticks: &BTreeMap<String, LastTick>, snapshot: &Snapshot) -> Self {
        let mut scheduler = Self { store, kept: BTreeMap::new() };
        // A tick before the deploy may be that of an earlier life of the schedule.
        let since =
            |key: &ScheduleKey, created| ticks.get(&key.to_string()).map_or(created, |last| last.at.max(created));
        scheduler.follow(snapshot, since);
        scheduler
    }

    /// Keeps the schedules of this snapshot and no others; those that it does not keep yet, from the time that `since` says, which
    /// is told when the revision was made.
    fn follow(&mut self, snapshot: &Snapshot, since: impl Fn(&ScheduleKey, Timestamp) -> Timestamp) {
        let mut before = std::mem::take(&mut self.kept);
        for function in snapshot.functions.values() {
            let revision = function.current();
            for schedule in &revision.settings.schedules {
                let key = schedule.key(&function.name);
                let until = before.remove(&key).map_or_else(|| since(&key, revision.created), |kept| kept.until);
                let kept = Kept {
                    function: function.name.clone(),
                    next: schedule.next(until),
                    schedule: schedule.clone(),
                    settings: revision.settings.jobs.clone(),
                    until,
                };
                self.kept.insert(key, kept);
            }
        }
    }

    /// Stores a job for every schedule that is due. Answers how long to wait for the next.
    async fn submit_due(&mut self, now: Timestamp) -> Duration {
        let mut sleep = LONGEST_SLEEP;
        for (key, kept) in &mut self.kept {
            if kept.next.is_some_and(|next| next <= now) {
                if let Err(error) = kept.submit(key, now, &*self.store).await {
                    tracing::warn!(%error, function = %kept.function, schedule = %kept.schedule.cron, "a tick waits");
                    sleep = sleep.min(AFTER_TROUBLE);
                    continue;
                }
                kept.until = now;
                kept.next = kept.schedule.next(now);
            }
            if let Some(next) = kept.next {
                let left = Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default();
                sleep = sleep.min(left);
            }
        }
        sleep
    }
}

impl Kept {
    /// Stores a job for the last tick, if there is one to be run.
    async fn submit(&self, key: &ScheduleKey, now: Timestamp, store: &dyn Jobs) -> Result<(), JobsError> {
        let Some(at) = self.tick_to_run(now) else { return Ok(()) };
        let tick = Tick { schedule: key.clone(), shown: self.schedule.cron.to_string(), at };
        let request = self.request(at);
        let (function, settings) = (self.function.clone(), self.settings.clone());
        let job = NewJob { function, request, key: None, settings, tick: Some(tick) };
        let submitted = store.submit(job).await?;
        tracing::debug!(function = %self.function, schedule = %self.schedule.cron, tick = %at, job = %submitted.id(), "due");
        Ok(())
    }

    /// The last tick, unless it was missed and is not made up for.
    fn tick_to_run(&self, now: Timestamp) -> Option<Timestamp> {
        let last = self.schedule.previous(now).filter(|last| *last > self.until)?;
        let is_late = now.duration_since(last) > GRACE.try_into().unwrap_or_default();
        (!is_late || self.schedule.catch_up == CatchUp::One).then_some(last)
    }

    fn request(&self, at: Timestamp) -> StoredRequest {
        let mut map = HeaderMap::new();
        let mut set = |name, text: String| {
            if let Ok(value) = HeaderValue::try_from(text) {
                map.insert(name, value);
            }
        };
        set(header::HOST, format!("{}.samovar.internal", self.function));
        set(headers::SCHEDULE, self.schedule.cron.to_string());
        set(headers::TICK, at.to_string());
        map.insert(headers::REQUEST_ID, RequestId::from_number(fastrand::u128(..)).header().clone());
        map.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        StoredRequest { method: Method::POST, target: self.schedule.path.clone(), headers: map, body: Bytes::new() }
    }
}

#[cfg(test)]
mod tests {
    use samovar_cluster::embedded::{DataDir, EmbeddedJobs};
    use samovar_cluster::jobs::Selection;
    use samovar_model::manifest::FunctionTable;
    use samovar_model::{ByteSize, ComponentKind, Digest, FunctionState, Revision, RevisionNumber};

    use super::*;

    fn kept(catch_up: CatchUp, until: &str) -> Kept {
        let schedule = Schedule {
            cron: "0 2 * * *".parse().unwrap(),
            zone: "Europe/Berlin".parse().unwrap(),
            path: "/nightly".to_owned(),
            catch_up,
        };
        let until = until.parse().unwrap();
        let next = schedule.next(until);
        Kept { function: "report".parse().unwrap(), schedule, settings: JobSettings::default(), until, next }
    }

    #[test]
    fn a_missed_tick_is_made_up_for_once_if_the_schedule_says_so_or_it_is_just_over() {
        let run = |catch_up, now: &str| {
            let tick = kept(catch_up, "2026-05-01T12:00:00Z").tick_to_run(now.parse().unwrap());
            tick.map(|tick| tick.to_string())
        };
        assert_eq!(run(CatchUp::One, "2026-05-01T20:00:00Z"), None, "none has passed");
        assert_eq!(run(CatchUp::None, "2026-05-02T00:00:30Z").as_deref(), Some("2026-05-02T00:00:00Z"));
        assert_eq!(run(CatchUp::None, "2026-05-02T00:02:00Z"), None);
        assert_eq!(run(CatchUp::One, "2026-05-04T11:00:00Z").as_deref(), Some("2026-05-04T00:00:00Z"), "the last one");
    }

    #[test]
    fn the_function_is_told_which_tick_it_is_called_for() {
        let request = kept(CatchUp::None, "2026-05-01T12:00:00Z").request("2026-05-02T00:00:00Z".parse().unwrap());
        assert_eq!((&request.method, request.target.as_str()), (&Method::POST, "/nightly"));
        assert_eq!(request.headers.get(headers::SCHEDULE).unwrap(), "0 2 * * *");
        assert_eq!(request.headers.get(headers::TICK).unwrap(), "2026-05-02T00:00:00Z");
    }

    #[tokio::test]
    async fn each_tick_is_one_job_however_many_gateways_keep_the_schedule() {
        let dir = tempfile::tempdir().unwrap();
        let dir = DataDir::open(dir.path()).unwrap();
        let store: Arc<dyn Jobs> = Arc::new(EmbeddedJobs::open(&dir, 1 << 20).unwrap());
        let gateway = |until| {
            let kept = kept(CatchUp::None, until);
            let key = kept.schedule.key(&kept.function);
            Scheduler { store: Arc::clone(&store), kept: BTreeMap::from([(key, kept)]) }
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut gateways = [gateway("2026-05-01T12:00:00Z"), gateway("2026-05-01T18:00:00Z")];
        for (now, jobs) in [
            ("2026-05-01T20:00:00Z", 0),
            ("2026-05-02T00:00:00Z", 1),
            ("2026-05-02T00:00:20Z", 1),
            ("2026-05-03T00:00:01Z", 2),
            // Nobody was there for three ticks.
            ("2026-05-06T07:00:00Z", 2),
            ("2026-05-07T00:00:00Z", 3),
        ] {
            for gateway in &mut gateways {
                gateway.submit_due(at(now)).await;
            }
            assert_eq!(store.list(&Selection::default(), 10).await.unwrap().len(), jobs, "{now}");
        }
        // One that starts again knows from the store what was done.
        let ticks = last_ticks(&*store).await;
        let key = gateways[0].kept.keys().next().unwrap().to_string();
        assert_eq!(ticks[&key].at, at("2026-05-07T00:00:00Z"));
    }

    /// A function with one schedule, deployed two minutes before one o'clock.
    fn every_five_minutes(catch_up: &str) -> Snapshot {
        let name: FunctionName = "report".parse().unwrap();
        let manifest = format!(r#"{{"schedule": [{{"cron": "*/5 * * * *", "catch_up": "{catch_up}"}}]}}"#);
        let revision = Revision {
            number: RevisionNumber(1),
            created: "2026-05-01T12:58:00Z".parse().unwrap(),
            artifact: Digest::of(b"x"),
            size: ByteSize::bytes(1),
            kind: ComponentKind::Wasi02,
            settings: serde_json::from_str::<FunctionTable>(&manifest).unwrap().settings(&name).unwrap(),
        };
        let state = FunctionState { name: name.clone(), current: revision.number, revisions: vec![Arc::new(revision)] };
        Snapshot { version: 1, functions: BTreeMap::from([(name, Arc::new(state))]) }
    }

    #[tokio::test]
    async fn a_restart_adds_no_tick_that_was_run_and_none_over_a_minute_old_unless_it_is_made_up_for() {
        for (catch_up, late_tick) in [("none", None), ("one", Some("2026-05-01T13:30:00Z"))] {
            let (temp, snapshot) = (tempfile::tempdir().unwrap(), every_five_minutes(catch_up));
            let (mut jobs, mut last_tick) = (0, None);
            for (started, tick) in [
                ("2026-05-01T12:59:00Z", None),
                ("2026-05-01T13:00:01Z", Some("2026-05-01T13:00:00Z")),
                ("2026-05-01T13:00:40Z", None),
                // Over by less than a minute.
                ("2026-05-01T13:05:59Z", Some("2026-05-01T13:05:00Z")),
                // Nobody was there for five ticks, and the last is over by more.
                ("2026-05-01T13:31:01Z", late_tick),
                ("2026-05-01T13:31:02Z", None),
                ("2026-05-01T13:35:00Z", Some("2026-05-01T13:35:00Z")),
            ] {
                let dir = DataDir::open(temp.path()).unwrap();
                let store: Arc<dyn Jobs> = Arc::new(EmbeddedJobs::open(&dir, 1 << 20).unwrap());
                let ticks = last_ticks(&*store).await;
                let mut scheduler = Scheduler::begin(Arc::clone(&store), &ticks, &snapshot);
                scheduler.submit_due(started.parse().unwrap()).await;
                jobs += usize::from(tick.is_some());
                last_tick = tick.or(last_tick);
                assert_eq!(store.list(&Selection::default(), 10).await.unwrap().len(), jobs, "{catch_up}, {started}");
                let stored = last_ticks(&*store).await.values().next().map(|last| last.at.to_string());
                assert_eq!(stored.as_deref(), last_tick, "{catch_up}, {started}");
            }
        }
    }
}
