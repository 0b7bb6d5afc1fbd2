//! The contract of [`Jobs`], and what is this backend's own: its limit, and what it counts.

use std::sync::Arc;

use jiff::Timestamp;
use samovar_model::Schedule;

use super::EmbeddedJobs;
use crate::contract::jobs::{JobStore, answered, asking, job_tests};
use crate::embedded::DataDir;
use crate::jobs::{NewJob, Tick};
use crate::{Jobs, JobsError};

struct Embedded(tempfile::TempDir);

impl JobStore for Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn open(&self) -> Arc<dyn Jobs> {
        Arc::new(EmbeddedJobs::open(&DataDir::open(self.0.path()).unwrap(), 1 << 30).unwrap())
    }
}

job_tests!(Embedded);

#[tokio::test]
async fn a_full_store_says_so_and_takes_more_once_there_is_room() {
    let temp = tempfile::tempdir().unwrap();
    let jobs = EmbeddedJobs::open(&DataDir::open(temp.path()).unwrap(), 2_500).unwrap();
    let submit = |body: usize| jobs.submit(asking("a", &vec![b'x'; body]));
    submit(1_000).await.unwrap();
    submit(1_000).await.unwrap();
    let refused = submit(1_000).await.unwrap_err();
    assert!(matches!(refused, JobsError::Full { limit: 2_500, .. }), "{refused}");
    // A tick is taken all the same.
    let schedule: Schedule = serde_json::from_str(r#"{"cron":"@daily"}"#).unwrap();
    let tick = Tick { schedule: schedule.key(&"a".parse().unwrap()), shown: "@daily".to_owned(), at: Timestamp::now() };
    jobs.submit(NewJob { tick: Some(tick), ..asking("a", b"") }).await.unwrap();
    jobs.take(&Default::default()).await.unwrap().lease.finish(answered(200)).await.unwrap();
    submit(1_000).await.unwrap();
    // What is counted at the start is what was counted before.
    let counted = jobs.counts();
    drop(jobs);
    let jobs = EmbeddedJobs::open(&DataDir::open(temp.path()).unwrap(), 2_500).unwrap();
    assert_eq!(jobs.counts(), counted);
}
